package follow

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

var january = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// A sender publishes the certificates of a tenant, as a platform does.
type sender struct {
	t       testing.TB
	ca      *testca.CA
	subject pkix.Name
	secret  ed25519.PrivateKey
	server  *httptest.Server
	address string
	pairs   map[int]tls.Certificate // by generation

	mu       sync.Mutex // guards the fields below
	document feed.Document
	answer   func(http.ResponseWriter, *http.Request) bool // answers instead of the feed if it returns true
	requests []*http.Request
	reports  []installed
}

// newSender starts a sender with one generation, whose certificates are valid for a year before and after an instant.
func newSender(t testing.TB, now time.Time) *sender {
	t.Helper()
	s := &sender{t: t, ca: testca.New(t, "Partner CA", now), subject: pkix.Name{CommonName: "acme"},
		secret: ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize))), pairs: map[int]tls.Certificate{}}
	thumbprint, err := feed.Thumbprint(s.secret.Public().(ed25519.PublicKey))
	testenv.Check(t, err)
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.server.Close)
	s.address = s.server.URL + "/feeds/unguessable/" + thumbprint + "/"
	s.document = feed.Document{Feed: feed.ID("unguessable"), Tenant: "acme", Arrangement: "crm-to-erp",
		RefreshHint: 3600, PublishedAt: now, ValidUntil: now.AddDate(1, 0, 0), CAs: [][]byte{s.ca.Issuing.Raw, s.ca.Root.Raw}}
	s.renew(now)
	return s
}

// issue returns a certificate of the CA that is valid for a year before and after an instant.
func (s *sender) issue(subject pkix.Name, now time.Time) tls.Certificate {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(s.t, err)
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	testenv.Check(s.t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: serial, Subject: subject,
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, s.ca.Issuing, key.Public(), s.ca.Key)
	testenv.Check(s.t, err)
	return tls.Certificate{Certificate: [][]byte{der, s.ca.Issuing.Raw}, PrivateKey: key}
}

// renew publishes one more generation beside the last one, which becomes active. Older ones leave the feed.
func (s *sender) renew(now time.Time) (generation int) {
	s.t.Helper()
	n := len(s.pairs) + 1
	s.pairs[n] = s.issue(s.subject, now)
	s.publish(func(d *feed.Document) {
		next := feed.Certificate{Generation: n, State: feed.Next, DER: s.pairs[n].Certificate[0]}
		if n == 1 {
			next.State = feed.Active
		} else {
			d.Certificates = d.Certificates[len(d.Certificates)-1:]
			d.Certificates[0].State = feed.Active
		}
		d.Certificates = append(d.Certificates, next)
	})
	return n
}

// publish changes the document.
func (s *sender) publish(change func(*feed.Document)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.document.Sequence++
	change(&s.document)
}

// answers sets what the server answers instead of the feed; nil for the feed.
func (s *sender) answers(answer func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *sender) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	if s.answer != nil && s.answer(w, r) {
		return
	}
	switch below := strings.TrimPrefix(s.server.URL+r.URL.Path, s.address); {
	case r.Method == http.MethodPost && below == "installed" && r.Header.Get("Content-Type") == "application/json":
		var report installed
		if body, err := io.ReadAll(r.Body); err != nil || json.Unmarshal(body, &report) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.reports = append(s.reports, report)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"generations":[]}`)
	case r.Method == http.MethodGet && below == documentName:
		etag := fmt.Sprintf("%q", fmt.Sprint(s.document.Sequence))
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		signed, err := feed.Sign(s.document, s.secret)
		if err != nil {
			s.t.Error(err)
		}
		io.WriteString(w, signed)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// reported returns the reports so far.
func (s *sender) reported() []installed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]installed(nil), s.reports...)
}

// A receiver is a follower with its files, its commands and its log.
type receiver struct {
	t      testing.TB
	dir    string
	path   string // of the first output
	config Config
	now    time.Time
	ran    []string // commands
	// fails returns the error of a command; nil for success.
	fails func(command string) error
	wait  func(ctx context.Context, d time.Duration) error // instead of a pause; nil for a pause
	log   *strings.Builder
}

// newReceiver returns a follower of a sender with one output, whose commands are recorded and succeed.
func newReceiver(t testing.TB, s *sender, now time.Time, format string) *receiver {
	t.Helper()
	r := &receiver{t: t, dir: t.TempDir(), now: now, log: &strings.Builder{}}
	r.path = filepath.Join(r.dir, "accepted")
	r.config = Config{Address: s.address, Check: "check", Then: "reload", Client: s.server.Client(),
		Now: func() time.Time { return r.now }, Log: slog.New(slog.NewTextHandler(r.log, nil)),
		Outputs: []Output{{formatOf(t, format), Target{Path: r.path}}}}
	r.config.Run = func(_ context.Context, command string) (string, error) {
		r.ran = append(r.ran, command)
		if r.fails != nil {
			if err := r.fails(command); err != nil {
				return "line 7 is wrong\n", err
			}
		}
		return "", nil
	}
	return r
}

func formatOf(t testing.TB, name string) Format {
	t.Helper()
	f, err := ReadFormat(name)
	testenv.Check(t, err)
	return f
}

func (r *receiver) follower() *Follower {
	r.t.Helper()
	f, err := New(r.config)
	testenv.Check(r.t, err)
	if r.wait != nil {
		f.wait = r.wait
	}
	return f
}

// once executes a round of a new process.
func (r *receiver) once() error {
	r.t.Helper()
	return r.follower().Once(r.t.Context())
}

// works executes a round that must succeed.
func (r *receiver) works() {
	r.t.Helper()
	if err := r.once(); err != nil {
		r.t.Fatal(err)
	}
}

// refuses executes a round that must fail with an error, leave the file as it is and not contain the secret.
func (r *receiver) refuses(want string) {
	r.t.Helper()
	before := r.written()
	err := r.once()
	if err == nil || !strings.Contains(err.Error(), want) {
		r.t.Errorf("got the error %v, want %q", err, want)
	} else if strings.Contains(err.Error(), "unguessable") {
		r.t.Errorf("the error contains the secret: %v", err)
	}
	if after := r.written(); after != before {
		r.t.Errorf("the file was %q and is %q", before, after)
	}
}

// written returns the content of the file; "" if there is none.
func (r *receiver) written() string {
	r.t.Helper()
	data, err := os.ReadFile(r.path)
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return string(data)
}

// newSenderWithoutServer is a sender for tests with a clock of their own, in which no network can be used.
func newSenderWithoutServer(t testing.TB, now time.Time) *sender {
	t.Helper()
	s := newSender(t, now)
	s.server.Close()
	return s
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(q *http.Request) (*http.Response, error) { return r(q) }

func fingerprintOf(pair tls.Certificate) string { return certfile.Fingerprint(pair.Certificate[0]) }

func pemOfPair(pair tls.Certificate) []byte { return testca.PEM(pair.Certificate[0]) }

// changeCA makes another CA issue the certificates from now on.
func (s *sender) changeCA(now time.Time) {
	s.t.Helper()
	s.ca = testca.New(s.t, "New CA", now)
	s.publish(func(d *feed.Document) { d.CAs = append(d.CAs, s.ca.Issuing.Raw, s.ca.Root.Raw) })
}
