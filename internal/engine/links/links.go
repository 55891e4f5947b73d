// Package links derives the secrets of the links that the service mails by itself.
//
// A mail is written when its event happens and sent later, perhaps days later. The database has only hashes of the
// secrets of links, so the secret in such a mail follows from the ID of the link and a key of the installation. The key
// is sealed like a private key. It promises that whoever reads the database alone cannot use a link. Whoever has the
// key file as well can compute every link that was mailed.
package links

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// A Kind is the purpose of a link. Secrets of different kinds are unrelated.
type Kind string

// The kinds of links.
const (
	Page         Kind = "page"         // the page of an arrangement, by the ID of the link
	PassedOn     Kind = "passed on"    // the same, by the ID of the arrangement and the generation
	Counterparty Kind = "counterparty" // the page of a counterparty, by the IDs of the notice and of the administrator
	Stop         Kind = "stop"         // ends the mails to an administrator, by the ID of the administrator
)

// The creators of links that the service mails.
const (
	ToAdministrator = "mail to the administrator"
	ToKeyUsers      = "mail to the key users" // who pass it on to the administrator
)

const (
	// keySetting holds the sealed key of the installation, in base64.
	keySetting = "link_key"
	// keyContext is the context in which the key is sealed.
	keyContext = "link key"
	keySize    = sha256.Size
	// secretLength stands for 130 bits in base32, as in the other secrets of links.
	secretLength = 26
)

// A Key derives secrets.
type Key []byte

// Secret returns the secret of a link, 130 bits in base32. The IDs name what the link is for.
func (k Key) Secret(kind Kind, ids ...string) string {
	mac := hmac.New(sha256.New, k)
	fmt.Fprintf(mac, "%s\n%s", kind, strings.Join(ids, "\n"))
	return base32.StdEncoding.EncodeToString(mac.Sum(nil))[:secretLength]
}

// Is reports whether a secret is that of a link.
func (k Key) Is(secret string, kind Kind, ids ...string) bool {
	return hmac.Equal([]byte(secret), []byte(k.Secret(kind, ids...)))
}

// Sealer encrypts data for a context. It can only be decrypted with the same context.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
}

// Open returns the key of the installation. The first call creates it, in a transaction of its own. If replicas do so
// at once, the first one decides.
func Open(ctx context.Context, s *store.Store, seal Sealer) (Key, error) {
	stored, err := s.Setting(ctx, keySetting)
	if err != nil {
		return nil, err
	}
	if stored == "" {
		if stored, err = create(ctx, s, seal); err != nil {
			return nil, err
		}
	}
	return open(seal, stored)
}

func create(ctx context.Context, s *store.Store, seal Sealer) (stored string, err error) {
	key := make([]byte, keySize)
	rand.Read(key) // it never fails
	sealed, err := seal.Seal(key, keyContext)
	if err != nil {
		return "", fmt.Errorf("seal the key of mailed links: %w", err)
	}
	err = s.InTx(ctx, func(tx *store.Tx) (err error) {
		stored, err = tx.SetOnce(ctx, keySetting, base64.StdEncoding.EncodeToString(sealed))
		return err
	})
	return stored, err
}

func open(seal Sealer, stored string) (Key, error) {
	sealed, err := base64.StdEncoding.DecodeString(stored)
	if err != nil {
		return nil, errors.New("the key of mailed links in the database is damaged: restore the database from its backup")
	}
	key, err := seal.Open(sealed, keyContext)
	if err != nil {
		return nil, fmt.Errorf("open the key of mailed links: %w", err)
	}
	if len(key) != keySize {
		return nil, errors.New("the key of mailed links in the database has the wrong size: restore the database from its " +
			"backup")
	}
	return key, nil
}

// Reseal seals the key again if it is not sealed with the newest key-encryption key.
func Reseal(ctx context.Context, s *store.Store, keys *keyring.Keyring) error {
	stored, err := s.Setting(ctx, keySetting)
	if err != nil || stored == "" {
		return err
	}
	key, err := open(keys, stored)
	if err != nil {
		return err
	}
	if sealed, err := base64.StdEncoding.DecodeString(stored); err != nil || keys.Current(sealed) {
		return err
	}
	sealed, err := keys.Seal(key, keyContext)
	if err != nil {
		return err
	}
	return s.InTx(ctx, func(tx *store.Tx) error {
		return tx.SetSetting(ctx, keySetting, base64.StdEncoding.EncodeToString(sealed))
	})
}
