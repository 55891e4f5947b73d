package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/notify"
	"github.com/perennial-pki/perennial/internal/engine/ratelimit"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/api"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/issuers"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/kms"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// core is the engine with everything that it depends on.
type core struct {
	store *store.Store
	keys  *keyring.Keyring
	// issuer is the default one. authority is the local CA, or the default issuer if there is none.
	issuer, authority issuer.Issuer
	issuers           issuer.Set
	pool              *keyring.Pool
	tokens            keyring.Tokens
	rules             Rules
	policy            policy.Policy
	engine            *lifecycle.Engine
	// outbox and deliverer are nil if no mail server is configured.
	outbox    *jobs.Outbox
	deliverer jobs.Deliverer
}

// inputs holds what the settings and their files describe, without a database and a listener.
type inputs struct {
	rules      Rules
	mailDomain string
	mailServer *notify.Server // nil if none is configured
	tls        *tls.Config    // of --tls-cert and --tls-key; nil without them
}

func (s *Settings) inputs() (p inputs, err error) {
	if p.rules, err = s.Certificates.rules(); err != nil {
		return p, err
	}
	if p.mailDomain, err = notify.ParseSender(s.Mail.MailFrom); err != nil {
		return p, fmt.Errorf("--mail-from: %w", err)
	}
	if p.mailServer, err = s.Mail.server(); err != nil {
		return p, err
	}
	p.tls, err = s.Transport.files()
	return p, err
}

// openCore opens the database and wires the engine. crlURL is named in certificates; empty for none.
func openCore(ctx context.Context, c Config, s Settings, in inputs, crlURL string) (_ *core, err error) {
	p := &core{}
	if p.store, err = store.OpenExclusive(ctx, s.Database.URL); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.store.Close()
		}
	}()
	if err = jobs.Migrate(ctx, p.store, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	if p.keys, err = s.Database.keyring(ctx, p.store, c.Log); err != nil {
		return nil, err
	}
	if p.tokens = c.Tokens; p.tokens == nil {
		p.tokens = kms.Tokens()
	}
	if err = p.checkFlag(ctx, in.rules); err != nil {
		return nil, fmt.Errorf("--tenant-keys: %w", err)
	}
	if p.rules, err = agree(ctx, p.store, in.rules); err != nil {
		return nil, err
	}
	if p.policy, err = p.rules.LoadPolicy(); err != nil {
		return nil, err
	}
	if err = p.checkToken(ctx, p.rules, c.Log); err != nil {
		return nil, err
	}
	if err = p.openIssuers(ctx, c, s.Certificates.Issuers, crlURL); err != nil {
		return nil, err
	}
	p.pool = keyring.NewPool(s.Certificates.RSAPool)
	engine := lifecycle.Config{
		Store: p.store, Issuer: p.issuer, IssuerName: p.issuerName(), Issuers: p.issuers, Keys: p.pool,
		WithoutMUsers: p.rules.MUser == off,
		Seal:          p.keys, Policy: p.policy, MailDomain: in.mailDomain, Tokens: p.tokens, TokenURI: p.rules.tokenURI(),
		Log: c.Log, PartSize: c.PartSize, PartLease: s.JobLease, Heads: s.Audit.sinks(c.Log),
		Operators: s.Mail.OperatorsMail, MessagesKept: s.MessageLogRetention,
	}
	if engine.Parts, err = jobs.NewPartQueue(p.store, c.Log); err != nil {
		return nil, err
	}
	if engine.LinkKey, err = links.Open(ctx, p.store, p.keys); err != nil {
		return nil, err
	}
	rate := s.Certificates.IssuerRate
	if engine.Pace = ratelimit.Pace(p.store, "issuer", rate, c.Now); engine.Pace != nil {
		engine.PartSize = partSize(rate)
	}
	if in.mailServer != nil {
		if p.outbox, err = jobs.NewOutbox(p.store, c.Log); err != nil {
			return nil, err
		}
		if p.deliverer, err = notify.NewDeliverer(notify.DelivererConfig{
			Store: p.store, Sender: in.mailServer, BaseURL: s.Transport.BaseURL, Policy: &p.policy,
			Platform: s.Platform.notify(), Issuer: p.issuer, LinkKey: engine.LinkKey, Say: words.In, Log: c.Log,
			Gone: func(ctx context.Context, administratorID string, now time.Time) error {
				return p.engine.StopAdministrator(ctx, administratorID, tenancy.Bounced, "", "mail", now)
			},
		}); err != nil {
			return nil, err
		}
		engine.Outbox = p.outbox
	}
	p.engine, err = lifecycle.New(engine)
	return p, err
}

// checkFlag tries the token that a flag names before the database has it as a rule: it must answer.
func (c *core) checkFlag(ctx context.Context, flags Rules) error {
	rule, err := c.store.Setting(ctx, tenantKeysRule)
	if err != nil || rule != "" { // the rule is tried
		return err
	}
	return c.tryToken(ctx, flags)
}

// tryToken returns an error unless the token of the rules can be used, and makes keys of every type in use.
func (c *core) tryToken(ctx context.Context, r Rules) error {
	uri := r.tokenURI()
	if uri == "" {
		return nil
	}
	if err := makesKeys(ctx, c.store.Reader, r); err != nil {
		return err
	}
	calling, cancel := context.WithTimeout(ctx, keyring.RemoteTime)
	defer cancel()
	return c.tokens.Check(calling, uri)
}

