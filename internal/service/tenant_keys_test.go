package service

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/signertest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// A held token has the labels of its keys.
type held struct {
	keyring.Tokens
	uri string
	// move changes the rule of a database, as "perennial rules change" does.
	move   func(t *testing.T, set Settings, to string)
	labels func(t *testing.T) []string
}

// inMemory is a token in memory. The command refuses its URI in a program without PKCS#11.
func inMemory() held {
	tokens := signertest.NewTokens()
	return held{tokens, signertest.Token, func(t *testing.T, set Settings, to string) {
		s, err := store.Open(t.Context(), set.Database.URL)
		testenv.Check(t, err)
		testenv.Check(t, s.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.SetSetting(t.Context(), "rules/tenant-keys", to)
		}))
		testenv.Check(t, s.Close())
	}, func(*testing.T) (labels []string) {
		for _, uri := range tokens.Keys() {
			_, label, _ := strings.Cut(uri, ";object=")
			labels = append(labels, label)
		}
		return labels
	}}
}

func TestKeysOfTenantsMoveIntoATokenWhileMessagesFlow(t *testing.T) { tenantKeysMove(t, inMemory()) }

// tenantKeysMove lets a platform with sealed keys move them into a token, and out of it again. Its receiver takes a new
// certificate three weeks after it was issued. Each day, a message goes through the service's own gateway, and one
// through a stand-alone gateway.
func tenantKeysMove(t *testing.T, token held) {
	t.Helper()
	c := &calendar{}
	set := settings(t, "--allow-target", "127.0.0.0/8")
	p := &tokenPlatform{t: t, calendar: c, token: token, set: set}
	p.start()
	p.api.call("POST", "/tenants", client.Tenant{Name: "acme"}, nil)
	p.api.token = p.lasting()
	_, ca := get(t, p.service.BaseURL()+"/pki/ca.pem", "")
	var roots []*x509.Certificate
	for block, rest := pem.Decode([]byte(ca)); block != nil; block, rest = pem.Decode(rest) {
		one, err := x509.ParseCertificate(block.Bytes)
		testenv.Check(t, err)
		roots = append(roots, one)
	}
	web := testca.New(t, "Web", time.Now())
	p.erp = startPartner(t, web.Server(t, time.Now().Add(-time.Hour), time.Now().Add(day)), c, roots...)
	p.erp.know(p.newest().DER)
	p.api.call("POST", "/tenants/acme/receivers", client.Receiver{Name: "erp"}, nil)
	p.api.call("POST", "/tenants/acme/arrangements", client.Arrangement{Name: "erp", Receiver: "erp",
		Endpoint: p.erp.URL, Egress: tenancy.Egress{ServerCA: string(web.RootPEM())}}, nil)

	p.passes(10)
	p.has("sealed keys", nil)
	p.restart(token.uri)
	p.passes(300) // the renewal of the tenant and its M-user
	second := p.newest()
	if second.Generation != 2 {
		t.Fatalf("generation %d", second.Generation)
	}
	p.passes(60)
	p.has("keys in the token", []string{second.ID, p.mUser().ID})
	first, err := p.service.Store().Certificate(t.Context(), second.TenantID, tenancy.ForTenant, 1)
	if err != nil || first.State != tenancy.Retired {
		t.Errorf("generation 1 is %s: %v", first.State, err)
	}
	p.passes(310) // the next renewal
	third := p.newest()
	p.has("the key of the second generation is destroyed", []string{third.ID, p.mUser().ID})
	p.restart(SealedKeys)
	p.renew()
	p.passes(10)
	p.has("the next key is sealed", []string{third.ID, p.mUser().ID})
	if key, err := p.service.Store().KeyOf(t.Context(), p.newest().ID); err != nil || len(key.Sealed) == 0 ||
		third.Generation != 3 || p.newest().Generation != 4 {
		t.Errorf("generation %d has the key %+v: %v", p.newest().Generation, key, err)
	}
	if p.failed != 0 || p.sent < 1300 {
		t.Errorf("%d of %d messages failed", p.failed, p.sent)
	}
	p.stop()
}

// tokenPlatform is a service with its receiver, and a stand-alone gateway.
type tokenPlatform struct {
	t        *testing.T
	calendar *calendar
	token    held
	set      Settings
	service  *Service
	stop     func()
	api      caller
	alone    string // address of the gateway
	erp      *partner

	learned      int // the newest generation that the receiver may learn
	since        int // days
	sent, failed int
}

func (p *tokenPlatform) start() {
	p.t.Helper()
	s, err := Open(p.t.Context(), Config{Settings: p.set, Version: "test", Now: p.calendar.now, Tokens: p.token,
		Log: slog.New(slog.DiscardHandler)})
	testenv.Check(p.t, err)
	ended := run(p.t, s)
	p.service = s
	p.api = caller{p.t, s.BaseURL(), p.api.token}
	if first := s.FirstToken(); first != "" {
		p.api.token = first
	}
	c, err := control.NewClient(s.BaseURL(), control.Fixed("perennial_gateway"), nil, slog.New(slog.DiscardHandler))
	testenv.Check(p.t, err)
	g, err := gateway.New(gateway.Config{Control: c, Now: p.calendar.now, TempDir: p.t.TempDir(),
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Log:     slog.New(slog.DiscardHandler)})
	testenv.Check(p.t, err)
	server := httptest.NewServer(g)
	p.alone = server.URL
	p.stop = func() {
		server.Close()
		g.Close()
		testenv.Check(p.t, errors.Join(ended(), s.Close()))
	}
}

// restart changes the rule, and starts the service with it.
func (p *tokenPlatform) restart(keys string) {
	p.t.Helper()
	p.stop()
	p.token.move(p.t, p.set, keys)
	p.start()
}

