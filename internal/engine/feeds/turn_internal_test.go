package feeds

import (
	"context"
	"errors"
	"testing"
)

func TestOneRequestAtATimeReadsManyEntriesOfACounterparty(t *testing.T) {
	f := &Feeds{turns: map[string]chan struct{}{}}
	done, err := f.turn(t.Context(), "bank")
	if err != nil {
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := f.turn(gone, "bank"); !errors.Is(err, context.Canceled) {
		t.Errorf("a second request has a turn: %v", err)
	}
	if _, err := f.turn(t.Context(), "other"); err != nil {
		t.Errorf("another counterparty waits: %v", err)
	}
	done()
	if _, err := f.turn(t.Context(), "bank"); err != nil {
		t.Errorf("after the first request: %v", err)
	}
}
