package lifecycle

import (
	"context"
	"errors"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// keyRevoked distinguishes the notice that a replaced certificate was revoked from that of its renewal.
const keyRevoked = "revoked"

// RevokeGeneration revokes one generation of a tenant's certificate, and no other one, because its key is lost or
// compromised. It renews the newest one. Arrangements that present the revoked one present another one at once, see
// [rollover.Rollover.At]. It returns the newest generation, which is in the state [tenancy.Requested] if its CA answers
// later. The error is a [tenancy.ErrRefused] if the generation is revoked or has expired.
func (e *Engine) RevokeGeneration(ctx context.Context, tenantName string, purpose tenancy.Purpose, generation int,
	reason, actor string, now time.Time) (tenancy.Certificate, error) {
	var none tenancy.Certificate
	if reason != Lost && reason != Compromised {
		return none, tenancy.Invalid("reason", "%q is not allowed: use lost or compromised", reason)
	}
	t, err := e.store.Tenant(ctx, tenantName)
	if err != nil {
		return none, err
	}
	c, err := e.store.Certificate(ctx, t.ID, purpose, generation)
	if err != nil {
		return none, err
	}
	why := cause{actor: actor, reason: reason, single: true}
	switch {
	case c.State == tenancy.Revoked:
		return none, alreadyRevoked(t, c)
	case !now.Before(c.NotAfter):
		return none, tenancy.Errorf(tenancy.ErrRefused, "generation %d of the %s of %s expired on %s: an expired "+
			"certificate need not be revoked", generation, purpose.Noun(), t.Name, c.NotAfter.Format("2006-01-02 15:04 MST"))
	case c.SuccessorID == "":
		o, err := e.owner(ctx, t.ID)
		if err != nil {
			return none, err
		}
		newest, err := e.renewNow(ctx, o, c, why, now)
		if !errors.Is(err, tenancy.ErrConflict) && !errors.Is(err, tenancy.ErrStale) {
			return newest, err
		}
		// It was renewed in the meantime, so it has a successor.
		if c, err = e.store.Certificate(ctx, t.ID, purpose, generation); err != nil {
			return none, err
		}
		if c.State == tenancy.Revoked {
			return none, alreadyRevoked(t, c)
		}
	}
	if err := e.revokeReplaced(ctx, t, c, why, now); err != nil {
		return none, err
	}
	if _, err := e.RollTenant(ctx, t, now); err != nil {
		return none, err
	}
	return e.store.Newest(ctx, t.ID, purpose)
}

func alreadyRevoked(t tenancy.Tenant, c tenancy.Certificate) error {
	return tenancy.Errorf(tenancy.ErrRefused, "generation %d of the %s of %s was already revoked on %s", c.Generation,
		c.Purpose.Noun(), t.Name, c.RevokedAt.Format("2006-01-02 15:04 MST"))
}

// revokeReplaced revokes a certificate that has a successor. Everyone who was asked to install the successor is asked
// to remove this one, and to install the newest one at once.
func (e *Engine) revokeReplaced(ctx context.Context, t tenancy.Tenant, c tenancy.Certificate, why cause,
	now time.Time) error {
	var b batch
	err := e.store.InTx(ctx, func(tx *store.Tx) error {
		b = batch{}
		tx.Changed(t.ID)
		if err := e.revoke(ctx, tx, t, []tenancy.Certificate{c}, why, now); err != nil {
			return err
		}
		if err := e.supersede(ctx, tx, t, []tenancy.Certificate{c}, why, now); err != nil {
			return err
		}
		newest, err := tx.Newest(ctx, t.ID, c.Purpose)
		if err != nil {
			return err
		}
		all, err := e.audiences(ctx, tx.Reader, []tenancy.Certificate{c})
		if err != nil {
			return err
		}
		n := tenancy.Notice{Kind: tenancy.Renewed, CertificateID: c.ID, SuccessorID: newest.ID, DueAt: now,
			DedupKey: keyRevoked}
		e.notify(&b, all[t.ID], c, n, why, now)
		n.Kind, n.Reason = tenancy.AdministratorRenewed, why.reason
		e.toAdministrators(&b, all[t.ID], c, n, concern{stage: stageRevoked, generation: newest.Generation}, now)
		return e.write(ctx, tx, &b, now)
	})
	if err != nil {
		return err
	}
	b.log(ctx, e)
	e.revokedNow(ctx, t, []tenancy.Certificate{c}, why, now)
	e.destroySoon(ctx, now)
	return nil
}

// revokes reports whether a renewal for a reason revokes the generation that it renews.
func revokes(reason string) bool {
	return reason == Lost || reason == Compromised || reason == AuthorityRevoked
}

// revokeFirst revokes what the renewal of a certificate revokes, if its successor is only requested.
func (e *Engine) revokeFirst(ctx context.Context, t owner, old tenancy.Certificate, why cause, now time.Time) error {
	var revoked []tenancy.Certificate
	err := e.store.InTx(ctx, func(tx *store.Tx) (err error) {
		if revoked, err = revokedWith(ctx, tx, old, why); err != nil || len(revoked) == 0 {
			return err
		}
		tx.Changed(t.ID)
		if err := e.revoke(ctx, tx, t.Tenant, revoked, why, now); err != nil {
			return err
		}
		return e.supersede(ctx, tx, t.Tenant, revoked, why, now)
	})
	if err == nil && len(revoked) > 0 {
		e.revokedNow(ctx, t.Tenant, revoked, why, now)
		e.destroySoon(ctx, now)
	}
	return err
}

// revokedWith returns the certificates that a renewal for a reason revokes. During a roll-over, two generations can be
// presented, and it is rarely known which key is lost or compromised, so neither stays valid.
func revokedWith(ctx context.Context, tx *store.Tx, old tenancy.Certificate, why cause) ([]tenancy.Certificate, error) {
	var revoked []tenancy.Certificate
	if revokes(why.reason) && old.State != tenancy.Revoked {
		revoked = append(revoked, old)
	}
	if why.reason != Lost && why.reason != Compromised || why.single || why.request != "" {
		return revoked, nil // a requested renewal has revoked the earlier ones when it was requested
	}
	inReach, err := tx.InReachOf(ctx, []string{old.TenantID})
	for _, c := range inReach[old.TenantID] {
		if c.Purpose == old.Purpose && c.Generation < old.Generation && c.State != tenancy.Revoked {
			revoked = append(revoked, c)
		}
	}
	return revoked, err
}

// revoke revokes certificates of a tenant, with their events.
func (e *Engine) revoke(ctx context.Context, tx *store.Tx, t tenancy.Tenant, all []tenancy.Certificate, why cause,
	now time.Time) error {
	for _, c := range all {
		if err := tx.Revoke(ctx, c.ID, why.reason, now); err != nil {
			return err
		}
		if err := tx.Audit(ctx, revocationEvent(t, c, why, now)); err != nil {
			return err
		}
	}
	return nil
}

// revokedNow notifies the issuers of certificates that were revoked.
func (e *Engine) revokedNow(ctx context.Context, t tenancy.Tenant, all []tenancy.Certificate, why cause,
	now time.Time) {
	for _, c := range all {
		e.revokeAtIssuer(ctx, t, c, why.reason, now)
	}
}

// revokeAtIssuer notifies an issuer that keeps its own record of revoked certificates. The certificate is revoked and
// replaced here in any case, so a failure is logged for the operator.
func (e *Engine) revokeAtIssuer(ctx context.Context, t tenancy.Tenant, c tenancy.Certificate, reason string,
	now time.Time) {
	from, err := e.issuers.Of(c.Issuer)
	if err != nil {
		e.log.ErrorContext(ctx, "a certificate could not be revoked at its CA: revoke it there by its serial number",
			"certificate", object(t, c), "serial", c.Serial, "error", err)
		return
	}
	revoker, ok := issuer.As[issuer.Revoker](from)
	if !ok {
		return
	}
	c.State, c.RevokedAt, c.RevokedFor = tenancy.Revoked, now, reason
	if err := revoker.Revoke(ctx, c); err != nil {
		e.log.ErrorContext(ctx, "the CA did not revoke a certificate: revoke it there by its serial number",
			"certificate", object(t, c), "serial", c.Serial, "error", err)
	}
}

func revocationEvent(t tenancy.Tenant, c tenancy.Certificate, why cause, now time.Time) tenancy.Event {
	return tenancy.NewEvent(now, why.actor, "certificate.revoked", t.Name, object(t, c),
		map[string]any{"reason": why.reason})
}
