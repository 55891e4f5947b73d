package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestNoMessageFailsIfTheGatewayMissedTheNewGeneration(t *testing.T) {
	f := setUp(t)
	f.silence()
	type sending struct {
		name, way, method string
		size              int
	}
	var sendings []sending
	servers := map[string]*receiver.Server{}
	for way, o := range ways {
		for _, k := range []sending{{method: "GET"}, {method: "DELETE"}, {method: "POST", size: 200},
			{method: "POST", size: 60 << 10}, {method: "PUT", size: -(60 << 10)}} {
			if k.method == "DELETE" && (way == "close" || way == "reset") {
				continue // it may have been processed, so only a safe message or one with a body is sent again
			}
			k.name, k.way = fmt.Sprint("r", len(sendings)), way
			sendings = append(sendings, k)
			servers[k.name] = f.receiver(k.name, tenancy.Adaptive, o)
			if got := f.send(k.name, "GET", 0); got.status != 200 {
				t.Fatalf("%+v", got)
			}
		}
	}
	f.renew()
	for _, k := range sendings {
		server := servers[k.name]
		server.Accept(f.generation(2))
		if got := f.send(k.name, k.method, k.size); got.status != 200 || server.Taken(got.key) != 1 {
			t.Errorf("%s: %s of %d bytes: %d, taken %d times: %s", k.way, k.method, k.size, got.status, server.Taken(got.key),
				got.body)
		}
	}
}

// With one generation the gateway keeps only the beginning of a body. A larger message gets the receiver's refusal,
// unless the refusal arrives before so much was sent. The next message uses the other generation.
func TestALargeMessageMayBeRefusedAfterAMissedRenewalAndTheNextOneIsNot(t *testing.T) {
	f := setUp(t)
	f.silence()
	server := f.receiver("bank", tenancy.Adaptive, ways["401"])
	if got := f.send("bank", "GET", 0); got.status != 200 {
		t.Fatalf("%+v", got)
	}
	f.renew()
	server.Accept(f.generation(2))
	if got := f.send("bank", "POST", 3<<20); got.status != 401 && (got.status != 200 || server.Taken(got.key) != 1) {
		t.Errorf("%+v", got)
	}
	if got := f.send("bank", "POST", 3<<20); got.status != 200 {
		t.Errorf("%+v", got)
	}
}

// A receiver that refuses everything for other reasons causes few look-ups, whatever its messages are.
func TestRefusedMessagesRarelyAskTheControl(t *testing.T) {
	f := setUp(t)
	control := f.silence()
	server := f.receiver("bank", tenancy.Adaptive, ways["401"])
	server.Accept()
	began := time.Now()
	const messages = 100
	for i := range messages {
		if got := f.send("bank", "POST", 1+i); got.status != 401 {
			t.Fatalf("%+v", got)
		}
	}
	most := 2 + time.Since(began)/(200*time.Millisecond) // a busy machine needs 20 s before this proves nothing
	if n := time.Duration(control.asked.Load()); n > most {
		t.Errorf("the control was asked %d times for %d messages in %s", n, messages, time.Since(began))
	}
	if server.Asked() != messages {
		t.Errorf("the receiver was asked %d times for %d messages", server.Asked(), messages)
	}
}

// The control is also asked right after an outage, and while it answers only after its dead connections were tried.
func TestARefusalDuringAFailoverWaitsForTheControl(t *testing.T) {
	f := setUp(t)
	control := f.silence()
	server := f.receiver("bank", tenancy.Adaptive, ways["close"])
	wants := func(what string) {
		t.Helper()
		if got := f.send("bank", "POST", 200); got.status != 200 || server.Taken(got.key) != 1 {
			t.Errorf("%s: %+v", what, got)
		}
	}
	wants("in peace")
	f.renew()
	control.down.Store(true)
	control.change(f.acme.ID)
	wants("after a change that cannot be read")
	server.Accept(f.generation(2))
	back := make(chan struct{})
	time.AfterFunc(300*time.Millisecond, func() {
		control.down.Store(false)
		close(back)
	})
	wants("while the control comes back")
	select {
	case <-back:
	default:
		t.Error("it did not wait for the control")
	}

	f.renew()
	control.change(f.acme.ID)
	wants("after another renewal")
	control.down.Store(true)
	control.change(f.acme.ID)
	wants("after another change that cannot be read")
	control.down.Store(false)
	server.Accept(f.generation(3))
	wants("right after it is back")
}
