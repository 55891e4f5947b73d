// Package keyring makes private keys, seals them for storage, and opens them again.
//
// It promises that a sealed key is readable only with the key-encryption key, only for the certificate it was sealed
// for (the context is authenticated), and that no error carries key material. The key-encryption keys are a Tink keyset
// of AES-256-GCM keys; rotating adds a new one and keeps the old ones for reading. What breaks the promise: whoever
// reads both the database and the key file reads the keys. Keep the two apart, and back both up.
package keyring

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Keyring seals and opens. It is safe for concurrent use.
type Keyring struct {
	path string // of the key file; empty where the keyset came from the environment

	mu     sync.RWMutex
	handle *keyset.Handle
	aead   tink.AEAD
}

// ErrNoKeyFile says that there is no key file at the path.
var ErrNoKeyFile = errors.New("there is no key file")

// Create makes a new keyset in a new file of mode 0600.
func Create(path string) (*Keyring, error) {
	k, err := Ephemeral()
	if err != nil {
		return nil, err
	}
	k.path = path
	return k, k.write()
}

// Ephemeral makes a new keyset that is gone with the process, for simulations.
func Ephemeral() (*Keyring, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	k := &Keyring{}
	return k, k.use(handle)
}

// Open reads the keyset from a file that only its owner can read; [ErrNoKeyFile] where there is none.
func Open(path string) (*Keyring, error) {
	k := &Keyring{path: path}
	return k, k.reload()
}

// FromEnvironment takes the keyset from a variable's value: the key file's content in base64.
func FromEnvironment(value string) (*Keyring, error) {
	data, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, errors.New("the key in the environment is not base64 of a key file")
	}
	handle, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("the key in the environment: %w", err)
	}
	k := &Keyring{}
	return k, k.use(handle)
}

func parse(data []byte) (*keyset.Handle, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(data)))
	if err != nil {
		return nil, errors.New("not a Tink keyset in JSON") // the library's error could quote the data
	}
	return handle, nil
}

func (k *Keyring) reload() error {
	info, err := os.Stat(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w at %s", ErrNoKeyFile, k.path)
	}
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("key file %s can be read by others (mode %04o): run chmod 600 on it", k.path, mode)
	}
	data, err := os.ReadFile(k.path)
	if err != nil {
		return err
	}
	handle, err := parse(data)
	if err != nil {
		return fmt.Errorf("key file %s: %w", k.path, err)
	}
	if err := k.use(handle); err != nil {
		return fmt.Errorf("key file %s: %w", k.path, err)
	}
	return nil
}

func (k *Keyring) use(handle *keyset.Handle) error {
	primitive, err := aead.New(handle)
	if err != nil {
		return errors.New("not a keyset for authenticated encryption")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.handle, k.aead = handle, primitive
	return nil
}

// Export is the content of a key file: whoever has it opens everything.
func (k *Keyring) Export() ([]byte, error) {
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(k.handle, keyset.NewJSONWriter(&buf)); err != nil {
		return nil, errors.New("the keyset could not be written")
	}
	return buf.Bytes(), nil
}

// write replaces the file as a whole: a crash leaves the old one or the new one.
func (k *Keyring) write() error {
	data, err := k.Export()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(k.path), ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	if err := os.Rename(f.Name(), k.path); err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	dir, err := os.Open(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Seal encrypts a secret for a context, which [Keyring.Open] must be given again.
func (k *Keyring) Seal(secret []byte, context string) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.aead.Encrypt(secret, []byte(context))
}

// Open decrypts what Seal made. A key that another process added to the file meanwhile is picked up.
func (k *Keyring) Open(sealed []byte, context string) ([]byte, error) {
	secret, err := k.decrypt(sealed, context)
	if err != nil && k.path != "" && k.reload() == nil {
		secret, err = k.decrypt(sealed, context)
	}
	if err != nil {
		return nil, errors.New("a sealed key does not open: this is not the key file it was sealed with, or the database " +
			"was changed")
	}
	return secret, nil
}

func (k *Keyring) decrypt(sealed []byte, context string) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.aead.Decrypt(sealed, []byte(context))
}

// Current says whether a secret is sealed with the newest key.
func (k *Keyring) Current(sealed []byte) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	id, ok := sealedBy(sealed)
	return ok && id == k.handle.KeysetInfo().PrimaryKeyId
}

// sealedBy is the ID of the key that sealed: Tink's output prefix is a 1 and four bytes of key ID.
func sealedBy(sealed []byte) (uint32, bool) {
	if len(sealed) < 5 || sealed[0] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:5]), true
}

// Rotate adds a new key-encryption key, which seals from now on, and writes the file before it returns. Older keys stay
// for reading.
func (k *Keyring) Rotate() error {
	if k.path == "" {
		return errors.New("the key comes from the environment and cannot be rotated in place: write it to a file, rotate " +
			"there, and set the variable anew")
	}
	manager := keyset.NewManagerFromHandle(k.handle)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = manager.SetPrimary(id)
	}
	if err != nil {
		return fmt.Errorf("add a key: %w", err)
	}
	handle, err := manager.Handle()
	if err != nil {
		return err
	}
	if err := k.use(handle); err != nil {
		return err
	}
	return k.write()
}

// Keys says how many key-encryption keys there are.
func (k *Keyring) Keys() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.handle.KeysetInfo().KeyInfo)
}

// Generate makes a private key.
func Generate(kind tenancy.KeyType) (crypto.Signer, error) {
	switch kind {
	case tenancy.P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case tenancy.P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case tenancy.RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case tenancy.RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	}
	return nil, kind.Check()
}

// SealKey seals a private key (as PKCS#8) for a context.
func (k *Keyring) SealKey(key crypto.Signer, context string) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errors.New("the private key cannot be encoded")
	}
	return k.Seal(der, context)
}

// OpenKey opens what SealKey made.
func (k *Keyring) OpenKey(sealed []byte, context string) (crypto.Signer, error) {
	der, err := k.Open(sealed, context)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("a sealed key opens, but is no private key")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("a sealed key opens, but cannot sign")
	}
	return signer, nil
}
