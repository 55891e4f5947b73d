package notify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// mails renders the letters as text and as HTML, by recipient and subject.
func (w *world) mails(now time.Time) map[string]string {
	w.t.Helper()
	texts := map[string]string{}
	for name, l := range w.deliver(now) {
		texts[name] = w.rendered(l)
	}
	return texts
}

// rendered returns the text of a letter and its HTML, each as one line.
func (w *world) rendered(l Addressed) string {
	w.t.Helper()
	text, html, err := templates(w.t).render(l.Kind, l.Letter)
	check(w.t, err)
	return strings.Join(strings.Fields(text), " ") + "\n" + strings.Join(strings.Fields(html), " ")
}

// says fails unless both forms of a mail contain each of the texts, and none of those after "not".
func says(t *testing.T, mail string, texts ...string) {
	t.Helper()
	plain, html, _ := strings.Cut(mail, "\n")
	html = strings.NewReplacer("<b>", "", "</b>", "", "&#39;", "'", "&#34;", `"`).Replace(html)
	for _, text := range texts {
		text, unwanted := strings.CutPrefix(text, "not ")
		for form, body := range map[string]string{"text": plain, "HTML": html} {
			if strings.Contains(body, text) == unwanted {
				t.Errorf("the %s contains %q: %v\n%s", form, text, !unwanted, body)
			}
		}
	}
}

const renewedSubject = "alice: Tenant Certificate has been renewed"

// arranged stores an arrangement with a change.
func (w *world) arranged(name string, change func(*tenancy.Arrangement)) tenancy.Arrangement {
	w.t.Helper()
	a := w.arrange(name)
	change(&a)
	check(w.t, w.Store.InTx(w.t.Context(), func(tx *store.Tx) error { return tx.UpdateArrangement(w.t.Context(), a) }))
	return a
}

func (w *world) sees(a tenancy.Arrangement, generation int, v rollover.Verdict, at time.Time) {
	w.t.Helper()
	_, err := w.Observe(w.t.Context(), a.ID, "test", []standing.Observation{{Detail: "the answer",
		Evidence: rollover.Evidence{Generation: generation, Verdict: v, By: rollover.Traffic, At: at}}}, at)
	check(w.t, err)
}

// A refusal is stated only if it was proved, and what is asked for depends on what the receiver compares.
func TestAMailStatesWhatIsKnownOfEachReceiver(t *testing.T) {
	w := newWorld(t)
	w.arranged("asked", func(*tenancy.Arrangement) {})
	w.arranged("subject", func(a *tenancy.Arrangement) { a.Egress.IdentifiesBy = []tenancy.Identifier{tenancy.BySubject} })
	w.arranged("pin", func(a *tenancy.Arrangement) { a.Egress.IdentifiesBy = []tenancy.Identifier{tenancy.ByCertificate} })
	w.arranged("hasty", func(a *tenancy.Arrangement) { a.Strategy = tenancy.Immediate })
	refuses := w.arrange("stern")
	check(t, w.Tick(t.Context(), date(2026, 11, 1)))
	says(t, w.mails(date(2026, 11, 1))["alice: Tenant Certificate is going to expire soon"],
		"You do not need to renew anything.", "The subject and the issuer stay the same.",
		"Nothing to do at: crm-to-subject (subject.example.com)",
		"crm-to-hasty (hasty.example.com): only the new one is used from 1 December 2026 on.",
		"For the other systems, the present one stays in use until the partner accepts the new one",
		"It checks the whole certificate, so it will need a change.",
		"It gets only the new certificate from that day on, so it must accept the new one by then.",
		"not at once")
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	renewed := w.mails(date(2026, 12, 1))[renewedSubject]
	says(t, renewed, "4 of 5 systems are not known to accept it. The first deadline is 14 January 2027",
		"Only the new certificate is used for crm-to-hasty (hasty.example.com).",
		"It checks the subject, which stays the same, so nothing has to be installed.",
		"It checks the whole certificate, so the new one must be installed by 14 January 2027, 23:55 UTC.",
		"It gets only the new certificate, and is not known to accept it.",
		"It is not known whether it accepts the new certificate. Test it by 14 January 2027, 23:55 UTC.",
		"not refuses", "not messages fail")
	w.sees(refuses, 1, rollover.Accepted, date(2026, 12, 2))
	w.sees(refuses, 2, rollover.Refused, date(2026, 12, 2))
	check(t, w.Tick(t.Context(), date(2026, 12, 16)))
	const subject = "alice: Acme: 5 partner systems not ready, certificate expires 14 January 2027"
	reminder := w.mails(date(2026, 12, 16))[subject]
	says(t, reminder, "On 14 January 2027, 23:55 UTC, in 30 days, the old certificate of Acme expires, and 5 systems are "+
		"not known to accept the new one.",
		"It refuses the new certificate (the answer, 2 December 2026). Call its administrator: "+
			"it must be installed by 14 January 2027, 23:55 UTC.", "crm-to-asked",
		"https://p.example.com/tenants/acme")
	claim := standing.Observation{Detail: "installed", Evidence: rollover.Evidence{Generation: 2,
		Verdict: rollover.Accepted, By: rollover.Person, At: date(2026, 12, 20)}}
	_, err := w.Observe(t.Context(), refuses.ID, "test", []standing.Observation{claim}, date(2026, 12, 20))
	check(t, err)
	check(t, w.Tick(t.Context(), date(2027, 1, 1)))
	says(t, w.mails(date(2027, 1, 1))[subject],
		"You reported the new certificate as installed, but the receiver still refuses it (the answer, 2 December 2026).")
}

