package lifecycle

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// CreateTenant stores a tenant with the first certificates of the tenant and its M-user, and with its first
// implementation project.
func (e *Engine) CreateTenant(ctx context.Context, t tenancy.Tenant, actor string, now time.Time) (tenancy.Tenant,
	error) {
	return e.AdoptTenant(ctx, t, nil, actor, now, nil)
}

// An Adopted certificate comes from another system, with its private key.
type Adopted struct {
	Purpose tenancy.Purpose
	Leaf    *x509.Certificate
	Chain   [][]byte // DER of the authorities above it: first its issuer, without the root
	Key     crypto.Signer
	KeyType tenancy.KeyType
}

// A Founding is a tenant to create, with its first certificates.
type Founding struct {
	Tenant  tenancy.Tenant
	Adopted []Adopted // those that come from elsewhere; the others are issued
	// NotAfter is the expiry of the issued certificates; zero: that of the policy's validity.
	NotAfter time.Time
	// MailForTasks answers the question of that name; empty for the default of the installation.
	MailForTasks tenancy.ScopeAnswer
	// Issuer names the issuer of the tenant certificate; empty for the default one. An adopted certificate is renewed
	// there.
	Issuer string
}

// credentials returns the settings that differ from the installation's.
func (f Founding) credentials() []tenancy.Credential {
	if f.Issuer == "" {
		return nil
	}
	return []tenancy.Credential{{Name: tenancy.ForTenant, Issuer: f.Issuer}}
}

// AdoptTenant is [Engine.AdoptTenants] for one tenant. more may be nil.
func (e *Engine) AdoptTenant(ctx context.Context, t tenancy.Tenant, adopted []Adopted, actor string, now time.Time,
	more func(*store.Tx, tenancy.Tenant) error) (tenancy.Tenant, error) {
	created, err := e.AdoptTenants(ctx, []Founding{{Tenant: t, Adopted: adopted}}, actor, now,
		func(tx *store.Tx, created []tenancy.Tenant) error {
			if more == nil {
				return nil
			}
			return more(tx, created[0])
		})
	if err != nil {
		return t, err
	}
	return created[0], nil
}

// AdoptTenants creates tenants, each with the first certificates of the tenant and its M-user, and with its first
// implementation project, in one transaction. If an issuer may answer later, its certificate is requested afterwards:
// until then, the tenant exists without it. [Engine.BeginCredentials] repeats a request that fails. The error is
// [tenancy.ErrConflict] if a certificate has a name of another tenant, see [Names.Conflict]. more runs in the same
// transaction, with the tenants in the order of the foundings.
func (e *Engine) AdoptTenants(ctx context.Context, foundings []Founding, actor string, now time.Time,
	more func(*store.Tx, []tenancy.Tenant) error) ([]tenancy.Tenant, error) {
	prepared, err := e.prepareAll(ctx, foundings, now)
	if err != nil {
		return nil, err
	}
	var rows store.Rows
	var names []KeptNames
	chains := map[string][]byte{}
	for _, p := range prepared {
		names = append(names, p.kept)
		rows.Tenants, rows.Certificates = append(rows.Tenants, p.tenant), append(rows.Certificates, p.certs...)
		rows.Projects = append(rows.Projects, tenancy.ScopingProject{ID: store.NewID(), TenantID: p.tenant.ID,
			Name: tenancy.FirstProject, CreatedAt: now, Version: 1})
		rows.KeptNames = append(rows.KeptNames, p.kept.of(p.tenant)...)
		rows.Credentials = append(rows.Credentials, p.credentials...)
		for _, a := range p.Adopted {
			if chain := certfile.JoinChain(a.Chain); chain != nil {
				chains[certfile.Fingerprint(chain)] = chain
			}
		}
	}
	err = e.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.LockNames(ctx); err != nil {
			return err
		}
		if err := conflict(ctx, tx.Reader, rows.Tenants, names); err != nil {
			return err
		}
		for id, chain := range chains {
			if err := tx.AddForeignIssuer(ctx, id, chain); err != nil {
				return err
			}
		}
		initial, err := tx.DefaultAnswer(ctx, tenancy.MailForTasks)
		if err != nil {
			return err
		}
		for i, p := range prepared {
			rows.Projects[i].Answers = cmp.Or(p.MailForTasks, initial).Answers(tenancy.MailForTasks, actor, now)
		}
		if err := tx.Create(ctx, rows); err != nil {
			return err
		}
		if err := more(tx, rows.Tenants); err != nil {
			return err
		}
		var events []tenancy.Event
		for _, p := range prepared {
			events = append(events, p.events(actor, now)...)
		}
		return tx.Audit(ctx, events...)
	})
	if err != nil {
		return rows.Tenants, err
	}
	for _, p := range prepared {
		o := owner{p.tenant, p.credentials}
		for _, name := range p.later {
			if _, err := e.beginCredential(ctx, o, o.credential(name), actor, now); err != nil {
				e.log.WarnContext(ctx, "the first certificate could not be requested; the request is repeated every hour",
					"tenant", p.tenant.Name, "credential", name, "error", err)
			}
		}
	}
	return rows.Tenants, nil
}

