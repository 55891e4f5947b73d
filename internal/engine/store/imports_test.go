package store

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// The progress of an import is recorded without its plan, which SQLite keeps in the same row.
func TestTheProgressOfAnImportDoesNotTouchItsPlan(t *testing.T) {
	url := migrated.SQLite(t)
	s, err := Open(t.Context(), url)
	testenv.Check(t, err)
	defer s.Close()
	path := strings.TrimPrefix(url, "sqlite:")
	plan := make([]byte, 1<<20)
	i := tenancy.Import{ID: NewID(), State: tenancy.ImportChecked, CreatedBy: "test", CreatedAt: time.Now(), Total: 20,
		Problems: "[]"}
	in := func(do func(tx *Tx) error) {
		t.Helper()
		testenv.Check(t, s.InTx(t.Context(), do))
	}
	in(func(tx *Tx) error { return tx.CreateImport(t.Context(), i, plan, "[]") })
	in(func(tx *Tx) error {
		return tx.MoveImport(t.Context(), i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
	})
	written := func() int64 {
		info, err := os.Stat(path + "-wal")
		testenv.Check(t, err)
		return info.Size()
	}
	done := func(want int) {
		t.Helper()
		if got, err := s.ImportByID(t.Context(), i.ID); err != nil || got.Done != want {
			t.Errorf("%d tenants are done, want %d: %v", got.Done, want, err)
		}
	}
	before := written()
	for n := range 20 {
		in(func(tx *Tx) error {
			return tx.AddImported(t.Context(), i.ID, tenancy.Imported{Tenant: fmt.Sprint("t", n), Made: "{}"})
		})
		done(n + 1)
	}
	if grown := written() - before; grown > int64(len(plan))/2 {
		t.Errorf("recording 20 tenants wrote %d KiB, with a plan of %d", grown>>10, len(plan)>>10)
	}
	in(func(tx *Tx) error {
		return tx.MoveImport(t.Context(), i.ID, tenancy.ImportApplying, tenancy.ImportApplied)
	})
	done(20)
	in(func(tx *Tx) error {
		return tx.MoveImport(t.Context(), i.ID, tenancy.ImportApplied, tenancy.ImportUndoing)
	})
	in(func(tx *Tx) error { return tx.DropImported(t.Context(), i.ID, "t0") })
	done(19)
}