// checkToken tries the token that makes the keys of tenants. A service starts while the token is away, but not with a
// PIN that the token refuses, or without a module.
func (c *core) checkToken(ctx context.Context, r Rules, log *slog.Logger) error {
	err := c.tryToken(ctx, r)
	if away := (*keyring.Away)(nil); errors.As(err, &away) {
		log.WarnContext(ctx, "the token with the keys of the tenants cannot be used now: renewals and new connections wait "+
			"for it", "token", r.tokenURI(), "error", err)
		return nil
	}
	return err
}

// openIssuers opens the issuers of a file and the service's own CA, which is opened if it issues or has issued.
func (c *core) openIssuers(ctx context.Context, config Config, file, crlURL string) (err error) {
	if file != "" {
		c.issuers, err = issuers.OpenAll(file, issuers.Env{Log: config.Log,
			Form: issuer.Form{TrustDomain: c.rules.TrustDomain, Organization: c.rules.Organization}})
		if err != nil {
			return fmt.Errorf("--issuers: %w", err)
		}
	}
	if c.issuerName() != "" {
		if c.issuer, err = c.issuers.Of(c.issuerName()); err != nil {
			return err
		}
		c.authority = c.issuer
		made, err := c.store.Authorities(ctx)
		if err != nil || len(made) == 0 {
			return err
		}
	}
	if c.authority, err = c.openLocal(ctx, config, crlURL); err != nil {
		return err
	}
	if c.issuer == nil {
		c.issuer = c.authority
		return nil
	}
	c.issuers[""] = c.authority
	return nil
}

// issuerName returns the name of the default issuer; empty if that is the local CA.
func (c *core) issuerName() string {
	if c.rules.Issuer == issuer.Local {
		return ""
	}
	return c.rules.Issuer
}

// openLocal opens the service's own CA, which needs the store, the keys and the policy.
func (c *core) openLocal(ctx context.Context, config Config, crlURL string) (issuer.Issuer, error) {
	authority := local.Config{
		TrustDomain: c.rules.TrustDomain, Organization: c.rules.Organization, CRLURL: crlURL,
		LongestValidity: c.policy.Validity, Signatories: kms.OpenSigner,
	}
	opened, err := local.Open(ctx, authority, c.store, c.keys, config.Now())
	if err != nil {
		return nil, err
	}
	if config.WrapIssuer != nil {
		return issuer.Checked(config.WrapIssuer(opened)), nil
	}
	return issuer.Checked(opened), nil
}

// partSize returns the number of certificates in a part of a run if the CA is limited to so many per second: half a
// minute's work, because a part that takes longer than its lease is repeated.
func partSize(perSecond float64) int { return max(1, int(min(30*perSecond, lifecycle.DefaultPart))) }

// server returns the mail server; nil if none is configured.
func (m *Mail) server() (*notify.Server, error) {
	if m.SMTP == "" {
		return nil, nil
	}
	templates, err := notify.LoadTemplates(m.MailTemplates)
	if err != nil {
		return nil, err
	}
	var config *tls.Config
	if m.SMTPCA != "" {
		roots, err := certfile.ReadRoots(m.SMTPCA)
		if err != nil {
			return nil, fmt.Errorf("--smtp-ca: %w", err)
		}
		config = &tls.Config{RootCAs: roots}
	}
	return notify.NewServer(m.SMTP, m.MailFrom, templates, config)
}

// fillPool generates RSA keys of the types that tenants use in advance, until ctx is done. A token creates each key
// when it is needed.
func (c *core) fillPool(ctx context.Context, log *slog.Logger) {
	if c.rules.tokenURI() != "" {
		return
	}
	running := map[tenancy.KeyType]bool{}
	look := time.NewTicker(time.Minute)
	defer look.Stop()
	for {
		types, err := c.store.KeyTypes(ctx)
		if err != nil && ctx.Err() == nil {
			log.Warn("cannot read the key types of tenants: no RSA keys are generated in advance until the next attempt",
				"error", err)
		}
		for _, t := range types {
			if !running[t] {
				running[t] = true
				go c.pool.Fill(ctx, t)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// firstTokenLifetime is long enough to create other tokens with it.
const firstTokenLifetime = 30 * 24 * time.Hour

// FirstTokenDays is the number of days for which the first operator's token is valid.
const FirstTokenDays = int(firstTokenLifetime / (24 * time.Hour))

// firstToken creates the first operator's token, once in the life of a database. It returns "" if it exists.
func firstToken(ctx context.Context, s *store.Store, now time.Time) (secret string, err error) {
	secret = api.NewSecret()
	created, err := s.Once(ctx, store.ClaimFirstToken, "", now, func(tx *store.Tx) error {
		t := tenancy.Token{
			ID: store.NewID(), Name: "first start", Role: tenancy.RoleOperator, CreatedAt: now,
			ExpiresAt: now.Add(firstTokenLifetime),
		}
		if err := tx.CreateToken(ctx, t, tenancy.HashSecret(secret)); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, "first start", "token.created", "", t.ID,
			map[string]any{"name": t.Name, "role": t.Role}))
	})
	if err != nil || !created {
		return "", err
	}
	return secret, nil
}
