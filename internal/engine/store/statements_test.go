package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A breaker makes one statement of an operation fail: the first from each place in the code, in turn.
type breaker struct {
	t     *testing.T
	armed atomic.Bool
	sites atomic.Pointer[testenv.CallSites]
	at    atomic.Pointer[string] // the statement that failed
	skip  string                 // begins statements that never fail
}

func newBreaker(t *testing.T, stores ...*Store) *breaker {
	b := &breaker{t: t}
	for _, s := range stores {
		s.BeforeStatements(b.check)
	}
	return b
}

func (b *breaker) check(query string) error {
	if b.skip != "" && strings.HasPrefix(query, b.skip) || !b.armed.Load() || !b.sites.Load().Add() {
		return nil
	}
	b.armed.Store(false)
	b.at.Store(&query)
	return errFault
}

// breaks runs an operation in which a statement fails that is executed from a new place, and returns that statement, or
// "" if there is no such place left.
func (b *breaker) breaks(operation func() error) (at string, err error) {
	b.at.Store(nil)
	b.armed.Store(true)
	err = operation()
	b.armed.Store(false)
	if failed := b.at.Load(); failed != nil {
		return *failed, err
	}
	return "", err
}

// each runs an operation once for each place in the code from which it executes a statement, and the first statement
// from there fails. The test fails unless the operation reports it. An operation that fails must leave the database as
// it was. It succeeds in the end.
func (b *breaker) each(least int, operation func() error) {
	b.t.Helper()
	b.sites.Store(new(testenv.CallSites))
	for n := 0; ; n++ {
		at, err := b.breaks(operation)
		if at == "" {
			must(b.t, err)
			if n < least {
				b.t.Errorf("statements of %d places failed, want at least %d", n, least)
			}
			return
		}
		// A statement whose context has ended before it was sent counts as one on a bad connection.
		if !errors.Is(err, errFault) && !errors.Is(err, context.Canceled) && !errors.Is(err, driver.ErrBadConn) {
			b.t.Errorf("no error although a statement fails, but %v: %s", err, at)
		}
	}
}

// TraceQueryStart implements [pgx.QueryTracer]. A statement whose context has ended fails.
func (b *breaker) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	return b.end(ctx, d.SQL)
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (b *breaker) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceCopyFromStart implements [pgx.CopyFromTracer].
func (b *breaker) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceCopyFromStartData) context.Context {
	return b.end(ctx, "COPY "+d.TableName.Sanitize())
}

// TraceCopyFromEnd implements [pgx.CopyFromTracer].
func (b *breaker) TraceCopyFromEnd(context.Context, *pgx.Conn, pgx.TraceCopyFromEndData) {}

func (b *breaker) end(ctx context.Context, query string) context.Context {
	at := b.at.Load()
	again := at != nil && *at == query // database/sql tries it on other connections
	if b.check(query) == nil && !again {
		return ctx
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	return ended
}

// postgres opens a new database on PostgreSQL whose statements the breaker makes fail.
func (b *breaker) postgres() *Store {
	b.t.Helper()
	config, err := pgx.ParseConfig(migrated.Postgres(b.t))
	must(b.t, err)
	config.Tracer = b
	db := stdlib.OpenDB(*config)
	b.t.Cleanup(func() { db.Close() })
	return &Store{Reader: Reader{db, Postgres}, writer: db, reader: db}
}

func TestAMoveReportsEachStatementThatFails(t *testing.T) {
	from := lite(t)
	b := newBreaker(t, from)
	to := b.postgres()
	b.each(12, func() error { return from.Move(t.Context(), to, nothingMore, func(Moved) {}) })
}

func TestPartitionsAreMadeAgainAfterEachStatementThatFails(t *testing.T) {
	b := newBreaker(t)
	s := b.postgres()
	must(t, s.TurnMessageLog(t.Context(), now.AddDate(0, 0, -30), now.AddDate(0, 0, -60)))
	b.each(6, func() error { return s.TurnMessageLog(t.Context(), now, now.AddDate(0, 0, -1)) })
}

func TestATransactionReportsEachStatementOfPostgreSQLThatFails(t *testing.T) {
	b := newBreaker(t)
	s := b.postgres()
	var changed []string
	defer s.OnChange(func(id string) { changed = append(changed, id) })()
	b.each(5, func() error {
		return write(t, s, func(ctx context.Context, tx *Tx) error {
			tx.Changed("acme")
			_, err := tx.LockParked(ctx, "acme")
			return err
		})
	})
	if fmt.Sprint(changed) != "[acme]" { // after the one that succeeded
		t.Errorf("notified of changes of %q", changed)
	}
	b.each(1, func() error { return s.Writable(t.Context()) })
	ran := 0
	b.each(2, func() error { return s.Exclusively(t.Context(), 7, func() error { ran++; return nil }) })
	if ran != 2 { // without the lock it does not run; an error of unlocking comes afterwards
		t.Errorf("ran %d times", ran)
	}
}

// The schema of the release before is brought up to date. Whatever fails, the next start continues.
func TestAnUpgradeReportsEachStatementThatFails(t *testing.T) {
	s, err := connect(t.Context(), migrated.SQLite(t))
	must(t, err)
	defer s.Close()
	p, err := s.migrator()
	must(t, err)
	_, target, err := p.GetVersions(t.Context())
	must(t, err)
	b := newBreaker(t, s)
	b.skip = "SELECT tstamp" // goose takes its failure as a table that does not exist
	b.each(8, func() error {
		s.BeforeStatements(nil)
		_, err := p.DownTo(t.Context(), target-1)
		must(t, err)
		s.BeforeStatements(b.check)
		return s.migrate(t.Context())
	})
	oldest, err := oldestProgram(migrations)
	must(t, err)
	if got, err := s.Setting(t.Context(), oldestProgramSetting); err != nil || got != fmt.Sprint(oldest) {
		t.Errorf("programs from schema %q on are supported, want %d: %v", got, oldest, err)
	}
	b.each(3, func() error { return s.migrate(t.Context()) }) // nothing to do
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
		_, err := tx.exec(ctx, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (?, 1)", target+1)
		return err
	}))
	b.each(2, func() error { return s.migrate(t.Context()) }) // a newer schema with additions
}

