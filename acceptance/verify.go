package acceptance

import (
	"crypto/x509"
	encodingasn1 "encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A result is the outcome of verifying a chain.
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

// verify verifies a chain up to a trust anchor of the partner (RFC 5280, section 6). An anchor is the name and the key
// of a CA (section 6.1.1): its certificate may have been issued again with another period.
func (p *partner) verify(chain []*x509.Certificate, now time.Time) verification {
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, ca := range p.anchors(chain) {
		anchor := *ca
		anchor.NotBefore, anchor.NotAfter = now, now
		options.Roots.AddCert(&anchor)
	}
	for _, c := range slices.Concat(chain[1:], p.Trust, p.CAs) {
		options.Intermediates.AddCert(c)
	}
	verified, err := chain[0].Verify(options)
	if err != nil {
		return verification{resultOf(err), err.Error()}
	}
	var first verification
	for i, path := range verified {
		reviewed := p.review(path)
		if reviewed.result == trusted {
			return reviewed
		}
		if i == 0 {
			first = reviewed
		}
	}
	return first
}

// anchors returns the CAs up to which a chain is verified: the trust anchors. Without them, they are the CAs that have
// issued a known certificate: those that came with the known ones, or for other names, those in the chain. A caller can
// change everything in the certificate of a CA but its name and its key, so that of the chain counts only without the
// other one.
func (p *partner) anchors(chain []*x509.Certificate) []*x509.Certificate {
	if len(p.Trust) > 0 {
		return p.Trust
	}
	var all []*x509.Certificate
	found := map[string]bool{}
	for _, ca := range p.CAs {
		if ca.IsCA && p.issued(ca) {
			all = append(all, ca)
			found[nameKey(ca.RawSubject)] = true
		}
	}
	for _, ca := range chain[1:] {
		if ca.IsCA && !found[nameKey(ca.RawSubject)] && p.issued(ca) {
			all = append(all, ca)
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
		for _, list := range p.CRLs {
			if list.has(c) {
				return verification{withdrawn, fmt.Sprintf("%s has revoked %s", c.Issuer, c.Subject)}
			}
		}
		reason := ""
		switch i {
		case 0: // it is looked at elsewhere
		case len(verified) - 1: // its signature has no meaning
			reason = weakKey(c)
		default:
			reason = weakness(c)
		}
		if reason != "" {
			return verification{tooWeak, fmt.Sprintf("the CA %s: %s", c.Subject, reason)}
		}
	}
	return verification{}
}

// revocation returns whether a known certificate, or a CA above it that the chain or the partner has, is revoked.
func (p *partner) revocation(chain []*x509.Certificate) verification {
	if len(p.CRLs) == 0 {
		return verification{}
	}
	all, c := slices.Concat(chain[1:], p.Trust, p.CAs), chain[0]
	for range mostCertificates {
		for _, list := range p.CRLs {
			if list.has(c) {
				return verification{withdrawn, fmt.Sprintf("%s has revoked %s", c.Issuer, c.Subject)}
			}
		}
		i := slices.IndexFunc(all, func(ca *x509.Certificate) bool {
			return nameKey(ca.RawSubject) == nameKey(c.RawIssuer) && c.CheckSignatureFrom(ca) == nil
		})
		if i < 0 || all[i].Equal(c) {
			break
		}
		c = all[i]
	}
	return verification{}
}

// weakness returns why a certificate is too weak; empty if it is not.
func weakness(c *x509.Certificate) string {
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return fmt.Sprintf("it is signed with %s, which can be forged", c.SignatureAlgorithm)
	}
	return weakKey(c)
}

// weakKey returns why a key is too weak; empty if it is not.
func weakKey(c *x509.Certificate) string {
	if s := strengthOf(c); s.level() == 0 {
		return fmt.Sprintf("its key is %s: RSA from 2048 bits, curves from 256 bits and Ed25519 are accepted", s)
	}
	return ""
}

// Revocations are the entries of a revocation list, reduced to what decisions compare. They are not changed, and can be
// shared by partners.
type Revocations struct {
	// Issuer is the distinguished name of the CA (DER), and NextUpdate the time at which the next list is due; zero if the
	// list does not state it.
	Issuer     []byte
	NextUpdate time.Time

	issuer  string
	serials map[string]struct{}
	list    *x509.RevocationList // without its entries, for its signature
}

// The extensions of revocation lists that change what an entry means (RFC 5280, sections 5.2.4 and 5.2.5).
var (
	deltaIndicator    = encodingasn1.ObjectIdentifier{2, 5, 29, 27}
	distributionPoint = encodingasn1.ObjectIdentifier{2, 5, 29, 28}
)

// supported refuses a list whose entries could be those of another CA, or that only completes another list.
func supported(crl *x509.RevocationList) error {
	for _, e := range crl.Extensions {
		switch {
		case e.Id.Equal(deltaIndicator):
			return errors.New("it is a delta list: use the complete one")
		case e.Id.Equal(distributionPoint):
			in := cryptobyte.String(e.Value)
			var point, field cryptobyte.String
			var tag asn1.Tag
			if !in.ReadASN1(&point, asn1.SEQUENCE) {
				return errors.New("its distribution point cannot be read")
			}
			for point.ReadAnyASN1(&field, &tag) {
				if tag == asn1.Tag(4).ContextSpecific() { // indirectCRL
					return errors.New("it has certificates of several CAs, which is not supported")
				}
			}
		case e.Critical:
			return fmt.Errorf("its critical extension %s is not supported", e.Id)
		}
	}
	return nil
}

// removedFromList is the reason of an entry that ends a hold (RFC 5280, section 5.3.1).
const removedFromList = 8

// NewRevocations returns the entries of a list. The error names what is not supported.
func NewRevocations(crl *x509.RevocationList) (*Revocations, error) {
	if err := supported(crl); err != nil {
		return nil, fmt.Errorf("the revocation list of %s: %w", crl.Issuer, err)
	}
	kept := *crl
	kept.RevokedCertificateEntries = nil
	//lint:ignore SA1019 the parser fills the deprecated field too, which would keep the entries in memory
	kept.RevokedCertificates = nil
	r := &Revocations{crl.RawIssuer, crl.NextUpdate, nameKey(crl.RawIssuer),
		make(map[string]struct{}, len(crl.RevokedCertificateEntries)), &kept}
	for _, e := range crl.RevokedCertificateEntries {
		if e.ReasonCode == removedFromList {
			continue
		}
		r.serials[string(e.SerialNumber.Bytes())] = struct{}{}
	}
	return r, nil
}

// isOf reports whether a CA has signed the list.
func (r *Revocations) isOf(ca *x509.Certificate) bool {
	return nameKey(ca.RawSubject) == r.issuer && r.list.CheckSignatureFrom(ca) == nil
}

func (r *Revocations) has(c *x509.Certificate) bool {
	_, listed := r.serials[string(c.SerialNumber.Bytes())]
	return listed && r.issuer == nameKey(c.RawIssuer)
}
