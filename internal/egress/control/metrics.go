package control

import "github.com/prometheus/client_golang/prometheus"

var signatures = prometheus.NewCounter(prometheus.CounterOpts{Name: "perennial_gateway_signatures_total",
	Help: "Signatures for TLS handshakes of gateways whose private keys stay with the service."})

// Collectors are the metrics of a service that answers gateways.
func Collectors() []prometheus.Collector { return []prometheus.Collector{signatures} }
