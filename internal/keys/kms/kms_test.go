package kms

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

var check = testenv.Check

func wantError(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v, want %q", what, err, text)
	}
}

func isAway(err error) bool {
	away := (*keyring.Away)(nil)
	return errors.As(err, &away)
}

// A peer is a service for the tests of every kind, with two keys.
type peer struct {
	uri, other string
	open       keyring.Remotes
	// away makes the service fail for a while, or answer again.
	away func(bool)
	// secrets must not appear in an error.
	secrets []string
}

// conforms tests what the keyring expects of every kind of key.
func (p peer) conforms(t *testing.T) {
	t.Helper()
	remote, err := p.open(p.uri)
	check(t, err)
	other, err := p.open(p.other)
	check(t, err)
	key := make([]byte, keyring.KeySize)
	rand.Read(key)
	wrapped, err := remote.Wrap(t.Context(), key)
	check(t, err)
	if bytes.Contains(wrapped, key) {
		t.Error("the wrapped key has the key")
	}
	for range 2 {
		if back, err := remote.Unwrap(t.Context(), wrapped); err != nil || !bytes.Equal(back, key) {
			t.Errorf("unwrapped another key, %v", err)
		}
	}
	for name, attempt := range map[string]func() ([]byte, error){
		"another key":      func() ([]byte, error) { return other.Unwrap(t.Context(), wrapped) },
		"a changed key":    func() ([]byte, error) { return remote.Unwrap(t.Context(), changed(wrapped)) },
		"nothing":          func() ([]byte, error) { return remote.Unwrap(t.Context(), nil) },
		"of another world": func() ([]byte, error) { return remote.Unwrap(t.Context(), []byte("hello")) },
	} {
		got, err := attempt()
		p.clean(t, err)
		if err == nil || got != nil || isAway(err) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	p.whole(t)
	if p.away == nil {
		return
	}
	kind, _, _ := strings.Cut(p.uri, ":")
	before := counter(t, kind, "unwrap", "away")
	p.away(true)
	_, err = remote.Unwrap(t.Context(), wrapped)
	p.clean(t, err)
	if !isAway(err) || counter(t, kind, "unwrap", "away") != before+1 {
		t.Errorf("while it is away: %v", err)
	}
	_, err = remote.Wrap(t.Context(), key)
	p.clean(t, err)
	if !isAway(err) {
		t.Errorf("while it is away: %v", err)
	}
	p.away(false)
	if back, err := remote.Unwrap(t.Context(), wrapped); err != nil || !bytes.Equal(back, key) {
		t.Errorf("after it was away: %v", err)
	}
}

// whole moves a key file to the service, to its other key, and back, and counts the calls.
func (p peer) whole(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	k, err := keyring.Create(path, p.open)
	check(t, err)
	sealed, err := k.Seal([]byte("secret"), "c")
	check(t, err)
	kind, _, _ := strings.Cut(p.uri, ":")
	for _, uri := range []string{p.uri, p.other, ""} {
		check(t, k.Move(t.Context(), uri))
		check(t, k.Rotate(t.Context()))
		before := counter(t, kind, "unwrap", "ok")
		again, err := keyring.Open(t.Context(), path, p.open)
		check(t, err)
		want := 1.0
		if uri == "" {
			want = 0
		}
		for range 100 {
			if secret, err := again.Open(sealed, "c"); err != nil || string(secret) != "secret" {
				t.Errorf("%q, %v", secret, err)
			}
		}
		if got := counter(t, kind, "unwrap", "ok") - before; got != want {
			t.Errorf("%v calls for a start and 100 secrets with %q, want %v", got, uri, want)
		}
	}
}

// counter returns the number of calls of a kind of key, with an operation and a result.
func counter(t *testing.T, kind, operation, result string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(Collectors()...)
	families, err := registry.Gather()
	check(t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["kind"] == kind && labels["operation"] == operation && labels["result"] == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func (p peer) clean(t *testing.T, err error) {
	t.Helper()
	for _, s := range p.secrets {
		if err != nil && strings.Contains(err.Error(), s) {
			t.Errorf("an error has a secret: %v", err)
		}
	}
}

func changed(data []byte) []byte {
	data = bytes.Clone(data)
	data[len(data)-2] ^= 1
	return data
}

func TestAURIWithASecretIsRefusedAndNotQuoted(t *testing.T) {
	const secret = "s3cr3t"
	for _, uri := range []string{
		"hcvault://user:s3cr3t@vault.example.com/transit/keys/k", "hcvault://s3cr3t@vault.example.com/transit/keys/k",
		"hcvault://vault.example.com/transit/keys/k?token=s3cr3t", "hcvault://vault.example.com/transit/keys/k#s3cr3t",
		"hcvault://vault.example.com/transit/keys/s3cr3t%2f", "hcvault://vault.example.com/transit/keys/k\ns3cr3t",
		"hcvault://%zzs3cr3t", "https://user:s3cr3t@vault.example.com/", "s3cr3t", "hvs.s3cr3t:x",
	} {
		remote, err := Open(uri)
		if err == nil || remote != nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", uri, err)
		}
	}
}

// The client libraries of Google and Vault would add 9 MB, and one for PKCS#11 makes the binary need a C library.
func TestTheDefaultBuildLinksNoLargeClientAndNoC(t *testing.T) {
	list := exec.Command("go", "list", "-deps", ".")
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	check(t, err)
	linked := strings.Fields(string(out))
	if len(linked) < 100 {
		t.Errorf("only %d packages were listed", len(linked))
	}
	for _, dependency := range linked {
		for _, prefix := range []string{"google.golang.org/api", "google.golang.org/grpc", "cloud.google.com/go/kms",
			"github.com/hashicorp/vault", "github.com/Azure/", "github.com/ThalesGroup/", "github.com/miekg/pkcs11",
			"runtime/cgo"} {
			if strings.HasPrefix(dependency, prefix) {
				t.Errorf("it links %s", dependency)
			}
		}
	}
}

func TestAnUnknownKindNamesTheKnownOnes(t *testing.T) {
	_, err := Open("ftp://example.com/key")
	wantError(t, "ftp", err, "unknown kind of key: use a URI that begins with hcvault:, aws-kms:, "+
		"azure-kms:, gcp-kms:, pkcs11:")
}

func TestAnAnswerIsBoundedAndARedirectIsNotFollowed(t *testing.T) {
	followed := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // a connection that is closed before it was read is reset
		switch r.URL.Path {
		case "/announced":
			w.Header().Set("Content-Length", strconv.Itoa(maxAnswer+1))
			w.Write(bytes.Repeat([]byte(" "), maxAnswer+1))
		case "/large":
			w.Write(bytes.Repeat([]byte(" "), maxAnswer+1))
		case "/redirect":
			http.Redirect(w, r, "/followed", http.StatusTemporaryRedirect)
		case "/followed":
			followed = true
		case "/text":
			w.Write([]byte("<html>the-token</html>"))
		case "/reflected":
			http.Error(w, "denied for the-token", http.StatusForbidden)
		case "/later":
			http.Error(w, "slow down", http.StatusTooManyRequests)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("{"))
		}
	}))
	defer server.Close()
	client := newHTTP(nil)
	for path, want := range map[string]struct {
		text string
		away bool
	}{
		"/announced": {"is larger than 64 KiB", false},
		"/large":     {"is larger than 64 KiB", false},
		"/redirect":  {"a redirect is not followed", false},
		"/text":      {"is not the JSON that its API documents", false},
		"/reflected": {"denied for [secret]: check the credentials", false},
		"/later":     {"slow down: check the state of the service", true},
		"/cut":       {"does not answer: unexpected EOF", true},
	} {
		err := request{method: http.MethodPost, url: server.URL + path, body: map[string]string{},
			header: http.Header{"X-Vault-Token": {"the-token"}}, secrets: []string{"the-token"},
			detail: func(body []byte) string { return string(body) }}.do(t.Context(), client, &struct{}{})
		wantError(t, path, err, want.text)
		if isAway(err) != want.away || strings.Contains(err.Error(), "the-token") {
			t.Errorf("%s: away %v, %v", path, isAway(err), err)
		}
	}
	if followed {
		t.Error("a redirect was followed")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	err := request{method: http.MethodGet, url: server.URL}.do(ended, client, &struct{}{})
	if !errors.Is(err, context.Canceled) || isAway(err) {
		t.Errorf("after the end: %v", err)
	}
}

// failingBody is a body like those of the SDK of AWS, whose WriteTo fails when the answer comes early.
type failingBody struct{ *strings.Reader }

func (failingBody) WriteTo(io.Writer) (int64, error) { return 0, io.EOF }

func (failingBody) Close() error { return nil }

func TestABodyIsSentWithoutItsOwnWriteTo(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	defer server.Close()
	const text = "the body"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, failingBody{strings.NewReader(text)})
	check(t, err)
	r.ContentLength = int64(len(text))
	res, err := newHTTP(nil).Do(r)
	check(t, err)
	defer res.Body.Close()
	if answer, err := io.ReadAll(res.Body); err != nil || string(answer) != text {
		t.Errorf("got %q, %v", answer, err)
	}
}
