// Package workload verifies the identity tokens that a platform gives its workloads, such as the service-account tokens
// of Kubernetes. A workload that has one does not need one of our tokens, which could leak or expire.
//
// It promises that a token counts only if a configured issuer signed it for the configured audience, and only while it
// is valid. The issuers' keys are found by OpenID Connect Discovery and kept, so an issuer that is down stops only
// tokens that were signed with new keys. A stranger's tokens cause at most one request a second to each issuer, and the
// memory for tokens is bounded.
package workload

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// Options are the flags that make a process accept identity tokens.
type Options struct {
	Issuers  []string `name:"workload-issuer" env:"PERENNIAL_WORKLOAD_ISSUER" placeholder:"URL" help:"Issuers of identity tokens that senders and gateways may use instead of their own tokens, for example that of a Kubernetes cluster. May be repeated."`
	Audience string   `name:"workload-audience" default:"perennial" env:"PERENNIAL_WORKLOAD_AUDIENCE" help:"Required audience of identity tokens."`
	CA       string   `name:"workload-ca" env:"PERENNIAL_WORKLOAD_CA" placeholder:"FILE" help:"CAs (PEM) of the issuers' servers, instead of the system's."`
}

// An Identity is a workload that an issuer vouches for.
type Identity struct {
	Issuer  string
	Subject string // such as system:serviceaccount:NAMESPACE:NAME
}

// Errors of a verification.
var (
	// ErrInvalid means that the token is not valid: of another audience, expired, or signed by another key.
	ErrInvalid = errors.New("the identity token is not valid")
	// ErrUnavailable means that the issuer's keys cannot be read at the moment.
	ErrUnavailable = errors.New("the issuer of the identity token does not answer")
)

const (
	// mostVerified limits the tokens whose verification is remembered.
	mostVerified = 10_000
	// longestToken limits the length of a token, in bytes.
	longestToken = 16 << 10
	// longestAnswer limits an answer of an issuer, in bytes.
	longestAnswer = 1 << 20
	// issuerTime limits a request to an issuer.
	issuerTime = 5 * time.Second
	// issuerPause is the least time between two requests to an issuer.
	issuerPause = time.Second
)

// A Verifier verifies identity tokens. A nil Verifier has no issuer. It is safe for concurrent use.
type Verifier struct {
	now     func() time.Time
	issuers map[string]*issuer

	mu       sync.Mutex // guards verified
	verified map[[sha256.Size]byte]verified
}

type verified struct {
	Identity
	until time.Time
}

