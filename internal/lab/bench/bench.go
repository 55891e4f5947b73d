// Package bench measures the engine relative to bare cryptography in the same run, because absolute times on a shared
// machine are not meaningful.
package bench

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// runDate is the run that is measured.
var runDate = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// fleet is an engine on a new database.
type fleet struct {
	store  *store.Store
	ca     *local.CA
	config lifecycle.Config // of the engine
	engine *lifecycle.Engine
	alone  time.Duration // for which bare cryptography is measured
	clean  func()
}

// newFleet opens a database, a temporary SQLite file for "". The database must be empty, because a benchmark must not
// touch tenants.
func newFleet(ctx context.Context, url string, options ...func(*lifecycle.Config)) (*fleet, error) {
	dir, err := os.MkdirTemp("", "perennial-bench-")
	if err != nil {
		return nil, err
	}
	return newFleetIn(ctx, url, dir, func() { os.RemoveAll(dir) }, options...)
}

// newFleetIn is newFleet with a folder for its files: bench.key, and bench.db for "".
func newFleetIn(ctx context.Context, url, dir string, clean func(),
	options ...func(*lifecycle.Config)) (_ *fleet, err error) {
	f := &fleet{alone: 3 * time.Second, clean: clean}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if url == "" {
		url = "sqlite:" + filepath.Join(dir, "bench.db")
	}
	log := slog.New(slog.DiscardHandler)
	if f.store, err = store.OpenExclusive(ctx, url); err != nil {
		return nil, err
	}
	tenants, err := f.store.Tenants(ctx, "", 1)
	if err != nil {
		return nil, err
	}
	if len(tenants) > 0 {
		return nil, fmt.Errorf("the database %s has tenants: a bench needs an empty one of its own", store.Masked(url))
	}
	if err = jobs.Migrate(ctx, f.store, log); err != nil {
		return nil, err
	}
	outbox, err := jobs.NewOutbox(f.store, log)
	if err != nil {
		return nil, err
	}
	keys, err := keyring.Create(filepath.Join(dir, "bench.key"), nil)
	if err != nil {
		return nil, err
	}
	p, err := policy.Preset(policy.Default)
	if err != nil {
		return nil, err
	}
	if f.ca, err = local.Open(ctx, local.Config{TrustDomain: "bench.example.com", Organization: "Bench",
		LongestValidity: p.Validity}, f.store, keys, runDate); err != nil {
		return nil, err
	}
	f.config = lifecycle.Config{
		Store: f.store, Issuer: issuer.Checked(f.ca), Keys: keyring.NewPool(1), Seal: keys, Policy: p, Outbox: outbox,
		MailDomain: "bench.example.com", Log: log,
	}
	for _, option := range options {
		option(&f.config)
	}
	f.engine, err = lifecycle.New(f.config)
	return f, err
}

func (f *fleet) close() {
	if f.store != nil {
		f.store.Close()
	}
	f.clean()
}

// recipients are the key users of each tenant of a fleet.
type recipients int

const (
	noUsers recipients = iota
	threeUsers
)

