package certfile

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// An authority of this test signs leaves and other authorities.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(t *testing.T, template x509.Certificate, key crypto.Signer) *x509.Certificate {
	t.Helper()
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(7), time.Unix(0, 0), time.Unix(1e9, 0)
	parent, signer := &template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (a *authority) ca(t *testing.T, name string) *authority {
	t.Helper()
	key := newKey(t)
	return &authority{a.sign(t, x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, key), key}
}

func TestTheChangesBetweenTwoCertificates(t *testing.T) {
	var none *authority
	root, other := none.ca(t, "root"), none.ca(t, "root") // the same name, another key
	issuing, second, foreign := root.ca(t, "issuing"), root.ca(t, "issuing 2"), other.ca(t, "issuing")
	key := newKey(t)
	acme := x509.Certificate{Subject: pkix.Name{CommonName: "acme"}, DNSNames: []string{"acme.example.com"}}
	renamed, without := acme, acme
	renamed.Subject.CommonName = "Acme"
	without.DNSNames = nil
	chain := func(ca *authority, c x509.Certificate, k crypto.Signer) [][]byte {
		return [][]byte{ca.sign(t, c, k).Raw, ca.cert.Raw}
	}
	before := chain(issuing, acme, key)
	for name, c := range map[string]struct {
		after [][]byte
		want  tenancy.Changes
	}{
		"nothing but the serial number":          {chain(issuing, acme, key), tenancy.Changes{}},
		"a new key":                              {chain(issuing, acme, newKey(t)), tenancy.Changes{Key: true}},
		"a new subject":                          {chain(issuing, renamed, key), tenancy.Changes{Subject: true}},
		"no SAN":                                 {chain(issuing, without, key), tenancy.Changes{SAN: true}},
		"a new issuing CA below the same root":   {chain(second, acme, key), tenancy.Changes{Issuer: true}},
		"a CA of the same name with another key": {chain(foreign, acme, key), tenancy.Changes{Issuer: true, Root: true}},
		"a new root without an issuing CA": {[][]byte{other.sign(t, acme, key).Raw}, tenancy.Changes{Issuer: true,
			Root: true}},
		"a chain that is not known": {chain(second, acme, key)[:1], tenancy.Changes{Issuer: true, Root: true}},
	} {
		if got, err := Changes(before, c.after); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
	for _, bad := range [][][]byte{nil, {{1, 2}}, {before[0], {}}} {
		if _, err := Changes(before, bad); err == nil {
			t.Errorf("%v is compared", bad)
		}
		if _, err := Changes(bad, before); err == nil {
			t.Errorf("%v is compared", bad)
		}
	}
}
