// Package roottest is a root that is not ours, in memory, for tests of issuing CAs below it.
package roottest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// New returns a root that is valid for 30 years. sign signs the request (DER) of an issuing CA with the extensions that
// it asks for, and returns the chain as PEM, the root first.
func New(t *testing.T, now time.Time) (sign func(csr []byte, now, until time.Time) []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Your Root"}, NotBefore: now,
		NotAfter: now.AddDate(30, 0, 0), BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	own, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	testenv.Check(t, err)
	serial := int64(1)
	return func(csr []byte, now, until time.Time) (file []byte) {
		t.Helper()
		r, err := x509.ParseCertificateRequest(csr)
		testenv.Check(t, err)
		testenv.Check(t, r.CheckSignature())
		serial++
		issuing, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(serial),
			RawSubject: r.RawSubject, NotBefore: now, NotAfter: until, ExtraExtensions: r.Extensions}, root, r.PublicKey, key)
		testenv.Check(t, err)
		for _, der := range [][]byte{own, issuing} {
			file = append(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		}
		return file
	}
}
