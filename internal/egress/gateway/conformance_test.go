package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// A wireCase is a request as bytes, and what must become of it. TOKEN stands for the sender's token.
type wireCase struct {
	name, request string
	forwarded     bool   // the receiver gets exactly one message
	target, body  string // that it gets
}

const (
	wireHead = " /acme/crm/x HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer TOKEN\r\n"
	minCases = 300
)

// wireCases are built from lists, one for each rule. Every case that is not forwarded has a second message behind it,
// which must not be smuggled to the receiver.
func wireCases() (all []wireCase) {
	refused := func(rule, request string) {
		all = append(all, wireCase{name: fmt.Sprintf("%s: %.80q", rule, request), request: request})
	}
	forwarded := func(rule, request, target, body string) {
		all = append(all, wireCase{fmt.Sprintf("%s: %.80q", rule, request), request, true, target, body})
	}
	get := func(path string) string { return "GET " + path + wireHead[len(" /acme/crm/x"):] + "\r\n" }
	controls := []string{"\x00", "\x01", "\x02", "\x03", "\x04", "\x05", "\x06", "\a", "\b", "\v", "\f", "\x0e", "\x0f",
		"\x10", "\x11", "\x12", "\x13", "\x14", "\x15", "\x16", "\x17", "\x18", "\x19", "\x1a", "\x1b", "\x1c", "\x1d",
		"\x1e", "\x1f", "\x7f"}
	for _, c := range controls {
		refused("RFC 9110, 5.5: a control character in a value", "GET"+wireHead+"X-A: a"+c+"b\r\n\r\n")
		refused("RFC 9110, 5.1: a control character in a name", "GET"+wireHead+"X"+c+"A: a\r\n\r\n")
		refused("RFC 9110, 9.1: a control character in a method", "G"+c+"ET"+wireHead+"\r\n")
		refused("RFC 3986: a control character in a target",
			get("/acme/crm/x"+c))
	}
	for _, c := range "()<>@,;\\\"/[]?={} \t" {
		refused("RFC 9110, 5.1: a delimiter in a name", "GET"+wireHead+"X"+string(c)+"A: a\r\n\r\n")
		refused("RFC 9110, 9.1: a delimiter in a method", "G"+string(c)+"ET"+wireHead+"\r\n")
	}
	const smuggled = "GET /acme/crm/smuggled HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer TOKEN\r\n\r\n"
	for _, n := range []string{"", "+3", "-3", "0x3", "3,4", "3 4", "3;", "3.0", "three", "\"3\"", "99999999999999999999",
		"3\r\nContent-Length: 4", "4\r\nContent-Length: 3", "3, 3x", "٣"} {
		refused("RFC 9112, 6.3: an invalid length", "POST"+wireHead+"Content-Length: "+n+"\r\n\r\nabc"+smuggled)
	}
	for _, te := range []string{"gzip", "identity", "chunked, gzip", "gzip, chunked", "chunked, chunked", "xchunked",
		"chunkedx", "\"chunked\"", "chunked;q=1", "chunked\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: x",
		"identity, chunked", "chunked,", ",chunked", "x\r\n chunked", "\vchunked", "chunked\v", "cow"} {
		refused("RFC 9112, 6.1: an unknown coding",
			"POST"+wireHead+"Transfer-Encoding: "+te+"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"+smuggled)
	}
	for _, name := range []string{"Transfer-Encoding ", " Transfer-Encoding", "Transfer-Encoding\t", "Content-Length ",
		"\tContent-Length", "Transfer Encoding", "Transfer-Encoding\v", "Content-Length\x00"} {
		if name[0] != ' ' && name[0] != '\t' { // an obsolete line fold joins the line before
			refused("RFC 9112, 5.1: a space before the colon", "POST"+wireHead+name+": 3\r\n\r\nabc"+smuggled)
		}
	}
	for _, chunk := range []string{"-3", "+3", "0x3", "3g", "g", "", "1ffffffffffffffff", " 3", "3 4", "3\x00", "\"3\"",
		"3,3"} {
		refused("RFC 9112, 7.1: an invalid size of a chunk",
			"POST"+wireHead+"Transfer-Encoding: chunked\r\n\r\n"+chunk+"\r\nabc\r\n0\r\n\r\n"+smuggled)
	}
	for _, end := range []string{"abcd\r\n0\r\n\r\n", "abc0\r\n\r\n", "abcX\r\n0\r\n\r\n", "ab\r\n0\r\n\r\n"} {
		refused("RFC 9112, 7.1: a chunk of another size",
			"POST"+wireHead+"Transfer-Encoding: chunked\r\n\r\n3\r\n"+end+smuggled)
	}
	for _, version := range []string{"HTTP/0.9", "HTTP/1.2.3", "HTTP/1", "HTTP/11", "HTTP/3.0", "http/1.1", "HTTP/1.1x",
		"HTP/1.1", "HTTP 1.1", "HTTP/-1.1", "HTTP/1.-1", "HTTP/a.b", ""} {
		refused("RFC 9112, 2.3: an invalid version", strings.Replace("GET"+wireHead+"\r\n", "HTTP/1.1", version, 1))
	}
	for _, host := range []string{"", "Host: g\r\nHost: g\r\n", "Host: g\r\nHost: h\r\n", "Host: g h\r\n", "Host: g/x\r\n",
		"Host: g\\h\r\n", "Host: g\x01\r\n", "Host: <g>\r\n"} {
		refused("RFC 9112, 3.2: an invalid host", strings.Replace("GET"+wireHead+"\r\n", "Host: g\r\n", host, 1))
	}
	for _, path := range []string{"/acme/crm/../zeta", "/acme/crm/..", "/acme/crm/.", "/acme/crm/%2e%2e/x",
		"/acme/crm/.%2e/x", "/acme/crm/%252e%252e/x", "/acme/crm/a\\b", "/acme/crm/a%5cb", "/acme/crm/%00",
		"/acme/crm/%0d%0a",
		"/acme/crm/%zz", "/acme/crm/%", "/acme/crm/%2", "/acme/crm/..;/x", "/acme/crm/..%2fx", "/acme/crm/%25252e%25252e",
		"/acme%2fcrm/x", "acme/crm/x", "*", "//acme/crm/x", "/zeta/crm/x", "/acme", "/acme/%63rm/x", "/ACME/crm/x",
		"/acme/crm /x",
		"http://", "http:///", "https:acme/crm/x", "/./acme/crm/x", "/acme/./crm/x", "/acme//crm/x"} {
		refused("a misleading target", get(path))
	}
	for _, line := range []string{": a", "X-A", "=a", "X-A a", "X-A\r", "\x80: a"} {
		refused("RFC 9112, 5: an invalid line", "GET"+wireHead+line+"\r\n\r\n")
	}
	for _, upgrade := range []string{"h2c", "H2C"} {
		refused("no upgrade to HTTP/2", "GET"+wireHead+"Connection: Upgrade\r\nUpgrade: "+upgrade+"\r\n\r\n")
	}
	for _, c := range "abcxyzABCXYZ0189-._~!$&'()*+,;=:@" {
		forwarded("RFC 3986, 3.3: a character of paths", get("/acme/crm/x"+string(c)+"x"),
			"/x"+string(c)+"x", "")
	}
	for _, c := range "abcxyzABCXYZ0189-._~!$&'()*+,;=:@/?" {
		forwarded("RFC 3986, 3.4: a character of queries", get("/acme/crm/x?"+string(c)),
			"/x?"+string(c), "")
	}
	for _, c := range "\"<>^`{|}" {
		forwarded("a character that paths do not have", get("/acme/crm/a%2Fb"+string(c)),
			fmt.Sprintf("/a%%2Fb%%%02X", c), "")
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "MKCOL",
		"A", "get",
		"a!#$%&'*+-.^_`|~9"} {
		forwarded("RFC 9110, 9.1: a method", method+wireHead+"\r\n", "/x", "")
	}
	for _, body := range []string{"", "a", "abc", "\r\n", "GET / HTTP/1.1\r\n\r\n", "0\r\n\r\n", "\x00\xff",
		"GET /acme/crm/smuggled HTTP/1.1\r\nHost: g\r\n\r\n"} {
		forwarded("RFC 9112, 6.2: a body", fmt.Sprintf("POST%sContent-Length: %d\r\n\r\n%s", wireHead, len(body), body),
			"/x", body)
		if body != "" {
			forwarded("RFC 9112, 7.1: a body in a chunk",
				fmt.Sprintf("POST%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", wireHead, len(body), body),
				"/x", body)
		}
	}
	for _, chunks := range []string{"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "3;ext=1\r\nabc\r\n0\r\n\r\n",
		"003\r\nabc\r\n000\r\n\r\n"} {
		forwarded("RFC 9112, 7.1: chunks", "POST"+wireHead+"Transfer-Encoding: chunked\r\n\r\n"+chunks, "/x", "abc")
	}
	return all
}

