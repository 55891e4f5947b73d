package serve

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// secondSignal is the time after which another signal ends the process at once. Some process managers send the first
// signal to the process and to its group, so that it arrives twice.
const secondSignal = time.Second

// UntilSignal returns a context that is done when the process is asked to stop, by SIGINT or SIGTERM. The process then
// stops gracefully. A further signal after a second ends it at once.
func UntilSignal() (ctx context.Context, stop context.CancelFunc) {
	ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(secondSignal, stop) })
	return ctx, stop
}
