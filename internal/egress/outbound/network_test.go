package outbound

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// newResolver starts a name server that answers with the addresses that a function returns, and returns its resolver.
func newResolver(t *testing.T, find func(name string) netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	testenv.Check(t, err)
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var q dnsmessage.Message
			if q.Unpack(buffer[:n]) != nil || len(q.Questions) != 1 {
				continue
			}
			answer := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, Authoritative: true},
				Questions: q.Questions}
			question := q.Questions[0]
			header := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class}
			address := find(strings.TrimSuffix(question.Name.String(), "."))
			switch {
			case question.Type == dnsmessage.TypeA && address.Is4():
				answer.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: address.As4()}}}
			case question.Type == dnsmessage.TypeAAAA && address.Is6():
				answer.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: address.As16()}}}
			}
			if packed, err := answer.Pack(); err == nil {
				conn.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestNamesOfForbiddenAddressesAreNotDialled(t *testing.T) {
	addresses := map[string]string{"loopback.test": "127.0.0.1", "metadata.test": "169.254.169.254",
		"private.test": "10.1.2.3", "shared.test": "100.100.100.200", "six.test": "::1", "unique.test": "fd00:ec2::254",
		"mapped.test": "::ffff:10.0.0.1"}
	n := &Network{Resolver: newResolver(t, func(name string) netip.Addr {
		address, _ := netip.ParseAddr(addresses[name])
		return address
	})}
	for name, address := range addresses {
		endpoint := &url.URL{Scheme: "https", Host: name, Path: "/"}
		probe := tenancy.Egress{Probe: tenancy.Probe{Method: "GET", Path: "/"}}
		handshake := Ask(t.Context(), n, endpoint, tenancy.Egress{}, nil)
		asked := Ask(t.Context(), n, endpoint, probe, nil)
		_, met := Meet(t.Context(), n, "", endpoint)
		connections := n.Connections(nil, tenancy.Egress{})
		_, message := connections.RoundTrip(request(t, "GET", endpoint.String(), ""))
		connections.http1.Store(true)
		_, direct := connections.RoundTrip(request(t, "GET", endpoint.String(), ""))
		for way, err := range map[string]error{"a handshake": handshake.Err, "a question": asked.Err, "a first look": met,
			"a message": message, "a direct message": direct} {
			if !errors.Is(err, ErrForbiddenAddress) {
				t.Errorf("%s of %s, which is %s: %v", way, name, address, err)
			}
		}
		if handshake.Reason != ForbiddenAddress || asked.Reason != ForbiddenAddress {
			t.Errorf("%s: reasons %v and %v", name, handshake.Reason, asked.Reason)
		}
	}
}

// A name may resolve to an allowed address first and to another one a moment later.
func TestANameThatChangesIsCheckedAtEachDial(t *testing.T) {
	r := receive(t, tenancy.Egress{}, func(http.ResponseWriter, *http.Request) {})
	var address atomic.Value
	address.Store("127.0.0.1")
	n := &Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Resolver: newResolver(t, func(string) netip.Addr { return netip.MustParseAddr(address.Load().(string)) })}
	_, port, err := net.SplitHostPort(r.Listener.Addr().String())
	testenv.Check(t, err)
	to := "https://example.com:" + port + "/" // a name of httptest's certificate
	connections := n.Connections(nil, tenancy.Egress{ServerCA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: r.Certificate().Raw}))})
	res, err := connections.RoundTrip(request(t, "GET", to, ""))
	testenv.Check(t, err)
	res.Body.Close()
	connections.CloseIdleConnections()
	address.Store("169.254.169.254")
	if _, err := connections.RoundTrip(request(t, "GET", to, "")); !errors.Is(err, ErrForbiddenAddress) {
		t.Errorf("after the change: %v", err)
	}
}

func TestAnEndpointHasTheHostNameThatDNSUses(t *testing.T) {
	for text, want := range map[string]string{"https://erp.example.com/a?b": "https://erp.example.com/a?b",
		"https://bücher.example:8443/a": "https://xn--bcher-kva.example:8443/a",
		"https://bücher.example":        "https://xn--bcher-kva.example",
		"https://[2001:db8::1]:8443/":   "https://[2001:db8::1]:8443/", "https://192.0.2.1/": "https://192.0.2.1/",
		"https://ERP.example.com": "https://erp.example.com", "https://a b/": "", "https://%zz/": ""} {
		got, err := Endpoint(text)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}
