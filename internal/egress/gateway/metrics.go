package gateway

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// mostSeries limits the arrangements that have time series of their own. All others share "other".
const mostSeries = 1000

var (
	messagesTotal = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "perennial_gateway_messages_total",
		Help: "Messages by class of the answer's status (0: none), and by arrangement if that is configured."},
		[]string{"arrangement", "class"})
	fallbacksTotal = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "perennial_gateway_fallbacks_total",
		Help: "Messages that were tried more than once."}, []string{"arrangement"})
	spreadTotal = prometheus.NewCounter(prometheus.CounterOpts{Name: "perennial_gateway_spread_messages_total",
		Help: "Messages after a cut-over that were sent over an open connection with the previous generation, because " +
			"their receiver had many new connections at that moment."})
	messageSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "perennial_gateway_message_seconds",
		Help:    "Time from the arrival of a message to the end of its answer.",
		Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}})
	addedSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "perennial_gateway_added_seconds",
		Help: "Time that the gateway adds to a message: from its arrival to the beginning of the attempt whose answer is " +
			"returned.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5}})
	controlUp = prometheus.NewGauge(prometheus.GaugeOpts{Name: "perennial_gateway_control_up",
		Help: "1 if the service, or the database that the gateway uses, answers and accepts the gateway's token; 0 if the " +
			"gateway is cut off."})
)

// AloneCollectors are the additional metrics of a stand-alone gateway, besides [Collectors].
func AloneCollectors() []prometheus.Collector { return []prometheus.Collector{controlUp} }

// Collectors are the gateway's metrics.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{messagesTotal, fallbacksTotal, spreadTotal, messageSeconds, addedSeconds}
}

// A series has the counters of one arrangement.
type series struct {
	byClass   [6]prometheus.Counter
	fallbacks prometheus.Counter
}

var allSeries struct {
	mu    sync.Mutex
	known map[string]*series
}

// seriesOf finds the counters of an arrangement, those of all arrangements for an empty name, or the shared ones if
// there are too many.
func seriesOf(name string) *series {
	allSeries.mu.Lock()
	defer allSeries.mu.Unlock()
	if allSeries.known == nil {
		allSeries.known = map[string]*series{}
	}
	if _, ok := allSeries.known[name]; !ok && len(allSeries.known) >= mostSeries {
		name = "other"
	}
	if s, ok := allSeries.known[name]; ok {
		return s
	}
	s := &series{fallbacks: fallbacksTotal.WithLabelValues(name)}
	for i := range s.byClass {
		s.byClass[i] = messagesTotal.WithLabelValues(name, strconv.Itoa(i))
	}
	allSeries.known[name] = s
	return s
}

func (s *series) count(m *message) {
	s.byClass[min(max(m.status/100, 0), 5)].Inc()
	if m.attempts > 1 {
		s.fallbacks.Inc()
	}
}
