package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/notify"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var log = slog.New(slog.DiscardHandler)

var check = testenv.Check

type fixture struct {
	t      *testing.T
	url    string
	store  *store.Store
	engine *enginetest.Installation
	now    time.Time
	mu     sync.Mutex
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// setUp creates tenants with one subscribed key user and one IT contact each, installed in January 2026.
func setUp(t *testing.T, url string, tenants int, options ...enginetest.Option) *fixture {
	t.Helper()
	ctx := t.Context()
	f := &fixture{t: t, url: url, now: time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)}
	queue := func(c *lifecycle.Config) {
		check(t, Migrate(ctx, c.Store, log))
		outbox, err := NewOutbox(c.Store, log)
		check(t, err)
		c.Outbox = outbox
	}
	f.engine, _ = enginetest.New(t, url, f.now, append([]enginetest.Option{queue}, options...)...)
	f.store = f.engine.Store
	for i := range tenants {
		tenant, err := f.engine.CreateTenant(ctx, tenancy.Tenant{Name: fmt.Sprintf("t%d", i), DisplayName: "T",
			KeyType: tenancy.P256}, "test", f.now)
		check(t, err)
		projects, err := f.store.ScopingProjects(ctx, tenant.ID)
		check(t, err)
		check(t, f.store.InTx(ctx, func(tx *store.Tx) error {
			user := tenancy.KeyUser{ID: store.NewID(), TenantID: tenant.ID, Name: "alice",
				Email: "alice@" + tenant.Name + ".example.com", SubscribedAt: f.now, UnsubscribeToken: store.NewID(),
				Version: 1}
			return errors.Join(tx.CreateKeyUsers(ctx, user),
				tx.SetITContacts(ctx, tenant.ID, []tenancy.ITContact{{ID: store.NewID(), Name: "Ina",
					Email: "ina@" + tenant.Name + ".example.com", Version: 1}}),
				tx.AnswerQuestion(ctx, projects[0].ID, 1, tenancy.Answer{Question: tenancy.MailForTasks, Yes: true, By: "test",
					At: f.now}))
		}))
	}
	check(t, f.engine.Tick(ctx, f.now))
	return f
}

// parts makes the jobs work on the parts of runs.
func parts(t *testing.T) enginetest.Option {
	return func(c *lifecycle.Config) {
		s, err := NewPartQueue(c.Store, log)
		check(t, err)
		c.Parts = s
	}
}

// deliverer delivers mails with a sender.
func (f *fixture) deliverer(s notify.Sender) *notify.Deliverer {
	f.t.Helper()
	d, err := notify.NewDeliverer(notify.DelivererConfig{Store: f.store, Sender: s, BaseURL: "https://p.example.com",
		Log: log})
	check(f.t, err)
	return d
}

// work runs the jobs until the condition holds.
func (f *fixture) work(d Deliverer, until func() bool) {
	f.t.Helper()
	j, err := New(f.t.Context(), Config{Store: f.store, URL: f.url, Engine: f.engine.Engine, Deliverer: d, Now: f.clock,
		Log: log})
	check(f.t, err)
	check(f.t, j.Start(f.t.Context()))
	testenv.Eventually(f.t, until)
	check(f.t, j.Stop(context.WithoutCancel(f.t.Context())))
}

func TestReplicasThatStartTogetherMigrateOneAfterTheOther(t *testing.T) {
	url := testenv.Postgres(t)
	stores := make([]*store.Store, 6)
	for i := range stores {
		var err error
		stores[i], err = store.Open(t.Context(), url)
		check(t, err)
		defer stores[i].Close()
	}
	var replicas sync.WaitGroup
	errs := make([]error, len(stores))
	for i, s := range stores {
		replicas.Go(func() { errs[i] = Migrate(t.Context(), s, log) })
	}
	replicas.Wait()
	check(t, errors.Join(errs...))
}

// The tick comes once an hour. That is too late for certificates of a revoked authority, so the revocation queues one.
func TestTheCertificatesOfARevokedAuthorityAreRenewedWithoutWaitingForTheNextTick(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, 3, parts(t))
		j, err := New(t.Context(), Config{Store: f.store, URL: url, Engine: f.engine.Engine, Now: f.clock, Log: log})
		check(t, err)
		check(t, j.Start(t.Context()))
		defer func() { check(t, j.Stop(context.WithoutCancel(t.Context()))) }()
		signing, _ := f.engine.Signing(f.clock())
		check(t, f.engine.RevokeAuthority(t.Context(), signing.ID, lifecycle.Compromised, "alice", f.clock()))
		testenv.Eventually(t, func() bool {
			left, err := f.store.UnderRevoked(t.Context(), signing.ID, f.clock(), "", 100)
			check(t, err)
			return len(left) == 0
		})
	})
}

