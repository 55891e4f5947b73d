package kms

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/secret"
)

const (
	azureAPI       = "?api-version=7.4"
	azureAlgorithm = "RSA-OAEP-256"
	azureLogin     = "https://login.microsoftonline.com"
	azureMetadata  = "http://169.254.169.254/metadata/identity/oauth2/token"
)

// azureHosts are the domains of Key Vaults. A token is sent only to hosts in these.
var azureHosts = []string{"vault.azure.net", "managedhsm.azure.net", "vault.azure.cn", "managedhsm.azure.cn",
	"vault.usgovcloudapi.net", "managedhsm.usgovcloudapi.net"}

// azureName matches HOST/keys/NAME.
var azureName = regexp.MustCompile(`^([a-z0-9-]+)\.([a-z.]+)/keys/([A-Za-z0-9-]+)$`)

// azureVersion matches the version of a key.
var azureVersion = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

// An azureKey is an RSA key of an Azure Key Vault or a managed HSM. Its documented calls and the requests for a token
// are implemented here.
type azureKey struct {
	http   *http.Client
	url    string // of the key, without a version
	domain string // whose tokens are needed
}

// openAzure opens azure-kms://NAME.vault.azure.net/keys/KEY.
func openAzure(name string, http connect) (keyring.Remote, error) {
	parts := azureName.FindStringSubmatch(name)
	if parts == nil {
		return nil, errors.New("the URI needs the host of a Key Vault and the name of a key, without a version")
	}
	for _, domain := range azureHosts {
		if parts[2] == domain {
			return &azureKey{http: http(nil), url: "https://" + name, domain: domain}, nil
		}
	}
	return nil, fmt.Errorf("%s is not the domain of a Key Vault: use one of %s", parts[2], strings.Join(azureHosts, ", "))
}

// token returns an access token: of a workload identity, of a client with a secret, or of the machine's managed
// identity.
func (a *azureKey) token(ctx context.Context) (string, error) {
	tenant, client := os.Getenv("AZURE_TENANT_ID"), os.Getenv("AZURE_CLIENT_ID")
	form := url.Values{"client_id": {client}, "grant_type": {"client_credentials"},
		"scope": {"https://" + a.domain + "/.default"}}
	var hidden string
	switch file := os.Getenv("AZURE_FEDERATED_TOKEN_FILE"); {
	case file != "":
		value, err := secret.File(file).Read()
		if err != nil {
			return "", err
		}
		hidden = value.Reveal()
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", hidden)
	case os.Getenv("AZURE_CLIENT_SECRET") != "":
		hidden = os.Getenv("AZURE_CLIENT_SECRET")
		form.Set("client_secret", hidden)
	default:
		query := url.Values{"api-version": {"2018-02-01"}, "resource": {"https://" + a.domain}}
		if client != "" {
			query.Set("client_id", client)
		}
		return a.fetch(ctx, request{method: http.MethodGet, url: azureMetadata + "?" + query.Encode(),
			header: http.Header{"Metadata": {"true"}}})
	}
	if tenant == "" || client == "" {
		return "", errors.New("the credentials for Azure are incomplete: set AZURE_TENANT_ID and AZURE_CLIENT_ID")
	}
	login := strings.TrimSuffix(cmp.Or(os.Getenv("AZURE_AUTHORITY_HOST"), azureLogin), "/")
	if !strings.HasPrefix(login, "https://") {
		return "", errors.New("AZURE_AUTHORITY_HOST must be an https address")
	}
	return a.fetch(ctx, request{method: http.MethodPost, url: login + "/" + url.PathEscape(tenant) + "/oauth2/v2.0/token",
		body: form, secrets: []string{hidden}})
}

func (a *azureKey) fetch(ctx context.Context, r request) (string, error) {
	r.detail = func(body []byte) string {
		var answer struct {
			Description string `json:"error_description"`
		}
		json.Unmarshal(body, &answer)
		return answer.Description
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := r.do(ctx, a.http, &answer); err != nil {
		return "", fmt.Errorf("get a token of Azure: %w", err)
	}
	if answer.Token == "" {
		return "", errors.New("get a token of Azure: the answer has no token")
	}
	return answer.Token, nil
}

// call calls the API below the URL of the key. A nil value stands for a GET request.
func (a *azureKey) call(ctx context.Context, token, path string, value []byte, answer any) error {
	r := request{method: http.MethodGet, url: a.url + path + azureAPI,
		header: http.Header{"Authorization": {"Bearer " + token}}, secrets: []string{token}, detail: nestedError}
	if value != nil {
		text := base64.RawURLEncoding.EncodeToString(value)
		r.method, r.body = http.MethodPost, map[string]string{"alg": azureAlgorithm, "value": text}
		r.secrets = append(r.secrets, text)
	}
	return r.do(ctx, a.http, answer)
}

type azureData struct {
	KID   string `json:"kid"`
	Value string `json:"value"`
}

// Wrap implements [keyring.Remote]. The result begins with the version of the key, because a rotated key has several.
func (a *azureKey) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	token, err := a.token(ctx)
	if err != nil {
		return nil, err
	}
	var latest struct{ Key azureData }
	if err := a.call(ctx, token, "", nil, &latest); err != nil {
		return nil, err
	}
	version, ok := strings.CutPrefix(latest.Key.KID, a.url+"/")
	if !ok || !azureVersion.MatchString(version) {
		return nil, fmt.Errorf("the Key Vault answered with another key than %s", a.url)
	}
	var data azureData
	if err := a.call(ctx, token, "/"+version+"/wrapkey", key, &data); err != nil {
		return nil, err
	}
	if _, err := base64.RawURLEncoding.DecodeString(data.Value); err != nil || data.Value == "" {
		return nil, errors.New("the Key Vault answered without a wrapped key")
	}
	return []byte(version + "." + data.Value), nil
}

// Unwrap implements [keyring.Remote].
func (a *azureKey) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	version, text, ok := bytes.Cut(wrapped, []byte("."))
	value, err := base64.RawURLEncoding.DecodeString(string(text))
	if !ok || err != nil || !azureVersion.Match(version) || len(value) == 0 {
		return nil, errors.New("it is not a key that a Key Vault wrapped")
	}
	token, err := a.token(ctx)
	if err != nil {
		return nil, err
	}
	var data azureData
	if err := a.call(ctx, token, "/"+string(version)+"/unwrapkey", value, &data); err != nil {
		return nil, err
	}
	key, err := base64.RawURLEncoding.DecodeString(data.Value)
	if err != nil {
		return nil, errors.New("the Key Vault answered without a key")
	}
	return key, nil
}
