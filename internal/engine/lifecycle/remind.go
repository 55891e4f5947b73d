package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// stages are the days before a deadline on which reminders are sent about receivers that are at risk. From hostingFrom
// days on, the hosting team is notified as well.
var stages = []int{30, 14, 7, 3, 1}

const hostingFrom = 3

// stageOf returns the latest stage, in days, that is reached with some time left before a deadline. If none is, it
// returns the first.
func stageOf(left time.Duration) int {
	stage := stages[0]
	for _, days := range stages {
		if left <= time.Duration(days)*policy.Day {
			stage = days
		}
	}
	return stage
}

// A lateGroup holds the arrangements whose deadline is the expiry of the same generation.
type lateGroup struct {
	names   []string
	refused []string // those whose receiver was proved to refuse the wanted generation
	last    tenancy.Certificate
	wanted  tenancy.Certificate
}

// cadence returns the generation from whose expiry the reminders about an arrangement are counted. Reminders about an
// arrangement that already depends on the wanted generation continue until going back is impossible.
func cadence(s standing.Standing, r rollover.Risk) (c tenancy.Certificate, found bool) {
	if !r.Exposed {
		return s.Certificate(r.Last)
	}
	for _, c := range s.Certificates {
		if c.NotAfter.Equal(r.Until) {
			return c, true
		}
	}
	return c, false
}

// lateGroups groups the arrangements at risk whose first stage has passed, by the generation from whose expiry their
// reminders are counted.
func lateGroups(all []standing.Standing, now time.Time) map[string]*lateGroup {
	groups := map[string]*lateGroup{}
	for _, s := range all {
		risk, at := s.Rollover.Risk(now)
		if !at {
			continue
		}
		last, found1 := cadence(s, risk)
		wanted, found2 := s.Certificate(risk.Wanted)
		if !found1 || !found2 || last.NotAfter.Sub(now) > time.Duration(stages[0])*policy.Day {
			continue
		}
		g := groups[last.ID]
		if g == nil {
			g = &lateGroup{last: last, wanted: wanted}
			groups[last.ID] = g
		}
		g.names = append(g.names, s.Arrangement.Name)
		if known, _ := s.Rollover.Generation(risk.Wanted); known.Verdict == rollover.Refused {
			g.refused = append(g.refused, s.Arrangement.Name)
		}
	}
	for _, g := range groups {
		slices.Sort(g.names)
		slices.Sort(g.refused)
	}
	return groups
}

// remind creates tasks, and mails for subscribers, for the key users of a tenant whose receivers are at risk. It does
// so once per deadline and stage. If several stages have passed since the last call, only the latest counts.
func (e *Engine) remind(ctx context.Context, t tenancy.Tenant, all []standing.Standing, now time.Time) error {
	groups := lateGroups(all, now)
	var failures []error
	for _, id := range slices.Sorted(maps.Keys(groups)) {
		failures = append(failures, e.remindOf(ctx, t, *groups[id], now))
	}
	return errors.Join(failures...)
}

func (e *Engine) remindOf(ctx context.Context, t tenancy.Tenant, late lateGroup, now time.Time) error {
	until := rollover.Risk{Deadline: late.last.NotAfter}
	stage := stageOf(until.Left(now))
	err := e.remindOnce(ctx, t, fmt.Sprintf("%s/%d", late.last.ID, stage), now, func(b *batch, p audience) {
		n := tenancy.Notice{Kind: tenancy.Unready, CertificateID: late.last.ID, SuccessorID: late.wanted.ID,
			DueAt: late.last.NotAfter, Subject: unreadySubject(late, until.Days(now), stage),
			DedupKey: fmt.Sprintf("unready/%d", stage)}
		e.notify(b, p, late.last, n, cause{actor: "roll-over"}, now)
		e.toAdministrators(b, p, late.last, tenancy.Notice{Kind: tenancy.AdministratorUnready, CertificateID: late.last.ID,
			SuccessorID: late.wanted.ID, DueAt: late.last.NotAfter}, concern{stage: stage, names: late.names}, now)
		b.events = append(b.events, tenancy.NewEvent(now, "roll-over", "arrangements.at-risk", t.Name, t.Name,
			map[string]any{"arrangements": late.names, "refused": late.refused, "generation": late.wanted.Generation,
				"expires": late.last.NotAfter, "stage_days": stage, "hosting_team": stage <= hostingFrom}))
	})
	if err == nil && stage <= hostingFrom {
		e.log.ErrorContext(ctx, "receivers have not been proved to accept the new certificate, and the last one that they "+
			"are known to accept expires", "tenant", t.Name, "arrangements", strings.Join(late.names, ", "),
			"refused", strings.Join(late.refused, ", "), "expires", late.last.NotAfter.UTC().Format(time.RFC3339))
	}
	if errors.Is(err, tenancy.ErrConflict) { // another replica was faster
		return nil
	}
	return err
}

// remindOnce writes a reminder to a tenant's people, unless it has been claimed before. fill adds what is written. The
// error is [tenancy.ErrConflict] if another replica was faster.
func (e *Engine) remindOnce(ctx context.Context, t tenancy.Tenant, reminder string, now time.Time,
	fill func(b *batch, p audience)) error {
	_, err := e.store.Once(ctx, store.ClaimReminder, reminder, now, func(tx *store.Tx) error {
		people, err := e.reached(ctx, tx.Reader, t)
		if err != nil {
			return err
		}
		var b batch
		fill(&b, people)
		return e.write(ctx, tx, &b, now)
	})
	return err
}

// unreadySubject returns a subject that grows in urgency. It names one arrangement and counts the others. It states a
// refusal only of receivers that were proved to refuse.
func unreadySubject(late lateGroup, days, stage int) string {
	names, one, several := late.names, "is not known to accept", "are not known to accept"
	if len(late.refused) > 0 {
		names, one, several = late.refused, "refuses", "refuse"
	}
	which := names[0] + " " + one
	if others := len(names) - 1; others > 0 {
		which = fmt.Sprintf("%s and %d more %s", names[0], others, several)
	}
	left := daysLeft(days)
	urgency := ""
	switch {
	case stage <= 1 && len(late.refused) > 0:
		urgency = "LAST CALL: "
	case stage <= hostingFrom:
		urgency = "Urgent: "
	}
	return fmt.Sprintf("%s%s the new certificate, %s", urgency, which, left)
}

func daysLeft(days int) string {
	if days == 1 {
		return "1 day left"
	}
	return fmt.Sprintf("%d days left", days)
}
