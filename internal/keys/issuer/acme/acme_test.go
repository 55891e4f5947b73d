package acme_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/acme"
	"github.com/perennial-pki/perennial/internal/keys/issuer/exec"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/internal/testing/acmetest"
	"github.com/perennial-pki/perennial/internal/testing/issuertest"
	"github.com/perennial-pki/perennial/internal/testing/steptest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var check = testenv.Check

const domain = "tenants.example.com"

func request(t *testing.T) issuer.Request {
	t.Helper()
	key, err := keyring.Generate(tenancy.P256)
	check(t, err)
	return issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: time.Now(),
		Validity: 30 * 24 * time.Hour}
}

// kept writes a text to a file.
func kept(t *testing.T, text []byte) secret.Ref {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	check(t, os.WriteFile(path, text, 0o600))
	return secret.File(path)
}

func accountKey(t *testing.T) secret.Ref {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return kept(t, testca.KeyPEM(t, key))
}

// dnsProgram is a program that sets the records of [acmetest.StartDNS].
func dnsProgram(t *testing.T, records string) exec.Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dns")
	check(t, os.WriteFile(path, []byte(`#!/bin/sh
set -eu
input=$(cat)
text() { printf '%s' "$input" | sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p'; }
[ "$(text type)" = TXT ]
case $(text action) in
present) printf '%s' "$(text value)" >"$RECORDS/$(text name)" ;;
remove) rm "$RECORDS/$(text name)" ;;
*) exit 1 ;;
esac
`), 0o700))
	return exec.Program{Command: []string{path}, Environment: map[string]string{"RECORDS": records}}
}

// atStep are the settings of a real step-ca.
func atStep(t *testing.T) (c acme.Config, records string) {
	t.Helper()
	records = t.TempDir()
	port := testenv.Port(t)
	s := steptest.Start(t, "--resolver", acmetest.StartDNS(t, records), "--insecure", "--acme-http-port",
		fmt.Sprint(port))
	return acme.Config{Directory: s.URL + "/acme/acme/directory", Domain: domain, AccountKey: accountKey(t),
		HTTPListen: fmt.Sprintf("127.0.0.1:%d", port), RequestValidity: true, Roots: s.Roots,
		TLS: foreign.TLS{Roots: s.Roots}}, records
}

func open(t *testing.T, c acme.Config) issuer.Issuer {
	t.Helper()
	i, err := acme.Open(c)
	check(t, err)
	return i
}

func TestACMEConformsAtStepCA(t *testing.T) {
	c, _ := atStep(t)
	for _, c.CommonName = range []bool{false, true} {
		t.Run(fmt.Sprintf("common name %v", c.CommonName), func(t *testing.T) {
			issuertest.RunNow(t, func(t *testing.T, _ time.Time) issuer.Issuer { return open(t, c) })
		})
	}
}

func TestACMEReportsEachFault(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	issuertest.RunFaults(t, issuertest.Protocol{
		Kind: "acme",
		Settings: func(c *issuertest.CA) map[string]any {
			return map[string]any{"directory": c.URL + "/acme/dir", "domain": domain, "roots": c.Roots(),
				"account_key": "file:" + c.File("account.pem", testca.KeyPEM(t, key)),
				"tls":         map[string]any{"roots": c.WebRoots()}}
		},
		Serve:        serveAuthorized,
		Capabilities: []string{"revokes", "keeps names", "hints"},
	})
}

