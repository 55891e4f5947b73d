package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAReadOnlyDatabaseIsDescribedInWords(t *testing.T) {
	migrated.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		must(t, s.Writable(t.Context()))
		if got, _, _ := strings.Cut(url, ":"); Engine(got) != s.Engine() {
			t.Errorf("the engine of %s is %s", got, s.Engine())
		}
		if n := s.DB().Stats().MaxOpenConnections; n != map[Engine]int{SQLite: 1, Postgres: MaxConnections - 2}[s.engine] ||
			MaxConnections != 34 { // docs/operations.md
			t.Errorf("%s: %d connections", s.engine, n)
		}
		on, off := "PRAGMA query_only = ON", "PRAGMA query_only = OFF"
		if s.engine == Postgres {
			on, off = "SET default_transaction_read_only = on", "SET default_transaction_read_only = off"
			s.writer.SetMaxOpenConns(1)
		}
		set := func(statement string) {
			t.Helper()
			_, err := s.writer.ExecContext(t.Context(), statement)
			must(t, err)
		}
		set(on)
		err = write(t, s, func(ctx context.Context, tx *Tx) error { return tx.SetSetting(ctx, "a", "b") })
		if err == nil || err.Error() != readOnlyText || s.engine == Postgres && !IsAway(err) {
			t.Errorf("%v", err)
		}
		if err := s.Writable(t.Context()); s.engine == Postgres && (err == nil || !IsAway(err)) {
			t.Errorf("it can be written: %v", err)
		}
		set(off)
		must(t, s.Writable(t.Context()))
		must(t, s.Close())
		if s.Writable(t.Context()) == nil {
			t.Error("a closed database can be written")
		}
	})
}

func TestOnlyFailuresOfTheDatabaseItselfAreAnOutage(t *testing.T) {
	server := testenv.NewServer(t)
	s, err := Open(t.Context(), server.URL("postgres"))
	must(t, err)
	defer s.Close()
	_, err = s.writer.ExecContext(t.Context(), "SELECT 1/0")
	if err == nil || IsAway(err) || IsAway(context.Canceled) || IsAway(errors.New("dial tcp 192.0.2.1:25: refused")) {
		t.Errorf("%v counts as an outage, or another fault does", err)
	}
	server.Kill()
	testenv.Eventually(t, func() bool { return s.Ping(t.Context()) != nil })
	testenv.Eventually(t, func() bool { return IsAway(s.Ping(t.Context())) })
	err = s.Writable(t.Context())
	if !IsAway(err) || !IsAway(errors.New("error starting transaction: "+err.Error())) {
		t.Errorf("%v is not an outage", err)
	}
	if !strings.Contains(err.Error(), "refused") {
		t.Errorf("the reason is missing: %v", err)
	}
}

func TestErrorsOfTheDatabaseAreToldApart(t *testing.T) {
	for code, want := range map[string]bool{"08006": true, "57P01": true, "53300": true, "25006": true, "57014": false,
		"53100": false, "23505": false} {
		err := fmt.Errorf("a query: %w", &pgconn.PgError{Code: code})
		if IsAway(err) != want {
			t.Errorf("%s is an outage: %v", code, !want)
		}
		if explained := (Reader{}).explain(err); IsAway(explained) != want {
			t.Errorf("%s, explained as %q, is an outage: %v", code, explained, !want)
		}
	}
	if !IsAway(fmt.Errorf("a query: %w", driver.ErrBadConn)) {
		t.Error("a broken connection is not an outage")
	}
	for code, want := range map[string]string{"53100": fullText, "25006": readOnlyText, "23505": "it already exists",
		"23503": "it is still in use"} {
		if err := (Reader{}).explain(&pgconn.PgError{Code: code}); err == nil || err.Error() != want {
			t.Errorf("%s: %v", code, err)
		}
	}
	if err := (Reader{}).explain(sql.ErrNoRows); !isKind(err, tenancy.ErrNotFound) {
		t.Errorf("no rows: %v", err)
	}
}

func TestAFullDiskIsDescribedInWords(t *testing.T) {
	s := lite(t)
	_, err := s.DB().ExecContext(t.Context(), "PRAGMA max_page_count = 1")
	must(t, err)
	err = write(t, s, func(ctx context.Context, tx *Tx) error {
		return tx.SetSetting(ctx, "large", strings.Repeat("x", 1<<20))
	})
	var cause *sqlite.Error
	if err == nil || err.Error() != fullText || !errors.As(err, &cause) {
		t.Errorf("%v", err)
	}
}

func TestATransactionIsRepeatedIfTheDatabaseAsks(t *testing.T) {
	s := lite(t)
	for _, c := range []struct {
		code string
		want int
	}{{"40001", 5}, {"40P01", 5}, {"40002", 1}} {
		tries := 0
		err := write(t, s, func(context.Context, *Tx) error {
			tries++
			return &pgconn.PgError{Code: c.code}
		})
		if err == nil || tries != c.want {
			t.Errorf("%s: %d tries, %v", c.code, tries, err)
		}
	}
	tries := 0
	must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
		if tries++; tries < 3 {
			return &pgconn.PgError{Code: "40001"}
		}
		return tx.SetSetting(ctx, "a", "b")
	}))
	if v, err := s.Setting(t.Context(), "a"); err != nil || v != "b" || tries != 3 {
		t.Errorf("%q after %d tries, %v", v, tries, err)
	}
}
