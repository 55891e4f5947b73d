package store

import (
	"os"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A connection that was used for much keeps little when it is idle.
func TestTheMemoryOfIdleConnectionsIsFreed(t *testing.T) {
	const size = 40 // MB, of 64 that the writer may keep
	s, err := Open(t.Context(), migrated.SQLite(t))
	testenv.Check(t, err)
	defer s.Close()
	_, err = s.writer.ExecContext(t.Context(), "CREATE TABLE filler AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL "+
		"SELECT i + 1 FROM n WHERE i < ?) SELECT zeroblob(1000000) AS data FROM n", size)
	testenv.Check(t, err)
	before, _ := testenv.Memory(t, os.Getpid())
	testenv.Check(t, s.ReleaseMemory(t.Context()))
	after, _ := testenv.Memory(t, os.Getpid())
	t.Logf("%d MB before, %d MB after", before, after)
	if before-after < size/2 {
		t.Errorf("%d MB were freed, of %d that were written", before-after, size)
	}
	var n int
	if err := s.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM filler WHERE length(data) = 1000000").
		Scan(&n); err != nil || n != size {
		t.Errorf("%d rows, %v", n, err)
	}
}

// What is in use is left alone.
func TestFreeingMemoryWaitsForNoTransaction(t *testing.T) {
	s, err := Open(t.Context(), migrated.SQLite(t))
	testenv.Check(t, err)
	defer s.Close()
	testenv.Check(t, s.InTx(t.Context(), func(tx *Tx) error { return s.ReleaseMemory(t.Context()) }))
}