// A prepared founding has all rows to be stored.
type prepared struct {
	Founding
	tenant tenancy.Tenant
	certs  []store.SealedCertificate
	kept   KeptNames
	// credentials have a row of their own: those with settings, and those whose first certificate is requested later.
	credentials []tenancy.Credential
	later       []tenancy.Purpose // whose first certificate is requested when the tenant exists
}

// FoundTogether returns how many tenants are best founded in one transaction, at most the given number. If their
// certificates come from a CA elsewhere, whose answers take time, it is as many as are requested at the same time: what
// has been issued is then stored soon.
func (e *Engine) FoundTogether(most int) int {
	if p, ok := issuer.As[issuer.Parallel](e.issuer); ok {
		return max(1, min(most, p.Parallel()))
	}
	return most
}

// prepareAll prepares foundings, several at the same time, until one fails.
func (e *Engine) prepareAll(ctx context.Context, foundings []Founding, now time.Time) ([]prepared, error) {
	all := make([]prepared, len(foundings))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	each(len(foundings), e.parallel(e.resolved("")), func(i int) {
		if ctx.Err() != nil {
			return
		}
		var err error
		if all[i], err = e.prepare(ctx, foundings[i], now); err != nil {
			cancel(err)
		}
	})
	return all, context.Cause(ctx)
}

func (e *Engine) prepare(ctx context.Context, f Founding, now time.Time) (p prepared, err error) {
	p.Founding, p.tenant = f, f.Tenant
	p.tenant.ID, p.tenant.CreatedAt, p.tenant.Version = store.NewID(), now, 1
	if err := cmp.Or(p.tenant.Check(), e.CheckKeyType(p.tenant.KeyType)); err != nil {
		return p, err
	}
	var validity time.Duration // zero: that of the policy
	if !f.NotAfter.IsZero() {
		validity = f.NotAfter.Sub(now)
	}
	o := owner{p.tenant, f.credentials()}
	for _, purpose := range tenancy.BuiltIn {
		var c store.SealedCertificate
		from, err := e.issuerOf(o.credential(purpose).Issuer)
		if err != nil {
			return p, fmt.Errorf("tenant %s: %w", p.tenant.Name, err)
		}
		_, later := issuer.As[issuer.Collector](from)
		i := slices.IndexFunc(f.Adopted, func(a Adopted) bool { return a.Purpose == purpose })
		switch {
		case i >= 0:
			c, err = e.adopt(p.tenant, f.Adopted[i], now)
		case !slices.Contains(e.founded, purpose):
			continue
		case later:
			p.later = append(p.later, purpose)
			continue
		default:
			c, err = e.issue(ctx, o, issuance{Request: issuer.Request{Tenant: p.tenant.Name, Purpose: purpose, At: now,
				Validity: validity}, generation: 1})
		}
		if err != nil {
			return p, fmt.Errorf("tenant %s: %w", p.tenant.Name, err)
		}
		c.State = tenancy.Active
		p.certs = append(p.certs, c)
	}
	p.credentials = p.stored(o.credentials, now)
	p.kept, err = e.KeptNames(p.tenant.Name, f.Adopted)
	return p, err
}

