package acceptance_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	. "github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/policy"
)

func TestASuccessorIsAcceptedBesideTheCertificateThatItReplaces(t *testing.T) {
	f := setUp(t)
	second := f.ca.issue(inWindow)
	d := f.decide(second, inWindow)
	wants(t, "the successor", d, Accept, IsSuccessor)
	if d.Partner != "acme-c4c" || d.Predecessor == nil || d.Predecessor.Fingerprint != NewKnown(f.first).Fingerprint {
		t.Errorf("successor of whom? %+v", d)
	}
	wants(t, "the first one, beside it", f.decide(f.first, inWindow), Accept, Pinned)
	ps, err := f.partners().WithKnown("acme-c4c", NewKnown(second))
	check(t, err)
	wants(t, "the first one, after it", ps.Decide([]*x509.Certificate{f.first}, end.Add(-time.Second)), Accept, Pinned)
	wants(t, "the first one, expired", ps.Decide([]*x509.Certificate{f.first}, end.Add(time.Second)), Refuse, Expired)
	wants(t, "the successor, later", ps.Decide([]*x509.Certificate{second}, end.AddDate(0, 6, 0)), Accept, Pinned)
	third := f.ca.issue(second.NotAfter.AddDate(0, 0, -40))
	wants(t, "its own successor", ps.Decide([]*x509.Certificate{third, f.ca.cert}, third.NotBefore), Accept, IsSuccessor)
}

func TestEachConditionOfASuccessorCounts(t *testing.T) {
	f := setUp(t)
	other := authority(t, "Passport CA", keys()[2], nil)
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	for _, c := range []struct {
		name    string
		cert    *x509.Certificate
		now     time.Time
		outcome Outcome
		code    Code
	}{
		{"another CA with the name of the partner's", other.issue(inWindow), inWindow, Hold, OtherCA},
		{"another subject", f.ca.issue(inWindow, subject(pkix.Name{CommonName: "globex"})), inWindow, Refuse, OtherSubject},
		{"issued before the known one", f.ca.issue(begin.Add(-time.Hour), until(end.AddDate(1, 0, 0))), inWindow, Refuse,
			Older},
		{"issued with the known one", f.ca.issue(begin), inWindow, Refuse, Older},
		{"expired", f.ca.issue(inWindow, until(inWindow.AddDate(0, 0, 1))), inWindow.AddDate(0, 0, 2), Refuse, Expired},
		{"not valid yet", f.ca.issue(inWindow), inWindow.Add(-time.Second), Refuse, NotYetValid},
		{"for servers only", f.ca.issue(inWindow, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), inWindow, Refuse, NotForClients},
		{"without an extended key usage", f.ca.issue(inWindow, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), inWindow,
			Refuse, NotForClients},
		{"a CA", f.ca.issue(inWindow, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), inWindow,
			Refuse, NotForClients},
		{"not for signatures", f.ca.issue(inWindow, func(c *x509.Certificate) {
			c.KeyUsage = x509.KeyUsageKeyEncipherment
		}), inWindow, Refuse, NotForClients},
		{"a weaker key", f.ca.issueFor(weak.Public(), inWindow), inWindow, Refuse, WeakKey},
		{"before the window", f.ca.issue(end.AddDate(0, 0, -64)), inWindow, Hold, OutsideWindow},
		{"at the begin of the window, set back by an hour", f.ca.issue(end.AddDate(0, 0, -62).Add(-time.Hour)), inWindow,
			Accept, IsSuccessor},
		{"at the end of the window, and used later", f.ca.issue(end), end.AddDate(0, 0, 9), Accept, IsSuccessor},
		{"after the window", f.ca.issue(end.Add(time.Second)), end.AddDate(0, 0, 9), Hold, OutsideWindow},
	} {
		wants(t, c.name, f.decide(c.cert, c.now), c.outcome, c.code)
	}
}

