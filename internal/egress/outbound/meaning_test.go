package outbound

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/iotest"
)

func TestWhatErrorsMean(t *testing.T) {
	remote := func(text string) error { return &net.OpError{Op: "remote error", Err: errors.New(text)} }
	for _, c := range []struct {
		err  error
		want Meaning
	}{
		{remote("tls: unknown certificate authority"), Refused},
		{remote("tls: bad certificate"), Refused},
		{remote("tls: certificate required"), Refused},
		{fmt.Errorf("readLoopPeekFailLocked: %w", remote("tls: expired certificate")), Refused},
		{errors.New("http2: client conn: remote error: tls: access denied"), Refused},
		{remote("tls: handshake failure"), Refused},
		{remote("tls: internal error"), Nothing},
		{remote("tls: protocol version not supported"), Nothing},
		{io.EOF, Suspicious},
		{fmt.Errorf("write: %w", syscall.EPIPE), Suspicious},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, Suspicious},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, Nothing},
		{&net.OpError{Op: "dial", Err: syscall.ECONNRESET}, Nothing},
		{context.DeadlineExceeded, Nothing},
		{errors.New("something else"), Nothing},
	} {
		if got, detail := OfError(c.err); got != c.want {
			t.Errorf("%v: %v (%s), want %v", c.err, got, detail, c.want)
		}
	}
}

func response(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte(body)))}
}

func TestWhatResponsesMean(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   Meaning
	}{
		{200, "ok", Accepted}, {404, "", Accepted}, {302, "", Accepted}, {401, "", Refused}, {403, "", Refused},
		{496, "", Refused}, {500, "", Nothing}, {503, "", Nothing},
		{400, "no such order", Accepted}, {400, "<center>No required SSL certificate was sent</center>", Refused},
		{400, "<center>The SSL certificate error</center>", Refused},
	} {
		res := response(c.status, c.body)
		got, detail := OfResponse(res, []int{401, 403})
		if body, _ := io.ReadAll(res.Body); got != c.want || string(body) != c.body {
			t.Errorf("%d %q: %v (%s), body %q", c.status, c.body, got, detail, body)
		}
	}
}

// Whatever a receiver answers, its answer goes on unchanged, and only what stands on the list is a refusal.
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
		got, _ := OfResponse(res, []int{401, 403})
		if read, _ := io.ReadAll(res.Body); !bytes.Equal(read, body) {
			t.Fatalf("%d: %q became %q", status, body, read)
		}
		if got == Refused && !slices.Contains([]int{400, 401, 403, 495, 496}, status) {
			t.Fatalf("%d is a refusal", status)
		}
		if got == Suspicious {
			t.Fatalf("%d is suspicious", status)
		}
		if m, _ := OfError(errors.New(text)); m == Accepted {
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
		"::ffff:127.0.0.1": false, "64:ff9b::a9fe:a9fe": false, "2002:7f00:1::": false,
	} {
		if err := n.Check(netip.MustParseAddr(address)); (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
}
