package local

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/signertest"
	"github.com/perennial-pki/perennial/tenancy"
)

// openWith opens a CA whose keys may be at a service.
func openWith(t *testing.T, service *signertest.Service, m Storage, k *keyring.Keyring, at time.Time) *CA {
	t.Helper()
	c := config
	c.Signatories = service.Open
	ca, err := Open(t.Context(), c, m, k, at)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// verified issues a certificate and verifies it up to the root, as a receiver does.
func verified(t *testing.T, ca *CA, at time.Time) {
	t.Helper()
	issued, leaf := issue(t, ca, tenancy.P256, tenancy.ForTenant, at)
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, root := range ca.roots {
		options.Roots.AddCert(root.cert)
	}
	for _, der := range issued.Chain {
		c, err := certfile.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		options.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(options); err != nil {
		t.Errorf("%s: %v", at, err)
	}
}

func faultOf(err error) issuer.Fault {
	fault, _ := issuer.FaultOf(err)
	return fault
}

const issuingURI = "test:issuing"

// announced announces an issuing CA with a key at a URI that signs at once.
func announced(t *testing.T, ca *CA, uri string, at time.Time) tenancy.Authority {
	t.Helper()
	a, err := ca.Announce(t.Context(), at, issuer.Succession{Key: uri, SignsFrom: at})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTheKeyOfAnIssuingCAAtAURISignsAndIsNotInTheDatabase(t *testing.T) {
	at, storage, k, service := present(), &keeping{}, keys(t), signertest.New()
	ca := openWith(t, service, storage, k, at)
	a := announced(t, ca, issuingURI, at)
	if a.KeyURI != issuingURI || len(a.SealedKey) > 0 {
		t.Errorf("the key is at %q, and %d bytes are stored", a.KeyURI, len(a.SealedKey))
	}
	for _, c := range []*CA{ca, openWith(t, service, storage, k, at)} { // also after a restart
		before := service.Signatures(issuingURI)
		verified(t, c, at)
		der, err := c.CRL(a.ID, []issuer.Revocation{{Serial: "7f", At: at, Reason: issuer.KeyCompromise}}, at)
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil || list.CheckSignatureFrom(c.issuing[1].cert) != nil || len(list.RevokedCertificateEntries) != 1 {
			t.Errorf("the revocation list: %v", err)
		}
		if got := service.Signatures(issuingURI) - before; got != 2 {
			t.Errorf("%d signatures for one certificate and one list", got)
		}
	}
}

func TestAKeyThatIsAwayIsAFaultAndStopsNoStart(t *testing.T) {
	at, storage, k, service := present(), &keeping{}, keys(t), signertest.New()
	ca := openWith(t, service, storage, k, at)
	signs := announced(t, ca, issuingURI, at)
	service.Away(true)
	ca = openWith(t, service, storage, k, at)
	key, err := keyring.Generate(tenancy.P256)
	if err != nil {
		t.Fatal(err)
	}
	request := issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: at, Validity: 365 * day}
	_, err = ca.Issue(t.Context(), request)
	if faultOf(err) != issuer.KeyAway || !strings.Contains(err.Error(), "the key test:issuing of the issuing CA "+
		"CN=Example Platform issuing CA G2,O=Example Platform cannot be used now") {
		t.Errorf("a certificate: %v", err)
	}
	if _, err := ca.CRL(signs.ID, nil, at); faultOf(err) != issuer.KeyAway {
		t.Errorf("a list: %v", err)
	}
	if _, err := ca.CRL(ca.issuing[0].ID, nil, at); err != nil {
		t.Errorf("the list of a CA whose key is here: %v", err)
	}
	_, err = ca.Announce(t.Context(), at, issuer.Succession{Key: "test:next", NewRoot: true})
	if faultOf(err) != issuer.KeyAway || len(ca.roots) != 1 {
		t.Errorf("an announcement: %v, %d roots", err, len(ca.roots))
	}
	if _, err := ca.RequestAuthority(t.Context(), "test:next", at); faultOf(err) != issuer.KeyAway {
		t.Errorf("a request: %v", err)
	}
	service.Away(false)
	verified(t, ca, at)
}

// A year before the issuing CA is too old, its successor gets the key that the URI names then.
func TestTheSuccessorOfAnIssuingCAGetsTheKeyOfTheSameURI(t *testing.T) {
	at, storage, k, service := present(), &keeping{}, keys(t), signertest.New()
	ca := openWith(t, service, storage, k, at)
	first := announced(t, ca, issuingURI, at)
	due := ca.announceAt(ca.issuing[1])
	service.Rotate(issuingURI)
	service.Away(true)
	if err := ca.Refresh(t.Context(), due); faultOf(err) != issuer.KeyAway {
		t.Errorf("while the key is away: %v", err)
	}
	ca = openWith(t, service, storage, k, due) // a start does not wait for it
	service.Away(false)
	if err := ca.Refresh(t.Context(), due); err != nil {
		t.Fatal(err)
	}
	next, ok := ca.Announced(due)
	if !ok || next.KeyURI != issuingURI || len(next.SealedKey) > 0 || sameKey(ca.issuing[1].cert.PublicKey,
		ca.issuing[2].cert.PublicKey) {
		t.Errorf("announced %v with the key %q", ok, next.KeyURI)
	}
	verified(t, ca, due)
	verified(t, ca, next.SignsFrom)
	if ca.Signing(due).ID != first.ID || ca.Signing(next.SignsFrom).ID != next.ID {
		t.Error("the wrong CA signs")
	}
	back, err := ca.Announce(t.Context(), next.SignsFrom, issuer.Succession{Key: issuer.SealedKey,
		SignsFrom: next.SignsFrom})
	if err != nil || back.KeyURI != "" || len(back.SealedKey) == 0 {
		t.Errorf("back into the database: %+v, %v", back, err)
	}
	verified(t, ca, next.SignsFrom)
}

// The variable with the credentials is missing at one replica, or the key was destroyed, a year before it is needed.
func TestASuccessorThatCannotBeMadeStopsNoStart(t *testing.T) {
	at, storage, k, service := present(), &keeping{}, keys(t), signertest.New()
	ca := openWith(t, service, storage, k, at)
	announced(t, ca, issuingURI, at)
	due := ca.announceAt(ca.issuing[1])
	config := ca.config
	config.Signatories = func(string) (keyring.Signatory, error) { return nil, errors.New("a variable is missing") }
	ca, err := Open(t.Context(), config, storage, k, due)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Refresh(t.Context(), due); !errors.Is(err, issuer.ErrNoSuccessor) {
		t.Errorf("the successor: %v", err)
	}
	if err := issuer.Refreshed(t.Context(), ca, due); err != nil {
		t.Errorf("everything else: %v", err)
	}
}

func TestARequestBelowYourRootHasTheNamedKey(t *testing.T) {
	at, storage, k, service := present(), &keeping{}, keys(t), signertest.New()
	ca := openWith(t, service, storage, k, at)
	sealed := requestOf(t, ca, at)
	named, err := ca.RequestAuthority(t.Context(), issuingURI, at)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", issuingURI} {
		if again, err := ca.RequestAuthority(t.Context(), key, at); err != nil || again.ID != named.ID {
			t.Errorf("asked again with %q: another request, %v", key, err)
		}
	}
	if named.KeyURI != issuingURI || len(named.SealedKey) > 0 || named.ID == sealed.ID || len(storage.requests) != 1 {
		t.Errorf("%d requests, with the key %q", len(storage.requests), named.KeyURI)
	}
	y := yourRoot(t, 7300)
	chain := append(y.sign(named.CSR, "root", "x", 3650), y.read("root.pem")...)
	service.Away(true)
	if _, err := ca.InstallAuthority(t.Context(), chain, at, at); faultOf(err) != issuer.KeyAway {
		t.Errorf("an installation while the key is away: %v", err)
	}
	service.Away(false)
	a, err := ca.InstallAuthority(t.Context(), chain, at, at)
	if err != nil || a.KeyURI != issuingURI || len(a.SealedKey) > 0 {
		t.Fatalf("installed with the key %q, %v", a.KeyURI, err)
	}
	verified(t, openWith(t, service, storage, k, at), at)
}

func TestAKeyThatCannotBeOpenedStopsRenewalsAndNothingElse(t *testing.T) {
	at, storage, k, service := present(), &keeping{}, keys(t), signertest.New()
	ca := openWith(t, service, storage, k, at)
	if _, err := ca.Announce(t.Context(), at, issuer.Succession{Key: "other:key"}); !errors.Is(err, tenancy.ErrInvalid) ||
		!strings.Contains(err.Error(), "key: unknown kind of key") {
		t.Errorf("an unknown kind: %v", err)
	}
	a := announced(t, ca, issuingURI, at)
	ca = open(t, storage, k, at) // without key services
	if _, err := ca.CRL(a.ID, nil, at); err == nil || !strings.Contains(err.Error(), "are not configured") {
		t.Errorf("a list: %v", err)
	}
	if len(ca.Plans(at)) != 3 || !strings.Contains(string(ca.Bundle()), "CERTIFICATE") {
		t.Error("the authorities are not shown")
	}
}
