package control

import (
	"crypto"
	"sync/atomic"
	"time"
)

// A keyCopy is a copy of a key that stays with the service, for an outage of the service. It stays sealed until it is
// needed, and is not opened later than the service allows.
type keyCopy struct {
	sealed        sealedIdentity
	arrangementID string
}

// mayBeUsed reports whether the service allows a copy, and answered recently enough.
func (k keyCopy) mayBeUsed(c *Client) bool {
	return len(k.sealed.Key) > 0 && c.reached.since(c.now()) <= k.sealed.CopyFor
}

// open returns the key. The caller must not keep it.
func (k keyCopy) open(c *Client) (key crypto.Signer, ok bool) {
	if !k.mayBeUsed(c) {
		return nil, false
	}
	id, err := k.sealed.open(c.key, k.arrangementID)
	if err != nil {
		c.log.Error("the copy of a key cannot be used", "error", err)
		return nil, false
	}
	key, ok = id.Certificate.PrivateKey.(crypto.Signer)
	return key, ok
}

// A contact records when the service answered, and when it did not answer a request for a signature: other requests can
// be cancelled by a sender. It is safe for concurrent use.
type contact struct {
	answered, failed atomic.Pointer[time.Time]
}

// since returns the time since the last answer.
func (c *contact) since(now time.Time) time.Duration {
	at := c.answered.Load()
	if at == nil {
		return 1<<63 - 1
	}
	return now.Sub(*at)
}

// isAway reports whether the service did not answer a moment ago, and has not answered since.
func (c *contact) isAway(now time.Time) bool {
	failed, answered := c.failed.Load(), c.answered.Load()
	return failed != nil && now.Sub(*failed) < awayFor && (answered == nil || answered.Before(*failed))
}

const (
	// copyPatience limits the wait of a handshake for the service if there is a copy of the key. Other handshakes do not
	// ask the service for awayFor after it did not answer one of them.
	copyPatience, awayFor = time.Second, time.Second
)
