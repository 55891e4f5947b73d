// Package acme is an issuer for private CAs with the Automatic Certificate Management Environment (ACME, RFC 8555).
//
// A CA with ACME certifies DNS names, so a tenant's certificate has a name below a domain of the platform:
// TENANT.DOMAIN, or m-user.TENANT.DOMAIN. That name is also its only possible subject. The platform proves that it owns
// the names by http-01, with a listener of the service, or by dns-01, with a program that sets a record. A CA that has
// authorized the account for the names already asks for no proof.
//
// Public CAs no longer issue client certificates, so they are refused by [issuer.Checked].
package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/exec"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/tenancy"
)

// DefaultTimeout is the time for an order with its proofs, unless the settings allow another.
const DefaultTimeout = 2 * time.Minute

// Config are the settings of a CA with ACME.
type Config struct {
	Directory string `yaml:"directory"` // URL
	// Domain is the domain of the platform below which tenants have their names.
	Domain     string     `yaml:"domain"`
	CommonName bool       `yaml:"common_name"` // the CA makes the DNS name the common name, too
	AccountKey secret.Ref `yaml:"account_key"` // PEM; RSA or ECDSA
	Contact    []string   `yaml:"contact"`     // such as mailto:pki@example.com
	AgreeTerms bool       `yaml:"agree_to_terms"`
	// EAB binds the account to one at the CA (RFC 8555, section 7.3.4).
	EAB struct {
		KeyID string     `yaml:"key_id"`
		Key   secret.Ref `yaml:"key"` // HMAC key in base64url
	} `yaml:"external_account"`
	RequestValidity bool          `yaml:"request_validity"` // orders have a notAfter, which some CAs refuse
	HTTPListen      string        `yaml:"http_listen"`      // for http-01, such as :80; empty: not offered
	DNS             exec.Program  `yaml:"dns"`              // for dns-01; without a command it is not offered
	TLS             foreign.TLS   `yaml:"tls"`
	Roots           string        `yaml:"roots"`   // PEM file that its certificates must lead to
	Timeout         time.Duration `yaml:"timeout"` // 0: DefaultTimeout
}

// An Issuer orders certificates. It is safe for concurrent use.
type Issuer struct {
	*foreign.Roots
	config  Config
	client  *foreign.Client
	proofs  []prover
	timeout time.Duration

	mu      sync.Mutex // guards account
	account *acme.Client
}

var domains = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Open returns an issuer. It does not need the CA.
func Open(c Config) (*Issuer, error) {
	switch {
	case !domains.MatchString(c.Domain):
		return nil, fmt.Errorf("invalid domain %q: use one that the platform owns, such as tenants.example.com", c.Domain)
	case c.AccountKey.IsZero():
		return nil, errors.New("account_key is missing: create one with \"openssl ecparam -name prime256v1 -genkey\"")
	case (c.EAB.KeyID == "") != c.EAB.Key.IsZero():
		return nil, errors.New("external_account: key_id and key belong together: set both")
	case c.Timeout < 0:
		return nil, fmt.Errorf("invalid timeout %s: use a time such as 2m", c.Timeout)
	}
	i := &Issuer{config: c, timeout: c.Timeout}
	if i.timeout == 0 {
		i.timeout = DefaultTimeout
	}
	if c.HTTPListen != "" {
		i.proofs = append(i.proofs, &httpProver{address: c.HTTPListen})
	}
	if len(c.DNS.Command) > 0 {
		runner, err := exec.NewRunner(c.DNS)
		if err != nil {
			return nil, fmt.Errorf("dns: %w", err)
		}
		i.proofs = append(i.proofs, dnsProver{runner})
	}
	config, err := c.TLS.Config()
	if err != nil {
		return nil, err
	}
	if i.client, err = foreign.NewClient(c.Directory, config, i.timeout); err != nil {
		return nil, err
	}
	i.Roots, err = foreign.OpenRoots(c.Roots)
	return i, err
}

// Names implements [issuer.Namer]. A certificate keeps the alternative names of the one that it replaces if all of them
// are DNS names below the domain.
func (i *Issuer) Names(r issuer.Request) (n certfile.Names, err error) {
	name := r.Tenant + "." + i.config.Domain
	if r.Purpose == tenancy.ForMUser {
		name = "m-user." + name
	}
	if n.SAN, err = certfile.SANOf(certfile.GeneralName{Kind: certfile.DNSName, Value: name}); err != nil {
		return n, err
	}
	if r.Replaces != nil && i.below(*r.Replaces) {
		n.SAN = r.Replaces.SAN
		all, _ := n.Alternatives()
		name = all[0].Value
	}
	subject := pkix.Name{}
	if i.config.CommonName {
		subject.CommonName = name
	}
	n.Subject, err = asn1.Marshal(subject.ToRDNSequence())
	return n, err
}

