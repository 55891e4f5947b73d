package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/redact"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Reading is the interpretation of one answer, or of its absence.
type Reading struct {
	Meaning Meaning
	// Detail describes the answer for a person. Decisions use the other fields.
	Detail string
	Reason Reason
	Alert  Alert // 0 if there was none
	Kind   Kind  // zero without an answer of HTTP
}

// These are our own words in a detail. The rest of it is data: what the receiver, crypto/tls or the network reports.
const (
	handshakeSucceeded = "the TLS handshake succeeded"
	connectionClosed   = "the connection was closed: "
	tlsAlert           = "TLS alert: "
	redirect           = " to "
	ofNginx            = " of nginx"
)

// Text returns the detail as a text, so that our own words in it can be shown in another language.
func (r Reading) Text() tenancy.Text {
	cause, isClosed := strings.CutPrefix(r.Detail, connectionClosed)
	switch {
	case r.Reason == ConnectionClosed && isClosed:
		return tenancy.Say("the connection was closed: %s", cause)
	case r.Reason == ForbiddenAddress:
		return forbiddenAddress
	case r.Reason == NoSignature:
		return standing.NoSignature
	case r.Detail == handshakeSucceeded:
		return tenancy.Say("the TLS handshake succeeded")
	case r.Reason == TLSAlert:
		return tenancy.Say("TLS alert: %s", strings.TrimPrefix(r.Detail, tlsAlert))
	case strings.HasSuffix(r.Detail, ofNginx):
		return tenancy.Say("%s of nginx", strings.TrimSuffix(r.Detail, ofNginx))
	}
	if answer, to, redirects := strings.Cut(r.Detail, redirect); redirects && to == r.Kind.Location {
		return tenancy.Say("%s to %s", answer, to)
	}
	return tenancy.Say("%s", r.Detail)
}

// Stored returns the stored form of the text. Most answers are data only, and cost nothing more.
func (r Reading) Stored() string {
	if r.Reason == NoReason && r.Kind.Status != 0 && r.Kind.Location == "" {
		return r.Detail
	}
	return r.Text().Stored()
}

// Meaning classifies one answer by itself. Whether the generation is accepted follows from a comparison with other
// answers.
type Meaning int

// Nothing follows from a network fault. A close or a reset is suspicious: some receivers refuse a certificate in no
// other way, and an alert is easily lost behind one while a body is being written.
const (
	Nothing    Meaning = iota
	Answered           // by the application, or by a completed handshake, and no rule calls it a refusal
	Refused            // by a rule, or by TLS
	Suspicious         // the connection was closed
)

// Reason is the decisive fact, as far as the answer shows it.
type Reason int

// The receiver answered in the first group. In the second one no answer was possible.
const (
	NoReason           Reason = iota
	RefusingAnswer            // an answer that is a refusal by the arrangement's rules
	CertificateError          // the receiver's web server could not verify the certificate
	CertificateMissing        // the receiver's web server saw no certificate
	TLSAlert                  // the receiver ended TLS with Alert

	ForbiddenAddress     // an operator has not allowed the address
	ReceiverUntrusted    // the receiver's own certificate could not be verified
	NameUnresolved       // the receiver's name has no address
	Unreachable          // no connection, or no answer in time
	SignatureUnsupported // the receiver takes no signature that the key can make: a refusal before anything was sent
	ConnectionClosed     // the connection was closed without an answer
	TLSUnsupported       // the receiver offers no TLS that we speak
	NoSignature          // the service or token that holds the private key does not sign
)

// Alert is the description of a TLS alert (RFC 8446, section 6).
type Alert uint8

// These alerts refuse a client's certificate (RFC 8446, section 6.2). A handshake failure is among them: some servers
// send it for a certificate of a kind that they do not accept.
const (
	HandshakeFailure       Alert = 40
	BadCertificate         Alert = 42
	UnsupportedCertificate Alert = 43
	CertificateRevoked     Alert = 44
	CertificateExpired     Alert = 45
	CertificateUnknown     Alert = 46
	UnknownCA              Alert = 48
	AccessDenied           Alert = 49
	CertificateRequired    Alert = 116
)

// These alerts end TLS for another reason than the certificate.
const (
	ProtocolVersion      Alert = 70
	InsufficientSecurity Alert = 71
)

// alerts are the alerts that matter here, in the words of crypto/tls, which exports neither its type nor the number. If
// one text begins with another one, the longer one stands first.
var alerts = []struct {
	text  string
	alert Alert
}{
	{"handshake failure", HandshakeFailure},
	{"bad certificate", BadCertificate},
	{"unsupported certificate", UnsupportedCertificate},
	{"revoked certificate", CertificateRevoked},
	{"expired certificate", CertificateExpired},
	{"unknown certificate authority", UnknownCA},
	{"unknown certificate", CertificateUnknown},
	{"access denied", AccessDenied},
	{"certificate required", CertificateRequired},
	{"protocol version not supported", ProtocolVersion},
	{"insufficient security level", InsufficientSecurity},
}