func TestWithoutAnArrangementTheNewCertificateIsInUseAtOnce(t *testing.T) {
	w := newWorld(t)
	check(t, w.Tick(t.Context(), date(2026, 11, 1)))
	letters := w.mails(date(2026, 11, 1))
	says(t, letters["alice: Tenant Certificate is going to expire soon"], "There is nothing for you to do, unless a "+
		"system outside Perennial knows this certificate. In that case, inform its administrator that it is replaced on "+
		"1 December 2026, at once.")
	says(t, letters["Ina: M-user Certificate is going to expire soon"], "On 1 December 2026 we replace the certificate "+
		`of the technical user ("M-user")`, "The old one is not used after it.")
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	letters = w.mails(date(2026, 12, 1))
	says(t, letters[renewedSubject], "From now on the new one is in use, and the old one is not used any more.",
		"send its administrator the attachment today", "not old certificate is in use", "not expires on")
	says(t, letters["Ina: M-user Certificate has been renewed"], "was replaced on 1 December 2026. The new one is in use "+
		"now.", "enter the attached one today", "not expires on")
}

// Nothing in the mail about a compromised certificate claims that messages continue with it.
func TestTheMailAboutACompromisedCertificateDoesNotContradictItself(t *testing.T) {
	for reason, why := range map[string]string{lifecycle.Lost: "its key was lost",
		lifecycle.Compromised: "its key may be in the wrong hands"} {
		w := newWorld(t)
		w.arrange("bank")
		now := date(2026, 6, 1)
		_, err := w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, reason, "test", now)
		check(t, err)
		mail := w.mails(now)[renewedSubject]
		says(t, mail, "is revoked, because "+why, "Messages to 1 system may be refused until the new one is installed there.",
			"There is no certificate to fall back on.", "It gets only the new certificate, and is not known to accept it.",
			"remove the certificate with the serial number", "not older certificate", "not stays valid",
			"not to revoke it", "not The old certificate is in use")
	}
	w := newWorld(t)
	bank := w.arrange("bank")
	w.sees(bank, 1, rollover.Accepted, date(2026, 6, 1))
	_, err := w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, lifecycle.Reissue, "test", date(2026, 6, 2))
	check(t, err)
	says(t, w.mails(date(2026, 6, 2))[renewedSubject],
		"Our team issued it before its time. The present one stays valid until",
		"Test it by 14 January 2027, 23:55 UTC.")
	_, err = w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, lifecycle.Compromised, "test", date(2026, 6, 3))
	check(t, err)
	first, err := w.Store.Certificate(t.Context(), w.acme.ID, tenancy.ForTenant, 1)
	check(t, err)
	second, err := w.Store.Certificate(t.Context(), w.acme.ID, tenancy.ForTenant, 2)
	check(t, err)
	says(t, w.mails(date(2026, 6, 3))[renewedSubject], "the certificates of Acme with the serial numbers "+second.Serial+
		" and "+first.Serial+" are revoked, because one of their keys may be in the wrong hands",
		"remove every certificate with one of these serial numbers",
		"Messages to 1 system may be refused until the new one is installed there.", "not older certificate",
		"not stays valid")
}

// suggesting is a CA that wants every certificate to be renewed.
type suggesting struct{ issuer.Issuer }

