package bench

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// cryptography is the rate of certificates without anything else: a key and a signature for each.
type cryptography struct {
	verified float64 // by x509.CreateCertificate, which verifies each signature: what a CA that uses it can reach
	signed   float64 // by the local CA, which verifies few
}

// cryptography measures both rates on all cores, with the keys that the function returns.
func (f *fleet) cryptography(ctx context.Context, key func() (crypto.Signer, error)) (c cryptography, err error) {
	create, err := standard()
	if err != nil {
		return c, err
	}
	c.verified, err = onAllCores(f.alone, func() error {
		key, err := key()
		if err != nil {
			return err
		}
		return create(key.Public())
	})
	if err != nil {
		return c, err
	}
	c.signed, err = onAllCores(f.alone, func() error {
		key, err := key()
		if err != nil {
			return err
		}
		_, err = f.ca.Issue(ctx, issuer.Request{Tenant: "bench", Purpose: tenancy.ForTenant, Key: key, At: runDate,
			Validity: 365 * policy.Day})
		return err
	})
	return c, err
}

// standard returns a function that creates a certificate like those of the local CA with the standard library.
func standard() (create func(crypto.PublicKey) error, err error) {
	key, err := keyring.Generate(tenancy.P256)
	if err != nil {
		return nil, err
	}
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		Subject:      pkix.Name{Organization: []string{"Bench"}, CommonName: "Bench issuing CA G1"},
		SubjectKeyId: make([]byte, 20),
		NotBefore:    runDate, NotAfter: runDate.Add(10 * 365 * policy.Day)}
	serial := new(big.Int).Lsh(big.NewInt(0x40), 120)
	return func(subject crypto.PublicKey) error {
		leaf := &x509.Certificate{SerialNumber: serial, BasicConstraintsValid: true, SubjectKeyId: make([]byte, 20),
			Subject: pkix.Name{Organization: []string{"Bench"}, OrganizationalUnit: []string{issuer.TenantUnit},
				CommonName: "bench"},
			URIs:     []*url.URL{{Scheme: "spiffe", Host: "bench.example.com", Path: "/tenant/bench"}},
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			NotBefore: runDate.Add(-local.Backdate), NotAfter: runDate.Add(365 * policy.Day)}
		_, err := x509.CreateCertificate(rand.Reader, leaf, authority, subject, key)
		return err
	}, nil
}

// onAllCores calls a function on all cores for a time, and returns the number of calls per second.
func onAllCores(lasts time.Duration, do func() error) (perSecond float64, err error) {
	var made atomic.Int64
	var workers sync.WaitGroup
	errs := make([]error, runtime.GOMAXPROCS(0))
	started := time.Now()
	for i := range errs {
		workers.Go(func() {
			for errs[i] == nil && time.Since(started) < lasts {
				errs[i] = do()
				made.Add(1)
			}
		})
	}
	workers.Wait()
	return float64(made.Load()) / time.Since(started).Seconds(), errors.Join(errs...)
}
