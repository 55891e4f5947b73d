package api

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A publisher is an installation whose CA publishes its lists, at the time of the machine, as other programs need it.
type publisher struct {
	t      *testing.T
	engine *enginetest.Installation
	ca     *local.CA
	url    string
	api    http.Handler
	now    time.Time
	signed int             // revocation lists
	web    tls.Certificate // of a receiver
}

// counted counts the revocation lists that a CA signs.
type counted struct {
	issuer.Issuer
	p *publisher
}

func (c counted) Unwrap() issuer.Issuer { return c.Issuer }

func (c counted) CRL(id string, revoked []issuer.Revocation, now time.Time) ([]byte, error) {
	c.p.signed++
	return c.p.ca.CRL(id, revoked, now)
}

func publishing(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{t: t, now: time.Now().UTC().Truncate(time.Second)}
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	p.url = s.URL
	p.engine, p.ca = enginetest.NewPublishing(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), s.URL+"/pki", p.now)
	p.web = enginetest.ServerCertificate(t, p.ca)
	p.api = handler(t, Config{Store: p.engine.Store, Engine: p.engine.Engine, Issuer: counted{p.ca, p},
		Seal: p.engine.Seal, Now: func() time.Time { return p.now }, Log: p.engine.Log})
	mux.Handle("/", p.api)
	return p
}

// awaits demands that the metrics have the date of the next issuing CA at an instant, and not now.
func (p *publisher) awaits(at time.Time) {
	p.t.Helper()
	now := p.now
	defer func() { p.now = now }()
	f := &fixture{t: p.t, http: &httptest.Server{Config: &http.Server{Handler: p.api}}}
	for _, p.now = range []time.Time{now, at} {
		want := []string{}
		if by, due := p.ca.Awaited(p.now); due {
			want = append(want, fmt.Sprintf("perennial_authority_awaited_by_seconds %v", float64(by.Unix())))
		}
		got := f.scrape("perennial_authority_awaited_by_seconds")
		if !slices.Equal(got, want) || (len(want) > 0) == p.now.Equal(now) {
			p.t.Errorf("at %s: %q, want %q", p.now, got, want)
		}
	}
}

