package rollovers_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var check = testenv.Check

var now = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// A world is tenant acme with one arrangement, crm-to-bank.
type world struct {
	*enginetest.Installation
	*rollovers.Rollovers
	t           *testing.T
	acme        tenancy.Tenant
	arrangement tenancy.Arrangement
}

func newWorld(t *testing.T, authentication tenancy.Authentication) *world {
	t.Helper()
	return newWorldAt(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), authentication)
}

func newWorldAt(t *testing.T, url string, authentication tenancy.Authentication) *world {
	t.Helper()
	w := &world{t: t}
	w.Installation, _ = enginetest.New(t, url, now)
	w.Rollovers = w.Engine.Rollovers()
	var err error
	w.acme, err = w.CreateTenant(t.Context(), tenancy.Tenant{Name: "acme", DisplayName: "Acme", KeyType: tenancy.P256},
		"test", now)
	check(t, err)
	r := tenancy.Receiver{ID: store.NewID(), TenantID: w.acme.ID, Name: "bank", DisplayName: "Bank", CreatedAt: now,
		Version: 1}
	w.arrangement = tenancy.Arrangement{ID: store.NewID(), TenantID: w.acme.ID, ReceiverID: r.ID, Name: "crm-to-bank",
		Endpoint: "https://bank.example.com", Authentication: authentication, Strategy: tenancy.Adaptive, Generation: 1,
		CreatedAt: now, Version: 1}
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.CreateReceivers(t.Context(), r), tx.CreateArrangements(t.Context(), w.arrangement))
	}))
	return w
}

func TestAnArrangementIsFoundByItsNames(t *testing.T) {
	w := newWorld(t, tenancy.ClientCertificate)
	s, err := w.Named(t.Context(), "acme", "crm-to-bank")
	check(t, err)
	if s.Name() != "acme/crm-to-bank" || len(s.Certificates) != 1 || s.Rollover.Presents != 1 {
		t.Errorf("%+v", s)
	}
	for _, names := range [][2]string{{"acme", "unknown"}, {"unknown", "crm-to-bank"}} {
		if _, err := w.Named(t.Context(), names[0], names[1]); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("%v: %v", names, err)
		}
	}
}

func TestAnArrangementWithoutACertificateHasNoRollover(t *testing.T) {
	w := newWorld(t, tenancy.Authentication("basic"))
	s, err := w.Named(t.Context(), "acme", "crm-to-bank")
	if err != nil || s.Arrangement.ID != w.arrangement.ID || len(s.Certificates) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := w.Rollovers.Standing(t.Context(), w.Store.Reader, w.acme, w.arrangement); !errors.Is(err,
		tenancy.ErrRefused) {
		t.Errorf("its roll-over: %v", err)
	}
}

func TestADestroyedKeyIsLeftOutAndAMissingChainIsAnError(t *testing.T) {
	w := newWorld(t, tenancy.ClientCertificate)
	_, err := w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, lifecycle.Reissue, "test", now)
	check(t, err)
	s, err := w.Named(t.Context(), "acme", "crm-to-bank")
	check(t, err)
	open := func() (generations []int) {
		t.Helper()
		all, err := w.Rollovers.Identities(t.Context(), s)
		check(t, err)
		for _, id := range all {
			if len(id.Certificate.Certificate) < 2 || id.Certificate.PrivateKey == nil {
				t.Errorf("generation %d has no chain or no key", id.Generation)
			}
			generations = append(generations, id.Generation)
		}
		return generations
	}
	if got := open(); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("opened %v", got)
	}
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.Retire(t.Context(), s.Certificates[0].ID) }))
	if got := open(); !slices.Equal(got, []int{2}) {
		t.Errorf("after the first was retired: %v", got)
	}
	if _, err := w.Rollovers.PrivateKey(t.Context(), s.Certificates[0]); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("the destroyed key: %v", err)
	}
	// A generation that cannot be presented with its chain must not be left out as if its key were destroyed.
	_, err = w.Store.DB().ExecContext(t.Context(), "DELETE FROM authorities")
	check(t, err)
	if all, err := w.Rollovers.Identities(t.Context(), s); err == nil {
		t.Errorf("without the authority: %d identities and no error", len(all))
	}
}

