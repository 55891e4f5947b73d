package lifecycle

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/signertest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// withToken lets the engine make keys in a token, or, with an empty URI, seal them again.
func (f *fixture) withToken(tokens *signertest.Tokens, uri string) {
	f.t.Helper()
	f.config.Tokens, f.config.TokenURI = tokens, uri
	var err error
	f.Engine, err = New(f.config)
	check(f.t, err)
}

// keysInUse returns the URIs of the keys that certificates and requests have, sorted.
func (f *fixture) keysInUse() (uris []string) {
	f.t.Helper()
	rows, err := f.store.DB().QueryContext(f.t.Context(), "SELECT key_uri FROM certificates WHERE key_uri <> '' UNION "+
		"ALL SELECT key_uri FROM requests WHERE key_uri <> '' ORDER BY 1")
	check(f.t, err)
	defer rows.Close()
	for rows.Next() {
		var uri string
		check(f.t, rows.Scan(&uri))
		uris = append(uris, uri)
	}
	check(f.t, rows.Err())
	return uris
}

// holds fails unless the token has the keys that are in use, and no other.
func (f *fixture) holds(what string, tokens *signertest.Tokens, want int) {
	f.t.Helper()
	if used, held := f.keysInUse(), tokens.Keys(); !slices.Equal(used, held) || len(held) != want {
		f.t.Errorf("%s: %d keys are in use, and the token has %d, want %d\n%q\n%q", what, len(used), len(held), want, used,
			held)
	}
}

func TestARenewalMovesAKeyIntoTheTokenAndOutOfItAndItIsDestroyedWithItsGeneration(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		founded := date("2026-01-15")
		f, tokens := setUp(t, url, "perennial", founded), signertest.NewTokens()
		acme := f.tenant("acme", founded)
		bank := f.arrangement(acme, "bank", tenancy.Adaptive)
		f.withToken(tokens, signertest.Token)
		f.renews()
		f.holds("after the renewal of the tenant and its M-user", tokens, 2)
		one, two := f.certificates(acme)[0], f.newest(acme, tenancy.ForTenant)
		key, err := f.store.KeyOf(t.Context(), two.ID)
		check(t, err)
		if key.URI != keyring.KeyInToken(signertest.Token, two.ID) || len(key.Sealed) != 0 || two.Generation != 2 {
			t.Errorf("the key of generation %d is %+v", two.Generation, key)
		}
		identities, err := f.Identities(t.Context(), f.standing(acme, "bank"))
		check(t, err)
		if len(identities) != 2 || identities[0].KeyStays || !identities[1].KeyStays {
			t.Errorf("%d identities: %+v", len(identities), identities)
		}
		f.sees(bank, 2, rollover.Accepted, rollover.Traffic, date("2026-12-02"))
		f.sees(bank, 2, rollover.Accepted, rollover.Traffic, date("2026-12-02"))
		check(t, f.Tick(t.Context(), date("2026-12-31")))
		if c := f.certificates(acme)[0]; c.ID != one.ID || c.State != tenancy.Retired {
			t.Errorf("generation 1 is %s", c.State)
		}
		f.holds("after the end of the sealed generation", tokens, 2)

		f.withToken(tokens, "")
		_, err = f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "olga", date("2027-01-01"))
		check(t, err)
		f.holds("after the renewal with a sealed key", tokens, 2)
		f.sees(bank, 3, rollover.Accepted, rollover.Traffic, date("2027-02-02"))
		f.sees(bank, 3, rollover.Accepted, rollover.Traffic, date("2027-02-02"))
		check(t, f.Tick(t.Context(), date("2027-03-31")))
		f.holds("after the end of the generation in the token", tokens, 1) // the M-user
		_, err = f.RenewByHand(t.Context(), "acme", tenancy.ForMUser, Compromised, "olga", date("2027-04-01"))
		check(t, err)
		f.holds("at once after a compromise", tokens, 0)
		if events, err := f.store.Events(t.Context(), "", 0, 1000); err != nil || !slices.ContainsFunc(events,
			func(e tenancy.Event) bool {
				return e.Action == "key.destroyed" && e.Object == keyring.KeyInToken(signertest.Token, two.ID)
			}) {
			t.Errorf("the audit log has no event for %s: %v", two.ID, err)
		}
	})
}

