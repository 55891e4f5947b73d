// Package keyring generates private keys, seals them for storage, and opens them.
//
// A sealed key can be opened only with the key-encryption key and only with the context it was sealed with, because the
// context is authenticated. No error contains key material. The key-encryption keys are a Tink keyset of AES-256-GCM
// keys. Rotation adds a key and keeps the old ones for opening. The guarantee ends for an attacker who can read both
// the database and the key file: keep them apart, and back up both.
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
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Keyring seals and opens secrets. It is safe for concurrent use.
type Keyring struct {
	path string // of the key file; empty if the keyset has no file

	mu     sync.RWMutex // guards handle and aead
	handle *keyset.Handle
	aead   tink.AEAD
}

// ErrNoKeyFile is returned if the key file does not exist.
var ErrNoKeyFile = errors.New("there is no key file")

// Create generates a keyset and writes it to a new file with mode 0600. The error is [fs.ErrExist] if there is a file
// of this name, which stays as it is: it may be the only key to a database.
func Create(path string) (*Keyring, error) {
	k, err := Ephemeral()
	if err != nil {
		return nil, err
	}
	k.path = path
	return k, k.write(k.handle, os.Link)
}

// Ephemeral generates a keyset that exists only in memory, for simulations.
func Ephemeral() (*Keyring, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	k := &Keyring{}
	return k, k.use(handle)
}

// Open reads the keyset from a file that only its owner can read. The error is [ErrNoKeyFile] if there is no file.
func Open(path string) (*Keyring, error) {
	k := &Keyring{path: path}
	return k, k.reload()
}

// FromEnvironment reads the keyset from the value of a variable: the content of a key file in base64.
func FromEnvironment(value string) (*Keyring, error) {
	data, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, errors.New("the key in the environment is not the base64 of a key file: set it to the output " +
			"of base64 -w0 KEYFILE")
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
		return fmt.Errorf("key file %s is readable by other users (mode %04o): run chmod 600 on it", k.path, mode)
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

// Export returns the content of a key file. It opens every sealed key.
func (k *Keyring) Export() ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return export(k.handle)
}

func export(handle *keyset.Handle) ([]byte, error) {
	var buf bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&buf)); err != nil {
		return nil, errors.New("the keyset could not be written")
	}
	return buf.Bytes(), nil
}

// write stores a keyset in the file: with [os.Link] in a new one, with [replace] in place of the old one. It is atomic:
// after a crash, it is the file from before or the new one.
func (k *Keyring) write(handle *keyset.Handle, put func(from, to string) error) error {
	data, err := export(handle)
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
	if err := put(f.Name(), k.path); err != nil {
		return fmt.Errorf("write the key file: %w", err)
	}
	dir, err := os.Open(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// replace renames a file to another one, whose owner and mode it keeps. An administrator may rotate the key as root,
// and the service must still be able to read it.
func replace(from, to string) error {
	info, err := os.Stat(to)
	if err != nil {
		return err
	}
	if old, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Chown(from, int(old.Uid), int(old.Gid)); err != nil {
			return fmt.Errorf("keep the file's owner, user %d of group %d: %w: rotate the key as this user or as root",
				old.Uid, old.Gid, err)
		}
	}
	if err := os.Chmod(from, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// Seal encrypts a secret. [Keyring.Open] needs the same context.
func (k *Keyring) Seal(secret []byte, context string) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.aead.Encrypt(secret, []byte(context))
}

// Open decrypts a sealed secret. It reads the key file again if another process may have added a key.
func (k *Keyring) Open(sealed []byte, context string) ([]byte, error) {
	secret, err := k.decrypt(sealed, context)
	if err != nil && k.path != "" && k.reload() == nil {
		secret, err = k.decrypt(sealed, context)
	}
	if err != nil {
		return nil, errors.New("a sealed key cannot be opened: use the key file that it was sealed with; if it is the " +
			"right one, the database was changed: restore it")
	}
	return secret, nil
}

func (k *Keyring) decrypt(sealed []byte, context string) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.aead.Decrypt(sealed, []byte(context))
}

// Current reports whether a secret is sealed with the newest key.
func (k *Keyring) Current(sealed []byte) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	id, ok := sealedBy(sealed)
	return ok && id == k.handle.KeysetInfo().PrimaryKeyId
}

// sealedBy returns the ID of the key that sealed a secret. Tink's output prefix is a 1 and four bytes of key ID.
func sealedBy(sealed []byte) (uint32, bool) {
	if len(sealed) < 5 || sealed[0] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:5]), true
}

// Rotate adds a key-encryption key that seals from now on, and writes the file before it returns. Older keys remain for
// opening.
func (k *Keyring) Rotate() error {
	if k.path == "" {
		return errors.New("the key comes from the environment and cannot be rotated in place: write it to a file, rotate " +
			"it there, and update the variable")
	}
	k.mu.RLock()
	manager := keyset.NewManagerFromHandle(k.handle)
	k.mu.RUnlock()
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
	if err := k.write(handle, replace); err != nil { // before it seals: a key that is not in the file would be lost
		return err
	}
	return k.use(handle)
}

// Keys returns the number of key-encryption keys.
func (k *Keyring) Keys() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.handle.KeysetInfo().KeyInfo)
}

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
	}
	return nil, kind.Check()
}

// SealKey seals a private key (as PKCS#8).
func (k *Keyring) SealKey(key crypto.Signer, context string) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errors.New("the private key cannot be encoded")
	}
	return k.Seal(der, context)
}

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