func TestAWindowHasOneSuccessor(t *testing.T) {
	f := setUp(t)
	second := f.ca.issue(inWindow)
	another := f.ca.issue(inWindow.Add(time.Hour))
	f.acme.Known = append(f.acme.Known, NewKnown(second))
	wants(t, "a second one", f.decide(another, inWindow.AddDate(0, 0, 1)), Hold, SecondSuccessor)
	f.acme.Window = policy.Days(400) // so that it would also be the successor of the successor
	wants(t, "a second one, in a window that does not end", f.decide(another, inWindow.AddDate(0, 0, 1)), Hold,
		SecondSuccessor)
}

func TestNamesAreComparedAsRFC5280Has(t *testing.T) {
	f := setUp(t)
	name := func(tag int, cn string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			raw, err := asn1.Marshal(pkix.RDNSequence{
				{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "Acme Corp"}},
				{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: asn1.RawValue{Tag: tag, Bytes: []byte(cn)}}},
			})
			check(t, err)
			c.RawSubject = raw
		}
	}
	same := []func(*x509.Certificate){name(asn1.TagUTF8String, "acme"), name(asn1.TagPrintableString, "ACME"),
		name(asn1.TagUTF8String, " Acme  ")}
	for i, change := range same {
		wants(t, "the same name "+string(rune('1'+i)), f.decide(f.ca.issue(inWindow, change), inWindow), Accept, IsSuccessor)
	}
	extra := func(c *x509.Certificate) {
		name(asn1.TagUTF8String, "acme")(c)
		c.RawSubject = append(c.RawSubject, 5, 0) // NULL
		c.RawSubject[1] += 2
		at := bytes.LastIndex(c.RawSubject, []byte{asn1.TagOID, 3, 0x55, 4, 3}) // in SEQUENCE in SET
		c.RawSubject[at-1] += 2
		c.RawSubject[at-3] += 2
	}
	for _, other := range []func(*x509.Certificate){
		extra, name(asn1.TagUTF8String, "acme\x00"), name(asn1.TagUTF8String, "\u0430cme"), name(asn1.TagUTF8String, "ac me"),
		name(asn1.TagUTF8String, "ａcme"), name(asn1.TagIA5String, "acme"), name(asn1.TagUTF8String, "acme\u200b"),
		name(asn1.TagUTF8String, "acme\u00a0"),
		subject(pkix.Name{CommonName: "acme"}),
		subject(pkix.Name{CommonName: "acme", Organization: []string{"Acme Corp"}, OrganizationalUnit: []string{"x"}}),
		subject(pkix.Name{CommonName: "Acme Corp", Organization: []string{"acme"}}),
	} {
		wants(t, "another name", f.decide(f.ca.issue(inWindow, other), inWindow), Refuse, OtherSubject)
	}
	f.first = f.ca.issue(begin, subject(pkix.Name{CommonName: "k-works"}))
	f.acme.Known = []Known{NewKnown(f.first)}
	wants(t, "the Kelvin sign", f.decide(f.ca.issue(inWindow, subject(pkix.Name{CommonName: "\u212a-works"})), inWindow),
		Refuse, OtherSubject)
}

