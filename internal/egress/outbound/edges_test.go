package outbound

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAMessageKnowsWhetherItsConnectionWasUsedBefore(t *testing.T) {
	r := receive(t, tenancy.Egress{}, func(http.ResponseWriter, *http.Request) {}).direct()
	var reused []bool
	for range 3 {
		q := request(t, http.MethodGet, r.URL, "")
		q = q.WithContext(httptrace.WithClientTrace(q.Context(), &httptrace.ClientTrace{
			GotConn: func(c httptrace.GotConnInfo) { reused = append(reused, c.Reused && c.Conn != nil) }}))
		_, err := roundTrip(r.connections, q)
		testenv.Check(t, err)
		q = q.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{}))
		_, err = roundTrip(r.connections, q)
		testenv.Check(t, err)
	}
	if !slices.Equal(reused, []bool{false, true, true}) {
		t.Errorf("reused: %v", reused)
	}
}

// The cause is known only to those who ended the message.
func TestAnAnswerThatIsEndedHasTheCauseOfItsEnd(t *testing.T) {
	for _, direct := range []bool{true, false} {
		end := make(chan struct{})
		r := receive(t, tenancy.Egress{}, func(w http.ResponseWriter, q *http.Request) {
			w.Write([]byte("half"))
			w.(http.Flusher).Flush()
			<-end
		})
		if direct {
			r.direct()
		}
		gaveUp := errors.New("given up")
		ctx, cancel := context.WithCancelCause(t.Context())
		res, err := r.connections.RoundTrip(request(t, http.MethodGet, r.URL, "").WithContext(ctx))
		testenv.Check(t, err)
		if n, err := io.ReadFull(res.Body, make([]byte, 4)); n != 4 || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		cancel(gaveUp)
		if _, err := res.Body.Read(make([]byte, 1)); direct && err != gaveUp || err == nil || err == io.EOF {
			t.Errorf("directly %v: %v", direct, err)
		}
		res.Body.Close()
		close(end)
	}
}

func TestAMessageThatWaitsForALaneEndsWithItsSender(t *testing.T) {
	l := newLanes(1, func() *http.Transport { return &http.Transport{} })
	l.places <- struct{}{}
	gone := errors.New("the sender is gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := l.roundTrip(request(t, http.MethodPost, "https://127.0.0.1:1", "x").WithContext(ctx)); err != gone {
		t.Errorf("%v", err)
	}
	if len(l.places) != 1 {
		t.Error("a place was given back that was not taken")
	}
}

