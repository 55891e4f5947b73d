package outbound

import (
	"bytes"
	"crypto/x509"
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
func Trusts(control, current, next Result, by []tenancy.Identifier) (t tenancy.Trust, why tenancy.Text) {
	isSeen := current.Meaning == Answered && !current.Handshake // the receiver's application knows the present certificate
	answer := next.Text()
	switch {
	case current.Meaning != Answered:
		return tenancy.TrustUnknown, tenancy.Say("%s with the present certificate, so that there is nothing to compare with",
			current.Text())
	case next.Meaning == Nothing:
		return tenancy.TrustUnknown, answer
	case next.Handshake && next.Meaning == Answered && control.Meaning == Refused:
		return tenancy.Trusted, tenancy.Say("TLS accepts a certificate of the new CA, and refuses the connection without one")
	case next.Handshake && next.Meaning == Answered:
		return tenancy.TrustUnknown, tenancy.Say("the TLS handshake succeeded, which proves nothing: give the arrangement " +
			"a probe")
	case same(next, current) && !same(next, control):
		return tenancy.Trusted, tenancy.Say("%s as with the present certificate, and %s without one", answer, control.Text())
	case same(next, current):
		return tenancy.TrustUnknown, tenancy.Say("%s with and without a certificate, which proves nothing: choose another "+
			"probe", answer)
	case next.Alert != 0 || next.Reason == CertificateError || next.Meaning == Suspicious:
		return tenancy.Untrusted, tenancy.Say("%s, and %s with the present certificate", answer, current.Text())
	case isSeen && next.Status != 0 && refusesInTLS(control):
		// It passed TLS, which refuses untrusted certificates.
		return tenancy.Trusted, tenancy.Say("TLS accepts a certificate of the new CA. The application answers %s, because "+
			"it identifies single certificates", answer)
	case isSeen && next.Status != 0 && oneByOne(by):
		return tenancy.Trusted, tenancy.Say("%s: the receiver identifies single certificates, so the CA makes no difference",
			answer)
	}
	return tenancy.TrustUnknown, tenancy.Say("%s, and %s with the present certificate: this proves nothing about "+
		"the new CA", answer, current.Text())
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
