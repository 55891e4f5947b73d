// Package control lets a gateway run apart from the service: its two sides are [Handler], in the service, and [Client],
// in the gateway. Between them is JSON over HTTPS, for Perennial's own processes; fields that one side does not know
// are ignored, so that they can be of neighbouring versions.
//
// It promises: a private key crosses only sealed for the one process that asked (HPKE, RFC 9180), so that neither a
// proxy that ends TLS nor a log can read it; a change reaches the gateway as it is committed, and a connection that is
// silently dead is noticed within half a minute, after which everything is read anew. While the service does not
// answer, a gateway goes on with what it knows.
package control

import (
	"crypto/hpke"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
)

// Path is below which a service answers gateways.
const Path = "/api/v1/gateway/"

// heartbeat is how often the stream of changes says something, and silence how long it may say nothing.
const heartbeat, silence = 10 * time.Second, 30 * time.Second

// mostBytes bounds a request and an answer: the largest message that can be parked, in base64.
const mostBytes = 3 << 29

// The suite that keys are sealed with: a hybrid, since what is recorded today may be attacked later.
var (
	kem  = hpke.MLKEM768X25519()
	kdf  = hpke.HKDFSHA256()
	aead = hpke.AES256GCM()
)

// sealInfo is what a key is sealed for: another generation's cannot be put in its place.
func sealInfo(arrangementID string, generation int) []byte {
	return fmt.Appendf(nil, "perennial gateway key/%s/%d", arrangementID, generation)
}

func sealIdentity(to hpke.PublicKey, arrangementID string, id standing.Identity) (s sealedIdentity, err error) {
	key, err := x509.MarshalPKCS8PrivateKey(id.Certificate.PrivateKey)
	if err != nil {
		return s, errors.New("a private key cannot be encoded")
	}
	defer clear(key)
	s = sealedIdentity{Generation: id.Generation, Chain: id.Certificate.Certificate}
	s.Key, err = hpke.Seal(to, kdf, aead, sealInfo(arrangementID, id.Generation), key)
	return s, err
}

func (s sealedIdentity) open(key hpke.PrivateKey, arrangementID string) (id standing.Identity, err error) {
	der, err := hpke.Open(key, kdf, aead, sealInfo(arrangementID, s.Generation), s.Key)
	if err != nil {
		return id, fmt.Errorf("the key of generation %d was not sealed for this gateway", s.Generation)
	}
	defer clear(der)
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return id, fmt.Errorf("the key of generation %d cannot be read", s.Generation)
	}
	return standing.Identity{Generation: s.Generation,
		Certificate: tls.Certificate{Certificate: s.Chain, PrivateKey: private}}, nil
}
