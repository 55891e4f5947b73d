package store

import (
	"context"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A gateway repeats entries if the confirmation was lost.
func TestEntriesOfTheMessageLogAreStoredOnce(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
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
