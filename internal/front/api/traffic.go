package api

import (
	"context"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
)

// trafficFor is the time over which messages are counted, which is as long as the message log goes back by default.
const trafficFor = 30 * 24 * time.Hour

func registerTraffic(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/traffic",
		summary: "Count the messages of a tenant in the last 30 days", access: members,
	}, (*server).tenantTraffic)
	register(r, endpoint{
		method: http.MethodGet, path: arrangementPath + "/traffic",
		summary: "Count the messages of an arrangement in the last 30 days", access: members,
	}, (*server).arrangementTraffic)
	register(r, endpoint{
		method: http.MethodGet, path: arrangementPath + "/messages/hours",
		summary: "Count the messages of the last 24 hours by hour and outcome", access: members,
	}, (*server).messageHours)
}

func (s *server) tenantTraffic(ctx context.Context, in *InTenant) (*Entity[client.Traffic], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	return s.traffic(ctx, t.ID, "")
}

func (s *server) arrangementTraffic(ctx context.Context, in *OneArrangement) (*Entity[client.Traffic], error) {
	t, a, err := s.arrangement(ctx, *in)
	if err != nil {
		return nil, err
	}
	return s.traffic(ctx, t.ID, a.ID)
}

func (s *server) traffic(ctx context.Context, tenantID, arrangementID string) (*Entity[client.Traffic], error) {
	since := s.now().Add(-trafficFor)
	n, latest, err := s.store.Traffic(ctx, tenantID, arrangementID, since)
	return &Entity[client.Traffic]{Body: client.Traffic{Since: since, Messages: n, LatestAt: latest}}, err
}

// hoursShown is the number of hours of which messages are counted, including the one that is not over.
const hoursShown = 24

func (s *server) messageHours(ctx context.Context, in *OneArrangement) (*Entity[client.MessageHours], error) {
	_, a, err := s.arrangement(ctx, *in)
	if err != nil {
		return nil, err
	}
	first := s.now().Truncate(time.Hour).Add(-(hoursShown - 1) * time.Hour)
	counted, err := s.store.MessagesByHour(ctx, a.ID, first)
	out := client.MessageHours{Hours: make([]client.MessageHour, hoursShown)}
	for i := range out.Hours {
		out.Hours[i].At = first.Add(time.Duration(i) * time.Hour)
	}
	for _, h := range counted {
		if i := int(h.At.Sub(first) / time.Hour); i < hoursShown { // the clock of a gateway may be ahead
			out.Hours[i] = client.MessageHour{At: h.At.UTC(), Delivered: h.Delivered, Retried: h.Retried, Failed: h.Failed,
				Cancelled: h.Cancelled, Cursor: store.MessagesBefore(h.At.Add(time.Hour))}
		}
	}
	return &Entity[client.MessageHours]{Body: out}, err
}
