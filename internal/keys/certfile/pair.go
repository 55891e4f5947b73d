package certfile

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Pair is a certificate with its private key and its chain.
type Pair struct {
	Key  crypto.Signer
	Leaf *x509.Certificate
	// Chain holds the authorities above the leaf: first its issuer, without a root and without expired certificates.
	Chain [][]byte
	// Damaged are the errors of the certificates in the file that cannot be read.
	Damaged []error
}

// ReadPair reads a private key and the certificates that come with it, in any order. The leaf is the certificate that
// fits the key. The password is that of a PKCS#12 file or of an encrypted key. The error is [ErrPassword] if a PKCS#12
// file cannot be opened with it.
func ReadPair(data []byte, password string, now time.Time) (p Pair, err error) {
	c, err := parts(plain(data), password)
	if err != nil {
		return p, err
	}
	p.Damaged = c.damaged
	var keys []crypto.Signer
	for i := range c.keys {
		key, err := privateKey(&c.keys[i], password)
		if err != nil {
			return p, err
		}
		keys = append(keys, key)
	}
	switch {
	case len(keys) == 0:
		return p, errors.Join(append(p.Damaged, errors.New("holds no private key: without it the certificate cannot be "+
			"presented"))...)
	case len(c.certs) == 0:
		return p, errors.Join(append(p.Damaged, errors.New("holds no certificate"))...)
	}
	for _, key := range keys {
		if p.Leaf = fitting(c.certs, key.Public(), now); p.Leaf != nil {
			p.Key, p.Chain = key, above(p.Leaf, c.certs, now)
			return p, nil
		}
	}
	return p, errors.Join(append(p.Damaged, errors.New("the private key does not belong to the certificate"))...)
}

// parts reads a file that holds a private key.
func parts(data []byte, password string) (c contents, err error) {
	if bytes.Contains(data, []byte(beginLine)) {
		return readPEM(data), nil
	}
	if err := keyStore(data); err != nil {
		return c, err
	}
	if c, err = parsePKCS12(data, password); errors.Is(err, errNotPKCS12) {
		err = errors.New("is neither PEM nor PKCS#12 with a private key and its certificate")
	}
	return c, err
}

// keyStore returns an error if data is a key store of Java.
func keyStore(data []byte) error {
	if bytes.HasPrefix(data, []byte{0xfe, 0xed, 0xfe, 0xed}) || bytes.HasPrefix(data, []byte{0xce, 0xce, 0xce, 0xce}) {
		return tenancy.Failure("this is a Java key store: convert it with \"keytool -importkeystore -srckeystore FILE " +
			"-destkeystore FILE.p12 -deststoretype PKCS12\", and use FILE.p12")
	}
	return nil
}

// fitting returns the certificate of the key; of several, one that is valid now, and then the one that expires last.
// It is nil if none fits.
func fitting(certs []*x509.Certificate, key crypto.PublicKey, now time.Time) (best *x509.Certificate) {
	public, ok := key.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil
	}
	begun := func(c *x509.Certificate) bool { return !now.Before(c.NotBefore) }
	for _, c := range certs {
		switch {
		case !public.Equal(c.PublicKey):
		case best == nil, begun(c) && !begun(best), begun(c) == begun(best) && c.NotAfter.After(best.NotAfter):
			best = c
		}
	}
	return best
}

// above returns the authorities of a leaf among certs, each after one that it signed. If there are several certificates
// of an authority (cross-certificates), all that have not expired at now are sent, the one that expires last first.
func above(leaf *x509.Certificate, certs []*x509.Certificate, now time.Time) (chain [][]byte) {
	known := map[string]bool{string(leaf.Raw): true}
	for level := []*x509.Certificate{leaf}; len(level) > 0; {
		var next []*x509.Certificate
		for _, c := range level {
			for _, ca := range certs {
				root := bytes.Equal(ca.RawSubject, ca.RawIssuer)
				if !known[string(ca.Raw)] && !root && now.Before(ca.NotAfter) && signed(ca, c) {
					known[string(ca.Raw)] = true
					next = append(next, ca)
				}
			}
		}
		slices.SortStableFunc(next, func(a, b *x509.Certificate) int { return b.NotAfter.Compare(a.NotAfter) })
		for _, ca := range next {
			chain = append(chain, ca.Raw)
		}
		level = next
	}
	return chain
}

// signed reports whether a CA signed a certificate. A signature that is too weak to be verified is assumed to be valid,
// because this only decides which certificates are sent, and receivers check them.
func signed(ca, c *x509.Certificate) bool {
	if !bytes.Equal(ca.RawSubject, c.RawIssuer) || !ca.IsCA {
		return false
	}
	err := ca.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	var weak x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &weak)
}

// ErrNoLeaf is returned by [ReadChain] if the file has certificates, but not that of the key.
var ErrNoLeaf = errors.New("no certificate in the file belongs to the key")

// ReadChain reads the certificate of a key and its chain from a file with certificates in any order. The chain has the
// authorities above the leaf: first its issuer, without a root. An expired certificate of an authority is left out if
// there is another one of the same authority.
func ReadChain(data []byte, key crypto.PublicKey, now time.Time) (leaf *x509.Certificate, chain [][]byte, err error) {
	c, err := read(plain(data), "")
	if err != nil {
		return nil, nil, err
	}
	switch leaf = fitting(c.certs, key, now); {
	case leaf == nil && len(c.damaged) > 0:
		return nil, nil, c.damaged[0]
	case leaf == nil:
		return nil, nil, ErrNoLeaf
	}
	live := map[string]bool{}
	for _, ca := range c.certs {
		if now.Before(ca.NotAfter) {
			live[string(ca.RawSubject)] = true
		}
	}
	useful := slices.DeleteFunc(slices.Clone(c.certs), func(ca *x509.Certificate) bool {
		return !now.Before(ca.NotAfter) && live[string(ca.RawSubject)]
	})
	return leaf, above(leaf, useful, time.Time{}), nil
}