// fill stores n tenants with one tenant certificate each. The first ones are due at the run date, distributed evenly
// over a month. The others expire in the year after it. With users, each tenant has three key users, one of whom is
// subscribed, and the scope sends mail. The first tenants have an arrangement each.
func (f *fleet) fill(ctx context.Context, n, due, arranged int, with recipients) error {
	left := func(i int) time.Duration {
		if i < due {
			return 32*policy.Day + time.Duration(float64(29*policy.Day)*float64(i)/float64(due))
		}
		return 94*policy.Day + time.Duration(float64(364*policy.Day)*float64(i-due)/float64(n-due))
	}
	const page = 2000
	issued := runDate.AddDate(-1, 0, 0)
	for start := 0; start < n; start += page {
		err := f.store.InTx(ctx, func(tx *store.Tx) error {
			var tenants []tenancy.Tenant
			var users []tenancy.KeyUser
			var projects []tenancy.ScopingProject
			var certs []store.SealedCertificate
			for i := start; i < min(start+page, n); i++ {
				t := tenancy.Tenant{ID: store.NewID(), Name: fmt.Sprintf("tenant-%d", i),
					DisplayName: fmt.Sprintf("Firma %d GmbH", i),
					KeyType:     tenancy.P256, CreatedAt: issued, Version: 1}
				tenants = append(tenants, t)
				c := tenancy.Certificate{
					ID: store.NewID(), TenantID: t.ID, Purpose: tenancy.ForTenant, Generation: 1, State: tenancy.Active,
					Serial: fmt.Sprintf("5e%030x", i), Fingerprint: fmt.Sprintf("%064x", i),
					Subject: "CN=" + t.Name, NotAfter: runDate.Add(left(i)).Truncate(time.Second), KeyType: tenancy.P256,
					DER: []byte{0x30, 0}, IssuerID: "bench", CreatedAt: issued,
				}
				c.NotBefore = c.NotAfter.Add(-f.engine.Policy().Validity)
				certs = append(certs, store.SealedCertificate{Certificate: c, SealedKey: []byte{0}})
				if with == noUsers {
					continue
				}
				projects = append(projects, tenancy.ScopingProject{ID: store.NewID(), TenantID: t.ID,
					Name: tenancy.FirstProject, CreatedAt: issued, Version: 1,
					Answers: []tenancy.Answer{{Question: tenancy.MailForTasks, Yes: true, By: "bench", At: issued}}})
				for _, name := range []string{"alice", "bob", "carol"} {
					u := tenancy.KeyUser{ID: store.NewID(), TenantID: t.ID, Name: name, Email: name + "@" + t.Name + ".example.com",
						UnsubscribeToken: store.NewID(), CreatedAt: issued, Version: 1}
					if name == "alice" {
						u.SubscribedAt = issued
					}
					users = append(users, u)
				}
			}
			rows := store.Rows{Tenants: tenants, Projects: projects, KeyUsers: users, Certificates: certs}
			rows.Receivers, rows.Arrangements = arrange(tenants[:max(0, min(arranged-start, len(tenants)))], issued)
			return tx.Create(ctx, rows)
		})
		if err != nil {
			return fmt.Errorf("fill the database: %w", err)
		}
	}
	return f.store.Analyze(ctx)
}

// RenewResult compares complete renewals with bare cryptography on the same cores.
type RenewResult struct {
	Database          string  `json:"database"`
	Due               int     `json:"due"`
	Cores             int     `json:"cores"`
	Seconds           float64 `json:"seconds"`
	RenewalsPerSecond float64 `json:"renewals_per_second"`
	// CryptoPerSecond is the rate of keys and certificates alone with the standard library, which verifies each
	// signature. SignedPerSecond is that of the local CA, which verifies few.
	CryptoPerSecond float64 `json:"crypto_per_second"`
	SignedPerSecond float64 `json:"signed_per_second"`
	Ratio           float64 `json:"ratio"` // to CryptoPerSecond
	RatioOfSigned   float64 `json:"ratio_of_signed"`
}

// Renew measures a run that renews due certificates: key, certificate, sealing, three tasks, a mail and its job, and an
// audit event, committed.
func Renew(ctx context.Context, url string, due int) (r RenewResult, err error) {
	f, err := newFleet(ctx, url)
	if err != nil {
		return r, err
	}
	defer f.close()
	if err := f.fill(ctx, due, due, 0, threeUsers); err != nil {
		return r, err
	}
	return f.renew(ctx, due, func() (crypto.Signer, error) { return keyring.Generate(tenancy.P256) })
}

