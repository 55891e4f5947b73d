package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// counted returns how many rows a fixture's database has of what a step may write.
func (f *fixture) counted() string {
	f.t.Helper()
	var counts []string
	for _, column := range []string{"COUNT(*) FROM certificates", "COUNT(*) FROM notices", "COUNT(*) FROM tasks",
		"COUNT(*) FROM mails", "COUNT(*) FROM events", "COUNT(*) FROM claims", "COUNT(*) FROM requests",
		"COUNT(*) FROM run_parts", "COALESCE(SUM(warned), 0) FROM runs", "COALESCE(SUM(renewed), 0) FROM runs"} {
		var n int
		check(f.t, f.store.DB().QueryRowContext(f.t.Context(), "SELECT "+column).Scan(&n))
		counts = append(counts, fmt.Sprintf("%d is %s", n, column))
	}
	return strings.Join(counts, ", ")
}

// PostgreSQL may ask to repeat a transaction at any of its statements.
func TestATransactionThatIsRepeatedWritesWhatItWritesOnce(t *testing.T) {
	founded := date("2026-01-15")
	f := sqlite(t, policy.Default, founded)
	ca := f.withSlow()
	acme := f.tenant("acme", founded)
	f.arrangement(acme, "bank", tenancy.Immediate)
	check(t, f.Tick(t.Context(), date("2026-10-02")))
	run := func(g *fixture, day string) error {
		_, err := g.Run(t.Context(), date(day), date(day))
		return err
	}
	for name, c := range map[string]struct {
		at   string
		step func(g *fixture) error
	}{
		"a run": {"2026-12-01", func(g *fixture) error { return run(g, "2026-12-01") }},
		"a renewal by hand": {"2026-10-03", func(g *fixture) error {
			_, err := g.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Compromised, "alice", date("2026-10-03"))
			return err
		}},
		"a credential": {"2026-10-03", func(g *fixture) error {
			_, _, err := g.AddCredential(t.Context(), tenancy.Credential{TenantID: acme.ID, Name: "slow", Issuer: "bank-ca"},
				"alice", date("2026-10-03"))
			return err
		}},
		"a change of a credential": {"2026-10-03", func(g *fixture) error {
			_, err := g.ChangeCredential(t.Context(), tenancy.Credential{TenantID: acme.ID, Name: tenancy.ForTenant,
				KeyType: tenancy.P384}, "alice", date("2026-10-03"))
			return err
		}},
		"a tenant": {"2026-10-03", func(g *fixture) error {
			_, err := g.CreateTenant(t.Context(), tenancy.Tenant{Name: "new", DisplayName: "N", KeyType: tenancy.P256}, "test",
				date("2026-10-03"))
			return err
		}},
	} {
		snapshot := storetest.Snapshot(t, f.store)
		whole := f.on(t, snapshot, date(c.at))
		check(t, c.step(whole))
		want, repeated := whole.counted(), 0
		for n := 0; ; n++ {
			g := f.on(t, snapshot, date(c.at))
			left := n
			g.store.BeforeStatements(func(string) error {
				if left--; left == -1 {
					return &pgconn.PgError{Code: "40001"}
				}
				return nil
			})
			err := c.step(g)
			g.store.BeforeStatements(nil)
			if left >= 0 {
				break
			}
			if err != nil { // a query outside of a transaction
				continue
			}
			if repeated++; g.counted() != want {
				t.Errorf("%s, repeated at statement %d: %s, want %s", name, n+1, g.counted(), want)
			}
		}
		if repeated == 0 {
			t.Errorf("%s: nothing was repeated", name)
		}
	}
	if len(ca.requests) == 0 {
		t.Error("nothing was requested")
	}
}

// One certificate, one mail and one notice are the smallest work of a run.
func TestARunOfOneCertificateWarnsRenewsAndMails(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	f.config.WithoutMUsers = true
	asked := 0
	f.config.Pace = func(_ context.Context, n int) error { asked += n; return nil }
	var err error
	f.Engine, err = New(f.config)
	check(t, err)
	acme := f.tenant("acme", now)
	check(t, f.Tick(t.Context(), now))
	check(t, f.Tick(t.Context(), date("2026-11-01")))
	if got := f.mailed(acme); !slices.Equal(got, []string{"alice: Tenant Certificate is going to expire soon"}) {
		t.Errorf("after the warning: mails %q", got)
	}
	check(t, f.Tick(t.Context(), date("2026-12-01")))
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 2 || asked != 1 {
		t.Errorf("generation %d, and the limit was asked for %d", c.Generation, asked)
	}
	mails, err := f.store.Mails(t.Context(), acme.ID, "", "", 10)
	check(t, err)
	for _, m := range mails {
		if f.mails.queued[m.ID] != 1 {
			t.Errorf("the mail %q is queued %d times", m.Subject, f.mails.queued[m.ID])
		}
	}
	if len(mails) != 2 {
		t.Errorf("%d mails", len(mails))
	}
	if got := owners([]tenancy.Certificate{{TenantID: "a"}, {TenantID: "b"}, {TenantID: "a"}}); !slices.Equal(got,
		[]string{"a", "b"}) {
		t.Errorf("the owners are %q", got)
	}
}

