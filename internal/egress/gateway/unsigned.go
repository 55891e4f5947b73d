package gateway

import (
	"crypto"
	"io"
	"sync/atomic"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
)

// isUnsigned reports whether nothing was sent because the key of the generation does not sign at the moment.
func (a attempt) isUnsigned() bool { return a.reading.Reason == outbound.NoSignature }

// skip returns the generations to try next if the key of one does not sign: those that the receiver is known to accept.
// No other one is presented, because the receiver is not the cause.
func (r *route) skip(rest []int) (accepted []int) {
	for _, g := range rest {
		if r.trialOf(g) == outbound.Proven && r.mayAsk(g) {
			accepted = append(accepted, g)
		}
	}
	return accepted
}

// timed returns an identity whose signatures are watched, if its key is elsewhere. signing reports whether one is
// pending: then a missing answer is not the receiver's fault.
func timed(id standing.Identity) (watched *standing.Identity, signing func() bool) {
	key, ok := id.Certificate.PrivateKey.(crypto.Signer)
	if !id.KeyStays || !ok {
		return &id, func() bool { return false }
	}
	t := &timedKey{key: key}
	id.Certificate.PrivateKey = t
	return &id, func() bool { return t.awaited.Load() > 0 }
}

// A timedKey counts pending signatures. It implements [crypto.MessageSigner].
type timedKey struct {
	key     crypto.Signer
	awaited atomic.Int32
}

func (t *timedKey) Public() crypto.PublicKey { return t.key.Public() }

func (t *timedKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	t.awaited.Add(1)
	defer t.awaited.Add(-1)
	return t.key.Sign(random, digest, opts)
}

func (t *timedKey) SignMessage(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	t.awaited.Add(1)
	defer t.awaited.Add(-1)
	return crypto.SignMessage(t.key, random, message, opts)
}