func TestAKeyThatNoCertificateGotIsDestroyed(t *testing.T) {
	founded := date("2026-01-15")
	f, tokens := sqlite(t, "perennial", founded), signertest.NewTokens()
	f.withToken(tokens, signertest.Token)
	f.tenant("acme", founded)
	f.holds("at the beginning", tokens, 2)
	f.down["acme"] = true // the CA fails after the keys were made
	now := date("2026-12-01")
	check(t, f.Tick(t.Context(), date("2026-11-01")))
	if err := f.Tick(t.Context(), now); err == nil {
		t.Error("the run has no error")
	}
	left := len(tokens.Keys())
	if left != 4 {
		t.Errorf("%d keys in the token, want two that are in use and two that no certificate got", left)
	}
	f.down["acme"] = false
	tokens.Lose(true)
	if _, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "olga", now.Add(time.Hour)); err == nil {
		t.Error("the renewal has no error")
	}
	tokens.Lose(false)
	check(t, f.Tick(t.Context(), now.Add(5*time.Hour)))
	if got := len(tokens.Keys()); got != left+1 { // the run has renewed, and destroyed the keys before
		t.Errorf("%d keys: a key may be in use by a slow run, and was destroyed", got)
	}
	check(t, f.Tick(t.Context(), now.Add(6*time.Hour)))
	check(t, f.Tick(t.Context(), now.Add(7*time.Hour)))
	f.holds("when the time has passed", tokens, 2)
}

// A replica that is slower than the time for which a new key is kept gets another key.
func TestARenewalThatTakesTooLongDoesNotUseAKeyThatIsDestroyed(t *testing.T) {
	founded := date("2026-01-15")
	f, tokens := sqlite(t, "perennial", founded), signertest.NewTokens()
	acme := f.tenant("acme", founded)
	f.withToken(tokens, signertest.Token)
	o, err := f.owner(t.Context(), acme.ID)
	check(t, err)
	old := f.newest(acme, tenancy.ForTenant)
	next, err := f.successor(t.Context(), o, old, cause{actor: "test"}, founded)
	check(t, err)
	check(t, f.DestroyTokenKeys(t.Context(), founded.Add(unusedFor)))
	if _, err := f.put(t.Context(), o, old, next, cause{actor: "test"}, founded); !errors.Is(err, tenancy.ErrConflict) {
		t.Errorf("a certificate with a destroyed key is stored: %v", err)
	}
	f.holds("afterwards", tokens, 0)
}

func TestWhileTheTokenIsAwayRenewalsWaitAndKeysAreDestroyedLater(t *testing.T) {
	founded := date("2026-01-15")
	f, tokens := sqlite(t, "perennial", founded), signertest.NewTokens()
	f.withToken(tokens, signertest.Token)
	acme := f.tenant("acme", founded)
	tokens.Away(true)
	check(t, f.Tick(t.Context(), date("2026-11-01")))
	now := date("2026-12-01")
	for i := range 3 {
		err := f.Tick(t.Context(), now.Add(time.Duration(i)*time.Hour))
		if fault, _ := issuer.FaultOf(err); fault != issuer.KeyAway || !strings.Contains(err.Error(),
			"the token pkcs11:token=test makes no private key now") {
			t.Errorf("the run ends with %q: %v", fault, err)
		}
	}
	if due, err := f.store.HasTokenKeysDue(t.Context(), now.AddDate(1, 0, 0)); err != nil || due {
		t.Errorf("an outage leaves records of keys that were never made: %v", err)
	}
	tokens.Away(false)
	now = now.Add(3 * time.Hour)
	check(t, f.Tick(t.Context(), now))
	f.holds("after the outage", tokens, 2)
	if c := f.newest(acme, tenancy.ForTenant); c.Generation != 2 {
		t.Errorf("generation %d", c.Generation)
	}

	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.Revoke(t.Context(), f.newest(acme, tenancy.ForTenant).ID, Lost, now)
	}))
	tokens.Away(true)
	check(t, f.DestroyTokenKeys(t.Context(), now)) // it is logged
	keys, err := f.store.DoomedTokenKeys(t.Context(), now.Add(time.Hour), "", 10)
	if err != nil || len(keys) != 1 || !strings.Contains(keys[0].LastError, "the token does not answer") {
		t.Errorf("%+v, %v", keys, err)
	}
	tokens.Away(false)
	check(t, f.DestroyTokenKeys(t.Context(), now.Add(time.Hour-time.Second)))
	if got := len(tokens.Keys()); got != 2 {
		t.Errorf("%d keys before the next attempt", got)
	}
	check(t, f.DestroyTokenKeys(t.Context(), now.Add(time.Hour)))
	f.holds("after the next attempt", tokens, 1)
}

