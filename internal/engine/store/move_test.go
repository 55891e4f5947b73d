package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/tenanttest"
	"github.com/perennial-pki/perennial/tenancy"
)

// lite opens a SQLite database that has rows of several tables, with every type of a column.
func lite(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), migrated.SQLite(t))
	must(t, err)
	t.Cleanup(func() { s.Close() })
	tenant, cert := acme(t, s, "acme", now.AddDate(0, 3, 0))
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
		if _, err := tenanttest.Arrangement(ctx, tx, tenancy.Arrangement{TenantID: tenant.ID, Name: "erp"}); err != nil {
			return err
		}
		notice := tenancy.Notice{ID: "n", TenantID: tenant.ID, CertificateID: cert.ID, Kind: tenancy.Expiring, DueAt: now,
			CreatedAt: now, DedupKey: "k"}
		mails := []tenancy.Mail{{ID: "m1", NoticeID: "n", TenantID: tenant.ID, State: tenancy.MailQueued},
			{ID: "m2", NoticeID: "n", TenantID: tenant.ID, State: tenancy.MailDead}}
		events := []tenancy.Event{tenancy.NewEvent(now, "test", "a", "acme", "o", map[string]any{"ä": "\x00"[1:]}),
			tenancy.NewEvent(now, "test", "b", "", "", nil)}
		return errors.Join(tx.AddNotices(ctx, []tenancy.Notice{notice}), tx.AddMails(ctx, mails), tx.Revoke(ctx, cert.ID,
			"lost", now), tx.Audit(ctx, events...))
	}))
	return s
}

func postgres(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), migrated.Postgres(t))
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func nothingMore(*Tx) error { return nil }

func TestADatabaseIsMovedWithEveryRow(t *testing.T) {
	from, to := lite(t), postgres(t)
	moved := map[string]Moved{}
	more := 0
	must(t, from.Move(t.Context(), to, func(tx *Tx) error {
		more++
		return tx.SetSetting(t.Context(), "moved", "yes")
	}, func(m Moved) { moved[m.Table] = m }))
	if more != 1 {
		t.Errorf("what runs in the same transaction ran %d times", more)
	}
	for table, columns := range columnsByTable(t, from) {
		if strings.HasPrefix(table, "river_") {
			continue
		}
		rows, err := one(t.Context(), from.Reader, "count", scanOne[int], "SELECT COUNT(*) FROM "+table)
		must(t, err)
		if m, reported := moved[table]; !reported || m.Rows != rows || len(columns) == 0 {
			t.Errorf("table %s has %d rows, and %+v was reported", table, rows, m)
		}
	}
	if moved["certificates"].Hash == moved["tenants"].Hash || moved["key_users"].Rows != 2 {
		t.Errorf("reported %+v", moved)
	}
	tenant, err := to.Tenant(t.Context(), "acme")
	must(t, err)
	before, err := from.Newest(t.Context(), tenant.ID, tenancy.ForTenant)
	must(t, err)
	after, err := to.Newest(t.Context(), tenant.ID, tenancy.ForTenant)
	rows{to, t}.same("a certificate", err, after, before)
	chain, err := to.VerifyEvents(t.Context())
	must(t, err)
	if head, err := from.EventHead(t.Context()); err != nil || chain.Seq != 2 || string(chain.Hash) != string(head.Hash) {
		t.Errorf("the audit log ends with %d, %v", chain.Seq, err)
	}
	counts, err := to.CountMails(t.Context()) // a queued one has no job there
	rows{to, t}.same("mails", err, counts, map[tenancy.MailState]int{tenancy.MailWaiting: 1, tenancy.MailDead: 1})
	if v, err := to.Setting(t.Context(), "moved"); err != nil || v != "yes" {
		t.Errorf("what runs in the same transaction is stored as %q, %v", v, err)
	}
	if err := from.Move(t.Context(), to, nothingMore, func(Moved) {}); err == nil ||
		!strings.Contains(err.Error(), "is not empty") {
		t.Errorf("a second time: %v", err)
	}
}

