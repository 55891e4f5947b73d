// Package signertest is a key service in memory, for tests of issuing CAs whose key is not in the database.
package signertest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// A Service has the keys of URIs that begin with "test:". It creates a key when its URI is first used. It is safe for
// concurrent use.
type Service struct {
	mu    sync.Mutex // guards what follows
	keys  map[string][]*ecdsa.PrivateKey
	away  bool
	calls map[string]int
}

// New returns a service without keys.
func New() *Service { return &Service{keys: map[string][]*ecdsa.PrivateKey{}, calls: map[string]int{}} }

// Open implements [keyring.Signatories].
func (s *Service) Open(uri string) (keyring.Signatory, error) {
	if !strings.HasPrefix(uri, "test:") {
		return nil, errors.New("unknown kind of key: use the prefix test:NAME")
	}
	return key{s, uri}, nil
}

// Away makes the service fail for a while, or answer again.
func (s *Service) Away(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// Rotate makes a URI name a new key. The old one continues to sign for its certificates.
func (s *Service) Rotate(uri string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // the random source of the system does not fail
	}
	s.keys[uri] = append(s.keys[uri], made)
}

// Signatures returns the number of signatures with the keys of a URI.
func (s *Service) Signatures(uri string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[uri]
}

type key struct {
	service *Service
	uri     string
}

func (k key) Key(context.Context) (string, crypto.PublicKey, error) {
	s := k.service
	s.mu.Lock()
	known, away := len(s.keys[k.uri]), s.away
	s.mu.Unlock()
	if away {
		return "", nil, errAway
	}
	if known == 0 {
		s.Rotate(k.uri)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.keys[k.uri]
	return k.uri, all[len(all)-1].Public(), nil
}

func (k key) Sign(_ context.Context, public crypto.PublicKey, digest []byte, hash crypto.Hash) ([]byte, error) {
	s := k.service
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errAway
	}
	for _, one := range s.keys[k.uri] {
		if one.PublicKey.Equal(public) {
			s.calls[k.uri]++
			return one.Sign(rand.Reader, digest, hash)
		}
	}
	return nil, fmt.Errorf("the service has no key for the certificate at %s", k.uri)
}

var errAway = &keyring.Away{Err: errors.New("the service does not answer: check that it runs")}
