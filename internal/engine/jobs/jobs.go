// Package jobs runs the background work on River, in the same database: a tick that executes run dates, parts of runs,
// imports, and the delivery of mails and of events for webhooks.
//
// It promises that queued work starts only after its transaction has committed. Failed work is retried with growing
// pauses until it succeeds or has no attempts left. If this process dies, another replica continues its work (on
// SQLite, the next start does). A job may run twice, so every job is safe to repeat.
package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/perennial-pki/perennial/internal/engine/store"
)

const (
	partQueue = "run"
	partTries = 4 // within two minutes; then the tick comes
	// tickTimeout ends a run that takes too long. The next tick resumes it.
	tickTimeout = 55 * time.Minute
)

// An Engine executes due work, as the engine of package lifecycle does.
type Engine interface {
	Tick(ctx context.Context, now time.Time) error
	RunPart(ctx context.Context, runDate time.Time, number int, now time.Time) error
	Prune(ctx context.Context, now time.Time) error
}

// A Deliverer delivers queued mails. On the last attempt, mails that cannot be delivered become dead.
type Deliverer interface {
	Deliver(ctx context.Context, mailIDs []string, lastTry bool, now time.Time) error
}

// A Prober asks the receivers of open roll-overs, and those of an announced authority.
type Prober interface {
	ProbeOpen(ctx context.Context) error
	ProbeAnnounced(ctx context.Context) error
}

// A Watcher works on the watched certificates that are due.
type Watcher interface {
	Watch(ctx context.Context) error
}

// An Importer continues an import that is being applied or undone.
type Importer interface {
	Work(ctx context.Context, id string) error
}

// An Asker tests the receivers that the page of a counterparty wants tested, a few at a time. It reports whether more
// are waiting.
type Asker interface {
	AskCounterparty(ctx context.Context, id string) (more bool, err error)
}

// Config holds what the jobs depend on. Fields without a note are required.
type Config struct {
	Store *store.Store
	// URL is the address of the database: PostgreSQL notifies the queue through a connection of its own. Required for
	// PostgreSQL.
	URL    string
	Engine Engine
	// Deliverer is nil if no mail server is configured.
	Deliverer Deliverer
	// Prober and Watcher run at every tick. Optional.
	Prober  Prober
	Watcher Watcher
	// Webhooks delivers to webhooks. Optional.
	Webhooks Webhooks
	// Importer is nil if this service does not import.
	Importer Importer
	// Asker is nil if this service tests nothing for counterparties.
	Asker Asker
	// Tester is nil if this service tests no receivers for operators.
	Tester Tester
	// Lease is the time after which a running job is considered lost; 0 for ten minutes.
	Lease time.Duration
	// MailRate is the maximum number of mails a second that all replicas together hand to the mail server; 0 for no
	// limit.
	MailRate float64
	// TickEvery is the time between ticks; 0 for one hour.
	TickEvery time.Duration
	Now       func() time.Time
	Log       *slog.Logger
}

// check returns an error that names the first required dependency that is missing.
func (c Config) check() error {
	switch {
	case c.Store == nil:
		return errors.New("the jobs need a Store")
	case c.Engine == nil:
		return errors.New("the jobs need an Engine")
	case c.Now == nil:
		return errors.New("the jobs need a clock: set Config.Now")
	case c.Log == nil:
		return errors.New("the jobs need a Log")
	}
	return nil
}

// Jobs is the queue and its workers.
type Jobs struct {
	config   Config
	client   *river.Client[*sql.Tx]
	listener *pgxpool.Pool // nil on SQLite
}

type tickArgs struct{}

func (tickArgs) Kind() string { return "tick" }

type partArgs struct {
	RunDate time.Time `json:"run_date"`
	Part    int       `json:"part"`
}

func (partArgs) Kind() string { return "run_part" }

type partWorker struct {
	river.WorkerDefaults[partArgs]
	config *Config
}

// Timeout is half the lease, so that a slow worker has ended before another one may begin.
func (w *partWorker) Timeout(*river.Job[partArgs]) time.Duration { return w.config.Lease / 2 }

func (w *partWorker) Work(ctx context.Context, job *river.Job[partArgs]) error {
	now := w.config.Now()
	err := w.config.Engine.RunPart(ctx, job.Args.RunDate, job.Args.Part, now)
	return snoozed(err, now)
}

// A postponed error names the instant before which another attempt is useless.
type postponed interface {
	error
	Until() time.Time
}

// snoozed returns the answer to the queue if an error is a [postponed] one. This does not count as an attempt.
func snoozed(err error, now time.Time) error {
	if later := postponed(nil); errors.As(err, &later) {
		return river.JobSnooze(max(later.Until().Sub(now), time.Second))
	}
	return err
}

// A PartQueue hands the parts of runs to all replicas.
type PartQueue struct{ client *river.Client[*sql.Tx] }

// NewPartQueue returns a queue on a migrated database.
func NewPartQueue(s *store.Store, log *slog.Logger) (*PartQueue, error) {
	client, err := inserting(s, log)
	return &PartQueue{client}, err
}

