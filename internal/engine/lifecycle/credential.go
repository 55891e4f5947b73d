package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// AddCredential adds a series of certificates to a tenant, and requests its first generation. If that fails, the error
// describes why, and every tick retries it. A CA that answers later leaves the result in the state [tenancy.Requested].
func (e *Engine) AddCredential(ctx context.Context, c tenancy.Credential, actor string,
	now time.Time) (tenancy.Credential, tenancy.Certificate, error) {
	var none tenancy.Certificate
	o, err := e.owner(ctx, c.TenantID)
	if err != nil {
		return c, none, err
	}
	c.CreatedAt, c.Version = now, 1
	if c.Name.IsBuiltIn() {
		return c, none, tenancy.Errorf(tenancy.ErrConflict, "every tenant has the credential %s: change it instead", c.Name)
	}
	kept, err := e.checkCredential(o, c)
	if err != nil {
		return c, none, err
	}
	err = e.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.LockNames(ctx); err != nil {
			return err
		}
		used, err := namesInUse(ctx, tx.Reader, nil, []KeptNames{kept})
		if err != nil {
			return err
		}
		if err := used.conflictOf(o.Name, kept); err != nil {
			return err
		}
		if err := tx.CreateCredentials(ctx, c); err != nil {
			return err
		}
		if err := tx.KeepNames(ctx, kept.of(o.Tenant)...); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, "credential.created", o.Name, o.Name+"/"+string(c.Name),
			credentialDetails(c)))
	})
	if err != nil {
		return c, none, err
	}
	o.credentials = append(o.credentials, c)
	first, err := e.beginCredential(ctx, o, c, actor, now)
	if err != nil {
		err = fmt.Errorf("the credential %s of %s is stored, but has no certificate yet; the request is repeated every "+
			"hour: %w", c.Name, o.Name, err)
	}
	return c, first, err
}

// ChangeCredential changes the settings of a credential, which apply from the next generation on. The settings of a
// built-in one are stored from then on. Key users are notified of another issuer or key type, and the next generation
// is not presented before this notice has the usual length, unless there is a need.
func (e *Engine) ChangeCredential(ctx context.Context, c tenancy.Credential, actor string,
	now time.Time) (tenancy.Credential, error) {
	o, err := e.owner(ctx, c.TenantID)
	if err != nil {
		return c, err
	}
	if _, err := e.checkCredential(o, c); err != nil {
		return c, err
	}
	var changed tenancy.Credential
	err = e.store.InTx(ctx, func(tx *store.Tx) (err error) {
		changed = c
		b := batchFor(1)
		if changed.AnnouncedAt, err = e.announceChange(ctx, tx, b, o, c, actor, now); err != nil {
			return err
		}
		if c.Version == 0 {
			changed.CreatedAt, changed.Version = now, 1
			err = tx.CreateCredentials(ctx, changed)
		} else {
			err = tx.UpdateCredential(ctx, changed)
			changed.Version++
		}
		if err != nil {
			return err
		}
		b.events = append(b.events, tenancy.NewEvent(now, actor, "credential.changed", o.Name, o.Name+"/"+string(c.Name),
			credentialDetails(c)))
		return e.write(ctx, tx, b, now)
	})
	return changed, err
}

func credentialDetails(c tenancy.Credential) map[string]any {
	return map[string]any{"issuer": c.Issuer, "key_type": c.KeyType, "subject": c.Subject, "san": c.SAN,
		"validity_seconds": int64(c.Validity / time.Second)}
}

// checkCredential returns an error if certificates of a credential could not be issued or renewed in time. Otherwise it
// returns the names that its certificates keep.
func (e *Engine) checkCredential(o owner, c tenancy.Credential) (kept KeptNames, err error) {
	if err := c.Check(); err != nil {
		return kept, err
	}
	if err := e.CheckKeyType(c.KeyType); err != nil {
		return kept, err
	}
	from, err := e.issuerOf(c.Issuer)
	if err != nil {
		return kept, err
	}
	if c.Validity != 0 {
		p := e.policy
		p.Validity = c.Validity
		if err := p.Check(); err != nil {
			return kept, tenancy.Invalid("validity", "certificates could expire before they are renewed: %v", err)
		}
	}
	wanted, err := firstNames(c)
	if err != nil || wanted == nil {
		return kept, err
	}
	if namer, ok := issuer.As[issuer.Namer](from); ok {
		given, err := namer.Names(issuer.Request{Tenant: o.Name, Purpose: c.Name, Replaces: wanted})
		if err != nil {
			return kept, err
		}
		if !given.Equal(*wanted) {
			subject, san := given.Text()
			return kept, tenancy.Invalid("subject", "the issuer does not certify these names: it would issue %s with %s",
				subject, san)
		}
	}
	return keptOf(o.Name, *wanted), nil
}

