package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/tenanttest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var now = time.Date(2026, 11, 1, 0, 0, 0, 123000, time.UTC)

var migrated = testenv.NewTemplate(func(url string) error {
	s, err := Open(context.Background(), url)
	if err != nil {
		return err
	}
	return s.Close()
})

func each(t *testing.T, test func(t *testing.T, s *Store)) {
	migrated.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		t.Cleanup(func() { s.Close() })
		test(t, s)
	})
}

func TestAClosedStoreReadsAndWritesNothing(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		must(t, s.Close())
		if _, err := s.Tenants(t.Context(), "", 1); err == nil {
			t.Error("it reads")
		}
		if err := s.InTx(t.Context(), func(*Tx) error { return nil }); err == nil {
			t.Error("it writes")
		}
	})
}

func write(t *testing.T, s *Store, fn func(ctx context.Context, tx *Tx) error) error {
	t.Helper()
	return s.InTx(t.Context(), func(tx *Tx) error { return fn(t.Context(), tx) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("got %v, want %v", err, kind)
	}
}

// acme stores a tenant with two key users and a generation that expires at notAfter.
func acme(t *testing.T, s *Store, name string, notAfter time.Time) (tenancy.Tenant, tenancy.Certificate) {
	t.Helper()
	tenant := tenancy.Tenant{ID: "t-" + name, Name: name, DisplayName: "Ácme \"" + name + "\"", KeyType: tenancy.P256,
		CreatedAt: now, Version: 1}
	cert := tenancy.Certificate{ID: "c-" + name, TenantID: tenant.ID, Purpose: tenancy.ForTenant, Generation: 1,
		State: tenancy.Active, Serial: "01", Fingerprint: strings.Repeat("a", 64),
		Subject: "CN=" + name, NotBefore: notAfter.AddDate(-1, 0, 0), NotAfter: notAfter, KeyType: tenancy.P256,
		DER: []byte{1, 2}, IssuerID: "ca", CreatedAt: now}
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
		if err := tx.CreateTenants(ctx, tenant); err != nil {
			return err
		}
		for _, u := range []string{"alice", "bob"} {
			if err := tx.CreateKeyUsers(ctx, tenancy.KeyUser{ID: name + "-" + u, TenantID: tenant.ID, Name: u,
				Email: u + "@example.com", UnsubscribeToken: name + u, CreatedAt: now, Version: 1}); err != nil {
				return err
			}
		}
		return tx.AddCertificates(ctx, []SealedCertificate{{Certificate: cert, SealedKey: []byte("sealed")}})
	}))
	return tenant, cert
}

func TestARecordReadsBackAsWritten(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		tenant, cert := acme(t, s, "acme", now.AddDate(0, 3, 0))
		got, err := s.Tenant(t.Context(), "acme")
		must(t, err)
		if got != tenant {
			t.Errorf("got %+v, want %+v", got, tenant)
		}
		c, err := s.Newest(t.Context(), tenant.ID, tenancy.ForTenant)
		must(t, err)
		if fmt.Sprint(c) != fmt.Sprint(cert) {
			t.Errorf("got %+v, want %+v", c, cert)
		}
		key, err := s.SealedKey(t.Context(), cert.ID)
		must(t, err)
		if string(key) != "sealed" {
			t.Errorf("got %q", key)
		}
		_, err = s.Tenant(t.Context(), "nobody")
		wants(t, err, tenancy.ErrNotFound)
		if err.Error() != "there is no tenant nobody" {
			t.Error(err)
		}
	})
}

func TestNamesAreUniqueAndChangesNeedTheCurrentVersion(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		tenant, _ := acme(t, s, "acme", now)
		again := tenant
		again.ID = "other"
		wants(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.CreateTenants(ctx, again)
		}), tenancy.ErrConflict)
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.UpdateTenant(ctx, tenant) }))
		wants(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.UpdateTenant(ctx, tenant)
		}), tenancy.ErrStale)
	})
}

