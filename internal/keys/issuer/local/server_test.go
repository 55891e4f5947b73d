package local

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheServersOwnCertificateIsForOneHostAndSignedByTheRoot(t *testing.T) {
	ca := open(t, &memory{}, keys(t), now)
	for _, host := range []string{"perennial.example.com", "192.0.2.1", "2001:db8::1"} {
		c, err := ca.serverCertificate(host, now)
		if err != nil {
			t.Fatal(err)
		}
		lints(t, c.Certificate[0])
		leaf := c.Leaf
		if err := leaf.VerifyHostname(host); err != nil || len(leaf.DNSNames)+len(leaf.IPAddresses) != 1 {
			t.Errorf("%s: %v, %v, %v", host, leaf.DNSNames, leaf.IPAddresses, err)
		}
		if err := leaf.CheckSignatureFrom(ca.roots[0].cert); err != nil {
			t.Error(err)
		}
		if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature ||
			!slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
			t.Errorf("%s: CA %v, usages %v and %v", host, leaf.IsCA, leaf.KeyUsage, leaf.ExtKeyUsage)
		}
		if !leaf.NotBefore.Equal(now.Add(-5*time.Minute)) || !leaf.NotAfter.Equal(now.Add(30*day)) {
			t.Errorf("%s: valid from %s to %s", host, leaf.NotBefore, leaf.NotAfter)
		}
	}
	if _, err := ca.serverCertificate("p\u00e9rennial.example.com", now); err == nil ||
		!strings.Contains(err.Error(), "sign the service's own certificate: ") {
		t.Errorf("a host name that is not ASCII: %v", err)
	}
	sum := sha256.Sum256(ca.roots[0].DER)
	if got := ca.RootFingerprint(now); got != hex.EncodeToString(sum[:]) {
		t.Errorf("the fingerprint of the root is %s", got)
	}
}
