package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// stages are the days before the old certificate expires on which reminders are sent about receivers that have not
// acted. From hostingFrom days on, the hosting team is notified as well.
var stages = []int{30, 14, 7, 3, 1}

const hostingFrom = 3

// remind creates tasks, and mails for subscribers, for the key users of a tenant whose receivers have not acted. It
// does so once per stage. If several stages have passed since the last call, only the latest counts.
func (e *Engine) remind(ctx context.Context, t tenancy.Tenant, all []standing.Standing, now time.Time) error {
	var late []string
	stage := 0
	var old tenancy.Certificate
	for _, s := range all {
		left, risk := s.AtRisk(now)
		if !risk {
			continue
		}
		for _, days := range stages {
			if left <= time.Duration(days)*policy.Day && (stage == 0 || days < stage) {
				stage = days
			}
		}
		if left <= time.Duration(stages[0])*policy.Day {
			late = append(late, s.Arrangement.Name)
			old = s.Certificates[len(s.Certificates)-2]
		}
	}
	if stage == 0 {
		return nil
	}
	slices.Sort(late)
	days := int(old.NotAfter.Sub(now) / policy.Day)
	err := e.store.InTx(ctx, func(tx *store.Tx) error {
		first, err := tx.Claim(ctx, store.ClaimReminder, fmt.Sprintf("%s/%d", old.ID, stage), now)
		if err != nil || !first {
			return err
		}
		people, err := e.notified(ctx, tx.Reader, map[string]tenancy.Tenant{t.ID: t})
		if err != nil {
			return err
		}
		var b batch
		n := tenancy.Notice{Kind: tenancy.Unready, CertificateID: old.ID, SuccessorID: old.SuccessorID, DueAt: old.NotAfter,
			Subject: unreadySubject(late, days, stage), DedupKey: fmt.Sprintf("unready/%d", stage)}
		e.notify(&b, people[t.ID], old, n, cause{actor: "roll-over"}, now)
		b.events = append(b.events, tenancy.NewEvent(now, "roll-over", "arrangements.at-risk", t.Name, t.Name,
			map[string]any{"arrangements": late, "expires": old.NotAfter, "stage_days": stage,
				"hosting_team": stage <= hostingFrom}))
		return e.write(ctx, tx, &b, now)
	})
	if err == nil && stage <= hostingFrom {
		e.log.ErrorContext(ctx, "receivers have not shown that they accept the new certificate, and the old one expires",
			"tenant", t.Name, "arrangements", strings.Join(late, ", "), "expires", old.NotAfter.UTC().Format(time.RFC3339))
	}
	if errors.Is(err, tenancy.ErrConflict) { // another replica was faster
		return nil
	}
	return err
}

// unreadySubject returns a subject that grows in urgency. It names one arrangement and counts the others.
func unreadySubject(names []string, days, stage int) string {
	list := names[0]
	if len(names) > 1 {
		list = fmt.Sprintf("%s and %d more", names[0], len(names)-1)
	}
	when := fmt.Sprintf("%d days left", days)
	switch {
	case days == 1:
		when = "1 day left"
	case days < 1:
		when = "less than a day left"
	}
	switch {
	case stage <= 1:
		return fmt.Sprintf("LAST CALL: %s has not accepted the new certificate, %s", list, when)
	case stage <= hostingFrom:
		return fmt.Sprintf("Urgent: %s has not accepted the new certificate, %s", list, when)
	}
	return fmt.Sprintf("%s has not accepted the new certificate yet, %s", list, when)
}