func (suggesting) Hint(_ context.Context, _ tenancy.Certificate, at time.Time) (issuer.Hint, bool, error) {
	return issuer.Hint{From: at.Add(-time.Hour), To: at}, true, nil
}

func TestTheMailAboutARenewalThatTheCASuggestsDoesNotPromiseTheOldCertificate(t *testing.T) {
	w := newWorld(t)
	now := date(2026, 6, 1)
	_, _, err := w.AddCredential(t.Context(), tenancy.Credential{TenantID: w.acme.ID, Name: "bank", Issuer: "early-ca"},
		"test", now)
	check(t, err)
	check(t, w.FollowHints(t.Context(), now.AddDate(0, 0, 1)))
	says(t, w.mails(now.AddDate(0, 0, 1))["alice: Certificate bank has been renewed"],
		`Acme has a new certificate "bank".`,
		"Its CA suggested renewing it early, and may revoke the old one before it expires.",
		"not Our team", "not stays valid")
}

// The first renewal under a new CA carries its certificates, and does not call the issuer unchanged.
func TestTheFirstRenewalUnderANewCACarriesItsCertificates(t *testing.T) {
	for _, newRoot := range []bool{false, true} {
		w := newWorld(t)
		w.arrange("bank")
		_, err := w.ca.Announce(t.Context(), installed.AddDate(0, 0, 1), issuer.Succession{NewRoot: newRoot})
		check(t, err)
		check(t, w.Tick(t.Context(), date(2026, 11, 1)))
		expected := "This time the issuing CA changes."
		certificates := 1
		if newRoot {
			expected, certificates = "This time the issuing CA and its root change.", 2
		}
		says(t, w.mails(date(2026, 11, 1))["alice: Tenant Certificate is going to expire soon"], expected,
			"not issuer stay the same")
		check(t, w.Tick(t.Context(), date(2026, 12, 1)))
		letter := w.deliver(date(2026, 12, 1))[renewedSubject]
		says(t, w.rendered(letter), "The issuer changes this time, so the system cannot confirm the new one")
		if len(letter.NewCAs) != certificates {
			t.Errorf("a new root %v: %d CA certificates are attached, want %d", newRoot, len(letter.NewCAs), certificates)
		}
		if !letter.Changes.Issuer || letter.Changes.Root != newRoot || letter.Changes.Subject || letter.ForeignIssuer {
			t.Errorf("a new root %v: %+v", newRoot, letter.Changes)
		}
	}
}

// A mail is meant to be forwarded. Every tenant has certificates of the same issuer, so the mail must not present the
// issuer as a proof.
func TestAMailThatIsForwardedNamesIssuerSubjectAndFingerprintAsTheProof(t *testing.T) {
	w := newWorld(t)
	w.arrange("bank")
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	letter := w.deliver(date(2026, 12, 1))[renewedSubject]
	proof := []string{"A forwarded mail proves nothing.", "the same CA issues the certificates of other companies",
		"must have the subject", "Then read the SHA-256 fingerprint to the administrator"}
	says(t, w.rendered(letter), append(proof, "The new one must have the same subject and issuer.",
		"not cannot confirm")...)
	for changes, want := range map[tenancy.Changes]string{
		{Subject: true}:               "The subject changes this time",
		{Subject: true, Issuer: true}: "Both change this time",
	} {
		letter.Changes = changes
		says(t, w.rendered(letter), append(proof, want, "not The new one must have the same subject and issuer.")...)
	}
	letter.ChangesKnown = false
	says(t, w.rendered(letter), append(proof, "Compare them with those of the new one", "not his time")...)
	letter.Kind = tenancy.Unready
	says(t, w.rendered(letter), proof...)
}

// imported returns a certificate of another CA.
func imported(t *testing.T) lifecycle.Adopted {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "ACME at the Old CA"},
		NotBefore: installed, NotAfter: installed.AddDate(1, 0, 0)}
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Old CA"}}
	der, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), key)
	check(t, err)
	leaf, err := x509.ParseCertificate(der)
	check(t, err)
	return lifecycle.Adopted{Purpose: tenancy.ForTenant, Leaf: leaf, Key: key, KeyType: tenancy.P256}
}

