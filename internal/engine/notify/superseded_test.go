package notify

import (
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// The mail server was away. What leaves after a revocation must be true then, and keep its Message-ID.
func TestAMailThatWaitedIsTrueAfterARevocation(t *testing.T) {
	revoke := func(w *world, generation int) error {
		_, err := w.RevokeGeneration(w.t.Context(), "acme", tenancy.ForTenant, generation, lifecycle.Lost, "test",
			date(2026, 11, 2))
		return err
	}
	for what, c := range map[string]struct {
		act        func(w *world) error
		warned     bool // the mail is the warning, and not that of a renewal
		attached   int  // generation; 0 for none
		alice, eve []string
	}{
		"the old one": {func(w *world) error { return revoke(w, 1) }, false, 2,
			[]string{"the certificate of Acme with the serial number", "is revoked, because its key was lost",
				"remove the certificate with the serial number", "(revoked)", "not messages continue with the present one",
				"not stays valid until"},
			[]string{"Please remove it, and install the new one today.", "It gets only the new certificate"}},
		"the new one": {func(w *world) error { return revoke(w, 2) }, false, 3,
			[]string{"Acme has a new certificate. 1 of 1 system"}, []string{"Acme has a new certificate. Please install it by"}},
		"every one": {func(w *world) error {
			_, err := w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, lifecycle.Compromised, "test", date(2026, 11, 2))
			return err
		}, false, 3, []string{"the certificates of Acme with the serial numbers", "not stays valid until"},
			[]string{"Please remove them, and install the new one today."}},
		"the new one, and its CA answers later": {func(w *world) error {
			newest, err := w.Store.Newest(t.Context(), w.acme.ID, tenancy.ForTenant)
			check(t, err)
			return w.Store.InTx(t.Context(), func(tx *store.Tx) error {
				return tx.Revoke(t.Context(), newest.ID, lifecycle.Lost, date(2026, 11, 2))
			})
		}, false, 0, []string{"The new certificate of Acme was revoked. Please do not install it.",
			"not stays valid until"}, []string{"The new certificate of Acme was revoked. Please do not install it."}},
		"the announced one": {func(w *world) error { return revoke(w, 1) }, true, 0,
			[]string{"was revoked. The renewal that we announced for 1 December 2026 does not take place.",
				"not is valid until"},
			[]string{"was revoked. The renewal that", "not is valid until", "not There is nothing to do today"}},
	} {
		w := newWorld(t)
		w.administered(w.arrange("bank"), tenancy.Receiver{ContactName: "Eve", ContactEmail: "eve@bank.example.com"})
		if c.warned {
			check(t, w.Tick(t.Context(), date(2026, 11, 1)))
		} else {
			_, err := w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, lifecycle.Reissue, "test", date(2026, 11, 1))
			check(t, err)
		}
		waiting := w.queued()
		messageIDs := map[string]bool{}
		mails, err := w.Store.QueuedMails(t.Context(), waiting)
		check(t, err)
		for _, m := range mails {
			messageIDs[m.MessageID] = true
		}
		check(t, c.act(w))
		var sender answers
		check(t, w.deliverer(&sender).Deliver(t.Context(), waiting, false, date(2026, 11, 3)))
		texts := map[string][]string{"alice": c.alice, "Eve": c.eve}
		for _, l := range sender.letters {
			if texts[l.Name] == nil {
				continue // an IT contact
			}
			mail := w.rendered(l)
			says(t, mail, texts[l.Name]...)
			attached := 0
			if l.New != nil {
				attached = l.New.Generation
			}
			if attached != c.attached || !messageIDs[l.MessageID] {
				t.Errorf("%s: %q to %s has generation %d, want %d", what, l.Subject, l.Name, attached, c.attached)
			}
			delete(texts, l.Name)
		}
		if len(texts) > 0 {
			t.Errorf("%s: a mail was not delivered", what)
		}
	}
}