// Enqueue implements [lifecycle.PartQueue]. A part that failed, or was lost with a replica, is tried again a few times
// soon. After that, the next tick resumes it.
func (s *PartQueue) Enqueue(ctx context.Context, tx *sql.Tx, parts []store.Part) error {
	params := make([]river.InsertManyParams, len(parts))
	for i, p := range parts {
		params[i] = river.InsertManyParams{Args: partArgs{p.RunDate, p.Number},
			InsertOpts: &river.InsertOpts{Queue: partQueue, MaxAttempts: partTries, ScheduledAt: p.BeginsAt}}
	}
	_, err := s.client.InsertManyFastTx(ctx, tx, params)
	return err
}

// EnqueueTick queues a tick, in the transaction.
func (s *PartQueue) EnqueueTick(ctx context.Context, tx *sql.Tx) error {
	_, err := s.client.InsertTx(ctx, tx, tickArgs{}, tickOptions())
	return err
}

type importArgs struct {
	ID string `json:"id"`
}

func (importArgs) Kind() string { return "import" }

type importWorker struct {
	river.WorkerDefaults[importArgs]
	config *Config
}

// Timeout is half the lease. The next attempt continues the unfinished work.
func (w *importWorker) Timeout(*river.Job[importArgs]) time.Duration { return w.config.Lease / 2 }

func (w *importWorker) Work(ctx context.Context, job *river.Job[importArgs]) error {
	if w.config.Importer == nil {
		return errors.New("this service does not import")
	}
	return w.config.Importer.Work(ctx, job.Args.ID)
}

// EnqueueImport queues the work on an import, in the transaction.
func (j *Jobs) EnqueueImport(ctx context.Context, tx *sql.Tx, id string) error {
	_, err := j.client.InsertTx(ctx, tx, importArgs{id}, nil)
	return err
}

type tickWorker struct {
	river.WorkerDefaults[tickArgs]
	config *Config
	client *river.Client[*sql.Tx]
	busy   sync.Mutex  // held during a tick
	asked  atomic.Bool // a tick is wanted that has not begun
}

func (w *tickWorker) Timeout(*river.Job[tickArgs]) time.Duration { return tickTimeout }

// Work executes a tick. A tick that is requested while another one is running follows it, in the same job.
func (w *tickWorker) Work(ctx context.Context, _ *river.Job[tickArgs]) (err error) {
	w.asked.Store(true)
	for w.asked.Load() && w.busy.TryLock() {
		w.asked.Store(false)
		err = errors.Join(err, w.tick(ctx))
		w.busy.Unlock()
	}
	return err
}

func (w *tickWorker) tick(ctx context.Context) error {
	err := w.config.Engine.Tick(ctx, w.config.Now())
	if w.config.Prober != nil {
		err = errors.Join(err, w.config.Prober.ProbeOpen(ctx), w.config.Prober.ProbeAnnounced(ctx))
	}
	if w.config.Watcher != nil {
		err = errors.Join(err, w.config.Watcher.Watch(ctx))
	}
	if w.config.Webhooks != nil {
		err = errors.Join(err, w.config.Webhooks.Prune(ctx, w.config.Now()))
	}
	if w.config.Asker != nil {
		err = errors.Join(err, w.resumeQuestions(ctx))
	}
	return errors.Join(err, w.config.Engine.Prune(ctx, w.config.Now()))
}

// migrationLock is the advisory lock for migrating the queue's tables on PostgreSQL. The number is arbitrary and used
// for nothing else.
const migrationLock = 0x706572656e6e6961

