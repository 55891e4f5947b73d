package bench

import (
	"context"
	"crypto"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/notify"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// filled is a pool of keys that never runs dry, because a pool generates RSA keys ahead of time.
type filled struct {
	keys []crypto.Signer
	next atomic.Int64
}

// Take implements [lifecycle.Keys].
func (f *filled) Take(tenancy.KeyType) (crypto.Signer, error) {
	return f.keys[int(f.next.Add(1))%len(f.keys)], nil
}

// RSA compares renewals of RSA 2048 certificates with issuing bare certificates of the same keys. The pool has the keys
// already.
func RSA(ctx context.Context, url string, due int) (r RenewResult, err error) {
	pool := &filled{}
	for range 16 {
		key, err := keyring.Generate(tenancy.RSA2048)
		if err != nil {
			return r, err
		}
		pool.keys = append(pool.keys, key)
	}
	f, err := newFleet(ctx, url, func(c *lifecycle.Config) { c.Keys = pool })
	if err != nil {
		return r, err
	}
	defer f.close()
	if err := f.fill(ctx, due, due, 0, threeUsers); err != nil {
		return r, err
	}
	return f.renew(ctx, due, func() (crypto.Signer, error) { return pool.Take(tenancy.RSA2048) })
}

// MonthResult is the result of a run on the first of a month.
type MonthResult struct {
	Tenants int     `json:"tenants"`
	Due     int     `json:"due"`
	Mails   int     `json:"mails"`
	Seconds float64 `json:"seconds"`
}

// Month measures a run on the first of a month, until everything is renewed and every mail is queued. A twelfth of the
// tenants is due. Each has three key users, one of them subscribed. The files bench.db and bench.key remain in the
// folder.
func Month(ctx context.Context, dir string, tenants int) (r MonthResult, err error) {
	f, err := newFleetIn(ctx, "", dir, func() {})
	if err != nil {
		return r, err
	}
	defer f.close()
	due := tenants / 12
	if err := f.fill(ctx, tenants, due, 0, threeUsers); err != nil {
		return r, err
	}
	started := time.Now()
	run, err := f.engine.Run(ctx, runDate, runDate)
	if err != nil {
		return r, err
	}
	r = MonthResult{Tenants: tenants, Due: due, Seconds: time.Since(started).Seconds()}
	mails, err := f.store.CountMails(ctx)
	if err != nil {
		return r, err
	}
	if r.Mails = mails[tenancy.MailQueued]; run.Renewed != due || r.Mails != due {
		return r, fmt.Errorf("%d certificates were renewed and %d mails queued, want %d", run.Renewed, r.Mails, due)
	}
	return r, nil
}

// Deliver returns the number of mails per second that are sent from the queue to a mail server, including storing each
// answer.
func Deliver(t *testing.T, smtpURL string, mails int) (perSecond float64, err error) {
	return deliver(t, smtpURL, mails, func() {})
}

// deliver is Deliver that calls a function when everything is queued.
func deliver(t *testing.T, smtpURL string, mails int, queued func()) (perSecond float64, err error) {
	ctx := t.Context()
	f, err := newFleet(ctx, "")
	if err != nil {
		return 0, err
	}
	defer f.close()
	if err := f.fill(ctx, mails, mails, 0, threeUsers); err != nil {
		return 0, err
	}
	if _, err := f.engine.Run(ctx, runDate, runDate); err != nil {
		return 0, err
	}
	templates, err := notify.LoadTemplates("")
	if err != nil {
		return 0, err
	}
	server, err := notify.NewServer(smtpURL, "Perennial <perennial@bench.example.com>", templates, nil)
	if err != nil {
		return 0, err
	}
	log := slog.New(slog.DiscardHandler)
	deliverer, err := notify.NewDeliverer(notify.DelivererConfig{Store: f.store, Sender: server, Log: log})
	if err != nil {
		return 0, err
	}
	queue, err := jobs.New(ctx, jobs.Config{Store: f.store, Engine: f.engine, Deliverer: deliverer,
		Now: func() time.Time { return runDate }, Log: log})
	if err != nil {
		return 0, err
	}
	queued()
	started := time.Now()
	if err := queue.Start(ctx); err != nil {
		return 0, err
	}
	defer queue.Stop(context.WithoutCancel(ctx))
	testenv.Eventually(t, func() bool {
		left, err := f.store.CountMails(ctx)
		testenv.Check(t, err)
		if left[tenancy.MailDead] > 0 {
			t.Fatalf("%d mails are dead", left[tenancy.MailDead])
		}
		return len(left) == 0
	})
	return float64(mails) / time.Since(started).Seconds(), nil
}

// A queue hands the parts of a run to replicas in this process.
type queue struct{ parts chan store.Part }

// Enqueue implements [lifecycle.PartQueue].
func (q queue) Enqueue(_ context.Context, _ *sql.Tx, parts []store.Part) error {
	for _, p := range parts {
		q.parts <- p
	}
	return nil
}

// counting counts certificates.
type counting struct {
	issuer.Issuer
	issued *atomic.Int64
}

// Unwrap makes the capabilities of the issuer reachable.
func (c counting) Unwrap() issuer.Issuer { return c.Issuer }

// Issue implements [issuer.Issuer].
func (c counting) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	c.issued.Add(1)
	return c.Issuer.Issue(ctx, r)
}