func TestAnIssuedCertificateOfATenantEndsWithTheAdoptedOnes(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	end := now.AddDate(0, 7, 0)
	all, err := f.AdoptTenants(t.Context(), []Founding{{Tenant: tenancy.Tenant{Name: "acme", DisplayName: "A",
		KeyType: tenancy.P256}, NotAfter: end}}, "test", now, func(*store.Tx, []tenancy.Tenant) error { return nil })
	check(t, err)
	for _, name := range tenancy.BuiltIn {
		if c := f.newest(all[0], name); end.Sub(c.NotAfter).Abs() > time.Hour {
			t.Errorf("%s ends on %s, want %s", name, c.NotAfter, end)
		}
	}
}

// Gateways keep in memory what they present.
func TestGatewaysAreNotifiedOfEveryChangeOfWhatIsPresented(t *testing.T) {
	founded := date("2026-01-15")
	f := sqlite(t, policy.Default, founded)
	ca := f.withSlow()
	acme := f.tenant("acme", founded)
	bank := f.arrangement(acme, "bank", tenancy.Adaptive)
	var changed []string
	defer f.store.OnChange(func(id string) { changed = append(changed, id) })()
	now := date("2026-12-02")
	signs, _ := f.Signing(founded)
	for _, c := range []struct {
		what string
		step func() error
	}{
		{"a renewal", func() error { f.renews(); return nil }},
		{"the end of a generation", func() error {
			f.sees(bank, 2, rollover.Accepted, rollover.Traffic, now)
			changed = nil
			check(t, f.Roll(t.Context(), now.AddDate(0, 3, 0)))
			if got := f.actions("acme", "acme/tenant/1"); !slices.Contains(got, "certificate.retired") {
				t.Errorf("generation 1 has the events %q", got)
			}
			return nil
		}},
		{"the first generation", func() error {
			f.add(acme, tenancy.Credential{Name: "slow", Issuer: "bank-ca"}, now)
			ca.open = true
			changed = nil
			return f.Collect(t.Context(), now.Add(2*time.Hour))
		}},
		{"a lost generation whose successor is requested", func() error {
			ca.open = false
			_, err := f.RenewByHand(t.Context(), "acme", "slow", Lost, "alice", now)
			return err
		}},
		{"a revoked authority", func() error {
			c, err := f.store.Certificate(t.Context(), acme.ID, tenancy.ForTenant, 2)
			check(t, err)
			c.SuccessorID, c.IssuerID = "next", signs.ID
			return f.renewRevoked(t.Context(), owner{Tenant: acme}, c, now)
		}},
	} {
		changed = nil
		check(t, c.step())
		if !slices.Contains(changed, acme.ID) {
			t.Errorf("%s: notified of %q", c.what, changed)
		}
	}
}

