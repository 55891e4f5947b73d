package api

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestOnlyAGatewaysTokenReachesTheControlPathAndItReachesNothingElse(t *testing.T) {
	f := setUp(t)
	f.http.Config.Handler = handler(t, Config{Store: f.store, Engine: f.engine.Engine, Issuer: f.issuer,
		Seal: f.engine.Seal,
		Now:  func() time.Time { return f.now },
		Log:  f.engine.Log, Gateways: func(name string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "gateway "+name) })
		}})
	for _, role := range []string{"sender", "gateway"} {
		body := fmt.Sprintf(`{"name":"edge","role":%q}`, role)
		if role == "sender" {
			body = `{"name":"edge","role":"sender","tenant":"acme"}`
		}
		f.tokens[role] = f.ok("operator", "POST", "/tokens", 201, body)["secret"].(string)
	}
	path := strings.TrimPrefix(control.Path, prefix) + "anything"
	for who, want := range map[string]int{"": 401, "operator": 403, "acme/alice": 403, "sender": 403, "gateway": 200} {
		if a := f.call(who, "GET", path, ""); a.status != want || want == 200 && a.raw != "gateway edge" {
			t.Errorf("%q at the control path: %d %s, want %d", who, a.status, a.raw, want)
		}
	}
	if a := f.call("gateway", "GET", "/tenants", ""); a.status != 403 {
		t.Errorf("a gateway at the API: %d", a.status)
	}
}

func TestALinkIsWorthlessAfterItsTimeAndItsRevocation(t *testing.T) {
	f := setUp(t)
	const links = "/tenants/acme/arrangements/crm-to-erp/rollover/links"
	create := func() (id, secret string) {
		made := f.ok("acme/alice", "POST", links, 201, "")
		u, err := url.Parse(made["url"].(string))
		check(t, err)
		return made["id"].(string), u.Path[strings.LastIndex(u.Path, "/")+1:]
	}
	gone := f.call("", "GET", "/links/NOTHING", "")
	if gone.status != 404 {
		t.Fatalf("a link that never was: %d", gone.status)
	}
	wants := func(name, secret string, status int) {
		t.Helper()
		for _, r := range []struct{ method, path string }{{"GET", "/links/" + secret},
			{"POST", "/links/" + secret + "/installed"}} {
			a := f.call("", r.method, r.path, "")
			if a.status != status || status == 404 && a.raw != gone.raw {
				t.Errorf("%s %s: %d %s, want %d", r.method, name, a.status, a.raw, status)
			}
		}
	}
	id, secret := create()
	if a := f.call("", "GET", "/links/"+secret, ""); a.status != 200 || strings.Contains(a.raw, secret) {
		t.Errorf("a valid link: %d %s", a.status, a.raw)
	}
	if a := f.call("acme/bob", "DELETE", links+"/"+id, ""); a.status != 204 {
		t.Fatalf("revoking: %d %s", a.status, a.raw)
	}
	wants("a revoked link", secret, 404)
	_, secret = create()
	present := func(how tenancy.Authentication) {
		_, err := f.store.DB().ExecContext(t.Context(),
			"UPDATE arrangements SET authentication = ? WHERE name = 'crm-to-erp'", string(how))
		check(t, err)
	}
	present(tenancy.Basic)
	wants("a link of an arrangement that presents no certificate any more", secret, 404)
	present(tenancy.ClientCertificate)
	f.now = f.now.Add(tenancy.LinkKept)
	wants("an expired link", secret, 404)
}

