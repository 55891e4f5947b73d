// Package lifecycle is the engine. It executes run dates, renews certificates, and notifies the people concerned.
//
// It promises that a run date is executed once, even after downtime. One due certificate gets one successor, and every
// key user one task per notice, whatever the number of replicas, retries and crashes. This holds because a renewal, its
// tasks, its mails and the jobs that deliver them are one transaction, and because the database refuses a second
// successor and a second notice of one run. A certificate that cannot be renewed does not delay the others, and is
// retried at every tick until it is renewed. Time is an argument everywhere.
package lifecycle

import (
	"cmp"
	"context"
	"crypto"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// Outbox queues mails for delivery, in the transaction that stores them.
type Outbox interface {
	Enqueue(ctx context.Context, tx *sql.Tx, mails []tenancy.Mail) error
}

// Keys supplies private keys.
type Keys interface {
	Take(kind tenancy.KeyType) (crypto.Signer, error)
}

// Config holds what an engine depends on. Fields without a note are required.
type Config struct {
	Store  *store.Store
	Issuer issuer.Issuer // of every credential that names no other
	// IssuerName is the name of Issuer among Issuers; empty for the local CA.
	IssuerName string
	Keys       Keys
	Seal       *keyring.Keyring
	Policy     policy.Policy
	// Tokens hold the private keys that are not sealed in the database. Optional.
	Tokens keyring.Tokens
	// TokenURI names the token in which new keys are created; empty to take them from Keys and seal them.
	TokenURI string
	// Outbox delivers mails. Optional: without a mail server, mails wait.
	Outbox Outbox
	// LinkKey derives the secrets of the links in mails to the administrators of receivers. Optional: without it, they are
	// not mailed.
	LinkKey links.Key
	// Issuers are those that credentials can name. Optional. The local CA has an empty name.
	Issuers issuer.Set
	// MailDomain is the right side of Message-IDs.
	MailDomain string
	Log        *slog.Logger
	// Parts shares a run among all replicas, and spreads it over time if the policy asks for that. Optional: without
	// it, the replica that starts a run does all of it.
	Parts PartQueue
	// WithoutMUsers creates tenants without an M-user, unless they adopt its certificate.
	WithoutMUsers bool
	// PartSize is the number of certificates in a part of a run; 0 for [DefaultPart].
	PartSize int
	// PartLease is the time after which another worker can claim a part; 0 for [DefaultPartLease].
	PartLease time.Duration
	// Heads keep the head of the audit log outside the database. Optional.
	Heads []HeadSink
	// Operators are the addresses of the hosting team, which gets the head by mail. Optional.
	Operators []string
	// MessagesKept is the retention time of the message log; 0 for [DefaultMessagesKept].
	MessagesKept time.Duration
	// Pace blocks until the issuer may be asked for n more certificates. Optional: without it, there is no limit.
	Pace func(ctx context.Context, n int) error
}

// check returns an error if the policy is not sound, or an error that names the first dependency that is missing.
func (c Config) check() error {
	if err := c.Policy.Check(); err != nil {
		return err
	}
	for _, d := range []struct {
		name    string
		missing bool
	}{
		{"Store", c.Store == nil}, {"Issuer", c.Issuer == nil}, {"Keys", c.Keys == nil}, {"Seal", c.Seal == nil},
		{"MailDomain", c.MailDomain == ""}, {"Log", c.Log == nil},
	} {
		if d.missing {
			return fmt.Errorf("the engine needs a %s: set Config.%s", d.name, d.name)
		}
	}
	if c.TokenURI != "" && c.Tokens == nil {
		return errors.New("the engine needs Tokens to make keys in a token: set Config.Tokens")
	}
	return nil
}

// An Engine executes runs, renewals and roll-overs, each in one transaction. It is safe for concurrent use, even by
// several replicas. Its methods include those of [rollovers.Rollovers].
type Engine struct {
	*shared
	store       *store.Store
	issuer      issuer.Issuer // the default one
	issuerName  string
	issuers     issuer.Set // by name, the default one too
	keys        Keys
	seal        *keyring.Keyring
	tokens      keyring.Tokens // may be nil
	tokenURI    string         // empty if new keys are sealed
	policy      policy.Policy
	outbox      Outbox    // may be nil
	linkKey     links.Key // nil if administrators are not mailed
	mailDomain  string
	log         *slog.Logger
	authorities issuer.Hierarchy // nil if the issuer has none
	chains      sync.Map         // the IDs of the chains that are stored, see keepChain
	parts       PartQueue        // may be nil
	partSize    int
	partLease   time.Duration
	heads       []HeadSink
	operators   []string
	// founded are the credentials that a new tenant gets.
	founded []tenancy.Purpose
	// messagesKept is the retention time of the message log.
	messagesKept time.Duration
	pace         func(ctx context.Context, n int) error // may be nil
	// stopwatch starts to measure the duration of an attempt.
	stopwatch func() (elapsed func() time.Duration)
	// surpriseFree reports whether the policy's audit finds no renewal without a warning.
	surpriseFree func() (bool, error)
}

// shared is an alias so that the embedded field is not exported.
type shared = rollovers.Rollovers

// New returns an engine. It returns an error if a required dependency is missing or the policy is not sound.
func New(c Config) (*Engine, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	r, err := rollovers.New(c.Store, c.Seal, c.Tokens, c.Log)
	if err != nil {
		return nil, err
	}
	authorities, _ := issuer.As[issuer.Hierarchy](c.Issuer)
	founded := tenancy.BuiltIn
	if c.WithoutMUsers {
		founded = []tenancy.Purpose{tenancy.ForTenant}
	}
	issuers := issuer.Set{c.IssuerName: c.Issuer}
	maps.Copy(issuers, c.Issuers)
	return &Engine{
		shared: r, store: c.Store, issuer: c.Issuer, issuerName: c.IssuerName, issuers: issuers,
		keys: c.Keys, seal: c.Seal, tokens: c.Tokens, tokenURI: c.TokenURI, policy: c.Policy, outbox: c.Outbox,
		linkKey:    c.LinkKey,
		mailDomain: c.MailDomain, log: c.Log, authorities: authorities, parts: c.Parts,
		partSize: cmp.Or(c.PartSize, DefaultPart), partLease: cmp.Or(c.PartLease, DefaultPartLease), pace: c.Pace,
		heads: c.Heads, operators: c.Operators, founded: founded, stopwatch: stopwatch,
		messagesKept: cmp.Or(c.MessagesKept, DefaultMessagesKept),
		surpriseFree: sync.OnceValues(func() (bool, error) {
			report, err := policy.Audit(c.Policy)
			return report.SurpriseFree, err
		}),
	}, nil
}

// Rollovers returns the part of the engine that gateways need.
func (e *Engine) Rollovers() *rollovers.Rollovers { return e.shared }

// Issuers returns the issuers by name. They must not be changed.
func (e *Engine) Issuers() issuer.Set { return e.issuers }

// resolved returns the name of the issuer that a credential's setting stands for.
func (e *Engine) resolved(setting string) string {
	switch setting {
	case "":
		return e.issuerName
	case issuer.Local:
		return ""
	}
	return setting
}

// issuerOf returns the issuer that a credential's setting stands for. The error is [tenancy.ErrInvalid].
func (e *Engine) issuerOf(setting string) (issuer.Issuer, error) {
	from, err := e.issuers.Of(e.resolved(setting))
	if err != nil {
		err = tenancy.Invalid("issuer", "%v", err)
	}
	return from, err
}

// IssuerName returns the name of the default issuer; empty for the local CA.
func (e *Engine) IssuerName() string { return e.issuerName }

// Policy returns the rule set of the engine.
func (e *Engine) Policy() policy.Policy { return e.policy }

// successor creates the key and the certificate that replace an old one. It keeps the names of the old one as far as
// the issuer may certify them. Nothing is stored, unless the issuer answers later.
func (e *Engine) successor(ctx context.Context, o owner, old tenancy.Certificate, why cause,
	now time.Time) (store.SealedCertificate, error) {
	return e.issue(ctx, o, issuance{Request: issuer.Request{Tenant: o.Tenant.Name, Purpose: old.Purpose, At: now,
		Replaces: namesOf(old), Former: old.DER}, generation: old.Generation + 1, why: why})
}

// namesOf returns the names of a certificate; nil if they cannot be read, because a renewal must not fail because of
// that.
func namesOf(c tenancy.Certificate) *certfile.Names {
	names, err := certfile.NamesOf(c.DER)
	if err != nil {
		return nil
	}
	return &names
}

// An owner is a tenant with the credentials that have settings of their own.
type owner struct {
	tenancy.Tenant
	credentials []tenancy.Credential
}

// credential returns the settings of a credential. Those that it lacks are the tenant's.
func (o owner) credential(name tenancy.Purpose) tenancy.Credential {
	c := tenancy.Credential{TenantID: o.ID, Name: name}
	if i := slices.IndexFunc(o.credentials, func(c tenancy.Credential) bool { return c.Name == name }); i >= 0 {
		c = o.credentials[i]
	}
	c.KeyType = cmp.Or(c.KeyType, o.KeyType)
	return c
}

// An issuance is a certificate to be issued. The request has no key yet.
type issuance struct {
	issuer.Request
	generation int
	why        cause
}

// issue creates a key and its certificate, with the validity of the credential or the policy unless the request has
// another. Nothing is stored, unless the issuer may answer later: then the request is stored before it is sent, and the
// error is an [*issuer.RequestedError] until there is an answer.
func (e *Engine) issue(ctx context.Context, o owner, r issuance) (c store.SealedCertificate, err error) {
	settings := o.credential(r.Purpose)
	settings.Issuer = e.resolved(settings.Issuer)
	from, err := e.issuers.Of(settings.Issuer)
	if err != nil {
		return c, err
	}
	r.Validity = cmp.Or(r.Validity, settings.Validity, e.policy.Validity)
	c.Certificate = tenancy.Certificate{ID: store.NewID(), TenantID: o.ID, Purpose: r.Purpose, Generation: r.generation,
		State: tenancy.Standby, KeyType: settings.KeyType, Issuer: settings.Issuer, CreatedAt: r.At}
	key, err := e.newKey(ctx, c.ID, c.ID, settings.KeyType, r.At)
	if err != nil {
		return c, err
	}
	r.Key, c.SealedKey, c.KeyURI = key.Signer, key.Sealed, key.URI
	issued, err := e.ask(ctx, from, c, r)
	if err != nil {
		return c, fmt.Errorf("issue: %w", err)
	}
	return e.complete(ctx, c, issued)
}

// complete returns a certificate with the data that the CA issued for it. A CA may issue something other than the
// requested certificate. A certificate that is due at once would be renewed again at every run, with a notice each
// time.
func (e *Engine) complete(ctx context.Context, c store.SealedCertificate,
	issued issuer.Issued) (_ store.SealedCertificate, err error) {
	v := policy.Validity{NotBefore: issued.NotBefore, NotAfter: issued.NotAfter}
	if !issued.NotAfter.After(c.CreatedAt.Add(e.policy.RenewWithin.Of(v.Lifetime()))) ||
		issued.NotBefore.After(c.CreatedAt.Add(issuer.MaxAhead)) {
		return c, fmt.Errorf("issue: the CA issued a certificate that is valid from %s to %s, which the policy %s would "+
			"renew again, or that is not valid yet: check the CA's limits and its clock",
			issued.NotBefore.UTC().Format(time.RFC3339), issued.NotAfter.UTC().Format(time.RFC3339), e.policy.Name)
	}
	c.Serial, c.Fingerprint, c.Subject = issued.Serial, certfile.Fingerprint(issued.DER), issued.Subject
	c.NotBefore, c.NotAfter, c.DER, c.IssuerID = issued.NotBefore, issued.NotAfter, issued.DER, issued.IssuerID
	if c.IssuerID == "" {
		c.IssuerID, err = e.keepChain(ctx, issued.Chain)
	}
	return c, err
}

// keepChain stores the chain of an issuer without a hierarchy, whose authorities are not in the database. It returns
// the ID of the chain, or "" if the chain is empty.
func (e *Engine) keepChain(ctx context.Context, chain [][]byte) (id string, err error) {
	if len(chain) == 0 {
		return "", nil
	}
	joined := certfile.JoinChain(chain)
	id = certfile.Fingerprint(joined)
	if _, known := e.chains.Load(id); known {
		return id, nil
	}
	err = e.store.InTx(ctx, func(tx *store.Tx) error { return tx.AddForeignIssuer(ctx, id, joined) })
	if err != nil {
		return "", fmt.Errorf("store the issuer's chain: %w", err)
	}
	e.chains.Store(id, true)
	return id, nil
}

func object(t tenancy.Tenant, c tenancy.Certificate) string {
	return fmt.Sprintf("%s/%s/%d", t.Name, c.Purpose, c.Generation)
}

type certificateDetails struct {
	Serial      string    `json:"serial"`
	Fingerprint string    `json:"fingerprint_sha256"`
	NotAfter    time.Time `json:"not_after"`
	RunDate     string    `json:"run_date,omitempty"`
	Reason      string    `json:"reason,omitempty"`
	Replaces    string    `json:"replaces,omitempty"`
	Key         string    `json:"key,omitempty"` // URI of a new key in a token
}

func certificateDetail(c tenancy.Certificate) certificateDetails {
	return certificateDetails{Serial: c.Serial, Fingerprint: c.Fingerprint, NotAfter: c.NotAfter}
}

// subject returns the subject of a notice. It follows the published rules for the tenant certificate to the letter.
func subject(kind tenancy.NoticeKind, purpose tenancy.Purpose) string {
	text := policy.SubjectWarn
	if kind == tenancy.Renewed {
		text = policy.SubjectRenew
	}
	return strings.Replace(text, tenancy.ForTenant.Noun(), purpose.Noun(), 1)
}
