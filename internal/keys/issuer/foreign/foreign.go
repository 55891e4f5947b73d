// Package foreign holds the common code of the issuers for other CAs: the request that they send, the certificates that
// they read from an answer, the roots that a certificate must lead to, and the connection.
//
// It promises nothing about an answer except its form. [issuer.Checked] decides whether a certificate is the one that
// was requested.
package foreign

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
)

// CSR returns a certificate signing request (PKCS#10, RFC 2986) in DER. Requests with the same key and names have the
// same bytes if the signature is deterministic, as it is with keys in memory (RSA PKCS #1 v1.5, ECDSA of RFC 6979).
func CSR(key crypto.Signer, names certfile.Names) ([]byte, error) {
	template := &x509.CertificateRequest{RawSubject: names.Subject}
	if len(names.SAN) > 0 {
		template.ExtraExtensions = []pkix.Extension{names.SANExtension()}
	}
	der, err := x509.CreateCertificateRequest(nil, template, key)
	if err != nil {
		return nil, fmt.Errorf("create a certificate signing request: %w", err)
	}
	return der, nil
}

// CertificatePEM returns a certificate (DER) as PEM.
func CertificatePEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// Issued reads the certificate of the key and its chain from a CA's answer: PEM, DER or PKCS#7, in any order, with or
// without the root. The error is an [*issuer.Error].
func Issued(answer []byte, key crypto.PublicKey, at time.Time) (i issuer.Issued, err error) {
	leaf, chain, err := certfile.ReadChain(answer, key, at)
	switch {
	case errors.Is(err, certfile.ErrNoLeaf):
		return i, &issuer.Error{Fault: issuer.Mismatched, Text: "the CA answered without a certificate of the requested key",
			Err: err}
	case err != nil:
		return i, &issuer.Error{Fault: issuer.Broken, Text: "the answer of the CA cannot be read", Err: err}
	}
	return issuer.Issued{DER: leaf.Raw, Chain: chain, Serial: certfile.Serial(leaf),
		Subject: certfile.Name(leaf.RawSubject), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter}, nil
}

// Roots are the certificates that a CA's chains must lead to, from a file. They are read again when the file changes,
// so that a root can be added while the service runs. Roots are safe for concurrent use.
type Roots struct {
	path string

	mu      sync.Mutex // guards what follows
	changed time.Time  // the modification of the file that was read
	size    int64
	bundle  []byte
}

// OpenRoots reads roots from a PEM file.
func OpenRoots(path string) (*Roots, error) {
	if path == "" {
		return nil, errors.New("roots is missing: name a PEM file with the root of the CA, to which its certificates must " +
			"lead")
	}
	r := &Roots{path: path}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r, r.read()
}

// FixedRoots are roots that were read elsewhere (PEM).
func FixedRoots(bundle []byte) *Roots { return &Roots{bundle: bundle} }

// Bundle implements [issuer.Bundler]. If the file cannot be read, it returns what was read before.
func (r *Roots) Bundle() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.path != "" {
		r.read() // an error keeps the roots
	}
	return r.bundle
}

// read reads the file if it has changed. The lock is held.
func (r *Roots) read() error {
	info, err := os.Stat(r.path)
	if err != nil {
		return fmt.Errorf("roots: %w", err)
	}
	if info.ModTime().Equal(r.changed) && info.Size() == r.size {
		return nil
	}
	data, err := os.ReadFile(r.path)
	if err != nil {
		return fmt.Errorf("roots: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return fmt.Errorf("roots: %s contains no PEM certificate", r.path)
	}
	r.bundle, r.changed, r.size = data, info.ModTime(), info.Size()
	return nil
}

// Bag joins certificates that come in several parts, each PEM, DER or PKCS#7, for [Issued].
func Bag(parts ...[]byte) (all []byte) {
	for _, part := range parts {
		if !bytes.Contains(part, []byte("-----BEGIN ")) {
			kind := "PKCS7"
			if _, err := certfile.ParseCertificate(part); err == nil {
				kind = "CERTIFICATE"
			}
			part = pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: part})
		}
		all = append(append(all, part...), '\n')
	}
	return all
}
