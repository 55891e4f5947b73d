package prober_test

import (
	"crypto/x509"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/prober"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A rolling is a tenant with two generations and an arrangement with one receiver.
type rolling struct {
	t           *testing.T
	engine      *enginetest.Installation
	acme        tenancy.Tenant
	arrangement tenancy.Arrangement
	receiver    *receiver.Server
	prober      *prober.Prober
}

func newRolling(t *testing.T, o receiver.Options, a tenancy.Arrangement) *rolling {
	t.Helper()
	w := &rolling{t: t}
	engine, ca := enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), time.Now())
	w.engine, w.acme = engine, engine.Tenant(t, "acme", time.Now())
	o.Certificate = receiver.Fixed(enginetest.ServerCertificate(t, ca))
	var err error
	w.receiver, err = receiver.Start(o)
	check(t, err)
	t.Cleanup(w.receiver.Close)
	a.TenantID, a.Endpoint, a.Egress.ServerCA = w.acme.ID, w.receiver.URL, string(ca.Bundle())
	w.arrangement = engine.Arrangement(t, a)
	_, err = engine.RenewByHand(t.Context(), "acme", tenancy.ForTenant, lifecycle.Reissue, "test", time.Now())
	check(t, err)
	w.prober = prober.New(engine.Engine, engine.Store, loopback(), time.Now)
	return w
}

// accepts makes generations the only ones that the receiver accepts.
func (w *rolling) accepts(generations ...int) {
	w.t.Helper()
	var certs []*x509.Certificate
	for _, n := range generations {
		certs = append(certs, w.engine.Generation(w.t, w.acme.ID, n))
	}
	w.receiver.Accept(certs...)
}

func (w *rolling) standing() standing.Standing {
	w.t.Helper()
	s, err := w.engine.Standing(w.t.Context(), w.engine.Store.Reader, w.acme, w.arrangement)
	check(w.t, err)
	return s
}

var question = tenancy.Egress{Probe: tenancy.Probe{Method: "GET", Path: "/health"}}

func TestAProbesVerdictIsRecorded(t *testing.T) {
	for _, c := range []struct {
		name    string
		o       receiver.Options
		egress  tenancy.Egress
		accepts []int
		want    []rollover.Verdict
	}{
		{"knows the old one", receiver.Options{Refuse: 401}, question, []int{1},
			[]rollover.Verdict{rollover.Accepted, rollover.Refused}},
		{"knows the new one", receiver.Options{Refuse: 403}, question, []int{2},
			[]rollover.Verdict{rollover.Refused, rollover.Accepted}},
		{"knows both", receiver.Options{Refuse: 401}, question, []int{1, 2},
			[]rollover.Verdict{rollover.Accepted, rollover.Accepted}},
		{"denies all, for whatever reason", receiver.Options{Refuse: 401}, question, nil,
			[]rollover.Verdict{rollover.Unclear, rollover.Unclear}},
		{"refuses all in TLS", receiver.Options{Refuse: receiver.Alert}, question, nil,
			[]rollover.Verdict{rollover.Refused, rollover.Refused}},
		{"refuses the new one with 404", receiver.Options{Refuse: 404}, question, []int{1},
			[]rollover.Verdict{rollover.Accepted, rollover.Refused}},
		{"answers 404 in any case", receiver.Options{Refuse: 404}, question, nil,
			[]rollover.Verdict{rollover.Unclear, rollover.Unclear}},
		{"is asked by a handshake, which proves a refusal alone", receiver.Options{Refuse: receiver.Alert},
			tenancy.Egress{}, []int{1}, []rollover.Verdict{rollover.Unclear, rollover.Refused}},
		{"closes the connection", receiver.Options{Refuse: receiver.Close}, question, []int{1},
			[]rollover.Verdict{rollover.Accepted, rollover.Refused}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRolling(t, c.o, tenancy.Arrangement{Egress: c.egress})
			w.accepts(c.accepts...)
			began := time.Now()
			answers, after, err := w.prober.Probe(t.Context(), w.standing(), "test")
			check(t, err)
			if len(answers.Results) != 2 {
				t.Errorf("%d questions", len(answers.Results))
			}
			stored := w.standing()
			for i, want := range c.want {
				g, _ := stored.Rollover.Generation(i + 1)
				if g.Verdict != want || (g.By != rollover.Probe || g.VerdictAt.Before(began.Add(-time.Second))) {
					t.Errorf("generation %d: %+v, want %q", i+1, g, want)
				}
				if now, _ := after.Rollover.Generation(i + 1); now.Verdict != want {
					t.Errorf("returned %q of generation %d, want %q", now.Verdict, i+1, want)
				}
			}
			for _, e := range stored.Evidence {
				if e.Detail == "" {
					t.Errorf("generation %d has no detail", e.Generation)
				}
			}
			events, err := w.engine.Store.Events(t.Context(), "acme", 0, 100)
			check(t, err)
			for _, want := range c.want {
				if !slices.ContainsFunc(events, func(e tenancy.Event) bool {
					return e.Actor == "test" && e.Action == "arrangement."+string(want)
				}) {
					t.Errorf("no event arrangement.%s", want)
				}
			}
		})
	}
}