func TestTheIdentityOfAWorkloadIsItsURI(t *testing.T) {
	f := setUp(t)
	workload := func(path string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject = pkix.Name{Organization: []string{"SPIRE"}}
			c.URIs = []*url.URL{{Scheme: "spiffe", Host: "acme.example", Path: path}}
		}
	}
	f.first = f.ca.issue(begin, workload("/billing"))
	f.acme.Known = []Known{NewKnown(f.first)}
	wants(t, "the same URI", f.decide(f.ca.issue(inWindow, workload("/billing")), inWindow), Accept, IsSuccessor)
	wants(t, "the same URI and another subject", f.decide(f.ca.issue(inWindow, workload("/billing"),
		subject(pkix.Name{CommonName: "new"})), inWindow), Accept, IsSuccessor)
	wants(t, "another URI", f.decide(f.ca.issue(inWindow, workload("/shipping")), inWindow), Refuse, OtherSubject)
	wants(t, "an empty fragment", f.decide(f.ca.issue(inWindow, workload("/billing"), func(c *x509.Certificate) {
		value, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6,
			Bytes: []byte("spiffe://acme.example/billing#")}})
		check(t, err)
		c.URIs, c.ExtraExtensions = nil, []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
	}), inWindow), Refuse, OtherSubject)
	bare := f.ca.issue(inWindow, subject(pkix.Name{Organization: []string{"SPIRE"}}))
	wants(t, "no URI", f.decide(bare, inWindow), Refuse, OtherSubject)
	var many []Partner
	for i := range 40 {
		p := f.acme
		p.Name = fmt.Sprint("workload", i)
		p.Known = []Known{NewKnown(f.ca.issue(begin, workload("/"+p.Name)))}
		many = append(many, p)
	}
	ps := f.partners(many...)
	d := ps.Decide([]*x509.Certificate{f.ca.issue(inWindow, workload("/workload39")), f.ca.cert}, inWindow)
	wants(t, "one of many with the same subject", d, Accept, IsSuccessor)
	if d.Partner != "workload39" {
		t.Errorf("accepted as %s", d.Partner)
	}
	many[0].Name, many[0].Known = "twin", []Known{NewKnown(f.ca.issue(begin, workload("/workload39")))}
	if _, err := New(append(many[1:], many[0])); err == nil || !strings.Contains(err.Error(), `"workload39"`) {
		t.Errorf("two partners with the same URI: %v", err)
	}
}

func TestAPartnerWithoutTrustAnchorsIsKnownByItsIssuer(t *testing.T) {
	f := setUp(t)
	f.acme.Trust = nil
	second := f.ca.issue(inWindow)
	wants(t, "with the issuer", f.decide(second, inWindow), Accept, IsSuccessor)
	d := f.partners().Decide([]*x509.Certificate{second}, inWindow)
	wants(t, "without the issuer", d, Hold, OtherCA)
	if !strings.Contains(d.Reason, "its chain lacks that CA's certificate") {
		t.Error(d.Reason)
	}
	sibling := authority(t, "Passport CA", keys()[2], f.root)
	wants(t, "of another CA with the same name", f.partners().Decide([]*x509.Certificate{sibling.issue(inWindow),
		sibling.cert, f.root.cert}, inWindow), Hold, OtherCA)
}

func TestACAThatWasIssuedAgainIsTheSameCA(t *testing.T) {
	f := setUp(t)
	// The anchor ends soon, and was issued again with the same name and key.
	ends := func(at time.Time) func(*x509.Certificate) { return func(c *x509.Certificate) { c.NotAfter = at } }
	f.ca = authority(t, "Passport CA G2", keys()[1], nil, ends(end))
	again := authority(t, "Passport CA G2", keys()[1], nil, ends(end.AddDate(5, 0, 0)))
	f.first = f.ca.issue(begin)
	f.acme.Known, f.acme.Trust = []Known{NewKnown(f.first)}, []*x509.Certificate{f.ca.cert}
	second, later := again.issue(inWindow), end.AddDate(0, 1, 0)
	wants(t, "with the new edition", f.partners().Decide([]*x509.Certificate{second, again.cert}, later), Accept,
		IsSuccessor)
	wants(t, "without a CA beside it", f.partners().Decide([]*x509.Certificate{second}, later), Accept, IsSuccessor)
	forged := authority(t, "Passport CA G2", keys()[2], nil)
	wants(t, "of a CA with the same name and another key", f.partners().Decide([]*x509.Certificate{forged.issue(inWindow),
		forged.cert}, later), Hold, OtherCA)
}