func TestTheTickRepeats(t *testing.T) {
	t.Parallel()
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		t.Parallel()
		f := setUp(t, url, 1)
		j, err := New(t.Context(), Config{Store: f.store, URL: url, Engine: f.engine.Engine, TickEvery: time.Second,
			Now: f.clock, Log: log})
		check(t, err)
		check(t, j.Start(t.Context()))
		ran := func() bool {
			runs, err := f.store.Runs(t.Context(), time.Time{}, 1)
			check(t, err)
			return len(runs) == 1 && !runs[0].FinishedAt.IsZero()
		}
		testenv.Eventually(t, func() bool { // the tick of the start is over
			var ticks int
			const query = "SELECT COUNT(*) FROM river_job WHERE kind = 'tick' AND state = 'completed'"
			check(t, f.store.DB().QueryRow(query).Scan(&ticks))
			return ticks > 0
		})
		if ran() {
			t.Error("a run before its date")
		}
		f.mu.Lock()
		f.now = time.Date(2026, 2, 1, 0, 30, 0, 0, time.UTC) // the service keeps running into February
		f.mu.Unlock()
		testenv.Eventually(t, ran)
		check(t, j.Stop(context.WithoutCancel(t.Context())))
	})
}

func (f *fixture) unsent() map[tenancy.MailState]int {
	f.t.Helper()
	counts, err := f.store.CountMails(f.t.Context())
	check(f.t, err)
	return counts
}

func TestTheTickRunsWhatIsDueAndEveryMailArrivesOnce(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		pit := testenv.StartMailpit(t)
		f := setUp(t, url, 30)
		templates, err := notify.LoadTemplates("")
		check(t, err)
		server, err := notify.NewServer(pit.URL, "Perennial <noreply@p.example.com>", templates, pit.Roots)
		check(t, err)
		f.now = time.Date(2026, 11, 1, 0, 30, 0, 0, time.UTC)
		f.work(f.deliverer(server), func() bool {
			runs, err := f.store.Runs(t.Context(), time.Time{}, 1)
			check(t, err)
			return len(runs) == 1 && !runs[0].FinishedAt.IsZero() && runs[0].RunDate.Month() == time.November &&
				len(f.unsent()) == 0
		})
		got := pit.Messages()
		ids := map[string]bool{}
		for _, m := range got {
			ids[m.MessageID] = true
			if m.Subject != "Tenant Certificate is going to expire soon" &&
				m.Subject != "M-user Certificate is going to expire soon" {
				t.Errorf("subject %q", m.Subject)
			}
			if strings.HasPrefix(m.To[0].Address, "alice") &&
				!strings.Contains(m.Raw, "List-Unsubscribe: <https://p.example.com/unsubscribe/") {
				t.Error("a subscriber cannot unsubscribe")
			}
		}
		if len(got) != 60 || len(ids) != 60 {
			t.Errorf("%d mails with %d Message-IDs", len(got), len(ids))
		}
		if _, err := f.store.VerifyEvents(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// An answers is a mail server that answers each letter as the test says.
type answers struct {
	mu     sync.Mutex
	answer func(l notify.Addressed, try int) error
	tries  map[string]int
}

func (a *answers) Send(_ context.Context, letters []notify.Addressed, answered func(int, error) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tries == nil {
		a.tries = map[string]int{}
	}
	for i, l := range letters {
		a.tries[l.MessageID]++
		if err := answered(i, a.answer(l, a.tries[l.MessageID])); err != nil {
			return err
		}
	}
	return nil
}

func TestAMailThatFailsIsTriedAgainAndOneThatIsRefusedIsDead(t *testing.T) {
	t.Parallel()
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		t.Parallel()
		f := setUp(t, url, 2)
		f.now = time.Date(2026, 11, 1, 0, 30, 0, 0, time.UTC)
		s := &answers{answer: func(l notify.Addressed, try int) error {
			switch {
			case strings.HasPrefix(l.Address, "ina@t0"):
				return &notify.Refusal{Fault: notify.OfRecipient, Final: true, Reply: errors.New("no such user")}
			case strings.HasPrefix(l.Address, "alice@t1") && try == 1:
				return errors.New("the connection was dropped after DATA")
			}
			return nil
		}}
		f.work(f.deliverer(s), func() bool {
			n := f.unsent()
			return n[tenancy.MailDead] == 1 && n[tenancy.MailQueued] == 0
		})
		dead, err := f.store.Mails(t.Context(), "", tenancy.MailDead, "", 10)
		check(t, err)
		if len(dead) != 1 || dead[0].Attempts != 1 || !strings.Contains(dead[0].LastError, "could not be sent") {
			t.Errorf("dead: %+v", dead)
		}
		var tries []int
		for _, n := range s.tries {
			tries = append(tries, n)
		}
		slices.Sort(tries)
		if !slices.Equal(tries, []int{1, 1, 1, 2}) {
			t.Errorf("tries %v: only what failed is tried again, under its own Message-ID", tries)
		}
	})
}

