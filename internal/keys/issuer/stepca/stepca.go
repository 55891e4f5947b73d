// Package stepca is an issuer for step-ca (smallstep).
//
// It signs a token as a provisioner, either with its key (JWK) or with a certificate of its own (X5C), and asks for a
// certificate at /1.0/sign. With a template that copies the request (docs/issuers.md), a certificate has the requested
// names byte for byte. The certificate of an X5C provisioner is renewed here, at /1.0/renew, after two thirds of its
// lifetime. No tenant's certificate can outlive it, because step-ca refuses that.
package stepca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// backdate is the time from the start of a certificate's validity to its issuance, for receivers with a slow clock.
	backdate = time.Minute
	// tokenLifetime is short, because a token is used at once.
	tokenLifetime = 5 * time.Minute
)

// Config are the settings of a step-ca.
type Config struct {
	URL         string        `yaml:"url"`
	Fingerprint string        `yaml:"fingerprint"` // SHA-256 of the root; empty: Roots
	Roots       string        `yaml:"roots"`       // PEM file with the root
	Provisioner string        `yaml:"provisioner"` // name
	Key         secret.Ref    `yaml:"key"`         // JWK of a JWK provisioner; PEM key of an X5C provisioner
	Password    secret.Ref    `yaml:"password"`    // of an encrypted JWK
	Certificate string        `yaml:"certificate"` // PEM file of an X5C provisioner's certificate with its chain
	Timeout     time.Duration `yaml:"timeout"`     // 0: foreign.DefaultTimeout
}

// An Issuer asks a step-ca. It is safe for concurrent use.
type Issuer struct {
	config      Config
	fingerprint string // of the root; empty if its file is configured
	form        issuer.Form
	log         *slog.Logger
	signer      signer

	mu     sync.Mutex // guards what follows
	client *foreign.Client
	roots  *foreign.Roots
}

// Open returns an issuer. It does not need the CA: a root that is named by its fingerprint is fetched with the first
// certificate.
func Open(c Config, form issuer.Form, log *slog.Logger) (*Issuer, error) {
	i := &Issuer{config: c, form: form, log: log}
	if c.Provisioner == "" || c.Key.IsZero() {
		return nil, errors.New("provisioner and key are needed: name a provisioner of the CA, and its key")
	}
	if (c.Fingerprint == "") == (c.Roots == "") {
		return nil, errors.New("set either fingerprint, to the SHA-256 of the root (step certificate fingerprint), or " +
			"roots, to its file")
	}
	i.signer = &jwkSigner{config: c}
	if c.Certificate != "" {
		i.signer = &x5cSigner{config: c}
	}
	if c.Fingerprint != "" {
		var err error
		if i.fingerprint, err = foreign.ParseFingerprint(c.Fingerprint); err != nil {
			return nil, err
		}
		_, err = foreign.NewClient(c.URL, nil, c.Timeout) // only its settings are checked
		return i, err
	}
	roots, err := foreign.OpenRoots(c.Roots)
	if err != nil {
		return nil, err
	}
	return i, i.use(roots)
}

// use connects to the CA, which it verifies by its roots.
func (i *Issuer) use(roots *foreign.Roots) error {
	client, err := foreign.NewClient(i.config.URL, tlsConfig(roots, nil), i.config.Timeout)
	if err != nil {
		return err
	}
	i.client, i.roots = client, roots
	return nil
}

func tlsConfig(roots *foreign.Roots, own *tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots.Bundle())
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	if own != nil {
		config.Certificates = []tls.Certificate{*own}
	}
	return config
}

// Bundle implements [issuer.Bundler]. It is empty until the root of the fingerprint has been fetched.
func (i *Issuer) Bundle() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.roots == nil {
		return nil
	}
	return i.roots.Bundle()
}

// connect returns a client that trusts the root, and fetches the root if it is known by its fingerprint only.
func (i *Issuer) connect(ctx context.Context, at time.Time, doing string) (*foreign.Client, *foreign.Roots, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.client != nil {
		return i.client, i.roots, nil
	}
	// The answer is verified by its fingerprint, as "step ca bootstrap" does.
	unverified, err := foreign.NewClient(i.config.URL, &tls.Config{InsecureSkipVerify: true}, i.config.Timeout)
	if err != nil {
		return nil, nil, err
	}
	answer, err := unverified.Do(ctx, foreign.Call{Method: http.MethodGet, Path: "root/" + i.fingerprint, At: at,
		Doing: doing})
	if err != nil {
		return nil, nil, err
	}
	if answer.Status == http.StatusNotFound {
		return nil, nil, issuer.Failed(issuer.Untrusted, "%s: the CA has no root with the fingerprint %s", doing,
			i.fingerprint)
	}
	if answer.Status != http.StatusOK {
		return nil, nil, failure(answer)
	}
	var body struct {
		CA string `json:"ca"`
	}
	err = json.Unmarshal(answer.Body, &body)
	found, err2 := certfile.Parse([]byte(body.CA), "")
	if err := errors.Join(err, err2); err != nil {
		return nil, nil, &issuer.Error{Fault: issuer.Broken, Text: doing + ": the root of the CA cannot be read", Err: err}
	}
	if certfile.Fingerprint(found[0].Raw) != i.fingerprint {
		return nil, nil, issuer.Failed(issuer.Untrusted, "%s: the root of the CA has the fingerprint %s instead of %s", doing,
			certfile.Fingerprint(found[0].Raw), i.fingerprint)
	}
	err = i.use(foreign.FixedRoots([]byte(foreign.CertificatePEM(found[0].Raw))))
	return i.client, i.roots, err
}

