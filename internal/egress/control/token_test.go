package control_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/testing/signertest"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// withToken is a fixture whose keys are in a token. The service hands sealed keys out, and copies of keys that stay.
func withToken(t *testing.T) (*fixture, *signertest.Tokens) {
	t.Helper()
	tokens := signertest.NewTokens()
	f := setUp(t, func(c *lifecycle.Config) { c.Tokens, c.TokenURI = tokens, signertest.Token })
	f.copyFor.Store(int64(time.Hour))
	return f, tokens
}

func TestAGatewayPresentsKeysInATokenOfEachTypeAndGetsNoCopy(t *testing.T) {
	f, tokens := withToken(t)
	for name, url := range map[string]string{"remote": f.gateway(), "in process": f.gatewayOf(f.local)} {
		if status := f.send(url); status != http.StatusOK {
			t.Fatalf("%s: answered %d", name, status)
		}
		for _, kind := range []tenancy.KeyType{tenancy.P384, tenancy.RSA2048, tenancy.P521} {
			f.renewAs(kind)
			acme, err := f.engine.Store.Tenant(t.Context(), "acme")
			check(t, err)
			newest, err := f.engine.Store.Newest(t.Context(), acme.ID, tenancy.ForTenant)
			check(t, err)
			f.receiver.Accept(f.generation(newest.Generation))
			before := tokens.Signatures()
			if status := f.send(url); status != http.StatusOK || tokens.Signatures() == before {
				t.Errorf("%s, %s: answered %d after %d signatures", name, kind, status, tokens.Signatures()-before)
			}
		}
	}
	_, ids, err := f.client().Standing(t.Context(), "acme", "erp")
	check(t, err)
	if len(ids) < 2 {
		t.Errorf("%d identities", len(ids))
	}
	if answers := f.answered(); strings.Contains(answers, `"Key":"`) || !strings.Contains(answers, `"Remote":true`) {
		t.Error("a gateway got a private key")
	}
}

func TestWhileTheTokenIsAwayMessagesUseOpenConnectionsAndNoReceiverIsBlamed(t *testing.T) {
	for name, control := range map[string]func(f *fixture) gateway.Control{
		"remote":     func(f *fixture) gateway.Control { return f.client() },
		"in process": func(f *fixture) gateway.Control { return f.local },
	} {
		t.Run(name, func(t *testing.T) {
			f, tokens := withToken(t)
			f.closing()
			url := f.gatewayOf(control(f))
			f.usesOpenConnections(url, tokens.Away)
			for _, uri := range tokens.Keys() { // the token signs with other keys
				tokens.Replace(uri)
			}
			f.sends(url, "closing", http.StatusServiceUnavailable)
			s, err := f.engine.Named(t.Context(), "acme", "closing")
			check(t, err)
			if g, _ := s.Rollover.Generation(1); g.Verdict == rollover.Refused {
				t.Errorf("a token that does not sign counts as a refusal: %+v", g)
			}
		})
	}
}
