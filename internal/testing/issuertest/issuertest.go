// Package issuertest holds the behaviour that every issuer must show. The tests of an issuer call [Run] with a function
// that opens it, and [Run] tests the capabilities that it finds.
package issuertest

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var check = testenv.Check

const (
	day      = 24 * time.Hour
	validity = 365 * day
	// backdate is the time by which a CA without an exact notBefore in its protocol may set the start of a certificate
	// back.
	backdate = 5 * time.Minute
)

// An Opener opens the issuer under test, new for each test, as of an instant.
type Opener func(t *testing.T, now time.Time) issuer.Issuer

// A suite is a run of the tests.
type suite struct {
	open Opener
	now  func() time.Time // of the issuer under test
	// remembers reports that a repeated request gets the same certificate.
	remembers bool
}

// Run tests an issuer that takes the time from its requests. Its certificates are checked against a fixed instant, not
// against the clock.
func Run(t *testing.T, open Opener) {
	now := time.Date(2026, 11, 1, 12, 30, 0, 0, time.UTC)
	suite{open: open, now: func() time.Time { return now }}.run(t)
}

// RunNow tests an issuer whose CA has a clock of its own.
func RunNow(t *testing.T, open Opener) { suite{open: open, now: time.Now}.run(t) }

// RunRemembering is [RunNow] for an issuer whose CA answers later, and takes a request with the same key and names for
// the same request.
func RunRemembering(t *testing.T, open Opener) {
	suite{open: open, now: time.Now, remembers: true}.run(t)
}

func (s suite) run(t *testing.T) {
	with := func(name string, test func(*testing.T, issuer.Issuer)) {
		t.Run(name, func(t *testing.T) { test(t, s.open(t, s.now())) })
	}
	with("a certificate has the requested key, tenant, purpose and validity", s.testRequested)
	with("only a client certificate can be made of it", s.testUsage)
	with("the chain verifies up to the bundle", s.testChain)
	if !s.remembers {
		with("a repeated request gets another certificate", s.testRepeated)
	}
	with("a validity beyond the CA's own is refused or shortened", s.testTooLong)
	with("many certificates are issued at the same time", s.testConcurrent)
	with("it passes its own check", s.testChecked)
	with("capability: hierarchy", s.testHierarchy)
	with("capability: names", s.testNamer)
	with("capability: announcement", s.testAnnouncer)
	with("capability: revocation", s.testRevoker)
	with("capability: revocation list", s.testCRL)
	t.Run("capability: server certificate", s.testServerCertificate)
	with("capability: a later answer", s.testCollector)
}

// capability skips a test if the issuer does not have the capability.
func capability[T any](t *testing.T, i issuer.Issuer) T {
	t.Helper()
	c, ok := issuer.As[T](i)
	if !ok {
		t.Skipf("%T does not have this capability", i)
	}
	return c
}

// request returns a request of the tenant acme with a new key.
func (s suite) request(t *testing.T, kind tenancy.KeyType, purpose tenancy.Purpose) issuer.Request {
	t.Helper()
	key, err := keyring.Generate(kind)
	check(t, err)
	return issuer.Request{Tenant: "acme", Purpose: purpose, Key: key, At: s.now(), Validity: validity}
}

// issue issues a certificate, at once or later.
func issue(t *testing.T, i issuer.Issuer, r issuer.Request) (issuer.Issued, *x509.Certificate) {
	t.Helper()
	issued, err := i.Issue(t.Context(), r)
	if later := (*issuer.RequestedError)(nil); errors.As(err, &later) {
		issued, err = collect(t, i, later.Handle, r)
	}
	check(t, err)
	leaf, err := x509.ParseCertificate(issued.DER)
	check(t, err)
	return issued, leaf
}

// collect asks until there is an answer.
func collect(t *testing.T, i issuer.Issuer, handle string, r issuer.Request) (issuer.Issued, error) {
	t.Helper()
	later, ok := issuer.As[issuer.Collector](i)
	if !ok {
		t.Fatalf("%T answers later and is not a Collector", i)
	}
	for range 1000 {
		issued, err := later.Collect(t.Context(), handle, r)
		if e := (*issuer.RequestedError)(nil); !errors.As(err, &e) {
			return issued, err
		}
	}
	t.Fatalf("no answer to the request %s", handle)
	return issuer.Issued{}, nil
}

