package foreign_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// serve starts an HTTPS server of a CA that may ask for client certificates.
func serve(t *testing.T, pair tls.Certificate, clients *testca.CA, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if clients != nil {
		roots, err := certfile.ReadRoots(clients.RootFile(t))
		check(t, err)
		server.TLS.ClientCAs, server.TLS.ClientAuth = roots, tls.RequireAndVerifyClientCert
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

func client(t *testing.T, url string, settings foreign.TLS, timeout time.Duration) *foreign.Client {
	t.Helper()
	config, err := settings.Config()
	check(t, err)
	c, err := foreign.NewClient(url, config, timeout)
	check(t, err)
	return c
}

func TestEachFaultOfAConnectionHasItsKind(t *testing.T) {
	today := time.Now()
	ca, other := testca.New(t, "Web", today), testca.New(t, "Other", today)
	valid := ca.Server(t, today.Add(-time.Hour), today.Add(time.Hour))
	expired := ca.Server(t, today.Add(-2*time.Hour), today.Add(-time.Hour))
	roots, otherRoots := ca.RootFile(t), other.RootFile(t)
	status := func(code int, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if len(header) > 0 {
				w.Header().Set(header[0], header[1])
			}
			http.Error(w, "the CA's own words", code)
		}
	}
	never := func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // otherwise the client may read "200 OK"
	}
	certificate, key := ca.Client(t, "perennial", today.Add(-time.Hour), today.Add(time.Hour))
	ref := secret.File(key)
	mine := foreign.TLS{Roots: roots, Certificate: certificate, Key: ref}
	trust := foreign.TLS{Roots: roots}
	for name, c := range map[string]struct {
		url   string
		tls   foreign.TLS
		want  issuer.Fault
		text  string
		retry time.Duration
	}{
		"a CA that is down": {url: "https://" + testenv.Address(t), tls: trust, want: issuer.Unreachable,
			text: "connection refused"},
		"a slow CA": {url: serve(t, valid, nil, never), tls: trust, want: issuer.Slow, text: "within 300ms"},
		"an expired TLS certificate": {url: serve(t, expired, nil, status(200)), tls: trust, want: issuer.Untrusted,
			text: "expired"},
		"an unknown root": {url: serve(t, valid, nil, status(200)), tls: foreign.TLS{Roots: otherRoots},
			want: issuer.Untrusted, text: "unknown authority"},
		"another fingerprint": {url: serve(t, valid, nil, status(200)),
			tls:  foreign.TLS{Fingerprint: certfile.Fingerprint(other.Root.Raw)},
			want: issuer.Untrusted, text: certfile.Fingerprint(ca.Issuing.Raw)},
		"another fingerprint below known roots": {url: serve(t, valid, nil, status(200)),
			tls:  foreign.TLS{Roots: roots, Fingerprint: certfile.Fingerprint(other.Root.Raw)},
			want: issuer.Untrusted, text: "fingerprint"},
		"an expired certificate of the right fingerprint": {url: serve(t, expired, nil, status(200)),
			tls: foreign.TLS{Fingerprint: certfile.Fingerprint(ca.Issuing.Raw)}, want: issuer.Untrusted, text: "expired"},
		"no client certificate": {url: serve(t, valid, ca, status(200)), tls: trust, want: issuer.Denied,
			text: "certificate required"},
		"a client certificate of another CA": {url: serve(t, valid, other, status(200)), tls: mine, want: issuer.Denied},
		"an endless answer": {url: serve(t, valid, nil, func(w http.ResponseWriter, _ *http.Request) {
			for range 1025 {
				w.Write(make([]byte, 1024))
			}
		}), tls: trust, want: issuer.Broken, text: "larger than 1 MiB"},
		"wrong credentials": {url: serve(t, valid, nil, status(401)), tls: trust, want: issuer.Denied, text: "own words"},
		"not permitted":     {url: serve(t, valid, nil, status(403)), tls: trust, want: issuer.Denied},
		"a bad request":     {url: serve(t, valid, nil, status(400)), tls: trust, want: issuer.Rejected},
		"a redirect":        {url: serve(t, valid, nil, status(302, "Location", "/login")), tls: trust, want: issuer.Broken},
		"an internal error": {url: serve(t, valid, nil, status(500)), tls: trust, want: issuer.Broken},
		"too many requests": {url: serve(t, valid, nil, status(429, "Retry-After", "120")), tls: trust,
			want: issuer.Limited, text: "2026-01-15T00:02:00Z", retry: 2 * time.Minute},
		"maintenance until a date": {url: serve(t, valid, nil, status(503, "Retry-After", "Thu, 15 Jan 2026 01:00:00 GMT")),
			tls: trust, want: issuer.Unreachable, retry: time.Hour},
		"maintenance for ever": {url: serve(t, valid, nil, status(503, "Retry-After", "4000000000")), tls: trust,
			want: issuer.Unreachable, retry: 7 * 24 * time.Hour},
		"maintenance until yesterday": {url: serve(t, valid, nil,
			status(503, "Retry-After", "Wed, 14 Jan 2026 01:00:00 GMT")), tls: trust, want: issuer.Unreachable,
			retry: time.Nanosecond},
		"an unreadable date": {url: serve(t, valid, nil, status(503, "Retry-After", "soon")), tls: trust,
			want: issuer.Unreachable},
		"a client certificate": {url: serve(t, valid, ca, status(200)), tls: mine},
		"the right fingerprint": {url: serve(t, valid, nil, status(200)),
			tls: foreign.TLS{Fingerprint: strings.ToUpper(certfile.Fingerprint(ca.Issuing.Raw))}},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := time.Minute
			if c.want == issuer.Slow {
				timeout = 300 * time.Millisecond
			}
			call := foreign.Call{Method: http.MethodPost, Path: "sign", At: now, Doing: "sign a certificate for acme"}
			answer, err := client(t, c.url, c.tls, timeout).Do(t.Context(), call)
			if err == nil && answer.Status != 200 {
				err = answer.Failure(string(answer.Body))
			}
			fault, retry := issuer.FaultOf(err)
			want := time.Time{}
			if c.retry > 0 {
				want = now.Add(c.retry.Truncate(time.Second))
			}
			if fault != c.want || !retry.Equal(want) {
				t.Errorf("%q, again after %s: %v, want %q, %s", fault, retry, err, c.want, want)
			}
			if c.want != "" && (!strings.HasPrefix(err.Error(), call.Doing) || !strings.Contains(err.Error(), c.text)) {
				t.Errorf("%v, want %q", err, c.text)
			}
		})
	}
}

