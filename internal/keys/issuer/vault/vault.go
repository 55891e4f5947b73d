// Package vault is an issuer for the PKI secrets engine of HashiCorp Vault and OpenBao.
//
// It signs in with a token, an AppRole, a Kubernetes service account or a TLS certificate, and asks for a certificate
// at sign/ROLE. The role decides on the names: a certificate has the common name of the request, its alternative names
// as far as the role allows them, and the other attributes of the role. With "verbatim: true" it asks at
// sign-verbatim/ROLE, and a certificate has the requested names byte for byte. The certificates have no leases.
package vault

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/tenancy"
)

// Config are the settings of a Vault or an OpenBao.
type Config struct {
	URL       string        `yaml:"url"`
	Namespace string        `yaml:"namespace"` // empty: none
	Mount     string        `yaml:"mount"`     // of the PKI secrets engine; empty: pki
	Role      string        `yaml:"role"`      // empty: none, with Verbatim only
	Verbatim  bool          `yaml:"verbatim"`  // ask at sign-verbatim, which copies the names of the request
	Auth      Auth          `yaml:"auth"`
	TLS       foreign.TLS   `yaml:"tls"`
	Roots     string        `yaml:"roots"`   // PEM file that its certificates must lead to
	Timeout   time.Duration `yaml:"timeout"` // 0: foreign.DefaultTimeout
}

// An Issuer asks a Vault. It is safe for concurrent use.
type Issuer struct {
	*foreign.Roots
	config Config
	client *foreign.Client
	form   issuer.Form
	log    *slog.Logger
	login  login
}

// mountPath matches paths and names that need no escaping in a URL.
var mountPath = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)

// Open returns an issuer. It does not need the CA. The issuer is an [issuer.Namer] if its settings are verbatim.
func Open(c Config, form issuer.Form, log *slog.Logger) (issuer.Issuer, error) {
	if c.Mount == "" {
		c.Mount = "pki"
	}
	switch {
	case !mountPath.MatchString(c.Mount):
		return nil, fmt.Errorf("invalid mount %q: use the path of a PKI secrets engine, such as pki", c.Mount)
	case c.Role == "" && !c.Verbatim:
		return nil, errors.New("role is missing: name a role of the PKI secrets engine, or set verbatim")
	case c.Role != "" && (!mountPath.MatchString(c.Role) || strings.Contains(c.Role, "/")):
		return nil, fmt.Errorf("invalid role %q", c.Role)
	case c.Namespace != "" && !mountPath.MatchString(strings.Trim(c.Namespace, "/")):
		return nil, fmt.Errorf("invalid namespace %q", c.Namespace)
	}
	if err := c.Auth.check(c.TLS); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	config, err := c.TLS.Config()
	if err != nil {
		return nil, err
	}
	client, err := foreign.NewClient(c.URL, config, c.Timeout)
	if err != nil {
		return nil, err
	}
	roots, err := foreign.OpenRoots(c.Roots)
	if err != nil {
		return nil, err
	}
	i := &Issuer{Roots: roots, config: c, client: client, form: form, log: log}
	if c.Verbatim {
		return verbatim{i}, nil
	}
	return i, nil
}

// verbatim is an issuer whose certificates have the requested names.
type verbatim struct{ *Issuer }

// Names implements [issuer.Namer].
func (v verbatim) Names(r issuer.Request) (certfile.Names, error) { return v.form.Requested(r) }

// Issue implements [issuer.Issuer].
func (i *Issuer) Issue(ctx context.Context, r issuer.Request) (issued issuer.Issued, err error) {
	doing := "sign a certificate for " + r.Tenant
	names, err := i.form.Requested(r)
	if err != nil {
		return issued, err
	}
	csr, err := foreign.CSR(r.Key, names)
	if err != nil {
		return issued, err
	}
	operation, body, err := i.signRequest(csr, r.Validity)
	if err != nil {
		return issued, fmt.Errorf("%s: %w", doing, err)
	}
	var data struct {
		Certificate string   `json:"certificate"`
		IssuingCA   string   `json:"issuing_ca"`
		Chain       []string `json:"ca_chain"`
	}
	if err := i.call(ctx, path.Join(i.config.Mount, operation), body, &data, r.At, doing); err != nil {
		return issued, err
	}
	text := strings.Join(append([]string{data.Certificate, data.IssuingCA}, data.Chain...), "\n")
	if issued, err = foreign.Issued([]byte(text), r.Key.Public(), r.At); err != nil {
		return issued, fmt.Errorf("%s: %w", doing, err)
	}
	return issued, nil
}

