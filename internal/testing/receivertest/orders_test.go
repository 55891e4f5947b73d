package receivertest

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/diagnose"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A peer is a product or a program whose way of refusing is not configured in Perennial. It goes through all
// orders while three flows of messages run.
type peer struct {
	name  string // the product, and how it recognises certificates if that is not by fingerprint
	way   string // how it refuses
	needs string // the program that it runs; empty for receivers in Go
	start func(w *world) place
	promise
	// short peers are also part of "make test" and of CI.
	short bool
	// patience is the time-out of its arrangements in seconds; 0 for 60.
	patience int
	// needsLength peers answer 411 to a body of unknown length, with every certificate.
	needsLength bool
	// only lists the orders that have a meaning for this peer; empty for all.
	only []string
}

// A place returns the system for one order. Places of one process differ in their path.
type place func(w *world, slot string) system

// A promise is the number of messages that may fail in an order other than never: in the flow with safe methods, in the
// flow of POST requests whose arrangement has a question, and in that without. In the order never, no message may fail.
type promise struct {
	mixed, asked, alone int
	why                 string // why messages may fail
}

// anyNumber is the allowance of a flow for which nothing is promised.
const anyNumber = 1 << 30

var (
	// nothingFails is the promise for refusals that the gateway recognises by themselves.
	nothingFails = promise{}
	// firstMayFail is the promise for answers that no rule describes.
	firstMayFail = promise{1, 1, anyNumber, "No rule, safe method or question distinguishes this refusal from an " +
		"answer of the application. Only `diagnose`\n   finds it."}
)

// refusals describe the ways of programs, which are parts of their paths, in docs/receivers.md.
var refusals = map[string]string{
	"login302": "302 to a login page", "login200": "200 with a login page", "soap500": "500 with a SOAP fault",
	"close": "closes", "reset": "resets the stream", "abort": "aborts",
}

// refusal describes how the peer refuses a certificate.
func (p peer) refusal() string { return cmp.Or(refusals[p.way], p.way) }

// takes reports whether the peer is tried in an order.
func (p peer) takes(order string) bool { return len(p.only) == 0 || slices.Contains(p.only, order) }

// in returns what is promised in an order.
func (p peer) in(order string) promise {
	if order == "never" {
		return nothingFails
	}
	return p.promise
}

// Flows of an arrangement.
const (
	mixed = iota // all methods and sizes
	asked        // POST only; the arrangement has a question
	alone        // POST only, without a question
)

var flowNames = []string{"mixed", "POST, question", "POST only"}

// A sequence is an order: each step lists the accepted generations.
type sequence struct {
	name  string
	steps [][]int
	short bool // also part of the short form
}

// sequences are the steps of administrators after the renewal, for all peers.
var sequences = []sequence{
	{"adds", [][]int{{1}, {1, 2}, {2}}, false},
	{"replaces early", [][]int{{2}, {2}}, true},
	{"replaces late", [][]int{{1}, {1}, {2}}, false},
	{"flips", [][]int{{2}, {1}, {2}}, false},
	{"never", [][]int{{1}, {1}}, true},
}

// A message is one of a round.
type message struct {
	method string
	size   int // < 0: of unknown length
}

// messages are those of a round. Each flow sends them one after the other, so that a failure shows its step.
var messages = []message{
	{"GET", 0}, {"POST", 300}, {"HEAD", 0}, {"POST", 900 << 10}, {"DELETE", 0}, {"POST", -(100 << 10)}, {"POST", 5 << 20},
}

// A tally counts the messages of one flow.
type tally struct {
	sent, failed int
	trace        []string // of the failures
	keys         []string
}

var payload = make([]byte, 5<<20)

// round sends the messages of one step.
func (c *tally) round(client *http.Client, url, step string, sends func(message) bool) {
	for _, m := range messages {
		if !sends(m) {
			continue
		}
		var body io.Reader
		switch {
		case m.size > 0:
			body = bytes.NewReader(payload[:m.size])
		case m.size < 0:
			body = io.MultiReader(bytes.NewReader(payload[:-m.size]))
		}
		req, err := http.NewRequest(m.method, url, body)
		if err != nil {
			panic(err)
		}
		key := fmt.Sprintf("%s-%d", url[strings.LastIndex(url, "//")+2:], c.sent)
		req.Header.Set("Idempotency-Key", key)
		c.sent++
		c.keys = append(c.keys, key)
		started := time.Now()
		if answer := exchange(client, req); answer != "" {
			c.failed++
			c.trace = append(c.trace, fmt.Sprintf("%s: %s of %d bytes after %v: %s", step, m.method, m.size,
				time.Since(started).Round(time.Millisecond), answer))
		}
	}
}

