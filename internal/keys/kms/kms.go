// Package kms wraps key-encryption keys with a key that a key management service or a token holds and does not give
// away. A URI names the key and contains no secret: credentials come from the environment and are read for each call.
//
// What a service returns is not trusted: answers are bounded, redirects are not followed, and the keyring checks that
// an unwrapped key opens the keyset. No error contains a credential or a key. The guarantee ends if an attacker can
// change the key file and no VAULT_ADDR is set: then the token of a Vault is sent to the server that the file names.
package kms

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// kinds opens a key by the scheme of its URI.
var kinds = []struct {
	scheme, example string
	open            func(uri *url.URL) (keyring.Remote, error)
}{
	{"hcvault", "hcvault://vault.example.com:8200/transit/keys/perennial", openVault},
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
func Open(uri string) (keyring.Remote, error) {
	scheme, _, _ := strings.Cut(uri, ":")
	for _, k := range kinds {
		if k.scheme != scheme {
			continue
		}
		u, err := parse(uri)
		if err == nil {
			var remote keyring.Remote
			if remote, err = k.open(u); err == nil {
				return counted{remote, scheme}, nil
			}
		}
		return nil, fmt.Errorf("the %s key: %w (an example is %s)", scheme, err, k.example)
	}
	return nil, fmt.Errorf("unknown kind of key: use a URI that begins with %s", Schemes())
}

// parse splits a URI. One that may contain a secret is refused and not quoted: it would be kept in the key file and
// appear in errors and logs.
func parse(uri string) (*url.URL, error) {
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the URI has a character that does not belong in a URI")
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return nil, errors.New("it is not a valid URI") // the error of the library quotes it
	case u.User != nil:
		return nil, errors.New("the URI has a user or password: credentials come from the environment")
	case strings.ContainsAny(uri, "?#%"):
		return nil, errors.New("the URI has parameters, a fragment or an escaped character: it names a key and nothing else")
	}
	return u, nil
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

// splitPath returns the parts of a path, which are plain names.
func splitPath(path string) (parts []string, err error) {
	parts = strings.Split(strings.Trim(path, "/"), "/")
	if slices.ContainsFunc(parts, func(p string) bool { return p == "" || p == "." || p == ".." }) {
		return nil, errors.New("the path of the URI is not valid")
	}
	return parts, nil
}