// New returns a verifier; nil if no issuer is configured. now is required.
func New(o Options, now func() time.Time) (*Verifier, error) {
	if len(o.Issuers) == 0 {
		return nil, nil
	}
	if now == nil {
		return nil, errors.New("workload: no clock is given")
	}
	if o.Audience == "" {
		return nil, errors.New("--workload-audience: set the audience of the identity tokens")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if o.CA != "" {
		roots, err := certfile.ReadRoots(o.CA)
		if err != nil {
			return nil, fmt.Errorf("--workload-ca: %w", err)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	v := &Verifier{now: now, issuers: map[string]*issuer{}, verified: map[[sha256.Size]byte]verified{}}
	for _, address := range o.Issuers {
		if !IsIssuer(address) {
			return nil, fmt.Errorf("--workload-issuer: invalid issuer %q: use the https URL in the claim iss of its tokens",
				address)
		}
		v.issuers[address] = &issuer{url: address, audience: o.Audience, now: now,
			client: &http.Client{Timeout: issuerTime, Transport: &paced{next: transport, now: now,
				latest: map[string]request{}}}}
	}
	return v, nil
}

// IsIssuer reports whether an address can be that of an issuer: an https URL.
func IsIssuer(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

// Issuers returns the configured issuers in alphabetical order.
func (v *Verifier) Issuers() []string {
	if v == nil {
		return nil
	}
	names := make([]string, 0, len(v.issuers))
	for name := range v.issuers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Claimed reports whether a credential is an identity token that states one of the issuers and the audience, valid or
// not. A token of the same issuer for another audience is not ours, because it may be meant for a receiver.
func (v *Verifier) Claimed(token string) bool { return v != nil && v.issuerOf(token) != nil }

// issuerOf returns the issuer that a token for our audience states; nil if the token is not ours.
func (v *Verifier) issuerOf(token string) *issuer {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > longestToken {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var claims struct {
		Issuer   string   `json:"iss"`
		Audience audience `json:"aud"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return nil
	}
	if i := v.issuers[claims.Issuer]; i != nil && slices.Contains(claims.Audience, i.audience) {
		return i
	}
	return nil // of the same issuer, but for the receiver
}

// An audience is the claim aud: a text or a list (RFC 7519, section 4.1.3).
type audience []string

// UnmarshalJSON implements [json.Unmarshaler].
func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// Verify returns the workload of an identity token. The error is [ErrInvalid] or [ErrUnavailable].
func (v *Verifier) Verify(ctx context.Context, token string) (Identity, error) {
	if !v.Claimed(token) {
		return Identity{}, fmt.Errorf("%w: it is from an issuer that is not configured, or for another audience", ErrInvalid)
	}
	key, now := sha256.Sum256([]byte(token)), v.now()
	v.mu.Lock()
	known, ok := v.verified[key]
	v.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.Identity, nil
	}
	id, until, err := v.issuerOf(token).verify(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.verified) >= mostVerified {
		clear(v.verified) // they are verified again
	}
	v.verified[key] = verified{id, until}
	return id, nil
}

// An issuer is discovered when its first token arrives, because it may be down when the process starts.
type issuer struct {
	url, audience string
	now           func() time.Time
	client        *http.Client

	mu      sync.Mutex // guards the fields below
	found   *oidc.IDTokenVerifier
	failed  error     // of the latest discovery
	retryAt time.Time // those who waited for it do not try again before
}

func (i *issuer) verify(ctx context.Context, token string) (Identity, time.Time, error) {
	verifier, err := i.discover(ctx)
	if err != nil {
		return Identity{}, time.Time{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	unavailable := false
	t, err := verifier.Verify(context.WithValue(ctx, unavailableKey{}, &unavailable), token)
	switch {
	case err != nil && unavailable:
		return Identity{}, time.Time{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case err != nil:
		return Identity{}, time.Time{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	case t.Subject == "":
		return Identity{}, time.Time{}, fmt.Errorf("%w: it has no subject", ErrInvalid)
	}
	return Identity{Issuer: i.url, Subject: t.Subject}, t.Expiry, nil
}

// algorithms are those that an issuer may sign with. Each is asymmetric.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256,
	oidc.ES384,
	oidc.ES512, oidc.EdDSA}

func (i *issuer) discover(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.found != nil {
		return i.found, nil
	}
	if i.now().Before(i.retryAt) {
		return nil, i.failed
	}
	i.found, i.failed = i.read(ctx)
	i.retryAt = i.now().Add(issuerPause)
	return i.found, i.failed
}

func (i *issuer) read(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	// The provider keeps the context for later requests: it must not end with this one.
	ctx = oidc.ClientContext(context.WithoutCancel(ctx), i.client)
	provider, err := oidc.NewProvider(ctx, i.url)
	if err != nil {
		return nil, err
	}
	var document struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return nil, err
	}
	return oidc.NewVerifier(i.url, keySet{oidc.NewRemoteKeySet(ctx, document.Keys)},
		&oidc.Config{ClientID: i.audience, SupportedSigningAlgs: algorithms, Now: i.now}), nil
}

type unavailableKey struct{}

// A keySet reports in the context whether a signature was not verified because the keys could not be read. The verifier
// does not keep the kind of the error.
type keySet struct{ oidc.KeySet }

// VerifySignature implements [oidc.KeySet].
func (k keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, token)
	if unavailable, ok := ctx.Value(unavailableKey{}).(*bool); ok && errors.Is(err, errFetch) {
		*unavailable = true
	}
	return payload, err
}

// errFetch is returned by a request to an issuer that does not answer with status 200.
var errFetch = errors.New("the request failed")

// paced sends at most one request in each [issuerPause] to each path. A request in between fails as the latest one did.
// If that one succeeded, its answer is recent enough.
type paced struct {
	next http.RoundTripper
	now  func() time.Time

	mu     sync.Mutex // guards latest
	latest map[string]request
}

type request struct {
	at  time.Time
	err error
}

// errRecent is returned instead of an answer that is less than [issuerPause] old.
var errRecent = errors.New("the issuer has just answered")

// RoundTrip implements [http.RoundTripper].
func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock() // others wait for the answer
	if l, ok := p.latest[r.URL.Path]; ok && p.now().Sub(l.at) < issuerPause {
		return nil, cmp.Or(l.err, errRecent)
	}
	res, err := p.next.RoundTrip(r)
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", errFetch, err)
	case res.StatusCode != http.StatusOK:
		res.Body.Close()
		err = fmt.Errorf("%w: %s answers %s", errFetch, r.URL.Redacted(), res.Status)
	}
	p.latest[r.URL.Path] = request{p.now(), err}
	if err != nil {
		return nil, err
	}
	res.Body = http.MaxBytesReader(nil, res.Body, longestAnswer)
	return res, nil
}