// below reports whether all alternative names are DNS names below the domain.
func (i *Issuer) below(n certfile.Names) bool {
	all, err := n.Alternatives()
	for _, a := range all {
		if a.Kind != certfile.DNSName || !strings.HasSuffix(a.Value, "."+i.config.Domain) {
			return false
		}
	}
	return err == nil && len(all) > 0
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
	all, err := names.Alternatives()
	if err != nil {
		return issued, fmt.Errorf("%s: %w", doing, err)
	}
	var hosts []string
	for _, a := range all {
		hosts = append(hosts, a.Value)
	}
	within, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	chain, err := i.order(within, r, hosts, csr)
	if err != nil {
		if ctx.Err() != nil {
			return issued, fmt.Errorf("%s: %w", doing, ctx.Err())
		}
		return issued, i.failure(err, doing, r.At)
	}
	var text []byte
	for _, der := range chain {
		text = append(text, foreign.CertificatePEM(der)...)
	}
	if issued, err = foreign.Issued(text, r.Key.Public(), r.At); err != nil {
		return issued, fmt.Errorf("%s: %w", doing, err)
	}
	return issued, nil
}

// order orders a certificate, proves the names, and fetches the certificate with its chain.
func (i *Issuer) order(ctx context.Context, r issuer.Request, hosts []string, csr []byte) ([][]byte, error) {
	client, err := i.registered(ctx)
	if err != nil {
		return nil, err
	}
	var options []acme.OrderOption
	if i.config.RequestValidity {
		options = append(options, acme.WithOrderNotAfter(r.At.Add(r.Validity).UTC().Truncate(time.Second)))
	}
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(hosts...), options...)
	if err != nil {
		return nil, err
	}
	for _, url := range order.AuthzURLs {
		if err := i.authorize(ctx, client, url); err != nil {
			return nil, err
		}
	}
	ready, err := client.WaitOrder(ctx, order.URI)
	if err != nil {
		return nil, err
	}
	chain, _, err := client.CreateCertFromOrder(ctx, ready, csr, true)
	return chain, err
}

// authorize proves one name, unless it is proved already.
func (i *Issuer) authorize(ctx context.Context, client *acme.Client, url string) error {
	z, err := client.GetAuthorization(ctx, url)
	if err != nil || z.Status != acme.StatusPending {
		return err // what is not valid fails with the order
	}
	var offered []string
	for _, challenge := range z.Challenges {
		offered = append(offered, challenge.Type)
		for _, p := range i.proofs {
			if p.challenge() == challenge.Type {
				return i.prove(ctx, client, p, z, challenge)
			}
		}
	}
	return issuer.Failed(issuer.Rejected, "the CA wants a proof for %s by %s, and none of them is configured "+
		"(http_listen, dns)", z.Identifier.Value, strings.Join(offered, " or "))
}

func (i *Issuer) prove(ctx context.Context, client *acme.Client, p prover, z *acme.Authorization,
	challenge *acme.Challenge) error {
	end, err := p.present(ctx, client, z.Identifier.Value, challenge.Token)
	if err != nil {
		return fmt.Errorf("prove %s by %s: %w", z.Identifier.Value, challenge.Type, err)
	}
	defer end()
	if _, err := client.Accept(ctx, challenge); err != nil {
		return err
	}
	_, err = client.WaitAuthorization(ctx, z.URI)
	return err
}

// registered returns a client with an account, which it creates if there is none for the key.
func (i *Issuer) registered(ctx context.Context) (*acme.Client, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.account != nil {
		return i.account, nil
	}
	key, err := accountKey(i.config.AccountKey)
	if err != nil {
		return nil, err
	}
	client := &acme.Client{Key: key, HTTPClient: i.client.HTTP(), DirectoryURL: i.client.Base(), UserAgent: "perennial",
		RetryBackoff: retry}
	account := &acme.Account{Contact: i.config.Contact}
	if i.config.EAB.KeyID != "" {
		if account.ExternalAccountBinding, err = i.binding(); err != nil {
			return nil, err
		}
	}
	agreed := true
	_, err = client.Register(ctx, account, func(string) bool {
		agreed = i.config.AgreeTerms
		return agreed
	})
	if !agreed {
		return nil, issuer.Failed(issuer.Denied, "the CA has terms of service, and agree_to_terms is not set")
	}
	if err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, err
	}
	i.account = client
	return client, nil
}