// Migrate brings the queue's tables up to date. Replicas that start together migrate one after the other.
func Migrate(ctx context.Context, s *store.Store, log *slog.Logger) error {
	m, err := rivermigrate.New(queueDriver(s, nil), &rivermigrate.Config{Logger: log})
	if err != nil {
		return err
	}
	err = s.Exclusively(ctx, migrationLock, func() error {
		_, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("migrate the job queue: %w", err)
	}
	return nil
}

// newListener returns the pool for the queue's notifications. River takes one connection out of it; by default the pool
// would grow with the number of CPUs, beyond [store.MaxConnections].
func newListener(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 1
	return pgxpool.NewWithConfig(ctx, config)
}

func queueDriver(s *store.Store, listener *pgxpool.Pool) riverdriver.Driver[*sql.Tx] {
	switch {
	case s.Engine() == store.SQLite:
		return newWakingDriver(s)
	case listener != nil:
		return riverdatabasesql.NewWithPgxListener(s.DB(), listener)
	default:
		return riverdatabasesql.New(s.DB())
	}
}

// inserting returns a client that inserts jobs and processes none.
func inserting(s *store.Store, log *slog.Logger) (*river.Client[*sql.Tx], error) {
	return river.NewClient(queueDriver(s, nil), &river.Config{Logger: quiet(log)})
}

// New returns the queue and its workers. They start with [Jobs.Start].
func New(ctx context.Context, config Config) (*Jobs, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if config.Lease == 0 {
		config.Lease = 10 * time.Minute
	}
	if config.TickEvery == 0 {
		config.TickEvery = time.Hour
	}
	j := &Jobs{config: config}
	if config.Store.Engine() == store.Postgres {
		var err error
		if j.listener, err = newListener(ctx, config.URL); err != nil {
			return nil, fmt.Errorf("connect the job queue to %s: %w", store.Masked(config.URL), err)
		}
	}
	workers := river.NewWorkers()
	ticks := &tickWorker{config: &j.config}
	river.AddWorker(workers, ticks)
	river.AddWorker(workers, &deliverWorker{config: &j.config})
	river.AddWorker(workers, &importWorker{config: &j.config})
	river.AddWorker(workers, &askWorker{config: &j.config})
	river.AddWorker(workers, &roundWorker{config: &j.config})
	river.AddWorker(workers, &partWorker{config: &j.config})
	river.AddWorker(workers, &webhookWorker{config: &j.config})
	client, err := river.NewClient(queueDriver(config.Store, j.listener), &river.Config{
		Logger:  quiet(config.Log),
		Workers: workers,
		Queues: map[string]river.QueueConfig{
			river.QueueDefault: {MaxWorkers: 2, FetchPollInterval: pollSeldom}, // ticks and imports
			deliveryQueue:      {MaxWorkers: 4}, partQueue: {MaxWorkers: 1},
			webhookQueue: {MaxWorkers: webhookWorkers, FetchPollInterval: pollSeldom}},
		RescueStuckJobsAfter: config.Lease,
		JobTimeout:           min(config.Lease, time.Minute),
		FetchCooldown:        20 * time.Millisecond, // between a job that ends and the next one
		FetchPollInterval:    pollEvery,
		ErrorHandler:         errorHandler{config.Log},
		PeriodicJobs: []*river.PeriodicJob{river.NewPeriodicJob(river.PeriodicInterval(config.TickEvery),
			func() (river.JobArgs, *river.InsertOpts) { return tickArgs{}, tickOptions() }, nil)},
	})
	if err != nil {
		j.close()
		return nil, err
	}
	j.client, ticks.client = client, client
	return j, nil
}

// Start resumes the work that an earlier process left, and runs until [Jobs.Stop].
func (j *Jobs) Start(ctx context.Context) error {
	if j.config.Store.Engine() == store.SQLite {
		// No other process serves this file. A job that seems to run was lost with the previous process.
		if err := j.config.Store.InTx(ctx, func(tx *store.Tx) error { return tx.ReleaseLost(ctx) }); err != nil {
			return fmt.Errorf("release lost jobs: %w", err)
		}
	}
	if j.config.Deliverer != nil {
		if err := j.retryHeld(ctx); err != nil {
			return fmt.Errorf("retry the mails that were held: %w", err)
		}
		if err := j.queueWaiting(ctx); err != nil {
			return fmt.Errorf("queue the mails that waited for a mail server: %w", err)
		}
	}
	// The first tick does not wait for the election of a leader, which takes a while after a crash.
	if _, err := j.client.Insert(ctx, tickArgs{}, tickOptions()); err != nil {
		return err
	}
	return j.client.Start(context.WithoutCancel(ctx))
}

// tickOptions returns the options of a tick. A tick that fails is not repeated, because the next one resumes its work.
func tickOptions() *river.InsertOpts { return &river.InsertOpts{MaxAttempts: 1} }

// retryHeld makes one mail be tried now if all are held, because the settings of the mail server may have changed.
func (j *Jobs) retryHeld(ctx context.Context) error {
	hold, err := j.config.Store.MailHold(ctx)
	if err != nil || hold.Since.IsZero() {
		return err
	}
	return j.config.Store.InTx(ctx, func(tx *store.Tx) error { return tx.RetryMails(ctx, j.config.Now()) })
}

// Stop waits until running jobs have ended, but no longer than the context allows. Then it cancels the rest.
func (j *Jobs) Stop(ctx context.Context) error {
	defer j.close()
	if err := j.client.Stop(ctx); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return j.client.StopAndCancel(stop)
	}
	return nil
}

// Stopped returns a channel that is closed when the workers have ended.
func (j *Jobs) Stopped() <-chan struct{} { return j.client.Stopped() }

func (j *Jobs) close() {
	if j.listener != nil {
		j.listener.Close()
	}
}

// errorHandler logs each failed attempt once. River alone would log it several times.
type errorHandler struct{ log *slog.Logger }

func (h errorHandler) HandleError(ctx context.Context, job *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	h.log.WarnContext(ctx, "job failed and will be tried again", "job", job.Kind, "attempt", job.Attempt, "of",
		job.MaxAttempts, "error", err)
	return nil
}

func (h errorHandler) HandlePanic(ctx context.Context, job *rivertype.JobRow, value any,
	trace string) *river.ErrorHandlerResult {
	h.log.ErrorContext(ctx, "job panicked and will be tried again", "job", job.Kind, "attempt", job.Attempt, "panic",
		value, "trace", trace)
	return nil
}

// quiet returns a logger for River itself that drops everything below errors.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(atLeast{log.Handler(), slog.LevelError}) }

type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

func (h atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(attrs), h.level}
}

func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.Handler.WithGroup(name), h.level}
}