// failure returns the error for an answer in step-ca's form.
func failure(a foreign.Answer) error {
	var body struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(a.Body, &body) != nil {
		body.Message = string(a.Body)
	}
	return a.Failure(body.Message)
}

// Names implements [issuer.Namer]: a certificate has the requested names.
func (i *Issuer) Names(r issuer.Request) (certfile.Names, error) { return i.form.Requested(r) }

type signRequest struct {
	CSR       string    `json:"csr"`
	Token     string    `json:"ott"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
}

// Issue implements [issuer.Issuer].
func (i *Issuer) Issue(ctx context.Context, r issuer.Request) (issued issuer.Issued, err error) {
	doing := "sign a certificate for " + r.Tenant
	names, err := i.Names(r)
	if err != nil {
		return issued, err
	}
	csr, err := foreign.CSR(r.Key, names)
	if err != nil {
		return issued, err
	}
	sans, err := tokenNames(csr)
	if err != nil {
		return issued, fmt.Errorf("%s: %w", doing, err)
	}
	client, roots, err := i.connect(ctx, r.At, doing)
	if err != nil {
		return issued, err
	}
	s, err := i.signer.identity(ctx, renewer{roots: roots, config: i.config, log: i.log, at: r.At})
	if err != nil {
		return issued, fmt.Errorf("%s: %w", doing, err)
	}
	body := signRequest{CSR: certfile.RequestPEM(csr), NotBefore: s.notBefore(r.At.Add(-backdate))}
	body.NotAfter = s.notAfter(body.NotBefore.Add(r.Validity))
	body.Token, err = s.token(i.config.Provisioner, client.Base()+"/1.0/sign", r.At, map[string]any{
		"sub": subjectOf(csr, r.Tenant), "sans": sans,
	})
	if err != nil {
		return issued, fmt.Errorf("%s: %w", doing, err)
	}
	answer, err := post(ctx, client, "1.0/sign", body, r.At, doing)
	if err != nil {
		return issued, err
	}
	if issued, err = certificates(answer, r.Key.Public(), r.At); err != nil {
		return issued, fmt.Errorf("%s: %w", doing, err)
	}
	return issued, nil
}

// certificates reads the answer of /1.0/sign and /1.0/renew.
func certificates(answer []byte, key crypto.PublicKey, at time.Time) (issued issuer.Issued, err error) {
	var body struct {
		Chain []string `json:"certChain"`
	}
	if err := json.Unmarshal(answer, &body); err != nil {
		return issued, &issuer.Error{Fault: issuer.Broken, Text: "the answer of the CA cannot be read", Err: err}
	}
	return foreign.Issued([]byte(strings.Join(body.Chain, "\n")), key, at)
}

// post sends a request and returns the body of its answer.
func post(ctx context.Context, c *foreign.Client, path string, body any, at time.Time, doing string) ([]byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	answer, err := c.Do(ctx, foreign.Call{Method: http.MethodPost, Path: path, Body: data, At: at, Doing: doing,
		Header: http.Header{"Content-Type": {"application/json"}}})
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusCreated && answer.Status != http.StatusOK {
		return nil, failure(answer)
	}
	return answer.Body, nil
}

// tokenNames returns the alternative names of a request as a token has them. step-ca compares both.
func tokenNames(csr []byte) (sans []string, err error) {
	r, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, err
	}
	sans = append(append([]string{}, r.DNSNames...), r.EmailAddresses...)
	for _, ip := range r.IPAddresses {
		sans = append(sans, ip.String())
	}
	for _, u := range r.URIs {
		sans = append(sans, u.String())
	}
	return sans, nil
}

// subjectOf returns the common name of a request, which the subject of its token must be. A request without one gets
// the tenant instead.
func subjectOf(csr []byte, tenant string) string {
	if r, err := x509.ParseCertificateRequest(csr); err == nil && r.Subject.CommonName != "" {
		return r.Subject.CommonName
	}
	return tenant
}

// Revoke implements [issuer.Revoker].
func (i *Issuer) Revoke(ctx context.Context, c tenancy.Certificate) error {
	doing := "revoke the certificate " + c.Serial
	leaf, err := certfile.ParseCertificate(c.DER)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	serial := leaf.SerialNumber.String()
	client, roots, err := i.connect(ctx, c.RevokedAt, doing)
	if err != nil {
		return err
	}
	s, err := i.signer.identity(ctx, renewer{roots: roots, config: i.config, log: i.log,
		at: c.RevokedAt})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	token, err := s.token(i.config.Provisioner, client.Base()+"/1.0/revoke", c.RevokedAt, map[string]any{"sub": serial})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	_, err = post(ctx, client, "1.0/revoke", map[string]any{"serial": serial, "ott": token, "passive": true,
		"reasonCode": issuer.ReasonOf(c.RevokedFor), "reason": c.RevokedFor}, c.RevokedAt, doing)
	if f := (*issuer.Error)(nil); errors.As(err, &f) && strings.Contains(f.Text, "is already revoked") {
		return nil // step-ca has no code for it
	}
	return err
}

func newID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// x5c returns a chain for the header x5c (RFC 7515, section 4.1.6).
func x5c(chain [][]byte) (all []string) {
	for _, der := range chain {
		all = append(all, base64.StdEncoding.EncodeToString(der))
	}
	return all
}