// Replicas measures a run by n replicas on one database, each with its own connections. It returns the seconds, and the
// number of certificates that were issued in vain.
func Replicas(ctx context.Context, url string, n, due int) (seconds float64, wasted int, err error) {
	return replicas(ctx, url, url, n, due)
}

// replicas is Replicas with another address at which the replicas reach the database.
func replicas(ctx context.Context, url, reached string, n, due int) (seconds float64, wasted int, err error) {
	f, err := newFleet(ctx, url)
	if err != nil {
		return 0, 0, err
	}
	defer f.close()
	if err := f.fill(ctx, due, due, 0, threeUsers); err != nil {
		return 0, 0, err
	}
	var issued atomic.Int64
	q := queue{make(chan store.Part, due)}
	engines := make([]*lifecycle.Engine, n)
	for i := range engines {
		config := f.config
		if config.Store, err = store.Open(ctx, reached); err != nil {
			return 0, 0, err
		}
		defer config.Store.Close()
		config.Issuer, config.Parts, config.PartSize = counting{issuer.Checked(f.ca), &issued}, q, 1000
		if engines[i], err = lifecycle.New(config); err != nil {
			return 0, 0, err
		}
	}
	started := time.Now()
	if _, err := engines[0].Run(ctx, runDate, runDate); err != nil {
		return 0, 0, err
	}
	close(q.parts)
	var workers sync.WaitGroup
	errs := make([]error, n)
	for i, e := range engines {
		workers.Go(func() {
			for p := range q.parts {
				errs[i] = errors.Join(errs[i], e.RunPart(ctx, p.RunDate, p.Number, runDate))
			}
		})
	}
	workers.Wait()
	seconds = time.Since(started).Seconds()
	run, err := f.store.Run(ctx, runDate)
	if err := errors.Join(append(errs, err)...); err != nil {
		return 0, 0, err
	}
	if run.Renewed != due || run.FinishedAt.IsZero() {
		return 0, 0, fmt.Errorf("%d certificates were renewed, want %d", run.Renewed, due)
	}
	return seconds, int(issued.Load()) - due, nil
}

// A Row is a row of the table of peers.
type Row struct{ Work, Against, Result, Goal string }

// PrintRows prints the table in Markdown.
func PrintRows(w io.Writer, rows []Row) {
	fmt.Fprintf(w, "| work | against | result | goal |\n|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", r.Work, r.Against, r.Result, r.Goal)
	}
}

func ratio(a, b float64) string { return fmt.Sprintf("%.2f", math.Round(100*a/b)/100) }

// middle returns the median.
func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// spread prints the median with the smallest and the largest value.
func spread(values []float64) string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", middle(values), slices.Min(values), slices.Max(values))
}
