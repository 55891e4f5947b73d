package kms

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/secret"
)

// vaultTokenFile names a file with the token of a Vault, such as the sink of a Vault agent.
const vaultTokenFile = "PERENNIAL_VAULT_TOKEN_FILE"

// A vault is a key of the transit secrets engine of HashiCorp Vault or OpenBao. The two calls of its API are
// implemented here, because the client library of Vault would add 1.3 MB and a dozen modules.
type vault struct {
	http      *http.Client
	base      string // such as https://vault.example.com/v1/
	mount     string
	key       string
	namespace string
}

// vaultName matches HOST[:PORT]/MOUNT/keys/NAME.
var vaultName = regexp.MustCompile(`^((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?)/(` + vaultWord + `(?:/` +
	vaultWord + `)*)/keys/(` + vaultWord + `)$`)

// vaultWord matches a name that needs no escaping and does not lead to another path.
const vaultWord = `[A-Za-z0-9_-][A-Za-z0-9._-]*`

// openVault opens hcvault://HOST[:PORT]/MOUNT/keys/NAME.
func openVault(name string, http connect) (keyring.Remote, error) {
	parts := vaultName.FindStringSubmatch(name)
	if parts == nil {
		return nil, errors.New("the URI needs the host of the Vault, the mount of its transit engine and the name of a key")
	}
	host := parts[1]
	scheme, err := vaultScheme(host)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if config.RootCAs, err = certfile.ReadRoots(os.Getenv("VAULT_CACERT")); err != nil {
		return nil, fmt.Errorf("VAULT_CACERT: %w", err)
	}
	if file := os.Getenv("VAULT_CLIENT_CERT"); file != "" {
		pair, err := tls.LoadX509KeyPair(file, os.Getenv("VAULT_CLIENT_KEY"))
		if err != nil {
			return nil, fmt.Errorf("VAULT_CLIENT_CERT, VAULT_CLIENT_KEY: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &vault{http: http(config), base: scheme + "://" + host + "/v1/", mount: parts[2], key: parts[3],
		namespace: os.Getenv("VAULT_NAMESPACE")}, nil
}

// vaultScheme returns https. It returns http for a Vault on this machine, if VAULT_ADDR has it. A VAULT_ADDR with
// another host is an error: the token belongs to that Vault, and must not be sent to the host that a key file names.
func vaultScheme(host string) (string, error) {
	text := os.Getenv("VAULT_ADDR")
	if text == "" {
		return "https", nil
	}
	addr, err := url.Parse(text)
	switch {
	case err != nil || addr.Host == "" || addr.User != nil || addr.Scheme != "https" && addr.Scheme != "http":
		return "", errors.New("invalid VAULT_ADDR: use an address such as https://vault.example.com:8200")
	case addr.Host != host:
		return "", fmt.Errorf("it is at %s, and VAULT_ADDR is at %s: they must be the same Vault, because the token is sent "+
			"to it", host, addr.Host)
	case addr.Scheme == "http" && !isLoopback(addr.Hostname()):
		return "", errors.New("VAULT_ADDR is plain http: use https, unless the Vault is on this machine")
	}
	return addr.Scheme, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// token reads the token from a file that an agent may replace at any time, or from the environment.
func (v *vault) token() (string, error) {
	ref := secret.Ref{}
	if file := os.Getenv(vaultTokenFile); file != "" {
		ref = secret.File(file)
	} else if os.Getenv("VAULT_TOKEN") != "" {
		ref, _ = secret.Parse("env:VAULT_TOKEN")
	} else {
		return "", fmt.Errorf("there is no token for the Vault: set VAULT_TOKEN, or %s to a file that a Vault agent writes",
			vaultTokenFile)
	}
	value, err := ref.Read()
	return value.Reveal(), err
}

func (v *vault) call(ctx context.Context, operation, parameter, value string) (data vaultData, err error) {
	token, err := v.token()
	if err != nil {
		return data, err
	}
	header := http.Header{"X-Vault-Token": {token}, "X-Vault-Request": {"true"}}
	if v.namespace != "" {
		header.Set("X-Vault-Namespace", v.namespace)
	}
	var answer struct{ Data vaultData }
	err = request{
		method: http.MethodPost, url: v.base + v.mount + "/" + operation + "/" + v.key, header: header,
		body: map[string]string{parameter: value}, secrets: []string{token, value}, detail: vaultErrors,
	}.do(ctx, v.http, &answer)
	return answer.Data, err
}

type vaultData struct{ Plaintext, Ciphertext string }

func vaultErrors(body []byte) string {
	var answer struct{ Errors []string }
	json.Unmarshal(body, &answer)
	return strings.Join(answer.Errors, "; ")
}

// Wrap implements [keyring.Remote].
func (v *vault) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	data, err := v.call(ctx, "encrypt", "plaintext", base64.StdEncoding.EncodeToString(key))
	if err == nil && !strings.HasPrefix(data.Ciphertext, "vault:") {
		err = errors.New("the answer of the Vault has no ciphertext: check that the URI names a key of a transit engine")
	}
	return []byte(data.Ciphertext), err
}

// Unwrap implements [keyring.Remote].
func (v *vault) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	data, err := v.call(ctx, "decrypt", "ciphertext", string(wrapped))
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(data.Plaintext)
	if err != nil {
		return nil, errors.New("the plaintext of the Vault is not base64")
	}
	return key, nil
}
