package store

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestAReadOnlyDatabaseIsDescribedInWords(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		must(t, s.Writable(t.Context()))
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
