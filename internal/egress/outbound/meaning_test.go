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
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestErrorsAreInterpreted(t *testing.T) {
	remote := func(text string) error { return &net.OpError{Op: "remote error", Err: errors.New(text)} }
	for _, c := range []struct {
		err    error
		want   Meaning
		reason Reason
		alert  Alert
	}{
		{remote("tls: unknown certificate authority"), Refused, TLSAlert, UnknownCA},
		{remote("tls: unknown certificate"), Refused, TLSAlert, CertificateUnknown},
		{remote("tls: bad certificate"), Refused, TLSAlert, BadCertificate},
		{remote("tls: unsupported certificate"), Refused, TLSAlert, UnsupportedCertificate},
		{remote("tls: revoked certificate"), Refused, TLSAlert, CertificateRevoked},
		{remote("tls: certificate required"), Refused, TLSAlert, CertificateRequired},
		{fmt.Errorf("readLoopPeekFailLocked: %w", remote("tls: expired certificate")), Refused, TLSAlert, CertificateExpired},
		{errors.New("http2: client conn: remote error: tls: access denied"), Refused, TLSAlert, AccessDenied},
		{errors.New("remote error: tls: access denied (from 127.0.0.1)"), Refused, TLSAlert, AccessDenied},
		{errors.New("remote error: tls: access denied\nsecond line"), Refused, TLSAlert, AccessDenied},
		{errors.New("remote error: tls: access deniedly"), Nothing, TLSAlert, 0},
		{remote("tls: handshake failure"), Refused, TLSAlert, HandshakeFailure},
		{remote("tls: internal error"), Nothing, TLSAlert, 0},
		{remote("tls: protocol version not supported"), Nothing, TLSAlert, ProtocolVersion},
		{remote("tls: insufficient security level"), Nothing, TLSAlert, InsufficientSecurity},
		{io.EOF, Suspicious, ConnectionClosed, 0},
		{io.ErrUnexpectedEOF, Suspicious, ConnectionClosed, 0},
		{fmt.Errorf("write: %w", syscall.EPIPE), Suspicious, ConnectionClosed, 0},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, Suspicious, ConnectionClosed, 0},
		{&net.OpError{Op: "read", Err: net.ErrClosed}, Suspicious, ConnectionClosed, 0},
		{errors.New("http: server closed idle connection"), Suspicious, ConnectionClosed, 0},
		{errors.New("http2: client connection lost"), Suspicious, ConnectionClosed, 0},
		{errors.New("http2: server sent GOAWAY and closed the connection"), Suspicious, ConnectionClosed, 0},
		{errors.New("write tcp: connection reset by peer"), Suspicious, ConnectionClosed, 0},
		{errors.New("write tcp: broken pipe"), Suspicious, ConnectionClosed, 0},
		{errors.New("write tcp: use of closed network connection"), Suspicious, ConnectionClosed, 0},
		{errors.New("http2: client conn could not be established"), Suspicious, ConnectionClosed, 0},
		{errors.New("stream error: stream ID 1; PROTOCOL_ERROR; received from peer"), Suspicious, ConnectionClosed, 0},
		{errClosedOften, Suspicious, ConnectionClosed, 0},
		{errors.New("http: unexpected EOF"), Suspicious, ConnectionClosed, 0},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, Nothing, Unreachable, 0},
		{&net.OpError{Op: "dial", Err: syscall.ECONNRESET}, Nothing, Unreachable, 0},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, Nothing, NameUnresolved, 0},
		{&net.OpError{Op: "dial", Err: ErrForbiddenAddress}, Nothing, ForbiddenAddress, 0},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, Nothing, Unreachable, 0},
		{context.DeadlineExceeded, Nothing, Unreachable, 0},
		{context.Canceled, Nothing, NoReason, 0},
		{fmt.Errorf("EOF: %w", context.Canceled), Nothing, NoReason, 0},
		{&tls.CertificateVerificationError{Err: io.EOF}, Nothing, ReceiverUntrusted, 0},
		{x509.UnknownAuthorityError{}, Nothing, ReceiverUntrusted, 0},
		{x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}, Nothing, ReceiverUntrusted, 0},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a"}, Nothing, ReceiverUntrusted, 0},
		{pinError{"a", "b"}, Nothing, ReceiverUntrusted, 0},
		{errors.New("tls: peer doesn't support any of the certificate's signature algorithms"), Refused,
			SignatureUnsupported, 0},
		{errors.New("tls: failed to sign handshake: " + standing.ErrNoSignature.Error()), Nothing, NoSignature, 0},
		{errors.New("tls: server selected unsupported protocol version 301"), Nothing, TLSUnsupported, 0},
		{errors.New("tls: no supported versions satisfy MinVersion and MaxVersion"), Nothing, TLSUnsupported, 0},
		{errors.New("tls: server chose an unconfigured cipher suite"), Nothing, TLSUnsupported, 0},
		{errors.New("something else"), Nothing, NoReason, 0},
	} {
		if got := OfError(c.err); got.Meaning != c.want || got.Reason != c.reason || got.Alert != c.alert {
			t.Errorf("%v: %+v, want %v, %v, %v", c.err, got, c.want, c.reason, c.alert)
		}
	}
}