func TestARequestThatItsCallerEndsIsNotAFaultOfTheCA(t *testing.T) {
	today := time.Now()
	ca := testca.New(t, "Web", today)
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, ca.Server(t, today.Add(-time.Hour), today.Add(time.Hour)), nil,
		func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		})
	_, err := client(t, url, foreign.TLS{Roots: ca.RootFile(t)}, time.Minute).Do(ctx, foreign.Call{Method: "GET"})
	if fault, _ := issuer.FaultOf(err); !errors.Is(err, context.Canceled) || fault != "" {
		t.Errorf("%q, %v", fault, err)
	}
}

func TestInvalidSettingsOfAConnectionAreRefused(t *testing.T) {
	for _, url := range []string{"", "ca.example.com", "http://ca.example.com", "https://",
		"https://u:hush@ca.example.com", "https://ca.example.com/?token=1", "https://ca.example.com/#x",
		"https://ca example"} {
		if _, err := foreign.NewClient(url, nil, 0); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := foreign.NewClient("https://ca.example.com", nil, -1); err == nil {
		t.Error("a negative timeout is accepted")
	}
	for name, settings := range map[string]foreign.TLS{
		"a missing file":              {Roots: "missing.pem"},
		"a short fingerprint":         {Fingerprint: "abcd"},
		"a certificate without a key": {Certificate: "client.pem"},
		"a key without a certificate": {Key: secret.File("client.key")},
		"missing files":               {Certificate: "client.pem", Key: secret.File("client.key")},
	} {
		if _, err := settings.Config(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestTheTextOfACAIsPrintable(t *testing.T) {
	if got := foreign.Printable("denied:\r\n\tby\x1b[31m policy\xff"); got != "denied: by [31m policy?" {
		t.Errorf("%q", got)
	}
	if got := foreign.Printable(strings.Repeat("ä", 2000)); len(got) > 1010 {
		t.Errorf("%d bytes", len(got))
	}
}