// exchange sends a message and returns what is wrong with the answer; empty if it was accepted.
func exchange(client *http.Client, req *http.Request) string {
	res, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 500))
	switch {
	case err != nil:
		return err.Error()
	case res.StatusCode != http.StatusOK:
		return res.Status + " " + string(text)
	case req.Method != http.MethodHead && !strings.HasPrefix(string(text), "accepted"):
		return "200 " + string(text)
	case req.Method == http.MethodHead && res.Header.Get("Content-Type") == "text/html":
		return "200 with a page"
	}
	return ""
}

func everyMethod(string) bool                         { return true }
func onlyPOST(method string) bool                     { return method == http.MethodPost }
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// in returns the world for a subtest.
func (w *world) in(t *testing.T) *world {
	c := *w
	c.t = t
	return &c
}

// TestOrders renews certificates of arrangements at receivers that refuse in their own ways, and counts what fails.
func TestOrders(t *testing.T) {
	needsReceivers(t)
	w := newWorld(t)
	var results board
	for _, p := range peers {
		if !*full && !p.short {
			continue
		}
		t.Run(p.name+", "+p.way, func(t *testing.T) {
			t.Parallel()
			p.available(t)
			w := w.in(t)
			at := p.start(w)
			for _, o := range sequences {
				if !*full && !o.short || !p.takes(o.name) {
					continue
				}
				t.Run(o.name, func(t *testing.T) {
					results.add(p, o.name, p.run(w.in(t), at, o.name, o.steps))
				})
			}
		})
	}
	t.Cleanup(func() { results.finish(t) })
}

// needsReceivers skips a test of programs that "make test" does not install. "make receivers-short" runs it.
func needsReceivers(t *testing.T) {
	t.Helper()
	if !*full && os.Getenv("RECEIVERS") == "" {
		t.Skip("make receivers-short runs it")
	}
}

// available skips a peer whose program is missing, or fails if all were asked for.
func (p peer) available(t *testing.T) {
	t.Helper()
	if p.needs == "" || installed(p.needs) {
		return
	}
	if *full || os.Getenv("RECEIVERS") != "" {
		t.Fatalf("%s is not installed: make receivers installs it", p.needs)
	}
	t.Skipf("%s is not installed", p.needs)
}

func installed(program string) bool {
	if strings.HasPrefix(program, "/") {
		return exec.Command("test", "-e", program).Run() == nil
	}
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if _, err := exec.LookPath(dir + program); err == nil {
			return true
		}
	}
	return false
}

// run takes a peer through one order and returns what its three flows counted.
func (p peer) run(w *world, at place, order string, steps [][]int) (tallies [3]tally) {
	t := w.t
	slot := strings.ToLower(strings.NewReplacer(" ", "-", ",", "", "/", "-", "(", "", ")", "", ".", "").
		Replace(p.name + "-" + p.way + "-" + order))
	tenant := fmt.Sprintf("t%d", time.Now().UnixNano())
	w.acme = w.engine.Tenant(t, tenant, time.Now().Add(-time.Hour)) // so that the generations differ in their dates
	r := at(w, slot)
	for i, name := range []string{"mixed", "asked", "alone"} {
		egress := tenancy.Egress{ServerCA: string(w.ca.Bundle()), TimeoutSeconds: cmp.Or(p.patience, 60),
			Proxy: r.proxy}
		if i == asked {
			egress.Probe = tenancy.Probe{Method: "GET", Path: pathOf(r.url) + "/question"}
		}
		w.engine.Arrangement(t, tenancy.Arrangement{TenantID: w.acme.ID, Name: name, Endpoint: r.url,
			Strategy: tenancy.Adaptive, Egress: egress})
	}
	round := func(step string) {
		var all sync.WaitGroup
		for i, name := range []string{"mixed", "asked", "alone"} {
			all.Go(func() {
				client := &http.Client{Transport: &http.Transport{}, CheckRedirect: noRedirect, Timeout: 2 * time.Minute}
				defer client.CloseIdleConnections()
				methods := onlyPOST
				if i == mixed {
					methods = everyMethod
				}
				tallies[i].round(client, w.gateway+"/"+tenant+"/"+name+"/order", step, func(m message) bool {
					return methods(m.method) && (m.size >= 0 || !p.needsLength)
				})
			})
		}
		all.Wait()
	}
	r.accept(w.generation(1))
	w.settles(r, 1)
	round("before the renewal")
	_, err := w.engine.RenewByHand(t.Context(), tenant, tenancy.ForTenant, lifecycle.Reissue, "test", time.Now())
	check(t, err)
	round("after the renewal")
	for i, step := range steps {
		var certs []*x509.Certificate
		for _, n := range step {
			certs = append(certs, w.generation(n))
		}
		r.accept(certs...)
		w.settles(r, step...)
		round(fmt.Sprintf("step %d (%v)", i+1, step))
	}
	p.judge(w, order, tallies, r)
	return tallies
}