// signRequest returns the operation that signs a request, and its parameters.
func (i *Issuer) signRequest(csr []byte, validity time.Duration) (operation string, body map[string]any, err error) {
	body = map[string]any{"csr": certfile.RequestPEM(csr), "format": "pem",
		"ttl": fmt.Sprintf("%ds", int64(validity/time.Second))}
	if i.config.Verbatim {
		body["key_usage"], body["ext_key_usage"] = []string{"DigitalSignature"}, []string{"ClientAuth"}
		return path.Join("sign-verbatim", i.config.Role), body, nil
	}
	r, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return "", nil, err
	}
	// For a role that does not take them from the request (use_csr_common_name, use_csr_sans).
	body["common_name"], body["exclude_cn_from_sans"] = r.Subject.CommonName, true
	body["alt_names"] = strings.Join(append(append([]string{}, r.DNSNames...), r.EmailAddresses...), ",")
	uris := make([]string, len(r.URIs))
	for n, u := range r.URIs {
		uris[n] = u.String()
	}
	body["uri_sans"] = strings.Join(uris, ",")
	addresses := make([]string, len(r.IPAddresses))
	for n, ip := range r.IPAddresses {
		addresses[n] = ip.String()
	}
	body["ip_sans"] = strings.Join(addresses, ",")
	return path.Join("sign", i.config.Role), body, nil
}

// Revoke implements [issuer.Revoker]. Vault answers a second revocation like the first.
func (i *Issuer) Revoke(ctx context.Context, c tenancy.Certificate) error {
	serial := c.Serial
	var pairs []string
	for ; len(serial) >= 2; serial = serial[2:] {
		pairs = append(pairs, serial[:2])
	}
	return i.call(ctx, path.Join(i.config.Mount, "revoke"), map[string]any{"serial_number": strings.Join(pairs, ":")}, nil,
		c.RevokedAt, "revoke the certificate "+c.Serial)
}

// call sends a request with a token of the login. If the token has become invalid, it signs in again once: Vault
// refuses such a request before it does anything.
func (i *Issuer) call(ctx context.Context, operation string, body map[string]any, data any, at time.Time,
	doing string) error {
	token, fresh, err := i.login.token(ctx, i, at, doing)
	if err != nil {
		return err
	}
	answer, err := i.post(ctx, operation, token, body, at, doing)
	if err == nil && answer.Status == http.StatusForbidden && !fresh {
		i.login.forget(token)
		if token, _, err = i.login.token(ctx, i, at, doing); err != nil {
			return err
		}
		answer, err = i.post(ctx, operation, token, body, at, doing)
	}
	if err != nil {
		return err
	}
	return i.read(ctx, answer, data, doing)
}

// post sends a request. The token is empty to sign in.
func (i *Issuer) post(ctx context.Context, operation, token string, body map[string]any, at time.Time,
	doing string) (a foreign.Answer, err error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return a, err
	}
	header := http.Header{"Content-Type": {"application/json"}, "X-Vault-Request": {"true"}}
	if token != "" {
		header.Set("X-Vault-Token", token)
	}
	if i.config.Namespace != "" {
		header.Set("X-Vault-Namespace", i.config.Namespace)
	}
	return i.client.Do(ctx, foreign.Call{Method: http.MethodPost, Path: "v1/" + operation, Header: header, Body: encoded,
		At: at, Doing: doing})
}

// An answer is the envelope of Vault's answers.
type answer struct {
	Errors   []string        `json:"errors"`
	Warnings []string        `json:"warnings"`
	Data     json.RawMessage `json:"data"`
	Auth     *struct {
		Token string `json:"client_token"`
		Lease int64  `json:"lease_duration"` // seconds
	} `json:"auth"`
}

// open reads the envelope of an answer, or the error in it.
func open(a foreign.Answer, doing string) (body answer, err error) {
	unreadable := json.Unmarshal(a.Body, &body)
	switch {
	case a.Status == http.StatusPreconditionFailed: // the replica has not seen the token's creation yet
		failed := a.Failure(strings.Join(body.Errors, "; "))
		failed.Fault = issuer.Unreachable
		return body, failed
	case a.Status == http.StatusNoContent:
		return body, nil
	case a.Status != http.StatusOK && unreadable != nil:
		return body, a.Failure(string(a.Body))
	case a.Status != http.StatusOK:
		return body, a.Failure(strings.Join(body.Errors, "; "))
	case unreadable != nil:
		return body, &issuer.Error{Fault: issuer.Broken, Text: doing + ": the answer of the CA is not JSON", Err: unreadable}
	}
	return body, nil
}

// ofCSR matches the warnings that the role takes a name from the request instead of a parameter. Both have the same
// names.
var ofCSR = regexp.MustCompile(`"use_csr_(common_name|sans)" set to true`)

// read reads the data of an answer, and logs its warnings.
func (i *Issuer) read(ctx context.Context, a foreign.Answer, data any, doing string) error {
	body, err := open(a, doing)
	if err != nil {
		return err
	}
	for _, warning := range body.Warnings {
		if ofCSR.MatchString(warning) {
			continue
		}
		i.log.WarnContext(ctx, "the CA warns", "operation", doing, "warning", foreign.Printable(warning))
	}
	if data == nil {
		return nil
	}
	if err := json.Unmarshal(body.Data, data); err != nil {
		return &issuer.Error{Fault: issuer.Broken, Text: doing + ": the answer of the CA has no data", Err: err}
	}
	return nil
}
