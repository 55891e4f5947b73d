// Package policy decides when the renewal of a certificate is announced and when the certificate is renewed.
//
// If [Policy.Check] accepts a policy, every certificate is renewed before it expires, whatever the instant of its
// expiry, as long as the runs take place. The package reads no clock and does no I/O: the run is an argument. A day is
// always 24 hours, and every bound is inclusive.
package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Day is the unit of the published rules: exactly 24 hours, even if a civil day is shorter or longer.
const Day = 24 * time.Hour

// Subjects of the two notices, word for word as in the published rules.
const (
	SubjectWarn  = "Tenant Certificate is going to expire soon"
	SubjectRenew = "Tenant Certificate has been renewed"
)

// A Policy is a rule set: the schedule of the background job, and the action of a run for each certificate.
type Policy struct {
	// Name identifies the policy in output and in the ledger of runs.
	Name string
	// Source describes the origin of the rules. It may be empty.
	Source string
	// Schedule defines the runs of the background job.
	Schedule Schedule
	// RenewWithin is the validity left at which a certificate is renewed.
	RenewWithin Span
	// WarnFrom and WarnTo bound the validity left at which a run warns.
	WarnFrom, WarnTo Span
	// WarnOnce limits the warnings of a certificate to one, for schedules with many runs in the window.
	WarnOnce bool
	// MailITContactsWithin is the validity left at which warnings and renewals of the tenant certificate are also mailed
	// to the IT contacts. Zero: they get mail about the M-user's certificate only.
	MailITContactsWithin Span
	// MailMUserSince is the instant of the first run that mails IT contacts about the M-user's certificate. Zero: every
	// run does.
	MailMUserSince time.Time
	// Validity is the lifetime of a new certificate.
	Validity time.Duration
	// Spread is the time over which a run distributes its renewals, from the run date on. Zero: all at once.
	Spread time.Duration
}

// A Validity is the period in which a certificate is valid (RFC 5280, section 4.1.2.5).
type Validity struct {
	NotBefore, NotAfter time.Time
}

// Lifetime returns the length of the period.
func (v Validity) Lifetime() time.Duration { return v.NotAfter.Sub(v.NotBefore) }

// An Action is the effect of a run on a certificate.
type Action string

const (
	Wait    Action = "wait"    // nothing to do yet
	Warn    Action = "warn"    // announce the renewal
	Renew   Action = "renew"   // renew now
	Expired Action = "expired" // it was not renewed in time: renew now, and report it
)

// Subject returns the subject of the notice that the action causes; "" if it causes none.
func (a Action) Subject() string {
	switch a {
	case Warn:
		return SubjectWarn
	case Renew:
		return SubjectRenew
	default:
		return ""
	}
}

// Decide returns the action of the run at the given instant for a certificate of the given validity.
//
// Both windows are inclusive. If they overlap, renewing wins, because a warning that promises a renewal "in the next
// run" would be false. The caller applies WarnOnce, because only the caller has the list of sent warnings.
func (p Policy) Decide(v Validity, run time.Time) Action {
	left, lifetime := v.NotAfter.Sub(run), v.Lifetime()
	switch {
	case left < 0:
		return Expired
	case left <= p.RenewWithin.Of(lifetime):
		return Renew
	case p.WarnFrom.Of(lifetime) <= left && left <= p.WarnTo.Of(lifetime):
		return Warn
	default:
		return Wait
	}
}

// Horizon returns the maximum validity left at which [Policy.Decide] returns anything but Wait for a certificate of at
// most the given lifetime. A caller can skip all certificates beyond the horizon.
func (p Policy) Horizon(lifetime time.Duration) time.Duration {
	return max(p.RenewWithin.Of(lifetime), p.WarnTo.Of(lifetime))
}

// MayRenewByHand reports whether an administrator may press Renew now: only if no more validity is left than the policy
// warns at. from is the first instant at which Renew is allowed.
func (p Policy) MayRenewByHand(v Validity, now time.Time) (ok bool, from time.Time) {
	from = v.NotAfter.Add(-p.Horizon(v.Lifetime()))
	return !now.Before(from), from
}

// MailsITContacts reports whether IT contacts are mailed about a tenant certificate at the run.
func (p Policy) MailsITContacts(v Validity, run time.Time) bool {
	return !p.MailITContactsWithin.IsZero() && v.NotAfter.Sub(run) <= p.MailITContactsWithin.Of(v.Lifetime())
}

// MailsMUser reports whether IT contacts are mailed about an M-user's certificate at the run.
func (p Policy) MailsMUser(run time.Time) bool { return !run.Before(p.MailMUserSince) }

// HasMUserRules reports whether the policy has rules about the M-user, so that tenants must have one.
func (p Policy) HasMUserRules() bool { return !p.MailMUserSince.IsZero() }

// A Span is a length of validity: a fixed duration, or a share of the certificate's lifetime.
type Span struct {
	Fixed time.Duration
	Share float64 // 0 < Share < 1; only if Fixed is 0
}

// Days returns a fixed span of n days of 24 hours.
func Days(n float64) Span { return Span{Fixed: time.Duration(n * float64(Day))} }

// Share returns the given share of a certificate's lifetime.
func Share(s float64) Span { return Span{Share: s} }

// Of returns the length of the span for a certificate of the given lifetime.
func (s Span) Of(lifetime time.Duration) time.Duration {
	if s.Share != 0 {
		return time.Duration(s.Share * float64(lifetime)).Truncate(time.Second)
	}
	return s.Fixed
}

// IsZero reports whether the span is not set.
func (s Span) IsZero() bool { return s == Span{} }

// String returns the span as a policy file writes it: "62d", "36h", "0.33".
func (s Span) String() string {
	if s.Share != 0 {
		return strconv.FormatFloat(s.Share, 'f', -1, 64)
	}
	return FormatDuration(s.Fixed)
}

// FormatDuration returns a duration as a policy file writes it: "62d", "36h", "1h30m".
func FormatDuration(d time.Duration) string {
	if d%Day == 0 {
		return fmt.Sprintf("%dd", d/Day)
	}
	text := d.String()
	if d%time.Minute == 0 {
		text = strings.TrimSuffix(text, "0s")
	}
	if d%time.Hour == 0 {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// ParseDuration parses "62d", "1.5d", "36h", "1h30m": Go's units, with d for 24 hours.
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || n != n || n > 36500 || n < -36500 {
			return 0, fmt.Errorf("invalid duration %q: use days such as 62d, or hours such as 36h", s)
		}
		return time.Duration(n * float64(Day)), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("invalid duration %q: use days such as 62d, or hours such as 36h", s)
	}
	return d, nil
}

// ParseSpan parses a duration, or a share of the lifetime such as "0.33".
func ParseSpan(s string) (Span, error) {
	if share, err := strconv.ParseFloat(s, 64); err == nil {
		if !(share > 0 && share < 1) {
			return Span{}, fmt.Errorf("invalid share of the lifetime %q: use a number between 0 and 1 such as 0.33, or "+
				"a duration such as 62d", s)
		}
		return Span{Share: share}, nil
	}
	d, err := ParseDuration(s)
	return Span{Fixed: d}, err
}
