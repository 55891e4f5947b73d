package service

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/ingress/guard"
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
	api, err = client.New(client.Config{URL: s.BaseURL(), Token: token})
	testenv.Check(t, err)
	known, err := client.Get[client.Page[client.GuardCertificate]](t.Context(), api,
		"/guard/certificates?partner=acme-c4c")
	if err != nil || len(known.Items) != 2 {
		t.Fatalf("%v, %v", known, err)
	}
	for _, c := range known.Items {
		if c.By == "configuration" {
			continue
		}
		refused, err := client.Post[client.GuardCertificate](t.Context(), api, "/guard/certificates/"+c.Fingerprint+
			"/decision", client.GuardDecision{Partner: "acme-c4c", Standing: "declined"})
		if err != nil || refused.Standing != "declined" || !strings.Contains(refused.By, "operator") {
			t.Errorf("%+v, %v", refused, err)
		}
	}
	caller.CloseIdleConnections()
	answer, err = caller.Get(s.GuardURL())
	testenv.Check(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("the guard answers %s to a certificate that a person has refused", answer.Status)
	}
	if _, events := get(t, s.BaseURL()+"/api/v1/events?limit=50", token); !strings.Contains(events, `"guard.declined"`) {
		t.Errorf("the audit log lacks the decision of a person: %s", events)
	}
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())
}

// The CA of the service issues the certificate of its guard, and a guard alone has none.
func TestTheGuardOfAServiceHasACertificateOfItsCA(t *testing.T) {
	now, dir := time.Now(), t.TempDir()
	ca := testca.New(t, "Partner", now)
	known, key := ca.Client(t, "acme", now.AddDate(0, 0, -300), now.AddDate(0, 0, 40))
	pair, err := tls.LoadX509KeyPair(known, key)
	testenv.Check(t, err)
	upstream := httptest.NewServer(http.NotFoundHandler())
	defer upstream.Close()
	given := settings(t)
	given.Guard = filepath.Join(dir, "guard.yaml")
	testenv.Check(t, os.WriteFile(given.Guard, fmt.Appendf(nil, "listen: 127.0.0.1:0\n"+
		"server: {perennial: [guard.example.com, api.example.com]}\nupstream: %s\n"+
		"partners:\n  - {name: acme-c4c, known: [%s]}\n", upstream.URL, known), 0o600))
	_, err = guard.Open(t.Context(), given.Guard, guard.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Policies: ReadPolicy})
	if err == nil || !strings.Contains(err.Error(), "perennial serve --guard") {
		t.Errorf("a guard without a service: %v", err)
	}
	s, err := open(t, given)
	testenv.Check(t, err)
	stop := run(t, s)
	_, root := get(t, s.BaseURL()+"/pki/ca.pem", "")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(root))
	for _, host := range []string{"guard.example.com", "api.example.com"} {
		caller := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: host,
			Certificates: []tls.Certificate{pair}}}}
		answer, err := caller.Get(s.GuardURL())
		testenv.Check(t, err)
		answer.Body.Close()
		if answer.StatusCode != http.StatusNotFound { // of the upstream
			t.Errorf("%s: %s", host, answer.Status)
		}
	}
	testenv.Check(t, stop())
	testenv.Check(t, s.Close())
}