// What a CA has accepted, refused or issued is stored although the request to this service has ended meanwhile.
func TestTheAnswerOfACAIsStoredAfterTheContextHasEnded(t *testing.T) {
	now := date("2026-01-15")
	for name, c := range map[string]struct {
		prepare func(ca *slow)
		again   bool
		open    int
		handle  string
		failed  string
	}{
		"a first request is accepted": {func(*slow) {}, false, 1, "r1", ""},
		"a first request is refused":  {func(ca *slow) { ca.refuses = errors.New("no") }, false, 0, "", ""},
		"accepted again":              {func(*slow) {}, true, 1, "r2", ""},
		"refused again":               {func(ca *slow) { ca.refuses = errors.New("no") }, true, 1, "", "no"},
		"issued again":                {func(ca *slow) { ca.atOnce = true }, true, 0, "", ""},
	} {
		f := sqlite(t, policy.Default, now)
		ca := f.withSlow()
		acme := f.tenant("acme", now)
		ctx, cancel := context.WithCancel(t.Context())
		credential := tenancy.Credential{TenantID: acme.ID, Name: "bank", Issuer: "bank-ca"}
		if c.again {
			f.add(acme, credential, now)
		}
		c.prepare(ca)
		f.config.Issuers = issuer.Set{"bank-ca": issuer.Checked(ending{ca, cancel})}
		var err error
		f.Engine, err = New(f.config)
		check(t, err)
		if c.again {
			err = f.Again(ctx, f.requests(acme)[0], "alice", now.Add(time.Hour))
		} else {
			_, _, err = f.AddCredential(ctx, credential, "alice", now)
		}
		if ctx.Err() == nil {
			t.Fatalf("%s: the CA was not asked: %v", name, err)
		}
		open := f.requests(acme)
		if len(open) != c.open || len(open) == 1 && (open[0].Handle != c.handle || open[0].LastError != c.failed) {
			t.Errorf("%s: open are %+v, %v", name, open, err)
		}
		if _, err := f.store.Newest(t.Context(), acme.ID, "bank"); (err == nil) != ca.atOnce {
			t.Errorf("%s: the certificate is stored: %v", name, err)
		}
	}
}

// ending is a CA whose caller goes away while it answers.
type ending struct {
	*slow
	cancel func()
}

func (e ending) Issue(ctx context.Context, r issuer.Request) (issuer.Issued, error) {
	issued, err := e.slow.Issue(ctx, r)
	e.cancel()
	return issued, err
}

// A page of requests that fail does not keep the CAs of those after it from being asked.
func TestTheCAsOfEveryPageOfRequestsAreAsked(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	acme := f.tenant("acme", now)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		for i := range requestPage + 1 {
			if err := tx.AddRequest(t.Context(), tenancy.Request{ID: fmt.Sprintf("r%03d", i), TenantID: acme.ID,
				Purpose: tenancy.Purpose(fmt.Sprint("c", i)), Generation: 1, Issuer: "gone", Handle: "h", AskAt: now,
				CreatedAt: now}, store.Key{Sealed: []byte{1}}); err != nil {
				return err
			}
		}
		return nil
	}))
	if err := f.Collect(t.Context(), now); err == nil || strings.Count(err.Error(), "gone") != requestPage+1 {
		t.Errorf("%d requests failed", strings.Count(fmt.Sprint(err), "gone"))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	check(t, f.Collect(ended, now)) // the next tick continues
}

