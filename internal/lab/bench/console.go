package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/api"
	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/internal/front/web"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// ConsoleResult contains the times of the console's pages at the server.
type ConsoleResult struct {
	Database     string       `json:"database"`
	Certificates int          `json:"certificates"`
	Arrangements int          `json:"arrangements"`
	Renewed      int          `json:"renewed"`
	CountedAfter float64      `json:"counted_after_seconds"` // from the start until the overview covers the whole fleet
	Pages        []PageResult `json:"pages"`
}

// PageResult contains the times of one page.
type PageResult struct {
	Page  string  `json:"page"`
	First float64 `json:"first_ms"` // with results that are cached afterwards
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Bytes int     `json:"bytes"`
}

// silentShare is the number of certificates for each tenant without a key user.
const silentShare = 200

// Console measures the pages of the console over a fleet. The last run renewed a twelfth of it, and no receiver has
// installed a new certificate.
func Console(ctx context.Context, url string, certificates, arrangements, requests int) (r ConsoleResult, err error) {
	f, err := newFleet(ctx, url)
	if err != nil {
		return r, err
	}
	defer f.close()
	due := certificates / 12
	if err := f.fill(ctx, certificates, due, arrangements, threeUsers); err != nil {
		return r, err
	}
	if err := errors.Join(f.mUser(ctx, "tenant-0"), f.addSilent(ctx, certificates/silentShare)); err != nil {
		return r, err
	}
	run, err := f.engine.Run(ctx, runDate, runDate)
	if err != nil {
		return r, err
	}
	r = ConsoleResult{Database: string(f.store.Engine()), Certificates: certificates, Arrangements: arrangements,
		Renewed: run.Renewed}
	console, now, err := f.console(ctx)
	if err != nil {
		return r, err
	}
	searches, err := f.findPages(ctx, certificates)
	if err != nil {
		return r, err
	}
	first := fmt.Sprintf("/tenants/tenant-%d", 0)
	for _, who := range []struct {
		role  tenancy.Role
		pages []string
	}{
		{tenancy.RoleOperator, slices.Concat(watchPages, workPages, searches)},
		{tenancy.RoleKeyUser, []string{"/", first + "/tasks", first + "/certificates", first + "/rollovers",
			first + "/arrangements/crm-to-erp", first + "/arrangements/crm-to-erp/messages", first + "/new-arrangement",
			first + "/scope", first + "/people", first + "/log", first + "/mail-check", "/account"}},
	} {
		cookie, err := signIn(ctx, f.store, console, who.role, now)
		if err != nil {
			return r, err
		}
		if who.role == tenancy.RoleOperator {
			started := time.Now()
			countedFleet(console, cookie)
			r.CountedAfter = time.Since(started).Seconds()
		}
		for _, page := range who.pages {
			p, err := measurePage(console, cookie, page, requests)
			if err != nil {
				return r, err
			}
			p.Page = string(who.role) + " " + p.Page
			r.Pages = append(r.Pages, p)
		}
	}
	return r, nil
}

// console returns the console of the fleet on the day after the run, which it takes for now.
func (f *fleet) console(ctx context.Context) (console http.Handler, at time.Time, err error) {
	at = runDate.Add(26 * time.Hour)
	now := func() time.Time { return at }
	log := slog.New(slog.DiscardHandler)
	seal, err := keyring.Ephemeral()
	if err != nil {
		return nil, at, err
	}
	service, err := api.New(api.Config{Store: f.store, Engine: f.engine, Issuer: f.ca, Seal: seal, Now: now,
		Log: log})
	if err != nil {
		return nil, at, err
	}
	accounts, err := identity.New(identity.Config{Store: f.store, Now: now, Log: log})
	if err != nil {
		return nil, at, err
	}
	console, err = web.New(web.Config{API: service, Identity: accounts, News: f.store, Now: now, Ending: ctx, Log: log},
		service)
	return console, at, err
}

