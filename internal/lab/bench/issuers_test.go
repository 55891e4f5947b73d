package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/issuers"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/acmetest"
	"github.com/perennial-pki/perennial/internal/testing/esttest"
	"github.com/perennial-pki/perennial/internal/testing/steptest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/internal/testing/vaulttest"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

var issuerTable = flag.String("issuers", "", "measure each kind of issuer, and write the table to this file")

// together is the number of requests that are sent to a CA at the same time.
const together = 16

var form = issuer.Form{TrustDomain: "bench.example.com", Organization: "Bench"}

// A foreignCA is an issuer of a kind, with a limit that it is measured against.
type foreignCA struct {
	kind, against, goal string
	due                 int
	settings            map[string]any
	// limit returns certificates per second; nil for those of the issuer alone, with new keys.
	limit func(t *testing.T) float64
}

// TestIssuers prints the table of docs/performance.md: make bench-issuers.
func TestIssuers(t *testing.T) {
	if *issuerTable == "" {
		t.Skip("takes 3 minutes: run make bench-issuers")
	}
	var rows []Row
	for _, c := range foreignCAs(t) {
		from := c.open(t)
		limit := c.limit
		if limit == nil {
			limit = func(t *testing.T) float64 { return certificatesOf(t, from) }
		}
		before := limit(t)
		renewed := renewalsFrom(t, from, c.due)
		alone := (before + limit(t)) / 2
		rows = append(rows, Row{"whole renewals, " + c.kind, c.against,
			fmt.Sprintf("%.0f/s against %.0f/s: %s", renewed, alone, ratio(renewed, alone)), c.goal})
		t.Log(rows[len(rows)-1])
	}
	out, err := os.Create(*issuerTable)
	testenv.Check(t, err)
	defer out.Close()
	PrintRows(io.MultiWriter(out, os.Stdout), rows)
}

func foreignCAs(t *testing.T) []foreignCA {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, mode os.FileMode, data []byte) string {
		path := filepath.Join(dir, name)
		testenv.Check(t, os.WriteFile(path, data, mode))
		return path
	}
	secret := func(name, value string) string { return "file:" + file(name, 0o600, []byte(value)) }
	const alone = "new keys and certificates of the same CA"

	step, vault, est := steptest.Start(t), vaulttest.Start(t), esttest.Start(t)
	port := testenv.Port(t)
	ordered := steptest.Start(t, "--resolver", acmetest.StartDNS(t, t.TempDir()), "--insecure", "--acme-http-port",
		fmt.Sprint(port))
	account, err := keyring.Generate(tenancy.P256)
	testenv.Check(t, err)
	script := testca.New(t, "Script", time.Now())
	sign := file("sign", 0o700, []byte(`#!/bin/sh
request=$(mktemp) && trap 'rm "$request"' EXIT
sed 's/.*"csr":"\([^"]*\)".*/\1/; s/\\n/\n/g' >"$request"
openssl x509 -req -in "$request" -CA "$DIR/issuing.pem" -CAkey "$DIR/issuing.key" -days 365 -copy_extensions copy \
	-set_serial "0x4$(openssl rand -hex 15)" -extfile "$DIR/extensions" 2>/dev/null
cat "$DIR/issuing.pem"
`))
	file("issuing.pem", 0o600, testca.PEM(script.Issuing.Raw))
	file("issuing.key", 0o600, testca.KeyPEM(t, script.Key))
	file("extensions", 0o600, []byte("extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\n"))
	return []foreignCA{
		{kind: "step-ca", against: "step-ca `/1.0/sign`, a bare client", goal: "0.9", due: 6000,
			settings: map[string]any{"url": step.URL, "fingerprint": step.Fingerprint, "provisioner": "perennial",
				"key": "file:" + step.Key, "password": "file:" + step.Password},
			limit: func(t *testing.T) float64 { return stepSigns(t, step) }},
		{kind: "vault", against: alone + " (a fake)", due: 6000, settings: map[string]any{"url": vault.URL,
			"role": "tenants", "roots": vault.Roots, "tls": map[string]any{"roots": vault.Roots},
			"auth": map[string]any{"method": "token", "token": secret("token", vaulttest.RootToken)}}},
		{kind: "est", against: alone + " (a server of the tests)", due: 6000, settings: map[string]any{"url": est.URL,
			"username": esttest.Username, "password": secret("password", esttest.Password), "roots": est.Roots,
			"tls": map[string]any{"roots": est.Roots}}},
		{kind: "acme", against: alone + " (step-ca)", due: 600, settings: map[string]any{
			"directory": ordered.URL + "/acme/acme/directory", "domain": form.TrustDomain,
			"account_key": "file:" + file("account.pem", 0o600, testca.KeyPEM(t, account)), "request_validity": true,
			"http_listen": fmt.Sprintf("127.0.0.1:%d", port), "roots": ordered.Roots,
			"tls": map[string]any{"roots": ordered.Roots}}},
		{kind: "exec", against: alone + " (`openssl x509`)", due: 600, settings: map[string]any{"command": []string{sign},
			"environment": map[string]string{"DIR": dir}, "roots": script.RootFile(t)}},
	}
}