// The first reminder is sent with exactly 30 days left.
func TestStagesBeginAtTheirInstant(t *testing.T) {
	for left, want := range map[time.Duration]int{31 * policy.Day: 30, 30 * policy.Day: 30, 14*policy.Day + 1: 30,
		14 * policy.Day: 14, 7 * policy.Day: 7, 3*policy.Day + 1: 7, 3 * policy.Day: 3, policy.Day + 1: 3, policy.Day: 1,
		0: 1, -policy.Day: 1} {
		if got := stageOf(left); got != want {
			t.Errorf("%v left: stage %d, want %d", left, got, want)
		}
	}
	f := sqlite(t, policy.Default, date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	f.arrangement(acme, "bank", tenancy.Adaptive)
	f.renews()
	all, err := f.Standings(t.Context(), f.store.Reader, acme, f.arrangements(acme))
	check(t, err)
	first := all[0].Certificates[0].NotAfter.Add(-30 * policy.Day)
	if early, due := lateGroups(all, first.Add(-time.Microsecond)), lateGroups(all, first); len(early) != 0 ||
		len(due) != 1 {
		t.Errorf("%d groups before the first stage, %d at it", len(early), len(due))
	}
}

// What needs an operator is in the log of the service.
func TestWhatNeedsAnOperatorIsLogged(t *testing.T) {
	founded := date("2026-01-15")
	var log bytes.Buffer
	logged := func(text string, want bool) {
		t.Helper()
		if got := strings.Contains(log.String(), text); got != want {
			t.Errorf("%q is logged: %v\n%s", text, got, &log)
		}
		log.Reset()
	}
	logging := func(f *fixture) {
		t.Helper()
		f.config.Log = slog.New(slog.NewTextHandler(&log, nil))
		var err error
		f.Engine, err = New(f.config)
		check(t, err)
	}
	f := sqlite(t, policy.Default, founded)
	logging(f)
	acme := f.tenant("acme", founded)
	f.arrangement(acme, "bank", tenancy.Adaptive)
	f.renews()
	logged("msg=run run_date=2026-12-01T00:00:00Z warned=0 renewed=2 late=0", true)
	all, err := f.Standings(t.Context(), f.store.Reader, acme, f.arrangements(acme))
	check(t, err)
	expires := all[0].Certificates[0].NotAfter
	const risk = "receivers have not been proved to accept the new certificate"
	f.store.BeforeStatements(func(query string) error {
		if strings.HasPrefix(query, "INSERT INTO claims") {
			return errors.New("the disk is full")
		}
		return nil
	})
	if err := f.remind(t.Context(), acme, all, expires.Add(-3*policy.Day)); err == nil {
		t.Error("a reminder that cannot be claimed is not an error")
	}
	f.store.BeforeStatements(nil)
	logged(risk, false)
	for days, want := range map[int]bool{7: false, 3: true, 1: true} {
		check(t, f.remind(t.Context(), acme, all, expires.Add(-time.Duration(days)*policy.Day)))
		logged(risk, want)
	}

	w := watch(t, "sqlite:"+t.TempDir()+"/w.db", founded)
	logging(w.fixture)
	w.renew(Reissue, founded)
	logged("renewed certificates differ", false)
	w.from.edit = nil
	w.from.ca = testca.New(t, "Other", founded)
	w.renew(Reissue, founded.Add(time.Hour))
	logged("renewed certificates differ", true)
	_, err = w.store.DB().ExecContext(t.Context(), "UPDATE certificates SET der = x'01'")
	check(t, err)
	w.renew(Reissue, founded.Add(2*time.Hour))
	logged("cannot be compared with its successor", true)
	w.revokeAtIssuer(t.Context(), w.acme, tenancy.Certificate{Issuer: "gone", Serial: "0a"}, Lost, founded)
	logged("revoke it there by its serial number", true)

	g := sqlite(t, policy.Default, founded)
	ca := g.withSlow()
	g.config.Issuer, g.config.IssuerName, g.config.Issuers = g.config.Issuers["bank-ca"], "bank-ca", nil
	logging(g)
	ca.refuses = errors.New("out of order")
	_, err = g.CreateTenant(t.Context(), tenancy.Tenant{Name: "acme", DisplayName: "A", KeyType: tenancy.P256}, "test",
		founded)
	check(t, err)
	logged("the first certificate could not be requested", true)
}

// A part that is done, and a run that is finished, do not come back when the run is tried again.
func TestPartsThatAreDoneAreNotMadeAgain(t *testing.T) {
	f, s := split(t, "sqlite:"+t.TempDir()+"/p.db")
	run := date("2026-12-01")
	left := func() int {
		t.Helper()
		parts, err := f.store.Parts(t.Context(), run)
		check(t, err)
		return len(parts)
	}
	check(t, f.Tick(t.Context(), run))
	all := left()
	check(t, f.RunPart(t.Context(), run, 1, run))
	again := func(want int) {
		t.Helper()
		if _, err := f.Run(t.Context(), run, run); err != nil || left() != want {
			t.Errorf("%d parts are left after another try, want %d: %v", left(), want, err)
		}
	}
	again(all - 1)
	for _, p := range s.parts {
		check(t, f.RunPart(t.Context(), p.RunDate, p.Number, run))
	}
	if r, err := f.store.Run(t.Context(), run); err != nil || r.FinishedAt.IsZero() || all < 3 {
		t.Errorf("the run of %d parts: %+v, %v", all, r, err)
	}
	again(0)
}

// A page that met another replica is read again. If that fails, the run is not finished.
func TestAPageThatCannotBeReadAgainIsAnError(t *testing.T) {
	f := sqlite(t, policy.Default, date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	check(t, f.Tick(t.Context(), date("2026-10-02")))
	full, met, failed := errors.New("the disk is full"), false, false
	f.store.BeforeStatements(func(query string) error {
		switch {
		case strings.HasPrefix(query, "INSERT INTO notices") && !met:
			met = true
			return fmt.Errorf("%w: another replica", tenancy.ErrConflict)
		case met && !failed && strings.Contains(query, "FROM certificates"): // once, so that no later query fails too
			failed = true
			return full
		}
		return nil
	})
	run, err := f.Run(t.Context(), date("2026-12-01"), date("2026-12-01"))
	f.store.BeforeStatements(nil)
	if !met || !errors.Is(err, full) || !run.FinishedAt.IsZero() {
		t.Errorf("met another replica %v: finished at %v, %v", met, run.FinishedAt, err)
	}
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 1 {
		t.Errorf("generation %d", c.Generation)
	}
}
