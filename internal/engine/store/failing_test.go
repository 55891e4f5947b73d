package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// argument returns a value for a parameter that is not zero, because some methods do nothing for nothing.
func argument(t *testing.T, kind reflect.Type) reflect.Value {
	t.Helper()
	switch kind {
	case reflect.TypeFor[context.Context]():
		return reflect.ValueOf(t.Context())
	case reflect.TypeFor[time.Time]():
		return reflect.ValueOf(now)
	}
	v := reflect.New(kind).Elem()
	number := 1
	fill(v, "x", &number)
	return v
}

// A method that hides an error of the database would return a state that does not exist.
func TestEveryMethodReportsADatabaseWithoutItsTables(t *testing.T) {
	s, err := Open(t.Context(), migrated.SQLite(t))
	must(t, err)
	defer s.Close()
	tables, err := list(t.Context(), s.Reader, scanOne[string], "SELECT name FROM sqlite_master WHERE type = 'table' AND "+
		"name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
	must(t, err)
	conn, err := s.writer.Conn(t.Context())
	must(t, err)
	for _, statement := range append([]string{"PRAGMA foreign_keys = OFF"}, tables...) {
		if statement != "PRAGMA foreign_keys = OFF" {
			statement = "DROP TABLE " + statement
		}
		_, err := conn.ExecContext(t.Context(), statement)
		must(t, err)
	}
	must(t, conn.Close())
	tx, err := s.writer.BeginTx(t.Context(), nil)
	must(t, err)
	defer tx.Rollback()
	writing := &Tx{Reader{tx, SQLite}, tx, map[string]struct{}{}, &s.longest, s.follow.Load()}
	called := 0
	for name, all := range map[string]reflect.Value{"a reader": reflect.ValueOf(s.Reader),
		"a transaction": reflect.ValueOf(writing)} {
		for i := range all.NumMethod() {
			method, kind := all.Method(i), all.Type().Method(i)
			last := method.Type().NumOut() - 1
			if last < 0 || method.Type().Out(last) != reflect.TypeFor[error]() {
				continue
			}
			var in []reflect.Value
			for p := range method.Type().NumIn() {
				if method.Type().IsVariadic() && p == method.Type().NumIn()-1 {
					in = append(in, argument(t, method.Type().In(p).Elem()))
					continue
				}
				in = append(in, argument(t, method.Type().In(p)))
			}
			if kind.Name == "HasEvent" {
				in[1] = reflect.ValueOf("00ff")
			}
			out := method.Call(in)
			if out[last].IsNil() && kind.Name != "LockLinks" { // SQLite needs no lock
				t.Errorf("%s: %s returns no error", name, kind.Name)
			}
			called++
		}
	}
	if called < 150 {
		t.Errorf("%d methods were called", called)
	}
}

// Rows that cannot be scanned end a query with an error.
func TestAValueOfAnotherTypeIsAnError(t *testing.T) {
	s, err := Open(t.Context(), migrated.SQLite(t))
	must(t, err)
	defer s.Close()
	for name, query := range map[string]string{"an instant": "SELECT 'x'", "a document": "SELECT 1",
		"an invalid document": "SELECT '{'", "a document in bytes": "SELECT CAST('{' AS BLOB)"} {
		_, err := list(t.Context(), s.Reader, func(r row) (v struct{}, err error) {
			if name == "an instant" {
				return v, r.Scan(instant{new(time.Time)})
			}
			return v, r.Scan(document{&map[string]any{}})
		}, query)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, query := range []string{`SELECT '{"a":1}'`, `SELECT CAST('{"a":1}' AS BLOB)`} {
		found, err := list(t.Context(), s.Reader, func(r row) (v map[string]int, err error) {
			err = r.Scan(document{&v})
			return v, err
		}, query)
		if err != nil || len(found) != 1 || found[0]["a"] != 1 {
			t.Errorf("%s: %v, %v", query, found, err)
		}
	}
}

// A transaction that fails leaves nothing, and no listener is notified of a change that was not made.
func TestAFailedTransactionChangesAndNotifiesNothing(t *testing.T) {
	each(t, func(t *testing.T, s *Store) {
		var heard []string
		stop := s.OnChange(func(id string) { heard = append(heard, id) })
		full := fmt.Errorf("no room")
		if err := write(t, s, func(ctx context.Context, tx *Tx) error {
			tx.Changed("a")
			if err := tx.SetSetting(ctx, "name", "value"); err != nil {
				return err
			}
			return full
		}); err != full {
			t.Errorf("got %v", err)
		}
		if v, err := s.Setting(t.Context(), "name"); err != nil || v != "" || len(heard) != 0 {
			t.Errorf("%q is stored, %v, and %q were notified", v, err, heard)
		}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			tx.Changed("a")
			tx.Changed("b")
			tx.Changed("a")
			return tx.SetSetting(ctx, "name", "value")
		}))
		slices.Sort(heard)
		if v, err := s.Setting(t.Context(), "name"); err != nil || v != "value" || !slices.Equal(heard, []string{"a", "b"}) {
			t.Errorf("%q is stored, %v, and %q were notified", v, err, heard)
		}
		stop()
		must(t, write(t, s, func(_ context.Context, tx *Tx) error { tx.Changed("c"); return nil }))
		if len(heard) != 2 {
			t.Errorf("%q were notified after the end", heard)
		}
		if s.DB() == nil || s.Ping(t.Context()) != nil {
			t.Error("the database does not answer")
		}
		var inside *sql.Tx
		must(t, write(t, s, func(_ context.Context, tx *Tx) error { inside = tx.SQL(); return nil }))
		if inside == nil {
			t.Error("a transaction without one of database/sql")
		}
	})
}