// OfResponse interprets a response by the refusals of an arrangement. It may read the beginning of the body, and puts
// it back.
func OfResponse(res *http.Response, refusals Refusals) Reading {
	r := Reading{Meaning: Answered, Kind: KindOf(res)}
	rule, refused := refusals.match(res, r.Kind)
	if refused {
		r.Meaning, r.Reason = Refused, rule.reason
	}
	switch r.Detail = r.Kind.describe(); {
	case !refused:
	case len(rule.text) > 0:
		r.Detail = fmt.Sprintf("%d %q", r.Kind.Status, rule.Text)
	case rule.reason == CertificateError || rule.reason == CertificateMissing:
		r.Detail = strconv.Itoa(r.Kind.Status) + ofNginx
	}
	return r
}

// NoAddress states why the name of a server could not be resolved, in a form that can be stored.
func NoAddress(err *net.DNSError) error {
	switch {
	case err.IsNotFound:
		return tenancy.Failure("the host %s does not exist", err.Name)
	case err.IsTimeout:
		return tenancy.Failure("the DNS server did not answer in time when %s was looked up", err.Name)
	}
	return tenancy.Failure("the DNS server failed when %s was looked up", err.Name)
}

// OfError interprets a failed request or handshake. An alert may come with the handshake (TLS 1.2) or at the first read
// (TLS 1.3). net/http passes on both, and a remote alert is not a [tls.AlertError] but a [net.OpError].
func OfError(err error) Reading {
	r := Reading{Detail: redact.Error(err)}
	var op *net.OpError
	var dns *net.DNSError
	var late interface{ Timeout() bool }
	switch {
	case strings.Contains(r.Detail, standing.ErrNoSignature.Error()): // crypto/tls keeps the text alone
		r.Reason, r.Detail = NoSignature, standing.ErrNoSignature.Error()
	case errors.Is(err, ErrForbiddenAddress):
		r.Reason, r.Detail = ForbiddenAddress, ErrForbiddenAddress.Error() // net.OpError adds the address
	case errors.As(err, &dns):
		r.Reason, r.Detail = NameUnresolved, redact.Unresolved(dns)
	case errors.As(err, &late) && late.Timeout(), errors.Is(err, context.DeadlineExceeded):
		r.Reason = Unreachable
	case errors.Is(err, context.Canceled):
	case errors.As(err, &op) && op.Op == "remote error", strings.Contains(r.Detail, "remote error: tls: "):
		_, text, _ := strings.Cut(r.Detail, "tls: ")
		r.Reason, r.Detail = TLSAlert, tlsAlert+text
		switch r.Alert = alertOf(text); r.Alert {
		case 0, ProtocolVersion, InsufficientSecurity:
		default:
			r.Meaning = Refused
		}
	case IsServerCertificate(err):
		r.Reason = ReceiverUntrusted
	case errors.As(err, &op) && op.Op == "dial":
		r.Reason = Unreachable
	case strings.Contains(r.Detail, "signature algorithm"): // of crypto/tls, when it chooses how to sign
		r.Meaning, r.Reason = Refused, SignatureUnsupported // nothing was sent
	case strings.Contains(r.Detail, "tls: server selected unsupported"),
		strings.Contains(r.Detail, "tls: no supported versions"),
		strings.Contains(r.Detail, "tls: server chose an unconfigured cipher suite"):
		r.Reason = TLSUnsupported
	case isClosed(err, r.Detail):
		r.Meaning, r.Reason, r.Detail = Suspicious, ConnectionClosed, connectionClosed+r.Detail
	}
	return r
}

// alertOf finds the alert at the beginning of a text; 0 if it is another one.
func alertOf(text string) Alert {
	for _, known := range alerts {
		if rest, ok := strings.CutPrefix(text, known.text); ok && (rest == "" || rest[0] == ' ' || rest[0] == '\n') {
			return known.alert
		}
	}
	return 0
}

// isClosed reports whether an error is a connection that was closed or reset, or a stream of HTTP/2 that was reset.
// net/http does not wrap all of them.
func isClosed(err error, text string) bool {
	for _, kind := range []error{errClosedOften, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE,
		net.ErrClosed} {
		if errors.Is(err, kind) {
			return true
		}
	}
	for _, part := range []string{"server closed idle connection", "client connection lost", "server sent GOAWAY",
		"connection reset by peer", "broken pipe", "use of closed network connection",
		"client conn could not be established", "; received from peer"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return strings.HasSuffix(text, "EOF")
}

// IsServerCertificate reports whether an error means that we do not trust the receiver.
func IsServerCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var pin pinError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &invalid) ||
		errors.As(err, &host) || errors.As(err, &pin)
}
