package notify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/engine/watching"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// A watch is a certificate that SAP renews on 1 November 2026, which acme watches.
type watch struct {
	*world
	watching *watching.Watching
	ca       *testca.CA
	name     string
}

// watch begins to watch a certificate. server is its source; empty for none.
func (w *world) watch(server string) watch {
	w.t.Helper()
	on := watch{w, watching.New(w.Store, w.Installation, w.Log), testca.New(w.t, "Passport", installed), "acme-c4c"}
	p, err := policy.Preset("sap-c4c")
	check(w.t, err)
	v := tenancy.Watched{Name: on.name, Owner: "SAP", Policy: p.YAML(), Systems: []tenancy.WatchedSystem{
		{Name: "bank", IdentifiesBy: []tenancy.Identifier{tenancy.ByCertificate}},
		{Name: "portal", IdentifiesBy: []tenancy.Identifier{tenancy.BySubjectIssuer}}, {Name: "archive"},
	}}
	if server != "" {
		v.Source = tenancy.WatchSource{Kind: tenancy.WatchServer, Address: server}
	}
	_, err = on.watching.Add(w.t.Context(), w.acme, v, on.issue("acme", date(2025, 12, 25)), "test", installed)
	check(w.t, err)
	return on
}

func (w watch) issue(subject string, from time.Time) [][]byte {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(w.t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(from.Unix()),
		Subject: pkix.Name{CommonName: subject}, NotBefore: from, NotAfter: from.Add(365 * policy.Day),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, w.ca.Issuing, key.Public(), w.ca.Key)
	check(w.t, err)
	return [][]byte{der, w.ca.Issuing.Raw}
}

func (w watch) advance(now time.Time) {
	w.t.Helper()
	v, err := w.Store.Watched(w.t.Context(), w.acme.ID, w.name)
	check(w.t, err)
	check(w.t, w.watching.Advance(w.t.Context(), w.acme, v, now))
}

func (w watch) seen(subject string, from, now time.Time) {
	w.t.Helper()
	_, err := w.watching.Seen(w.t.Context(), w.acme, w.name, w.issue(subject, from), watching.Witness{By: "guard"}, now)
	check(w.t, err)
}

// through causes notices of these kinds.
func (w watch) through(kinds ...tenancy.NoticeKind) {
	w.t.Helper()
	for _, kind := range kinds {
		switch kind {
		case tenancy.WatchExpected:
			w.advance(date(2026, 10, 1))
		case tenancy.WatchAlarmed:
			w.advance(date(2026, 11, 5))
		case tenancy.WatchRenewed:
			w.seen("acme", date(2026, 11, 6), date(2026, 11, 6))
		}
	}
}

// one delivers what is queued and returns the words of the mail to alice with a subject, in each of its two forms.
func (w watch) one(subject string, now time.Time) (l Letter, bodies []string) {
	w.t.Helper()
	sent, found := w.deliver(now)["alice: "+subject]
	if !found {
		w.t.Fatalf("%q was not sent", subject)
	}
	text, html, err := templates(w.t).render(sent.Kind, sent.Letter)
	check(w.t, err)
	for line := range strings.Lines(text) {
		if len(line) > 100 && !strings.HasPrefix(strings.TrimSpace(line), "*") && !strings.HasPrefix(line, "https:") {
			w.t.Errorf("a long line in %q: %s", subject, line)
		}
	}
	strip := strings.NewReplacer("<b>", "", "</b>", "", "</li>", "", "&#39;", "'", "&#34;", `"`)
	for _, body := range []string{text, strip.Replace(html)} {
		body = strings.Join(strings.Fields(body), " ")
		if strings.Contains(body, "<no value>") || strings.Contains(body, " . ") || strings.Contains(body, "January 0001") {
			w.t.Errorf("%q: %s", subject, body)
		}
		bodies = append(bodies, body)
	}
	return sent.Letter, bodies
}

func (w watch) contains(bodies []string, phrases ...string) {
	w.t.Helper()
	for _, body := range bodies {
		for _, phrase := range phrases {
			if !strings.Contains(body, phrase) {
				w.t.Errorf("%q is missing in: %s", phrase, body)
			}
		}
	}
}

func TestAWarningAboutAWatchedCertificateNamesTheDayTheSystemsAndWhatToDo(t *testing.T) {
	w := newWorld(t)
	w.arrange("bank")
	on := w.watch("")
	on.advance(date(2026, 10, 1))
	l, bodies := on.one("The certificate acme-c4c is going to be renewed", date(2026, 10, 1))
	on.contains(bodies, "SAP is expected to renew the certificate acme-c4c on 1 November 2026.",
		"bank: It checks the whole certificate, so it will refuse the new certificate until that is installed.",
		"Administrator: Eve, eve@bank.example.com",
		"portal: It checks the subject and the issuer. It needs no change if the subject, the alternative names and the CA "+
			"stay the same.",
		"archive: It is not known how it checks certificates.",
		"As soon as you have it, upload it on", "the page of this certificate",
		"https://p.example.com/tenants/acme/watched/acme-c4c",
		"Subscribe to Task")
	if strings.Contains(bodies[0], "perennial watch update") {
		t.Error("a key user is told to run a command, although the console has a page for it")
	}
	if l.Unsubscribe == "" || l.New != nil || l.Old.Subject != "CN=acme" || l.Old.Issuer != "CN=Passport Issuing,O=CA" {
		t.Errorf("%+v", l)
	}
}

