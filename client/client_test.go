package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/api"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var check = testenv.Check

// open returns a client of the real API in this process, and a context with an operator's rights.
func open(t *testing.T) (context.Context, *client.Client) {
	t.Helper()
	now := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	engine, ca := enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), now)
	handler, err := api.New(api.Config{Store: engine.Store, Engine: engine.Engine, Seal: engine.Seal, Issuer: ca,
		Version: "test", Now: func() time.Time { return now }, Log: engine.Log})
	check(t, err)
	c, err := client.New(client.Config{URL: "http://api.invalid", Transport: client.Handler(handler)})
	check(t, err)
	return principal.With(t.Context(), tenancy.Token{Name: "test", Role: tenancy.RoleOperator}), c
}

func status(err error) int {
	var refused *client.Error
	if errors.As(err, &refused) {
		return refused.Status
	}
	return 0
}

func TestTheClientCreatesReadsChangesAndDeletes(t *testing.T) {
	ctx, c := open(t)
	made, err := client.Post[client.Tenant](ctx, c, "/tenants", client.Tenant{Name: "acme"})
	check(t, err)
	if made.DisplayName != "acme" || made.KeyType != tenancy.P256 {
		t.Errorf("created %+v", made)
	}
	changed, err := client.Change(ctx, c, client.TenantPath("acme"), func(t *client.TenantChange) error {
		t.DisplayName = "Acme GmbH"
		return nil
	})
	check(t, err)
	if read, err := client.Get[client.Tenant](ctx, c, client.TenantPath("acme")); err != nil ||
		read.DisplayName != "Acme GmbH" || changed.DisplayName != "Acme GmbH" {
		t.Errorf("changed to %+v, %v", read, err)
	}
	path := client.TenantPath("acme", "receivers")
	_, err = client.Post[client.Receiver](ctx, c, path, client.Receiver{Name: "erp"})
	check(t, err)
	check(t, c.DeleteCurrent(ctx, path+"/erp"))
	if _, err := client.Get[client.Receiver](ctx, c, path+"/erp"); status(err) != http.StatusNotFound {
		t.Errorf("after the deletion: %v", err)
	}
}

func TestAChangeThatFailsWritesNothingAndAStaleOneIsRefused(t *testing.T) {
	ctx, c := open(t)
	_, err := client.Post[client.Tenant](ctx, c, "/tenants", client.Tenant{Name: "acme"})
	check(t, err)
	wrong := errors.New("wrong")
	_, err = client.Change(ctx, c, client.TenantPath("acme"), func(t *client.TenantChange) error {
		t.DisplayName = "half"
		return wrong
	})
	if !errors.Is(err, wrong) {
		t.Errorf("the edit's error is %v", err)
	}
	read, etag, err := client.GetVersion[client.TenantChange](ctx, c, client.TenantPath("acme"))
	check(t, err)
	if read.DisplayName != "acme" {
		t.Errorf("a failed edit was written: %+v", read)
	}
	_, err = client.Put[client.Tenant](ctx, c, client.TenantPath("acme"), etag, read)
	check(t, err)
	if _, err := client.Put[client.Tenant](ctx, c, client.TenantPath("acme"), etag, read); status(err) !=
		http.StatusPreconditionFailed {
		t.Errorf("a stale version: %v", err)
	}
}

func TestListReadsEveryPage(t *testing.T) {
	ctx, c := open(t)
	_, err := client.Post[client.Tenant](ctx, c, "/tenants", client.Tenant{Name: "acme"})
	check(t, err)
	path := client.TenantPath("acme", "receivers")
	for i := range 5 {
		_, err := client.Post[client.Receiver](ctx, c, path, client.Receiver{Name: fmt.Sprintf("r%d", i)})
		check(t, err)
	}
	pages, items := 0, 0
	for cursor := ""; ; pages++ {
		page, err := client.ListPage[client.Receiver](ctx, c, path, cursor, 2)
		check(t, err)
		items += len(page.Items)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	all, err := client.List[client.Receiver](ctx, c, path)
	check(t, err)
	if pages != 2 || items != 5 || len(all) != 5 {
		t.Errorf("%d pages after the first with %d items, and %d in the whole list", pages, items, len(all))
	}
}

func TestAnErrorNamesTheFieldsOfAnInvalidRequest(t *testing.T) {
	ctx, c := open(t)
	_, err := client.Post[client.Tenant](ctx, c, "/tenants", map[string]string{"name": "acme", "key_type": "dsa"})
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Status != http.StatusUnprocessableEntity || len(refused.Fields) != 1 ||
		refused.Fields[0].Field != "key_type" || !strings.HasPrefix(err.Error(), "key_type: expected value") {
		t.Errorf("got %#v", err)
	}
}

func TestAnAnswerOfAnotherServerIsAnErrorThatNamesItsAddress(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/proxy"):
			http.Error(w, "<html>", http.StatusBadGateway)
		case strings.HasSuffix(r.URL.Path, "/gateway"):
			w.Header().Set("Perennial-Gateway", "1")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"detail":"this is not a sender's token"}`)
		default:
			fmt.Fprint(w, "<html>")
		}
	}))
	defer s.Close()
	c, err := client.New(client.Config{URL: s.URL})
	check(t, err)
	if _, err := client.Get[client.Tenant](t.Context(), c, "/proxy"); err == nil ||
		err.Error() != s.URL+" answered 502 Bad Gateway without a reason: is it the address of a Perennial service?" {
		t.Errorf("a proxy's page: %v", err)
	}
	if _, err := client.Get[client.Tenant](t.Context(), c, "/gateway"); err == nil ||
		err.Error() != s.URL+" is a gateway, which forwards messages and has no API: use the address of the service" {
		t.Errorf("a gateway: %v", err)
	}
	if _, err := client.Get[client.Tenant](t.Context(), c, "/other"); err == nil ||
		!strings.Contains(err.Error(), "is not a Perennial service") {
		t.Errorf("another service: %v", err)
	}
}

func TestTheTokenIsSent(t *testing.T) {
	got := make(chan string, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		fmt.Fprint(w, "{}")
	})
	c, err := client.New(client.Config{URL: "https://p.example.com/", Token: "secret", Transport: client.Handler(handler)})
	check(t, err)
	_, err = client.Get[client.Tenant](t.Context(), c, "/tenants/acme")
	check(t, err)
	if sent := <-got; sent != "Bearer secret" {
		t.Errorf("sent %q", sent)
	}
}

func TestAnInvalidConfigurationIsRefused(t *testing.T) {
	for _, c := range []client.Config{
		{}, {URL: "perennial.example.com"}, {URL: "ftp://perennial.example.com"}, {URL: "https://p.example.com?x=y"},
		{URL: "https://p.example.com", Timeout: -1},
	} {
		if _, err := client.New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

func TestTheClientLinksNeitherTheDatabaseNorTheEngine(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	check(t, err)
	deps := strings.Fields(string(out))
	if len(deps) < 20 {
		t.Fatalf("only %d packages were found", len(deps))
	}
	for _, dep := range deps {
		if strings.Contains(dep, "/perennial/internal/") || strings.Contains(dep, "sqlite") ||
			strings.Contains(dep, "jackc/pgx") {
			t.Errorf("the client links %s", dep)
		}
	}
}