// serveAuthorized answers an order whose names are authorized already. The certificate is in the order's address.
func serveAuthorized(c *issuertest.CA, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Replay-Nonce", "n")
	order := func(status int, state, certificate string) {
		w.Header().Set("Location", c.URL+"/acme/order/1")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"status":%q,"authorizations":[],"finalize":%q,"certificate":%q}`, state, c.URL+"/acme/finalize",
			certificate)
	}
	switch r.URL.Path {
	case "/acme/dir":
		fmt.Fprintf(w, `{"newNonce":%q,"newAccount":%q,"newOrder":%q}`, c.URL+"/acme/nonce", c.URL+"/acme/account",
			c.URL+"/acme/order")
	case "/acme/account":
		w.Header().Set("Location", c.URL+"/acme/account/1")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"status":"valid"}`)
	case "/acme/order":
		order(http.StatusCreated, "ready", "")
	case "/acme/order/1":
		order(http.StatusOK, "ready", "")
	case "/acme/finalize":
		var message struct{ Payload string }
		json.NewDecoder(r.Body).Decode(&message)
		payload, _ := base64.RawURLEncoding.DecodeString(message.Payload)
		var request struct{ CSR string }
		json.Unmarshal(payload, &request)
		der, _ := base64.RawURLEncoding.DecodeString(request.CSR)
		chain, err := c.Sign(der)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		order(http.StatusOK, "valid", c.URL+"/acme/certificate?"+base64.RawURLEncoding.EncodeToString(testca.PEM(chain...)))
	case "/acme/certificate":
		chain, _ := base64.RawURLEncoding.DecodeString(r.URL.RawQuery)
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		w.Write(chain)
	}
}

func TestANameIsProvedByADNSRecordThatIsRemovedAfterwards(t *testing.T) {
	c, records := atStep(t)
	c.HTTPListen, c.DNS = "", dnsProgram(t, records)
	if _, err := issuer.Checked(open(t, c)).Issue(t.Context(), request(t)); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(records); err != nil || len(left) > 0 {
		t.Errorf("%d records are left: %v", len(left), err)
	}
}

func TestACertificateKeepsItsNamesBelowTheDomainOnly(t *testing.T) {
	i, err := acme.Open(acme.Config{Directory: "https://ca.example.com", Domain: domain, AccountKey: accountKey(t),
		Roots: testca.New(t, "R", time.Now()).RootFile(t), CommonName: true})
	check(t, err)
	subject, err := asn1.Marshal(pkix.Name{CommonName: "my300001"}.ToRDNSequence())
	check(t, err)
	for name, want := range map[string]string{
		"":                           "CN=acme." + domain + " DNS:acme." + domain,
		"my300001." + domain:         "CN=my300001." + domain + " DNS:my300001." + domain,
		"my300001.elsewhere.example": "CN=acme." + domain + " DNS:acme." + domain,
		"evil" + domain:              "CN=acme." + domain + " DNS:acme." + domain,
	} {
		r := request(t)
		r.Replaces = &certfile.Names{Subject: subject}
		if name != "" {
			r.Replaces.SAN, err = certfile.SANOf(certfile.GeneralName{Kind: certfile.DNSName, Value: name})
			check(t, err)
		}
		names, err := i.Names(r)
		check(t, err)
		if s, san := names.Text(); s+" "+san != want {
			t.Errorf("%q: %s %s, want %s", name, s, san, want)
		}
	}
}

// atPebble are the settings of a real Pebble, with the binding that it demands.
func atPebble(t *testing.T) (c acme.Config, p *acmetest.Pebble) {
	t.Helper()
	p = acmetest.StartPebble(t, acmetest.StartDNS(t, t.TempDir()))
	c = acme.Config{Directory: p.Directory, Domain: domain, AccountKey: accountKey(t), Roots: p.Roots,
		HTTPListen: fmt.Sprintf("127.0.0.1:%d", p.HTTPPort), TLS: foreign.TLS{Roots: p.TLSRoots}, AgreeTerms: true,
		RequestValidity: true}
	c.EAB.KeyID, c.EAB.Key = acmetest.EABKeyID, kept(t, []byte(acmetest.EABKey+"\n"))
	return c, p
}

