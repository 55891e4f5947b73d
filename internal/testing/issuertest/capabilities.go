package issuertest

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// testNamer compares the names that an issuer announces with those of the certificates that it issues: a first one, and
// one that replaces a certificate of another CA.
func (s suite) testNamer(t *testing.T, i issuer.Issuer) {
	namer := capability[issuer.Namer](t, i)
	subject, err := asn1.Marshal(pkix.Name{CommonName: "my300001", Organization: []string{"Elsewhere"}}.ToRDNSequence())
	check(t, err)
	foreign, err := certfile.SANOf(certfile.GeneralName{Kind: certfile.DNSName, Value: "acme.elsewhere.example"})
	check(t, err)
	for _, replaces := range []*certfile.Names{nil, {Subject: subject}, {Subject: subject, SAN: foreign}} {
		for _, purpose := range purposes {
			r := s.request(t, tenancy.P256, purpose)
			r.Replaces = replaces
			want, err := namer.Names(r)
			check(t, err)
			issued, _ := issue(t, issuer.Checked(i), r)
			if names, err := certfile.NamesOf(issued.DER); err != nil || !names.Equal(want) {
				t.Errorf("%s, instead of %v: issued with %v, %v, announced were %v", purpose, replaces, names, err, want)
			}
			// The generations after it keep the names.
			r.Replaces = &want
			if again, err := namer.Names(r); err != nil || !again.Equal(want) {
				t.Errorf("%s: the next generation has %v, %v, instead of %v", purpose, again, err, want)
			}
		}
	}
}

func (s suite) testHierarchy(t *testing.T, i issuer.Issuer) {
	h := capability[issuer.Hierarchy](t, i)
	check(t, h.Refresh(t.Context(), s.now()))
	signing := h.Signing(s.now())
	issued, leaf := issue(t, i, s.request(t, tenancy.P256, tenancy.ForTenant))
	if issued.IssuerID != signing.ID {
		t.Errorf("%s signed, and the signing authority is %s", issued.IssuerID, signing.ID)
	}
	authority, err := x509.ParseCertificate(signing.DER)
	check(t, err)
	check(t, leaf.CheckSignatureFrom(authority))
	if a, ok := h.Announced(s.now()); ok {
		t.Errorf("%s is announced by a new issuer", a.ID)
	}
	signs := 0
	for _, p := range h.Plans(s.now()) {
		if p.Stage == issuer.Signs && p.Kind == tenancy.IssuingAuthority {
			signs++
			if p.ID != signing.ID {
				t.Errorf("the plan has %s as the signing authority instead of %s", p.ID, signing.ID)
			}
		}
		if !p.AnnounceAt.After(s.now()) || !p.AnnounceAt.Before(p.NotAfter) {
			t.Errorf("the successor of %s is announced at %s; it expires at %s", p.Subject, p.AnnounceAt, p.NotAfter)
		}
	}
	if signs != 1 {
		t.Errorf("%d authorities sign", signs)
	}
}

func (s suite) testAnnouncer(t *testing.T, i issuer.Issuer) {
	announcer, h := capability[issuer.Announcer](t, i), capability[issuer.Hierarchy](t, i)
	past := issuer.Succession{SignsFrom: s.now().Add(-time.Second)}
	if _, err := announcer.Announce(t.Context(), s.now(), past); !errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("an authority that signs from the past on: %v", err)
	}
	first := h.Signing(s.now())
	from := s.now().Add(40 * day)
	next, err := announcer.Announce(t.Context(), s.now(), issuer.Succession{SignsFrom: from, NewRoot: true})
	check(t, err)
	if !next.SignsFrom.Equal(from) {
		t.Errorf("it signs from %s, asked for was %s", next.SignsFrom, from)
	}
	if a, ok := h.Announced(s.now()); !ok || a.ID != next.ID {
		t.Errorf("announced %v: %s instead of %s", ok, a.ID, next.ID)
	}
	if _, err := announcer.Announce(t.Context(), s.now(), issuer.Succession{}); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("a second one: %v", err)
	}
	for at, want := range map[time.Time]tenancy.Authority{from.Add(-time.Second): first, from: next} {
		if got := h.Signing(at); got.ID != want.ID {
			t.Errorf("at %s the signing authority is %s", at, got.ID)
		}
		r := s.request(t, tenancy.P256, tenancy.ForTenant)
		r.At = at
		if issued, _ := issue(t, i, r); issued.IssuerID != want.ID {
			t.Errorf("at %s, %s signed", at, issued.IssuerID)
		}
	}
	r := s.request(t, tenancy.P256, tenancy.ForTenant)
	r.Authority, r.Validity = next.ID, time.Hour
	issued, leaf := issue(t, i, r)
	if issued.IssuerID != next.ID {
		t.Errorf("a probe is signed by %s instead of %s", issued.IssuerID, next.ID)
	}
	if b, ok := issuer.As[issuer.Bundler](i); ok {
		if err := verify(leaf, issued.Chain, selfSigned(t, b.Bundle()), s.now()); err != nil {
			t.Errorf("the bundle lacks the announced root: %v", err)
		}
	}
	stages := map[issuer.Stage]int{}
	for _, p := range h.Plans(s.now()) {
		stages[p.Stage]++
	}
	for _, p := range h.Plans(from) {
		if p.ID == first.ID && p.Stage != issuer.Replaced || p.ID == next.ID && p.Stage != issuer.Signs {
			t.Errorf("from %s on, %s is %s", from, p.Subject, p.Stage)
		}
	}
	if stages[issuer.Announced] != 2 || stages[issuer.Signs] != 2 { // a root and an issuing authority each
		t.Errorf("stages %v", stages)
	}
}