func response(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(body)))}
}

func TestResponsesAreInterpreted(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   Meaning
		reason Reason
	}{
		{200, "ok", Answered, NoReason}, {404, "", Answered, NoReason}, {302, "", Answered, NoReason},
		{499, "", Answered, NoReason}, {401, "", Refused, RefusingAnswer}, {403, "", Refused, RefusingAnswer},
		{495, "", Refused, CertificateError}, {496, "", Refused, CertificateMissing},
		{500, "", Answered, NoReason}, {503, "", Answered, NoReason}, {400, "no such order", Answered, NoReason},
		{400, "<center>No required SSL certificate was sent</center>", Refused, CertificateMissing},
		{400, "<center>The SSL certificate error</center>", Refused, CertificateError},
		{200, "The SSL certificate error", Answered, NoReason},
		{400, "<center>THE SSL CERTIFICATE ERROR</center>", Refused, CertificateError},
		{304, "", Answered, NoReason}, {101, "", Answered, NoReason},
	} {
		res := response(c.status, c.body)
		got := OfResponse(res, NewRefusals(tenancy.Egress{}.Refusals()))
		if body, _ := io.ReadAll(res.Body); got.Meaning != c.want || got.Reason != c.reason || string(body) != c.body {
			t.Errorf("%d %q: %+v, body %q", c.status, c.body, got, body)
		}
	}
}

// Tenants read what a test of their receivers answers.
func TestAnUnresolvedNameDoesNotShowTheDNSServer(t *testing.T) {
	const private = "read udp 10.0.0.5:1->10.0.0.53:53"
	for want, err := range map[string]*net.DNSError{
		"lookup a.example: no such host":                          {IsNotFound: true, Err: "no such host"},
		"lookup a.example: the DNS server did not answer in time": {IsTimeout: true, Err: private},
		"lookup a.example: the DNS server failed":                 {Err: private},
	} {
		err.Name, err.Server = "a.example", "10.0.0.53:53"
		if got := OfError(&net.OpError{Op: "dial", Net: "tcp", Err: err}).Detail; got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

// The answer of a receiver is forwarded unchanged, and only the listed answers are refusals.
func FuzzMeaning(f *testing.F) {
	f.Add(400, []byte("<center>The SSL certificate error</center>"), "remote error: tls: bad certificate", 5)
	f.Add(200, []byte("No required SSL certificate was sent"), "EOF", 0)
	f.Fuzz(func(t *testing.T, status int, body []byte, text string, broken int) {
		var source io.Reader = bytes.NewReader(body)
		if broken > 0 && broken < len(body) {
			source = io.MultiReader(bytes.NewReader(body[:broken]), iotest.ErrReader(io.ErrUnexpectedEOF))
			body = body[:broken]
		}
		res := response(status, "")
		res.Body = io.NopCloser(source)
		got := OfResponse(res, NewRefusals(tenancy.Egress{}.Refusals())).Meaning
		if read, _ := io.ReadAll(res.Body); !bytes.Equal(read, body) {
			t.Fatalf("%d: %q became %q", status, body, read)
		}
		if got == Refused && !slices.Contains([]int{400, 401, 403, 495, 496}, status) {
			t.Fatalf("%d is a refusal", status)
		}
		if got == Suspicious {
			t.Fatalf("%d is suspicious", status)
		}
		if OfError(errors.New(text)).Meaning == Answered {
			t.Fatalf("%q is an acceptance", text)
		}
	})
}

func TestOnlyPublicAddressesAreDialledUnlessTheOperatorAllowsOthers(t *testing.T) {
	n := &Network{Allowed: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")}}
	for address, allowed := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true, "10.20.3.4": true, "::ffff:10.20.3.4": true,
		"127.0.0.1": false, "::1": false, "10.21.0.1": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "fe80::1": false, "fd00:ec2::254": false,
		"0.0.0.0": false, "::": false, "100.100.100.200": false, "224.0.0.1": false, "255.255.255.255": false,
		"168.63.129.16": false, "168.63.129.15": true, "::7f00:1": false, "::a9fe:a9fe": false, "::5db8:d80e": false,
		"::ffff:127.0.0.1": false, "64:ff9b::a9fe:a9fe": false, "2002:7f00:1::": false,
	} {
		if err := n.Check(netip.AddrPortFrom(netip.MustParseAddr(address), 443)); (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAnAnswerIsDescribedByWhatDecided(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   string
	}{
		{495, "", "495 of nginx"}, {496, "", "496 of nginx"}, {401, "", "401 Unauthorized"}, {499, "", "499"},
		{400, "The SSL certificate error", `400 "The SSL certificate error"`}, {204, "", "204 No Content"},
	} {
		if got := OfResponse(response(c.status, c.body), NewRefusals(tenancy.Egress{}.Refusals())); got.Detail != c.want {
			t.Errorf("%d %q: %q, want %q", c.status, c.body, got.Detail, c.want)
		}
	}
	for text, want := range map[string]string{"EOF": "the connection was closed: EOF",
		"remote error: tls: bad certificate": "TLS alert: bad certificate", "something else": "something else"} {
		if got := OfError(errors.New(text)).Detail; got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