func TestTheCertificateOfACAThatACallerSendsChangesNothing(t *testing.T) {
	f := setUp(t)
	limited := authority(t, "Limited CA", keys()[2], f.root, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"acme.example"}
	})
	forged := authority(t, "Limited CA", keys()[2], nil)
	forged.cert.Signature[8] ^= 1
	outside := limited.issue(inWindow, func(c *x509.Certificate) { c.DNSNames = []string{"globex.example"} })
	f.first = limited.issue(begin)
	f.acme.Known, f.acme.Trust = []Known{NewKnown(f.first)}, []*x509.Certificate{limited.cert}
	wants(t, "a constraint of an anchor", f.partners().Decide([]*x509.Certificate{outside, forged.cert}, inWindow), Refuse,
		BrokenChain)
	f.acme.Trust, f.acme.CAs = nil, []*x509.Certificate{limited.cert}
	wants(t, "a constraint of the issuer", f.partners().Decide([]*x509.Certificate{outside, forged.cert}, inWindow),
		Refuse, BrokenChain)
	servers := authority(t, "Server CA", keys()[2], f.root, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	unlimited := func(c *x509.Certificate) { c.ExtKeyUsage = nil }
	f.acme.Known, f.acme.Trust = []Known{NewKnown(f.ca.issue(begin, unlimited))}, []*x509.Certificate{f.root.cert}
	wants(t, "without usages, of the same CA", f.decide(f.ca.issue(inWindow, unlimited), inWindow), Accept, IsSuccessor)
	wants(t, "without usages, of a CA for servers", f.partners().Decide([]*x509.Certificate{
		servers.issue(inWindow, unlimited), servers.cert}, inWindow), Refuse, NotForClients)
}

func TestShortLivedSuccessorsDoNotFollowEachOtherInOneWindow(t *testing.T) {
	f := setUp(t)
	ps, accepted := f.partners(), 0
	for at := inWindow; at.Before(inWindow.Add(40 * time.Hour)); at = at.Add(time.Hour) {
		c := f.ca.issue(at, until(at.Add(4*time.Hour)))
		if ps.Decide([]*x509.Certificate{c, f.ca.cert}, at).Outcome == Accept {
			accepted++
			var err error
			ps, err = ps.WithKnown("acme-c4c", NewKnown(c))
			check(t, err)
		}
	}
	if accepted != 1 {
		t.Errorf("%d successors were accepted in one window", accepted)
	}
}

func TestEachOfTwoCertificatesWithTheSameNamesHasASuccessor(t *testing.T) {
	f := setUp(t)
	july := f.ca.issue(begin.AddDate(0, 6, 0))
	f.acme.Known = append(f.acme.Known, NewKnown(july))
	second := f.ca.issue(inWindow)
	d := f.decide(second, inWindow)
	wants(t, "the successor of the first one", d, Accept, IsSuccessor)
	if d.Predecessor == nil || d.Predecessor.Fingerprint != NewKnown(f.first).Fingerprint {
		t.Errorf("successor of %+v", d.Predecessor)
	}
	f.acme.Known = append(f.acme.Known, NewKnown(second))
	third := f.ca.issue(july.NotAfter.AddDate(0, 0, -40))
	wants(t, "the successor of the other one", f.decide(third, third.NotBefore), Accept, IsSuccessor)
	another := f.ca.issue(inWindow.Add(time.Hour))
	wants(t, "another one", f.decide(another, inWindow.Add(time.Hour)), Hold, SecondSuccessor)
}

func TestASecondSuccessorWithAnotherNameIsTheSecondOne(t *testing.T) {
	f := setUp(t)
	dns := func(c *x509.Certificate) { c.DNSNames = []string{"acme.example"} }
	f.first = f.ca.issue(begin, dns)
	f.acme.Known = []Known{NewKnown(f.first), NewKnown(f.ca.issue(inWindow))}
	other := subject(pkix.Name{CommonName: "other"})
	wants(t, "by its DNS name", f.decide(f.ca.issue(inWindow.Add(time.Hour), dns, other), inWindow.Add(2*time.Hour)), Hold,
		SecondSuccessor)
	wants(t, "an older one", f.decide(f.ca.issue(inWindow.Add(-time.Hour), dns, other), inWindow), Refuse, Older)
}

