package poster

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/webhooks"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/webhook"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var check = testenv.Check

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// serve starts an endpoint with a certificate of its own, and returns a poster for it.
func serve(t *testing.T, h http.HandlerFunc) (*httptest.Server, webhooks.Poster) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	p, err := New(&outbound.Network{Allowed: loopback}).Open("acme", caOf(s))
	check(t, err)
	t.Cleanup(p.Close)
	return s, p
}

func caOf(s *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

func TestARequestHasItsBodyAndItsHeaders(t *testing.T) {
	var got *http.Request
	var body string
	s, p := serve(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, body = r, string(data)
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	answer, err := p.Post(t.Context(), webhooks.Request{URL: s.URL + "/path?key=1", ContentType: "application/json",
		Authorization: "Bearer x", Body: []byte("{}"), Signature: webhook.Signature{ID: "id", Timestamp: "1",
			Signature: "v1,x"}})
	check(t, err)
	if answer.Status != 429 || answer.RetryAfter != 2*time.Minute {
		t.Errorf("%+v", answer)
	}
	for name, want := range map[string]string{"Content-Type": "application/json", "Authorization": "Bearer x",
		"Webhook-Id": "id", "Webhook-Timestamp": "1", "Webhook-Signature": "v1,x", "User-Agent": "Perennial"} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if body != "{}" || got.URL.RequestURI() != "/path?key=1" || got.Method != "POST" {
		t.Errorf("%s %s: %s", got.Method, got.URL, body)
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	var requests atomic.Int32
	s, p := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "https://169.254.169.254/latest/meta-data", http.StatusTemporaryRedirect)
	})
	answer, err := p.Post(t.Context(), webhooks.Request{URL: s.URL})
	check(t, err)
	if answer.Status != 307 || requests.Load() != 1 {
		t.Errorf("%+v after %d requests", answer, requests.Load())
	}
}

func TestAnAddressThatIsNotAllowedIsNotReached(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	p, err := New(&outbound.Network{}).Open("acme", caOf(s))
	check(t, err)
	defer p.Close()
	for _, url := range []string{s.URL, strings.Replace(s.URL, "127.0.0.1", "localhost", 1), "https://[::1]:1/",
		"https://169.254.169.254/", "https://10.0.0.1/"} {
		if _, err := p.Post(t.Context(), webhooks.Request{URL: url}); err == nil ||
			!strings.Contains(err.Error(), "an address that is not allowed") ||
			strings.ContainsFunc(err.Error(), func(r rune) bool { return '0' <= r && r <= '9' }) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAnErrorContainsNothingOfTheURL(t *testing.T) {
	s, p := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			io.WriteString(conn, "SECRET of another service\r\n\r\n")
			conn.Close()
		}
	})
	other := httptest.NewTLSServer(http.NotFoundHandler())
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	other.Close()
	for _, url := range []string{s.URL, other.URL, strings.Replace(plain.URL, "http", "https", 1), "https://x y/",
		"https://unknown.invalid"} {
		_, err := p.Post(t.Context(), webhooks.Request{URL: url + "/T0KEN?key=T0KEN"})
		if err == nil || strings.Contains(err.Error(), "T0KEN") || strings.Contains(err.Error(), "SECRET") ||
			strings.Contains(err.Error(), ":53") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAnErrorContainsNoAddressOfTheNetwork(t *testing.T) {
	from, to := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 50000}, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 8), Port: 443}
	for want, err := range map[string]error{
		"no route to host": &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: os.NewSyscallError("connect",
			syscall.EHOSTUNREACH)},
		"broken pipe": fmt.Errorf("send: %w", &net.OpError{Op: "write", Net: "tcp", Source: from, Addr: to,
			Err: os.NewSyscallError("write", syscall.EPIPE)}),
	} {
		got := withoutURL(&url.Error{Op: "Post", URL: "https://endpoint.example.com", Err: err}).Error()
		if !strings.Contains(got, want) || strings.Contains(got, "10.0.0.") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTheCertificateOfTheEndpointIsVerified(t *testing.T) {
	s, _ := serve(t, func(http.ResponseWriter, *http.Request) {})
	p, err := New(&outbound.Network{Allowed: loopback}).Open("acme", "")
	check(t, err)
	defer p.Close()
	if _, err := p.Post(t.Context(), webhooks.Request{URL: s.URL}); err == nil ||
		!strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown CA: %v", err)
	}
}

func TestALongAnswerIsNotReadToItsEnd(t *testing.T) {
	var written atomic.Int64
	s, p := serve(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 64<<10)
		for r.Context().Err() == nil && written.Load() < 1<<30 {
			n, err := w.Write(chunk)
			if written.Add(int64(n)); err != nil {
				return
			}
		}
	})
	answer, err := p.Post(t.Context(), webhooks.Request{URL: s.URL})
	check(t, err)
	p.Close()
	if answer.Status != 200 || written.Load() >= 1<<30 {
		t.Errorf("%+v after %d bytes", answer, written.Load())
	}
}

// The receiver is what an administrator would write: the official library verifies, and package webhook reads.
func TestTheOfficialLibraryVerifiesARequest(t *testing.T) {
	present, err := webhook.NewSecret(bytes.Repeat([]byte{1}, webhook.SecretSize))
	check(t, err)
	former, err := webhook.NewSecret(bytes.Repeat([]byte{2}, webhook.SecretSize))
	check(t, err)
	other, err := webhook.NewSecret(bytes.Repeat([]byte{3}, webhook.SecretSize))
	check(t, err)
	verified := map[string]error{}
	s, p := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		check(t, err)
		for name, secret := range map[string]webhook.Secret{"present": present, "former": former, "other": other} {
			library, err := standardwebhooks.NewWebhook(secret.Text())
			check(t, err)
			verified[name] = library.Verify(body, r.Header)
		}
		if e, err := webhook.Parse(body); err != nil || e.Type != webhook.RunFinished {
			t.Errorf("%v: %s", err, body)
		}
	})
	e := webhook.Event{ID: "id", Source: "https://p.example.com", Type: webhook.RunFinished, Subject: "x",
		Time: time.Now(), Data: &webhook.RunData{}}
	m, err := webhook.Rendering{Format: webhook.CloudEvents}.Render(e)
	check(t, err)
	_, err = p.Post(t.Context(), webhooks.Request{URL: s.URL, ContentType: m.ContentType, Body: m.Body,
		Signature: webhook.Sign("id", time.Now(), m.Body, present, former)})
	check(t, err)
	if verified["present"] != nil || verified["former"] != nil || verified["other"] == nil {
		t.Errorf("%v", verified)
	}
}