func TestTheGatewayForwardsWhatHTTPAllowsAndNothingElse(t *testing.T) {
	cases := wireCases()
	if len(cases) < minCases {
		t.Fatalf("%d cases, want at least %d", len(cases), minCases)
	}
	t.Logf("%d cases", len(cases))
	p := newPair(t)
	for _, c := range cases {
		got := p.exchange(t, c.request)
		switch {
		case !c.forwarded && len(got) != 0:
			t.Errorf("%s: the receiver got %q", c.name, got)
		case c.forwarded && (len(got) != 1 || got[0].target != c.target || got[0].body != c.body):
			t.Errorf("%s: the receiver got %q, want %q with the body %q", c.name, got, c.target, c.body)
		}
	}
}

// A pair is the gateway and a receiver behind it.
type pair struct {
	*fixture
	got chan message
}

type message struct{ target, body string }

func newPair(t testing.TB) *pair {
	p := &pair{setUp(t), make(chan message, 100)}
	p.arrangement("crm", tenancy.Adaptive, p.serve(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if strings.Contains(fmt.Sprint(r.Header), p.token) {
			p.got <- message{target: "a header with the sender's token"}
		}
		if err == nil {
			p.got <- message{r.RequestURI, string(body)}
		}
	}))
	return p
}

// exchange sends bytes, closes the sender's half of the connection, reads every answer, and returns the complete
// messages that the receiver got.
func (p *pair) exchange(t testing.TB, request string) (got []message) {
	t.Helper()
	conn, err := net.Dial("tcp", p.gateway.Listener.Addr().String())
	check(t, err)
	defer conn.Close()
	check(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	go io.WriteString(conn, strings.ReplaceAll(request, "TOKEN", p.token)+
		"GET /acme/crm HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n") // without a token, so it is refused
	in := bufio.NewReader(conn)
	method, _, _ := strings.Cut(request, " ")
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			break
		}
		method = http.MethodGet
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.Close {
			break
		}
	}
	for {
		select {
		case m := <-p.got:
			got = append(got, m)
		default:
			return got
		}
	}
}

// Whatever a sender writes, the receiver gets no more messages than Go's own reader finds in it, and never the token.
func FuzzTheGatewayAndItsReceiverAgreeOnMessages(f *testing.F) {
	p := newPair(f)
	for _, c := range wireCases() {
		f.Add(c.request)
	}
	f.Fuzz(func(t *testing.T, request string) {
		if len(request) > 4096 {
			return
		}
		sent := 0
		for in := bufio.NewReader(strings.NewReader(strings.ReplaceAll(request, "TOKEN", p.token))); ; sent++ {
			r, err := http.ReadRequest(in)
			if err != nil {
				break
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				break
			}
		}
		if got := p.exchange(t, request); len(got) > sent {
			t.Errorf("%d messages were sent, and the receiver got %q", sent, got)
		}
	})
}