func TestRulesAcceptMoreOrLess(t *testing.T) {
	f := setUp(t)
	early := f.ca.issue(begin.AddDate(0, 1, 0))
	now := begin.AddDate(0, 2, 0)
	for rule, want := range map[Rule]struct {
		outcome Outcome
		code    Code
	}{Pin: {Refuse, NotListed}, Successor: {Hold, OutsideWindow}, Authority: {Accept, FromAuthority}} {
		f.acme.Rule = rule
		wants(t, string(rule), f.decide(early, now), want.outcome, want.code)
		wants(t, string(rule)+", known", f.decide(f.first, now), Accept, Pinned)
	}
	f.acme.Rule = Authority
	wants(t, "another subject", f.decide(f.ca.issue(begin, subject(pkix.Name{CommonName: "globex"})), now), Refuse,
		OtherSubject)
}

func TestARevokedCertificateIsOutAtOnce(t *testing.T) {
	f := setUp(t)
	second := f.ca.issue(inWindow)
	list := func(signer *ca, serials ...*big.Int) *Revocations {
		template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: begin, NextUpdate: begin.AddDate(0, 1, 0)}
		for _, s := range serials {
			template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
				x509.RevocationListEntry{SerialNumber: s, RevocationTime: inWindow})
		}
		der, err := x509.CreateRevocationList(rand.Reader, template, signer.cert, signer.key)
		check(t, err)
		crl, err := x509.ParseRevocationList(der)
		check(t, err)
		entries, err := NewRevocations(crl)
		check(t, err)
		return entries
	}
	f.acme.Trust = []*x509.Certificate{f.root.cert, f.ca.cert}
	f.acme.CRLs = []*Revocations{list(f.ca, second.SerialNumber)}
	wants(t, "a successor", f.decide(second, inWindow), Refuse, Revoked)
	wants(t, "the known one", f.decide(f.first, inWindow), Accept, Pinned)
	f.acme.CRLs = []*Revocations{list(f.ca, f.first.SerialNumber), list(f.root)}
	wants(t, "a revoked known one", f.decide(f.first, inWindow), Refuse, Revoked)
	wants(t, "the successor of a revoked one", f.decide(second, inWindow), Accept, IsSuccessor)
	f.acme.CRLs = []*Revocations{list(f.root, f.ca.cert.SerialNumber)}
	f.acme.Trust = []*x509.Certificate{f.root.cert}
	wants(t, "a revoked CA", f.decide(second, inWindow), Refuse, Revoked)
	wants(t, "a known one below a revoked CA", f.decide(f.first, inWindow), Refuse, Revoked)
	f.acme.CRLs = []*Revocations{list(authority(t, "Passport Root", keys()[2], nil), second.SerialNumber)}
	if _, err := New([]Partner{f.acme}); err == nil || !strings.Contains(err.Error(), "add that CA to trust") {
		t.Errorf("a list of a stranger: %v", err)
	}
}