func TestLargeBodiesAndStreamsNeedALane(t *testing.T) {
	for _, c := range []struct {
		name, url string
		length    int64
		header    http.Header
		body      io.Reader
		want      bool
	}{
		{"a large body", "https://h", directBody + 1, nil, strings.NewReader("x"), true},
		{"a small body", "https://h", directBody, nil, strings.NewReader("x"), false},
		{"one of unknown length", "https://h", -1, nil, strings.NewReader("x"), true},
		{"one whose length is not set", "https://h", 0, nil, strings.NewReader("x"), true},
		{"no body", "https://h", 0, nil, nil, false}, {"an empty one", "https://h", 0, nil, http.NoBody, false},
		{"without TLS", "http://h", -1, nil, strings.NewReader("x"), false},
		{"an upgrade", "https://h", -1, http.Header{"Upgrade": {"websocket"}}, strings.NewReader("x"), false},
		{"a call of gRPC", "https://h", -1, http.Header{"Content-Type": {"application/grpc+proto"}}, strings.NewReader("x"),
			false},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url, c.body)
		testenv.Check(t, err)
		r.ContentLength, r.Header = c.length, c.header
		if got := needsLane(r); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAMessageGoesDirectlyIfItCan(t *testing.T) {
	whole := &Connections{places: make(chan struct{}, 1)}
	whole.http1.Store(true)
	for _, c := range []struct {
		name   string
		change func(c *Connections, r *http.Request)
		want   bool
	}{
		{"a small body", func(*Connections, *http.Request) {}, true},
		{"the largest one", func(_ *Connections, r *http.Request) { r.ContentLength = directBody }, true},
		{"a larger one", func(_ *Connections, r *http.Request) { r.ContentLength = directBody + 1 }, false},
		{"of unknown length", func(_ *Connections, r *http.Request) { r.ContentLength = -1 }, false},
		{"no body", func(_ *Connections, r *http.Request) { r.Body, r.ContentLength = nil, 0 }, true},
		{"an empty body", func(_ *Connections, r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 }, true},
		{"a body whose length is not set", func(_ *Connections, r *http.Request) { r.ContentLength = 0 }, false},
		{"without TLS", func(_ *Connections, r *http.Request) { r.URL.Scheme = "http" }, false},
		{"CONNECT", func(_ *Connections, r *http.Request) { r.Method = http.MethodConnect }, false},
		{"a trailer", func(_ *Connections, r *http.Request) { r.Trailer = http.Header{"X": nil} }, false},
		{"chunks", func(_ *Connections, r *http.Request) { r.TransferEncoding = []string{"chunked"} }, false},
		{"an upgrade", func(_ *Connections, r *http.Request) { r.Header.Set("Upgrade", "h2c") }, false},
		{"an expectation", func(_ *Connections, r *http.Request) { r.Header.Set("Expect", "100-continue") }, false},
		{"a receiver that speaks HTTP/2", func(c *Connections, _ *http.Request) { c.http1.Store(false) }, false},
		{"few connections", func(c *Connections, _ *http.Request) { c.places = nil }, false},
	} {
		connections := &Connections{places: whole.places}
		connections.http1.Store(true)
		r := request(t, http.MethodPost, "https://h/", "body")
		c.change(connections, r)
		if got := connections.isDirect(r); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAnEndpointMustBeAValidAddress(t *testing.T) {
	for _, bad := range []string{"https://-ü.example/", "://", "https://a b/"} {
		if u, err := Endpoint(bad); err == nil || u != nil {
			t.Errorf("%s is accepted as %v", bad, u)
		}
	}
	for in, want := range map[string]string{"https://bücher.example:8443/a": "https://xn--bcher-kva.example:8443/a",
		"https://bücher.example/a": "https://xn--bcher-kva.example/a",
		"https://[2001:db8::1]:1/": "https://[2001:db8::1]:1/",
		"https://192.0.2.1":        "https://192.0.2.1"} {
		if u, err := Endpoint(in); err != nil || u.String() != want {
			t.Errorf("%s: %v, %v", in, u, err)
		}
	}
}

func TestAnErrorDoesNotTellToWhichAddressANameResolvesInside(t *testing.T) {
	for _, proxy := range []string{"", "http://192.0.2.1:3128"} {
		endpoint, err := Endpoint("https://localhost:9/")
		if err != nil {
			t.Fatal(err)
		}
		_, err = Meet(t.Context(), &Network{}, proxy, endpoint)
		got := OfError(err)
		if got.Reason != ForbiddenAddress || !strings.Contains(got.Detail, "resolves to, an address that is not allowed") ||
			strings.Contains(got.Detail, "127.0.0.1") || strings.Contains(got.Detail, "::1") {
			t.Errorf("through proxy %q: %v: %s", proxy, got.Reason, got.Detail)
		}
	}
}

func TestAnAddressThatCannotBeReadIsNotDialled(t *testing.T) {
	n := &Network{Allowed: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	if err := n.control(t.Context(), "tcp", "somewhere", nil); !errors.Is(err, ErrForbiddenAddress) {
		t.Errorf("%v", err)
	}
	if err := n.control(t.Context(), "tcp", "127.0.0.1:443", nil); err != nil {
		t.Errorf("%v", err)
	}
	for address, want := range map[string]error{"127.0.0.1:https": ErrForbiddenAddress,
		"127.0.0.1:65536": ErrForbiddenAddress, "127.0.0.1:443": nil, "[::1]:443": nil} {
		if err := n.checkName(t.Context(), address); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := n.checkName(t.Context(), "no port"); err == nil {
		t.Error("an address without a port is allowed")
	}
	if err := (&Network{}).checkName(t.Context(), "127.0.0.1:443"); !errors.Is(err, ErrForbiddenAddress) {
		t.Errorf("a loopback address: %v", err)
	}
	if (*Network)(nil).For("acme") != nil {
		t.Error("a tenant has a network that does not exist")
	}
	if of := n.For("acme"); of == n || of.tenant != "acme" || n.tenant != "" {
		t.Error("the network of a tenant is that of all")
	}
	if _, err := n.via("http://%zz")(t.Context(), "tcp", "127.0.0.1:1"); err == nil {
		t.Error("a proxy that cannot be read is used")
	}
}

// Every address of a name counts, because the proxy chooses one.
func TestANameWithAForbiddenAddressIsNotAskedForThroughAProxy(t *testing.T) {
	resolver := newResolver(t, func(name string) netip.Addr {
		switch {
		case strings.HasPrefix(name, "inside"):
			return netip.MustParseAddr("127.0.0.1")
		case strings.HasPrefix(name, "outside"):
			return netip.MustParseAddr("203.0.113.7")
		}
		return netip.Addr{}
	})
	n := &Network{Resolver: resolver}
	for name, forbidden := range map[string]bool{"inside.example": true, "outside.example": false} {
		if err := n.checkName(t.Context(), name+":443"); errors.Is(err, ErrForbiddenAddress) != forbidden ||
			(err == nil) == forbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A question of a person gets the answers of the tenant's own network.
func TestAQuestionIsAskedInTheNetworkOfItsTenant(t *testing.T) {
	e, egress, _ := asked(t, nil, func(http.ResponseWriter, *http.Request) {})
	n := new(Network)
	testenv.Check(t, n.AddTarget("acme=127.0.0.0/8"))
	egress.Probe = tenancy.Probe{Method: "GET", Path: "/"}
	for tenant, want := range map[string]Reason{"acme": NoReason, "zeta": ForbiddenAddress} {
		s := standing.Standing{Tenant: tenancy.Tenant{Name: tenant},
			Arrangement: tenancy.Arrangement{Endpoint: e.String(), Egress: egress}}
		a, err := Question(t.Context(), n, s, []standing.Identity{*newIdentity(t, 1)})
		if err != nil || a.Control.Reason != want || len(a.Results) != 1 || a.Results[0].Reason != want ||
			a.Results[0].Generation != 1 {
			t.Errorf("%s: %+v, %v", tenant, a.Control, err)
		}
	}
}

func TestTheErrorOfABodyIsTheErrorOfItsMessage(t *testing.T) {
	cut := errors.New("cut off")
	for name, c := range map[string]struct {
		body io.Reader
		want error
	}{"whole": {strings.NewReader("body"), nil}, "broken": {iotest.ErrReader(cut), cut}, "none": {nil, nil}} {
		r := request(t, http.MethodPost, "https://h/", "")
		r.ContentLength = 4
		if c.body != nil {
			r.Body = io.NopCloser(c.body)
		} else {
			r.ContentLength = 0
		}
		var out bytes.Buffer
		err := write(r, &out)
		if err != c.want || err == nil && !strings.HasPrefix(out.String(), "POST / HTTP/1.1\r\n") ||
			name == "whole" && !strings.HasSuffix(out.String(), "\r\n\r\nbody") {
			t.Errorf("%s: %v, %q", name, err, &out)
		}
	}
}

func TestAnIdleConnectionIsLeftBeforeItsReceiverCloses(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		keep, idle time.Duration
		want       bool
	}{{0, time.Hour, false}, {5 * time.Second, 4*time.Second - 1, false}, {5 * time.Second, 4 * time.Second, true},
		{time.Second, 500*time.Millisecond - 1, false}, {time.Second, 500 * time.Millisecond, true},
		{2 * time.Second, time.Second, true}, {2 * time.Second, time.Second - 1, false}} {
		if got := (&conn{keep: c.keep, since: now.Add(-c.idle)}).isLeaving(now); got != c.want {
			t.Errorf("kept for %v and idle for %v: %v", c.keep, c.idle, got)
		}
	}
	if (&conn{}).isOpen() {
		t.Error("a connection without a socket is open")
	}
}

// A message needs all of its way: a proxy that answers is not the receiver.
func TestTheAddressOfAProxyThatAnArrangementNamesIsChecked(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.Check(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			http.ReadRequest(bufio.NewReader(c))
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
		}
	}()
	proxy := "http://" + l.Addr().String()
	allowed, closed := &Network{}, &Network{}
	testenv.Check(t, allowed.AddTarget("127.0.0.0/8"))
	testenv.Check(t, closed.AddTarget("203.0.113.0/24"))
	operators := &Network{}
	testenv.Check(t, operators.AddProxy("http://user:secret@"+l.Addr().String()))
	for name, c := range map[string]struct {
		n     *Network
		proxy string
		want  error
	}{"allowed": {allowed, proxy, nil}, "not allowed": {closed, proxy, ErrForbiddenAddress},
		"the operator's": {operators, proxy, nil}, "the operator's by default": {operators, "", nil},
		"none": {operators, tenancy.NoProxy, ErrForbiddenAddress}} {
		to := "203.0.113.7:443"
		if c.proxy == tenancy.NoProxy {
			to = l.Addr().String()
		}
		conn, err := c.n.via(c.proxy)(t.Context(), "tcp", to)
		if err == nil {
			conn.Close()
		}
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	u, err := url.Parse(proxy)
	testenv.Check(t, err)
	_, err = closed.through(u, "x", &net.Dialer{})(t.Context(), "tcp", "127.0.0.1:443")
	if !errors.Is(err, ErrForbiddenAddress) {
		t.Errorf("a receiver that is not allowed, behind a proxy: %v", err)
	}
}

// A receiver that stops in the middle of a step holds no message for ever.
func TestEveryStepOfAConnectionIsLimited(t *testing.T) {
	n := &Network{}
	transport := n.Transport(tenancy.Egress{TimeoutSeconds: 7}, n.TLS(nil, tenancy.Egress{}, nil))
	for name, limit := range map[string]time.Duration{"dialling": n.dialer().Timeout, "a proxy": operators().Timeout,
		"the handshake": transport.TLSHandshakeTimeout, "an expectation": transport.ExpectContinueTimeout,
		"an idle connection": transport.IdleConnTimeout, "a silent connection": transport.HTTP2.SendPingTimeout,
		"a sign of life": transport.HTTP2.PingTimeout} {
		if limit < time.Second || limit > time.Minute {
			t.Errorf("%s may take %v", name, limit)
		}
	}
	if transport.ResponseHeaderTimeout != 7*time.Second || transport.HTTP2.WriteByteTimeout != 7*time.Second {
		t.Errorf("an answer may take %v, and a write %v", transport.ResponseHeaderTimeout, transport.HTTP2.WriteByteTimeout)
	}
}

func TestTheTransportClosesIdleConnectionsBeforeTheReceiverDoes(t *testing.T) {
	for keep, want := range map[time.Duration]time.Duration{5 * time.Second: 4 * time.Second,
		time.Second: 500 * time.Millisecond} {
		c := (&Network{}).Connections(nil, tenancy.Egress{})
		if c.honour(0); c.patient.Load() != nil {
			t.Error("a receiver that states no time has another transport")
		}
		c.honour(keep)
		first := c.patient.Load()
		if first == nil || first.IdleConnTimeout != want || c.transport.IdleConnTimeout != idleConn {
			t.Errorf("kept for %v: %+v", keep, first)
		}
		if c.honour(keep + time.Second); c.patient.Load() != first {
			t.Error("the transport is replaced again")
		}
	}
}

func TestAPageIsARefusalByItsTypeOnlyIfItIsASuccess(t *testing.T) {
	for status, want := range map[int]string{200: html, 299: html, 300: "", 401: ""} {
		if r := (Kind{Status: status, Type: html}).Rule(); r == nil || r.ContentType != want || r.Status != status {
			t.Errorf("%d: %+v", status, r)
		}
	}
}