// countedFleet waits until the overview covers the whole fleet.
func countedFleet(console http.Handler, operator *http.Cookie) {
	for strings.Contains(ask(console, operator, "/").Body.String(), "being counted") {
	}
}

// mUser adds the certificate of the M-user, which tenants of the fleet do not have.
func (f *fleet) mUser(ctx context.Context, tenant string) error {
	t, err := f.store.Tenant(ctx, tenant)
	if err != nil {
		return err
	}
	c, err := f.store.Newest(ctx, t.ID, tenancy.ForTenant)
	if err != nil {
		return err
	}
	c.ID, c.Purpose, c.NotAfter = store.NewID(), tenancy.ForMUser, runDate.AddDate(0, 6, 0)
	return f.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.AddCertificates(ctx, []store.SealedCertificate{{Certificate: c, SealedKey: []byte{0}}})
	})
}

// signIn creates an account and signs in.
func signIn(ctx context.Context, s *store.Store, console http.Handler, role tenancy.Role, now time.Time) (*http.Cookie,
	error) {
	const secret = "a password for a measurement"
	hash, err := password.Hash(ctx, secret)
	if err != nil {
		return nil, err
	}
	a := tenancy.Account{ID: store.NewID(), Name: "bench-" + string(role), Role: role, Password: hash,
		Origin: "bench " + string(role), CreatedAt: now}
	if role == tenancy.RoleKeyUser {
		t, err := s.Tenant(ctx, "tenant-0")
		if err != nil {
			return nil, err
		}
		u, err := s.KeyUser(ctx, t.ID, "alice")
		if err != nil {
			return nil, err
		}
		a.TenantID, a.KeyUserID = t.ID, u.ID
	}
	if err := s.InTx(ctx, func(tx *store.Tx) error { return tx.CreateAccount(ctx, a) }); err != nil {
		return nil, err
	}
	q := httptest.NewRequest(http.MethodPost, "/sign-in",
		strings.NewReader(url.Values{"name": {a.Name}, "password": {secret}}.Encode()))
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	console.ServeHTTP(w, q)
	for _, c := range w.Result().Cookies() {
		if c.Name == "perennial" {
			return c, nil
		}
	}
	return nil, fmt.Errorf("signing in: %d", w.Code)
}

func ask(console http.Handler, cookie *http.Cookie, page string) *httptest.ResponseRecorder {
	q := httptest.NewRequest(http.MethodGet, page, nil)
	q.AddCookie(cookie)
	w := httptest.NewRecorder()
	console.ServeHTTP(w, q)
	return w
}

// measurePage requests a page many times, one after the other.
func measurePage(console http.Handler, cookie *http.Cookie, page string, requests int) (p PageResult, err error) {
	p.Page = page
	var took []float64
	for i := range requests + 1 {
		started := time.Now()
		w := ask(console, cookie, page)
		ms := float64(time.Since(started).Microseconds()) / 1000
		if w.Code != http.StatusOK {
			return p, fmt.Errorf("%s: %d", page, w.Code)
		}
		if i == 0 {
			p.First, p.Bytes = ms, w.Body.Len()
			continue
		}
		took = append(took, ms)
	}
	slices.Sort(took)
	p.P50, p.P99 = took[len(took)/2], took[len(took)*99/100]
	return p, nil
}

// Print prints the result.
func (r ConsoleResult) Print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d certificates, %d arrangements, %d renewed by the last run; the overview knows all %.0f s "+
		"after the start\n", r.Database, r.Certificates, r.Arrangements, r.Renewed, r.CountedAfter)
	fmt.Fprintf(w, "%-60s %9s %9s %9s %9s\n", "page", "first ms", "p50 ms", "p99 ms", "bytes")
	for _, p := range r.Pages {
		fmt.Fprintf(w, "%-60s %9.1f %9.1f %9.1f %9d\n", p.Page, p.First, p.P50, p.P99, p.Bytes)
	}
}