func TestAMoveThatFailsChangesNothing(t *testing.T) {
	full := errors.New("no room")
	// A trigger of PostgreSQL changes a row on its way.
	changes := func(table, change string) func(from, to *Store) error {
		return func(_, to *Store) error {
			_, err := to.DB().ExecContext(t.Context(), "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "+
				change+" END $$; CREATE TRIGGER change BEFORE INSERT ON "+table+" FOR EACH ROW EXECUTE FUNCTION change()")
			return err
		}
	}
	for name, c := range map[string]struct {
		prepare func(from, to *Store) error
		more    func(*Tx) error
		want    string
	}{
		"what else belongs to it fails": {nil, func(*Tx) error { return full }, "no room"},
		"an import is running": {func(from, _ *Store) error {
			return write(t, from, func(ctx context.Context, tx *Tx) error {
				return tx.CreateImport(ctx, tenancy.Import{ID: "i", State: tenancy.ImportApplying, Problems: "[]"}, nil, "[]")
			})
		}, nothingMore, "import i is still running"},
		"the audit log was changed": {func(from, _ *Store) error {
			_, err := from.DB().ExecContext(t.Context(), "UPDATE events SET actor = 'x' WHERE seq = 1")
			return err
		}, nothingMore, "entry 1"},
		"there is a tenant": {func(_, to *Store) error {
			acme(t, to, "other", now)
			return nil
		}, nothingMore, "is not empty (1 rows)"},
		"there is an event": {func(_, to *Store) error {
			return write(t, to, func(ctx context.Context, tx *Tx) error {
				return tx.Audit(ctx, tenancy.NewEvent(now, "a", "b", "", "", nil))
			})
		}, nothingMore, "is not empty"},
		"a text arrives changed": {changes("tenants", "NEW.name := 'other'; RETURN NEW;"), nothingMore,
			"table tenants: 1 rows"},
		"a number arrives changed": {changes("tenants", "NEW.version := 7; RETURN NEW;"), nothingMore,
			"table tenants: 1 rows"},
		"bytes arrive changed": {changes("certificates", "NEW.der := '\\x09'::bytea; RETURN NEW;"), nothingMore,
			"table certificates: 1 rows"},
		"a row does not arrive": {changes("tenants", "RETURN NULL;"), nothingMore, "and 0 with hash"},
		"a table is missing": {func(_, to *Store) error {
			_, err := to.DB().ExecContext(t.Context(), "DROP TABLE limits")
			return err
		}, nothingMore, "table limits"},
	} {
		from, to := lite(t), postgres(t)
		if c.prepare != nil {
			must(t, c.prepare(from, to))
		}
		if err := from.Move(t.Context(), to, c.more, func(Moved) {}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := to.Tenant(t.Context(), "acme"); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("%s: acme is there: %v", name, err)
		}
	}
	from := lite(t)
	if err := from.Move(t.Context(), from, nothingMore, func(Moved) {}); err == nil ||
		!strings.Contains(err.Error(), "from SQLite to PostgreSQL") {
		t.Errorf("to SQLite: %v", err)
	}
}

func TestABackupIsANewFileThatOnlyItsOwnerReads(t *testing.T) {
	s := lite(t)
	path := filepath.Join(t.TempDir(), "backup.db")
	must(t, s.Backup(t.Context(), path))
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", info.Mode())
	}
	copied, err := Open(t.Context(), "sqlite:"+path)
	must(t, err)
	defer copied.Close()
	if _, err := copied.Tenant(t.Context(), "acme"); err != nil {
		t.Error(err)
	}
	if err := s.Backup(t.Context(), path); err == nil || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("over a file: %v", err)
	}
	nowhere := filepath.Join(t.TempDir(), "no", "backup.db")
	if err := s.Backup(t.Context(), nowhere); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that does not exist: %v", err)
	}
	must(t, s.Close())
	failed := filepath.Join(t.TempDir(), "failed.db")
	if err := s.Backup(t.Context(), failed); err == nil {
		t.Error("a closed database")
	}
	if _, err := os.Stat(failed); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a backup that failed leaves a file: %v", err)
	}
	if err := postgres(t).Backup(t.Context(), failed); err == nil || !strings.Contains(err.Error(), "pg_dump") {
		t.Errorf("of PostgreSQL: %v", err)
	}
}