func TestHeldMailsAreSentWhenTheServerAcceptsOne(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, 3)
		f.now = time.Date(2026, 11, 1, 0, 30, 0, 0, time.UTC)
		var fixed atomic.Bool
		s := &answers{answer: func(notify.Addressed, int) error {
			if fixed.Load() {
				return nil
			}
			return &notify.Refusal{Fault: notify.Ours, Session: true, Reply: errors.New("535 5.7.8 login failed")}
		}}
		held := func() bool {
			hold, err := f.store.MailHold(t.Context())
			check(t, err)
			return !hold.Since.IsZero()
		}
		d := f.deliverer(s)
		f.work(d, held)
		if n := f.unsent(); n[tenancy.MailQueued] != 6 || n[tenancy.MailDead] != 0 {
			t.Errorf("%v", n)
		}
		// The next start tries one mail, and the others follow, although 15 minutes have not passed.
		fixed.Store(true)
		f.work(d, func() bool { return len(f.unsent()) == 0 && !held() })
	})
}

func TestMailsThatWaitedAreSentOnceAServerIsConfigured(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, 3, func(c *lifecycle.Config) { c.Outbox = nil })
		_, err := f.engine.Run(t.Context(), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), f.now.AddDate(0, 10, 0))
		check(t, err)
		if n := f.unsent(); n[tenancy.MailWaiting] != 6 {
			t.Fatalf("got %v", n)
		}
		s := &answers{answer: func(notify.Addressed, int) error { return nil }}
		f.work(f.deliverer(s), func() bool { return len(f.unsent()) == 0 })
		if len(s.tries) != 6 {
			t.Errorf("%d mails sent", len(s.tries))
		}
	})
}

func TestAJobThatWasLostWithItsProcessIsDoneByTheNextStart(t *testing.T) {
	f := setUp(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), 1)
	_, err := f.engine.Run(t.Context(), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), f.now.AddDate(0, 10, 0))
	check(t, err)
	const lost = "UPDATE river_job SET state = 'running', attempted_at = CURRENT_TIMESTAMP, attempt = 1"
	if _, err := f.store.DB().Exec(lost); err != nil {
		t.Fatal(err)
	}
	s := &answers{answer: func(notify.Addressed, int) error { return nil }}
	f.work(f.deliverer(s), func() bool { return len(f.unsent()) == 0 })
}

func TestAPartThatWasLostWithItsProcessIsFreeAtOnceOnSQLite(t *testing.T) {
	f := setUp(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), 3, parts(t))
	start := time.Date(2026, 12, 1, 0, 30, 0, 0, time.UTC)
	f.now = start
	// The previous process began the run, claimed its part and was killed.
	run := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		_, err1 := tx.StartRun(t.Context(), tenancy.Run{RunDate: run, Policy: "perennial", StartedAt: start})
		err2 := tx.AddParts(t.Context(), []store.Part{{RunDate: run, Number: 1, Until: store.End(start.AddDate(1, 0, 0))}})
		_, err3 := tx.ClaimPart(t.Context(), run, 1, start, time.Hour)
		return errors.Join(err1, err2, err3)
	}))
	f.work(nil, func() bool {
		got, err := f.store.Run(t.Context(), run)
		return err == nil && got.Renewed == 6 && !got.FinishedAt.IsZero()
	})
}

