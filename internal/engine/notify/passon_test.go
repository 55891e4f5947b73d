package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// passedOnIn returns the pages that a mail has for administrators, by arrangement.
func passedOnIn(l Letter) map[string]string {
	pages := map[string]string{}
	for _, g := range l.Groups() {
		for _, h := range g.PagesToPassOn {
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
	pages := passedOnIn(letter.Letter)
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

// reminder delivers what is queued and returns the reminder to alice.
func (w *world) reminder(now time.Time) Letter {
	w.t.Helper()
	for _, l := range w.deliver(now) {
		if l.Kind == tenancy.Unready {
			return l.Letter
		}
	}
	w.t.Fatal("no reminder was sent")
	return Letter{}
}

// A mail that is sent again, or by another replica, must not have another link.
func TestRemindersRepeatThePagesOfTheirRenewal(t *testing.T) {
	w := newWorld(t)
	bank := w.arrange("bank")
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	ids := w.queued()
	first := passedOnIn(w.deliver(date(2026, 12, 1))[renewedSubject].Letter)
	check(t, w.Tick(t.Context(), date(2027, 1, 1)))
	if again := passedOnIn(w.reminder(date(2027, 1, 10))); first["crm-to-bank"] == "" ||
		again["crm-to-bank"] != first["crm-to-bank"] {
		t.Errorf("first %v, then %v", first, again)
	}
	// Another replica that has read the links before sees none.
	var stale answers
	d := w.deliverer(&stale)
	m, err := w.Store.Mail(t.Context(), ids[0])
	check(t, err)
	all, err := d.read(t.Context(), []tenancy.Mail{m}, date(2026, 12, 1))
	check(t, err)
	l, err := d.letter(t.Context(), all, m, date(2026, 12, 1))
	check(t, err)
	letters := []Addressed{{Kind: l.Kind, Letter: l}}
	check(t, d.addPagesToPassOn(t.Context(), letters, nil, date(2026, 12, 1)))
	if again := passedOnIn(letters[0].Letter); again["crm-to-bank"] != first["crm-to-bank"] {
		t.Errorf("first %v, another replica %v", first, again)
	}
	valid, err := w.Store.LinksOf(t.Context(), []string{bank.ID}, date(2027, 1, 10))
	check(t, err)
	if len(valid[bank.ID]) != 1 {
		t.Errorf("links: %+v", valid[bank.ID])
	}
	events, err := w.Store.Events(t.Context(), "acme", 0, 100)
	check(t, err)
	created := 0
	for _, e := range events {
		if e.Action == "link.created" && e.Object == "acme/crm-to-bank" && e.Actor == "mail" {
			created++
		}
	}
	if created != 1 {
		t.Errorf("%d audit events of the link", created)
	}
}

func TestARevokedPageIsNotMailedAgain(t *testing.T) {
	w := newWorld(t)
	bank := w.arrange("bank")
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	w.deliver(date(2026, 12, 1))
	w.revokeLinks(bank, date(2026, 12, 2))
	check(t, w.Tick(t.Context(), date(2027, 1, 1)))
	if pages := passedOnIn(w.reminder(date(2027, 1, 1))); len(pages) != 0 {
		t.Errorf("pages %v", pages)
	}
}

// A link that no mail contains would be a secret without a use.
func TestOnlyListedSystemsHaveAPageToPassOn(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for i := range 12 {
		ids = append(ids, w.arrange(fmt.Sprintf("p%02d", i)).ID)
	}
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	pages := passedOnIn(w.deliver(date(2026, 12, 1))[renewedSubject].Letter)
	valid, err := w.Store.LinksOf(t.Context(), ids, date(2026, 12, 1))
	check(t, err)
	if len(pages) != mostGroups || len(valid) != mostGroups {
		t.Errorf("%d pages, %d arrangements with links", len(pages), len(valid))
	}
}

// revokeLinks revokes the links of an arrangement.
func (w *world) revokeLinks(a tenancy.Arrangement, now time.Time) {
	w.t.Helper()
	ctx := w.t.Context()
	valid, err := w.Store.LinksOf(ctx, []string{a.ID}, now)
	check(w.t, err)
	check(w.t, w.Store.InTx(ctx, func(tx *store.Tx) error {
		for _, l := range valid[a.ID] {
			if err := tx.RevokeLink(ctx, a.ID, l.ID, now); err != nil {
				return err
			}
		}
		return nil
	}))
}

func TestASystemThatNeedsNothingHasNoPageToPassOn(t *testing.T) {
	w := newWorld(t)
	bank := w.arrange("bank")
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	w.sees(bank, 2, rollover.Accepted, date(2026, 12, 1))
	letter := w.deliver(date(2026, 12, 1))[renewedSubject]
	if pages := passedOnIn(letter.Letter); len(pages) != 0 {
		t.Errorf("pages %v", pages)
	}
	valid, err := w.Store.LinksOf(t.Context(), []string{bank.ID}, date(2026, 12, 1))
	check(t, err)
	if len(valid[bank.ID]) != 0 {
		t.Errorf("links: %+v", valid[bank.ID])
	}
}