// renew measures a run, and before and after it the bare cryptography, with the keys that the function returns.
func (f *fleet) renew(ctx context.Context, due int, key func() (crypto.Signer, error)) (r RenewResult, err error) {
	before, err := f.cryptography(ctx, key)
	if err != nil {
		return r, err
	}
	started := time.Now()
	run, err := f.engine.Run(ctx, runDate, runDate)
	if err != nil {
		return r, err
	}
	seconds := time.Since(started).Seconds()
	if run.Renewed != due {
		return r, fmt.Errorf("%d certificates were renewed, want %d", run.Renewed, due)
	}
	after, err := f.cryptography(ctx, key)
	if err != nil {
		return r, err
	}
	r = RenewResult{Database: string(f.store.Engine()), Due: due, Cores: runtime.GOMAXPROCS(0), Seconds: seconds,
		RenewalsPerSecond: float64(due) / seconds, CryptoPerSecond: (before.verified + after.verified) / 2,
		SignedPerSecond: (before.signed + after.signed) / 2}
	r.Ratio, r.RatioOfSigned = r.RenewalsPerSecond/r.CryptoPerSecond, r.RenewalsPerSecond/r.SignedPerSecond
	return r, nil
}

// arrange returns an arrangement for each tenant, with its receiver.
func arrange(tenants []tenancy.Tenant, at time.Time) (receivers []tenancy.Receiver, all []tenancy.Arrangement) {
	for _, t := range tenants {
		r := tenancy.Receiver{ID: store.NewID(), TenantID: t.ID, Name: "erp", DisplayName: "ERP", CreatedAt: at,
			Version: 1}
		receivers = append(receivers, r)
		all = append(all, tenancy.Arrangement{
			ID: store.NewID(), TenantID: t.ID, ReceiverID: r.ID, Name: "crm-to-erp", Scenario: "Orders",
			Endpoint: "https://erp.example.com/orders", Authentication: tenancy.ClientCertificate, Strategy: tenancy.Adaptive,
			Generation: 1, CreatedAt: at, Version: 1,
		})
	}
	return receivers, all
}

// SweepResult contains the duration of runs in a large fleet.
type SweepResult struct {
	Database     string  `json:"database"`
	Certificates int     `json:"certificates"`
	Due          int     `json:"due"`
	Runs         int     `json:"runs"`
	MedianMS     float64 `json:"median_ms"`
	WorstMS      float64 `json:"worst_ms"`
}

// Sweep measures runs over a fleet in which only the due certificates can be renewed. If none are due, it measures nine
// run dates, the first of them with cold caches.
func Sweep(ctx context.Context, url string, certificates, due int) (r SweepResult, err error) {
	f, err := newFleet(ctx, url)
	if err != nil {
		return r, err
	}
	defer f.close()
	if certificates < 1 || due < 0 || due > certificates {
		return r, fmt.Errorf("%d due of %d certificates: use at least one certificate, and at most as many due", due,
			certificates)
	}
	if err := f.fill(ctx, certificates, due, 0, noUsers); err != nil {
		return r, err
	}
	runs := 9
	if due > 0 {
		runs = 1
	}
	var took []float64
	for i := range runs {
		at := runDate.Add(-time.Duration(i) * time.Hour)
		started := time.Now()
		run, err := f.engine.Run(ctx, at, runDate)
		if err != nil {
			return r, err
		}
		took = append(took, float64(time.Since(started).Microseconds())/1000)
		if run.Renewed != due {
			return r, fmt.Errorf("%d certificates were renewed, want %d", run.Renewed, due)
		}
	}
	slices.Sort(took)
	return SweepResult{string(f.store.Engine()), certificates, due, runs, took[len(took)/2], took[len(took)-1]}, nil
}

// Print prints the result.
func (r RenewResult) Print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d renewals in %.2f s, %.0f/s; bare key and certificate on %d cores %.0f/s, ratio %.2f; without "+
		"verifying the signature %.0f/s, ratio %.2f\n",
		r.Database, r.Due, r.Seconds, r.RenewalsPerSecond, r.Cores, r.CryptoPerSecond, r.Ratio, r.SignedPerSecond,
		r.RatioOfSigned)
}

// Print prints the result.
func (r SweepResult) Print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d runs over %d certificates, %d due: median %.1f ms, worst %.1f ms\n", r.Database, r.Runs,
		r.Certificates, r.Due, r.MedianMS, r.WorstMS)
}
