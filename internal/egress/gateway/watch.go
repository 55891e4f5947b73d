package gateway

import (
	"context"
	"time"
)

const (
	// controlEvery is the interval in which a gateway asks whether its control answers, and controlPatience the time for
	// the answer. Together they are less than the half minute after which the alert is raised.
	controlEvery, controlPatience = 10 * time.Second, 5 * time.Second
)

// watchControl asks the control regularly whether it answers, sets the metric, and logs the beginning and the end of an
// outage with the reason.
func (g *Gateway) watchControl(ctx context.Context) {
	tick := time.NewTicker(controlEvery)
	defer tick.Stop()
	var since time.Time // of the outage; zero if there is none
	for {
		err := g.askControl(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			controlUp.Set(1)
			if !since.IsZero() {
				g.log.InfoContext(ctx, "the service answers this gateway again", "after", g.now().Sub(since).Round(time.Second))
				since = time.Time{}
			}
		default:
			controlUp.Set(0)
			if since.IsZero() {
				since = g.now()
				g.log.WarnContext(ctx, "this gateway is cut off from the service: it continues with what it has in memory, and "+
					"learns of no change", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// askControl makes the cheapest call that needs the service, its database and the gateway's token.
func (g *Gateway) askControl(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, controlPatience)
	defer cancel()
	_, err := g.control.DueParked(ctx, time.Unix(0, 0), 1)
	return err
}