func TestOpenRollOversAreProbedIfTheyWaitForTheReceiver(t *testing.T) {
	for _, c := range []struct {
		name     string
		strategy tenancy.Strategy
		egress   tenancy.Egress
		trusted  bool // the receiver has accepted the new one before
		asked    int
	}{
		{"announced", tenancy.Adaptive, question, false, 2},
		{"announced, without a probe", tenancy.Adaptive, tenancy.Egress{}, false, 0},
		{"trusted, adaptive", tenancy.Adaptive, question, true, 0},
		{"trusted, confirmed", tenancy.Confirmed, question, true, 2},
		{"trusted, manual", tenancy.Manual, question, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newRolling(t, receiver.Options{Refuse: http.StatusUnauthorized}, tenancy.Arrangement{Strategy: c.strategy,
				Egress: c.egress})
			w.accepts(1)
			if c.trusted {
				_, err := w.engine.Observe(t.Context(), w.arrangement.ID, "test", []standing.Observation{{Detail: "200 OK",
					Evidence: rollover.Evidence{Generation: 2, Verdict: rollover.Accepted, By: rollover.Probe,
						At: time.Now()}}}, time.Now())
				check(t, err)
				if state := w.standing().Rollover.State(time.Now()); state != rollover.Trusted {
					t.Fatalf("the roll-over is %s", state)
				}
			}
			check(t, w.prober.ProbeOpen(t.Context()))
			if w.receiver.Asked() != c.asked {
				t.Errorf("asked %d times, want %d", w.receiver.Asked(), c.asked)
			}
			g, _ := w.standing().Rollover.Generation(2)
			if recorded := g.By == rollover.Probe && g.Verdict == rollover.Refused; recorded != (c.asked > 0) {
				t.Errorf("recorded %+v", g)
			}
		})
	}
}

func TestASettledRollOverIsNotProbed(t *testing.T) {
	engine, ca := enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), time.Now())
	acme := engine.Tenant(t, "acme", time.Now())
	server, err := receiver.Start(receiver.Options{Certificate: receiver.Fixed(enginetest.ServerCertificate(t, ca)),
		Refuse: 401})
	check(t, err)
	t.Cleanup(server.Close)
	engine.Arrangement(t, tenancy.Arrangement{TenantID: acme.ID, Endpoint: server.URL, Egress: question})
	check(t, prober.New(engine.Engine, engine.Store, loopback(), time.Now).ProbeOpen(t.Context()))
	if server.Asked() != 0 {
		t.Errorf("asked %d times", server.Asked())
	}
}

func TestAProbeThatCannotBeRecordedIsAnError(t *testing.T) {
	w := newRolling(t, receiver.Options{Refuse: 401}, tenancy.Arrangement{Egress: question})
	w.accepts(1)
	before := w.standing()
	testenv.FailsIfReadOnly(t, w.engine.Store.DB(), []string{"evidence"}, func() error {
		return w.prober.ProbeOpen(t.Context())
	})
	_, err := w.engine.Store.DB().ExecContext(t.Context(), "DROP TABLE evidence")
	check(t, err)
	answers, _, err := w.prober.Probe(t.Context(), before, "test")
	if err == nil || len(answers.Results) != 2 {
		t.Errorf("%d results, %v", len(answers.Results), err)
	}
	if err := w.prober.ProbeOpen(t.Context()); err == nil {
		t.Error("no error")
	}
}
