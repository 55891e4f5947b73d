package notify

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// handovers returns the pages that a mail has for administrators, by arrangement.
func handovers(l Letter) map[string]string {
	pages := map[string]string{}
	for _, g := range l.Groups() {
		for _, h := range g.Handovers {
			pages[h.Arrangement] = h.Page
		}
	}
	return pages
}

func TestAKeyUserGetsThePagesToPassOnToTheAdministratorsWhomTheServiceDoesNotMail(t *testing.T) {
	w := newWorld(t)
	bank := w.arrange("bank")
	w.administered(bank, tenancy.Receiver{ContactName: "Eve", ContactEmail: "eve@bank.example.com"})
	shop := w.arrange("shop")
	w.administered(shop, tenancy.Receiver{ContactName: "Sam"})
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	letter := w.deliver(date(2026, 12, 1))[renewedSubject]
	pages := handovers(letter.Letter)
	secret, found := strings.CutPrefix(pages["crm-to-shop"], "https://p.example.com/rollover/")
	if len(pages) != 1 || !found {
		t.Fatalf("pages %v", pages)
	}
	link, err := w.Store.LinkByHash(t.Context(), tenancy.HashSecret(secret))
	check(t, err)
	if link.ArrangementID != shop.ID || link.Generation != 2 || link.CreatedBy != links.ToKeyUsers || link.Address != "" ||
		!link.ExpiresAt.Equal(date(2026, 12, 1).Add(tenancy.LinkKept)) {
		t.Errorf("the link: %+v", link)
	}
	says(t, w.rendered(letter), "Please do now: send the administrators below whom we do not mail the link",
		"Page to pass on to the administrator", pages["crm-to-shop"], "Open the page of this system")
}

// A mail that is sent again must not have another link, and a link in an old mail must not die.
func TestRemindersRepeatThePagesAndKeepThemValid(t *testing.T) {
	w := newWorld(t)
	bank := w.arrange("bank")
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	first := handovers(w.deliver(date(2026, 12, 1))[renewedSubject].Letter)
	check(t, w.Tick(t.Context(), date(2027, 1, 1)))
	var reminder Letter
	for _, l := range w.deliver(date(2027, 1, 10)) {
		if l.Kind == tenancy.Unready {
			reminder = l.Letter
		}
	}
	if again := handovers(reminder); first["crm-to-bank"] == "" || again["crm-to-bank"] != first["crm-to-bank"] {
		t.Errorf("first %v, then %v", first, again)
	}
	valid, err := w.Store.LinksOf(t.Context(), []string{bank.ID}, date(2027, 1, 10))
	check(t, err)
	if all := valid[bank.ID]; len(all) != 1 || !all[0].ExpiresAt.Equal(date(2027, 1, 10).Add(tenancy.LinkKept)) {
		t.Errorf("links: %+v", all)
	}
}

// revokeLinks revokes the links of an arrangement.
func (w *world) revokeLinks(a tenancy.Arrangement, now time.Time) {
	w.t.Helper()
	ctx := w.t.Context()
	valid, err := w.Store.LinksOf(ctx, []string{a.ID}, now)
	check(w.t, err)
	check(w.t, w.Store.InTx(ctx, func(tx *store.Tx) (err error) {
		for _, l := range valid[a.ID] {
			err = errors.Join(err, tx.RevokeLink(ctx, a.ID, l.ID, now))
		}
		return err
	}))
}

func TestARevokedPageIsNotMailedAgain(t *testing.T) {
	w := newWorld(t)
	bank := w.arrange("bank")
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	first := handovers(w.deliver(date(2026, 12, 1))[renewedSubject].Letter)
	w.revokeLinks(bank, date(2026, 12, 2))
	check(t, w.Tick(t.Context(), date(2027, 1, 1)))
	for _, l := range w.deliver(date(2027, 1, 1)) {
		if again := handovers(l.Letter); l.Kind == tenancy.Unready && (again["crm-to-bank"] == "" ||
			again["crm-to-bank"] == first["crm-to-bank"]) {
			t.Errorf("first %v, then %v", first, again)
		}
	}
}

func TestASystemThatNeedsNothingHasNoPageToPassOn(t *testing.T) {
	w := newWorld(t)
	bank := w.arrange("bank")
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	w.sees(bank, 2, rollover.Accepted, date(2026, 12, 1))
	letter := w.deliver(date(2026, 12, 1))[renewedSubject]
	if pages := handovers(letter.Letter); len(pages) != 0 {
		t.Errorf("pages %v", pages)
	}
	valid, err := w.Store.LinksOf(t.Context(), []string{bank.ID}, date(2026, 12, 1))
	check(t, err)
	if len(valid[bank.ID]) != 0 {
		t.Errorf("links: %+v", valid[bank.ID])
	}
}
