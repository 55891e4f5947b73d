package control_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/rollover"
)

// unsigned is a control with a generation whose key stays and does not sign.
type unsigned struct {
	gateway.Control
	generation int
	after      time.Duration
}

func (u unsigned) Standing(ctx context.Context, tenant, arrangement string) (standing.Standing, []standing.Identity,
	error) {
	s, ids, err := u.Control.Standing(ctx, tenant, arrangement)
	for i, id := range ids {
		if key, ok := id.Certificate.PrivateKey.(crypto.Signer); ok && id.Generation == u.generation {
			ids[i].KeyStays = true
			ids[i].Certificate = tls.Certificate{Certificate: id.Certificate.Certificate,
				PrivateKey: silentKey{key, u.after}}
		}
	}
	return s, ids, err
}

type silentKey struct {
	crypto.Signer
	after time.Duration
}

func (k silentKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	<-time.After(k.after)
	return nil, standing.ErrNoSignature
}

// rolled renews acme's certificate. The receiver is known to accept both generations.
func (f *fixture) rolled() standing.Standing {
	f.t.Helper()
	f.renew()
	f.receiver.Accept(f.generation(2))
	s, err := f.engine.Named(f.t.Context(), "acme", "erp")
	check(f.t, err)
	now := time.Now()
	for i := range 2 {
		check(f.t, f.local.Observe(f.t.Context(), s.Arrangement.ID, []standing.Observation{{Detail: "200",
			Evidence: rollover.Evidence{Generation: i + 1, Verdict: rollover.Accepted, By: rollover.Traffic, At: now}}}))
	}
	s, err = f.engine.Named(f.t.Context(), "acme", "erp")
	check(f.t, err)
	return s
}

// A token or the service that holds the key of the presented generation is away, and that of another one is not.
func TestAMessageIsSentWithAnAcceptedGenerationWhoseKeySigns(t *testing.T) {
	f := setUp(t)
	presented := f.rolled().Rollover.Presents
	f.notRefused(presented)
	url := f.gatewayOf(unsigned{Control: f.local, generation: presented})
	for range 2 {
		if status := f.send(url); status != http.StatusOK {
			t.Errorf("answered %d", status)
		}
	}
}

// notRefused checks at the end, when the gateway has reported what it saw, that a generation still counts as accepted.
func (f *fixture) notRefused(generation int) {
	f.t.Cleanup(func() {
		s, err := f.engine.Named(context.Background(), "acme", "erp")
		check(f.t, err)
		if g, _ := s.Rollover.Generation(generation); g.Verdict != rollover.Accepted {
			f.t.Errorf("generation %d is %+v", generation, g)
		}
	})
}

func TestAMessageIsTriedAgainIfOneKeyDoesNotSignAndTheReceiverRefusesTheOther(t *testing.T) {
	f := setUp(t)
	presented := f.rolled().Rollover.Presents
	f.receiver.Accept() // neither
	url := f.gatewayOf(unsigned{Control: f.local, generation: presented})
	for range 5 {
		if status := f.send(url); status != http.StatusServiceUnavailable {
			t.Errorf("answered %d", status)
		}
	}
}

// The receiver would be found to hang, since it answers with the other generation.
func TestAKeyThatSignsSlowlyIsNotARefusal(t *testing.T) {
	f := setUp(t)
	presented := f.rolled().Rollover.Presents
	f.limit(3)
	f.notRefused(presented)
	url := f.gatewayOf(unsigned{Control: f.local, generation: presented, after: 2500 * time.Millisecond})
	if status := f.send(url); status != http.StatusOK {
		t.Errorf("answered %d", status)
	}
}

// limit sets the timeout of the arrangement, in seconds.
func (f *fixture) limit(seconds int) {
	f.t.Helper()
	s, err := f.engine.Named(f.t.Context(), "acme", "erp")
	check(f.t, err)
	a := s.Arrangement
	a.Egress.TimeoutSeconds = seconds
	check(f.t, f.engine.Store.InTx(f.t.Context(), func(tx *store.Tx) error {
		return tx.UpdateArrangement(f.t.Context(), a)
	}))
}