func announced(ctx context.Context, tx *Tx) error {
	_, err := tx.Announcement(ctx, "known")
	return err
}

// A method that makes several changes reports whichever of them fails.
func TestEveryChangeOfAMethodMustSucceed(t *testing.T) {
	s := lite(t)
	tenant, err := s.Tenant(t.Context(), "acme")
	must(t, err)
	users, _, err := s.KeyUsers(t.Context(), tenant.ID, Page{Limit: 10})
	must(t, err)
	arrangements, _, err := s.Arrangements(t.Context(), tenant.ID, "", Page{Limit: 10})
	must(t, err)
	part := Part{RunDate: now, Number: 1, Until: End(now)}
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
		_, err := tx.StartRun(ctx, tenancy.Run{RunDate: now, StartedAt: now})
		return errors.Join(err, tx.AddParts(ctx, []Part{part}),
			tx.CreateScopingProjects(ctx, tenancy.ScopingProject{ID: "p", TenantID: tenant.ID, Name: "p", Version: 1}),
			tx.CreateImport(ctx, tenancy.Import{ID: "i", State: tenancy.ImportChecked, Problems: "[]"}, nil, "[]"),
			tx.AddImported(ctx, "i", tenancy.Imported{Tenant: "old", Made: "{}"}), announced(ctx, tx),
			tx.CreateAccount(ctx, tenancy.Account{ID: "one", Name: "olga", Role: tenancy.RoleOperator, Origin: "o"}))
	}))
	undone := errors.New("undone")
	for name, c := range map[string]struct {
		changes []string
		do      func(ctx context.Context, tx *Tx) error
	}{
		"SetITContacts": {[]string{"DELETE ON it_contacts", "INSERT ON it_contacts"}, func(ctx context.Context,
			tx *Tx) error {
			return tx.SetITContacts(ctx, tenant.ID, []tenancy.ITContact{{ID: "c", Version: 1}})
		}},
		"AddImported": {[]string{"INSERT ON import_items"}, func(ctx context.Context, tx *Tx) error {
			return tx.AddImported(ctx, "i", tenancy.Imported{Tenant: "new", Made: "{}"})
		}},
		"DropImported": {[]string{"DELETE ON import_items"}, func(ctx context.Context, tx *Tx) error {
			return tx.DropImported(ctx, "i", "old")
		}},
		"CreateImport": {[]string{"UPDATE ON imports", "INSERT ON imports"}, func(ctx context.Context, tx *Tx) error {
			return tx.CreateImport(ctx, tenancy.Import{ID: "j", State: tenancy.ImportChecked, Problems: "[]"}, nil, "[]")
		}},
		"DeleteKeyUser": {[]string{"DELETE ON tokens", "DELETE ON tasks", "DELETE ON key_users"}, func(ctx context.Context,
			tx *Tx) error {
			return tx.DeleteKeyUser(ctx, users[0])
		}},
		"AnswerQuestion": {[]string{"UPDATE ON scoping_projects", "INSERT ON scoping_answers"}, func(ctx context.Context,
			tx *Tx) error {
			return tx.AnswerQuestion(ctx, "p", 1, tenancy.Answer{Question: "q"})
		}},
		"ReleasePart": {[]string{"UPDATE ON run_parts", "UPDATE ON runs"}, func(ctx context.Context, tx *Tx) error {
			return tx.ReleasePart(ctx, part, 1, "x")
		}},
		"DonePart": {[]string{"UPDATE ON runs", "DELETE ON run_parts"}, func(ctx context.Context, tx *Tx) error {
			_, err := tx.DonePart(ctx, part)
			return err
		}},
		"Claim": {[]string{"INSERT ON claims", "INSERT ON settings"}, func(ctx context.Context, tx *Tx) error {
			_, err := tx.Claim(ctx, ClaimReminder, "s", now)
			return err
		}},
		"PruneClaims": {[]string{"DELETE ON claims", "DELETE ON settings"}, func(ctx context.Context, tx *Tx) error {
			return tx.PruneClaims(ctx, ClaimReminder, now)
		}},
		"Announcement": {[]string{"INSERT ON announcements", "INSERT ON settings"}, func(ctx context.Context, tx *Tx) error {
			_, err := tx.Announcement(ctx, "ca")
			return err
		}},
		"AdvanceAnnouncement": {[]string{"UPDATE ON settings", "UPDATE ON announcements"}, func(ctx context.Context,
			tx *Tx) error {
			_, err := tx.AdvanceAnnouncement(ctx, "known", "", "x")
			return err
		}},
		"CutOver": {[]string{"UPDATE ON arrangements", "INSERT ON evidence"}, func(ctx context.Context, tx *Tx) error {
			return tx.CutOver(ctx, arrangements, now)
		}},
		"ForgetEvidence": {[]string{"DELETE ON evidence", "UPDATE ON arrangements"}, func(ctx context.Context, tx *Tx) error {
			return tx.ForgetEvidence(ctx, arrangements[0].ID)
		}},
		"AddCertificates": {[]string{"INSERT ON settings", "INSERT ON certificates"}, func(ctx context.Context,
			tx *Tx) error {
			return tx.AddCertificates(ctx, []SealedCertificate{{SealedKey: []byte{1}, Certificate: tenancy.Certificate{
				ID: "c9", TenantID: tenant.ID, Generation: 9, NotBefore: now, NotAfter: now.AddDate(9, 0, 0), DER: []byte{1}}}})
		}},
		"Audit": {[]string{"UPDATE ON event_head", "INSERT ON events"}, func(ctx context.Context, tx *Tx) error {
			return tx.Audit(ctx, tenancy.NewEvent(now, "a", "b", "", "", nil))
		}},
		"ClearRights": {[]string{"UPDATE ON accounts", "DELETE ON passkeys", "DELETE ON sessions"}, func(ctx context.Context,
			tx *Tx) error {
			return tx.ClearRights(ctx, "one")
		}},
		"SetOnce": {[]string{"INSERT ON settings"}, func(ctx context.Context, tx *Tx) error {
			_, err := tx.SetOnce(ctx, "n", "v")
			return err
		}},
	} {
		attempt := func(what func(err error) error) error {
			return write(t, s, func(ctx context.Context, tx *Tx) error { return what(c.do(ctx, tx)) })
		}
		if err := attempt(func(err error) error {
			if err == nil {
				return undone
			}
			return err
		}); err != undone {
			t.Errorf("%s cannot be tried: %v", name, err)
			continue
		}
		t.Run(name, func(t *testing.T) {
			testenv.FailsIfReadOnly(t, s.DB(), c.changes, func() error {
				failed := error(nil)
				attempt(func(err error) error { failed = err; return undone })
				return failed
			})
		})
	}
}