// open opens the issuer from a file, as the service does. JSON is YAML.
func (c foreignCA) open(t *testing.T) issuer.Issuer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "issuers.yml")
	data, err := json.Marshal(map[string]any{"issuers": []any{map[string]any{"name": "theirs", "kind": c.kind,
		"parallel": together, "settings": c.settings}}})
	testenv.Check(t, err)
	testenv.Check(t, os.WriteFile(path, data, 0o600))
	all, err := issuers.OpenAll(path, issuers.Env{Form: form, Log: slog.New(slog.DiscardHandler)})
	testenv.Check(t, err)
	return all["theirs"]
}

// renewalsFrom returns the whole renewals per second of a run whose certificates all come from one issuer.
func renewalsFrom(t *testing.T, from issuer.Issuer, due int) float64 {
	t.Helper()
	f, err := newFleet(t.Context(), "", func(c *lifecycle.Config) {
		c.Issuer, c.IssuerName, c.Issuers = from, "theirs", issuer.Set{"theirs": from}
	})
	testenv.Check(t, err)
	defer f.close()
	testenv.Check(t, f.fill(t.Context(), due, due, 0, threeUsers))
	started := time.Now()
	run, err := f.engine.Run(t.Context(), runDate, started) // a CA elsewhere has its own clock
	testenv.Check(t, err)
	if run.Renewed != due {
		t.Fatalf("%d certificates were renewed, want %d", run.Renewed, due)
	}
	return float64(due) / time.Since(started).Seconds()
}

// certificatesOf returns the certificates per second of an issuer alone.
func certificatesOf(t *testing.T, from issuer.Issuer) float64 {
	t.Helper()
	return atOnce(t, func(ctx context.Context, i int) error {
		key, err := keyring.Generate(tenancy.P256)
		if err == nil {
			_, err = from.Issue(ctx, issuer.Request{Tenant: fmt.Sprint("tenant-", i), Purpose: tenancy.ForTenant, Key: key,
				At: time.Now(), Validity: 365 * policy.Day})
		}
		return err
	})
}

// stepSigns returns the rate of /1.0/sign, asked by a client that only signs tokens: its request for a certificate
// is always the same, and it reads no answer.
func stepSigns(t *testing.T, s *steptest.Server) float64 {
	t.Helper()
	data, err := os.ReadFile(s.PlainKey)
	testenv.Check(t, err)
	var provisioner jose.JSONWebKey
	testenv.Check(t, json.Unmarshal(data, &provisioner))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: provisioner},
		(&jose.SignerOptions{}).WithType("JWT"))
	testenv.Check(t, err)
	key, err := keyring.Generate(tenancy.P256)
	testenv.Check(t, err)
	names, err := form.Requested(issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant})
	testenv.Check(t, err)
	csr, err := foreign.CSR(key, names)
	testenv.Check(t, err)
	parsed, err := x509.ParseCertificateRequest(csr)
	testenv.Check(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(s.CA.Root)
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, MaxIdleConnsPerHost: together,
		TLSClientConfig: &tls.Config{RootCAs: roots}}}
	return atOnce(t, func(ctx context.Context, i int) error {
		now := time.Now()
		token, err := jwt.Signed(signer).Claims(map[string]any{"iss": "perennial", "sub": parsed.Subject.CommonName,
			"sans": []string{parsed.URIs[0].String()}, "aud": s.URL + "/1.0/sign", "jti": fmt.Sprint(now.UnixNano(), i),
			"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(4 * time.Minute).Unix()}).Serialize()
		if err != nil {
			return err
		}
		body, err := json.Marshal(map[string]any{"csr": certfile.RequestPEM(csr), "ott": token})
		if err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/1.0/sign", bytes.NewReader(body))
		if err != nil {
			return err
		}
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusCreated {
			err = fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(text)))
		}
		return err
	})
}

// atOnce calls do for a while, [together] of it at the same time, and returns the calls per second.
func atOnce(t *testing.T, do func(ctx context.Context, i int) error) float64 {
	t.Helper()
	const lasts = 5 * time.Second
	var done atomic.Int64
	var workers sync.WaitGroup
	started := time.Now()
	for range together {
		workers.Go(func() {
			for time.Since(started) < lasts {
				if err := do(t.Context(), int(done.Add(1))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	return float64(done.Load()) / time.Since(started).Seconds()
}
