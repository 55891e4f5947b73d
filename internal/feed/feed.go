// Package feed is the form in which a tenant publishes the certificates that it presents to a receiver, now and next.
//
// A feed is a signed document. The address of the feed contains a secret and the thumbprint of the key that signs, so
// whoever holds the address can recognise the document of this feed, even through an untrusted proxy. One key may sign
// many feeds: the document names its address by a digest of the secret. The feed of a counterparty has an [Index] of
// many documents. Verify guarantees that the document was signed by that key for that address and is complete; it does
// not guarantee that it is the newest. Follower code compares [Document.Sequence] with the last one it saw. The package
// does no I/O and reads no clock.
package feed

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Type is the "typ" of the signature's header.
const Type = "perennial-feed+jws"

// The limits of a document.
const (
	MaxSize         = 1 << 20   // bytes of a signed document
	MaxContent      = 512 << 10 // bytes of all certificates and CAs together; base64 is applied to them twice
	MaxCertificates = 64        // certificates and CAs together
)

// A State is what the sender does with a generation.
type State string

// The states. A certificate is removed from the feed when it has expired or was revoked.
const (
	Next    State = "next"    // issued, and not presented yet
	Active  State = "active"  // presented
	Retired State = "retired" // not presented any more; kept until it expires, for messages that are on their way
)

// A Document lists every generation within reach of a receiver.
type Document struct {
	// Feed is the [ID] of the address at which the document is published. At any other address it is not valid.
	Feed string `json:"feed"`
	// Tenant and Arrangement name the sender. They are for people.
	Tenant      string `json:"tenant"`
	Arrangement string `json:"arrangement"`
	// Sequence grows with every change of the document.
	Sequence uint64 `json:"sequence"`
	// PublishedAt is the time of the signature, to the hour. ValidUntil is the end of its freshness: a follower keeps its
	// last good state beyond that, and warns.
	PublishedAt time.Time `json:"published_at"`
	ValidUntil  time.Time `json:"valid_until"`
	// RefreshHint is the time between two fetches, in seconds.
	RefreshHint int `json:"refresh_hint"`
	// Certificates are in the order of their generations.
	Certificates []Certificate `json:"certificates"`
	// CAs are the certificates of the CAs above them (DER).
	CAs [][]byte `json:"cas,omitempty"`
}

// A Certificate is one generation.
type Certificate struct {
	Generation int    `json:"generation"`
	State      State  `json:"state"`
	DER        []byte `json:"certificate"`
	// RemoveAfter is set for a certificate that is about to be removed from the feed.
	RemoveAfter *time.Time `json:"remove_after,omitempty"`
}

// Content returns the size of all certificates and CAs together, in bytes.
func (d Document) Content() (size int) {
	for _, c := range d.Certificates {
		size += len(c.DER)
	}
	for _, der := range d.CAs {
		size += len(der)
	}
	return size
}

// Parsed returns the certificate.
func (c Certificate) Parsed() (*x509.Certificate, error) { return x509.ParseCertificate(c.DER) }

// ID returns the ID of the feed at an address: the SHA-256 of the secret in the address, in base64url. It does not
// reveal the secret, which is random and long.
func ID(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Thumbprint returns the thumbprint of a key (RFC 7638, SHA-256, base64url), which is part of a feed's address.
func Thumbprint(key ed25519.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// Sign returns a document as a JWS in the compact form (RFC 7515) with the public key in its header. It does not sign a
// document that [Verify] would refuse.
func Sign(d Document, key ed25519.PrivateKey) (string, error) {
	if err := d.check(); err != nil {
		return "", err
	}
	return sign(d, Type, key)
}

// Verify returns the document in a JWS that the key with a thumbprint has signed for the address with a secret. An
// error quotes neither the document nor the secret.
func Verify(signed, secret, thumbprint string) (d Document, err error) {
	if err := open(signed, Type, thumbprint, &d); err != nil {
		return Document{}, err
	}
	if d.Feed != ID(secret) {
		return Document{}, errOtherFeed
	}
	if err := d.check(); err != nil {
		return Document{}, err
	}
	return d, nil
}

// Digest returns the SHA-256 of the content of a document, in hexadecimal. It does not depend on the address, the
// sequence number and the times, so it stays the same until the certificates, their states or the names change.
func (d Document) Digest() (string, error) {
	d.Feed, d.Sequence, d.PublishedAt, d.ValidUntil, d.RefreshHint = "", 0, time.Time{}, time.Time{}, 0
	data, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	return sum(data), nil
}

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

// check refuses a document that would leave a receiver without a certificate, or with one that cannot be read.
func (d Document) check() error {
	switch n := len(d.Certificates) + len(d.CAs); {
	case d.Feed == "":
		return errors.New("the feed does not name its address")
	case len(d.Certificates) == 0 || n > MaxCertificates:
		return fmt.Errorf("the feed has %d certificates and %d CAs: from 1 to %d are supported", len(d.Certificates),
			len(d.CAs), MaxCertificates)
	case d.Content() > MaxContent:
		return fmt.Errorf("the certificates and CAs of the feed have %d bytes: at most %d KiB are supported", d.Content(),
			MaxContent>>10)
	}
	for _, c := range d.Certificates {
		switch c.State {
		case Next, Active, Retired:
		default:
			return fmt.Errorf("generation %d of the feed has the unknown state %q: update this program", c.Generation, c.State)
		}
		if _, err := c.Parsed(); err != nil {
			return fmt.Errorf("generation %d of the feed: %w", c.Generation, err)
		}
	}
	for _, der := range d.CAs {
		if _, err := x509.ParseCertificate(der); err != nil {
			return fmt.Errorf("a CA of the feed: %w", err)
		}
	}
	return nil
}
