package outbound

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/perennial-pki/perennial/tenancy"
)

// Names reports whether the receiver named a new CA among those whose certificates it accepts. Both arguments are DER.
// A CA that was issued again under the name of the present certificate's issuer cannot be distinguished from it by
// name.
func (r Result) Names(ca, present []byte) bool {
	c, err1 := x509.ParseCertificate(ca)
	leaf, err2 := x509.ParseCertificate(present)
	if err1 != nil || err2 != nil || bytes.Equal(leaf.RawIssuer, c.RawSubject) {
		return false
	}
	for _, name := range r.acceptable {
		if bytes.Equal(name, c.RawSubject) {
			return true
		}
	}
	return false
}

// Trusts concludes from three answers whether the receiver trusts a new CA: without a certificate, with the certificate
// that messages present, and with one of the new CA that the receiver has never seen. by is how the receiver identifies
// certificates, as far as that is known.
func Trusts(control, current, next Result, by []tenancy.Identifier) (t tenancy.Trust, why string) {
	isSeen := current.Meaning == Answered && !current.Handshake // the receiver's application knows the present certificate
	switch {
	case current.Meaning != Answered:
		return tenancy.TrustUnknown, current.Detail + " with the present certificate, so that there is nothing to " +
			"compare with"
	case next.Meaning == Nothing:
		return tenancy.TrustUnknown, next.Detail
	case next.Handshake && next.Meaning == Answered && control.Meaning == Refused:
		return tenancy.Trusted, "TLS accepts a certificate of the new CA, and refuses the connection without one"
	case next.Handshake && next.Meaning == Answered:
		return tenancy.TrustUnknown, "the TLS handshake succeeded, which proves nothing: give the arrangement a probe"
	case same(next, current) && !same(next, control):
		return tenancy.Trusted, fmt.Sprintf("%s as with the present certificate, and %s without one", next.Detail,
			control.Detail)
	case same(next, current):
		return tenancy.TrustUnknown, next.Detail + " with and without a certificate, which proves nothing: choose another " +
			"probe"
	case next.Alert != 0 || next.Reason == CertificateError || next.Meaning == Suspicious:
		return tenancy.Untrusted, fmt.Sprintf("%s, and %s with the present certificate", next.Detail, current.Detail)
	case isSeen && next.Status != 0 && refusesInTLS(control):
		// It passed TLS, which refuses untrusted certificates.
		return tenancy.Trusted, fmt.Sprintf("TLS accepts a certificate of the new CA. The application answers %s, because "+
			"it identifies single certificates", next.Detail)
	case isSeen && next.Status != 0 && oneByOne(by):
		return tenancy.Trusted, fmt.Sprintf("%s: the receiver identifies single certificates, so the CA makes no difference",
			next.Detail)
	}
	return tenancy.TrustUnknown, fmt.Sprintf("%s, and %s with the present certificate: this proves nothing about the "+
		"new CA",
		next.Detail, current.Detail)
}

// oneByOne reports whether a receiver that identifies by all of these ignores the CA.
func oneByOne(by []tenancy.Identifier) bool {
	return len(by) > 0 && !slices.ContainsFunc(by, func(i tenancy.Identifier) bool {
		return i != tenancy.ByCertificate && i != tenancy.ByKey
	})
}

// refusesInTLS reports whether an answer came from the TLS of the receiver, or from its web server in its place.
func refusesInTLS(r Result) bool {
	return r.Alert != 0 || r.Reason == CertificateMissing || r.Reason == CertificateError
}