// retry returns the pause before the nth repetition of a request; negative to give up, so that the engine tries again
// later.
func retry(n int, _ *http.Request, res *http.Response) time.Duration {
	switch {
	case res == nil:
		return -1
	case res.StatusCode == http.StatusBadRequest && n <= 12: // a nonce that is too old (RFC 8555, section 6.5)
		return time.Millisecond
	case res.StatusCode == http.StatusInternalServerError && n <= 5: // such as conflicts in the database of step-ca
		return time.Duration(n) * 50 * time.Millisecond
	}
	return -1
}

func (i *Issuer) binding() (*acme.ExternalAccountBinding, error) {
	value, err := i.config.EAB.Key.Read()
	if err != nil {
		return nil, err
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(value.Reveal(), "="))
	if err != nil {
		return nil, fmt.Errorf("the key %s of the external account is not base64url", i.config.EAB.Key)
	}
	return &acme.ExternalAccountBinding{KID: i.config.EAB.KeyID, Key: key}, nil
}

// accountKey reads a private key in PEM.
func accountKey(ref secret.Ref) (crypto.Signer, error) {
	value, err := ref.Read()
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode([]byte(value.Reveal())); block != nil; block, rest = pem.Decode(rest) {
		var key any
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			break
		}
		switch k := key.(type) {
		case *ecdsa.PrivateKey:
			return k, nil
		case *rsa.PrivateKey:
			return k, nil
		}
	}
	return nil, fmt.Errorf("the account key %s is not an RSA or ECDSA key in PEM", ref)
}

// Revoke implements [issuer.Revoker].
func (i *Issuer) Revoke(ctx context.Context, c tenancy.Certificate) error {
	doing := "revoke the certificate " + c.Serial
	within, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	client, err := i.registered(within)
	if err == nil {
		err = client.RevokeCert(within, nil, c.DER, acme.CRLReasonCode(issuer.ReasonOf(c.RevokedFor)))
	}
	if refused := (*acme.Error)(nil); errors.As(err, &refused) &&
		refused.ProblemType == problems+"alreadyRevoked" {
		return nil
	}
	if err != nil {
		return i.failure(err, doing, c.RevokedAt)
	}
	return nil
}

// problems is the prefix of ACME's problem types (RFC 8555, section 6.7).
const problems = "urn:ietf:params:acme:error:"

var faults = map[string]issuer.Fault{
	"rateLimited":             issuer.Limited,
	"accountDoesNotExist":     issuer.Denied,
	"externalAccountRequired": issuer.Denied,
	"unauthorized":            issuer.Denied,
	"userActionRequired":      issuer.Denied,
	"serverInternal":          issuer.Broken,
}

// failure returns the error of a CA with its kind.
func (i *Issuer) failure(err error, doing string, at time.Time) error {
	if fault, _ := issuer.FaultOf(err); fault != "" {
		return fmt.Errorf("%s: %w", doing, err)
	}
	refused, order, proof := (*acme.Error)(nil), (*acme.OrderError)(nil), (*acme.AuthorizationError)(nil)
	switch {
	case errors.As(err, &proof):
		var why []string
		for _, e := range proof.Errors {
			why = append(why, foreign.Printable(e.Error()))
		}
		return issuer.Failed(issuer.Rejected, "%s: the CA does not accept the proof for %s: %s", doing, proof.Identifier,
			strings.Join(why, "; "))
	case errors.As(err, &order):
		text := fmt.Sprintf("%s: the order is %s", doing, order.Status)
		if order.Problem != nil {
			text += ": " + foreign.Printable(order.Problem.Detail)
		}
		return issuer.Failed(issuer.Rejected, "%s", text)
	case errors.As(err, &refused):
		fault, known := faults[strings.TrimPrefix(refused.ProblemType, problems)]
		switch {
		case known:
		case refused.StatusCode == http.StatusServiceUnavailable:
			fault = issuer.Unreachable
		case refused.StatusCode == http.StatusTooManyRequests:
			fault = issuer.Limited
		case refused.StatusCode == http.StatusUnauthorized, refused.StatusCode == http.StatusForbidden:
			fault = issuer.Denied
		case refused.StatusCode >= 500 || refused.ProblemType == "":
			fault = issuer.Broken
		default:
			fault = issuer.Rejected
		}
		failed := issuer.Failed(fault, "%s: the CA answered %d: %s", doing, refused.StatusCode,
			foreign.Printable(refused.Detail))
		failed.Retry = foreign.RetryAfter(refused.Header, at)
		return failed
	}
	return i.client.Unanswered(doing, err)
}