func TestAnAccountIsBoundToAnExternalOne(t *testing.T) {
	c, _ := atPebble(t)
	i := open(t, c)
	issued, err := i.Issue(t.Context(), request(t))
	if err != nil || len(issued.Chain) == 0 {
		t.Fatalf("%v, a chain of %d", err, len(issued.Chain))
	}
	// Pebble is like a public CA: it issues for servers only.
	_, err = issuer.Checked(i).Issue(t.Context(), request(t))
	if fault, _ := issuer.FaultOf(err); fault != issuer.Mismatched || !strings.Contains(err.Error(), "client auth") {
		t.Errorf("%q, %v", fault, err)
	}
	revoker, _ := issuer.As[issuer.Revoker](i)
	for range 2 {
		check(t, revoker.Revoke(t.Context(), tenancy.Certificate{Serial: issued.Serial, DER: issued.DER,
			RevokedAt: time.Now(), RevokedFor: "compromised"}))
	}
	for name, change := range map[string]func(*acme.Config){
		"no external account":          func(c *acme.Config) { c.EAB.KeyID, c.EAB.Key = "", secret.Ref{} },
		"another external account":     func(c *acme.Config) { c.EAB.KeyID = "other" },
		"another external account key": func(c *acme.Config) { c.EAB.Key = kept(t, []byte("aHVzaA")) },
		"terms that are not agreed to": func(c *acme.Config) { c.AgreeTerms = false },
	} {
		other := c
		other.AccountKey = accountKey(t)
		change(&other)
		_, err := open(t, other).Issue(t.Context(), request(t))
		if fault, _ := issuer.FaultOf(err); fault != issuer.Denied {
			t.Errorf("%s: %q, %v", name, fault, err)
		}
	}
}

func TestAHintOfTheCAMovesARenewalEarlierOnly(t *testing.T) {
	c, p := atPebble(t)
	i := open(t, c)
	issued, err := i.Issue(t.Context(), request(t))
	check(t, err)
	now := time.Now()
	hinter, _ := issuer.As[issuer.Hinter](i)
	stored := tenancy.Certificate{Serial: issued.Serial, DER: issued.DER}
	if h, ok, err := hinter.Hint(t.Context(), stored, now); err != nil || !ok || !h.From.After(now) ||
		!h.To.Before(issued.NotAfter) {
		t.Errorf("a certificate that may stay: %+v, %v, %v", h, ok, err)
	}
	from, to := now.Add(time.Hour).UTC().Truncate(time.Second), now.Add(2*time.Hour).UTC().Truncate(time.Second)
	p.Suggest(t, issued.DER, from, to)
	h, ok, err := hinter.Hint(t.Context(), stored, now)
	if err != nil || !ok || !h.From.Equal(from) || !h.To.Equal(to) || h.Explanation != "https://ca.example.com/why" ||
		!h.AskAt.After(now) {
		t.Fatalf("%+v, %v, %v", h, ok, err)
	}
	for planned, early := range map[time.Time]bool{now: false, from.Add(-time.Minute): false, to: true,
		to.AddDate(0, 1, 0): true} {
		switch at := h.Renewal(planned, issued.Serial); {
		case early && (at.Before(from) || at.After(to)):
			t.Errorf("planned for %s: renewed at %s, outside the window", planned, at)
		case !early && !at.Equal(planned):
			t.Errorf("planned for %s: postponed to %s", planned, at)
		}
	}
	p.Suggest(t, issued.DER, to, from)
	if _, ok, err := hinter.Hint(t.Context(), stored, now); err == nil || ok {
		t.Error("a window that ends before it begins is accepted")
	}
}

// scripted is a CA whose answers are fixed, for what a real one does rarely.
func scripted(t *testing.T, status int, kind, retry string) acme.Config {
	t.Helper()
	now := time.Now()
	ca := testca.New(t, "Scripted", now)
	mux := http.NewServeMux()
	server := httptest.NewUnstartedServer(mux)
	server.TLS = testca.ServerTLS(ca.Server(t, now.Add(-time.Hour), now.Add(time.Hour)))
	server.StartTLS()
	t.Cleanup(server.Close)
	mux.HandleFunc("/dir", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"newNonce":%q,"newAccount":%q,"newOrder":%q}`, server.URL+"/nonce", server.URL+"/account",
			server.URL+"/order")
	})
	mux.HandleFunc("/nonce", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Replay-Nonce", "n") })
	mux.HandleFunc("/account", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", server.URL+"/account/1")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"status":"valid"}`)
	})
	mux.HandleFunc("/order", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		if retry != "" {
			w.Header().Set("Retry-After", retry)
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s","detail":"the CA's own words","status":%d}`, kind, status)
	})
	return acme.Config{Directory: server.URL + "/dir", Domain: domain, AccountKey: accountKey(t), Roots: ca.RootFile(t),
		TLS: foreign.TLS{Roots: ca.RootFile(t)}}
}