func (p *publisher) get(url string) []byte {
	p.t.Helper()
	res, err := http.Get(url)
	check(p.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	check(p.t, err)
	if res.StatusCode != 200 {
		p.t.Fatalf("%s: %d %s", url, res.StatusCode, data)
	}
	return data
}

// pair returns a generation with its key and its chain, as a gateway presents it.
func (p *publisher) pair(tenant tenancy.Tenant, generation int) tls.Certificate {
	p.t.Helper()
	c, err := p.engine.Store.Certificate(p.t.Context(), tenant.ID, tenancy.ForTenant, generation)
	check(p.t, err)
	key, err := p.engine.PrivateKey(p.t.Context(), c)
	check(p.t, err)
	chain, err := p.engine.Store.Chain(p.t.Context(), c.IssuerID)
	check(p.t, err)
	return tls.Certificate{Certificate: append([][]byte{c.DER}, chain...), PrivateKey: key}
}

// accepted reports whether nginx and OpenSSL accept a certificate with the lists that are published now.
func (p *publisher) accepted(pair tls.Certificate) (nginx, openssl bool) {
	p.t.Helper()
	dir, port := p.t.TempDir(), testenv.Port(p.t)
	files := map[string][]byte{"ca.pem": p.get(p.url + "/pki/ca.pem"), "crl.pem": p.get(p.url + "/pki/crl.pem"),
		"leaf.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		"nginx.conf": fmt.Appendf(nil, `user root; daemon off; pid nginx.pid; error_log error.log info; events {}
			http { access_log off;
			client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
			server { listen 127.0.0.1:%d ssl; ssl_certificate server.pem; ssl_certificate_key server.pem;
			ssl_client_certificate ca.pem; ssl_verify_client on; ssl_verify_depth 3; ssl_crl crl.pem;
			location / { return 200 "ok"; } } }`, port)}
	program, err := exec.LookPath("nginx")
	check(p.t, err)
	address := testenv.TLSServer{Dir: dir, Port: port, Pair: p.web, Files: files}.Start(
		p.t, exec.Command(program, "-e", "error.log", "-p", dir, "-c", "nginx.conf"))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}}} // the test is about the client's certificate
	defer client.CloseIdleConnections()
	res, err := client.Get("https://" + address)
	check(p.t, err)
	res.Body.Close()
	cmd := exec.CommandContext(p.t.Context(), "openssl", "verify", "-x509_strict", "-purpose", "sslclient",
		"-crl_check_all", "-CAfile", "ca.pem", "-CRLfile", "crl.pem", "leaf.pem")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(string(out), "certificate revoked") {
		p.t.Errorf("openssl: %v\n%s", err, out)
	}
	if res.StatusCode != 200 {
		log, err := os.ReadFile(filepath.Join(dir, "error.log"))
		if err != nil || !strings.Contains(string(log), "certificate revoked") {
			p.t.Errorf("nginx answers %d for another reason: %s", res.StatusCode, log)
		}
	}
	return res.StatusCode == 200, err == nil
}

// A server that checks revocation wants the list of every authority in the chain, also of the root.
func TestServersThatCheckEveryListAcceptWhatIsNotRevoked(t *testing.T) {
	p := publishing(t)
	acme, globex := p.engine.Tenant(t, "acme", p.now), p.engine.Tenant(t, "globex", p.now)
	wants := func(what string, pair tls.Certificate, want bool) {
		t.Helper()
		if nginx, openssl := p.accepted(pair); nginx != want || openssl != want {
			t.Errorf("%s: nginx accepts it: %v, openssl: %v, want %v", what, nginx, openssl, want)
		}
	}
	first, other := p.pair(acme, 1), p.pair(globex, 1)
	wants("a certificate that is not revoked", first, true)
	_, err := p.engine.RenewByHand(t.Context(), "acme", tenancy.ForTenant, lifecycle.Compromised, "test", p.now)
	check(t, err)
	wants("a revoked one", first, false)
	wants("its successor", p.pair(acme, 2), true)
	wants("that of another tenant", other, true)

	signing := p.ca.Signing(p.now)
	check(t, p.engine.RevokeAuthority(t.Context(), signing.ID, lifecycle.Compromised, "test", p.now))
	wants("one of a revoked authority", other, false)
	check(t, p.engine.Tick(t.Context(), p.now))
	wants("its successor under another authority", p.pair(globex, 2), true)
}

func TestServersThatCheckEveryListAcceptWhatIsBelowARootThatIsOffline(t *testing.T) {
	p := publishing(t)
	f := &fixture{t: t, http: &httptest.Server{URL: p.url}, tokens: map[string]string{"operator": "op-secret"}}
	check(t, p.engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateToken(t.Context(), tenancy.Token{ID: store.NewID(), Name: "first", Role: tenancy.RoleOperator,
			CreatedAt: p.now, ExpiresAt: p.now.AddDate(1, 0, 0)}, tenancy.HashSecret("op-secret"))
	}))
	acme, root := p.engine.Tenant(t, "acme", p.now), p.ca.Plans(p.now)[0]
	const passphrase = "correct horse battery staple"
	export := "/authorities/" + root.ID + "/export"
	if a := f.call("operator", "POST", export, `{"passphrase":"frosty"}`); a.status != 422 ||
		strings.Contains(a.raw, "frosty") {
		t.Errorf("a short passphrase: %d %s", a.status, a.raw)
	}
	file := f.ok("operator", "POST", export, 200, `{"passphrase":"`+passphrase+`"}`)["file"].(string)
	opened, err := local.OpenExport([]byte(file), passphrase, p.now)
	check(t, err)
	signature, err := opened.Proof(root.ID)
	check(t, err)
	remove := "/authorities/" + root.ID + "/remove-key"
	proof := `{"proof":"` + base64.StdEncoding.EncodeToString(signature) + `"}`
	f.ok("operator", "POST", remove, 409, `{"proof":"eA=="}`)
	if shown := f.ok("operator", "POST", remove, 200, proof); shown["key"] != "elsewhere" || shown["unlisted"] != nil {
		t.Errorf("the root is shown as %v", shown)
	}
	f.ok("operator", "POST", remove, 409, proof)
	list, err := x509.ParseRevocationList(p.get(p.url + "/pki/" + root.ID + ".crl"))
	check(t, err)
	if !list.NextUpdate.Equal(root.NotAfter) || list.CheckSignatureFrom(opened.Root) != nil {
		t.Errorf("the last list is valid until %s, and the root until %s", list.NextUpdate, root.NotAfter)
	}
	p.awaits(p.ca.Signing(p.now).NotAfter.AddDate(-1, 0, 0))
	first := p.pair(acme, 1)
	if nginx, openssl := p.accepted(first); !nginx || !openssl {
		t.Errorf("with the last list of the root: nginx %v, openssl %v", nginx, openssl)
	}

	// A revocation is published after the key was brought back.
	announced, err := p.ca.RequestAuthority(t.Context(), "", p.now)
	check(t, err)
	chain, err := opened.Sign(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: announced.CSR}), p.now)
	check(t, err)
	_, err = p.ca.InstallAuthority(t.Context(), chain, time.Time{}, p.now)
	check(t, err)
	check(t, p.engine.RevokeAuthority(t.Context(), p.ca.Signing(p.now).ID, lifecycle.Compromised, "test", p.now))
	brought, err := json.Marshal(map[string]string{"file": file, "passphrase": passphrase})
	check(t, err)
	if shown := f.ok("operator", "POST", "/authorities/import", 200, string(brought)); shown["key"] != "sealed" {
		t.Errorf("the root is shown as %v", shown)
	}
	if nginx, openssl := p.accepted(first); nginx || openssl {
		t.Errorf("below a revoked authority: nginx %v, openssl %v", nginx, openssl)
	}
	check(t, p.engine.Tick(t.Context(), p.now))
	if nginx, openssl := p.accepted(p.pair(acme, 2)); !nginx || !openssl {
		t.Errorf("its successor: nginx %v, openssl %v", nginx, openssl)
	}
	events, err := p.engine.Store.Events(t.Context(), "", 0, 1000)
	check(t, err)
	for _, want := range []string{"authority.exported", "authority.key-removed", "authority.key-restored"} {
		if !slices.ContainsFunc(events, func(e tenancy.Event) bool { return e.Action == want && e.Object == root.ID }) {
			t.Errorf("no event %s", want)
		}
	}
}

func TestEveryCertificateBelowTheRootNamesAListOverPlainHTTP(t *testing.T) {
	p := publishing(t)
	leaf := p.engine.Generation(t, p.engine.Tenant(t, "acme", p.now).ID, 1)
	rest, lists := p.get(p.url+"/pki/ca.pem"), 0
	authorities := []*x509.Certificate{leaf}
	for block, more := pem.Decode(rest); block != nil; block, more = pem.Decode(more) {
		c, err := x509.ParseCertificate(block.Bytes)
		check(t, err)
		authorities = append(authorities, c)
	}
	for _, c := range authorities {
		if c.CheckSignatureFrom(c) == nil {
			if len(c.CRLDistributionPoints) != 0 {
				t.Errorf("the root names the list %v, which cannot revoke it", c.CRLDistributionPoints)
			}
			continue
		}
		if len(c.CRLDistributionPoints) != 1 || !strings.HasPrefix(c.CRLDistributionPoints[0], "http://") {
			t.Fatalf("%s names the lists %v", c.Subject, c.CRLDistributionPoints)
		}
		list, err := x509.ParseRevocationList(p.get(c.CRLDistributionPoints[0]))
		check(t, err)
		for _, above := range authorities {
			if c.CheckSignatureFrom(above) == nil {
				check(t, list.CheckSignatureFrom(above))
				lists++
			}
		}
	}
	if lists != 2 {
		t.Errorf("%d lists were checked, want that of the issuing CA and that of the root", lists)
	}
}

// A list is valid for seven days. It is signed again long before it ends, and at once if something is revoked, but not
// for each request.
func TestRevocationListsAreKeptAndSignedAgainInTimeAlsoForAuthoritiesThatNoLongerSign(t *testing.T) {
	p := publishing(t)
	p.engine.Tenant(t, "acme", p.now)
	old := p.ca.Signing(p.now)
	_, err := p.ca.Announce(t.Context(), p.now, issuer.Succession{SignsFrom: p.now})
	check(t, err)
	if p.ca.Signing(p.now).ID == old.ID {
		t.Fatal("no other authority signs")
	}
	read := func(id string) *x509.RevocationList {
		t.Helper()
		list, err := x509.ParseRevocationList(p.get(p.url + "/pki/" + id + ".crl"))
		check(t, err)
		return list
	}
	for _, id := range []string{old.ID, old.ParentID} {
		p.signed = 0
		first := read(id)
		for range 50 {
			read(id)
		}
		if p.signed != 1 {
			t.Errorf("51 requests at one time cost %d signatures", p.signed)
		}
		number := first.Number
		for range 60 * 24 {
			p.now = p.now.Add(time.Hour)
			if list := read(id); list.NextUpdate.Sub(p.now) < 6*24*time.Hour || list.Number.Cmp(number) < 0 {
				t.Fatalf("at %s the list ends at %s and has the number %s after %s", p.now, list.NextUpdate, list.Number, number)
			} else {
				number = list.Number
			}
		}
		if p.signed > 60*2+1 {
			t.Errorf("%d signatures in 60 days", p.signed)
		}
	}
	before := len(read(old.ID).RevokedCertificateEntries)
	_, err = p.engine.RenewByHand(t.Context(), "acme", tenancy.ForTenant, lifecycle.Lost, "test", p.now)
	check(t, err)
	if got := len(read(old.ID).RevokedCertificateEntries); got != before+1 {
		t.Errorf("%d entries right after a revocation, want %d", got, before+1)
	}
	check(t, p.engine.RevokeAuthority(t.Context(), old.ID, lifecycle.Superseded, "test", p.now))
	if got := read(old.ParentID).RevokedCertificateEntries; len(got) != 1 || got[0].ReasonCode != issuer.Superseded {
		t.Errorf("the root's list right after the revocation of an authority: %v", got)
	}
	if res, err := http.Head(p.url + "/pki/" + old.ID + ".crl"); err != nil ||
		res.Header.Get("Cache-Control") != "public, max-age=300" || res.Header.Get("Last-Modified") == "" {
		t.Errorf("caches are told %v, %v", res.Header, err)
	}
}