// A token that is away does not delay the destruction of keys in another one.
func TestKeysOfATokenThatIsGoneDoNotDelayOthers(t *testing.T) {
	founded := date("2026-01-15")
	f, tokens := sqlite(t, "perennial", founded), signertest.NewTokens()
	f.withToken(tokens, signertest.Token)
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		for _, uri := range []string{"pkcs11:token=gone;object=1", "pkcs11:token=gone;object=2"} {
			if err := tx.AddTokenKey(t.Context(), uri, founded); err != nil {
				return err
			}
		}
		return nil
	}))
	f.tenant("acme", founded)
	f.down["acme"] = true
	_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "olga", founded)
	if err == nil {
		t.Error("the renewal has no error")
	}
	check(t, f.DestroyTokenKeys(t.Context(), founded.Add(unusedFor)))
	f.holds("of the token that is here", tokens, 2)
	if n, err := f.store.CountDoomedTokenKeys(t.Context()); err != nil || n != 2 {
		t.Errorf("%d keys of the token that is gone wait: %v", n, err)
	}
}

func TestTheKeyOfARequestIsInTheToken(t *testing.T) {
	now := date("2026-01-15")
	f, tokens := sqlite(t, policy.Default, now), signertest.NewTokens()
	f.config.Tokens, f.config.TokenURI = tokens, signertest.Token
	ca := f.withSlow()
	acme := f.tenant("acme", now)
	f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
	f.holds("while it is open", tokens, 3)
	q := f.requests(acme)[0]
	check(t, f.Again(t.Context(), q, "olga", now.Add(time.Hour)))
	check(t, f.Tick(t.Context(), now.Add(2*time.Hour)))
	f.holds("after it was sent again", tokens, 3)
	ca.open = true
	check(t, f.Tick(t.Context(), now.Add(3*time.Hour)))
	if c := f.newest(acme, "bank"); c.Generation != 1 || c.ID != q.ID {
		t.Errorf("%+v", c)
	}
	f.holds("after its answer", tokens, 3)
	ca.refuses = errors.New("not today")
	if _, err := f.RenewByHand(t.Context(), "acme", "bank", Reissue, "olga", now.Add(4*time.Hour)); err == nil {
		t.Error("the refusal is not an error")
	}
	check(t, f.Tick(t.Context(), now.Add(11*time.Hour)))
	f.holds("after a refusal", tokens, 3)
	_, err := Reseal(t.Context(), f.store, f.seal, func(int) {})
	check(t, err)
}

