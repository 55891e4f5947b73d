package testenv

import (
	"database/sql"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// FailsWithout runs an operation several times on a SQLite database, each time without one of the tables, and fails the
// test if the operation returns no error. Afterwards the database is as before, if the operation changes nothing when
// it fails.
func FailsWithout(t testing.TB, db *sql.DB, tables []string, operation func() error) {
	t.Helper()
	for _, table := range tables {
		execute(t, db, fmt.Sprintf("ALTER TABLE %s RENAME TO %[1]s_away", table))
		if err := operation(); err == nil {
			t.Errorf("no error although the table %s cannot be read", table)
		}
		execute(t, db, fmt.Sprintf("ALTER TABLE %s_away RENAME TO %[1]s", table))
	}
}

// FailsIfReadOnly runs an operation several times on a SQLite database, each time while one of the tables refuses every
// change, and fails the test if the operation returns no error. "INSERT ON name" refuses one kind of change only, for
// an operation that makes another one before.
func FailsIfReadOnly(t testing.TB, db *sql.DB, tables []string, operation func() error) {
	t.Helper()
	for _, table := range tables {
		changes := []string{"INSERT", "UPDATE", "DELETE"}
		if change, name, one := strings.Cut(table, " ON "); one {
			changes, table = []string{change}, name
		}
		for _, change := range changes {
			// An error of RAISE would look like a violated constraint, which is a conflict to some callers.
			execute(t, db, fmt.Sprintf("CREATE TRIGGER refuse_%s BEFORE %[1]s ON %s BEGIN SELECT * FROM refused; END", change,
				table))
		}
		if err := operation(); err == nil {
			t.Errorf("no error although %v is refused on the table %s", changes, table)
		}
		for _, change := range changes {
			execute(t, db, "DROP TRIGGER refuse_"+change)
		}
	}
}

func execute(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// CallSites records where code was called from.
type CallSites struct {
	mu   sync.Mutex
	seen map[string]bool // by the program counters of the stack; guarded by mu
}

// Add records the stack of its caller, and reports whether it is new. The iterations of a loop have the same stack.
func (c *CallSites) Add() bool {
	pcs := make([]uintptr, 128)
	stack := fmt.Sprint(pcs[:runtime.Callers(2, pcs)])
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[stack] {
		return false
	}
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	c.seen[stack] = true
	return true
}
