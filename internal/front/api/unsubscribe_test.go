package api

import (
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// A subscriber is alice of acme with her links.
type subscriber struct {
	*fixture
}

func subscribed(t *testing.T) subscriber {
	t.Helper()
	f := setUp(t)
	f.ok("acme/alice", "PUT", "/tenants/acme/key-users/alice/subscription", 200, "")
	return subscriber{f}
}

func (s subscriber) user() tenancy.KeyUser {
	s.t.Helper()
	tenant, err := s.store.Tenant(s.t.Context(), "acme")
	check(s.t, err)
	u, err := s.store.KeyUser(s.t.Context(), tenant.ID, "alice")
	check(s.t, err)
	return u
}

func (s subscriber) getsMail() bool { return !s.user().SubscribedAt.IsZero() }

// link returns the link that a mail of an instant has.
func (s subscriber) link(p tenancy.LinkPurpose, at time.Time) string {
	return "/unsubscribe/" + string(p) + "/" + s.user().LinkSecret(p, at)
}

func (s subscriber) open(link string) answer { return s.call("", "GET", link, "") }
func (s subscriber) press(link string) answer {
	return s.call("", "POST", link, "", "Content-Type: application/x-www-form-urlencoded")
}
func (s subscriber) oneClick(link string) answer {
	return s.call("", "POST", link, "List-Unsubscribe=One-Click", "Content-Type: application/x-www-form-urlencoded")
}

// mails returns the kinds of the mails about the subscription, the oldest first.
func (s subscriber) mails() (kinds []tenancy.NoticeKind) {
	s.t.Helper()
	mails, err := s.store.MailsOf(s.t.Context(), s.user().ID, 100)
	check(s.t, err)
	for i := len(mails) - 1; i >= 0; i-- {
		n, err := s.store.NoticesByID(s.t.Context(), []string{mails[i].NoticeID})
		check(s.t, err)
		if kind := n[mails[i].NoticeID].Kind; kind == tenancy.StopAsked || kind == tenancy.MailsStopped {
			if mails[i].Address != "alice@acme.example.com" || mails[i].State != tenancy.MailQueued {
				s.t.Errorf("a mail to %s is %s", mails[i].Address, mails[i].State)
			}
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// Whoever gets a mail that was passed on has the link in its body. It must not silence the key user, whatever is sent
// to it.
func TestTheLinkInTheBodyOfAMailOnlyAsksTheKeyUser(t *testing.T) {
	s := subscribed(t)
	ask := s.link(tenancy.LinkAsk, s.now)
	page := s.open(ask)
	for _, want := range []string{"Stop mails for alice@acme.example.com about Tenant acme?", "<button>"} {
		if page.status != 200 || !strings.Contains(page.raw, want) {
			t.Errorf("the page has no %q: %d %s", want, page.status, page.raw)
		}
	}
	for range 3 { // a day has one mail
		for _, a := range []answer{s.press(ask), s.oneClick(ask)} {
			if a.status != 200 || !strings.Contains(a.raw, "We have sent a mail to alice@acme.example.com") {
				t.Errorf("asking: %d %s", a.status, a.raw)
			}
		}
	}
	if got := s.mails(); !s.getsMail() || !reflect.DeepEqual(got, []tenancy.NoticeKind{tenancy.StopAsked}) {
		t.Fatalf("alice gets mail: %v, mails %v", s.getsMail(), got)
	}
	for _, purpose := range []string{"stop", "confirm", "undo", "x"} { // the secret of one purpose has no other
		if a := s.oneClick(strings.Replace(ask, "/ask/", "/"+purpose+"/", 1)); a.status != 404 || !s.getsMail() {
			t.Errorf("the same secret for %s: %d", purpose, a.status)
		}
	}
	s.now = s.now.AddDate(0, 0, 1)
	s.press(ask)
	if got := s.mails(); len(got) != 2 {
		t.Errorf("on the next day: %v", got)
	}
}

func TestTheMailThatWasAskedForStopsMailsAndAnotherOneUndoesIt(t *testing.T) {
	s := subscribed(t)
	confirm, oneClick := s.link(tenancy.LinkConfirm, s.now), s.link(tenancy.LinkStop, s.now)
	if a := s.open(confirm); a.status != 200 || !strings.Contains(a.raw, ">Stop mails<") || !s.getsMail() {
		t.Errorf("opening the link: %d, %s", a.status, a.raw)
	}
	stopped := s.press(confirm)
	if s.getsMail() || !reflect.DeepEqual(s.mails(), []tenancy.NoticeKind{tenancy.MailsStopped}) {
		t.Fatalf("alice gets mail: %v, mails %v", s.getsMail(), s.mails())
	}
	undo := regexp.MustCompile(`action="(/unsubscribe/undo/[^"]+)"`).FindStringSubmatch(stopped.raw)
	if len(undo) != 2 {
		t.Fatalf("the page does not offer to undo it: %s", stopped.raw)
	}
	for range 2 { // a second click changes nothing
		if a := s.press(confirm); a.status != 200 || s.getsMail() || len(s.mails()) != 1 {
			t.Errorf("again: %d", a.status)
		}
	}
	if a := s.open(undo[1]); !strings.Contains(a.raw, "Get mails again") || s.getsMail() {
		t.Errorf("opening the link that undoes it: %s", a.raw)
	}
	if a := s.press(undo[1]); a.status != 200 || !s.getsMail() {
		t.Errorf("undo: %d %s", a.status, a.raw)
	}
	for name, link := range map[string]string{"confirmation": confirm, "header": oneClick, "undo": undo[1]} {
		if a := s.oneClick(link); a.status != 404 || !s.getsMail() {
			t.Errorf("after a new subscription, the link of the %s still answers %d", name, a.status)
		}
	}
	events, err := s.store.Events(t.Context(), "acme", 0, 1000)
	check(t, err)
	var actions []string
	for _, e := range events {
		if e.Actor == "link in a mail to acme/alice" {
			actions = append(actions, e.Action)
		}
	}
	if len(actions) != 2 {
		t.Errorf("the audit log has %q", actions)
	}
}

// The header of a mail that is passed on as an attachment has the link that works with one click (RFC 8058). It ends
// with its mail's 90 days, the key user is told at once, and undoing it ends the validity of every such link.
func TestTheHeaderOfAForwardedMailCannotSilenceAKeyUserUnnoticed(t *testing.T) {
	s := subscribed(t)
	header := s.link(tenancy.LinkStop, s.now)
	if a := s.open(header); a.status != 200 || !strings.Contains(a.raw, "<button>") || !s.getsMail() {
		t.Errorf("opening it: %d %s", a.status, a.raw)
	}
	if a := s.press(header); a.status != 200 || !s.getsMail() { // not a POST of RFC 8058
		t.Errorf("a form: %d", a.status)
	}
	for range 2 {
		if a := s.oneClick(header); a.status != 200 || s.getsMail() {
			t.Errorf("one click: %d %s", a.status, a.raw)
		}
	}
	if got := s.mails(); !reflect.DeepEqual(got, []tenancy.NoticeKind{tenancy.StopAsked, tenancy.MailsStopped}) {
		t.Errorf("mails %v", got)
	}
	s.press(s.link(tenancy.LinkUndo, s.now))
	if a := s.oneClick(header); a.status != 404 || !s.getsMail() {
		t.Errorf("the header works a second time: %d", a.status)
	}
	old := s.link(tenancy.LinkStop, s.now.AddDate(0, 0, -90))
	if a := s.oneClick(old); a.status != 404 || !s.getsMail() {
		t.Errorf("the header of a mail of 90 days ago: %d", a.status)
	}
}

func TestLinksInMailsOfEarlierReleasesOnlyAsk(t *testing.T) {
	s := subscribed(t)
	link := "/unsubscribe/" + s.user().UnsubscribeToken
	if a := s.open(link); a.status != 200 || !strings.Contains(a.raw, "Send me a mail to confirm") {
		t.Errorf("opening it: %d %s", a.status, a.raw)
	}
	if a := s.press(link); a.status != 200 || !s.getsMail() {
		t.Errorf("a form: %d", a.status)
	}
	if a := s.oneClick(link); a.status != 200 || !s.getsMail() {
		t.Errorf("one click: %d", a.status)
	}
	if a := s.oneClick(link + "x"); a.status != 404 {
		t.Errorf("a wrong link: %d", a.status)
	}
}

func TestPagesAboutSubscriptionsAreInTheReadersLanguage(t *testing.T) {
	s := subscribed(t)
	ask := s.link(tenancy.LinkAsk, s.now)
	for header, want := range map[string]string{"de-AT,de;q=0.9": "Keine Mails mehr an alice@acme.example.com zu Tenant",
		"fr": "Stop mails for", "": "Stop mails for"} {
		if a := s.call("", "GET", ask, "", "Accept-Language: "+header); !strings.Contains(a.raw, want) {
			t.Errorf("%s: %s", header, a.raw)
		}
	}
	a := s.call("", "GET", "/unsubscribe/ask/unknown", "", "Accept-Language: de")
	if a.status != http.StatusNotFound || !strings.Contains(a.raw, `lang="de"`) ||
		!strings.Contains(a.raw, "nicht gültig") {
		t.Errorf("%d %s", a.status, a.raw)
	}
	en, de := reflect.ValueOf(english), reflect.ValueOf(german)
	for i := range en.NumField() {
		if en.Field(i).IsZero() || de.Field(i).IsZero() {
			t.Errorf("%s has no text in one language", en.Type().Field(i).Name)
		}
	}
}

// The mailbox of the old address may belong to another person by now.
func TestLinksInMailsToAnEarlierAddressDoNotWork(t *testing.T) {
	s := subscribed(t)
	links := []string{s.link(tenancy.LinkStop, s.now), "/unsubscribe/" + s.user().UnsubscribeToken}
	tag := s.call("operator", "GET", "/tenants/acme/key-users/alice", "").header.Get("ETag")
	if a := s.call("operator", "PUT", "/tenants/acme/key-users/alice", `{"email":"new@acme.example.com"}`,
		"If-Match: "+tag); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	for _, link := range links {
		if a := s.oneClick(link); a.status != 404 || strings.Contains(a.raw, "new@") || !s.getsMail() {
			t.Errorf("%s: %d %s", link, a.status, a.raw)
		}
	}
}
