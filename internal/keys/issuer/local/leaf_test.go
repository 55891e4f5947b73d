package local

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// allKeys returns a key of each type that an authority may have.
func allKeys(t *testing.T) (keys []crypto.Signer) {
	t.Helper()
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	_, edwards, err1 := ed25519.GenerateKey(rand.Reader)
	small, err2 := rsa.GenerateKey(rand.Reader, 2048)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return append(keys, edwards, small)
}

// authorityOf returns an authority with a key, which signed itself.
func authorityOf(t *testing.T, key crypto.Signer, id []byte) *authority {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Issuing \u00e9 CA"},
		NotBefore: now, NotAfter: now.Add(day), IsCA: true, BasicConstraintsValid: true, SubjectKeyId: id}
	if id == nil {
		template.IsCA = false // x509 gives only authorities an identifier
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key}
}

func TestCertificatesHaveTheBytesOfTheStandardLibrary(t *testing.T) {
	keys := allKeys(t)
	var authorities []*authority
	for _, key := range keys {
		authorities = append(authorities, authorityOf(t, key, []byte{1, 2, 3}), authorityOf(t, key, nil))
	}
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SampledFrom(authorities).Draw(t, "authority")
		l := drawLeaf(t, keys)
		der, err := a.sign(l)
		if err != nil {
			t.Fatal(err)
		}
		got, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		want := standard(t, a, l)
		if !bytes.Equal(got.RawTBSCertificate, want.RawTBSCertificate) {
			t.Fatalf("\n%x, and not\n%x", got.RawTBSCertificate, want.RawTBSCertificate)
		}
		if got.SignatureAlgorithm != want.SignatureAlgorithm {
			t.Fatalf("it is signed with %s, and not with %s", got.SignatureAlgorithm, want.SignatureAlgorithm)
		}
		if err := a.cert.CheckSignature(got.SignatureAlgorithm, got.RawTBSCertificate, got.Signature); err != nil {
			t.Fatal(err)
		}
	})
}

// drawLeaf draws the content of a certificate: long and short names, alternative names or none, dates on both sides of
// 2050, and keys of all types.
func drawLeaf(t *rapid.T, keys []crypto.Signer) leaf {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aZ9 -.\u00e9\u4e2d\"")), 0, 200, -1)
	var subject pkix.Name
	if rapid.Bool().Draw(t, "has a subject") {
		subject = pkix.Name{Organization: []string{text.Draw(t, "organization")}, CommonName: text.Draw(t, "common name")}
	}
	der, err := asn1.Marshal(subject.ToRDNSequence())
	if err != nil {
		t.Fatal(err)
	}
	l := leaf{serial: newSerial(), names: certfile.Names{Subject: der},
		key: rapid.SampledFrom(keys).Draw(t, "key").Public()}
	if rapid.Bool().Draw(t, "has alternative names") || !l.names.HasSubject() {
		uri := "spiffe://example.com/tenant/" + strings.Repeat("x", rapid.IntRange(0, 300).Draw(t, "length"))
		if l.names.SAN, err = certfile.SANOf(certfile.GeneralName{Kind: certfile.URIName, Value: uri}); err != nil {
			t.Fatal(err)
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "revocation lists") {
		l.revocations = append(l.revocations, "http://pki.example.com/"+
			strings.Repeat("y", rapid.IntRange(0, 200).Draw(t, "length of an address"))+".crl")
	}
	second := rapid.Int64Range(time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC).Unix(),
		time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).Unix())
	l.notBefore = time.Unix(second.Draw(t, "not before"), 0).UTC()
	l.notAfter = time.Unix(second.Draw(t, "not after"), 0).UTC()
	return l
}

// standard returns the certificate of the standard library for the same content.
func standard(t *rapid.T, a *authority, l leaf) *x509.Certificate {
	_, id, err := encodedKey(l.key)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: l.serial, RawSubject: l.names.Subject, NotBefore: l.notBefore,
		NotAfter: l.notAfter, BasicConstraintsValid: true, SubjectKeyId: id, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CRLDistributionPoints: l.revocations}
	if len(l.names.SAN) > 0 {
		template.ExtraExtensions = []pkix.Extension{l.names.SANExtension()}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, l.key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// A faulty key signs something else.
type faulty struct{ crypto.Signer }

func (f faulty) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	digest = bytes.Clone(digest)
	digest[0] ^= 1
	return f.Signer.Sign(random, digest, opts)
}

func TestASignatureThatIsNotValidIsNoticed(t *testing.T) {
	key, err := keyring.Generate(tenancy.P256)
	if err != nil {
		t.Fatal(err)
	}
	form := issuer.Form{TrustDomain: "example.com", Organization: "Example"}
	subject, err := form.Names(issuer.Request{Tenant: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	l := leaf{names: subject, notBefore: now, notAfter: now.Add(day), key: key.Public()}
	for _, test := range []struct {
		name, uri string
		most      int // certificates until it is noticed, but for one in a billion tests
	}{{"always, if the key is elsewhere", "awskms:///issuing", 1},
		{"soon, if it is in this process", "", 64 * 21}} {
		t.Run(test.name, func(t *testing.T) {
			a := authorityOf(t, key, []byte{1})
			a.KeyURI, a.key = test.uri, faulty{key}
			for range test.most {
				l.serial = newSerial()
				if _, err := a.sign(l); err != nil {
					if !strings.Contains(err.Error(), "not valid") {
						t.Errorf("the error is %q", err)
					}
					return
				}
			}
			t.Errorf("%d certificates with wrong signatures were made", test.most)
		})
	}
}
