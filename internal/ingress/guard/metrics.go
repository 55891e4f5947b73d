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
	leftOut    prometheus.Gauge
	own        prometheus.Gauge
	failures   *prometheus.CounterVec

	feedPartners, feedRead *prometheus.GaugeVec // of the feeds of counterparties

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
		leftOut: prometheus.NewGauge(prometheus.GaugeOpts{Name: "perennial_guard_feed_left_out",
			Help: "Partners in feeds of counterparties of which certificates are left out: the log names the reason."}),
		feedPartners: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "perennial_guard_feed_partners",
			Help: "Tenants that the feed of a counterparty lists."}, []string{"feed"}),
		feedRead: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "perennial_guard_feed_read_seconds",
			Help: "When the feed of a counterparty was last read completely (Unix time); absent before that."},
			[]string{"feed"}),
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
	m.registry.MustRegister(m.calls, m.handshakes, m.until, m.held, m.stale, m.own, m.failures,
		m.leftOut, m.feedPartners, m.feedRead)
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

// fromFeed returns 1 for a partner that the feed of a counterparty lists, and 0 for one of the file.
func fromFeed(all *acceptance.Partners, name string) int {
	if p, _ := all.Partner(name); p.Source.Feed != "" {
		return 1
	}
	return 0
}

// partners updates what is known of partners, those of the file first.
func (m *metrics) partners(all *acceptance.Partners) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := all.Names()
	slices.SortStableFunc(names, func(a, b string) int { return fromFeed(all, a) - fromFeed(all, b) })
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
