package gateway

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// An away control answers when it is told to.
type away struct {
	Control
	mu  sync.Mutex // guards err
	err error
}

func (a *away) set(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func (a *away) DueParked(context.Context, time.Time, int) ([]tenancy.Parked, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return nil, a.err
}

// gathered returns the value of a gauge, or the count and sum of a histogram.
func gathered(t *testing.T, c prometheus.Collector) (value float64, count uint64) {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 1 || len(families[0].GetMetric()) != 1 {
		t.Fatalf("%d families, want 1 with one series", len(families))
	}
	m := families[0].GetMetric()[0]
	if h := m.GetHistogram(); h != nil {
		return h.GetSampleSum(), h.GetSampleCount()
	}
	return m.GetGauge().GetValue(), 0
}

func TestAGatewayThatIsCutOffHasAMetricAndLogsItsBeginningAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := &away{}
		var logged bytes.Buffer
		g := quietly(control, &logged)
		g.now = time.Now
		ctx, cancel := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		ended.Go(func() { g.watchControl(ctx) })
		defer func() { cancel(); ended.Wait() }()
		for _, c := range []struct {
			err   error
			up    float64
			lines []string
		}{
			{nil, 1, nil},
			{errors.New("connection refused"), 0, []string{"cut off", "connection refused"}},
			{errors.New("connection refused"), 0, nil},
			{nil, 1, []string{"answers this gateway again", "after=1m"}},
		} {
			control.set(c.err)
			logged.Reset()
			time.Sleep(30 * time.Second)
			synctest.Wait()
			if up, _ := gathered(t, controlUp); up != c.up {
				t.Errorf("%v: the metric is %v", c.err, up)
			}
			if n := strings.Count(logged.String(), "\n"); n != min(1, len(c.lines)) {
				t.Errorf("%v: %d lines are logged: %s", c.err, n, &logged)
			}
			for _, want := range c.lines {
				if !strings.Contains(logged.String(), want) {
					t.Errorf("%q is not logged: %s", want, &logged)
				}
			}
		}
	})
}

// The receiver's time is not the gateway's, and one series serves every tenant.
func TestTheTimeThatTheGatewayAddsEndsWhenTheLastAttemptBegins(t *testing.T) {
	l := newLogged(t, LogMinutes)
	to := &route{series: seriesOf(""), standing: standing.Standing{Arrangement: tenancy.Arrangement{ID: "a"}}}
	total, messages := gathered(t, messageSeconds)
	added, attempts := gathered(t, addedSeconds)
	m := newMessage(l.Gateway, to, "GET", "/")
	m.started = time.Now().Add(-10 * time.Second)
	m.sent = m.started.Add(20 * time.Millisecond)
	m.status = 200
	l.record(m, "/")
	never := newMessage(l.Gateway, to, "GET", "/") // it was never sent
	l.record(never, "/")
	total2, messages2 := gathered(t, messageSeconds)
	added2, attempts2 := gathered(t, addedSeconds)
	if messages2-messages != 2 || total2-total < 10 || total2-total > 60 {
		t.Errorf("%d messages took %v seconds", messages2-messages, total2-total)
	}
	if d := added2 - added; attempts2-attempts != 1 || d < .0199 || d > .0201 {
		t.Errorf("%d attempts began after %v seconds", attempts2-attempts, d)
	}
}