func TestAReceiverInUseIsNotDeleted(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		tenant, _ := acme(t, s, "acme", now)
		arrangement := tenancy.Arrangement{Name: "crm-to-erp", TenantID: tenant.ID, ReceiverID: "r", CreatedAt: now}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) (err error) {
			arrangement, err = tenanttest.Arrangement(ctx, tx, arrangement)
			return err
		}))
		wants(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.DeleteReceiver(ctx, tenancy.Receiver{ID: "r", TenantID: tenant.ID, Version: 1})
		}), tenancy.ErrConflict)
		arrangement.Generation = 2
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.CutOver(ctx, []tenancy.Arrangement{arrangement}, now)
		}))
		got, err := s.Arrangement(t.Context(), tenant.ID, "crm-to-erp")
		must(t, err)
		if got.Generation != 2 || got.Version != 2 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestDueListsByExpiryWhatTheRunHasNotDealtWith(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		for i, name := range []string{"c", "a", "b", "far"} {
			acme(t, s, name, now.AddDate(0, 0, 10*(i+1)))
		}
		until := now.AddDate(0, 0, 30)
		due := func(run time.Time) (names string) {
			var after Position
			for { // pages of one
				page, err := s.Due(t.Context(), run, after, End(until), 1)
				must(t, err)
				if len(page) == 0 {
					return names
				}
				names += page[0].ID
				after = Position{page[0].NotAfter, page[0].ID}
			}
		}
		if got := due(now); got != "c-cc-ac-b" {
			t.Errorf("got %s", got)
		}
		notice := tenancy.Notice{ID: "n", TenantID: "t-a", CertificateID: "c-a", Kind: tenancy.Expiring, Subject: "s",
			RunDate: now, CreatedAt: now, DedupKey: "run/1"}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.AddNotices(ctx, []tenancy.Notice{notice}), tx.MarkWarned(ctx, []string{"c-a"}, now))
		}))
		if got := due(now); got != "c-cc-b" {
			t.Errorf("after its notice: %s", got)
		}
		if got := due(now.AddDate(0, 1, 0)); got != "c-cc-ac-b" {
			t.Errorf("in the next run: %s", got)
		}
		wants(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.MarkWarned(ctx, []string{"c-a"}, now)
		}), tenancy.ErrConflict)
		notice.ID = "n2"
		wants(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.AddNotices(ctx, []tenancy.Notice{notice})
		}), tenancy.ErrConflict)
	})
}

func TestOneCertificateHasOneSuccessor(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		tenant, cert := acme(t, s, "acme", now)
		next := cert
		next.ID, next.Generation = "c2", 2
		renew := func() error {
			return write(t, s, func(ctx context.Context, tx *Tx) error {
				old := cert
				old.SuccessorID, old.State = "c2", tenancy.Retired
				if err := tx.Succeed(ctx, []tenancy.Certificate{old}); err != nil {
					return err
				}
				return tx.AddCertificates(ctx, []SealedCertificate{{Certificate: next, SealedKey: []byte("k")}})
			})
		}
		must(t, renew())
		wants(t, renew(), tenancy.ErrConflict)
		all, err := s.Certificates(t.Context(), tenant.ID, "", 10)
		must(t, err)
		if len(all) != 2 || all[0].SuccessorID != "c2" || all[0].State != tenancy.Retired {
			t.Errorf("got %+v", all)
		}
		if key, err := s.SealedKey(t.Context(), cert.ID); err != nil || key != nil {
			t.Errorf("the key is still there although its certificate is retired: %q, %v", key, err)
		}
		var n int64
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			if _, err := tx.exec(ctx, "UPDATE certificates SET sealed_key = ? WHERE id = ?", []byte("k"), cert.ID); err != nil {
				return err
			}
			n, err = tx.DestroyOldKeys(ctx, now)
			return err
		}))
		if key, _ := s.SealedKey(t.Context(), cert.ID); n != 1 || key != nil {
			t.Errorf("the key that an earlier release kept is still there: %d, %q", n, key)
		}
		if key, _ := s.SealedKey(t.Context(), "c2"); key == nil {
			t.Error("the key in use was destroyed")
		}
	})
}