func TestAHeldCertificateIsAcceptedForATimeIfThePartnerIsSetSo(t *testing.T) {
	f := setUp(t)
	early, now := f.ca.issue(begin.AddDate(0, 1, 0)), begin.AddDate(0, 2, 0)
	if d := f.decide(early, now); d.Accepts(now) {
		t.Errorf("held and accepted: %+v", d)
	}
	f.acme.OnHold = 24 * time.Hour
	d := f.decide(early, now)
	wants(t, "at first", d, Hold, OutsideWindow)
	if !d.Accepts(now) || !d.Accepts(now.Add(23*time.Hour)) || d.Accepts(now.Add(24*time.Hour)) {
		t.Errorf("accepted until %s", d.AcceptedUntil)
	}
	ps, err := f.partners().WithHeld("acme-c4c", Held{NewKnown(early).Body, now})
	check(t, err)
	later := now.Add(25 * time.Hour)
	if d := ps.Decide([]*x509.Certificate{resigned(t, early), f.ca.cert}, later); d.Outcome != Hold || d.Accepts(later) {
		t.Errorf("its signature written in another way: %+v", d)
	}
	if d := ps.Decide([]*x509.Certificate{early, f.ca.cert}, later); d.Outcome != Hold || d.Accepts(later) {
		t.Errorf("a day later: %+v", d)
	}
	if ps, err = ps.WithKnown("acme-c4c", NewKnown(early)); err != nil {
		t.Fatal(err)
	}
	wants(t, "after a person has accepted it", ps.Decide([]*x509.Certificate{early}, later), Accept, Pinned)
	if p, _ := ps.Partner("acme-c4c"); len(p.Held) != 0 {
		t.Error("it is still held")
	}
	other := authority(t, "Passport CA", keys()[2], nil)
	forged := other.issue(inWindow)
	if d := f.decide(forged, inWindow); d.Code != OtherCA || d.Accepts(inWindow) {
		t.Errorf("of another CA, which any stranger can create: %+v", d)
	}
}

func TestWhatCannotBeRememberedIsNotAcceptedOnHold(t *testing.T) {
	f := setUp(t)
	f.acme.OnHold = 24 * time.Hour
	now := begin.AddDate(0, 2, 0)
	ps := f.partners()
	for i := range 20 {
		early := f.ca.issue(begin.AddDate(0, 1, i))
		k := NewKnown(early)
		d := ps.Decide([]*x509.Certificate{early, f.ca.cert}, now)
		if room := i < 16; ps.MayHold("acme-c4c", k) != room || d.Outcome != Hold || d.Accepts(now) != room {
			t.Errorf("certificate %d: %+v", i, d)
		}
		var err error
		ps, err = ps.WithHeld("acme-c4c", Held{k.Body, now})
		check(t, err)
		if ps.MayHold("acme-c4c", k) {
			t.Errorf("certificate %d can be held twice", i)
		}
	}
}

func TestARevocationListThatIsNotCompleteOrOfSeveralCAsIsRefused(t *testing.T) {
	f := setUp(t)
	value := func(v any) []byte {
		der, err := asn1.Marshal(v)
		check(t, err)
		return der
	}
	for name, c := range map[string]struct {
		extension pkix.Extension
		want      string
	}{
		"delta": {pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: value(1)}, "delta list"},
		"indirect": {pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: value(struct {
			Indirect bool `asn1:"tag:4"`
		}{true})}, "several CAs"},
		"clients only": {pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: value(struct {
			Users bool `asn1:"tag:1"`
		}{true})}, ""},
		"unknown": {pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: value(1)},
			"1.2.3 is not supported"},
	} {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: begin,
			NextUpdate: end, ExtraExtensions: []pkix.Extension{c.extension}}, f.ca.cert, f.ca.key)
		check(t, err)
		list, err := x509.ParseRevocationList(der)
		check(t, err)
		_, err = NewRevocations(list)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A person has accepted a certificate of a new CA, which the file of the old one does not contain.
func TestTheCAOfAnAcceptedCertificateCountsBesideTheOldOne(t *testing.T) {
	f := setUp(t)
	f.acme.Trust, f.acme.CAs = nil, []*x509.Certificate{f.ca.cert}
	other := authority(t, "New CA", keys()[2], nil)
	second := other.issue(inWindow)
	ps, err := f.partners().WithKnown("acme-c4c", NewKnown(second))
	check(t, err)
	later := second.NotAfter.AddDate(0, 0, -30)
	third := other.issue(later)
	wants(t, "the next one of the new CA", ps.Decide([]*x509.Certificate{third, other.cert}, later), Accept, IsSuccessor)
}