// lasting creates tokens for the time of the test, and returns that of an operator.
func (p *tokenPlatform) lasting() string {
	p.t.Helper()
	now := p.calendar.now()
	operator := lastingTokens(p.t, p.service, now, "perennial_sender")
	testenv.Check(p.t, p.service.Store().InTx(p.t.Context(), func(tx *store.Tx) error {
		return tx.CreateToken(p.t.Context(), tenancy.Token{ID: store.NewID(), Name: "dmz", Role: tenancy.RoleGateway,
			CreatedAt: now, ExpiresAt: now.Add(1000 * day)}, tenancy.HashSecret("perennial_gateway"))
	}))
	return operator
}

func (p *tokenPlatform) of(credential tenancy.Purpose) tenancy.Certificate {
	p.t.Helper()
	acme, err := p.service.Store().Tenant(p.t.Context(), "acme")
	testenv.Check(p.t, err)
	c, err := p.service.Store().Newest(p.t.Context(), acme.ID, credential)
	testenv.Check(p.t, err)
	return c
}

func (p *tokenPlatform) newest() tenancy.Certificate { return p.of(tenancy.ForTenant) }

func (p *tokenPlatform) mUser() tenancy.Certificate { return p.of(tenancy.ForMUser) }

func (p *tokenPlatform) renew() {
	p.t.Helper()
	_, err := p.service.Engine().RenewByHand(p.t.Context(), "acme", tenancy.ForTenant, "reissue", "olga",
		p.calendar.now())
	testenv.Check(p.t, err)
}

// passes lets days pass.
func (p *tokenPlatform) passes(days int) {
	p.t.Helper()
	for range days {
		p.calendar.nextDay()
		testenv.Check(p.t, p.service.Engine().Tick(p.t.Context(), p.calendar.now()))
		if c := p.newest(); c.Generation != p.learned {
			p.learned, p.since = c.Generation, 0
		} else if p.since++; p.since == 21 {
			p.erp.know(c.DER)
		}
		for _, to := range []string{p.service.GatewayURL(), p.alone} {
			p.send(to)
		}
	}
}

func (p *tokenPlatform) send(to string) {
	p.t.Helper()
	p.sent++
	r, err := http.NewRequestWithContext(p.t.Context(), "POST", to+"/acme/erp/orders",
		bytes.NewReader([]byte("<order/>")))
	testenv.Check(p.t, err)
	r.Header.Set("Authorization", "Bearer perennial_sender")
	res, err := http.DefaultClient.Do(r)
	testenv.Check(p.t, err)
	text, err := io.ReadAll(res.Body)
	testenv.Check(p.t, err)
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		p.failed++
		p.t.Errorf("day %s: %d %s", p.calendar.now().Format(time.DateOnly), res.StatusCode, text)
	}
}

// has fails unless the token has exactly the keys of these certificates.
func (p *tokenPlatform) has(what string, ids []string) {
	p.t.Helper()
	got := p.token.labels(p.t)
	slices.Sort(ids)
	slices.Sort(got)
	if !slices.Equal(got, ids) {
		p.t.Errorf("%s: the token has the keys %q, want %q", what, got, ids)
	}
}

func TestReplicasAgreeOnTheTokenOfTheTenantsKeys(t *testing.T) {
	tokens := signertest.NewTokens()
	start := func(set Settings) error {
		s, err := Open(t.Context(), Config{Settings: set, Version: "test", Now: time.Now, Tokens: tokens,
			Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			err = s.Close()
		}
		return err
	}
	set := settings(t, "--tenant-keys", signertest.Token)
	testenv.Check(t, start(set))
	r, err := ReadRules(t.Context(), set.Database.URL)
	if err != nil || r.TenantKeys != signertest.Token {
		t.Errorf("the database has %q: %v", r.TenantKeys, err)
	}
	set.Certificates.TenantKeys = ""
	testenv.Check(t, start(set))
	set.Certificates.TenantKeys = SealedKeys
	if err := start(set); err == nil || !strings.Contains(err.Error(), `this database has the tenant-keys `+
		`"pkcs11:token=test", and --tenant-keys sets "sealed": replicas must not differ`) {
		t.Errorf("another replica: %v", err)
	}
	set.Certificates.TenantKeys = ""
	tokens.Away(true) // it starts, and waits
	testenv.Check(t, start(set))
	tokens.Away(false)

	tokens.Away(true)
	absent := settings(t, "--tenant-keys", signertest.Token)
	if err := start(absent); err == nil || !strings.Contains(err.Error(), "--tenant-keys: the token does not answer") {
		t.Errorf("a token that never answered becomes a rule: %v", err)
	}
	tokens.Away(false)
	other := settings(t, "--tenant-keys", "pkcs11:token=other")
	if err := start(other); err == nil || !strings.Contains(err.Error(), "--tenant-keys: there is no token") {
		t.Errorf("a token that does not exist: %v", err)
	}
	other.Certificates.TenantKeys = "" // nothing was stored
	testenv.Check(t, start(other))
	s, err := open(t, other)
	testenv.Check(t, err)
	_, err = s.Engine().CreateTenant(t.Context(), tenancy.Tenant{Name: "acme", DisplayName: "A",
		KeyType: tenancy.Ed25519}, "test", time.Now())
	testenv.Check(t, err)
	testenv.Check(t, s.Close())
	inMemory().move(t, other, signertest.Token)
	if err := start(other); !errors.Is(err, tenancy.ErrRefused) || !strings.Contains(err.Error(),
		"a tenant or a credential has the key type ed25519") {
		t.Errorf("keys that the token does not have: %v", err)
	}
}