func TestAParkedMessageIsSealedOpenedAndBoundToItsKey(t *testing.T) {
	w := newWorld(t, tenancy.ClientCertificate)
	ctx := t.Context()
	message := func(id string, digest string) tenancy.Parked {
		return tenancy.Parked{ID: id, ArrangementID: w.arrangement.ID, TenantID: w.acme.ID, IdempotencyKey: "k",
			Digest: []byte(digest), Method: "POST", Path: "/in", State: tenancy.ParkedWaiting, NextAt: now, CreatedAt: now}
	}
	stored, err := w.Park(ctx, message("m1", "digest"), []byte("the request"), tenancy.ParkedQuota{})
	if err != nil || stored.ID != "m1" {
		t.Fatalf("%+v, %v", stored, err)
	}
	again, err := w.Park(ctx, message("m2", "digest"), []byte("the request"), tenancy.ParkedQuota{})
	if err != nil || again.ID != "m1" {
		t.Errorf("the same message again: %+v, %v", again, err)
	}
	_, err = w.Park(ctx, message("m3", "other"), []byte("another"), tenancy.ParkedQuota{})
	if !errors.Is(err, tenancy.ErrConflict) {
		t.Errorf("another message under the same key: %v", err)
	}
	sealed, err := w.Store.ParkedRequest(ctx, "m1")
	if err != nil || bytes.Contains(sealed, []byte("request")) || bytes.Contains(stored.Digest, []byte("digest")) {
		t.Errorf("stored readably: %q, %q, %v", sealed, stored.Digest, err)
	}
	due, err := w.DueParked(ctx, now, 10)
	if err != nil || len(due) != 1 {
		t.Fatalf("%d due, %v", len(due), err)
	}
	tenant, arrangement, _, err := w.ParkedAddress(ctx, due[0])
	if err != nil || tenant != "acme" || arrangement != "crm-to-bank" {
		t.Errorf("addressed to %s/%s, %v", tenant, arrangement, err)
	}
	claimed, request, err := w.ClaimParked(ctx, due[0], now.Add(time.Minute))
	if err != nil || !claimed || string(request) != "the request" {
		t.Errorf("claimed %v: %q, %v", claimed, request, err)
	}
	if claimed, request, err := w.ClaimParked(ctx, due[0], now.Add(time.Minute)); err != nil || claimed || request != nil {
		t.Errorf("claimed twice: %v, %q, %v", claimed, request, err)
	}
	due[0].State, due[0].EndedAt, due[0].Status = tenancy.ParkedDelivered, now, 200
	check(t, w.UpdateParked(ctx, due[0]))
	if got, err := w.Parked(ctx, w.arrangement.ID, "m1"); err != nil || got.State != tenancy.ParkedDelivered ||
		got.Status != 200 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestATokenIsFoundWhileItIsValid(t *testing.T) {
	w := newWorld(t, tenancy.ClientCertificate)
	token := tenancy.Token{ID: store.NewID(), Name: "t", Role: tenancy.RoleGateway, CreatedAt: now,
		ExpiresAt: now.Add(time.Hour)}
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.CreateToken(t.Context(), token, "hash") }))
	if got, err := w.Token(t.Context(), "hash", now); err != nil || got.ID != token.ID {
		t.Errorf("%+v, %v", got, err)
	}
	for hash, at := range map[string]time.Time{"hash": now.Add(2 * time.Hour), "other": now} {
		if _, err := w.Token(t.Context(), hash, at); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("%s at %s: %v", hash, at, err)
		}
	}
}

func TestTheUseOfASendersTokenIsRecordedByTheHour(t *testing.T) {
	w := newWorld(t, tenancy.ClientCertificate)
	token := tenancy.Token{ID: store.NewID(), Name: "t", Role: tenancy.RoleSender, TenantID: w.arrangement.TenantID,
		CreatedAt: now, ExpiresAt: now.AddDate(0, 1, 0)}
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.CreateToken(t.Context(), token, "hash") }))
	for _, c := range []struct{ after, used time.Duration }{{0, 0}, {time.Minute, 0}, {time.Hour - 1, 0},
		{time.Hour, time.Hour}, {2*time.Hour - 1, time.Hour}} {
		_, err := w.Token(t.Context(), "hash", now.Add(c.after))
		check(t, err)
		if got, err := w.Store.TokenByHash(t.Context(), "hash"); err != nil || !got.LastUsedAt.Equal(now.Add(c.used)) {
			t.Errorf("after %s: last used at %s, %v", c.after, got.LastUsedAt, err)
		}
	}
	if _, err := w.Token(t.Context(), "hash", now.AddDate(1, 0, 0)); err == nil {
		t.Error("an expired token is found")
	}
	if got, err := w.Store.TokenByHash(t.Context(), "hash"); err != nil || !got.LastUsedAt.Equal(now.Add(time.Hour)) {
		t.Errorf("a refused use is recorded: %s, %v", got.LastUsedAt, err)
	}
}
