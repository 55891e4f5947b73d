// Package testca is a certificate authority for tests. It signs as a foreign CA, behind a real protocol.
package testca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A CA is a root with one issuing CA below it. It is safe for concurrent use.
type CA struct {
	Root, Issuing *x509.Certificate
	Key           *ecdsa.PrivateKey // of the issuing CA
	RootKey       *ecdsa.PrivateKey
}

// New returns a CA that is valid for ten years around an instant.
func New(t testing.TB, name string, at time.Time) *CA {
	t.Helper()
	return NewUntil(t, name, at.AddDate(-5, 0, 0), at.AddDate(5, 0, 0))
}

// NewUntil returns a CA whose issuing CA is valid in a period. The root is valid for ten years longer.
func NewUntil(t testing.TB, name string, from, to time.Time) *CA {
	t.Helper()
	c := &CA{Key: newKey(t), RootKey: newKey(t)}
	root := authority(name+" Root", from, to.AddDate(10, 0, 0))
	c.Root = signed(t, root, root, c.RootKey.Public(), c.RootKey)
	c.Issuing = signed(t, authority(name+" Issuing", from, to), c.Root, c.Key.Public(), c.RootKey)
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	return key
}

func authority(name string, from, to time.Time) *x509.Certificate {
	return &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: name, Organization: []string{"CA"}},
		NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
}

func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] = 0x40
	return new(big.Int).SetBytes(b)
}

func signed(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey,
	key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	testenv.Check(t, err)
	c, err := x509.ParseCertificate(der)
	testenv.Check(t, err)
	return c
}

// Padded returns the certificate of a CA (DER) with about size bytes, at least 1000, for tests of limits.
func Padded(t testing.TB, at time.Time, size int) []byte {
	t.Helper()
	key := newKey(t)
	template := authority("Padded", at.AddDate(-5, 0, 0), at.AddDate(5, 0, 0))
	template.ExtraExtensions = []pkix.Extension{{Id: []int{1, 3, 6, 1, 4, 1, 32473, 1}, Value: make([]byte, size-500)}}
	return signed(t, template, template, key.Public(), key).Raw
}

// Sign returns a client certificate (DER) with the subject and the alternative names of a request. change may change
// it before it is signed; nil for none.
func (c *CA) Sign(request *x509.CertificateRequest, from, to time.Time,
	change func(*x509.Certificate)) ([]byte, error) {
	template := &x509.Certificate{SerialNumber: serial(), RawSubject: request.RawSubject, NotBefore: from.UTC(),
		NotAfter: to.UTC(), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, e := range request.Extensions {
		if e.Id.String() == "2.5.29.17" { // subject alternative names
			template.ExtraExtensions = append(template.ExtraExtensions, e)
		}
	}
	if change != nil {
		change(template)
	}
	return x509.CreateCertificate(rand.Reader, template, c.Issuing, request.PublicKey, c.Key)
}

// RootPEM returns the root.
func (c *CA) RootPEM() []byte { return PEM(c.Root.Raw) }

// RootFile writes the root to a file that ends with the test.
func (c *CA) RootFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root.pem")
	testenv.Check(t, os.WriteFile(path, c.RootPEM(), 0o600))
	return path
}

// Server returns a certificate of a TLS server on loopback, valid in a period.
func (c *CA) Server(t testing.TB, from, to time.Time) tls.Certificate {
	t.Helper()
	key := newKey(t)
	leaf := signed(t, &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}},
		c.Issuing, key.Public(), c.Key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, c.Issuing.Raw}, PrivateKey: key, Leaf: leaf}
}

// Client writes a client certificate with its chain and its key to two files, and returns their paths.
func (c *CA) Client(t testing.TB, name string, from, to time.Time) (certificate, key string) {
	t.Helper()
	k := newKey(t)
	leaf := signed(t, &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, NotBefore: from,
		NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, c.Issuing, k.Public(), c.Key)
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")
	testenv.Check(t, os.WriteFile(certificate, PEM(leaf.Raw, c.Issuing.Raw), 0o600))
	testenv.Check(t, os.WriteFile(key, KeyPEM(t, k), 0o600))
	return certificate, key
}

// PEM returns certificates (DER) as PEM.
func PEM(certificates ...[]byte) (out []byte) {
	for _, der := range certificates {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// KeyPEM returns a private key as PEM.
func KeyPEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	testenv.Check(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// ServerTLS returns the configuration of a server with a certificate.
func ServerTLS(pair tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}