// An imported certificate was issued by another CA. Only that CA can revoke it, and the first renewal changes the
// issuer.
func TestTheMailsAboutAnImportedCertificateNameItsIssuer(t *testing.T) {
	w := newWorld(t, imported(t))
	w.arranged("ca", func(a *tenancy.Arrangement) { a.Egress.IdentifiesBy = []tenancy.Identifier{tenancy.ByCA} })
	check(t, w.Tick(t.Context(), date(2026, 11, 1)))
	warning := w.deliver(date(2026, 11, 1))["alice: Tenant Certificate is going to expire soon"]
	if want := (tenancy.Changes{Key: true, Issuer: true, Root: true}); !warning.ForeignIssuer || !warning.ChangesKnown ||
		warning.Changes != want {
		t.Errorf("the warning expects %+v of a foreign issuer %v", warning.Changes, warning.ForeignIssuer)
	}
	says(t, w.rendered(warning), "This time the issuing CA and its root change.",
		"It checks only that a trusted CA has signed the certificate, so it will need a change.",
		"not stay the same", "not stays the same")
	_, err := w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, lifecycle.Compromised, "test", date(2026, 11, 2))
	check(t, err)
	letter := w.deliver(date(2026, 11, 2))[renewedSubject]
	says(t, w.rendered(letter),
		"Ask CN=Old CA to revoke it. We cannot, because it is the certificate of another CA.",
		"This time the issuing CA and its root change.", "not stay the same", "not stays the same")
	if len(letter.NewCAs) != 2 {
		t.Errorf("%d CA certificates are attached, want the issuing CA and its root", len(letter.NewCAs))
	}
}

func TestTheAdviceForEachReceiver(t *testing.T) {
	deadline := date(2027, 1, 14)
	for _, c := range []struct {
		kind tenancy.NoticeKind
		a    Affected
		want string
	}{
		{tenancy.Renewed, Affected{Accepts: true, Answer: "200 OK"},
			"Nothing to do: it accepts the new certificate (200 OK)."},
		{tenancy.Renewed, Affected{Unasked: true}, "Nothing to do: it asks for no certificate."},
		{tenancy.Unready, Affected{Exposed: true, Refuses: true, Answer: "401"},
			"It gets only the new certificate and refuses it (401): messages fail until it is installed."},
		{tenancy.Unready, Affected{Exposed: true, Refuses: true, Claimed: true}, "You reported the new certificate as " +
			"installed, but the receiver still refuses it. Call its administrator: it must be installed today, " +
			"because messages depend on it now."},
		{tenancy.Unready, Affected{Claimed: true, Deadline: deadline}, "You reported the new certificate as installed, but " +
			"nothing proves it yet. Test it by 14 January 2027, 00:00 UTC."},
		{tenancy.Renewed, Affected{Exposed: true, Unaffected: true, Checks: "the subject"}, "It gets only the new " +
			"certificate. It checks the subject, which stays the same. Test it to be sure."},
		{tenancy.NewAuthority, Affected{Unaffected: true, Checks: "the public key"}, "Nothing to do: it checks the public " +
			"key, and does not depend on the new CA."},
		{tenancy.NewAuthority, Affected{MustChange: true, Checks: "the whole certificate"}, "Nothing to do now: it checks " +
			"the whole certificate. It needs your next certificate when that is renewed."},
		{tenancy.NewAuthority, Affected{MustChange: true, DependsOnCA: true, Checks: "the subject and the issuer"},
			"It checks the subject and the issuer, so it must trust the new CA."},
		{tenancy.NewAuthority, Affected{}, "It is not known how it checks certificates."},
		{tenancy.NewAuthority, Affected{DependsOnCA: true, Checks: "only the CA"},
			"It checks only the CA, so it must trust the new CA."},
		{tenancy.Expiring, Affected{}, "It is not known how it checks certificates."},
		{tenancy.Expiring, Affected{Unaffected: true, Immediate: true, Checks: "the subject"},
			"Nothing to do: it checks the subject, which stays the same."},
		{tenancy.Expiring, Affected{Immediate: true, MustChange: true},
			"It gets only the new certificate from that day on, so it must accept the new one by then."},
		{tenancy.Expiring, Affected{MustChange: true, Checks: "the public key"},
			"It checks the public key, so it will need a change."},
		{tenancy.Expiring, Affected{Checks: "the subject and the issuer"}, "It checks the subject and the issuer. " +
			"Whether it needs a change depends on the CAs that it trusts."},
		{tenancy.Renewed, Affected{Exposed: true, MustChange: true, Checks: "the public key"}, "It gets only the new " +
			"certificate. It checks the public key, so the new one has to be installed today."},
		{tenancy.Renewed, Affected{Exposed: true}, "It gets only the new certificate, and is not known to accept it. " +
			"Test it, or have the certificate installed today."},
		{tenancy.Renewed, Affected{Refuses: true, Answer: "401", Deadline: deadline}, "It refuses the new certificate " +
			"(401). Call its administrator: it must be installed by 14 January 2027, 00:00 UTC."},
		{tenancy.Renewed, Affected{Unaffected: true, Checks: "the subject"}, "It checks the subject, which stays the " +
			"same, so nothing has to be installed. It has not been tested yet: test it to be sure."},
		{tenancy.Renewed, Affected{MustChange: true, Checks: "the public key", Deadline: deadline}, "It checks the " +
			"public key, so the new one must be installed by 14 January 2027, 00:00 UTC."},
		{tenancy.Renewed, Affected{Deadline: deadline}, "It is not known whether it accepts the new certificate. Test " +
			"it by 14 January 2027, 00:00 UTC."},
	} {
		if got := (Reader{}).advice(adviceOf(c.kind, c.a), c.a); got != c.want {
			t.Errorf("%+v: %q, want %q", c.a, got, c.want)
		}
	}
}

