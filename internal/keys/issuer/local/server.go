package local

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// serverLifetime is short, since the certificate lives in memory and is replaced at two thirds of it.
const serverLifetime = 30 * day

// A ServerCertificate is the service's own certificate, signed by the root (the issuing CAs are for clients only), kept
// in memory, and replaced before it expires.
type ServerCertificate struct {
	ca   *CA
	host string
	now  func() time.Time

	mu      sync.Mutex
	current *tls.Certificate
}

// NewServerCertificate makes the service's own certificate for a host name or an IP address.
func (ca *CA) NewServerCertificate(host string, now func() time.Time) (*ServerCertificate, error) {
	s := &ServerCertificate{ca: ca, host: host, now: now}
	_, err := s.Get(nil)
	return s, err
}

// Get is for [tls.Config.GetCertificate].
func (s *ServerCertificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.current == nil || now.After(s.current.Leaf.NotAfter.Add(-serverLifetime/3)) {
		made, err := s.ca.serverCertificate(s.host, now)
		if err != nil {
			return nil, err
		}
		s.current = made
	}
	return s.current, nil
}

func (ca *CA) serverCertificate(host string, now time.Time) (*tls.Certificate, error) {
	ca.mu.RLock()
	root := ca.issuing[ca.signer(now)].root // a root that is only announced is not trusted yet
	ca.mu.RUnlock()
	key, err := keyring.Generate(tenancy.P256)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	id, err := subjectKeyID(key.Public())
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{ca.config.Organization}, CommonName: host},
		SubjectKeyId: id,
		NotBefore:    now.Add(-Backdate).Truncate(time.Second), NotAfter: now.Add(serverLifetime).Truncate(time.Second),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, root.cert, key.Public(), root.key)
	if err != nil {
		return nil, fmt.Errorf("make the service's own certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// RootFingerprint is the SHA-256 of the root that is in use at now, in lowercase hexadecimal.
func (ca *CA) RootFingerprint(now time.Time) string {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	sum := sha256.Sum256(ca.issuing[ca.signer(now)].root.DER)
	return hex.EncodeToString(sum[:])
}
