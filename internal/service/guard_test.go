package service

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// The guard of a service sees the successor of a partner's certificate. The audit log has it, and the key users of the
// tenant that watches the partner get a task.
func TestTheGuardOfAServiceTellsWhoWatchesThePartner(t *testing.T) {
	now, dir := time.Now(), t.TempDir()
	ca := testca.New(t, "Partner", now)
	write := func(name string, data []byte) {
		testenv.Check(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	pair := func(from, to time.Time) tls.Certificate {
		p, err := tls.LoadX509KeyPair(ca.Client(t, "acme", from, to))
		testenv.Check(t, err)
		return p
	}
	old, next := pair(now.AddDate(0, 0, -300), now.AddDate(0, 0, 40)), pair(now.Add(-time.Hour), now.AddDate(1, 0, 0))
	write("old.pem", testca.PEM(old.Certificate...))
	write("server.pem", testenv.PairPEM(t, ca.Server(t, now.Add(-time.Hour), now.AddDate(1, 0, 0))))
	upstream := httptest.NewServer(http.NotFoundHandler())
	defer upstream.Close()
	config := func(watch string) {
		write("guard.yaml", fmt.Appendf(nil, "listen: 127.0.0.1:0\nserver: {cert: server.pem, key: server.pem}\n"+
			"upstream: %s\npartners:\n  - {name: acme-c4c, known: [old.pem], policy: sap-c4c%s}\n", upstream.URL, watch))
	}
	given := settings(t)
	s, err := open(t, given)
	testenv.Check(t, err)
	stop := run(t, s)
	api, err := client.New(client.Config{URL: s.BaseURL(), Token: s.FirstToken()})
	testenv.Check(t, err)
	token := s.FirstToken()
	_, err = client.Post[client.Tenant](t.Context(), api, "/tenants", client.Tenant{Name: "acme"})
	testenv.Check(t, err)
	_, err = client.Post[client.KeyUser](t.Context(), api, "/tenants/acme/key-users",
		client.KeyUser{Name: "alice", Email: "alice@acme.example.com"})
	testenv.Check(t, err)
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())

	given.Guard = filepath.Join(dir, "guard.yaml")
	config(", watch: nobody")
	if _, err := open(t, given); err == nil {
		t.Error("a tenant that does not exist watches a partner")
	}
	config(", watch: acme")
	s, err = open(t, given)
	testenv.Check(t, err)
	stop = run(t, s)
	caller := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true,
		Certificates: []tls.Certificate{next}}}}
	answer, err := caller.Get(s.GuardURL())
	testenv.Check(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusNotFound { // of the upstream
		t.Fatalf("the guard answers %s", answer.Status)
	}
	testenv.Eventually(t, func() bool {
		_, tasks := get(t, s.BaseURL()+"/api/v1/tenants/acme/tasks", token)
		return strings.Contains(tasks, "The certificate acme-c4c has been renewed")
	})
	if _, events := get(t, s.BaseURL()+"/api/v1/events?limit=50", token); !strings.Contains(events, `"guard.accepted"`) {
		t.Errorf("the audit log lacks what the guard has seen: %s", events)
	}
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())
}
