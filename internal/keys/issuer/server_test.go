package issuer_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
)

// selfSigned makes a server certificate.
func selfSigned(t *testing.T, key *ecdsa.PrivateKey, from, to time.Time) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(0x1234), NotBefore: from, NotAfter: to,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	template.Subject.CommonName = "acme"
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(t, err)
	leaf, err := x509.ParseCertificate(der)
	check(t, err)
	return leaf
}

// server answers a request with a server certificate of the tenant.
func server(t *testing.T, r issuer.Request) issuer.Issued {
	leaf := selfSigned(t, r.Key.(*ecdsa.PrivateKey), r.At, r.At.Add(r.Validity))
	return issuer.Issued{DER: leaf.Raw, Serial: certfile.Serial(leaf), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter}
}

func TestAServerCertificateIsReplacedAfterTwoThirdsOfItsLifetime(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	made, clock := 0, start
	var broken error
	kept, err := issuer.KeepServerCertificate(func(now time.Time) (*tls.Certificate, error) {
		made++
		leaf := selfSigned(t, key, now, now.AddDate(0, 0, 30))
		return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, broken
	}, func() time.Time { return clock })
	check(t, err)
	for _, c := range []struct {
		after time.Duration
		made  int
	}{{0, 1}, {20 * 24 * time.Hour, 1}, {20*24*time.Hour + time.Second, 2}, {40 * 24 * time.Hour, 2},
		{41 * 24 * time.Hour, 3}} {
		clock = start.Add(c.after)
		got, err := kept.Get(nil)
		if err != nil || made != c.made || !clock.Before(got.Leaf.NotAfter) {
			t.Errorf("after %s: %d were made, want %d, %v", c.after, made, c.made, err)
		}
	}
	broken, clock = errors.New("the CA is down"), start.AddDate(1, 0, 0)
	if c, err := kept.Get(nil); !errors.Is(err, broken) || c != nil {
		t.Errorf("%v", err)
	}
	if _, err := issuer.KeepServerCertificate(func(time.Time) (*tls.Certificate, error) { return nil, broken },
		func() time.Time { return start }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
