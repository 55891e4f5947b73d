package feed

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// errOtherFeed is returned for a document of the right key at the wrong address.
var errOtherFeed = errors.New("the document is that of another feed with the same key, so it is not used: check the " +
	"address and the proxies in between")

// sign returns a value as a JWS of a type.
func sign(v any, kind string, key ed25519.PrivateKey) (string, error) {
	payload, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{EmbedJWK: true}).WithType(jose.ContentType(kind))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, options)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	text, err := signed.CompactSerialize()
	if err == nil && len(text) > MaxSize {
		return "", fmt.Errorf("the feed is larger than %d KiB", MaxSize>>10)
	}
	return text, err
}

// open reads the payload of a JWS of a type that the key with a thumbprint has signed.
func open(signed, kind, thumbprint string, v any) error {
	if len(signed) > MaxSize {
		return fmt.Errorf("the feed is larger than %d KiB", MaxSize>>10)
	}
	jws, err := jose.ParseSignedCompact(signed, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return errors.New("this is not a signed feed: check the address")
	}
	header := jws.Signatures[0].Protected
	if got := header.ExtraHeaders[jose.HeaderType]; got == IndexType && kind == Type {
		return errors.New("this is the feed of a counterparty, with the documents of many tenants: only perennial follow " +
			"reads it")
	} else if got != kind || header.JSONWebKey == nil {
		return errors.New("this is not a signed feed: its header lacks the type or the key")
	}
	key, ok := header.JSONWebKey.Key.(ed25519.PublicKey)
	if !ok {
		return errors.New("the feed is not signed with Ed25519")
	}
	got, err := Thumbprint(key)
	if err != nil || got != thumbprint {
		return errors.New("the feed is signed by another key than the one in its address")
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return errors.New("the signature of the feed is not valid")
	}
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("the feed cannot be read: %w", err)
	}
	return nil
}