func TestTypesThatATokenDoesNotHaveAreRefusedWhenTheyAreSet(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	f.withToken(signertest.NewTokens(), signertest.Token)
	acme := f.tenant("acme", now)
	_, created := f.CreateTenant(t.Context(), tenancy.Tenant{Name: "b", DisplayName: "B", KeyType: tenancy.Ed25519},
		"test", now)
	_, _, added := f.AddCredential(t.Context(), tenancy.Credential{TenantID: acme.ID, Name: "bank",
		KeyType: tenancy.Ed25519}, "test", now)
	_, changed := f.ChangeCredential(t.Context(), tenancy.Credential{TenantID: acme.ID, Name: tenancy.ForTenant,
		KeyType: tenancy.Ed25519}, "test", now)
	for what, err := range map[string]error{"a tenant": created, "a credential": added, "a change": changed,
		"a tenant's change": f.CheckKeyType(tenancy.Ed25519)} {
		if !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), "ed25519 keys are not supported there") {
			t.Errorf("%s: %v", what, err)
		}
	}
	f.withToken(nil, "")
	check(t, f.CheckKeyType(tenancy.Ed25519))
	c := f.config
	c.TokenURI, c.Tokens = signertest.Token, nil
	if _, err := New(c); err == nil {
		t.Error("an engine without tokens makes keys in one")
	}
}

func TestEveryStepWithATokenReportsEachStatementThatFails(t *testing.T) {
	founded := date("2026-01-15")
	f, tokens := sqlite(t, "perennial", founded), signertest.NewTokens()
	f.withToken(tokens, signertest.Token)
	f.tenant("acme", founded)
	renew := func(g *fixture) error {
		_, err := g.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "test", founded)
		return err
	}
	check(t, renew(f))
	f.eachStatement(t, founded, func(g *fixture) error { return g.DestroyTokenKeys(t.Context(), founded) })
}

func TestKeysThatAreNotDestroyedYetAreLogged(t *testing.T) {
	founded := date("2026-01-15")
	f, tokens := sqlite(t, "perennial", founded), signertest.NewTokens()
	var log bytes.Buffer
	f.config.Log = slog.New(slog.NewTextHandler(&log, nil))
	f.withToken(tokens, signertest.Token)
	f.tenant("acme", founded)
	f.withToken(tokens, "") // new keys are sealed
	logged := func(want string) {
		t.Helper()
		if got := log.String(); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("the log has %q, want %q", got, want)
		}
		log.Reset()
	}
	now := founded.AddDate(0, 0, 1)
	f.store.BeforeStatements(func(query string) error {
		if strings.HasPrefix(query, "SELECT") && strings.Contains(query, "token_keys") {
			return errors.New("the disk is full")
		}
		return nil
	})
	_, err := f.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Compromised, "olga", now)
	check(t, err)
	logged("the next tick does it")
	f.store.BeforeStatements(nil)
	tokens.Away(true)
	check(t, f.DestroyTokenKeys(t.Context(), now))
	logged("this is tried again every hour\" keys=1")
	tokens.Away(false)
	check(t, f.DestroyTokenKeys(t.Context(), now.Add(destroyAgain)))
	logged("")
	f.holds("after the second attempt", tokens, 1) // the M-user
}

func TestTheKeysOfEveryPageAreDestroyed(t *testing.T) {
	now := date("2026-01-15")
	f, tokens := sqlite(t, "perennial", now), signertest.NewTokens()
	f.withToken(tokens, "")
	for n := range tokenKeyPage + 1 {
		uri := keyring.KeyInToken(signertest.Token, fmt.Sprintf("k%03d", n))
		_, err := tokens.Make(t.Context(), uri, tenancy.P256)
		check(t, err)
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error { return tx.AddTokenKey(t.Context(), uri, now) }))
	}
	check(t, f.DestroyTokenKeys(t.Context(), now.Add(-time.Microsecond)))
	if got := len(tokens.Keys()); got != tokenKeyPage+1 {
		t.Errorf("%d keys are left before their time, want %d", got, tokenKeyPage+1)
	}
	check(t, f.DestroyTokenKeys(t.Context(), now))
	if got := tokens.Keys(); len(got) != 0 {
		t.Errorf("the keys %q are left", got)
	}
	if due, err := f.store.HasTokenKeysDue(t.Context(), now.AddDate(1, 0, 0)); due || err != nil {
		t.Errorf("keys that were destroyed are due: %v, %v", due, err)
	}
}
