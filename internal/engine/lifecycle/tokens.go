package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// WarnOfTokens records the tokens of senders and gateways that expire without a successor in the audit log, and mails
// the hosting team about them, each at the stages of reminders. Tokens that reach a stage at the same tick share a
// mail.
func (e *Engine) WarnOfTokens(ctx context.Context, now time.Time) error {
	ending, err := e.store.ExpiringTokens(ctx, now, now.Add(time.Duration(stages[0])*policy.Day))
	if err != nil {
		return err
	}
	var open []tenancy.Token
	for _, t := range ending {
		claimed, err := e.store.Claimed(ctx, store.ClaimTokenEnd, tokenStage(t, now))
		if err != nil {
			return err
		}
		if !claimed {
			open = append(open, t)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return e.store.InTx(ctx, func(tx *store.Tx) error {
		var lines []string
		var events []tenancy.Event
		for _, t := range open {
			first, err := tx.Claim(ctx, store.ClaimTokenEnd, tokenStage(t, now), now)
			if err != nil {
				return err
			}
			if first {
				lines = append(lines, tokenLine(t))
				events = append(events, tenancy.NewEvent(now, "tokens", "token.expiring", "", t.ID,
					map[string]any{"name": t.Name, "role": t.Role, "of": t.Tenant, "expires_at": t.ExpiresAt}))
			}
		}
		if len(lines) == 0 {
			return nil // another replica was faster
		}
		n := tenancy.Notice{ID: store.NewID(), Kind: tenancy.TokensEnd, CreatedAt: now, Reason: strings.Join(lines, "\n"),
			Subject: "Perennial: tokens of senders and gateways expire soon"}
		n.DedupKey = "tokens-end/" + n.ID
		b := batchFor(0)
		if len(e.operators) > 0 {
			b = e.toOperators(n)
		}
		b.events = events
		return e.write(ctx, tx, b, now)
	})
}

// tokenStage identifies a token with the last stage that it has reached.
func tokenStage(t tenancy.Token, now time.Time) string {
	return fmt.Sprint(t.ID, "/", stageOf(t.ExpiresAt.Sub(now)))
}

// tokenLine describes a token in a mail.
func tokenLine(t tenancy.Token) string {
	owner := "gateway"
	if t.Role == tenancy.RoleSender {
		owner = "sender of " + t.Tenant
	}
	return fmt.Sprintf("%s (%s, ID %s) expires on %s", t.Name, owner, t.ID, tenancy.Moment(t.ExpiresAt))
}

// toOperators returns a notice with a mail to each address of the hosting team.
func (e *Engine) toOperators(n tenancy.Notice) *batch {
	b := batchFor(0)
	b.notices = append(b.notices, n)
	for _, address := range e.operators {
		b.mails = append(b.mails, e.mailOf(n, tenancy.Mail{Name: "Hosting team", Address: address}))
	}
	return b
}
