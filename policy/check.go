package policy

import (
	"fmt"
	"time"
)

// A KeyError reports a value that a policy must not have. Key is its place in a policy file: "warn_to", or
// "schedule.every" for a key inside another one.
type KeyError struct {
	Key     string
	Problem string // with the name of the key
}

func (e *KeyError) Error() string { return e.Problem }

func keyErrorf(key, format string, args ...any) error {
	return &KeyError{key, fmt.Sprintf(format, args...)}
}

// An UnsoundError reports that a certificate could expire without being renewed, with an example.
type UnsoundError struct {
	Policy     string
	NotAfter   time.Time     // the expiry of a certificate that no run renews
	Before     time.Time     // the last run before NotAfter, which is too early to renew
	After      time.Time     // the next run, which is too late
	Left       time.Duration // the validity left at Before
	Longest    time.Duration // the longest time from a run to the end of the next one: what renew_within must be at least
	WithinSpan Span
}

func (e *UnsoundError) Error() string {
	return fmt.Sprintf("policy %s: a certificate that expires at %s would not be renewed: the run at %s finds %.2f days "+
		"left (renew_within is %s), and the next run at %s comes too late; "+
		"renew_within must be at least as long as the longest time between two runs (plus spread), %.2f days here",
		e.Policy, e.NotAfter.Format(time.RFC3339), e.Before.Format(time.RFC3339), e.Left.Hours()/24, e.WithinSpan,
		e.After.Format(time.RFC3339), e.Longest.Hours()/24)
}

// soundFrom and soundUntil bound the runs that Check looks at. 28 years are a whole cycle of weekdays and leap years.
var (
	soundFrom  = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	soundUntil = soundFrom.AddDate(28, 0, 0)
)

// Check returns an error if the policy cannot be used: a [*KeyError] for a value that is not allowed, or an
// [*UnsoundError] if a certificate of the policy's validity could expire unrenewed.
func (p Policy) Check() error {
	if err := p.checkValues(); err != nil {
		return fmt.Errorf("policy %s: %w", p.Name, err)
	}
	within := p.RenewWithin.Of(p.Validity)
	var unsound *UnsoundError
	for run := p.Schedule.Next(soundFrom); run.Before(soundUntil); {
		next := p.Schedule.Next(run)
		// This run does not renew a certificate that expires a second after its window. The next run does so only if it
		// takes place, and ends, before the expiry.
		notAfter, end := run.Add(within+time.Second), next.Add(p.Spread)
		if notAfter.Before(end) && unsound == nil {
			unsound = &UnsoundError{Policy: p.Name, NotAfter: notAfter, Before: run, After: end, Left: notAfter.Sub(run),
				WithinSpan: p.RenewWithin}
		}
		if unsound != nil {
			unsound.Longest = max(unsound.Longest, end.Sub(run))
		}
		if next.Sub(run) <= p.Spread {
			return fmt.Errorf("policy %s: %w", p.Name, keyErrorf("spread", "spread is %s; it must be shorter than the time "+
				"between two runs, %s here", FormatDuration(p.Spread), FormatDuration(next.Sub(run))))
		}
		run = next
	}
	if unsound != nil {
		return unsound
	}
	return nil
}

// checkValues checks everything but soundness.
func (p Policy) checkValues() error {
	within, from, to := p.RenewWithin.Of(p.Validity), p.WarnFrom.Of(p.Validity), p.WarnTo.Of(p.Validity)
	if p.Name == "" {
		return keyErrorf("name", "name is missing")
	}
	if err := p.Schedule.Check(); err != nil {
		return err
	}
	switch {
	case p.Validity < time.Hour || p.Validity > 3650*Day:
		return keyErrorf("validity", "validity is %s; it must be 1h to 3650d", FormatDuration(p.Validity))
	case p.Spread < 0:
		return keyErrorf("spread", "spread is %s; it must not be negative", FormatDuration(p.Spread))
	case within <= 0:
		return keyErrorf("renew_within", "renew_within is %s; it must be longer than 0: renewal cannot be switched off",
			p.RenewWithin)
	case within >= p.Validity:
		return keyErrorf("renew_within", "renew_within (%s) must be shorter than validity (%s), or every run would renew",
			p.RenewWithin, FormatDuration(p.Validity))
	case from < 0:
		return keyErrorf("warn_from", "warn_from is %s; it must not be negative", p.WarnFrom)
	case to < from:
		return keyErrorf("warn_to", "warn_to (%s) must not be shorter than warn_from (%s)", p.WarnTo, p.WarnFrom)
	case to <= within:
		return keyErrorf("warn_to", "warn_to (%s) must be longer than renew_within (%s), or no warning would ever be sent",
			p.WarnTo, p.RenewWithin)
	case to >= p.Validity:
		return keyErrorf("warn_to", "warn_to (%s) must be shorter than validity (%s), or every run would warn", p.WarnTo,
			FormatDuration(p.Validity))
	}
	return nil
}