func TestTheReplicasOfAServiceShareARunAndKeepItsLimitsTogether(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		var asked []int
		var mu sync.Mutex
		f := setUp(t, url, 12, parts(t), func(c *lifecycle.Config) {
			c.PartSize = 5
			c.Pace = func(_ context.Context, n int) error {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, n)
				return nil
			}
		})
		f.now = time.Date(2026, 12, 1, 0, 30, 0, 0, time.UTC)
		finished := func() bool {
			run, err := f.store.LatestRun(t.Context())
			return err == nil && run.Renewed > 0 && !run.FinishedAt.IsZero()
		}
		f.work(nil, finished)
		run, err := f.store.LatestRun(t.Context())
		check(t, err)
		sum := 0
		for _, n := range asked {
			sum += n
		}
		if run.Renewed != 24 || len(asked) != 5 || sum != 24 {
			t.Errorf("%+v; asked the issuer for %v", run, asked)
		}
	})
}

func TestAPartOfALostReplicaIsContinuedWhenItsLeaseEnds(t *testing.T) {
	t.Parallel()
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		t.Parallel()
		const lease = 2 * time.Second
		f := setUp(t, url, 12, parts(t), func(c *lifecycle.Config) { c.PartSize, c.PartLease = 5, lease })
		start := time.Date(2026, 12, 1, 0, 30, 0, 0, time.UTC)
		f.now = start
		check(t, f.engine.Tick(t.Context(), start))
		// A replica claimed a part and died. Another one gets its job before the lease ends.
		run, err := f.store.LatestRun(t.Context())
		check(t, err)
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.ClaimPart(t.Context(), run.RunDate, 1, start, lease)
			return err
		}))
		f.work(nil, func() bool {
			run, err := f.store.LatestRun(t.Context())
			var waiting int
			const query = "SELECT COUNT(*) FROM river_job WHERE kind = 'run_part' AND attempted_at IS NOT NULL AND state IN " +
				"('available', 'scheduled')"
			check(t, f.store.DB().QueryRow(query).Scan(&waiting))
			if err == nil && waiting == 1 && run.Renewed == 24-5 { // the other parts are done
				f.mu.Lock()
				f.now = start.Add(lease)
				f.mu.Unlock()
			}
			return err == nil && run.Renewed == 24 && !run.FinishedAt.IsZero()
		})
	})
}

func TestALimitHoldsForAllReplicasTogether(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, 0)
		// Four replicas reserve two at a time for ten seconds, on a clock that advances when all of them wait.
		start := f.now
		taken, now := 0, start
		for now.Before(start.Add(10 * time.Second)) {
			next := now.Add(time.Minute)
			for range 4 {
				wait, err := f.store.Reserve(t.Context(), "issuer", 2, 5, now)
				check(t, err)
				if wait == 0 {
					taken += 2
				} else if at := now.Add(wait); at.Before(next) {
					next = at
				}
			}
			now = next
		}
		if taken != 50 {
			t.Errorf("%d in ten seconds at five a second", taken)
		}
		// A replica whose clock was a year ahead does not stop the others for a year.
		_, err := f.store.Reserve(t.Context(), "issuer", 1, 1, now.AddDate(1, 0, 0))
		check(t, err)
		if wait, err := f.store.Reserve(t.Context(), "issuer", 1, 1, now); err != nil || wait != 0 {
			t.Errorf("wait %v, %v", wait, err)
		}
	})
}

func TestMailsThatWaitForTheRateLimitLoseNoTry(t *testing.T) {
	f := setUp(t, testenv.Postgres(t), 3)
	f.now = time.Date(2026, 11, 1, 0, 30, 0, 0, time.UTC)
	check(t, f.engine.Tick(t.Context(), f.clock()))
	worker := deliverWorker{config: &Config{Store: f.store,
		Deliverer: f.deliverer(&answers{}), MailRate: 1, Now: f.clock}}
	mails, err := f.store.CountMails(t.Context())
	check(t, err)
	if mails[tenancy.MailQueued] == 0 {
		t.Fatal("no mail")
	}
	if wait, err := f.store.Reserve(t.Context(), "mail", 60, 1, f.clock()); err != nil || wait != 0 {
		t.Fatal(wait, err)
	}
	err = worker.Work(t.Context(), &river.Job[deliverArgs]{JobRow: &rivertype.JobRow{Attempt: 1, MaxAttempts: 1},
		Args: deliverArgs{[]string{"a"}}})
	var snooze *river.JobSnoozeError
	if !errors.As(err, &snooze) || snooze.Duration != time.Minute {
		t.Errorf("%v", err)
	}
}
