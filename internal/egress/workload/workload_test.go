package workload

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

var check = testenv.Check

const crm = "system:serviceaccount:acme:crm"

// A world has an issuer, and a verifier that accepts its tokens.
type world struct {
	*testenv.TokenIssuer
	*Verifier
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{TokenIssuer: testenv.NewTokenIssuer(t), now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	var err error
	w.Verifier, err = New(Options{Issuers: []string{w.URL}, Audience: "perennial", CA: w.CAFile},
		func() time.Time { return w.now })
	check(t, err)
	return w
}

func TestOnlyAConfiguredIssuersTokenForThisAudienceCounts(t *testing.T) {
	w := newWorld(t)
	with := func(name string, value any) map[string]any {
		claims := w.Claims(crm, w.now)
		claims[name] = value
		return claims
	}
	token := w.Token(t, crm, w.now)
	id, err := w.Verify(t.Context(), token)
	if err != nil || id != (Identity{w.URL, crm}) {
		t.Fatalf("%+v, %v", id, err)
	}
	for name, token := range map[string]string{
		"another audience": testenv.SignToken(t, jose.ES256, w.Key, "k",
			with("aud", "https://kubernetes.default.svc")),
		"no audience": testenv.SignToken(t, jose.ES256, w.Key, "k", with("aud", nil)),
		"expired": testenv.SignToken(t, jose.ES256, w.Key, "k",
			with("exp", w.now.Add(-time.Second).Unix())),
		"no expiry":      testenv.SignToken(t, jose.ES256, w.Key, "k", with("exp", nil)),
		"not yet valid":  testenv.SignToken(t, jose.ES256, w.Key, "k", with("nbf", w.now.Add(time.Hour).Unix())),
		"no subject":     testenv.SignToken(t, jose.ES256, w.Key, "k", with("sub", "")),
		"another issuer": testenv.SignToken(t, jose.ES256, w.Key, "k", with("iss", "https://other.example.com")),
		"another key":    testenv.SignToken(t, jose.ES256, testenv.NewKey(t), "k", w.Claims(crm, w.now)),
		"signed with a shared secret": testenv.SignToken(t, jose.HS256, []byte("0123456789abcdef0123456789abcdef"), "k",
			w.Claims(crm, w.now)),
		"not signed":  "eyJhbGciOiJub25lIn0." + strings.Split(w.Token(t, crm, w.now), ".")[1] + ".",
		"not a token": "a.b.c",
		"empty":       "",
	} {
		if id, err := w.Verify(t.Context(), token); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	w.now = w.now.Add(2 * time.Hour)
	if _, err := w.Verify(t.Context(), token); !errors.Is(err, ErrInvalid) {
		t.Errorf("a token that was valid before: %v", err)
	}
}

// A receiver's bearer token may be of the same issuer. The gateway would take it away if it counted as ours.
func TestATokenForAnotherAudienceIsNotOurs(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		audience any
		want     bool
	}{"ours": {"perennial", true}, "ours in a list": {[]string{"x", "perennial"}, true},
		"the receiver's": {"api://erp", false}, "none": {nil, false}, "a number": {7, false}} {
		claims := w.Claims(crm, w.now)
		claims["aud"] = c.audience
		if got := w.Claimed(testenv.SignToken(t, jose.ES256, w.Key, "k", claims)); got != c.want {
			t.Errorf("%s: claimed %t", name, got)
		}
	}
}

func TestAnIssuerThatIsDownStopsOnlyTokensWithNewKeys(t *testing.T) {
	w := newWorld(t)
	w.Down.Store(true)
	token := w.Token(t, crm, w.now)
	if _, err := w.Verify(t.Context(), token); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("before its first answer: %v", err)
	}
	w.Down.Store(false)
	w.now = w.now.Add(2 * issuerPause)
	if _, err := w.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	w.Down.Store(true)
	w.now = w.now.Add(2 * issuerPause)
	other := w.Claims(crm, w.now)
	other["sub"] = "system:serviceaccount:globex:crm"
	if _, err := w.Verify(t.Context(), testenv.SignToken(t, jose.ES256, w.Key, "k", other)); err != nil {
		t.Errorf("a known key: %v", err)
	}
	// The first answer of the issuer counts as the latest one until the library has stored it.
	testenv.Eventually(t, func() bool {
		_, err := w.Verify(t.Context(), testenv.SignToken(t, jose.ES256, testenv.NewKey(t), "new", other))
		return errors.Is(err, ErrUnavailable)
	})
}

func TestAStrangersTokensCauseFewRequestsToTheIssuer(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Verify(t.Context(), w.Token(t, crm, w.now)); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(2 * issuerPause)
	before := w.Requests.Load()
	stranger := testenv.NewKey(t)
	for n := range 100 {
		if _, err := w.Verify(t.Context(), testenv.SignToken(t, jose.ES256, stranger, fmt.Sprint(n),
			w.Claims(crm, w.now))); err == nil {
			t.Fatal("a stranger's token counts")
		}
	}
	if n := w.Requests.Load() - before; n > 1 {
		t.Errorf("%d requests to the issuer", n)
	}
}

func TestTheMemoryForVerifiedTokensIsBounded(t *testing.T) {
	w := newWorld(t)
	for n := range mostVerified {
		w.verified[[32]byte{byte(n), byte(n >> 8), 1}] = verified{}
	}
	token := w.Token(t, crm, w.now)
	if _, err := w.Verify(t.Context(), token); err != nil || len(w.verified) != 1 {
		t.Errorf("%d tokens are remembered, %v", len(w.verified), err)
	}
}

func TestIssuersAreHTTPSAddresses(t *testing.T) {
	for _, issuer := range []string{"http://cluster.example.com", "cluster", "https://"} {
		if _, err := New(Options{Issuers: []string{issuer}, Audience: "perennial"}, time.Now); err == nil {
			t.Errorf("%q passes", issuer)
		}
	}
	if v, err := New(Options{}, time.Now); v != nil || err != nil || v.Claimed("a.b.c") || v.Issuers() != nil {
		t.Errorf("no issuer: %v, %v", v, err)
	}
	if _, err := New(Options{Issuers: []string{"https://x.example.com"}}, time.Now); err == nil {
		t.Error("no audience passes")
	}
	if _, err := New(Options{Issuers: []string{"https://x.example.com"}, Audience: "p", CA: "missing"},
		time.Now); err == nil {
		t.Error("a missing CA passes")
	}
}
