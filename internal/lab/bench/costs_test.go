//go:build !race

package bench

import (
	"fmt"
	"net"
	"runtime"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

const (
	allocationsOfAMessage = 77.0  // without the sender and the receiver
	allocationsWhileOpen  = 141.0 // with a body of 200 bytes and two generations
	allocationsOfAMail    = 1115.0
)

func counted(t *testing.T, what string, got, want float64) {
	t.Helper()
	t.Logf("allocations, %s: %.1f, %.1f written down", what, got, want)
	if got > 1.15*want {
		t.Errorf("%s makes %.1f allocations, want %.1f", what, got, want)
	}
}

func TestAMessageCostsWhatItDidBefore(t *testing.T) {
	f, err := newFleet(t.Context(), "")
	testenv.Check(t, err)
	defer f.close()
	b := gatewayBench{fleet: f, dir: t.TempDir()}
	defer b.stop()
	testenv.Check(t, b.start(t.Context()))
	conn, err := net.Dial("tcp", hostOf(b.host))
	testenv.Check(t, err)
	defer conn.Close()
	request := func(tenant, method string, body int) []byte {
		return fmt.Appendf(nil, "%s /%s/erp/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", method, tenant,
			body, make([]byte, body))
	}
	counted(t, "a message, settled", testenv.AllocationsOf(t, conn, request("settled", "GET", 0), 2000),
		allocationsOfAMessage)
	counted(t, "a message with an open roll-over", testenv.AllocationsOf(t, conn, request("open", "POST", 200), 2000),
		allocationsWhileOpen)
}

func TestAMailCostsWhatItDidBefore(t *testing.T) {
	const mails = 500
	var start, end runtime.MemStats
	_, err := deliver(t, "smtp://"+smtpSink(t)+"?tls=none", mails, func() { runtime.ReadMemStats(&start) })
	testenv.Check(t, err)
	runtime.ReadMemStats(&end)
	counted(t, "a mail", float64(end.Mallocs-start.Mallocs)/mails, allocationsOfAMail)
}