// A receiver without another certificate depends on the new one, unless it accepts it or asks for none.
func TestAReceiverWithoutAnotherCertificateIsExposed(t *testing.T) {
	now := date(2026, 12, 1)
	tenant := tenancy.Tenant{ID: "t", Name: "acme"}
	cert := tenancy.Certificate{Purpose: tenancy.ForTenant, Generation: 2, State: tenancy.Active, NotBefore: now,
		NotAfter: now.AddDate(1, 0, 0)}
	tenantOnly := map[tenancy.Purpose]bool{tenancy.ForTenant: true}
	for _, c := range []struct {
		name    string
		kind    tenancy.NoticeKind
		learned tenancy.Learned
		verdict rollover.Verdict
		exposed bool
		unasked bool
		page    string
		baseURL string
	}{
		{"nothing is known", tenancy.Renewed, tenancy.Learned{}, rollover.Unknown, true, false,
			"https://p/tenants/acme/arrangements/erp", "https://p"},
		{"it accepts it", tenancy.Renewed, tenancy.Learned{}, rollover.Accepted, false, false, "", ""},
		{"it asks for none", tenancy.Renewed, tenancy.Learned{UnaskedAt: now}, rollover.Unknown, false, true, "", ""},
		{"it is a warning", tenancy.Expiring, tenancy.Learned{}, rollover.Unknown, false, false, "", ""},
	} {
		a := tenancy.Arrangement{ID: "a", Name: "erp", Authentication: tenancy.ClientCertificate, Generation: 2,
			Strategy: tenancy.Adaptive, Learned: c.learned}
		password := a
		password.Authentication = "password"
		all := records{arrangements: map[string][]tenancy.Arrangement{"t": {password, a}},
			inReach:  map[string][]tenancy.Certificate{"t": {cert}},
			evidence: map[string][]standing.Evidence{"a": {{Generation: 2, Verdict: c.verdict, VerdictAt: now}}}}
		list := affected(&Letter{}, all, c.kind, tenant, tenantOnly, 2, c.baseURL, now)
		if len(list) != 1 || list[0].Exposed != c.exposed || list[0].Unasked != c.unasked || list[0].Page != c.page {
			t.Errorf("%s: %+v", c.name, list)
		}
	}
}

func TestTheRootOfAnAuthorityIsFoundIfThereIsOne(t *testing.T) {
	all := []tenancy.Authority{{ID: "root"}, {ID: "issuing", ParentID: "root"}, {ID: "lost", ParentID: "gone"},
		{ID: "x", ParentID: "y"}, {ID: "y", ParentID: "x"}}
	for id, want := range map[string]string{"root": "root", "issuing": "root", "lost": "", "x": "", "unknown": ""} {
		if got, found := rootOf(all, id); got.ID != want || found != (want != "") {
			t.Errorf("%s: %q, %v", id, got.ID, found)
		}
	}
}