func TestEachProblemOfACMEHasItsKind(t *testing.T) {
	for kind, c := range map[string]struct {
		status int
		retry  string
		want   issuer.Fault
	}{
		"rateLimited":        {429, "60", issuer.Limited},
		"serverInternal":     {500, "", issuer.Broken},
		"unauthorized":       {403, "", issuer.Denied},
		"rejectedIdentifier": {400, "", issuer.Rejected},
		"userActionRequired": {403, "", issuer.Denied},
		"maintenance":        {503, "60", issuer.Unreachable},
	} {
		r := request(t)
		_, err := open(t, scripted(t, c.status, kind, c.retry)).Issue(t.Context(), r)
		fault, retry := issuer.FaultOf(err)
		want := time.Time{}
		if c.retry != "" {
			want = r.At.Add(time.Minute)
		}
		if fault != c.want || !retry.Equal(want) || !strings.Contains(err.Error(), "the CA's own words") {
			t.Errorf("%s: %q, again at %s, %v", kind, fault, retry, err)
		}
	}
}

func TestAProofThatCannotBeGivenIsAnError(t *testing.T) {
	c, records := atStep(t)
	for name, f := range map[string]struct {
		change func(*acme.Config)
		want   issuer.Fault
		text   string
	}{
		"none is configured": {func(c *acme.Config) { c.HTTPListen = "" }, issuer.Rejected, "none of them is configured"},
		"an address in use": {func(c *acme.Config) {
			c.HTTPListen = strings.TrimPrefix(strings.TrimSuffix(c.Directory, "/acme/acme/directory"), "https://")
		}, issuer.Unreachable, "address already in use"},
		"a record that is not set": {func(c *acme.Config) {
			c.HTTPListen, c.DNS = "", dnsProgram(t, filepath.Join(records, "missing"))
		}, issuer.Rejected, "present the DNS record"},
	} {
		config := c
		f.change(&config)
		_, err := open(t, config).Issue(t.Context(), request(t))
		if fault, _ := issuer.FaultOf(err); fault != f.want || !strings.Contains(err.Error(), f.text) {
			t.Errorf("%s: %q, %v", name, fault, err)
		}
	}
}

func TestInvalidSettingsOfACMEAreRefused(t *testing.T) {
	good := acme.Config{Directory: "https://ca.example.com/dir", Domain: domain, AccountKey: accountKey(t),
		Roots: testca.New(t, "R", time.Now()).RootFile(t)}
	open(t, good)
	for name, change := range map[string]func(*acme.Config){
		"no directory":      func(c *acme.Config) { c.Directory = "" },
		"no domain":         func(c *acme.Config) { c.Domain = "" },
		"a domain with *":   func(c *acme.Config) { c.Domain = "*.example.com" },
		"no account key":    func(c *acme.Config) { c.AccountKey = secret.Ref{} },
		"half a binding":    func(c *acme.Config) { c.EAB.KeyID = "kid" },
		"a negative time":   func(c *acme.Config) { c.Timeout = -1 },
		"no roots":          func(c *acme.Config) { c.Roots = "" },
		"TLS roots":         func(c *acme.Config) { c.TLS.Roots = "missing.pem" },
		"a relative script": func(c *acme.Config) { c.DNS.Command = []string{"dns"} },
	} {
		c := good
		change(&c)
		if _, err := acme.Open(c); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestAnAccountKeyThatCannotBeReadIsAnError(t *testing.T) {
	c := acme.Config{Directory: "https://127.0.0.1:1/dir", Domain: domain,
		Roots: testca.New(t, "R", time.Now()).RootFile(t)}
	for _, kind := range []string{"EC PRIVATE KEY", "RSA PRIVATE KEY", "PRIVATE KEY", "CERTIFICATE"} {
		c.AccountKey = kept(t, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("damaged")}))
		_, err := open(t, c).Issue(t.Context(), request(t))
		if err == nil || !strings.Contains(err.Error(), "is not an RSA or ECDSA key in PEM") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
