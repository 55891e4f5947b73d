package gateway_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/tenancy"
)

// arrangements returns those that the metrics name.
func arrangements(t *testing.T) (names []string) {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(gateway.Collectors()...)
	families, err := r.Gather()
	check(t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "arrangement" {
					names = append(names, label.GetValue())
				}
			}
		}
	}
	return names
}

func TestMetricsNameArrangementsOnlyIfThatIsConfigured(t *testing.T) {
	f := setUp(t)
	url := f.serve(func(http.ResponseWriter, *http.Request) {})
	for _, name := range []string{"unnamed", "named"} {
		f.arrangement(name, tenancy.Adaptive, url)
	}
	f.send("unnamed", "GET", 0)
	if got := arrangements(t); !slices.Contains(got, "") || slices.Contains(got, "acme/unnamed") {
		t.Errorf("by default the metrics name %q", got)
	}
	f.stop()
	g, err := gateway.New(gateway.Config{Control: inprocess.Control{Rollovers: f.engine.Rollovers(), Now: time.Now},
		Network:           &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		ArrangementSeries: true, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	defer g.Close()
	f.gateway = httptest.NewServer(g)
	defer f.gateway.Close()
	f.send("named", "GET", 0)
	if got := arrangements(t); !slices.Contains(got, "acme/named") {
		t.Errorf("the metrics name %q", got)
	}
}
