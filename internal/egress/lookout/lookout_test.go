package lookout

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/watching"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// begin is the present, because servers are verified by the system's clock.
var begin = time.Now().UTC().Truncate(time.Second)

// A world is a lookout with a tenant, and a CA elsewhere.
type world struct {
	*Lookout
	*enginetest.Installation
	t     *testing.T
	acme  tenancy.Tenant
	ca    *testca.CA
	clock time.Time
}

func newWorld(t *testing.T, url string) *world {
	w := &world{t: t, ca: testca.New(t, "Passport", begin), clock: begin}
	w.Installation, _ = enginetest.New(t, url, begin)
	w.acme = w.Tenant(t, "acme", begin)
	network := &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	log := slog.New(slog.DiscardHandler)
	w.Lookout = New(w.Store, watching.New(w.Store, w.Installation, log), network, func() time.Time { return w.clock }, log)
	w.roots = x509.NewCertPool()
	w.roots.AddCert(w.ca.Root)
	return w
}

func sqlite(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "perennial.db") }

// issue returns a certificate of a server for a year, with its key.
func (w *world) issue(from time.Time) tls.Certificate {
	return w.ca.Server(w.t, from, from.Add(365*policy.Day))
}

// A server presents a certificate that can be replaced.
type server struct {
	mu        sync.Mutex
	presented tls.Certificate
	address   string
}

func (w *world) serve(first tls.Certificate) *server {
	w.t.Helper()
	s := &server{presented: first}
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return &s.presented, nil
	}}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	testenv.Check(w.t, err)
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				conn.(*tls.Conn).Handshake()
				conn.Close()
			}()
		}
	}()
	s.address = l.Addr().String()
	return s
}

func (s *server) present(c tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.presented = c
}

func (w *world) add(name string, source tenancy.WatchSource, first [][]byte) {
	w.t.Helper()
	_, err := w.watching.Add(w.t.Context(), w.acme, tenancy.Watched{Name: name, Source: source}, first, "test", w.clock)
	testenv.Check(w.t, err)
}

func (w *world) watched(name string) (v tenancy.Watched, seen []tenancy.WatchedCertificate) {
	w.t.Helper()
	v, err := w.Store.Watched(w.t.Context(), w.acme.ID, name)
	testenv.Check(w.t, err)
	all, err := w.Store.WatchedCertificates(w.t.Context(), []string{v.ID})
	testenv.Check(w.t, err)
	return v, all[v.ID]
}

func (w *world) tick(now time.Time) {
	w.t.Helper()
	w.clock = now
	testenv.Check(w.t, w.Watch(w.t.Context()))
}

func TestEachKindOfSourceShowsTheRenewal(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		from := begin.Add(-300 * policy.Day)
		old, next := w.issue(from), w.issue(begin.Add(-time.Hour))
		running := w.serve(old)
		dir := t.TempDir()
		file := func(name string, chain [][]byte) {
			testenv.Check(t, os.WriteFile(filepath.Join(dir, name), testca.PEM(chain...), 0o600))
		}
		file("2025.cer", old.Certificate)
		var mu sync.Mutex
		body := old.Certificate[0] // DER
		page := w.https(func(rw http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			rw.Write(body)
		})
		sources := map[string]tenancy.WatchSource{
			"server": {Kind: tenancy.WatchServer, Address: running.address},
			"folder": {Kind: tenancy.WatchFolder, Address: dir},
			"file":   {Kind: tenancy.WatchFolder, Address: filepath.Join(dir, "2025.cer")},
			"url":    {Kind: tenancy.WatchURL, Address: page + "/tenant.cer"},
		}
		for name, source := range sources {
			chain, err := w.Read(t.Context(), "acme", source, nil)
			testenv.Check(t, err)
			w.add(name, source, chain)
		}
		w.tick(begin.Add(23 * time.Hour))
		for name := range sources {
			if v, seen := w.watched(name); len(seen) != 1 || v.LookError != "" || !v.LookedAt.Equal(w.clock) {
				t.Errorf("%s after a look: %d certificates, %+v", name, len(seen), v)
			}
		}
		running.present(next)
		file("2026.pem", next.Certificate)
		file("2025.cer", next.Certificate)
		mu.Lock()
		body = testca.PEM(next.Certificate...)
		mu.Unlock()
		w.tick(begin.Add(46 * time.Hour))
		w.tick(begin.Add(69 * time.Hour))
		for name := range sources {
			v, seen := w.watched(name)
			if len(seen) != 2 || seen[1].Fingerprint != certfile.Fingerprint(next.Certificate[0]) ||
				len(seen[1].Surprises) > 0 || seen[1].SeenBy != Actor || v.LookError != "" {
				t.Errorf("%s after the renewal: %d certificates, %+v", name, len(seen), v)
			}
		}
	})
}