func TestTasksAndMailsReferToTheirNotice(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		tenant, cert := acme(t, s, "acme", now)
		users, _, err := s.KeyUsers(t.Context(), tenant.ID, Page{Limit: 10})
		must(t, err)
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			notice := tenancy.Notice{ID: "n", TenantID: tenant.ID, CertificateID: cert.ID, Kind: tenancy.Expiring,
				Subject: "subject", DueAt: now, CreatedAt: now, DedupKey: "run/1"}
			var tasks []tenancy.Task
			for _, u := range users {
				tasks = append(tasks, tenancy.Task{ID: "task-" + u.Name, TenantID: tenant.ID, KeyUserID: u.ID, NoticeID: "n",
					State: tenancy.TaskOpen, Version: 1})
			}
			mails := []tenancy.Mail{{ID: "m1", TenantID: tenant.ID, NoticeID: "n", Name: "a", Address: "a@b", MessageID: "m1@x",
				State: tenancy.MailWaiting, Designated: true}}
			return errors.Join(tx.AddNotices(ctx, []tenancy.Notice{notice}), tx.AddTasks(ctx, tasks), tx.AddMails(ctx, mails))
		}))
		of := TaskChoice{TenantID: tenant.ID, KeyUserID: users[1].ID, State: tenancy.TaskOpen}
		open, _, err := s.Tasks(t.Context(), of, Page{Limit: 10})
		must(t, err)
		if len(open) != 1 || open[0].KeyUser != "bob" || open[0].Subject != "subject" || open[0].DueAt != now {
			t.Fatalf("got %+v", open)
		}
		open[0].State, open[0].Note, open[0].CompletedAt = tenancy.TaskCompleted, "done\n\"it\"", now
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.UpdateTask(ctx, open[0]) }))
		of.KeyUserID = ""
		if open, _, _ = s.Tasks(t.Context(), of, Page{Limit: 10}); len(open) != 1 ||
			open[0].KeyUser != "alice" {
			t.Errorf("one completes for oneself: %+v", open)
		}
		var ids []string
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			queued, err := tx.QueueMails(ctx, tenancy.MailWaiting, 10)
			for _, m := range queued {
				ids = append(ids, m.ID)
			}
			return err
		}))
		mails, err := s.QueuedMails(t.Context(), ids)
		must(t, err)
		if len(mails) != 1 || !mails[0].Designated || mails[0].Subject != "subject" {
			t.Fatalf("got %+v", mails)
		}
		mails[0].State, mails[0].SentAt = tenancy.MailSent, now
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.UpdateMail(ctx, mails[0]) }))
		if counts, err := s.CountMails(t.Context()); err != nil || len(counts) != 0 {
			t.Errorf("got %v, %v", counts, err)
		}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.DeleteKeyUser(ctx, users[0]) }))
		if all, _, _ := s.Tasks(t.Context(), TaskChoice{TenantID: tenant.ID}, Page{Limit: 10}); len(all) != 1 {
			t.Errorf("the tasks of a deleted user: %+v", all)
		}
	})
}

func TestAScopingAnswerReplacesTheEarlierOne(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		tenant, _ := acme(t, s, "acme", now)
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.CreateScopingProjects(ctx, tenancy.ScopingProject{ID: "p", TenantID: tenant.ID, Name: tenancy.FirstProject,
				CreatedAt: now, Version: 1})
		}))
		for i, yes := range []bool{false, true} {
			must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
				return tx.AnswerQuestion(ctx, "p", int64(i+1),
					tenancy.Answer{Question: tenancy.MailForTasks, Yes: yes, By: "alice", At: now})
			}))
			projects, err := s.ScopingProjects(t.Context(), tenant.ID)
			must(t, err)
			if tenancy.InScope(projects, tenancy.MailForTasks) != yes || len(projects[0].Answers) != 1 {
				t.Errorf("got %+v", projects)
			}
		}
	})
}

func TestAnIdempotencyKeyIsRememberedOnce(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		var found *Remembered
		remember := func() error {
			return write(t, s, func(ctx context.Context, tx *Tx) (err error) {
				found, err = tx.Remember(ctx, "token", "key", "hash", now)
				return err
			})
		}
		must(t, remember())
		if found != nil {
			t.Fatal("a new key is known")
		}
		must(t, remember())
		if found == nil || found.Status != 0 || found.RequestHash != "hash" {
			t.Fatalf("got %+v", found)
		}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.RememberAnswer(ctx, "token", "key", Remembered{Status: 201, Body: []byte("body")})
		}))
		must(t, remember())
		if found.Status != 201 || string(found.Body) != "body" {
			t.Fatalf("got %+v", found)
		}
	})
}