var (
	kinds    = []tenancy.KeyType{tenancy.P256, tenancy.P384, tenancy.RSA2048, tenancy.RSA3072}
	purposes = []tenancy.Purpose{tenancy.ForTenant, tenancy.ForMUser}
)

func (s suite) testRequested(t *testing.T, i issuer.Issuer) {
	owners := map[string]tenancy.Purpose{}
	namer, isNamer := issuer.As[issuer.Namer](i)
	for _, kind := range kinds {
		for _, purpose := range purposes {
			r := s.request(t, kind, purpose)
			issued, leaf := issue(t, i, r)
			if key, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !key.Equal(r.Key.Public()) {
				t.Errorf("%s, %s: another key", kind, purpose)
			}
			names, err := certfile.NamesOf(leaf.Raw)
			check(t, err)
			announced := certfile.Names{}
			if isNamer {
				announced, err = namer.Names(r)
				check(t, err)
			}
			if leaf.Subject.CommonName != "acme" && !announced.Equal(names) {
				t.Errorf("%s, %s: the subject is %s", kind, purpose, leaf.Subject)
			}
			for _, uri := range leaf.URIs {
				if uri.Path != issuer.Path("acme", purpose) {
					t.Errorf("%s, %s: the URI is %s", kind, purpose, uri)
				}
			}
			subject, san := names.Text()
			if p, seen := owners[subject+" "+san]; seen && p != purpose {
				t.Errorf("%s, %s names the certificates of both purposes", subject, san)
			}
			owners[subject+" "+san] = purpose
			if issued.Serial != certfile.Serial(leaf) || issued.Subject != certfile.Name(leaf.RawSubject) ||
				!issued.NotBefore.Equal(leaf.NotBefore) || !issued.NotAfter.Equal(leaf.NotAfter) {
				t.Errorf("%s, %s: it reports %+v of %s", kind, purpose, issued, leaf.Subject)
			}
			if leaf.NotBefore.After(s.now()) || leaf.NotBefore.Before(s.now().Add(-day)) {
				t.Errorf("%s, %s: valid from %s, requested at %s", kind, purpose, leaf.NotBefore, s.now())
			}
			if lifetime := leaf.NotAfter.Sub(leaf.NotBefore); lifetime > validity+backdate || lifetime < validity-day {
				t.Errorf("%s, %s: valid for %s, requested were %s", kind, purpose, lifetime, validity)
			}
		}
	}
}

func (s suite) testUsage(t *testing.T, i issuer.Issuer) {
	_, leaf := issue(t, i, s.request(t, tenancy.P256, tenancy.ForTenant))
	if !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) ||
		len(leaf.UnknownExtKeyUsage) > 0 {
		t.Errorf("extended key usages %v", leaf.ExtKeyUsage)
	}
	if leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		t.Errorf("it can sign: CA %v, usage %b", leaf.IsCA, leaf.KeyUsage)
	}
	if leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		t.Error("it cannot sign a handshake")
	}
}

// verify checks a certificate with its chain against a bundle, as a receiver does.
func verify(leaf *x509.Certificate, chain [][]byte, bundle []byte, at time.Time) error {
	roots, above := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		above.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: above, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// selfSigned returns only the self-signed certificates of a bundle.
func selfSigned(t *testing.T, bundle []byte) (roots []byte) {
	t.Helper()
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		check(t, err)
		if bytes.Equal(c.RawIssuer, c.RawSubject) {
			roots = append(roots, pem.EncodeToMemory(block)...)
		}
	}
	return roots
}