// https serves a handler under a certificate of the CA, and returns the address.
func (w *world) https(handle http.HandlerFunc) string {
	w.t.Helper()
	s := httptest.NewUnstartedServer(handle)
	s.TLS = testca.ServerTLS(w.issue(begin.Add(-time.Hour)))
	s.StartTLS()
	w.t.Cleanup(s.Close)
	return s.URL
}

func TestASourceThatCannotBeReadIsRecordedWithTheReason(t *testing.T) {
	w := newWorld(t, sqlite(t))
	first := w.issue(begin.Add(-300 * policy.Day)).Certificate
	dir := t.TempDir()
	testenv.Check(t, syscall.Mkfifo(filepath.Join(dir, "pipe.pem"), 0o600))
	testenv.Check(t, os.WriteFile(filepath.Join(dir, "notes.pem"), []byte("no certificate"), 0o600))
	strangers := t.TempDir()
	for name, c := range map[string][]byte{"a.pem": testca.New(t, "A", begin).Root.Raw,
		"b.pem": testca.New(t, "B", begin).Root.Raw} {
		testenv.Check(t, os.WriteFile(filepath.Join(strangers, name), testca.PEM(c), 0o600))
	}
	many := t.TempDir()
	for i := range mostFiles + 1 {
		testenv.Check(t, os.WriteFile(filepath.Join(many, fmt.Sprint(i, ".pem")), nil, 0o600))
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.Check(t, err)
	closed.Close()
	nowhere := closed.Addr().String()
	page := w.https(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large":
			rw.Write(bytes.Repeat([]byte("x"), certfile.MaxSize+1))
		case "/loop":
			http.Redirect(rw, r, "/loop?secret=1", http.StatusFound)
		case "/garbled":
			rw.Header().Set("Location", "https://127.0.0.1/%zz?secret=1")
			rw.WriteHeader(http.StatusFound)
		case "/plain":
			http.Redirect(rw, r, "http://127.0.0.1/?secret=1", http.StatusFound)
		case "/metadata":
			http.Redirect(rw, r, "https://169.254.169.254/", http.StatusFound)
		case "/text":
			rw.Write([]byte("hello"))
		default:
			http.NotFound(rw, r)
		}
	})
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	for name, c := range map[string]struct {
		source tenancy.WatchSource
		want   string
	}{
		"no folder":       {tenancy.WatchSource{Kind: tenancy.WatchFolder, Address: dir + "/x"}, "no file or folder"},
		"no certificate":  {tenancy.WatchSource{Kind: tenancy.WatchFolder, Address: dir}, "no file in"},
		"a pipe":          {tenancy.WatchSource{Kind: tenancy.WatchFolder, Address: dir + "/pipe.pem"}, "neither a folder"},
		"many files":      {tenancy.WatchSource{Kind: tenancy.WatchFolder, Address: many}, "more than 500"},
		"no server":       {tenancy.WatchSource{Kind: tenancy.WatchServer, Address: nowhere}, "refused"},
		"no page":         {tenancy.WatchSource{Kind: tenancy.WatchURL, Address: "https://" + nowhere}, "refused"},
		"no name":         {tenancy.WatchSource{Kind: tenancy.WatchServer, Address: "none.invalid:1"}, "none.invalid"},
		"no name of URL":  {tenancy.WatchSource{Kind: tenancy.WatchURL, Address: "https://none.invalid"}, "none.invalid"},
		"metadata":        {tenancy.WatchSource{Kind: tenancy.WatchServer, Address: "169.254.169.254:443"}, "not allowed"},
		"private":         {tenancy.WatchSource{Kind: tenancy.WatchURL, Address: "https://10.0.0.1/x"}, "not allowed"},
		"status":          {tenancy.WatchSource{Kind: tenancy.WatchURL, Address: page + "/none?secret=1"}, "404 Not Found"},
		"text":            {tenancy.WatchSource{Kind: tenancy.WatchURL, Address: page + "/text"}, "no certificate in PEM"},
		"large":           {tenancy.WatchSource{Kind: tenancy.WatchURL, Address: page + "/large"}, "larger than"},
		"endless":         {tenancy.WatchSource{Kind: tenancy.WatchURL, Address: page + "/loop"}, "more than 3 times"},
		"to nowhere":      {tenancy.WatchSource{Kind: tenancy.WatchURL, Address: page + "/garbled?secret=1"}, "invalid URL"},
		"to plain HTTP":   {tenancy.WatchSource{Kind: tenancy.WatchURL, Address: page + "/plain"}, "not https"},
		"to the metadata": {tenancy.WatchSource{Kind: tenancy.WatchURL, Address: page + "/metadata"}, "not allowed"},
		"not trusted":     {tenancy.WatchSource{Kind: tenancy.WatchURL, Address: untrusted.URL}, "certificate"},
	} {
		id := strings.ReplaceAll(strings.ToLower(name), " ", "-")
		w.clock = begin
		w.add(id, c.source, first)
		w.tick(begin.Add(23 * time.Hour))
		v, seen := w.watched(id)
		text := tenancy.ReadText(v.LookError)
		cause := text.String()
		if !strings.Contains(cause, c.want) || strings.Contains(cause, "secret") || len(seen) != 1 ||
			strings.Contains(cause, "127.0.0.1:") || !v.FailingSince.Equal(w.clock) {
			t.Errorf("%s: %q, since %s", name, cause, v.FailingSince)
		}
		if text.Format == "%s" {
			t.Errorf("%s: %q is stored without its parts, so it has no German text", name, v.LookError)
		}
		_, err := w.Look(t.Context(), w.acme, v, "operator")
		if !errors.Is(err, tenancy.ErrRefused) || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s, by hand: %v", name, err)
		}
	}
	w.add("uploads", tenancy.WatchSource{}, first)
	v, _ := w.watched("uploads")
	if _, err := w.Look(t.Context(), w.acme, v, "operator"); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("without a source: %v", err)
	}
}