func (s suite) testRevoker(t *testing.T, i issuer.Issuer) {
	revoker := capability[issuer.Revoker](t, i)
	issued, _ := issue(t, i, s.request(t, tenancy.P256, tenancy.ForTenant))
	c := tenancy.Certificate{ID: "c", Serial: issued.Serial, DER: issued.DER, IssuerID: issued.IssuerID,
		RevokedAt: s.now(), RevokedFor: "compromised"}
	for range 2 { // it is idempotent
		if err := revoker.Revoke(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
}

func (s suite) testCRL(t *testing.T, i issuer.Issuer) {
	signer := capability[issuer.CRLSigner](t, i)
	issued, _ := issue(t, i, s.request(t, tenancy.P256, tenancy.ForTenant))
	lost, _ := issue(t, i, s.request(t, tenancy.P256, tenancy.ForTenant))
	revoked := []issuer.Revocation{
		{Serial: issued.Serial, At: s.now().Add(-time.Hour), Reason: issuer.KeyCompromise},
		{Serial: lost.Serial, At: s.now()},
	}
	der, err := signer.CRL(issued.IssuerID, revoked, s.now())
	check(t, err)
	list, err := x509.ParseRevocationList(der)
	check(t, err)
	authority, err := x509.ParseCertificate(issued.Chain[0])
	check(t, err)
	check(t, list.CheckSignatureFrom(authority))
	if list.ThisUpdate.After(s.now()) || !list.NextUpdate.After(s.now().Add(day)) {
		t.Errorf("the list is for %s to %s, asked for at %s", list.ThisUpdate, list.NextUpdate, s.now())
	}
	got := map[string]int{} // reason codes, RFC 5280 section 5.3.1
	for _, e := range list.RevokedCertificateEntries {
		got[hex.EncodeToString(e.SerialNumber.Bytes())] = e.ReasonCode
	}
	if reason, ok := got[lost.Serial]; len(got) != 2 || got[issued.Serial] != 1 || !ok || reason != 0 {
		t.Errorf("it lists %v", got)
	}
	later, err := signer.CRL(issued.IssuerID, nil, s.now().Add(time.Minute))
	check(t, err)
	next, err := x509.ParseRevocationList(later)
	check(t, err)
	if next.Number.Cmp(list.Number) <= 0 || len(next.RevokedCertificateEntries) != 0 {
		t.Errorf("number %s after %s, %d entries", next.Number, list.Number, len(next.RevokedCertificateEntries))
	}
	if _, err := signer.CRL("other", nil, s.now()); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("a list of an unknown authority: %v", err)
	}
	if _, err := signer.CRL(issued.IssuerID, []issuer.Revocation{{Serial: "xyz"}}, s.now()); err == nil {
		t.Error("a certificate without a serial number is left out without an error")
	}
}

// testServerCertificate follows a server certificate for half a year, asking once an hour.
func (s suite) testServerCertificate(t *testing.T) {
	certifier := capability[issuer.ServerCertifier](t, s.open(t, s.now()))
	for _, host := range []string{"perennial.example.com", "192.0.2.1"} {
		clock := s.now()
		server, err := certifier.NewServerCertificate(host, func() time.Time { return clock })
		check(t, err)
		seen := map[string]bool{}
		for ; clock.Before(s.now().AddDate(0, 6, 0)); clock = clock.Add(time.Hour) {
			c, err := server.Get(&tls.ClientHelloInfo{ServerName: host})
			check(t, err)
			seen[certfile.Fingerprint(c.Certificate[0])] = true
			if left := c.Leaf.NotAfter.Sub(clock); left < c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)/4 {
				t.Fatalf("%s: at %s only %s are left", host, clock, left)
			}
			if err := c.Leaf.VerifyHostname(host); err != nil {
				t.Fatal(err)
			}
			if c.PrivateKey == nil || !slices.Equal(c.Leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
				t.Fatalf("%s: usages %v", host, c.Leaf.ExtKeyUsage)
			}
		}
		if len(seen) < 2 || len(seen) > 200 {
			t.Errorf("%s: %d certificates in half a year", host, len(seen))
		}
	}
	if sum, err := hex.DecodeString(certifier.RootFingerprint(s.now())); err != nil || len(sum) != sha256.Size {
		t.Errorf("the fingerprint of the root is %q", certifier.RootFingerprint(s.now()))
	}
	bundler, ok := certifier.(issuer.Bundler)
	if !ok {
		return
	}
	for block, rest := pem.Decode(bundler.Bundle()); ; block, rest = pem.Decode(rest) {
		if block == nil {
			t.Fatal("the bundle lacks the root of the fingerprint")
		}
		if certfile.Fingerprint(block.Bytes) == certifier.RootFingerprint(s.now()) {
			return
		}
	}
}

func (s suite) testCollector(t *testing.T, i issuer.Issuer) {
	later := capability[issuer.Collector](t, i)
	r := s.request(t, tenancy.P256, tenancy.ForTenant)
	_, err := i.Issue(t.Context(), r)
	requested := (*issuer.RequestedError)(nil)
	if err == nil {
		t.Skip("it answered at once")
	}
	if !errors.As(err, &requested) || requested.Handle == "" {
		t.Fatalf("%v; expected a request with a handle", err)
	}
	issued, err := collect(t, issuer.Checked(i), requested.Handle, r)
	check(t, err)
	again, err := later.Collect(t.Context(), requested.Handle, r) // a crash between the answer and its storage
	if err != nil || !bytes.Equal(again.DER, issued.DER) {
		t.Errorf("asked twice, the answers differ: %v", err)
	}
	_, err = later.Collect(t.Context(), "unknown", r)
	if err == nil || errors.As(err, &requested) {
		t.Errorf("an unknown handle: %v", err)
	}
}