func TestWhatIsRememberedOnceMustBeStored(t *testing.T) {
	s := lite(t)
	for _, remember := range []func() error{
		func() error { _, err := s.InstalledAt(t.Context(), now); return err },
		func() error { _, err := s.LongestValidity(t.Context(), 100*365*day); return err },
	} {
		testenv.FailsIfReadOnly(t, s.DB(), []string{"INSERT ON settings"}, remember)
		must(t, remember())
	}
	testenv.FailsIfReadOnly(t, s.DB(), []string{"INSERT ON limits"}, func() error {
		_, err := s.Reserve(t.Context(), "n", 1, 1, now)
		return err
	})
}

func TestAFileThatIsNotADatabaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	must(t, os.WriteFile(path, bytes.Repeat([]byte("not a database "), 1000), 0o600))
	if s, err := Open(t.Context(), "sqlite:"+path); err == nil || s != nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if s, err := OpenExclusive(t.Context(), "sqlite:"+path); err == nil || s != nil {
		t.Errorf("for a service: %v", err)
	}
	must(t, os.Remove(path))
	s, err := OpenExclusive(t.Context(), "sqlite:"+path) // the failure before has released its lock
	must(t, err)
	must(t, s.Close())
}

func TestFilesOfADatabaseAreReadByTheirOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	must(t, os.WriteFile(path+".lock", []byte("4711 and more than a number"), 0o600)) // of an earlier process
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	defer s.Close()
	setting(t, s, "value")
	copied := filepath.Join(t.TempDir(), "copy.db")
	must(t, copyFile(path, copied))
	for _, file := range []string{path, path + ".lock", path + "-wal", path + "-shm", copied} {
		info, err := os.Stat(file)
		must(t, err)
		if info.Mode() != 0o600 {
			t.Errorf("%s has the mode %v", file, info.Mode())
		}
	}
	if pid, err := os.ReadFile(path + ".lock"); err != nil || string(pid) != fmt.Sprintln(os.Getpid()) {
		t.Errorf("the lock names the process %q, %v", pid, err)
	}
}

