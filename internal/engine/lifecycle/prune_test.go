package lifecycle

import (
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// A claim that is forgotten too early would repeat a reminder or a question, and a message that is not forgotten would
// fill the disk.
func TestMessagesAndClaimsAreForgottenAfterTheirTime(t *testing.T) {
	now := date("2026-06-01")
	f := sqlite(t, "perennial", date("2026-01-15"))
	bank := f.arrangement(f.tenant("acme", date("2026-01-15")), "bank", tenancy.Adaptive)
	days := func(n int) time.Time { return now.AddDate(0, 0, -n) }
	ctx := t.Context()
	const old = prunePage + 10 // more than one transaction deletes
	retained := map[store.ClaimKind]int{store.ClaimReminder: 90, store.ClaimTrustQuestions: 7, store.ClaimTokenEnd: 90,
		store.ClaimAuthorityAwaited: 90, store.ClaimHead: 62, store.ClaimHeld: 0} // days
	check(t, f.store.InTx(ctx, func(tx *store.Tx) error {
		for kind, kept := range retained {
			for subject, at := range map[string]time.Time{"old": days(kept).Add(-time.Second), "recent": days(kept)} {
				if _, err := tx.Claim(ctx, kind, subject, at); err != nil {
					return err
				}
			}
		}
		if _, err := tx.Claim(ctx, store.ClaimSigns, "ever", days(1000)); err != nil {
			return err
		}
		var all []tenancy.Message
		for i := range old + 1 {
			m := tenancy.Message{ID: store.NewID(), ArrangementID: bank.ID, At: days(30).Add(-time.Second), Method: "POST",
				Count: 1}
			if i == old {
				m.At, m.Path = days(30), "/recent"
			}
			all = append(all, m)
		}
		return tx.AddMessages(ctx, all)
	}))
	parked := map[string]string{} // IDs by name
	for name, p := range map[string]tenancy.Parked{
		"ended long ago": {State: tenancy.ParkedDelivered, EndedAt: days(30).Add(-time.Second)},
		"ended recently": {State: tenancy.ParkedDelivered, EndedAt: days(30)},
		"still waiting":  {State: tenancy.ParkedWaiting},
	} {
		p.ID, p.ArrangementID, p.CreatedAt, p.IdempotencyKey = store.NewID(), bank.ID, days(40), name
		parked[name] = p.ID
		check(t, f.store.InTx(ctx, func(tx *store.Tx) error {
			if _, err := tx.Park(ctx, p, []byte("sealed")); err != nil {
				return err
			}
			return tx.UpdateParked(ctx, p)
		}))
	}
	check(t, f.Prune(ctx, now))
	for kind := range retained {
		for subject, want := range map[string]bool{"old": false, "recent": true} {
			if kept, err := f.store.Claimed(ctx, kind, subject); err != nil || kept != want {
				t.Errorf("the claim %s %q is kept: %v, %v", kind, subject, kept, err)
			}
		}
	}
	if kept, err := f.store.Claimed(ctx, store.ClaimSigns, "ever"); err != nil || !kept {
		t.Errorf("a claim that is kept for ever is gone: %v", err)
	}
	messages, err := f.store.Messages(ctx, bank.ID, "", 100)
	check(t, err)
	if len(messages) != 1 || messages[0].Path != "/recent" {
		t.Errorf("%d messages are kept", len(messages))
	}
	f.messagesKept = LeastMessagesKept
	check(t, f.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.AddMessages(ctx, []tenancy.Message{
			{ID: store.NewID(), ArrangementID: bank.ID, At: days(1).Add(-time.Second), Path: "/older", Count: 1},
			{ID: store.NewID(), ArrangementID: bank.ID, At: days(1), Path: "/day", Count: 1}})
	}))
	check(t, f.Prune(ctx, now))
	if messages, err = f.store.Messages(ctx, bank.ID, "", 100); err != nil || len(messages) != 1 ||
		messages[0].Path != "/day" {
		t.Errorf("with the shortest retention time, %+v are kept, %v", messages, err)
	}
	for name, id := range parked {
		if _, err := f.store.Parked(ctx, bank.ID, id); (err == nil) != (name != "ended long ago") {
			t.Errorf("a parked message that %s: %v", name, err)
		}
	}
}
