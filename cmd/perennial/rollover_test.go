package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/rollover"
)

var scriptReceivers sync.Map // of *receiver.Server, by *testscript.TestScript

// scriptReceiver starts a receiver that answers 401 unless a certificate was named by "accepts FILE ...", and sets
// RECEIVER and PIN.
func scriptReceiver(ts *testscript.TestScript, _ bool, _ []string) {
	s, pin, err := newReceiver()
	ts.Check(err)
	ts.Defer(s.Close)
	scriptReceivers.Store(ts, s)
	ts.Setenv("RECEIVER", s.URL)
	ts.Setenv("PIN", pin)
}

// scriptAccepts makes the certificates in the files the only ones that the receiver accepts.
func scriptAccepts(ts *testscript.TestScript, _ bool, files []string) {
	var certs []*x509.Certificate
	for _, f := range files {
		block, _ := pem.Decode([]byte(ts.ReadFile(f)))
		c, err := x509.ParseCertificate(block.Bytes)
		ts.Check(err)
		certs = append(certs, c)
	}
	s, _ := scriptReceivers.Load(ts)
	s.(*receiver.Server).Accept(certs...)
}

// scriptPost posts a message to the gateway with the token in SENDER, or to the service's own pages, and prints the
// response. A second argument is the body.
func scriptPost(ts *testscript.TestScript, _ bool, args []string) {
	url := args[0]
	body := "<order/>"
	if len(args) > 1 {
		body = args[1]
	}
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	ts.Check(err)
	if secret := ts.Getenv("SENDER"); secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	res, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d %s", res.StatusCode, data)
}

// scriptKeep sets a variable to the match of a pattern in the output of the last command: "keep NAME BEFORE".
func scriptKeep(ts *testscript.TestScript, _ bool, args []string) {
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		if rest, ok := strings.CutPrefix(line, args[1]); ok {
			ts.Setenv(args[0], strings.TrimSpace(rest))
			return
		}
	}
	ts.Fatalf("no line begins with %q", args[1])
}

func TestTheRiskOfAnArrangementStatesWhetherItsMessagesFail(t *testing.T) {
	refused := []client.RolloverKnowledge{{Generation: 1, Verdict: rollover.Accepted}, {Generation: 2,
		Verdict: rollover.Refused}}
	for want, v := range map[string]client.Rollover{
		"no message can be sent: the certificate is revoked, and the CA has not issued the next one": {Exposed: true,
			Stopped: true, Generations: refused},
		"messages fail: the receiver refuses generation 2, and no other one is tried or accepted": {Exposed: true, Wanted: 2,
			Generations: refused},
		"messages depend on generation 3 already": {Exposed: true, Wanted: 3, Generations: refused},
		"until 2027-01-14 00:00 UTC (30 days left) the receiver has to accept generation 2": {Wanted: 2, DaysLeft: 30,
			Deadline: time.Date(2027, 1, 14, 0, 0, 0, 0, time.UTC), Generations: refused},
	} {
		if got := riskOf(v); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
