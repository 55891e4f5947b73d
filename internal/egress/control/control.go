// Package control connects a stand-alone gateway to the service. Its two sides are [Handler], in the service, and
// [Client], in the gateway. They exchange JSON over HTTPS. A peer ignores fields that it does not have, so the two can
// have neighbouring versions.
//
// It promises that a private key is sent only sealed for the process that asked (HPKE, RFC 9180). Neither a proxy that
// terminates TLS nor a log can read it. A change reaches the gateway as soon as it is committed. A connection that is
// silently dead is detected within half a minute, and everything is then read again. While the service does not answer,
// a gateway continues with the state that it has.
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

// Path is the URL prefix of the gateway API.
const Path = "/api/v1/gateway/"

// heartbeat is the interval of signs of life in the stream of changes. silence is the pause after which the stream
// counts as dead.
const heartbeat, silence = 10 * time.Second, 30 * time.Second

// mostBytes limits a request and an answer. The largest message that can be parked, in base64, fits.
const mostBytes = 3 << 29

// The suite that seals keys is a hybrid, because traffic that is recorded today may be attacked later.
var (
	kem  = hpke.MLKEM768X25519()
	kdf  = hpke.HKDFSHA256()
	aead = hpke.AES256GCM()
)

// sealInfo binds a sealed key to its arrangement and generation, so that another one cannot take its place.
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
