package lifecycle

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
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

// An Adopted certificate comes from elsewhere, with its private key.
type Adopted struct {
	Purpose tenancy.Purpose
	Leaf    *x509.Certificate
	Chain   [][]byte // DER of the authorities above it: first its issuer, without the root
	Key     crypto.Signer
	KeyType tenancy.KeyType
}

// AdoptTenant creates a tenant with certificates that come from elsewhere. Certificates that are not given are issued.
// The error is [tenancy.ErrConflict] if a certificate has a name of another tenant, see [Engine.CheckNames]. more runs
// in the same transaction; it may be nil.
func (e *Engine) AdoptTenant(ctx context.Context, t tenancy.Tenant, adopted []Adopted, actor string, now time.Time,
	more func(*store.Tx, tenancy.Tenant) error) (tenancy.Tenant, error) {
	t.ID, t.CreatedAt, t.Version = store.NewID(), now, 1
	if err := t.Check(); err != nil {
		return t, err
	}
	var certs []store.SealedCertificate
	var issuers [][]byte
	for _, purpose := range []tenancy.Purpose{tenancy.ForTenant, tenancy.ForMUser} {
		i := slices.IndexFunc(adopted, func(a Adopted) bool { return a.Purpose == purpose })
		var c store.SealedCertificate
		var err error
		if i < 0 {
			c, err = e.issue(ctx, t, issuer.Request{Tenant: t.Name, Purpose: purpose, At: now}, 1)
		} else {
			c, err = e.adopt(t, adopted[i], now)
			issuers = append(issuers, certfile.JoinChain(adopted[i].Chain))
		}
		if err != nil {
			return t, fmt.Errorf("tenant %s: %w", t.Name, err)
		}
		c.State = tenancy.Active
		certs = append(certs, c)
	}
	kept, err := e.KeptNames(t.Name, adopted)
	if err != nil {
		return t, err
	}
	err = e.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.LockNames(ctx); err != nil {
			return err
		}
		if err := tx.CreateTenant(ctx, t); err != nil {
			if errors.Is(err, tenancy.ErrConflict) {
				return tenancy.Errorf(tenancy.ErrConflict, "a tenant %s already exists", t.Name)
			}
			return err
		}
		if err := tx.CreateScopingProject(ctx, tenancy.ScopingProject{ID: store.NewID(), TenantID: t.ID,
			Name:      tenancy.FirstProject,
			CreatedAt: now, Version: 1}); err != nil {
			return err
		}
		for _, chain := range issuers {
			if chain == nil {
				continue
			}
			if err := tx.AddForeignIssuer(ctx, certfile.Fingerprint(chain), chain); err != nil {
				return err
			}
		}
		if err := checkNames(ctx, tx.Reader, t.Name, kept); err != nil {
			return err
		}
		if err := tx.KeepNames(ctx, t.ID, kept.Claims); err != nil {
			return err
		}
		for _, name := range kept.Common {
			if err := tx.ShareName(ctx, t.ID, commonName(name)); err != nil {
				return err
			}
		}
		if err := tx.AddCertificates(ctx, certs); err != nil {
			return err
		}
		if more != nil {
			if err := more(tx, t); err != nil {
				return err
			}
		}
		events := []tenancy.Event{tenancy.NewEvent(now, actor, "tenant.created", t.Name, t.Name,
			map[string]any{"key_type": t.KeyType})}
		for i, c := range certs {
			action := "certificate.issued"
			if slices.ContainsFunc(adopted, func(a Adopted) bool { return a.Purpose == certs[i].Purpose }) {
				action = "certificate.adopted"
			}
			events = append(events, tenancy.NewEvent(now, actor, action, t.Name, object(t, c.Certificate),
				certificateDetail(c.Certificate)))
		}
		return tx.Audit(ctx, events...)
	})
	return t, err
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

