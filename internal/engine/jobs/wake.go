package jobs

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/perennial-pki/perennial/internal/engine/store"
)

const (
	// pollEvery is the interval at which a queue looks for jobs without a notification, which River omits in a burst and
	// for jobs that were scheduled.
	pollEvery = 5 * time.Second
	// pollSeldom is the interval of queues whose jobs are not urgent. Each poll costs about 80 allocations.
	pollSeldom = 10 * time.Second
	// lookEvery is the interval at which notifications on SQLite are read without a commit of ours: River also writes some
	// by itself.
	lookEvery = 5 * time.Second
	// lookFor limits one reading of notifications. It is shorter than the interval at which River's listener reads again.
	lookFor = 40 * time.Millisecond
)

// A wakingDriver reads the notifications of the queue on SQLite after each transaction of this process, which is the
// only one that writes to the database. River's own listener reads them 20 times a second.
type wakingDriver struct {
	*riversqlite.Driver
	store *store.Store
}

func newWakingDriver(s *store.Store) riverdriver.Driver[*sql.Tx] {
	return wakingDriver{riversqlite.New(s.DB()), s}
}

// GetListener implements [riverdriver.Driver].
func (d wakingDriver) GetListener(params *riverdriver.GetListenenerParams) riverdriver.Listener {
	l := &wakingListener{Listener: d.Driver.GetListener(params), committed: make(chan struct{}, 1)}
	l.stop = d.store.OnCommit(func() {
		select {
		case l.committed <- struct{}{}:
		default:
		}
	})
	return l
}

type wakingListener struct {
	riverdriver.Listener
	committed chan struct{}
	stop      func()
}

// Close implements [riverdriver.Listener].
func (l *wakingListener) Close(ctx context.Context) error {
	l.stop()
	return l.Listener.Close(ctx)
}

// WaitForNotification implements [riverdriver.Listener].
func (l *wakingListener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		reading, cancel := context.WithTimeout(ctx, lookFor)
		n, err := l.Listener.WaitForNotification(reading)
		cancel()
		switch {
		case err == nil:
			return n, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.committed:
		case <-look.C:
		}
	}
}