func TestALookByHandReportsWhatWasSeen(t *testing.T) {
	w := newWorld(t, sqlite(t))
	old, next := w.issue(begin.Add(-300*policy.Day)), w.issue(begin.Add(-time.Hour))
	running := w.serve(old)
	w.add("erp", tenancy.WatchSource{Kind: tenancy.WatchServer, Address: running.address}, old.Certificate)
	v, _ := w.watched("erp")
	s, err := w.Look(t.Context(), w.acme, v, "operator")
	testenv.Check(t, err)
	if s.New {
		t.Error("the same certificate is new")
	}
	running.present(next)
	s, err = w.Look(t.Context(), w.acme, s.Watched, "operator")
	testenv.Check(t, err)
	if !s.New || s.Changes == nil || s.Changes.Issuer || !s.Changes.Key {
		t.Errorf("%+v", s)
	}
}

func TestStagesAreReachedWithoutASource(t *testing.T) {
	w := newWorld(t, sqlite(t))
	w.add("acme-c4c", tenancy.WatchSource{}, w.issue(begin.Add(-100*policy.Day)).Certificate)
	w.tick(begin.Add(260 * policy.Day))
	if v, _ := w.watched("acme-c4c"); v.Noticed != tenancy.WatchOverdue {
		t.Errorf("%+v", v)
	}
}

func TestWhatATickLeavesIsDueAtTheNextOne(t *testing.T) {
	w := newWorld(t, sqlite(t))
	old := w.issue(begin.Add(-300 * policy.Day))
	running := w.serve(old)
	w.add("erp", tenancy.WatchSource{Kind: tenancy.WatchServer, Address: running.address}, old.Certificate)
	before, _ := w.watched("erp")
	w.clock = begin.Add(23 * time.Hour)
	due, err := w.Store.DueWatched(t.Context(), w.clock, 10)
	testenv.Check(t, err)
	_, seen := w.watched("erp")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := w.work(t.Context(), stopped, w.acme, due[0], seen[0]); err != nil {
		t.Error(err)
	}
	if after, _ := w.watched("erp"); after.Version != before.Version {
		t.Errorf("a look that was interrupted is recorded: %+v", after)
	}
}

// A folder is read at once, so the end of the budget is noticed after the look.
func TestALookThatIsDoneWhenTheBudgetEndsIsRecorded(t *testing.T) {
	w := newWorld(t, sqlite(t))
	dir := t.TempDir()
	old, next := w.issue(begin.Add(-300*policy.Day)), w.issue(begin.Add(-time.Hour))
	testenv.Check(t, os.WriteFile(filepath.Join(dir, "next.pem"), testca.PEM(next.Certificate...), 0o600))
	w.add("bank", tenancy.WatchSource{Kind: tenancy.WatchFolder, Address: dir}, old.Certificate)
	v, seen := w.watched("bank")
	w.clock = begin.Add(23 * time.Hour)
	stopped, stop := context.WithCancel(t.Context())
	stop()
	testenv.Check(t, w.work(t.Context(), stopped, w.acme, v, seen[0]))
	if _, seen := w.watched("bank"); len(seen) != 2 {
		t.Errorf("%d certificates", len(seen))
	}
}
