// Package kms wraps key-encryption keys with a key that a key management service or a token holds and does not give
// away. A URI names the key and contains no secret: credentials come from the environment and are read for each call.
//
// What a service returns is not trusted: answers are bounded, redirects are not followed, and the keyring checks that
// an unwrapped key opens the keyset. No error contains a credential or a key. The guarantee ends if an attacker can
// change the key file and no VAULT_ADDR is set: then the token of a Vault is sent to the server that the file names.
package kms

import (
	"context"
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
}{
	{"hcvault", "hcvault://vault.example.com:8200/transit/keys/perennial", openVault},
	{"aws-kms", "aws-kms://arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab", openAWS},
	{"azure-kms", "azure-kms://example.vault.azure.net/keys/perennial", openAzure},
	{"gcp-kms", "gcp-kms://projects/example/locations/europe-west3/keyRings/perennial/cryptoKeys/perennial", openGoogle},
	{"pkcs11", "pkcs11:token=perennial;object=perennial", openPKCS11},
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
	scheme, name, _ := strings.Cut(uri, ":")
	for _, k := range kinds {
		if k.scheme != scheme {
			continue
		}
		err := checkName(name)
		if err == nil {
			var remote keyring.Remote
			if remote, err = k.open(strings.TrimPrefix(name, "//"), http); err == nil {
				return counted{remote: remote, kind: scheme}, nil
			}
		}
		return nil, fmt.Errorf("the %s key: %w (an example is %s)", scheme, err, k.example)
	}
	return nil, fmt.Errorf("unknown kind of key: use a URI that begins with %s", Schemes())
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
		return errors.New("the URI has parameters or a fragment: it names a key and nothing else")
	}
	return nil
}

var calls = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "perennial_kms_calls_total",
	Help: "Calls of the key management service that wraps the key-encryption keys, by kind of service, operation " +
		"(wrap, unwrap) and result (ok, away, failed). There is one at each start, and none to seal or open a key."},
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
	return wrapped, c.count("wrap", err)
}

func (c counted) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	key, err := c.remote.Unwrap(ctx, wrapped)
	return key, c.count("unwrap", err)
}

func (c counted) count(operation string, err error) error {
	result := "ok"
	if away := (*keyring.Away)(nil); errors.As(err, &away) {
		result = "away"
	} else if err != nil {
		result = "failed"
	}
	calls.WithLabelValues(c.kind, operation, result).Inc()
	return err
}
