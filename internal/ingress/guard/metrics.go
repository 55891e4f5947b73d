package guard

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-pki/perennial/acceptance"
	core "github.com/perennial-pki/perennial/guard"
)

// mostSeries limits the partners with a metric of their own.
const mostSeries = 1000

// metrics are those of a guard.
type metrics struct {
	registry   *prometheus.Registry
	accepted   prometheus.Counter // of calls, so that the path of every message finds it without a lookup
	calls      *prometheus.CounterVec
	handshakes prometheus.Counter
	until      *prometheus.GaugeVec
	held       prometheus.Gauge
	stale      prometheus.Gauge
	own        prometheus.Gauge
	failures   *prometheus.CounterVec

	mu     sync.Mutex // guards series
	series []string   // partners with a metric of their own
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "perennial_guard_calls_total",
			Help: "Calls by the code of the decision, and whether they were accepted."}, []string{"code", "accepted"}),
		handshakes: prometheus.NewCounter(prometheus.CounterOpts{Name: "perennial_guard_handshake_failures_total",
			Help: "TLS handshakes that failed."}),
		until: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "perennial_guard_partner_not_after_seconds",
			Help: "When the newest accepted certificate of a partner expires (Unix time), for up to 1,000 partners."},
			[]string{"partner"}),
		held: prometheus.NewGauge(prometheus.GaugeOpts{Name: "perennial_guard_held_certificates",
			Help: "Held certificates that need a decision."}),
		stale: prometheus.NewGauge(prometheus.GaugeOpts{Name: "perennial_guard_stale_revocation_lists",
			Help: "Revocation lists whose next update is overdue."}),
		own: prometheus.NewGauge(prometheus.GaugeOpts{Name: "perennial_guard_own_not_after_seconds",
			Help: "When the guard's own certificate expires first (Unix time); NaN if there is none yet."}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "perennial_guard_failures_total",
			Help: "Failures of the guard itself: to store what it saw, to read its files, to send mail, to fetch a feed."},
			[]string{"of"}),
	}
	m.own.Set(math.NaN())
	m.accepted = m.calls.WithLabelValues(string(acceptance.Pinned), "true")
	for _, of := range []string{"state", "reload", "mail", "feed"} {
		m.failures.WithLabelValues(of)
	}
	m.registry.MustRegister(m.calls, m.handshakes, m.until, m.held, m.stale, m.own, m.failures)
	return m
}

func (m *metrics) call(c core.Call) {
	switch {
	case c.Decision.Code == acceptance.Pinned && c.Accepted:
		m.accepted.Inc()
	case c.Accepted:
		m.calls.WithLabelValues(string(c.Decision.Code), "true").Inc()
	default:
		m.calls.WithLabelValues(string(c.Decision.Code), "false").Inc()
	}
}

// ownUntil sets when the guard's own certificate expires first; zero if there is none yet.
func (m *metrics) ownUntil(at time.Time) {
	if at.IsZero() {
		m.own.Set(math.NaN())
		return
	}
	m.own.Set(float64(at.Unix()))
}

// partners updates what is known of partners.
func (m *metrics) partners(all *acceptance.Partners) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := all.Names()
	names = names[:min(len(names), mostSeries)]
	for _, name := range m.series {
		if !slices.Contains(names, name) {
			m.until.DeleteLabelValues(name)
		}
	}
	m.series = names
	for _, name := range names {
		p, _ := all.Partner(name)
		var until time.Time
		for _, k := range p.Known {
			if k.NotAfter.After(until) {
				until = k.NotAfter
			}
		}
		m.until.WithLabelValues(name).Set(float64(until.Unix()))
	}
}

// failed counts a failure of the guard itself.
func (m *metrics) failed(of string, err error) {
	if err != nil {
		m.failures.WithLabelValues(of).Inc()
	}
}
