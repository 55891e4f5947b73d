package notify

import (
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/roottest"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestMailsAboutASubscriptionHaveTheOneLinkThatTheyAreFor(t *testing.T) {
	w := newWorld(t)
	alice, err := w.Store.KeyUser(t.Context(), w.acme.ID, "alice")
	check(t, err)
	now := date(2026, 11, 1)
	check(t, w.AskToStop(t.Context(), alice, now))
	check(t, w.StopMails(t.Context(), alice.ID, now))
	letters := w.deliver(now)
	for subject, purpose := range map[string]tenancy.LinkPurpose{
		"alice: Please confirm: no more mails about Acme": tenancy.LinkConfirm,
		"alice: You will no longer get mails about Acme":  tenancy.LinkUndo,
	} {
		l, found := letters[subject]
		if !found {
			t.Fatalf("%q was not sent: %v", subject, letters)
		}
		link := "https://p.example.com/unsubscribe/" + string(purpose) + "/" + alice.LinkSecret(purpose, now)
		if l.Unsubscribe+l.OneClick != "" || l.Confirm+l.Undo != link {
			t.Errorf("%q has the links %q, %q, %q", subject, l.Unsubscribe+l.OneClick, l.Confirm, l.Undo)
		}
		text, html, err := templates(t).render(l.Kind, l.Letter)
		check(t, err)
		for _, body := range []string{text, html} {
			body = strings.Join(strings.Fields(body), " ")
			if strings.Count(body, "/unsubscribe/") != 1 || !strings.Contains(body, link) ||
				!strings.Contains(body, "when partners refuse messages") {
				t.Errorf("%q: %s", subject, body)
			}
		}
	}
}

// ofTheHostingTeam lists the IDs of the mails to the hosting team.
func (w *world) ofTheHostingTeam() (ids []string) {
	w.t.Helper()
	mails, err := w.Store.Mails(w.t.Context(), "", tenancy.MailQueued, "", 100)
	check(w.t, err)
	for _, m := range mails {
		if m.TenantID == "" {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func TestTheMailAboutTokensThatEndListsThem(t *testing.T) {
	w := worldOf(t, []string{"team@p.example.com"})
	before := w.ofTheHostingTeam()
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateToken(t.Context(), tenancy.Token{ID: "t1", Name: "<crm>", Role: tenancy.RoleSender,
			TenantID: w.acme.ID, CreatedAt: installed, ExpiresAt: installed.AddDate(0, 0, 5)}, "hash")
	}))
	check(t, w.WarnOfTokens(t.Context(), installed))
	mails := slices.DeleteFunc(w.ofTheHostingTeam(), func(id string) bool { return slices.Contains(before, id) })
	var sender answers
	check(t, w.deliverer(&sender).Deliver(t.Context(), mails, false, installed))
	if len(sender.letters) != 1 {
		t.Fatalf("%d mails", len(sender.letters))
	}
	l := sender.letters[0]
	text, html, err := templates(t).render(l.Kind, l.Letter)
	check(t, err)
	text = strings.Join(strings.Fields(text), " ")
	if !strings.Contains(text, "- <crm> (sender of acme, ID t1) expires on ") ||
		!strings.Contains(html, ">&lt;crm&gt; (sender of acme, ID t1) expires on ") ||
		!strings.Contains(text, "perennial token rotate ID") || l.Subject !=
		"Perennial: tokens of senders and gateways expire soon" {
		t.Errorf("%s: %s\n%s", l.Subject, text, html)
	}
}

func TestTheMonthlyMailToTheHostingTeamHasTheHeadOfTheAuditLog(t *testing.T) {
	w := worldOf(t, []string{"team@p.example.com"})
	var sender answers
	check(t, w.deliverer(&sender).Deliver(t.Context(), w.ofTheHostingTeam(), false, installed))
	if len(sender.letters) != 1 {
		t.Fatalf("%d mails", len(sender.letters))
	}
	l := sender.letters[0]
	text, html, err := templates(t).render(l.Kind, l.Letter)
	check(t, err)
	for _, body := range []string{text, html} {
		heads := tenancy.ParseHeads(body)
		if len(heads) != 1 || !strings.Contains(body, "perennial audit verify --head FILE") ||
			!strings.Contains(body, "https://p.example.com") {
			t.Fatalf("the mail: %s", body)
		}
		check(t, w.Store.VerifyHeads(t.Context(), heads))
	}
	if l.Subject != "Perennial: the head of the audit log, January 2026" || l.Address != "team@p.example.com" ||
		l.Unsubscribe+l.OneClick != "" {
		t.Errorf("%+v", l.Letter)
	}
}

func TestTheMailAboutARootThatHasToSignStatesTheCommandsAndTheEndOfTheCA(t *testing.T) {
	w := worldOf(t, []string{"team@p.example.com"})
	r, err := w.ca.RequestAuthority(t.Context(), "", installed)
	check(t, err)
	a, err := w.ca.InstallAuthority(t.Context(), roottest.New(t, installed)(r.CSR, installed, installed.AddDate(5, 0, 0)),
		installed, installed)
	check(t, err)
	before, at := w.ofTheHostingTeam(), a.NotAfter.AddDate(-2, 0, 0)
	check(t, w.Announce(t.Context(), at))
	mails := slices.DeleteFunc(w.ofTheHostingTeam(), func(id string) bool { return slices.Contains(before, id) })
	var sender answers
	check(t, w.deliverer(&sender).Deliver(t.Context(), mails, false, at))
	if len(sender.letters) != 1 {
		t.Fatalf("%d mails", len(sender.letters))
	}
	l := sender.letters[0]
	text, html, err := templates(t).render(l.Kind, l.Letter)
	check(t, err)
	for _, want := range []string{"expires on " + a.NotAfter.Format("2 January 2006"),
		"perennial authority csr -o issuing.csr", "perennial authority install chain.pem"} {
		if !strings.Contains(text, want) || !strings.Contains(html, want) {
			t.Errorf("%q is missing: %s\n%s", want, text, html)
		}
	}
	if !strings.HasPrefix(l.Subject, "Perennial: your root must sign the next issuing CA by ") {
		t.Errorf("subject %q", l.Subject)
	}
}