// A FirstRenewal is the renewal that ends the life of an adopted certificate, as it can be foreseen now.
type FirstRenewal struct {
	At       time.Time // the run that renews it
	WarnedAt time.Time // the first run that warns about it; zero if none comes before the renewal
	KeyType  tenancy.KeyType
	// Expected describes the next certificate. It is empty, and Foreseen is false, if the issuer decides that elsewhere.
	Expected issuer.Expected
	Foreseen bool
}

// FirstRenewal returns the first renewal of a certificate that the tenant is going to adopt.
func (e *Engine) FirstRenewal(t tenancy.Tenant, a Adopted, now time.Time) (r FirstRenewal, err error) {
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
	r.Expected, r.Foreseen, err = issuer.Expect(e.issuer, request, append([][]byte{a.Leaf.Raw}, a.Chain...))
	return r, err
}

// KeptNames are the names of adopted certificates by which receivers may know them and that later generations keep.
type KeptNames struct {
	Claims []string // in the form of [certfile.Names.Claims], without those that the issuer gives the tenant in any case
	Common []string // common names, folded as by [certfile.Fold], without that of the tenant
}

// KeptNames returns the names that later generations of adopted certificates keep.
func (e *Engine) KeptNames(tenant string, adopted []Adopted) (kept KeptNames, err error) {
	namer, ok := issuer.As[issuer.Namer](e.issuer)
	if !ok {
		return kept, nil
	}
	for _, a := range adopted {
		has, err := certfile.NamesOf(a.Leaf.Raw)
		if err != nil {
			return kept, err
		}
		own, err1 := namer.Names(issuer.Request{Tenant: tenant, Purpose: a.Purpose})
		next, err2 := namer.Names(issuer.Request{Tenant: tenant, Purpose: a.Purpose, Replaces: &has})
		if err := errors.Join(err1, err2); err != nil {
			return kept, err
		}
		for _, name := range next.Claims() {
			if !slices.Contains(own.Claims(), name) {
				kept.Claims = append(kept.Claims, name)
			}
		}
		attributes, _ := next.Attributes()
		for _, attribute := range attributes {
			if attribute.Type == "CN" && attribute.Value != tenant {
				kept.Common = append(kept.Common, attribute.Value)
			}
		}
	}
	return kept, nil
}

// ApartAdvice is the end of an error about a name that two tenants would have.
const ApartAdvice = "receivers could not tell the two apart: leave the file out, and the tenant gets a certificate " +
	"of its own"

// CheckNames returns an error if a later generation of certificates that keeps names could be mistaken for one of
// another tenant, because that tenant's certificates keep one of the names, or because one of the two has the other's
// name as its common name. The error is [tenancy.ErrConflict] then.
func (e *Engine) CheckNames(ctx context.Context, tenant string, kept KeptNames) error {
	return checkNames(ctx, e.store.Reader, tenant, kept)
}

func checkNames(ctx context.Context, r store.Reader, tenant string, kept KeptNames) error {
	owners, err1 := r.NameOwners(ctx, kept.Claims)
	others, err2 := r.NameOwners(ctx, []string{commonName(tenant)})
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for _, o := range owners {
		if o.Tenant != tenant {
			return tenancy.Errorf(tenancy.ErrConflict, "the tenant %s has certificates with the same name (%s): "+ApartAdvice,
				o.Tenant, o.Name)
		}
	}
	for _, o := range others {
		if o.Tenant != tenant {
			return tenancy.Errorf(tenancy.ErrConflict, "the tenant %s has certificates with the common name %s: receivers "+
				"could not tell the two apart, so choose another name", o.Tenant, tenant)
		}
	}
	for _, name := range kept.Common {
		_, err := r.Tenant(ctx, name)
		if err == nil {
			return tenancy.Errorf(tenancy.ErrConflict, "its common name is that of the tenant %s: "+ApartAdvice, name)
		}
		if !errors.Is(err, tenancy.ErrNotFound) {
			return err
		}
	}
	return nil
}

// commonName is the name under which a kept common name is stored.
func commonName(folded string) string { return "cn:" + folded }