// Until a migration has ended, no program of the release before may start: a crash could leave it half done.
func TestAnUpgradeThatIsInterruptedKeepsOlderProgramsOut(t *testing.T) {
	s, err := connect(t.Context(), migrated.SQLite(t))
	must(t, err)
	defer s.Close()
	p, err := s.migrator()
	must(t, err)
	_, target, err := p.GetVersions(t.Context())
	must(t, err)
	_, err = p.DownTo(t.Context(), target-1)
	must(t, err)
	s.BeforeStatements(func(query string) error {
		if strings.Contains(query, "INSERT INTO goose_db_version") {
			return errFault
		}
		return nil
	})
	if err := s.migrate(t.Context()); !errors.Is(err, errFault) {
		t.Errorf("got %v", err)
	}
	s.BeforeStatements(nil)
	if got, err := s.Setting(t.Context(), oldestProgramSetting); err != nil || got != fmt.Sprint(target) {
		t.Errorf("programs from schema %q on are supported, want %d: %v", got, target, err)
	}
}

func TestEachStatementOfALongerOperationMustSucceed(t *testing.T) {
	s := lite(t)
	b := newBreaker(t, s)
	for i := range 5 {
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.Audit(ctx, tenancy.NewEvent(now, "test", fmt.Sprint("a", i), "acme", "o", nil))
		}))
	}
	head, err := s.EventHead(t.Context())
	must(t, err)
	b.each(3, func() error {
		_, _, err := s.searchEvents(t.Context(), EventChoice{Tenant: "acme"}, 0, 10, 2)
		return err
	})
	b.each(2, func() error { _, err := s.VerifyEvents(t.Context()); return err })
	b.each(2, func() error { return s.VerifyHeads(t.Context(), []tenancy.Chain{head, {Hash: head.Hash}}) })
	_, err = s.Reserve(t.Context(), "n", 1, 1, now)
	must(t, err)
	b.each(2, func() error { _, err := s.Reserve(t.Context(), "n", 1, 1, now); return err })
	b.each(3, func() error { _, err := s.Reserve(t.Context(), "n", 1, 1, now.Add(-2*time.Hour)); return err })
	b.each(2, func() error { _, _, err := s.CountByIssuer(t.Context()); return err })
	backups := 0
	b.each(1, func() error {
		backups++
		return s.Backup(t.Context(), filepath.Join(t.TempDir(), fmt.Sprint(backups)))
	})
}

func TestWhatIsStoredAtTheFirstCallMustBeStored(t *testing.T) {
	s := lite(t)
	b := newBreaker(t, s)
	b.each(3, func() error { _, err := s.InstalledAt(t.Context(), now); return err })
	if got, err := s.InstalledAt(t.Context(), now.Add(time.Hour)); err != nil || !got.Equal(now) {
		t.Errorf("installed at %s, %v", got, err)
	}
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetSetting(ctx, longestLifetime, "") }))
	b.each(4, func() error { _, err := s.LongestValidity(t.Context(), 50*365*day); return err })
}