func TestACertificateNamesTheListThatRevokesIt(t *testing.T) {
	now := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	var s *httptest.Server
	mux := http.NewServeMux()
	s = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	engine, ca := enginetest.NewPublishing(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), s.URL+"/pki", now)
	mux.Handle("/", handler(t, Config{Store: engine.Store, Engine: engine.Engine, Issuer: ca, Seal: engine.Seal,
		Now: func() time.Time { return now }, Log: engine.Log}))
	tenant := engine.Tenant(t, "acme", now)
	first := engine.Generation(t, tenant.ID, 1)
	if len(first.CRLDistributionPoints) != 1 {
		t.Fatalf("the certificate names %d lists", len(first.CRLDistributionPoints))
	}
	var issuing *x509.Certificate
	for rest := ca.Bundle(); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		one, err := x509.ParseCertificate(block.Bytes)
		check(t, err)
		if first.CheckSignatureFrom(one) == nil {
			issuing = one
		}
	}
	read := func() *x509.RevocationList {
		t.Helper()
		res, err := http.Get(first.CRLDistributionPoints[0])
		check(t, err)
		defer res.Body.Close()
		der, err := io.ReadAll(res.Body)
		check(t, err)
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/pkix-crl" {
			t.Fatalf("%d %s", res.StatusCode, res.Header.Get("Content-Type"))
		}
		list, err := x509.ParseRevocationList(der)
		check(t, err)
		if err := list.CheckSignatureFrom(issuing); err != nil {
			t.Errorf("the list is not signed by the issuer: %v", err)
		}
		return list
	}
	if list := read(); len(list.RevokedCertificateEntries) != 0 {
		t.Errorf("%d certificates are revoked at first", len(list.RevokedCertificateEntries))
	}
	_, err := engine.RenewByHand(t.Context(), "acme", tenancy.ForTenant, "compromised", "test", now.Add(time.Hour))
	check(t, err)
	now = now.Add(2 * time.Hour)
	list := read()
	if len(list.RevokedCertificateEntries) != 1 ||
		list.RevokedCertificateEntries[0].SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Errorf("the list does not revoke exactly the compromised certificate: %v", list.RevokedCertificateEntries)
	}
	for _, path := range []string{"/pki/nothing.crl", "/pki/nothing"} {
		res, err := http.Get(s.URL + path)
		check(t, err)
		res.Body.Close()
		if res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestNoSecretOfAnAddressIsInTheLog(t *testing.T) {
	f := setUp(t)
	var log syncBuffer
	f.http.Config.Handler = handler(t, Config{Store: f.store, Engine: f.engine.Engine, Issuer: f.issuer,
		Seal: f.engine.Seal,
		Now:  func() time.Time { return f.now },
		Log:  slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	for _, path := range []string{"/unsubscribe/SECRET1", "/rollover/SECRET2/certificate", prefix + "/links/SECRET3",
		prefix + "/links/SECRET4/installed", "/feeds/SECRET5/x/", "/feeds/SECRET6/x/jwks.json", "/watched/SECRET7",
		prefix + "/links/SECRET8/watched", "/counterparty/SECRET9/certificates.zip"} {
		res, err := http.Get(f.http.URL + path)
		check(t, err)
		res.Body.Close()
	}
	f.call("operator", "GET", "/tenants", "")
	if text := log.String(); strings.Contains(text, "SECRET") || strings.Contains(text, "op-secret") ||
		strings.Count(text, "msg=request") != 10 {
		t.Errorf("the log:\n%s", text)
	}
}

func TestRefusedCallsOfKnownCallersAreLogged(t *testing.T) {
	f := setUp(t)
	f.tokens["sender"] = f.ok("operator", "POST", "/tokens", 201,
		`{"name":"shop","role":"sender","tenant":"acme"}`)["secret"].(string)
	gateway := f.ok("operator", "POST", "/tokens", 201, `{"name":"dmz","role":"gateway"}`)
	f.tokens["gateway"] = gateway["secret"].(string)
	var log syncBuffer
	f.http.Config.Handler = handler(t, Config{Store: f.store, Engine: f.engine.Engine, Issuer: f.issuer,
		Seal: f.engine.Seal, Now: func() time.Time { return f.now }, Log: slog.New(slog.NewTextHandler(&log, nil))})
	revoked := f.ok("operator", "POST", "/tokens", 201, `{"name":"gone","role":"operator"}`)
	f.tokens["revoked"] = revoked["secret"].(string)
	f.ok("operator", "DELETE", "/tokens/"+revoked["id"].(string), 204, "")
	for _, c := range []struct {
		who, path, want string
		status          int
	}{
		{"sender", "/tenants", `who="sender token shop"`, 403},
		{"gateway", "/tenants", `who="gateway token dmz"`, 403},
		{"acme/alice", "/tenants", `who="key user acme/alice"`, 403},
		{"acme/alice", "/tenants/globex", `call="tenant globex" reason="it is another tenant's"`, 404},
		{"revoked", "/overview", `call="GET /api/v1/overview" reason="this token was revoked`, 401},
	} {
		before := len(log.String())
		if got := f.call(c.who, "GET", c.path, ""); got.status != c.status {
			t.Errorf("%s by %s: %d", c.path, c.who, got.status)
		}
		if text := log.String()[before:]; !strings.Contains(text, "level=INFO") || !strings.Contains(text, c.want) {
			t.Errorf("%s by %s is logged as %q", c.path, c.who, text)
		}
	}
	before := len(log.String())
	f.call("operator", "GET", "/tenants", "")
	for range 50 {
		f.call("acme/alice", "GET", "/tenants", "")
	}
	if n := strings.Count(log.String()[before:], "\n"); n > 10 {
		t.Errorf("50 refusals are %d lines", n)
	}
}

func TestEveryAnswerForbidsSniffingFramesAndCaches(t *testing.T) {
	f := setUp(t)
	for _, path := range []string{prefix + "/tenants", prefix + "/nothing", "/healthz", "/unsubscribe/x", "/pki/ca.pem",
		"/rollover/x/certificate", "/feeds/x/y/", "/feeds/x/y/jwks.json"} {
		res, err := http.Get(f.http.URL + path)
		check(t, err)
		res.Body.Close()
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
			"Referrer-Policy":         "no-referrer",
			"Content-Security-Policy": "default-src 'none'; form-action 'self'; frame-ancestors 'none'"} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
}

func TestAFailingDatabaseIsNotAnsweredAsAnInvalidLinkOrToken(t *testing.T) {
	f := setUp(t)
	made := f.ok("acme/alice", "POST", "/tenants/acme/arrangements/crm-to-erp/rollover/links", 201, "")
	secret := made["url"].(string)[strings.LastIndex(made["url"].(string), "/")+1:]
	check(t, f.store.Close())
	if a := f.call("", "GET", "/links/"+secret, ""); a.status != 500 {
		t.Errorf("a link: %d %s", a.status, a.raw)
	}
	if a := f.call("operator", "GET", "/tenants", ""); a.status != 503 {
		t.Errorf("a token: %d %s", a.status, a.raw)
	}
}

func TestAnImportWithUnreadableProblemsIsNotShownAsValid(t *testing.T) {
	f := setUp(t)
	made := f.ok("operator", "POST", "/imports", 201, `{"tenants":"name\nBad Name\n"}`)
	if len(made["problems"].([]any)) == 0 {
		t.Fatal("the files have no problems")
	}
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.SQL().ExecContext(t.Context(), "UPDATE imports SET problems = 'x'")
		return err
	}))
	for _, path := range []string{"/imports", "/imports/" + made["id"].(string)} {
		if a := f.call("operator", "GET", path, ""); a.status != 500 {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
}

func TestAnUnreadablePlanIsNotShownAsEmpty(t *testing.T) {
	f := setUp(t)
	made := f.ok("operator", "POST", "/imports", 201, `{"tenants":"name\nhooli\n"}`)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.SQL().ExecContext(t.Context(), "UPDATE imports SET planned = 'x'")
		return err
	}))
	if a := f.call("operator", "GET", "/imports/"+made["id"].(string)+"/plan", ""); a.status != 500 {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestAnUnreadableAuthorityIsNotAnsweredAsOneThatIsNotAnnounced(t *testing.T) {
	f := setUp(t)
	made := f.ok("operator", "POST", "/authorities", 201, `{}`)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.SQL().ExecContext(t.Context(), "ALTER TABLE authorities RENAME TO gone")
		return err
	}))
	for _, path := range []string{
		"/authorities/" + made["id"].(string) + "/sign", "/tenants/acme/arrangements/crm-to-erp/authority",
	} {
		if a := f.call("operator", "POST", path, `{}`); a.status != 500 || strings.Contains(a.raw, "announced") {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
}