// The first three protect against losing data in a crash, and against rows that outlive their tenant.
func TestConnectionsToSQLiteAreSetUpAsThePackagePromises(t *testing.T) {
	s := lite(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		var got string
		must(t, s.writer.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got))
		if got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}
	if n := s.writer.Stats().MaxOpenConnections; n != 1 {
		t.Errorf("%d connections write", n)
	}
	if n := s.reader.Stats().MaxOpenConnections; n < 2 {
		t.Errorf("at most %d connections read, want a limit", n)
	}
	if _, err := s.reader.ExecContext(t.Context(), "DELETE FROM settings"); err == nil {
		t.Error("a connection of the readers writes")
	}
}

type brokenRow struct{}

func (brokenRow) Scan(...any) error { return errFault }

func scanning[T any](scan func(row) (T, error)) func(row) error {
	return func(r row) error { _, err := scan(r); return err }
}

// A row that is left out would be a certificate that is not renewed, or a mail that is not sent.
func TestARowThatCannotBeReadIsAnError(t *testing.T) {
	for name, scan := range map[string]func(row) error{
		"account": scanning(scanAccount), "arrangement": scanning(scanArrangement), "authority": scanning(scanAuthority),
		"authority with those above": scanning(scanJoined), "authority request": scanning(scanAuthorityRequest),
		"certificate": scanning(scanCertificate), "sealed certificate": scanning(scanSealed),
		"credential": scanning(scanCredential), "head of the audit log": scanning(scanHead), "event": scanning(scanEvent),
		"evidence": scanning(scanEvidence), "remembered answer": scanning(scanRemembered), "import": scanning(scanImport),
		"IT contact": scanning(scanITContact), "key user": scanning(scanKeyUser), "link": scanning(scanLink),
		"mail": scanning(scanMail), "message": scanning(scanMessage), "notice": scanning(scanNotice),
		"parked message": scanning(scanParked), "usage": scanning(scanUsage), "passkey": scanning(scanPasskey),
		"single value": scanning(scanOne[int]), "receiver": scanning(scanReceiver), "request": scanning(scanRequest),
		"part of a run": scanning(scanPart), "run": scanning(scanRun), "scoping project": scanning(scanProject),
		"answer": scanning(scanAnswer), "session": scanning(scanSession), "task": scanning(scanTask),
		"tenant": scanning(scanTenant), "key": scanning(scanKey), "key in a token": scanning(scanTokenKey),
		"token": scanning(scanToken), "trust": scanning(scanTrust),
	} {
		if err := scan(brokenRow{}); !errors.Is(err, errFault) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// JSON has no year after 9999.
func TestATimeThatCannotBeEncodedIsAnErrorAndNotStored(t *testing.T) {
	s := lite(t)
	late := time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	valid, invalid := tenancy.MailHold{Since: now, RetryAt: now}, tenancy.MailHold{Since: now, RetryAt: late}
	tenant, err := s.Tenant(t.Context(), "acme")
	must(t, err)
	for name, change := range map[string]func(ctx context.Context, tx *Tx) error{
		"a hold": func(ctx context.Context, tx *Tx) error { _, err := tx.HoldMails(ctx, invalid); return err },
		"a hold until then": func(ctx context.Context, tx *Tx) error {
			_, err := tx.PostponeHold(ctx, valid, invalid)
			return err
		},
		"a hold of then": func(ctx context.Context, tx *Tx) error {
			_, err := tx.PostponeHold(ctx, invalid, valid)
			return err
		},
		"an arrangement": func(ctx context.Context, tx *Tx) error {
			return tx.CreateArrangements(ctx, tenancy.Arrangement{ID: "late", TenantID: tenant.ID,
				Learned: tenancy.Learned{NewestOnlyAt: late}})
		},
	} {
		if err := write(t, s, change); err == nil || !strings.Contains(err.Error(), "year outside of range") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if hold, err := s.MailHold(t.Context()); err != nil || hold != (tenancy.MailHold{}) {
		t.Errorf("%+v is stored, %v", hold, err)
	}
}

func TestTheLongestLifetimeIsSearchedAmongTheCertificatesOnce(t *testing.T) {
	s := lite(t)
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetSetting(ctx, longestLifetime, "") }))
	searches := 0
	s.BeforeStatements(func(query string) error {
		if strings.Contains(query, "FROM certificates") {
			searches++
		}
		return nil
	})
	for range 2 {
		if _, err := s.LongestValidity(t.Context(), day); err != nil || searches != 1 {
			t.Errorf("%d searches, %v", searches, err)
		}
	}
}

func TestIDsSortByTheTimeOfTheirCreation(t *testing.T) {
	last := ""
	for range 100 {
		id := NewID()
		if id <= last || id >= End(now).ID {
			t.Fatalf("%q after %q", id, last)
		}
		last = id
	}
}
