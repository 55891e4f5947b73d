package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// Suggested is the reason of a renewal that the CA suggests, for example because it will revoke the certificate.
	Suggested = "suggested"
	// hintEvery is the interval of questions to a CA that names no time for the next one, and hintLatest limits that time.
	hintEvery, hintLatest = 24 * time.Hour, 7 * 24 * time.Hour
)

// FollowHints asks the CAs that suggest a time for renewals ([issuer.Hinter]), and renews the certificates whose time
// has come. A suggestion can only move a renewal to an earlier date: whatever the CA suggests, the runs renew by the
// policy.
func (e *Engine) FollowHints(ctx context.Context, now time.Time) error {
	var failures []error
	for _, name := range slices.Sorted(maps.Keys(e.issuers)) {
		if hinter, ok := issuer.As[issuer.Hinter](e.issuers[name]); ok {
			failures = append(failures, e.followHints(ctx, name, hinter, now))
		}
	}
	return errors.Join(failures...)
}

func (e *Engine) followHints(ctx context.Context, name string, hinter issuer.Hinter, now time.Time) error {
	err := e.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.PruneClaims(ctx, store.ClaimHint, now.Add(time.Microsecond))
	})
	if err != nil {
		return err
	}
	var failures []error
	var down outages
	for after := ""; ctx.Err() == nil; {
		certs, err := e.store.Unhinted(ctx, name, after, now, requestPage)
		if err != nil {
			return errors.Join(append(failures, err)...)
		}
		errs := make([]error, len(certs))
		each(len(certs), e.parallel(name), func(i int) {
			if down.of(name) != nil {
				return // the certificates are asked for again by the next tick
			}
			hint, known, err := hinter.Hint(ctx, certs[i], now)
			down.note(name, err)
			if err == nil {
				err = e.follow(ctx, certs[i], hint, known, now)
			}
			if err != nil {
				errs[i] = fmt.Errorf("issuer %s: %w", name, err)
			}
		})
		failures = append(failures, errs...)
		if len(certs) < requestPage {
			break
		}
		after = certs[len(certs)-1].ID
	}
	return errors.Join(failures...)
}

// follow renews a certificate if its CA suggests that, or stores the time of the next question.
func (e *Engine) follow(ctx context.Context, c tenancy.Certificate, hint issuer.Hint, known bool, now time.Time) error {
	again := now.Add(hintEvery)
	if known {
		at := hint.Renewal(c.NotAfter, c.Serial)
		if !at.After(now) {
			o, err := e.owner(ctx, c.TenantID)
			if err != nil {
				return err
			}
			_, err = e.renewNow(ctx, o, c, cause{actor: "issuer", reason: Suggested}, now)
			if errors.Is(err, tenancy.ErrConflict) { // another replica was faster
				return nil
			}
			return err
		}
		if hint.AskAt.After(now) {
			again = hint.AskAt
		}
		if at.Before(again) {
			again = at
		}
	}
	if end := now.Add(hintLatest); again.After(end) {
		again = end
	}
	return e.store.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Claim(ctx, store.ClaimHint, c.ID, again)
		return err
	})
}
