package api

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-pki/perennial/tenancy"
)

var (
	webhookDeliveriesDesc = prometheus.NewDesc("perennial_webhook_deliveries",
		"Deliveries to webhooks that were not accepted, by state: queued, or dead (given up, and still kept).",
		[]string{"state"}, nil)
	webhookOldestDesc = prometheus.NewDesc("perennial_webhook_oldest_queued_seconds",
		"Since when the oldest delivery is queued. Absent if none is.", nil, nil)
)

// collectWebhooks adds the metrics of webhooks.
func (s *server) collectWebhooks(ctx context.Context, gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	n, err := s.store.TotalDeliveries(ctx)
	if err != nil {
		return
	}
	gauge(webhookDeliveriesDesc, float64(n.Queued), string(tenancy.WebhookQueued))
	gauge(webhookDeliveriesDesc, float64(n.Dead), string(tenancy.WebhookDead))
	if !n.Oldest.IsZero() {
		gauge(webhookOldestDesc, float64(n.Oldest.Unix()))
	}
}
