package local

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// serverLifetime is short, because the certificate lives in memory and is replaced after two thirds of it.
const serverLifetime = 30 * day

// NewServerCertificate implements [issuer.ServerCertifier], for a host name or an IP address. The certificate is signed
// by the root, because the issuing CAs are for clients only.
func (ca *CA) NewServerCertificate(host string, now func() time.Time) (*issuer.ServerCertificate, error) {
	return issuer.KeepServerCertificate(func(now time.Time) (*tls.Certificate, error) {
		return ca.serverCertificate(host, now)
	}, now)
}

func (ca *CA) serverCertificate(host string, now time.Time) (*tls.Certificate, error) {
	root, err := ca.serverRoot(now)
	if err != nil {
		return nil, err
	}
	key, err := keyring.Generate(tenancy.P256)
	if err != nil {
		return nil, err
	}
	_, id, err := encodedKey(key.Public())
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{Organization: []string{ca.config.Organization}, CommonName: host},
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
		return nil, fmt.Errorf("sign the service's own certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// serverRoot returns the root that signs the service's own certificate at an instant: the one above the CA that signs,
// because an announced root is not trusted yet. If its key is elsewhere, the newest root whose key is here.
func (ca *CA) serverRoot(now time.Time) (authority, error) {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	if root := ca.issuing[ca.signer(now)].root; root.key != nil {
		return *root, nil
	}
	for _, root := range slices.Backward(ca.roots) {
		if root.key != nil {
			return *root, nil
		}
	}
	return authority{}, errors.New("the service has no root whose key could sign its own certificate: start it with " +
		"--tls-cert and --tls-key")
}

// RootFingerprint implements [issuer.ServerCertifier].
func (ca *CA) RootFingerprint(now time.Time) string {
	root, err := ca.serverRoot(now)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(root.DER)
	return hex.EncodeToString(sum[:])
}
