package follow

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// An OAuth server reads the key set that a follower writes, and trusts the CAs that it writes. The last renewal changes
// the CA. The server keeps a key set for a minute at least, so a certificate must be published before it is used.
func TestAnOAuthServerAuthenticatesBothGenerations(t *testing.T) {
	testenv.NeedsServers(t)
	now := time.Now()
	s := newSender(t, now)
	o := startOAuth(t, s)
	stranger, namesake := s.issue(pkix.Name{CommonName: "mallory"}, now), s.issue(s.subject, now)
	for n := 1; n <= 4; n++ {
		if n == 4 {
			s.changeCA(now)
		}
		if n > 1 {
			s.renew(now)
			testenv.Check(t, o.follower.Once(t.Context()))
			testenv.Check(t, o.server.Process.Signal(syscall.SIGUSR2))
			testenv.Eventually(t, func() bool {
				return o.token("pinned", s.pairs[n]) == 200 && o.token("named", s.pairs[n]) == 200
			})
		}
		for _, client := range []string{"pinned", "named"} {
			for generation := max(1, n-1); generation <= n; generation++ {
				if got := o.token(client, s.pairs[generation]); got != 200 {
					t.Errorf("renewal %d: %s with generation %d gets %d", n, client, generation, got)
				}
			}
			for name, pair := range map[string]tls.Certificate{"a stranger": stranger, "no one": {}} {
				if got := o.token(client, pair); got != 400 && got != 401 {
					t.Errorf("renewal %d: %s with the certificate of %s gets %d", n, client, name, got)
				}
			}
		}
		if got := o.token("pinned", namesake); got != 401 {
			t.Errorf("renewal %d: a namesake gets %d", n, got)
		}
		if n > 2 {
			if got := o.token("pinned", s.pairs[n-2]); got != 401 {
				t.Errorf("renewal %d: generation %d gets %d although it left the feed", n, n-2, got)
			}
		}
	}
	// This is the reason to write a file instead of a jwks_uri at the sender.
	o.files.Close()
	testenv.Check(t, o.server.Process.Signal(syscall.SIGUSR2))
	testenv.Eventually(t, func() bool { return o.token("pinned", s.pairs[4]) == 400 })
}

// oauth is a running OAuth server and its follower.
type oauth struct {
	follower *Follower
	files    *httptest.Server // has the key set
	server   *exec.Cmd
	url      string
	roots    *x509.CertPool
}

func startOAuth(t *testing.T, s *sender) *oauth {
	t.Helper()
	library, err := filepath.Abs("../../../tools/node_modules/oidc-provider/lib/index.js")
	testenv.Check(t, err)
	if _, err := os.Stat(library); err != nil {
		t.Fatalf("oidc-provider is missing: run .ci/packages: %v", err)
	}
	dir, port := t.TempDir(), testenv.Port(t)
	public := filepath.Join(dir, "public")
	testenv.Check(t, os.Mkdir(public, 0o700))
	o := &oauth{roots: x509.NewCertPool(), files: httptest.NewServer(http.FileServer(http.Dir(public)))}
	t.Cleanup(o.files.Close)
	o.roots.AddCert(s.ca.Issuing)
	o.server = exec.Command("node", "testdata/oauth.mjs", library, fmt.Sprint(port), dir, o.files.URL+"/jwks.json")
	o.follower, err = New(Config{Address: s.address, Client: s.server.Client(), Run: Shell, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), Outputs: []Output{
			{formatOf(t, "jwks"), Target{Path: filepath.Join(public, "jwks.json")}},
			{formatOf(t, "cas"), Target{Path: filepath.Join(dir, "ca.pem")}}},
		Then: "test ! -e " + dir + "/pid || kill -HUP $(cat " + dir + "/pid)"})
	testenv.Check(t, err)
	testenv.Check(t, o.follower.Once(t.Context()))
	pair := s.ca.Server(t, time.Now().AddDate(0, 0, -1), time.Now().AddDate(0, 0, 1))
	testenv.Check(t, os.WriteFile(filepath.Join(dir, "server.pem"), testenv.PairPEM(t, pair), 0o600))
	testenv.Start(t, o.server)
	testenv.Check(t, os.WriteFile(filepath.Join(dir, "pid"), fmt.Append(nil, o.server.Process.Pid), 0o600))
	o.url = fmt.Sprintf("https://127.0.0.1:%d/token", port)
	testenv.Eventually(t, func() bool { return o.token("pinned", s.pairs[1]) == 200 })
	return o
}

// token returns the status of a request for an access token on a new connection; 0 if there is none.
func (o *oauth) token(client string, pair tls.Certificate) int {
	c := (&world{roots: o.roots}).client(pair, false)
	res, err := c.PostForm(o.url, url.Values{"grant_type": {"client_credentials"}, "client_id": {client}})
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}
