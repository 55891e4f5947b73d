package notify

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// heldPause is the time between two attempts while the mail server refuses this installation. More attempts could
// prolong a block.
const heldPause = 15 * time.Minute

// A HeldError is returned for mails that are not sent before an instant.
type HeldError struct {
	At     time.Time
	Reason error
}

func (e *HeldError) Error() string {
	return "mails are not sent before " + e.At.UTC().Format(time.RFC3339) + ": " + e.Reason.Error()
}

// Unwrap returns the reason.
func (e *HeldError) Unwrap() error { return e.Reason }

// Until returns the instant.
func (e *HeldError) Until() time.Time { return e.At }

// trustAccepted is the time for which an accepted mail shows that the server does not refuse this installation, unless
// it refuses mails to two domains.
const trustAccepted = 24 * time.Hour

// A doubt remembers a refusal whose reason may be this installation or the domain of one recipient.
type doubt struct {
	mu         sync.Mutex
	domain     string    // guarded by mu; of the recipient; empty if there is no doubt
	tenant     string    // guarded by mu; whose mail it was, by ID
	acceptedAt time.Time // guarded by mu; the latest mail that the server accepted from this process
}

// mayTry returns the hold if all mails are held, and this round tests the mail server. Since is zero if mails are not
// held. The error is a [*HeldError] if it is too early for a test, or if another worker is making it.
func (d *Deliverer) mayTry(ctx context.Context, mails []tenancy.Mail, now time.Time) (tenancy.MailHold, error) {
	hold, err := d.store.MailHold(ctx)
	if err != nil || hold.Since.IsZero() {
		return hold, err
	}
	if hold.Domain != "" && slices.ContainsFunc(mails, func(m tenancy.Mail) bool {
		return domainOf(m.Address) != hold.Domain
	}) {
		return hold, nil
	}
	if now.Before(hold.RetryAt) && hold.RetryAt.Sub(now) <= heldPause { // a longer pause is of a clock that was ahead
		return hold, &HeldError{hold.RetryAt, errTestFailed}
	}
	return d.claimTest(ctx, hold, now)
}

// claimTest claims the test of the mail server, unless another worker has done so since the hold was read.
func (d *Deliverer) claimTest(ctx context.Context, hold tenancy.MailHold, now time.Time) (tenancy.MailHold, error) {
	next := hold
	next.RetryAt = now.Add(heldPause)
	claimed, err := d.postpone(ctx, hold, next)
	if err == nil && !claimed {
		err = &HeldError{next.RetryAt, errTestFailed}
	}
	return next, err
}

func (d *Deliverer) postpone(ctx context.Context, from, to tenancy.MailHold) (ok bool, err error) {
	err = d.store.InTx(ctx, func(tx *store.Tx) (err error) {
		ok, err = tx.PostponeHold(ctx, from, to)
		return err
	})
	return ok, err
}

// stillHeld ends a round in which the test of the mail server failed.
func (d *Deliverer) stillHeld(ctx context.Context, hold tenancy.MailHold, m tenancy.Mail, now time.Time,
	reason error) error {
	next := hold
	if next.RetryAt = now.Add(heldPause); domainOf(m.Address) != hold.Domain {
		next.Domain = ""
	}
	if _, err := d.postpone(ctx, hold, next); err != nil {
		return err
	}
	return &HeldError{next.RetryAt, reason}
}

// suspect reports whether the answers of a round show that the server refuses this installation, and the domain if
// mails to one domain only show it. A refusal of the session shows it. The policy of one recipient's domain can look
// the same, and must not stop the mails to others. So refusals of recipients show it only if no mail was accepted in
// this round, and if they came for two domains, or if no mail to another domain is queued and none was accepted lately.
// If mails were accepted lately, the two domains must be of two tenants: one tenant chooses the addresses and parts of
// the text of its mails, and must not hold those of others.
func (d *Deliverer) suspect(ctx context.Context, r *round) (hold bool, domain string, err error) {
	d.doubt.mu.Lock()
	defer d.doubt.mu.Unlock()
	trusted := r.now.Sub(d.doubt.acceptedAt) < trustAccepted
	switch {
	case r.accepted > 0:
		d.doubt.domain, d.doubt.acceptedAt = "", r.now
		return false, "", nil
	case r.session:
		return true, "", nil
	case len(r.ours) == 0:
		return false, "", nil
	}
	for _, of := range r.ours {
		domain, tenant := domainOf(r.mails[of.mail].Address), r.mails[of.mail].TenantID
		if d.doubt.domain != "" && d.doubt.domain != domain && (d.doubt.tenant != tenant || !trusted) {
			return true, "", nil
		}
		d.doubt.domain, d.doubt.tenant = domain, tenant
	}
	if trusted {
		return false, "", nil
	}
	others, err := d.store.QueuedElsewhere(ctx, d.doubt.domain)
	return !others && err == nil, d.doubt.domain, err
}

func domainOf(address string) string {
	return strings.ToLower(address[strings.LastIndex(address, "@")+1:])
}

// inDomain returns 1 for a mail to a domain, and 0 for others.
func inDomain(m tenancy.Mail, domain string) int {
	if domainOf(m.Address) == domain {
		return 1
	}
	return 0
}

// hold holds all mails. It is logged once, however many rounds are refused.
func (d *Deliverer) hold(ctx context.Context, reason error, domain string, now time.Time) error {
	hold := tenancy.MailHold{Since: now, RetryAt: now.Add(heldPause), Reason: reason.Error(), Domain: domain}
	first := false
	if err := d.store.InTx(ctx, func(tx *store.Tx) (err error) {
		if first, err = tx.HoldMails(ctx, hold); err != nil || !first {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, "mail", "mail.held", "", "mails", map[string]any{"error": hold.Reason}))
	}); err != nil {
		return err
	}
	if first {
		d.log.ErrorContext(ctx, "all mails are held, because the mail server refuses this installation: fix the cause, "+
			"then run perennial delivery requeue --all; a single mail is retried periodically", "every", heldPause.String(),
			"error", hold.Reason)
	}
	return &HeldError{hold.RetryAt, reason}
}

// release sends the mails again that were held.
func (d *Deliverer) release(ctx context.Context, now time.Time) error {
	err := d.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.ReleaseMails(ctx); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, "mail", "mail.released", "", "mails", nil))
	})
	if err == nil {
		d.log.InfoContext(ctx, "the mail server accepts mails again")
	}
	return err
}
