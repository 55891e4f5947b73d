package store

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"modernc.org/sqlite"
)

func TestAStatementIsPreparedOnceAndUsedByOneAtATime(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.InTx(t.Context(), func(tx *Tx) error {
		for i := range 3 {
			if err := tx.SetSetting(t.Context(), fmt.Sprint("name-", i), "value"); err != nil {
				return err
			}
		}
		// The same query while its rows are being read.
		const query = "SELECT name FROM settings WHERE name LIKE ? ORDER BY name"
		outer := 0
		return forEach(t.Context(), tx.Reader, scanOne[string], func(string) {
			outer++
			inner, err := list(t.Context(), tx.Reader, scanOne[string], query, "name-%")
			if err != nil || len(inner) != 3 {
				t.Errorf("inside row %d: %v, %v", outer, inner, err)
			}
		}, query, "name-%")
	})
	if err != nil {
		t.Fatal(err)
	}
	// A statement that failed, or whose context ended, can be used again.
	for range 2 {
		if _, err := s.writer.ExecContext(t.Context(), "INSERT INTO settings (name, value) VALUES (?, ?)", "name-0",
			""); err == nil {
			t.Error("a second row with the same key")
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := list(ended, s.Reader, scanOne[string], "SELECT name FROM settings ORDER BY name"); err == nil {
			t.Error("a query whose context has ended")
		}
		if got, err := list(t.Context(), s.Reader, scanOne[string], "SELECT name FROM settings WHERE name LIKE 'name-%' "+
			"ORDER BY name"); err != nil || len(got) != 3 {
			t.Errorf("%v, %v", got, err)
		}
	}
	// The number of kept statements is limited.
	for i := range 2 * maxPrepared {
		if _, err := s.writer.ExecContext(t.Context(), fmt.Sprintf("UPDATE settings SET value = ? WHERE name = 'name-%d'", i),
			"x"); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := s.writer.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.Raw(func(c any) error {
		idle := 0
		for _, statements := range c.(*preparedConn).idle {
			idle += len(statements)
		}
		if kept := c.(*preparedConn).kept; kept > maxPrepared || kept != idle {
			return fmt.Errorf("%d statements are kept, and %d are counted", idle, kept)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTheStatementOfAQueryIsUsedAgain(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "a.db"))
	must(t, err)
	defer s.Close()
	conn, err := s.writer.Conn(t.Context())
	must(t, err)
	defer conn.Close()
	kept := func() (n, all int) {
		must(t, conn.Raw(func(c any) error {
			n = c.(*preparedConn).kept
			for _, idle := range c.(*preparedConn).idle {
				all += len(idle)
			}
			return nil
		}))
		return n, all
	}
	before, _ := kept()
	for range 5 {
		_, err := conn.ExecContext(t.Context(), "UPDATE settings SET value = ? WHERE name = ?", "v", "n")
		must(t, err)
		rows, err := conn.QueryContext(t.Context(), "SELECT value FROM settings WHERE name = ?", "n")
		must(t, err)
		must(t, rows.Close())
		// The job queue's queries have a head like this one.
		rows, err = conn.QueryContext(t.Context(),
			"-- name: SetValue :many\nUPDATE settings\nSET value = ? RETURNING name", "v")
		must(t, err)
		must(t, rows.Close())
	}
	if after, all := kept(); after != before+3 || all != after {
		t.Errorf("%d statements are kept after %d, %d in all", after, before, all)
	}
	_, err = conn.ExecContext(t.Context(), "PRAGMA user_version")
	must(t, err)
	if after, _ := kept(); after != before+3 {
		t.Errorf("%d statements are kept after a pragma", after)
	}
	// A statement that is prepared is in use until it is closed.
	const query = "SELECT name FROM settings WHERE name = ? AND value = ?"
	for range 2 {
		prepared, err := conn.PrepareContext(t.Context(), query)
		must(t, err)
		must(t, prepared.Close())
	}
	pragma, err := conn.PrepareContext(t.Context(), "PRAGMA user_version")
	must(t, err)
	must(t, pragma.Close())
	if after, all := kept(); after != before+4 || all != after {
		t.Errorf("%d statements are kept after %d, %d in all", after, before, all)
	}
	for _, invalid := range []string{"SELECT name FROM no_such_table", "UPDATE no_such_table SET a = 1"} {
		_, executed := conn.ExecContext(t.Context(), invalid)
		_, queried := conn.QueryContext(t.Context(), invalid)
		_, prepared := conn.PrepareContext(t.Context(), invalid)
		if executed == nil || queried == nil || prepared == nil {
			t.Errorf("%s: executed %v, queried %v, prepared %v", invalid, executed, queried, prepared)
		}
	}
	if after, _ := kept(); after != before+4 {
		t.Errorf("%d statements are kept after invalid ones", after)
	}
	if _, ok := s.writer.Driver().(*sqlite.Driver); !ok {
		t.Errorf("the driver is %T", s.writer.Driver())
	}
}

func TestStatementsThatReadOrWriteRowsAreKept(t *testing.T) {
	for query, want := range map[string]bool{"SELECT 1": true, "INSERT\nINTO a VALUES (1)": true, "UPDATE\ta": true,
		"DELETE FROM a": true, "SELECT": true, "-- a\n-- b\nSELECT 1": true, "SELECT 1; SELECT 2": false, "": false,
		" SELECT 1": false, "PRAGMA a": false, "BEGIN": false, "WITH a AS (SELECT 1) SELECT 1": false, "-- a": false} {
		if got := keepable(query); got != want {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
}