// settles waits until a receiver has applied its configuration: it accepts the listed generations and no other. A
// receiver to which a question is a write, or whose nodes differ, is not asked.
func (w *world) settles(r system, accepted ...int) {
	w.t.Helper()
	if r.silent {
		return
	}
	for n := range 2 {
		c, err := w.engine.Store.Certificate(w.t.Context(), w.acme.ID, tenancy.ForTenant, n+1)
		if errors.Is(err, tenancy.ErrNotFound) {
			continue
		}
		check(w.t, err)
		shown, err := w.engine.Presentable(w.t.Context(), c)
		check(w.t, err)
		agreed := 0
		testenv.Eventually(w.t, func() bool {
			transport := &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true,
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MaxVersion: r.version,
					Renegotiation:        tls.RenegotiateOnceAsClient,
					GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &shown, nil }}}
			client := &http.Client{Transport: transport, CheckRedirect: noRedirect, Timeout: 2 * time.Second}
			defer client.CloseIdleConnections()
			req, err := http.NewRequest(http.MethodGet, r.url, nil)
			check(w.t, err)
			agreed++
			if (exchange(client, req) == "") != slices.Contains(accepted, n+1) {
				agreed = 0
			}
			return agreed > r.agreements
		})
	}
}

// judge compares what was counted with what is promised.
func (p peer) judge(w *world, order string, tallies [3]tally, r system) {
	t := w.t
	promised := p.in(order)
	allowed := [3]int{promised.mixed, promised.asked, promised.alone}
	for i, c := range tallies {
		if c.failed > allowed[i] {
			t.Errorf("%s: %d of %d messages failed, allowed are %d\n  %s", flowNames[i], c.failed, c.sent, allowed[i],
				strings.Join(c.trace[:min(4, len(c.trace))], "\n  "))
		}
		for _, key := range c.keys {
			if n := r.times(key); n > 1 {
				t.Errorf("%s: message %s was taken %d times", flowNames[i], key, n)
			}
		}
	}
	for i, name := range []string{"mixed", "asked", "alone"} {
		if order == "never" && w.presents(name) != 1 {
			t.Errorf("%s: it presents generation %d of a receiver that never accepted it", flowNames[i], w.presents(name))
		}
	}
	if tallies[alone].failed > 0 {
		w.diagnoses(t, "alone", tallies[alone].sent)
	}
}

// diagnoses checks that messages that fail are explained: by a rule to add, or by the demand for a question.
func (w *world) diagnoses(t *testing.T, name string, sent int) {
	t.Helper()
	s, err := w.engine.Rollovers().Named(t.Context(), w.acme.Name, name)
	check(t, err)
	identities, err := w.engine.Rollovers().Identities(t.Context(), s)
	check(t, err)
	var recent []tenancy.Message
	testenv.Eventually(t, func() bool { // messages are logged in the background
		recent, err = w.engine.Store.Messages(t.Context(), s.Arrangement.ID, "", 50)
		check(t, err)
		logged := 0
		for _, m := range recent {
			logged += max(m.Count, 1)
		}
		return logged >= sent
	})
	d := diagnose.Run(t.Context(), &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, s,
		identities, recent, time.Now())
	if d.Cause == diagnose.Healthy && w.loggedAsFailure(recent) || d.Cause != diagnose.Healthy && d.Rule == nil &&
		!strings.Contains(d.NextStep.String(), "probe") {
		t.Errorf("diagnose neither proposes a rule nor asks for a question: %s: %s; %s", d.Cause, d.Summary, d.NextStep)
	}
}

// loggedAsFailure reports whether the log shows that messages fail.
func (w *world) loggedAsFailure(recent []tenancy.Message) bool {
	return slices.ContainsFunc(recent, func(m tenancy.Message) bool { return m.Status >= 400 })
}

func pathOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	if i := strings.Index(rest, "/"); i >= 0 {
		return rest[i:]
	}
	return ""
}
