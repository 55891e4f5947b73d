package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
)

// Meaning is what an answer, or its absence, means for the generation that was presented.
type Meaning int

// Nothing follows from a server error or a network fault. A close or a reset is suspicious: some receivers refuse a
// certificate in no other way, and an alert is easily lost behind one while a body is being written.
const (
	Nothing Meaning = iota
	Accepted
	Refused
	Suspicious
)

// peek is how much of a 400 is read to see whether it is nginx's word for a refused certificate.
const peek = 2 << 10

// OfResponse says what a response means, given the statuses that mean a refusal, and how the receiver put it. It may
// read the beginning of the body, and puts it back.
func OfResponse(res *http.Response, refusals []int) (m Meaning, detail string) {
	detail = fmt.Sprintf("%d %s", res.StatusCode, http.StatusText(res.StatusCode))
	switch {
	case slices.Contains(refusals, res.StatusCode):
		return Refused, detail
	case res.StatusCode == 495, res.StatusCode == 496: // nginx's own, where its configuration shows them
		return Refused, fmt.Sprintf("%d of nginx", res.StatusCode)
	case res.StatusCode == http.StatusBadRequest:
		if text := nginxRefusal(res); text != "" {
			return Refused, `400 "` + text + `"`
		}
		return Accepted, detail
	case res.StatusCode >= 500:
		return Nothing, detail
	}
	return Accepted, detail
}

// nginxRefusal is nginx's message about a client certificate in the body of a 400, or empty.
func nginxRefusal(res *http.Response) string {
	if res.Body == nil || res.Header.Get("Content-Encoding") != "" {
		return ""
	}
	head, err := io.ReadAll(io.LimitReader(res.Body, peek))
	var rest io.Reader = res.Body
	if err != nil {
		rest = failing{err}
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), res.Body}
	for _, text := range []string{"No required SSL certificate was sent", "The SSL certificate error"} {
		if bytes.Contains(head, []byte(text)) {
			return text
		}
	}
	return ""
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// alerts are those by which a server refuses a client's certificate (RFC 8446, section 6.2), in the words of
// crypto/tls. A handshake failure is among them: it is what some servers say of a certificate whose kind they do not
// take.
var alerts = []string{
	"bad certificate", "unsupported certificate", "revoked certificate", "expired certificate", "unknown certificate",
	"unknown certificate authority",
	"access denied", "certificate required", "handshake failure",
}

// OfError says what a failed request or handshake means. An alert may come with the handshake (TLS 1.2) or at the first
// read (TLS 1.3); net/http hands both on, and a remote alert is no [tls.AlertError] but a [net.OpError].
func OfError(err error) (m Meaning, detail string) {
	var op *net.OpError
	text := err.Error()
	var late interface{ Timeout() bool }
	switch {
	case errors.As(err, &late) && late.Timeout(), errors.Is(err, context.Canceled),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrForbiddenAddress):
		return Nothing, text
	case errors.As(err, &op) && op.Op == "remote error", strings.Contains(text, "remote error: tls: "):
		_, alert, _ := strings.Cut(text, "tls: ")
		for _, a := range alerts {
			if alert == a || strings.HasPrefix(alert, a+" ") || strings.HasPrefix(alert, a+"\n") {
				return Refused, "TLS alert: " + alert
			}
		}
		return Nothing, "TLS alert: " + alert
	case IsServerCertificate(err):
		return Nothing, text
	case errors.As(err, &op) && op.Op == "dial":
		return Nothing, text
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed),
		strings.Contains(text, "server closed idle connection"), strings.Contains(text, "client connection lost"),
		strings.Contains(text, "server sent GOAWAY"),
		strings.Contains(text, "connection reset by peer"), strings.Contains(text, "broken pipe"),
		strings.Contains(text, "use of closed network connection"),
		strings.HasSuffix(text, "EOF"):
		return Suspicious, "the connection was closed: " + text
	}
	return Nothing, text
}

// IsServerCertificate says whether it is we who do not trust the receiver.
func IsServerCertificate(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var pin pinError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &invalid) ||
		errors.As(err, &host) || errors.As(err, &pin)
}