func TestTheMessageLogIsReadBackwardsWhateverTheCollation(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		ids := []string{"019aa000-0000-7000-8000-000000000001", "019aa000-0000-7000-8000-00000000000f",
			"f19aa000-0000-7000-8000-000000000001"}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			var messages []tenancy.Message
			for _, id := range ids {
				messages = append(messages, tenancy.Message{ID: id, ArrangementID: "a", At: now, Method: "POST", Path: "/",
					Count: 1})
			}
			return tx.AddMessages(ctx, messages)
		}))
		before := ""
		for i := len(ids) - 1; i >= 0; i-- {
			page, err := s.Messages(t.Context(), "a", before, 1)
			must(t, err)
			if len(page) != 1 || page[0].ID != ids[i] {
				t.Fatalf("before %q: %v, want %s", before, page, ids[i])
			}
			before = page[0].ID
		}
	})
}

func TestARunDateIsInTheLedgerOnce(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		for i := range 2 {
			var started bool
			must(t, write(t, s, func(ctx context.Context, tx *Tx) (err error) {
				started, err = tx.StartRun(ctx, tenancy.Run{RunDate: now, Policy: "perennial", StartedAt: now})
				return errors.Join(err, tx.CountRun(ctx, now, 1, 2, 3))
			}))
			if started != (i == 0) {
				t.Errorf("try %d: started is %v", i, started)
			}
		}
		unfinished, err := s.UnfinishedRuns(t.Context())
		must(t, err)
		if len(unfinished) != 1 || unfinished[0].Renewed != 4 || unfinished[0].RunDate != now {
			t.Errorf("got %+v", unfinished)
		}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.FinishRun(ctx, now, now) }))
		if unfinished, _ = s.UnfinishedRuns(t.Context()); len(unfinished) != 0 {
			t.Errorf("got %+v", unfinished)
		}
	})
}

func TestTheLongestValidityIsRemembered(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		for _, c := range []struct{ now, want time.Duration }{{47 * time.Hour, 47 * time.Hour},
			{365 * time.Hour, 365 * time.Hour}, {47 * time.Hour, 365 * time.Hour}} {
			if got, err := s.LongestValidity(t.Context(), c.now); err != nil || got != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		}
	})
}

// A lifetime that is cut off would make a run look a moment too short.
func TestALifetimeIsRememberedInWholeSecondsThatContainIt(t *testing.T) {
	s := lite(t)
	for lifetime, want := range map[time.Duration]time.Duration{time.Second: time.Second, time.Second + 1: 2 * time.Second,
		2*time.Second - 1: 2 * time.Second, 1: time.Second} {
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			if _, err := tx.exec(ctx, "DELETE FROM settings WHERE name = ?", longestLifetime); err != nil {
				return err
			}
			return tx.rememberLifetime(ctx, lifetime)
		}))
		if got, err := s.longestLifetime(t.Context()); err != nil || got != want {
			t.Errorf("%v is remembered as %v, %v, want %v", lifetime, got, err, want)
		}
	}
}

func TestTheLifetimeOfAnImportedCertificateIsRemembered(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		longest := func(want time.Duration) {
			t.Helper()
			if got, err := s.LongestValidity(t.Context(), 47*day); err != nil || got != want {
				t.Errorf("got %s, %v; want %s", got, err, want)
			}
		}
		longest(47 * day)
		_, cert := acme(t, s, "acme", now.AddDate(0, 3, 0))
		longest(cert.NotAfter.Sub(cert.NotBefore))
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error { // as an earlier release left it
			_, err := tx.exec(ctx, "DELETE FROM settings WHERE name = ?", longestLifetime)
			return err
		}))
		longest(cert.NotAfter.Sub(cert.NotBefore))
	})
}

const day = 24 * time.Hour

func TestADatabaseOfANewerVersionIsRefused(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		if _, err := s.DB().Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)"); err != nil {
			t.Fatal(err)
		}
		must(t, s.InTx(t.Context(), func(tx *Tx) error {
			return tx.SetSetting(t.Context(), oldestProgramSetting, "99999")
		}))
		s.Close()
		if _, err = Open(t.Context(), url); err == nil || !strings.Contains(err.Error(), "written by a newer perennial") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTwoServicesOnOneSQLiteFileAreRefused(t *testing.T) {
	url := "sqlite:" + t.TempDir() + "/a b?c#d.db"
	first, err := OpenExclusive(t.Context(), url)
	must(t, err)
	if _, err := OpenExclusive(t.Context(), url); err == nil ||
		!strings.Contains(err.Error(), "another perennial (process ") {
		t.Errorf("got %v", err)
	}
	must(t, first.Close())
	second, err := OpenExclusive(t.Context(), url)
	must(t, err)
	must(t, second.Close())
}

