package api

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/tenancy"
)

// bare hides the capabilities of an issuer.
type bare struct{ issuer.Issuer }

func TestAnIssuerWithoutCapabilitiesIsServedWithoutThem(t *testing.T) {
	now := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	engine, ca := enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), now,
		func(c *lifecycle.Config) { c.Issuer = bare{c.Issuer} })
	f := &fixture{t: t, store: engine.Store, engine: engine, now: now, tokens: map[string]string{"operator": "op-secret"}}
	f.http = httptest.NewServer(handler(t, Config{Store: f.store, Engine: engine.Engine, Issuer: bare{ca},
		Seal:    engine.Seal,
		Network: &outbound.Network{}, Now: func() time.Time { return now }, Log: engine.Log}))
	t.Cleanup(f.http.Close)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateToken(t.Context(), tenancy.Token{ID: store.NewID(), Name: "first", Role: tenancy.RoleOperator,
			CreatedAt: now, ExpiresAt: now.AddDate(1, 0, 0)}, tenancy.HashSecret("op-secret"))
	}))
	engine.Tenant(t, "acme", now)
	if got := items(f.ok("operator", http.MethodGet, "/authorities", 200, "")); len(got) != 0 {
		t.Errorf("authorities %v", got)
	}
	if got := f.ok("operator", http.MethodGet, "/overview", 200, ""); got["announced_authority"] != nil {
		t.Errorf("announced %v", got["announced_authority"])
	}
	for _, path := range []string{"/authorities", "/authorities/x/sign"} {
		if a := f.call("operator", http.MethodPost, path, `{}`); a.status < 400 || a.status >= 500 {
			t.Errorf("POST %s: %d %s", path, a.status, a.raw)
		}
	}
	if a := f.call("operator", http.MethodPost, "/authorities", `{}`); !strings.Contains(a.raw,
		"manages its authorities itself: announce new ones there") {
		t.Errorf("%s", a.raw)
	}
	for _, path := range []string{"/pki/ca.pem", "/pki/x.crl"} {
		if a := f.call("", http.MethodGet, path, ""); a.status != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, a.status)
		}
	}
	for _, format := range []string{"pem", "pkcs7"} {
		path := "/tenants/acme/certificates/tenant/1/download?format=" + format
		if a := f.call("operator", http.MethodGet, path, ""); a.status != 200 || len(a.raw) == 0 {
			t.Errorf("%s: %d %s", format, a.status, a.raw)
		}
	}
}