func (s suite) testChain(t *testing.T, i issuer.Issuer) {
	for _, purpose := range purposes {
		issued, below := issue(t, i, s.request(t, tenancy.P256, purpose))
		for _, der := range issued.Chain {
			above, err := x509.ParseCertificate(der)
			check(t, err)
			if err := below.CheckSignatureFrom(above); err != nil {
				t.Errorf("%s: %s is not signed by %s: %v", purpose, below.Subject, above.Subject, err)
			}
			below = above
		}
	}
	bundle := capability[issuer.Bundler](t, i).Bundle()
	roots := selfSigned(t, bundle)
	for _, purpose := range purposes {
		issued, leaf := issue(t, i, s.request(t, tenancy.P256, purpose))
		for _, at := range []time.Time{s.now(), leaf.NotAfter} {
			if err := verify(leaf, issued.Chain, bundle, at); err != nil {
				t.Errorf("%s, at %s: %v", purpose, at, err)
			}
			if err := verify(leaf, issued.Chain, roots, at); err != nil {
				t.Errorf("%s, at %s, with the roots alone: %v", purpose, at, err)
			}
		}
		for _, der := range issued.Chain {
			c, err := x509.ParseCertificate(der)
			check(t, err)
			if bytes.Equal(c.RawIssuer, c.RawSubject) {
				t.Errorf("the chain has the root %s", c.Subject)
			}
		}
		split, err := certfile.SplitChain(certfile.JoinChain(issued.Chain))
		if err != nil || len(split) != len(issued.Chain) {
			t.Errorf("a chain of %d is stored as one of %d: %v", len(issued.Chain), len(split), err)
		}
	}
}

func (s suite) testRepeated(t *testing.T, i issuer.Issuer) {
	r := s.request(t, tenancy.P256, tenancy.ForTenant)
	first, one := issue(t, i, r)
	second, two := issue(t, i, r)
	if first.Serial == second.Serial {
		t.Errorf("both have the serial number %s", first.Serial)
	}
	if !bytes.Equal(one.RawSubject, two.RawSubject) {
		t.Errorf("the subjects are %s and %s: a receiver that maps them would refuse the second", one.Subject, two.Subject)
	}
}

func (s suite) testTooLong(t *testing.T, i issuer.Issuer) {
	r := s.request(t, tenancy.P256, tenancy.ForTenant)
	r.Validity = 100 * validity
	issued, err := i.Issue(t.Context(), r)
	if err != nil {
		return
	}
	leaf, err := x509.ParseCertificate(issued.DER)
	check(t, err)
	for _, der := range issued.Chain {
		c, err := x509.ParseCertificate(der)
		check(t, err)
		if leaf.NotAfter.After(c.NotAfter) {
			t.Errorf("it is valid until %s, and its issuer until %s", leaf.NotAfter, c.NotAfter)
		}
	}
	if !issued.NotAfter.Equal(leaf.NotAfter) {
		t.Errorf("it reports %s and is valid until %s", issued.NotAfter, leaf.NotAfter)
	}
}

func (s suite) testConcurrent(t *testing.T, i issuer.Issuer) {
	const at, each = 8, 8
	var (
		mu      sync.Mutex // guards serials
		serials = map[string]bool{}
		wait    sync.WaitGroup
	)
	for range at {
		var keys []crypto.Signer
		for range each {
			key, err := keyring.Generate(tenancy.P256)
			check(t, err)
			keys = append(keys, key)
		}
		wait.Go(func() {
			for _, key := range keys {
				issued, err := i.Issue(t.Context(), issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key,
					At: s.now(), Validity: validity})
				if later := (*issuer.RequestedError)(nil); errors.As(err, &later) {
					issued, err = issuer.Issued{Serial: "request " + later.Handle}, nil
				}
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				serials[issued.Serial] = true
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if len(serials) != at*each {
		t.Errorf("%d certificates have %d serial numbers", at*each, len(serials))
	}
}

func (s suite) testChecked(t *testing.T, i issuer.Issuer) {
	for _, purpose := range purposes {
		if _, leaf := issue(t, issuer.Checked(i), s.request(t, tenancy.P256, purpose)); leaf == nil {
			t.Errorf("%s: nothing was issued", purpose)
		}
	}
}
