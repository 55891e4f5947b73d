package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// OpensStop reports whether a secret is that of the link by which an administrator stops the mails.
func (e *Engine) OpensStop(secret, administratorID string) bool {
	return e.linkKey != nil && e.linkKey.Is(secret, links.Stop, administratorID)
}

// StopAdministrator ends the mails to the address of one administrator. Those of other tenants to the same address
// continue. The key users of the tenant get a task to name another person. It does nothing if the mails have ended
// already.
func (e *Engine) StopAdministrator(ctx context.Context, id string, why tenancy.StopReason, other, actor string,
	now time.Time) error {
	return e.store.InTx(ctx, func(tx *store.Tx) error {
		a, err := tx.Administrator(ctx, id)
		if err != nil {
			return err
		}
		first, err := tx.StopAdministrator(ctx, id, why, now)
		if err != nil || !first {
			return err
		}
		report := tenancy.StopReport{Address: a.Address, Why: why, Other: other}
		t, event, err := administratorEvent(ctx, tx, a, "administrator.stopped", actor, report, now)
		if err != nil {
			return err
		}
		if a.TenantID == "" { // of a counterparty, which has no key users
			return tx.Audit(ctx, event)
		}
		return e.NotifyKeyUsers(ctx, tx, t, tenancy.Notice{Kind: tenancy.AdministratorStopped, DueAt: now,
			Subject: "The administrator " + a.Address + " gets no more mails", Reason: report.Text(),
			DedupKey: fmt.Sprintf("administrator-stopped/%s/%d", a.ID, now.UnixMicro())},
			event, now)
	})
}

// ResumeAdministrator mails an administrator again. It does nothing if they get mails. It is possible once a day, so
// that the holder of a link cannot cause tasks without end: the error is [tenancy.ErrRefused].
func (e *Engine) ResumeAdministrator(ctx context.Context, id, actor string, now time.Time) error {
	return e.store.InTx(ctx, func(tx *store.Tx) error {
		a, err := tx.Administrator(ctx, id)
		if err != nil {
			return err
		}
		first, err := tx.ResumeAdministrator(ctx, id)
		if err != nil || !first {
			return err
		}
		if first, err = tx.Claim(ctx, store.ClaimResumed, id+"/"+now.UTC().Format(time.DateOnly), now); err != nil {
			return err
		} else if !first {
			return tenancy.Errorf(tenancy.ErrRefused, "mails to %s were resumed today already: try again tomorrow", a.Address)
		}
		_, event, err := administratorEvent(ctx, tx, a, "administrator.resumed", actor, nil, now)
		if err != nil {
			return err
		}
		return tx.Audit(ctx, event)
	})
}

// administratorEvent returns an event about an administrator, with the tenant; the zero value for an administrator of a
// counterparty.
func administratorEvent(ctx context.Context, tx *store.Tx, a tenancy.Administrator, action, actor string, detail any,
	now time.Time) (t tenancy.Tenant, event tenancy.Event, err error) {
	if a.TenantID == "" {
		found, err := tx.CounterpartiesByID(ctx, []string{a.CounterpartyID})
		return t, tenancy.NewEvent(now, actor, action, "", found[a.CounterpartyID].Name+"/"+a.Address, detail), err
	}
	tenants, err := tx.TenantsByID(ctx, []string{a.TenantID})
	t = tenants[a.TenantID]
	return t, tenancy.NewEvent(now, actor, action, t.Name, t.Name+"/"+a.Address, detail), err
}