func TestAReasonIsShortWhateverNamesACallerChooses(t *testing.T) {
	f := setUp(t)
	huge := authority(t, strings.Repeat("\x01é", 2000), keys()[2], nil)
	d := f.decide(huge.issue(inWindow), inWindow)
	if len(d.Reason) > 2000 || !utf8.ValidString(d.Reason) || strings.ContainsRune(d.Reason, 1) {
		t.Errorf("%d bytes: %.100q", len(d.Reason), d.Reason)
	}
}

func TestAWindowOfACertificateForACenturyIsAtItsEnd(t *testing.T) {
	f := setUp(t)
	k := NewKnown(f.ca.issue(begin, func(c *x509.Certificate) { c.NotAfter = begin.AddDate(150, 0, 0) }))
	if from, until := f.acme.Expected(k); !until.Equal(k.NotAfter) || until.Sub(from) != 62*policy.Day {
		t.Errorf("%s to %s", from, until)
	}
}

func TestTheRightOneOfManyPartnersWithTheSameNamesIsFound(t *testing.T) {
	f := setUp(t)
	all := []Partner{}
	for i := range 40 {
		other := authority(t, "CA "+strconv.Itoa(i), keys()[2], nil)
		p := f.acme
		p.Name, p.Known = "other "+strconv.Itoa(i), []Known{NewKnown(other.issue(begin))}
		p.Trust = []*x509.Certificate{other.cert}
		all = append(all, p)
	}
	ps, err := New(append(all, f.acme))
	check(t, err)
	d := ps.Decide([]*x509.Certificate{f.ca.issue(inWindow), f.ca.cert}, inWindow)
	if d.Outcome != Accept || d.Partner != "acme-c4c" {
		t.Errorf("%+v", d)
	}
}

func TestACertificateThatAPersonHasRefusedIsNotAccepted(t *testing.T) {
	f := setUp(t)
	next := f.ca.issue(inWindow)
	wants(t, "before", f.decide(next, inWindow), Accept, IsSuccessor)
	f.acme.Declined = []Fingerprint{NewKnown(next).Body, NewKnown(f.first).Body}
	for _, c := range []*x509.Certificate{next, resigned(t, next), f.first} {
		wants(t, "after", f.decide(c, inWindow), Refuse, Declined)
	}
}

// resigned returns a certificate with the other one of the two signatures (r, s) and (r, -s) that ECDSA accepts.
func resigned(t *testing.T, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	var outer struct {
		Body, Algorithm asn1.RawValue
		Signature       asn1.BitString
	}
	var pair struct{ R, S *big.Int }
	_, err := asn1.Unmarshal(c.Raw, &outer)
	check(t, err)
	_, err = asn1.Unmarshal(outer.Signature.Bytes, &pair)
	check(t, err)
	pair.S.Sub(elliptic.P256().Params().N, pair.S)
	signature, err := asn1.Marshal(pair)
	check(t, err)
	outer.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	der, err := asn1.Marshal(outer)
	check(t, err)
	again, err := x509.ParseCertificate(der)
	check(t, err)
	if again.Equal(c) {
		t.Fatal("the certificate is the same")
	}
	return again
}

func TestAStrangerIsRefusedWithAReason(t *testing.T) {
	f := setUp(t)
	other := authority(t, "Other CA", keys()[2], nil)
	name := subject(pkix.Name{CommonName: "stranger"})
	d := f.decide(f.ca.issue(inWindow, name), inWindow)
	wants(t, "of the partner's CA", d, Refuse, OtherSubject)
	if d.Partner != "acme-c4c" {
		t.Errorf("whose CA is it? %q", d.Partner)
	}
	d = f.decide(other.issue(inWindow, name), inWindow)
	wants(t, "of another CA", d, Refuse, OtherCA)
	if d.Partner != "" {
		t.Errorf("it is not that of %q", d.Partner)
	}
	wants(t, "expired", f.decide(other.issue(begin, name), end.AddDate(1, 0, 0)), Refuse, Expired)
	wants(t, "not valid yet", f.decide(other.issue(inWindow, name), begin), Refuse, NotYetValid)
	wants(t, "nothing", f.partners().Decide(nil, begin), Refuse, Malformed)
}