// stored returns the credentials that have a row: those with settings, and those without a certificate.
func (p prepared) stored(settings []tenancy.Credential, now time.Time) []tenancy.Credential {
	all := slices.Clone(settings)
	for _, name := range p.later {
		if !slices.ContainsFunc(all, func(c tenancy.Credential) bool { return c.Name == name }) {
			all = append(all, tenancy.Credential{Name: name})
		}
	}
	for i := range all {
		all[i].TenantID, all[i].CreatedAt, all[i].Version = p.tenant.ID, now, 1
	}
	return all
}

// events returns the events of a founding.
func (p prepared) events(actor string, now time.Time) []tenancy.Event {
	t := p.tenant
	detail := map[string]any{"key_type": t.KeyType}
	if p.MailForTasks != "" {
		detail["mail_for_tasks"] = p.MailForTasks
	}
	events := []tenancy.Event{tenancy.NewEvent(now, actor, "tenant.created", t.Name, t.Name, detail)}
	for _, c := range p.certs {
		action := "certificate.issued"
		if slices.ContainsFunc(p.Adopted, func(a Adopted) bool { return a.Purpose == c.Purpose }) {
			action = "certificate.adopted"
		}
		detail := certificateDetail(c.Certificate)
		detail.Key = c.KeyURI
		events = append(events, tenancy.NewEvent(now, actor, action, t.Name, object(t, c.Certificate), detail))
	}
	return events
}

// adopt seals the key of a certificate that comes from elsewhere.
func (e *Engine) adopt(t tenancy.Tenant, a Adopted, now time.Time) (c store.SealedCertificate, err error) {
	c.Certificate = tenancy.Certificate{
		ID: store.NewID(), TenantID: t.ID, Purpose: a.Purpose, Generation: 1, Serial: certfile.Serial(a.Leaf),
		Fingerprint: certfile.Fingerprint(a.Leaf.Raw), Subject: certfile.Name(a.Leaf.RawSubject),
		NotBefore: a.Leaf.NotBefore.UTC(), NotAfter: a.Leaf.NotAfter.UTC(), KeyType: a.KeyType, DER: a.Leaf.Raw,
		CreatedAt: now,
	}
	if len(a.Chain) > 0 {
		c.IssuerID = certfile.Fingerprint(certfile.JoinChain(a.Chain))
	}
	c.SealedKey, err = e.seal.SealKey(a.Key, rollovers.SealContext(c.ID))
	return c, err
}

// Founded returns the credentials that a new tenant gets.
func (e *Engine) Founded() []tenancy.Purpose { return e.founded }

// CheckIssuer returns an [tenancy.ErrInvalid] if no issuer of this name is configured. Empty is the default one.
func (e *Engine) CheckIssuer(name string) error {
	_, err := e.issuerOf(name)
	return err
}

// A FirstRenewal is the forecast of the renewal that replaces an adopted certificate.
type FirstRenewal struct {
	At       time.Time // the run that renews it
	WarnedAt time.Time // the first run that warns about it; zero if none comes before the renewal
	KeyType  tenancy.KeyType
	// Expected describes the next certificate. It is empty, and Foreseen is false, if the issuer decides that elsewhere.
	Expected issuer.Expected
	Foreseen bool
}

// FirstRenewal returns the first renewal of a certificate that the tenant is going to adopt, by the named issuer; empty
// for the default one.
func (e *Engine) FirstRenewal(t tenancy.Tenant, by string, a Adopted, now time.Time) (r FirstRenewal, err error) {
	from, err := e.issuerOf(by)
	if err != nil {
		return r, err
	}
	r.KeyType = t.KeyType
	events := e.policy.Forecast(policy.Validity{NotBefore: a.Leaf.NotBefore, NotAfter: a.Leaf.NotAfter}, now).Events
	for _, event := range events {
		switch {
		case event.Action == policy.Warn && r.WarnedAt.IsZero():
			r.WarnedAt = event.At
		case event.Action != policy.Warn:
			r.At = event.At
		}
	}
	request := issuer.Request{Tenant: t.Name, Purpose: a.Purpose, At: r.At}
	r.Expected, r.Foreseen, err = issuer.Expect(from, request, append([][]byte{a.Leaf.Raw}, a.Chain...))
	return r, err
}
