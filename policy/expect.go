package policy

import "time"

// An Expectation states when the owner of a certificate is expected to renew it, for systems that know the certificate
// and do not renew it themselves. It depends on the certificate and on the owner's rules only, so it does not move
// while the renewal is awaited.
type Expectation struct {
	// WarnAt is the time from which the users of the certificate are warned.
	WarnAt time.Time
	// From is the start of the window in which a successor is expected to be issued. Every successor from before it is
	// unexpected.
	From time.Time
	// RenewsAt is the run in which the owner renews; zero if only the window is known.
	RenewsAt time.Time
	// OverdueAt is the time from which a successor that has not been seen is late. It is at most NotAfter.
	OverdueAt time.Time
	NotAfter  time.Time
}

const (
	// lead is the earliest warning before a renewal: the time that our own renewals give key users.
	lead = 28 * Day
	// seenWithin is the time in which a successor is expected to be seen after the owner's run.
	seenWithin = 3 * Day
	// lateBefore is the time before the expiry from which a successor without a known date is late.
	lateBefore = 14 * Day
	// backdated limits how far CAs set the start of a certificate back, against slow clocks.
	backdated = Day
)

// Expect returns when an owner who follows the policy renews a certificate. If the policy would renew it too late, only
// the window is expected.
func (p Policy) Expect(v Validity) Expectation {
	e := ExpectWithin(p.RenewWithin, v)
	plan := p.Forecast(v, v.NotBefore)
	if plan.Last().Action != Renew {
		return e
	}
	e.RenewsAt = plan.Last().At
	if e.RenewsAt.Before(e.From) {
		e.From = e.RenewsAt
	}
	e.OverdueAt = e.RenewsAt.Add(min(seenWithin, e.NotAfter.Sub(e.RenewsAt)/4))
	e.WarnAt = e.RenewsAt.Add(-min(lead, v.Lifetime()/8))
	if announced := plan.Events[0].At; announced.Before(e.WarnAt) {
		e.WarnAt = announced
	}
	e.WarnAt = notBefore(e.WarnAt, v)
	return e
}

// ExpectWithin returns when an owner renews a certificate if only the time before its expiry is known in which this
// happens. The window never covers the first quarter of the lifetime.
func ExpectWithin(window Span, v Validity) Expectation {
	within := min(window.Of(v.Lifetime()), v.Lifetime()/4*3)
	e := Expectation{From: v.NotAfter.Add(-within), NotAfter: v.NotAfter}
	e.OverdueAt = e.NotAfter.Add(-min(lateBefore, within/4))
	e.WarnAt = notBefore(e.From.Add(-min(lead, v.Lifetime()/8)), v)
	return e
}

func notBefore(t time.Time, v Validity) time.Time {
	if t.Before(v.NotBefore) {
		return v.NotBefore
	}
	return t
}

// Covers reports whether a certificate whose validity begins at an instant is the expected successor, as far as the
// window shows it. CAs may set the start back by a day.
func (e Expectation) Covers(begin time.Time) bool {
	return !begin.Before(e.From.Add(-min(backdated, e.NotAfter.Sub(e.From)/10)))
}

// A Stage is the progress of an expected renewal that has not been seen yet.
type Stage string

// The stages, in their order.
const (
	StageQuiet   Stage = "quiet"   // nothing is expected soon
	StageSoon    Stage = "soon"    // the users are warned
	StageDue     Stage = "due"     // the owner may have renewed it
	StageOverdue Stage = "overdue" // the successor is late
	StageExpired Stage = "expired" // the certificate has expired without a successor
)

// steps returns the stages after the first one, with their beginnings.
func (e Expectation) steps() []struct {
	Stage
	from time.Time
} {
	due := e.RenewsAt
	if due.IsZero() {
		due = e.From
	}
	return []struct {
		Stage
		from time.Time
	}{{StageSoon, e.WarnAt}, {StageDue, due}, {StageOverdue, e.OverdueAt}, {StageExpired, e.NotAfter.Add(1)}}
}

// Stage returns the stage at now.
func (e Expectation) Stage(now time.Time) Stage {
	stage := StageQuiet
	for _, s := range e.steps() {
		if !now.Before(s.from) {
			stage = s.Stage
		}
	}
	return stage
}

// Next returns the beginning of the next stage after now; zero if there is none.
func (e Expectation) Next(now time.Time) time.Time {
	for _, s := range e.steps() {
		if s.from.After(now) {
			return s.from
		}
	}
	return time.Time{}
}