func TestASourceReplacesTheUploadInAWarning(t *testing.T) {
	w := newWorld(t)
	on := w.watch("erp.example.com:443")
	on.advance(date(2026, 10, 1))
	_, bodies := on.one("The certificate acme-c4c is going to be renewed", date(2026, 10, 1))
	on.contains(bodies, "as soon as the new one is seen at erp.example.com:443")
	if strings.Contains(bodies[0], "perennial watch update") {
		t.Error("an upload is asked for")
	}
}

func TestTheMailAboutARenewalStatesWhatChangesAndCarriesTheCertificate(t *testing.T) {
	w := newWorld(t)
	on := w.watch("")
	on.through(tenancy.WatchExpected)
	w.deliver(date(2026, 10, 1))
	on.through(tenancy.WatchRenewed)
	l, bodies := on.one("The certificate acme-c4c has been renewed", date(2026, 11, 6))
	on.contains(bodies, "SAP has renewed the certificate acme-c4c.",
		"bank: It checks the whole certificate, so the new certificate must be installed there now.",
		"portal: Nothing to do: it checks the subject and the issuer, and that stays the same.",
		"archive: It is not known how it checks certificates.",
		"These stay the same: the subject, the alternative names and the issuing CA.",
		"may be presented until 25 December 2026, 00:00 UTC")
	m, err := templates(t).compose(tenancy.WatchRenewed, l, mail.Address{Address: "noreply@p.example.com"})
	check(t, err)
	var names []string
	for _, f := range m.GetAttachments() {
		names = append(names, f.Name)
	}
	if want := "acme-c4c-until-2027-11-06-" + l.New.Fingerprint[:8] + ".pem"; strings.Join(names, " ") != want {
		t.Errorf("attached: %v", names)
	}
}

func TestAnAlarmStatesItsReasonAndTheNextStep(t *testing.T) {
	w := newWorld(t)
	on := w.watch("erp.example.com:443")
	on.through(tenancy.WatchExpected)
	w.deliver(date(2026, 10, 1))

	v, err := w.Store.Watched(t.Context(), w.acme.ID, "acme-c4c")
	check(t, err)
	busy := tenancy.Failure("the server answers %d %s", 503, "Busy")
	check(t, on.watching.Missed(t.Context(), w.acme, v, busy, date(2026, 10, 2)))
	v, err = w.Store.Watched(t.Context(), w.acme.ID, "acme-c4c")
	check(t, err)
	check(t, on.watching.Missed(t.Context(), w.acme, v, busy, date(2026, 10, 5)))
	_, bodies := on.one("The source of the certificate acme-c4c cannot be read", date(2026, 10, 5))
	on.contains(bodies, "has not been readable since 2 October 2026, 00:00 UTC", "the server answers 503 Busy, in en",
		"correct the address of the source")

	on.through(tenancy.WatchAlarmed)
	_, bodies = on.one("The certificate acme-c4c has not been renewed as expected", date(2026, 11, 5))
	on.contains(bodies, "to be renewed by SAP on 1 November 2026.",
		"No new one was seen. It expires on 25 December 2026",
		"Ask SAP whether the certificate was renewed")

	on.seen("globex", date(2026, 11, 6), date(2026, 11, 6))
	l, bodies := on.one("An unexpected certificate was seen for acme-c4c", date(2026, 11, 6))
	on.contains(bodies, "it is not the expected one.", "It has another subject", "CN=globex", "CN=acme",
		"Ask SAP, over a channel that you know, whether the new certificate is genuine")
	for _, body := range bodies {
		if !strings.Contains(strings.ToLower(body), "your systems, if the new certificate is genuine") {
			t.Error("the mail asks for the installation of a certificate that may be forged")
		}
		if strings.Contains(body, "you may pass it on") || strings.Contains(strings.ToLower(body), "it replaces") {
			t.Error("the mail treats a certificate that may be forged as the next one")
		}
	}
	if l.New == nil || l.New.Subject != "CN=globex" {
		t.Errorf("%+v", l.New)
	}

	on.advance(date(2026, 12, 26))
	_, bodies = on.one("The certificate acme-c4c has expired, and no new one was seen", date(2026, 12, 26))
	on.contains(bodies, "expired on 25 December 2026, 00:00 UTC, and no new one was seen")
}

// A mail is sent even if the certificate is not watched any longer.
func TestAMailDoesNotNeedTheWatchedCertificateAnyLonger(t *testing.T) {
	w := newWorld(t)
	on := w.watch("")
	on.through(tenancy.WatchExpected)
	v, err := w.Store.Watched(t.Context(), w.acme.ID, "acme-c4c")
	check(t, err)
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.DeleteWatched(t.Context(), v) }))
	_, bodies := on.one("The certificate acme-c4c is going to be renewed", date(2026, 10, 1))
	on.contains(bodies, "CN=acme")
}