// Between the look at a claim and the claim itself, another replica may claim the work, or the claim may fail.
func TestWorkIsDoneOnlyByTheReplicaWhoseClaimIsStored(t *testing.T) {
	s := lite(t)
	works := 0
	once := func() (bool, error) {
		return s.Once(t.Context(), ClaimHead, "mail/2026-11-01", now, func(*Tx) error { works++; return nil })
	}
	s.BeforeStatements(func(query string) error {
		if strings.HasPrefix(query, "INSERT INTO claims") {
			return errFault
		}
		return nil
	})
	if did, err := once(); did || !errors.Is(err, errFault) || works != 0 {
		t.Errorf("a claim that fails: done %v, %d times, %v", did, works, err)
	}
	s.BeforeStatements(nil)
	_, err := s.writer.ExecContext(t.Context(), "CREATE TRIGGER faster BEFORE INSERT ON claims BEGIN "+
		"SELECT RAISE(IGNORE); END")
	must(t, err)
	if did, err := once(); did || err != nil || works != 0 {
		t.Errorf("a claim of another replica: done %v, %d times, %v", did, works, err)
	}
}

// An attempt that does not lock its pair costs two statements: that which forgets old ones, and that which counts.
func TestAnAttemptToSignInIsLockedOnlyForAWhile(t *testing.T) {
	s := lite(t)
	for wait, want := range map[time.Duration]int{0: 2, time.Minute: 3} {
		statements := 0
		s.BeforeStatements(func(string) error { statements++; return nil })
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			_, _, err := tx.CountSignIn(ctx, "olga", fmt.Sprint("network ", want), now,
				func(int) time.Duration { return wait })
			return err
		}))
		if statements != want {
			t.Errorf("an attempt that locks for %v has %d statements, want %d", wait, statements, want)
		}
	}
}

// SQLite finds a violated constraint at the commit if the transaction asks it to.
func TestACommitThatFailsIsAnErrorAndNotifiesNothing(t *testing.T) {
	s := lite(t)
	notified := 0
	defer s.OnChange(func(string) { notified++ })()
	defer s.OnCommit(func() { notified++ })()
	wants(t, write(t, s, func(ctx context.Context, tx *Tx) error {
		tx.Changed("acme")
		if _, err := tx.exec(ctx, "PRAGMA defer_foreign_keys = ON"); err != nil {
			return err
		}
		return tx.CreateReceivers(ctx, tenancy.Receiver{ID: "r", TenantID: "unknown", Name: "r"})
	}), tenancy.ErrConflict)
	if notified != 0 {
		t.Errorf("%d listeners were called", notified)
	}
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetSetting(ctx, "a", "b") }))
	if notified != 1 {
		t.Errorf("%d listeners were called after a commit", notified)
	}
}

func TestNothingIsReadForNoIDsAndWrittenForNoRows(t *testing.T) {
	s := lite(t)
	statements := 0
	s.BeforeStatements(func(string) error { statements++; return nil })
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
		n, err := insertMessages.write(ctx, tx, 0, nil)
		if n != 0 {
			t.Errorf("%d rows", n)
		}
		return errors.Join(err, tx.Audit(ctx))
	}))
	groups, err := s.ArrangementsOf(t.Context(), nil)
	if err != nil || groups == nil || len(groups) != 0 {
		t.Errorf("%v, %v", groups, err)
	}
	rows, err := s.CertificatesByID(t.Context(), nil)
	if err != nil || rows == nil || len(rows) != 0 {
		t.Errorf("%v, %v", rows, err)
	}
	mails, err := s.QueuedMails(t.Context(), nil)
	if err != nil || len(mails) != 0 {
		t.Errorf("%v, %v", mails, err)
	}
	if statements != 0 {
		t.Errorf("%d statements", statements)
	}
}

// On SQLite, rows are written one by one.
func TestWritingManyRowsEndsWithTheContext(t *testing.T) {
	s := lite(t)
	ctx, cancel := context.WithCancel(t.Context())
	must(t, write(t, s, func(_ context.Context, tx *Tx) error {
		n, err := bulkInsert("settings", "name text", "value text").write(ctx, tx, 3, func(i int) []any {
			if i == 1 {
				cancel()
			}
			return []any{fmt.Sprint("row-", i), ""}
		})
		if n != 2 || !errors.Is(err, context.Canceled) {
			t.Errorf("%d rows, %v", n, err)
		}
		return nil
	}))
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
		once := bulkInsert("settings", "name text", "value text").oncePer("name")
		n, err := once.write(ctx, tx, 3, func(i int) []any { return []any{fmt.Sprint("row-", i), ""} })
		if n != 1 {
			t.Errorf("%d rows that were not there", n)
		}
		return err
	}))
}