func TestAURLIsShownWithoutItsPassword(t *testing.T) {
	for url, want := range map[string]string{"postgres://me:s3cret@h/x": "postgres://me:***@h/x",
		"postgres://me@h/x": "postgres://me@h/x", "postgres://h/x": "postgres://h/x",
		"postgres://me:p@ss@h/x": "postgres://me:***@h/x", "sqlite:p.db": "sqlite:p.db"} {
		if got := Masked(url); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
	if err := CheckExists("sqlite:" + filepath.Join(t.TempDir(), "p.db")); err == nil ||
		!strings.Contains(err.Error(), "--database") {
		t.Errorf("a file that does not exist: %v", err)
	}
	file := filepath.Join(t.TempDir(), "p.db")
	must(t, os.WriteFile(file, nil, 0o600))
	if err := errors.Join(CheckExists("sqlite:"+file), CheckExists("postgres://h/x")); err != nil {
		t.Error(err)
	}
	if err := CheckExists("sqlite:" + file + "/x"); err == nil {
		t.Error("a file as a folder")
	}
	if pending, err := pendingRestore(file + "/x"); err == nil || pending != "" {
		t.Errorf("a restore in a file: %q, %v", pending, err)
	}
	here := t.TempDir()
	t.Chdir(here)
	for _, url := range []string{"sqlite:", "", "x", "sqlite:/no/such/folder/p.db", "sqlite:" + file + "/x"} {
		for _, open := range []func(context.Context, string) (*Store, error){Open, OpenExclusive} {
			if s, err := open(t.Context(), url); err == nil || s != nil {
				t.Errorf("%q opens", url)
			}
		}
	}
	if left, err := os.ReadDir(here); err != nil || len(left) != 0 {
		t.Errorf("files were left: %v, %v", left, err)
	}
}

func TestWhatCallersDecideByIsAKindOfError(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		tenant, _ := acme(t, r.Store, "acme", now)
		r.refused("a second row", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.CreateTenants(ctx, tenant)
		})
		r.refused("a reference to nothing", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.CreateReceivers(ctx, tenancy.Receiver{ID: "r", TenantID: "unknown", Name: "r"})
		})
		r.refused("a row that does not exist", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.DeleteAccount(ctx, "unknown")
		})
		if _, err := r.Account(ctx, "unknown"); !isKind(err, tenancy.ErrNotFound) ||
			err.Error() != "there is no such account" {
			t.Errorf("got %v", err)
		}
		if known, err := r.HasEvent(ctx, "00"); known || err != nil {
			t.Errorf("an unknown event: %v, %v", known, err)
		}
		if _, err := r.HasEvent(ctx, "x"); !isKind(err, tenancy.ErrInvalid) {
			t.Errorf("a hash that is not hexadecimal: %v", err)
		}
		ran := 0
		full := errors.New("no room")
		if err := r.Exclusively(ctx, 7, func() error { ran++; return full }); !errors.Is(err, full) || ran != 1 {
			t.Errorf("ran %d times, %v", ran, err)
		}
		must(t, r.Exclusively(ctx, 7, func() error { return nil }))
	})
}

// A move compares hashes, so that two sets of rows with the same hash would pass for each other.
func TestRowsThatDifferHaveAnotherHash(t *testing.T) {
	s := lite(t)
	seen := map[Moved]string{}
	for _, query := range []string{"SELECT NULL, 'x'", "SELECT 'x', NULL", "SELECT '', 'x'", "SELECT 'x', ''",
		"SELECT x'', 'x'", "SELECT 'ab', 'c'", "SELECT 'a', 'bc'", "SELECT 1, 2", "SELECT 2, 1", "SELECT '1', 2",
		"SELECT CAST('1' AS BLOB), 2", "SELECT 1, NULL", "SELECT 0, NULL", "SELECT 1, 2 UNION ALL SELECT 1, 2"} {
		rows, err := s.q.QueryContext(t.Context(), query)
		must(t, err)
		h := &hashed{rows: rows, hash: sha256.New(), width: 2}
		for h.Next() {
			_, err := h.Values()
			must(t, err)
		}
		must(t, errors.Join(h.Err(), rows.Close()))
		m := h.moved("t")
		if m.Rows != 1+strings.Count(query, "UNION") || m.Table != "t" {
			t.Errorf("%s: %+v", query, m)
		}
		if other, same := seen[m]; same {
			t.Errorf("%s has the hash of %s", query, other)
		}
		seen[m] = query
	}
}

func TestTheValuesOfARowAreCopiedWithTheirTypes(t *testing.T) {
	s := lite(t)
	read := func(query string) ([]any, error) {
		rows, err := s.q.QueryContext(t.Context(), query)
		must(t, err)
		defer rows.Close()
		h := &hashed{rows: rows, hash: sha256.New(), width: 5}
		if !h.Next() {
			t.Fatal(h.Err())
		}
		return h.Values()
	}
	got, err := read("SELECT NULL, 7, 'x', x'01', x''") // an empty value is not NULL
	if want := []any{nil, int64(7), "x", []byte{1}, []byte{}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%#v, %v, want %#v", got, err, want)
	}
	if got, err := read("SELECT 1, 2, 3, 4, 0.5"); err == nil || !strings.Contains(err.Error(), "float64") {
		t.Errorf("a type that no column has: %#v, %v", got, err)
	}
	if got, err := read("SELECT 1, 2, 3, 4"); err == nil {
		t.Errorf("a column less: %#v", got)
	}
}
