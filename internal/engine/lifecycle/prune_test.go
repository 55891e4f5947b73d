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
	check(t, f.store.InTx(ctx, func(tx *store.Tx) error {
		for _, c := range []struct {
			kind    store.ClaimKind
			subject string
			days    int
		}{{store.ClaimReminder, "old", 91}, {store.ClaimReminder, "recent", 89}, {store.ClaimTrustQuestions, "old", 8},
			{store.ClaimTrustQuestions, "recent", 6}, {store.ClaimTokenEnd, "old", 91}, {store.ClaimTokenEnd, "recent", 89},
			{store.ClaimHead, "old", 63}, {store.ClaimHead, "recent", 61}, {store.ClaimSigns, "ever", 1000}} {
			if _, err := tx.Claim(ctx, c.kind, c.subject, days(c.days)); err != nil {
				return err
			}
		}
		var all []tenancy.Message
		for i := range old + 1 {
			m := tenancy.Message{ID: store.NewID(), ArrangementID: bank.ID, At: days(31), Method: "POST", Count: 1}
			if i == old {
				m.At, m.Path = days(29), "/recent"
			}
			all = append(all, m)
		}
		return tx.AddMessages(ctx, all)
	}))
	parked := map[string]string{} // IDs by name
	for name, p := range map[string]tenancy.Parked{
		"ended long ago": {State: tenancy.ParkedDelivered, EndedAt: days(31)},
		"ended recently": {State: tenancy.ParkedDelivered, EndedAt: days(29)},
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
	for _, c := range []struct {
		kind    store.ClaimKind
		subject string
		want    bool
	}{{store.ClaimReminder, "old", false}, {store.ClaimReminder, "recent", true},
		{store.ClaimTrustQuestions, "old", false},
		{store.ClaimTrustQuestions, "recent", true}, {store.ClaimTokenEnd, "old", false},
		{store.ClaimTokenEnd, "recent", true}, {store.ClaimHead, "old", false}, {store.ClaimHead, "recent", true},
		{store.ClaimSigns, "ever", true}} {
		got, err := f.store.Claimed(ctx, c.kind, c.subject)
		check(t, err)
		if got != c.want {
			t.Errorf("the claim %s %q is kept: %v", c.kind, c.subject, got)
		}
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