// firstNames returns the names of the first generation of a credential; nil if its issuer decides on them.
func firstNames(c tenancy.Credential) (*certfile.Names, error) {
	if c.Subject == "" && c.SAN == "" {
		return nil, nil
	}
	subject, err := certfile.ParseName(c.Subject)
	if err != nil {
		return nil, tenancy.Invalid("subject", "%v", err)
	}
	san, err := certfile.ParseSAN(c.SAN)
	if err != nil {
		return nil, tenancy.Invalid("san", "%v", err)
	}
	return &certfile.Names{Subject: subject, SAN: san}, nil
}

// beginCredential requests the first generation of a credential.
func (e *Engine) beginCredential(ctx context.Context, o owner, c tenancy.Credential, actor string,
	now time.Time) (tenancy.Certificate, error) {
	names, err := firstNames(c)
	if err != nil {
		return tenancy.Certificate{}, err
	}
	why := cause{actor: actor}
	next, err := e.issue(ctx, o, issuance{generation: 1, why: why, Request: issuer.Request{Tenant: o.Name,
		Purpose: c.Name, At: now, Replaces: names}})
	if later := (*issuer.RequestedError)(nil); errors.As(err, &later) {
		return tenancy.Certificate{TenantID: o.ID, Purpose: c.Name, Generation: 1, State: tenancy.Requested}, nil
	} else if err != nil {
		return tenancy.Certificate{}, err
	}
	return e.first(ctx, o, next, why, now)
}

// BeginCredentials requests the first generation of the credentials that have none.
func (e *Engine) BeginCredentials(ctx context.Context, now time.Time) error {
	empty, err := e.store.EmptyCredentials(ctx, requestPage)
	failures := []error{err}
	for _, c := range empty {
		o, err := e.owner(ctx, c.TenantID)
		if err == nil {
			_, err = e.beginCredential(ctx, o, c, "issuer", now)
		}
		if err != nil && !errors.Is(err, tenancy.ErrConflict) { // another replica was faster
			failures = append(failures, fmt.Errorf("credential %s of tenant %s: %w", c.Name, o.Name, err))
		}
	}
	return errors.Join(failures...)
}

// first stores the first generation of a credential. Arrangements that wait for it present it.
func (e *Engine) first(ctx context.Context, o owner, next store.SealedCertificate, why cause,
	now time.Time) (tenancy.Certificate, error) {
	next.State = tenancy.Active
	return next.Certificate, e.store.InTx(ctx, func(tx *store.Tx) error {
		if why.request != "" {
			if err := tx.EndRequest(ctx, why.request, now.Add(unusedFor)); err != nil {
				return err
			}
		}
		if err := tx.AddCertificates(ctx, []store.SealedCertificate{next}); err != nil {
			return err
		}
		arrangements, err := tx.ArrangementsOf(ctx, []string{o.ID})
		if err != nil {
			return err
		}
		var waiting []tenancy.Arrangement
		for _, a := range arrangements[o.ID] {
			if a.Presents() == next.Purpose && a.Authentication == tenancy.ClientCertificate && a.Generation == 0 {
				a.Generation = 1
				waiting = append(waiting, a)
			}
		}
		if err := tx.CutOver(ctx, waiting, now); err != nil {
			return err
		}
		tx.Changed(o.ID)
		detail := certificateDetail(next.Certificate)
		detail.Key = next.KeyURI
		return tx.Audit(ctx, tenancy.NewEvent(now, why.actor, "certificate.issued", o.Name, object(o.Tenant,
			next.Certificate), detail))
	})
}
