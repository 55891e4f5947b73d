package lifecycle

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// The reasons for which an operator may revoke an authority.
const (
	Superseded = "superseded"
	// AuthorityRevoked is the reason for which the certificates of a revoked authority are revoked. No one can choose it.
	AuthorityRevoked = "authority-revoked"
)

// A tickQueue is a [PartQueue] that can also queue a tick for any replica.
type tickQueue interface {
	EnqueueTick(ctx context.Context, tx *sql.Tx) error
}

// RevokeAuthority revokes an issuing CA of the local CA. Before that, it lets another one sign from now on: the
// announced one, or a new one below the same root. The next tick, which is queued in the same transaction, renews the
// certificates of the revoked one. For an authority that is revoked already, it only queues the tick.
func (e *Engine) RevokeAuthority(ctx context.Context, id, reason, actor string, now time.Time) error {
	if e.authorities == nil {
		return tenancy.Errorf(tenancy.ErrRefused, "the issuer manages its authorities itself: revoke %s there", id)
	}
	if reason != Compromised && reason != Superseded {
		return tenancy.Invalid("reason", "%q is not allowed: use compromised or superseded", reason)
	}
	if err := issuer.Refreshed(ctx, e.authorities, now); err != nil {
		return err
	}
	plan, found := e.plan(id, now)
	switch {
	case !found:
		return tenancy.Errorf(tenancy.ErrNotFound, "there is no authority %s", id)
	case plan.Kind == tenancy.RootAuthority:
		return tenancy.Errorf(tenancy.ErrRefused, "%s is a root, and no list can revoke a root: announce an authority "+
			"below a new one (perennial authority announce --new-root), and ask the receivers to remove the old root",
			plan.Subject)
	case plan.Stage == issuer.Signs && reason == Compromised && plan.KeyURI != "" && !e.otherKey(plan, now):
		return tenancy.Errorf(tenancy.ErrRefused, "%s signs with the key %s, and its successor would too: announce one with "+
			"another key first (perennial authority announce --key URI, or --key sealed)", plan.Subject, plan.KeyURI)
	case plan.Stage == issuer.Signs:
		if err := e.signInstead(ctx, actor, now); err != nil {
			return fmt.Errorf("let another authority sign instead of %s: %w", plan.Subject, err)
		}
	}
	err := e.store.InTx(ctx, func(tx *store.Tx) error {
		if q, ok := e.parts.(tickQueue); ok {
			if err := q.EnqueueTick(ctx, tx.SQL()); err != nil {
				return err
			}
		}
		if plan.Stage == issuer.Revoked {
			return nil
		}
		if err := tx.RevokeAuthority(ctx, id, reason, now); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, "authority.revoked", "", id, map[string]any{"reason": reason}))
	})
	if err != nil {
		return err
	}
	return issuer.Refreshed(ctx, e.authorities, now)
}

// otherKey reports whether an announced authority has another key than the present one.
func (e *Engine) otherKey(present issuer.Plan, now time.Time) bool {
	a, announced := e.authorities.Announced(now)
	if !announced {
		return false
	}
	next, err1 := certfile.ParseCertificate(a.DER)
	this, err2 := certfile.ParseCertificate(present.DER)
	return err1 == nil && err2 == nil && !bytes.Equal(next.RawSubjectPublicKeyInfo, this.RawSubjectPublicKeyInfo)
}

func (e *Engine) plan(id string, now time.Time) (p issuer.Plan, found bool) {
	for _, p := range e.authorities.Plans(now) {
		if p.ID == id {
			return p, true
		}
	}
	return p, false
}

// signInstead lets another authority than the present one sign from now on.
func (e *Engine) signInstead(ctx context.Context, actor string, now time.Time) error {
	if a, announced := e.authorities.Announced(now); announced {
		return e.SignFrom(ctx, a.ID, actor, now)
	}
	announcer, ok := issuer.As[issuer.Announcer](e.issuer)
	if !ok {
		return tenancy.Errorf(tenancy.ErrRefused, "the issuer manages its authorities itself: create one there")
	}
	_, err := announcer.Announce(ctx, now, issuer.Succession{SignsFrom: now})
	return err
}

// RenewRevoked renews the certificates of revoked authorities under another one, and revokes them, as if their keys
// were compromised: a receiver that checks the whole chain refuses them already. A certificate that cannot be renewed
// does not delay the others, and the next tick retries it.
func (e *Engine) RenewRevoked(ctx context.Context, now time.Time) error {
	if e.authorities == nil {
		return nil
	}
	var failures []error
	for _, p := range e.authorities.Plans(now) {
		if p.Stage != issuer.Revoked || now.After(p.NotAfter) {
			continue
		}
		for after := ""; ; {
			certs, err := e.store.UnderRevoked(ctx, p.ID, now, after, pageSize)
			if err != nil {
				return errors.Join(append(failures, err)...)
			}
			tenants, err1 := e.store.TenantsByID(ctx, owners(certs))
			credentials, err2 := e.store.CredentialsOf(ctx, owners(certs))
			if err := errors.Join(err1, err2); err != nil {
				return errors.Join(append(failures, err)...)
			}
			for _, c := range certs {
				if err := e.renewRevoked(ctx, owner{tenants[c.TenantID], credentials[c.TenantID]}, c, now); err != nil {
					failures = append(failures, err)
				}
				if ctx.Err() != nil {
					return errors.Join(failures...)
				}
			}
			if len(certs) < pageSize {
				break
			}
			after = certs[len(certs)-1].ID
		}
	}
	return errors.Join(failures...)
}

// renewRevoked revokes one certificate of a revoked authority, and renews it if it has no successor.
func (e *Engine) renewRevoked(ctx context.Context, t owner, c tenancy.Certificate, now time.Time) error {
	if c.SuccessorID == "" {
		if e.pace != nil {
			if err := e.pace(ctx, 1); err != nil {
				return err
			}
		}
		_, err := e.renewNow(ctx, t, c, cause{actor: "issuer", reason: AuthorityRevoked}, now)
		if errors.Is(err, tenancy.ErrConflict) || errors.Is(err, tenancy.ErrStale) { // another replica was faster
			return nil
		}
		return err
	}
	err := e.store.InTx(ctx, func(tx *store.Tx) error {
		tx.Changed(t.ID)
		return e.revoke(ctx, tx, t.Tenant, []tenancy.Certificate{c}, cause{actor: "issuer", reason: AuthorityRevoked}, now)
	})
	if errors.Is(err, tenancy.ErrStale) {
		return nil
	}
	return err
}
