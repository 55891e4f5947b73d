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

// watchControl asks the control regularly whether it answers, and sets the metric.
func (g *Gateway) watchControl(ctx context.Context) {
	tick := time.NewTicker(controlEvery)
	defer tick.Stop()
	for {
		err := AskControl(ctx, g.control)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			controlUp.Set(1)
			g.reached.Store(true)
		default:
			controlUp.Set(0)
			g.log.WarnContext(ctx, "this gateway continues with the state that it has in memory, and is not notified of "+
				"changes", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Reached reports whether the control has answered since the start.
func (g *Gateway) Reached() bool { return g.reached.Load() }

// AskControl makes the cheapest call that needs the service, its database and the gateway's token.
func AskControl(ctx context.Context, c Control) error {
	ctx, cancel := context.WithTimeout(ctx, controlPatience)
	defer cancel()
	_, err := c.DueParked(ctx, time.Unix(0, 0), 1)
	return err
}