func TestPartnersThatCannotBeToldApartAreRefused(t *testing.T) {
	f := setUp(t)
	twin := f.acme
	twin.Name = "acme-erp"
	for name, c := range map[string]struct {
		change func(*Partner)
		want   string
	}{
		"no name":              {func(p *Partner) { p.Name = "" }, "it has no name"},
		"the same name":        {func(p *Partner) { p.Name = "acme-c4c" }, "two partners have this name"},
		"no certificate":       {func(p *Partner) { p.Known = nil }, "list at least one"},
		"an unknown rule":      {func(p *Partner) { p.Rule = "any" }, "use pin, successor or authority"},
		"no window":            {func(p *Partner) { p.Window = policy.Span{} }, "set the window"},
		"no CA":                {func(p *Partner) { p.Trust = []*x509.Certificate{f.first} }, "is that of a CA"},
		"a negative time":      {func(p *Partner) { p.OnHold = -1 }, "is negative"},
		"the same certificate": {func(*Partner) {}, `partner "acme-c4c" is known by the same certificate`},
		"the same names of the same CA": {func(p *Partner) { p.Known = []Known{NewKnown(f.ca.issue(begin))} },
			"use the rule pin for both"},
	} {
		p := twin
		c.change(&p)
		if _, err := New([]Partner{f.acme, p}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	other := authority(t, "Other CA", keys()[2], nil)
	twin.Known, twin.Trust = []Known{NewKnown(other.issue(begin))}, []*x509.Certificate{other.cert}
	ps := f.partners(twin)
	d := ps.Decide([]*x509.Certificate{other.issue(inWindow), other.cert}, inWindow)
	wants(t, "the same names of another CA", d, Accept, IsSuccessor)
	if d.Partner != "acme-erp" || len(ps.Names()) != 2 {
		t.Errorf("accepted as %s of %v", d.Partner, ps.Names())
	}
	shared := twin
	shared.Trust = []*x509.Certificate{f.root.cert}
	if _, err := New([]Partner{f.acme, shared}); err == nil {
		t.Error("partners with the same names trust the same root")
	}
	if _, err := ps.WithKnown("acme-erp", NewKnown(f.ca.issue(inWindow))); err == nil {
		t.Error("a certificate with another partner's names and CA became known")
	}
	if _, err := ps.WithKnown("acme-erp", NewKnown(f.first)); err == nil {
		t.Error("the certificate of another partner became known")
	}
	if _, err := ps.WithHeld("unknown", Held{}); err == nil {
		t.Error("a partner that does not exist was changed")
	}
}

func TestWeakChainsAreRefused(t *testing.T) {
	f := setUp(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	check(t, err)
	below := authority(t, "Weak CA", weak, f.root)
	wants(t, "a CA with a weak key", f.partners().Decide([]*x509.Certificate{below.issue(inWindow), below.cert}, inWindow),
		Refuse, WeakKey)
	wants(t, "a weak key", f.decide(f.ca.issueFor(weak.Public(), inWindow), inWindow), Refuse, WeakKey)
	limited := authority(t, "Limited CA", keys()[2], f.root, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"acme.example"}
	})
	outside := limited.issue(inWindow, func(c *x509.Certificate) { c.DNSNames = []string{"globex.example"} })
	wants(t, "a name outside the CA's constraint", f.partners().Decide([]*x509.Certificate{outside, limited.cert},
		inWindow), Refuse, BrokenChain)
	servers := authority(t, "Server CA", keys()[2], f.root, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	wants(t, "a CA for servers", f.partners().Decide([]*x509.Certificate{servers.issue(inWindow), servers.cert}, inWindow),
		Refuse, NotForClients)
}
