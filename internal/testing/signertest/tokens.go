package signertest

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// Token is the URI of the token that [Tokens] have.
const Token = "pkcs11:token=test"

// Tokens are a PKCS#11 token in memory. They implement [keyring.Tokens], and are safe for concurrent use.
type Tokens struct {
	mu         sync.Mutex // guards what follows
	keys       map[string]crypto.Signer
	away       bool
	signatures int
	// lost makes a call of Make fail after it has created the key, as if the answer was lost.
	lost bool
}

// NewTokens returns a token without keys.
func NewTokens() *Tokens { return &Tokens{keys: map[string]crypto.Signer{}} }

// Away makes the token fail for a while, or answer again.
func (t *Tokens) Away(away bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.away = away
}

// Lose drops the next answers about new keys.
func (t *Tokens) Lose(lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = lost
}

// Keys returns the URIs of the keys in the token, sorted.
func (t *Tokens) Keys() (uris []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for uri := range t.keys {
		uris = append(uris, uri)
	}
	slices.Sort(uris)
	return uris
}

// Signatures returns the number of signatures.
func (t *Tokens) Signatures() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.signatures
}

// Replace replaces a key with another one.
func (t *Tokens) Replace(uri string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	made, err := keyring.Generate(tenancy.P256)
	if err != nil {
		panic(err) // the random source of the system does not fail
	}
	t.keys[uri] = made
}

// ready returns an error unless the token answers and has the URI.
func (t *Tokens) ready(uri string) error {
	if t.away {
		return &keyring.Away{Err: errors.New("the token does not answer: check the token")}
	}
	if uri != Token && !strings.HasPrefix(uri, Token+";object=") {
		return fmt.Errorf("there is no token %s", uri)
	}
	return nil
}

// Check implements [keyring.Tokens].
func (t *Tokens) Check(_ context.Context, token string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ready(token)
}

// Make implements [keyring.Tokens].
func (t *Tokens) Make(_ context.Context, uri string, kind tenancy.KeyType) (crypto.PublicKey, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ready(uri); err != nil {
		return nil, err
	}
	if t.keys[uri] != nil {
		return nil, fmt.Errorf("the token has a key %s", uri)
	}
	made, err := keyring.Generate(kind)
	if err != nil {
		return nil, err
	}
	if t.keys[uri] = made; t.lost {
		return nil, &keyring.Away{Err: errors.New("the answer of the token was lost: check the token")}
	}
	return made.Public(), nil
}

// Sign implements [keyring.Tokens].
func (t *Tokens) Sign(_ context.Context, uri string, _ crypto.PublicKey, digest []byte,
	opts crypto.SignerOpts) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ready(uri); err != nil {
		return nil, err
	}
	key := t.keys[uri]
	if key == nil {
		return nil, fmt.Errorf("the token has no key %s", uri)
	}
	t.signatures++
	return key.Sign(rand.Reader, digest, opts)
}

// Destroy implements [keyring.Tokens].
func (t *Tokens) Destroy(_ context.Context, uri string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ready(uri); err != nil {
		return err
	}
	delete(t.keys, uri)
	return nil
}
