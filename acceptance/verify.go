package acceptance

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A result is what the verification of a chain has shown.
type result byte

const (
	trusted result = iota
	untrusted
	broken
	notClient
	tooWeak
	withdrawn
)

// A verification is a result with its reason.
type verification struct {
	result result
	reason string
}

// verify verifies a chain up to a trust anchor of the partner (RFC 5280, section 6). A CA that was issued again with
// the same name and key is the same CA.
func (p *partner) verify(chain []*x509.Certificate, now time.Time) verification {
	chain = slices.Concat(chain, p.Trust, p.CAs)
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, ca := range p.anchors(chain) {
		options.Roots.AddCert(ca)
	}
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	if usageOf(chain[0]) == unlimited {
		options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	}
	verified, err := chain[0].Verify(options)
	if err != nil {
		return verification{resultOf(err), err.Error()}
	}
	return p.review(verified[0])
}

// anchors returns the CAs up to which a chain is verified: the trust anchors, and those that the chain has in another
// edition. Without trust anchors, they are the CAs in the chain that have issued a known certificate.
func (p *partner) anchors(chain []*x509.Certificate) (all []*x509.Certificate) {
	for _, c := range chain[1:] {
		if !c.IsCA {
			continue
		}
		for _, ca := range p.Trust {
			if sameCA(c, ca) {
				all = append(all, c)
			}
		}
		if len(p.Trust) == 0 && p.issued(c) {
			all = append(all, c)
		}
	}
	return all
}

// issued reports whether a CA has issued a known certificate: it has the issuer's name, and its key verifies the
// signature.
func (p *partner) issued(ca *x509.Certificate) bool {
	name := nameKey(ca.RawSubject)
	for _, k := range p.Known {
		if k.issuer != name {
			continue
		}
		if c, err := k.certificate(); err == nil && c.CheckSignatureFrom(ca) == nil {
			return true
		}
	}
	return false
}

// resultOf classifies an error of [x509.Certificate.Verify].
func resultOf(err error) result {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return untrusted
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return notClient
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return untrusted // a CA: the certificate itself was looked at before
	}
	return broken
}

// review looks at what the standard verification leaves open: weak keys, weak signatures and revocation.
func (p *partner) review(verified []*x509.Certificate) verification {
	for i, c := range verified {
		for _, list := range p.revoked {
			if list.has(c) {
				return verification{withdrawn, fmt.Sprintf("%s has revoked %s", c.Issuer, c.Subject)}
			}
		}
		if i == 0 || i == len(verified)-1 {
			continue // the certificate is looked at elsewhere, and a trust anchor is trusted by its key
		}
		if reason := weakness(c); reason != "" {
			return verification{tooWeak, fmt.Sprintf("the CA %s: %s", c.Subject, reason)}
		}
	}
	return verification{}
}

// weakness returns why a certificate is too weak; empty if it is not.
func weakness(c *x509.Certificate) string {
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return fmt.Sprintf("it is signed with %s, which can be forged", c.SignatureAlgorithm)
	}
	if s := strengthOf(c); s.level() == 0 {
		return fmt.Sprintf("its key is %s: RSA from 2048 bits, curves from 256 bits and Ed25519 are accepted", s)
	}
	return ""
}

// revocations are the entries of a revocation list.
type revocations struct {
	issuer  string
	serials map[string]struct{}
}

func newRevocations(crl *x509.RevocationList) *revocations {
	r := &revocations{nameKey(crl.RawIssuer), make(map[string]struct{}, len(crl.RevokedCertificateEntries))}
	for _, e := range crl.RevokedCertificateEntries {
		r.serials[string(e.SerialNumber.Bytes())] = struct{}{}
	}
	return r
}

func (r *revocations) has(c *x509.Certificate) bool {
	_, listed := r.serials[string(c.SerialNumber.Bytes())]
	return listed && r.issuer == nameKey(c.RawIssuer)
}
