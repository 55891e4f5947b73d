package store

import (
	"context"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

// A gateway repeats entries if the confirmation was lost. Senders write paths, and receivers write what errors contain.
func TestTextOfStrangersIsStoredInEveryDatabase(t *testing.T) {
	migrated.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.AddMessages(ctx, []tenancy.Message{{ID: "1", ArrangementID: "a", At: now, Method: "M\x00", Path: "/\xff",
				Outcome: "valid for a\x00b.example, not for gr\xc3", Count: 1}})
		}))
		got, err := s.Messages(t.Context(), "a", "", 10)
		must(t, err)
		if len(got) != 1 || got[0].Method != "M\ufffd" || got[0].Path != "/\ufffd" ||
			got[0].Outcome != "valid for a\ufffdb.example, not for gr\ufffd" {
			t.Errorf("%+v", got)
		}
	})
}

func TestEntriesOfTheMessageLogAreStoredOnce(t *testing.T) {
	migrated.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		entry := func(id string, status int) tenancy.Message {
			return tenancy.Message{ID: id, ArrangementID: "a", At: now, Method: "POST", Path: "/", Status: status, Count: 1}
		}
		for _, batch := range [][]tenancy.Message{{entry("1", 200)}, {entry("1", 500), entry("2", 401)}} {
			must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.AddMessages(ctx, batch) }))
		}
		got, err := s.Messages(t.Context(), "a", "", 10)
		must(t, err)
		if len(got) != 2 || got[0].Status+got[1].Status != 601 {
			t.Errorf("%+v", got)
		}
	})
}