// The authority that signs when the certificate is renewed decides what changes.
func TestAWarningExpectsTheAuthorityThatSignsThen(t *testing.T) {
	w := newWorld(t)
	d := w.deliverer(&answers{})
	early, late := date(2026, 1, 1), date(2027, 1, 1)
	root := tenancy.Authority{ID: "root", Kind: tenancy.RootAuthority, Position: 1}
	other := tenancy.Authority{ID: "other root", Kind: tenancy.RootAuthority, Position: 9}
	first := tenancy.Authority{ID: "first", Kind: tenancy.IssuingAuthority, ParentID: "root", Position: 2,
		SignsFrom: early}
	second := tenancy.Authority{ID: "second", Kind: tenancy.IssuingAuthority, ParentID: "root", Position: 3,
		SignsFrom: late}
	third := tenancy.Authority{ID: "third", Kind: tenancy.IssuingAuthority, ParentID: "other root", Position: 4,
		SignsFrom: late.AddDate(1, 0, 0)}
	all := records{authorities: []tenancy.Authority{third, second, first, root, other}}
	for _, c := range []struct {
		renewal      time.Time
		issuer, root bool
	}{{early, false, false}, {late.Add(-1), false, false}, {late, true, false}, {late.AddDate(2, 0, 0), true, true}} {
		l := Letter{RenewalOn: c.renewal}
		check(t, d.expected(t.Context(), &l, all, w.acme, tenancy.Certificate{IssuerID: "first"}))
		if want := (tenancy.Changes{Key: true, Issuer: c.issuer, Root: c.root}); l.Changes != want || !l.ChangesKnown {
			t.Errorf("on %v: %+v, want %+v", c.renewal, l.Changes, want)
		}
	}
	l := Letter{}
	if check(t, d.expected(t.Context(), &l, records{}, w.acme, tenancy.Certificate{})); l.ChangesKnown {
		t.Error("changes are known without an authority")
	}
}

func TestTheMailsAboutAChangeOfACertificateStateWhatDiffersAndUntilWhenItIsHeldBack(t *testing.T) {
	w := newWorld(t)
	w.arrange("bank")
	now := date(2026, 6, 1)
	_, err := w.ChangeCredential(t.Context(), tenancy.Credential{TenantID: w.acme.ID, Name: tenancy.ForTenant,
		KeyType: tenancy.P384}, "test", now)
	check(t, err)
	says(t, w.mails(now)["alice: Tenant Certificate will change: key type"], "The next certificate of Acme will differ "+
		"from the present one: key type. It will be issued by 1 December 2026", "messages fall back to it until then",
		"crm-to-bank", "inform the administrators below", "not held back")

	w = newWorld(t)
	w.arrange("bank")
	acme := w.acme
	acme.KeyType = tenancy.P384
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.UpdateTenant(t.Context(), acme) }))
	_, err = w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, lifecycle.Reissue, "test", now)
	check(t, err)
	mail := w.mails(now)["alice: Tenant Certificate has changed: key type"]
	says(t, mail, "differs from the present one: key type. No notice announced this", "held back until "+
		"29 June 2026", "Ask the hosting team whether this change is intended.", "SHA-256", "not will differ")
}

func TestTheMailAboutAnExpiredCertificateCountsTheMessagesThatFailedSince(t *testing.T) {
	w := newWorld(t)
	bank, other := w.arrange("bank"), w.arrange("other")
	check(t, w.Tick(t.Context(), date(2026, 12, 1)))
	w.sees(other, 2, rollover.Accepted, date(2026, 12, 2))
	w.deliver(date(2026, 12, 1))
	expired := date(2027, 1, 15)
	check(t, w.Tick(t.Context(), expired))
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error {
		message := func(a tenancy.Arrangement, at time.Time, status, count int) tenancy.Message {
			return tenancy.Message{ID: store.NewID(), ArrangementID: a.ID, At: at, Status: status, Count: count}
		}
		return tx.AddMessages(t.Context(), []tenancy.Message{
			message(bank, expired, 401, 2000), message(bank, expired, 0, 170), message(bank, expired, 200, 5),
			message(bank, expired, 499, 7), message(bank, expired.AddDate(0, 0, -1), 401, 11), message(other, expired, 500, 13),
		})
	}))
	says(t, w.mails(expired.Add(time.Hour))["alice: Action needed: Acme: the old certificate has expired, 1 system not "+
		"ready"], "2,170 messages have failed there since then.")
}

func TestTheAnswerOfAReceiverIsInTheLanguageOfTheMail(t *testing.T) {
	l := Letter{say: func(language string, text tenancy.Text) string { return language + ": " + text.Format }}
	l.Language = "de"
	if got := l.read(tenancy.Say("%s without a certificate", "200 OK").Stored()); got != "de: %s without a certificate" {
		t.Errorf("%q", got)
	}
	if got := (Letter{}).read("200 OK"); got != "200 OK" {
		t.Errorf("an answer that an earlier release has stored: %q", got)
	}
}
