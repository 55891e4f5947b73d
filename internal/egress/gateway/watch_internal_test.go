package gateway

import (
	"bytes"
	"context"
	"io"
	"log/slog"
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

func TestAGatewayThatIsCutOffHasAMetric(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := &away{}
		g := quietly(control, io.Discard)
		ctx, cancel := context.WithCancel(t.Context())
		var ended sync.WaitGroup
		control.set(ErrAway)
		ended.Go(func() { g.watchControl(ctx) })
		defer func() { cancel(); ended.Wait() }()
		for _, c := range []struct {
			err     error
			up      float64
			reached bool
		}{{ErrAway, 0, false}, {nil, 1, true}, {ErrOwnToken, 0, true}, {nil, 1, true}} {
			control.set(c.err)
			time.Sleep(controlEvery)
			synctest.Wait()
			if up, _ := gathered(t, controlUp); up != c.up || g.Reached() != c.reached {
				t.Errorf("%v: the metric is %v, reached: %v", c.err, up, g.Reached())
			}
		}
	})
}

func TestAnArrangementHasItsNameInEveryFormatOfTheLog(t *testing.T) {
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "arrangement", address{"acme", "bank"})
	if !strings.Contains(out.String(), `"arrangement":"acme/bank"`) {
		t.Errorf("%s", &out)
	}
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
