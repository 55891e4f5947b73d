// Package keyring generates private keys, seals them for storage, and opens them.
//
// A sealed key can be opened only with the key-encryption key and only with the context it was sealed with, because the
// context is authenticated. No error contains key material. The key-encryption keys are a Tink keyset of AES-256-GCM
// keys. Rotation adds a key and keeps the old ones for opening.
//
// The key file has the keyset in cleartext, or wrapped by a key that a key management service holds. The service is
// called once when the file is read, and never to seal or open a secret. The guarantee ends for an attacker who can
// read the database and the key file, and can use the wrapping key if there is one: keep them apart, and back up both.
package keyring

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Keyring seals and opens secrets. It is safe for concurrent use.
type Keyring struct {
	path    string // of the key file; empty if the keyset has no file
	remotes Remotes

	reading sync.Mutex // is held while the file is read or changed; guards failed
	failed  failure    // the last attempt to read the file again

	mu     sync.RWMutex // guards loaded
	loaded loaded
}

// loaded is a keyset that is ready for use.
type loaded struct {
	handle *keyset.Handle
	aead   tink.AEAD
	uri    string // of the key that wraps the keyset; empty if the file has it in cleartext
	source []byte // content of the key file that it comes from
}

// Ephemeral generates a keyset that exists only in memory, for simulations.
func Ephemeral() (*Keyring, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	l, err := load(handle)
	if err != nil {
		return nil, err
	}
	return &Keyring{loaded: l}, nil
}

// FromEnvironment reads the keyset from the value of a variable: the content of a key file in base64. The error is an
// [Away] if the keyset is wrapped and the service that wraps it does not answer.
func FromEnvironment(ctx context.Context, value string, remotes Remotes) (*Keyring, error) {
	data, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, errors.New("the key in the environment is not the base64 of a key file: set it to the output " +
			"of base64 -w0 KEYFILE")
	}
	l, err := decode(ctx, data, remotes)
	if err != nil {
		return nil, fmt.Errorf("the key in the environment: %w", err)
	}
	return &Keyring{loaded: l}, nil
}

func load(handle *keyset.Handle) (loaded, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return loaded{}, errors.New("not a keyset for authenticated encryption")
	}
	return loaded{handle: handle, aead: primitive}, nil
}

func (k *Keyring) current() loaded {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.loaded
}

func (k *Keyring) use(l loaded) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.loaded = l
}

// Export returns the content of a key file in cleartext. It opens every sealed key.
func (k *Keyring) Export() ([]byte, error) { return export(k.current().handle) }

// WrappedBy returns the URI of the key that wraps the keyset. It is empty if the keyset is kept in cleartext.
func (k *Keyring) WrappedBy() string { return k.current().uri }

// Seal encrypts a secret. [Keyring.Open] needs the same context.
func (k *Keyring) Seal(secret []byte, context string) ([]byte, error) {
	return k.current().aead.Encrypt(secret, []byte(context))
}

// Open decrypts a sealed secret. It reads the key file again if the secret is sealed with a key that another process
// may have added.
func (k *Keyring) Open(sealed []byte, context string) ([]byte, error) {
	secret, err := k.decrypt(sealed, context)
	var stale error
	if err != nil {
		var changed bool
		if changed, stale = k.refresh(); changed {
			secret, err = k.decrypt(sealed, context)
		}
	}
	if err == nil {
		return secret, nil
	}
	const text = "a sealed key cannot be opened: use the key file that it was sealed with; if it is the right one, the " +
		"database was changed: restore it"
	if stale != nil {
		return nil, fmt.Errorf("%s (the key file was changed and cannot be read: %w)", text, stale)
	}
	return nil, errors.New(text)
}

func (k *Keyring) decrypt(sealed []byte, context string) ([]byte, error) {
	return k.current().aead.Decrypt(sealed, []byte(context))
}

// Current reports whether a secret is sealed with the newest key.
func (k *Keyring) Current(sealed []byte) bool {
	id, ok := sealedBy(sealed)
	return ok && id == k.current().handle.KeysetInfo().PrimaryKeyId
}

// sealedBy returns the ID of the key that sealed a secret. Tink's output prefix is a 1 and four bytes of key ID.
func sealedBy(sealed []byte) (uint32, bool) {
	if len(sealed) < 5 || sealed[0] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:5]), true
}

// Keys returns the number of key-encryption keys.
func (k *Keyring) Keys() int { return len(k.current().handle.KeysetInfo().KeyInfo) }

// Generate generates a private key. The error is [tenancy.ErrInvalid] for an unknown type.
func Generate(kind tenancy.KeyType) (crypto.Signer, error) {
	switch kind {
	case tenancy.P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case tenancy.P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case tenancy.P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case tenancy.RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case tenancy.RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case tenancy.RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	case tenancy.Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, kind.Check()
}

// SealKey seals a private key (as PKCS#8).
func (k *Keyring) SealKey(key crypto.Signer, context string) ([]byte, error) {
	der, err := encoded(key)
	if err != nil {
		return nil, errors.New("the private key cannot be encoded")
	}
	return k.Seal(der, context)
}

// encoded returns a key as PKCS#8. Nearly all are on the curve P-256, whose form is fixed. It is written without the
// reflection of [x509.MarshalPKCS8PrivateKey], which makes a hundred allocations.
func encoded(key crypto.Signer) ([]byte, error) {
	p256, ok := key.(*ecdsa.PrivateKey)
	if !ok || p256.Curve != elliptic.P256() {
		return x509.MarshalPKCS8PrivateKey(key)
	}
	private, err1 := p256.Bytes()
	public, err2 := p256.PublicKey.Bytes()
	return slices.Concat(p256Begin, private, p256Middle, public), errors.Join(err1, err2)
}

var (
	// p256Begin is a PrivateKeyInfo (RFC 5958) with an ECPrivateKey (RFC 5915) up to the private key.
	p256Begin = []byte{
		0x30, 0x81, 135, 2, 1, 0, // version 0
		0x30, 19, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, // P-256
		4, 109, 0x30, 107, 2, 1, 1, // ecPrivkeyVer1
		4, 32,
	}
	p256Middle = []byte{0xa1, 68, 3, 66, 0} // the public key, as a bit string without unused bits
)

// OpenKey opens a key that SealKey sealed.
func (k *Keyring) OpenKey(sealed []byte, context string) (crypto.Signer, error) {
	der, err := k.Open(sealed, context)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("a sealed secret is not a private key")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("a sealed private key cannot sign")
	}
	return signer, nil
}
