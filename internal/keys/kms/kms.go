// Package kms wraps key-encryption keys with a key that a key management service or a token holds and never releases,
// and signs with such keys. A URI names the key and contains no secret: credentials come from the environment. They are
// read for each call that wraps, and at least once a minute to sign.
//
// What a service returns is not trusted: answers are bounded, redirects are not followed, and the keyring checks that
// an unwrapped key opens the keyset. No error contains a credential or a key. The guarantee ends if an attacker can
// change the key file and no VAULT_ADDR is set: then the token of a Vault is sent to the server that the file names.
package kms

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// A connect function returns an HTTP client with a TLS configuration. [newHTTP] is the one of a service; tests have
// others.
type connect func(*tls.Config) *http.Client

// kinds opens a key by the scheme of its URI. The name is the rest of the URI.
var kinds = []struct {
	scheme, example string
	open            func(name string, http connect) (keyring.Remote, error)
	signs           func(name string, http connect) (keyring.Signatory, error)
}{
	{"hcvault", "hcvault://vault.example.com:8200/transit/keys/perennial", openVault, openVaultSigner},
	{"aws-kms", "aws-kms://arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab", openAWS,
		openAWSSigner},
	{"azure-kms", "azure-kms://example.vault.azure.net/keys/perennial", openAzure, openAzureSigner},
	{"gcp-kms", "gcp-kms://projects/example/locations/europe-west3/keyRings/perennial/cryptoKeys/perennial", openGoogle,
		openGoogleSigner},
	{"pkcs11", "pkcs11:token=perennial;object=perennial", openPKCS11, openPKCS11Signer},
}

// Schemes lists the kinds of keys for a help text, separated by commas.
func Schemes() string {
	var all []string
	for _, k := range kinds {
		all = append(all, k.scheme+":")
	}
	return strings.Join(all, ", ")
}

// Open returns the key that a URI names, without calling it. It implements [keyring.Remotes].
func Open(uri string) (keyring.Remote, error) { return open(uri, newHTTP) }

func open(uri string, http connect) (keyring.Remote, error) {
	for _, k := range kinds {
		if name, ok := strings.CutPrefix(uri, k.scheme+":"); ok {
			remote, err := named(name, http, k.open)
			if err != nil {
				return nil, fmt.Errorf("the %s key: %w (an example is %s)", k.scheme, err, k.example)
			}
			return counted{remote: remote, kind: k.scheme}, nil
		}
	}
	return nil, errUnknownKind()
}

// OpenSigner returns the signing key that a URI names, without calling it. It implements [keyring.Signatories].
func OpenSigner(uri string) (keyring.Signatory, error) { return openSigner(uri, newPooled) }

func openSigner(uri string, http connect) (keyring.Signatory, error) {
	for _, k := range kinds {
		if name, ok := strings.CutPrefix(uri, k.scheme+":"); ok {
			signatory, err := named(name, http, k.signs)
			if err != nil {
				return nil, fmt.Errorf("the %s key: %w", k.scheme, err)
			}
			return countedSigner{signatory: signatory, kind: k.scheme}, nil
		}
	}
	return nil, errUnknownKind()
}

func errUnknownKind() error {
	return fmt.Errorf("unknown kind of key: use a URI that begins with %s", Schemes())
}

// named opens the key of a name that cannot contain a secret.
func named[T any](name string, http connect, open func(string, connect) (T, error)) (key T, err error) {
	if err := checkName(name); err != nil {
		return key, err
	}
	return open(strings.TrimPrefix(name, "//"), http)
}

// checkName refuses a URI that may contain a secret, without quoting it: it would be kept in the key file and appear in
// errors and logs.
func checkName(name string) error {
	switch {
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the URI has a character that does not belong in a URI")
	case strings.Contains(name, "@"):
		return errors.New("the URI has a user or password: credentials come from the environment")
	case strings.ContainsAny(name, "?#"):
		return errors.New("the URI has parameters or a fragment: it must only name a key")
	}
	return nil
}

var calls = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "perennial_kms_calls_total",
	Help: "Calls to key management services and tokens, by kind of service, operation (wrap, unwrap, sign, public-key, " +
		"make, destroy) and result (ok, away, failed). Each start unwraps the key-encryption keys. No private key of a " +
		"tenant is opened there. Each certificate and each revocation list of an issuing CA whose key is there needs one " +
		"signature, as does each TLS handshake with a tenant's key in a token."},
	[]string{"kind", "operation", "result"})

// Collectors returns the metrics of this package.
func Collectors() []prometheus.Collector { return []prometheus.Collector{calls} }

// counted counts the calls of a remote.
type counted struct {
	remote keyring.Remote
	kind   string
}

func (c counted) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	wrapped, err := c.remote.Wrap(ctx, key)
	return wrapped, count(c.kind, "wrap", err)
}

func (c counted) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	key, err := c.remote.Unwrap(ctx, wrapped)
	return key, count(c.kind, "unwrap", err)
}

// countedSigner counts the calls of a signatory.
type countedSigner struct {
	signatory keyring.Signatory
	kind      string
}

func (c countedSigner) Key(ctx context.Context) (string, crypto.PublicKey, error) {
	uri, public, err := c.signatory.Key(ctx)
	return uri, public, count(c.kind, "public-key", err)
}

func (c countedSigner) Sign(ctx context.Context, public crypto.PublicKey, digest []byte, hash crypto.Hash) ([]byte,
	error) {
	signature, err := c.signatory.Sign(ctx, public, digest, hash)
	return signature, count(c.kind, "sign", err)
}

func count(kind, operation string, err error) error {
	result := "ok"
	if away := (*keyring.Away)(nil); errors.As(err, &away) {
		result = "away"
	} else if err != nil {
		result = "failed"
	}
	calls.WithLabelValues(kind, operation, result).Inc()
	return err
}