func TestAPasswordNeverShowsInAMessage(t *testing.T) {
	_, err := Open(t.Context(), "postgres://me:s3cret@127.0.0.1:1/x?connect_timeout=1")
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
	_, err = Open(t.Context(), "mysql://me:s3cret@h/x")
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}

func TestUnsentMailsAreFoundWithoutLookingAtTheSentOnes(t *testing.T) {
	s, err := Open(t.Context(), migrated.SQLite(t))
	must(t, err)
	defer s.Close()
	plan, err := list(t.Context(), s.Reader, func(r row) (detail string, err error) {
		var id, parent, unused int
		err = r.Scan(&id, &parent, &unused, &detail)
		return detail, err
	}, "EXPLAIN QUERY PLAN SELECT id FROM mails m WHERE m.id > ? AND m.state = ? AND m.state <> 'sent' ORDER BY m.id "+
		"LIMIT 10", "", "dead")
	must(t, err)
	if len(plan) != 1 || !strings.Contains(plan[0], "INDEX mails_unsent (state=? AND id>?)") {
		t.Errorf("plan %q", plan)
	}
}

func TestMailsAreHeldOnceAndReleased(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		hold := tenancy.MailHold{Since: now, RetryAt: now.Add(time.Minute), Reason: "535 login failed"}
		in := func(fn func(ctx context.Context, tx *Tx) (bool, error)) (ok bool) {
			t.Helper()
			must(t, write(t, s, func(ctx context.Context, tx *Tx) (err error) {
				ok, err = fn(ctx, tx)
				return err
			}))
			return ok
		}
		for _, want := range []bool{true, false} {
			if first := in(func(ctx context.Context, tx *Tx) (bool, error) { return tx.HoldMails(ctx, hold) }); first != want {
				t.Errorf("first: %v, want %v", first, want)
			}
		}
		got, err := s.MailHold(t.Context())
		must(t, err)
		if got.Reason != hold.Reason || !got.RetryAt.Equal(hold.RetryAt.Truncate(time.Second)) {
			t.Errorf("%+v", got)
		}
		later := got
		later.RetryAt = now.Add(time.Hour)
		for _, want := range []bool{true, false} { // of two workers, one changes it
			ok := in(func(ctx context.Context, tx *Tx) (bool, error) { return tx.PostponeHold(ctx, got, later) })
			if ok != want {
				t.Errorf("changed: %v, want %v", ok, want)
			}
		}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetSetting(ctx, mailHold, "{") }))
		if _, err := s.MailHold(t.Context()); err == nil || !strings.Contains(err.Error(), mailHold) {
			t.Errorf("a setting that cannot be read: %v", err)
		}
	})
}

func TestMailsToAnotherDomainAreFound(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		tenant, cert := acme(t, s, "acme", now.AddDate(0, 1, 0))
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			notice := tenancy.Notice{ID: "n", TenantID: tenant.ID, CertificateID: cert.ID, Kind: tenancy.Expiring,
				Subject: "x", CreatedAt: now, DedupKey: "n"}
			if err := tx.AddNotices(ctx, []tenancy.Notice{notice}); err != nil {
				return err
			}
			return tx.AddMails(ctx, []tenancy.Mail{{ID: "m1", TenantID: tenant.ID, NoticeID: "n", MessageID: "1",
				Address: "a@Strict_x.example", State: tenancy.MailQueued}, {ID: "m2", TenantID: tenant.ID, NoticeID: "n",
				MessageID: "2", Address: "b@other.example", State: tenancy.MailSent}})
		}))
		for domain, want := range map[string]bool{"strict_x.example": false, "strictyx.example": true, "x.example": true,
			"other.example": true} {
			if found, err := s.QueuedElsewhere(t.Context(), domain); err != nil || found != want {
				t.Errorf("%s: %v, %v", domain, found, err)
			}
		}
	})
}
