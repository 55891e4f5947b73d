// Package policy decides when a certificate is announced and when it is renewed.
//
// It promises: for a policy that [Policy.Check] accepts, every certificate is renewed before it expires, whatever the
// instant of its expiry, as long as the runs take place. It reads no clock and does no I/O: the caller says which run
// it is asking about. A day is always 24 hours, and every bound is inclusive.
package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Day is the unit of the published rules: exactly 24 hours, also where a civil day is shorter or longer.
const Day = 24 * time.Hour

// Subjects of the two notices, to the letter of the published rules.
const (
	SubjectWarn  = "Tenant Certificate is going to expire soon"
	SubjectRenew = "Tenant Certificate has been renewed"
)

// A Policy is a rule set: when the background job runs, and what a run does with a certificate.
type Policy struct {
	// Name identifies the policy in output and in the ledger of runs.
	Name string
	// Source says where the rules come from, for people; it may be empty.
	Source string
	// Schedule says when the background job runs.
	Schedule Schedule
	// RenewWithin: a certificate with at most this much validity left is renewed.
	RenewWithin Span
	// WarnFrom and WarnTo: a certificate with at least WarnFrom and at most WarnTo left is warned about.
	WarnFrom, WarnTo Span
	// WarnOnce limits the warnings of one certificate to the first, for schedules with many runs in the window.
	WarnOnce bool
	// MailITContactsWithin: with at most this much left, the IT contacts are mailed about the tenant certificate too,
	// with every warning and every renewal. Zero: they hear of the M-user's certificate only.
	MailITContactsWithin Span
	// MailMUserSince: IT contacts are mailed about the M-user's certificate for runs from this instant on. Zero: always.
	MailMUserSince time.Time
	// Validity is how long a new certificate is valid.
	Validity time.Duration
	// Spread: a run over many certificates is spread over this long, from the run date on. Zero: all at once.
	Spread time.Duration
}

// A Validity is the period in which a certificate is valid (RFC 5280, section 4.1.2.5).
type Validity struct {
	NotBefore, NotAfter time.Time
}

// Lifetime is the length of the period.
func (v Validity) Lifetime() time.Duration { return v.NotAfter.Sub(v.NotBefore) }

// An Action is what a run does with a certificate.
type Action string

const (
	Wait    Action = "wait"    // nothing to do yet
	Warn    Action = "warn"    // announce the renewal
	Renew   Action = "renew"   // renew now
	Expired Action = "expired" // it was not renewed in time: renew now, and say so
)

// Subject is the subject of the notice that the action causes; empty where there is none.
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

// Decide says what the run at the given instant does with a certificate of the given validity.
//
// Both windows are inclusive. Where they overlap, renewing wins: a warning that promises a renewal "in the next run"
// would be false. WarnOnce is the caller's to keep, for only the caller knows what was sent.
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

// Horizon is the most validity that a certificate of at most the given lifetime can have left for [Policy.Decide] to
// say anything but Wait. A caller that looks only at certificates within the horizon misses none.
func (p Policy) Horizon(lifetime time.Duration) time.Duration {
	return max(p.RenewWithin.Of(lifetime), p.WarnTo.Of(lifetime))
}

// MayRenewByHand says whether an administrator may press Renew now: only when no more validity is left than the policy
// warns at. Where it refuses, from is the first instant at which it will not.
func (p Policy) MayRenewByHand(v Validity, now time.Time) (ok bool, from time.Time) {
	from = v.NotAfter.Add(-p.Horizon(v.Lifetime()))
	return !now.Before(from), from
}

// MailsITContacts says whether IT contacts are mailed about a tenant certificate at the run.
func (p Policy) MailsITContacts(v Validity, run time.Time) bool {
	return !p.MailITContactsWithin.IsZero() && v.NotAfter.Sub(run) <= p.MailITContactsWithin.Of(v.Lifetime())
}

// MailsMUser says whether IT contacts are mailed about an M-user's certificate at the run.
func (p Policy) MailsMUser(run time.Time) bool { return !run.Before(p.MailMUserSince) }

// A Span is a length of validity: a fixed duration, or a share of the certificate's lifetime.
type Span struct {
	Fixed time.Duration
	Share float64 // 0 < Share < 1; only where Fixed is 0
}

// Days is a fixed span of n days of 24 hours.
func Days(n float64) Span { return Span{Fixed: time.Duration(n * float64(Day))} }

// Share is the given share of a certificate's lifetime.
func Share(s float64) Span { return Span{Share: s} }

// Of is the span's length for a certificate of the given lifetime.
func (s Span) Of(lifetime time.Duration) time.Duration {
	if s.Share != 0 {
		return time.Duration(s.Share * float64(lifetime)).Truncate(time.Second)
	}
	return s.Fixed
}

// IsZero says whether the span was not given.
func (s Span) IsZero() bool { return s == Span{} }

// String is the form that a policy file takes: "62d", "36h", "0.33".
func (s Span) String() string {
	if s.Share != 0 {
		return strconv.FormatFloat(s.Share, 'f', -1, 64)
	}
	return FormatDuration(s.Fixed)
}

// FormatDuration writes a duration as a policy file does: whole days as "62d", anything else in Go's form.
func FormatDuration(d time.Duration) string {
	if d%Day == 0 {
		return fmt.Sprintf("%dd", d/Day)
	}
	return d.String()
}

// ParseDuration reads "62d", "1.5d", "36h", "1h30m": Go's units, and d for 24 hours.
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || n != n || n > 36500 || n < -36500 {
			return 0, fmt.Errorf("%q is no duration: write days such as 62d, or hours such as 36h", s)
		}
		return time.Duration(n * float64(Day)), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration: write days such as 62d, or hours such as 36h", s)
	}
	return d, nil
}

// ParseSpan reads a duration, or a share of the lifetime such as "0.33".
func ParseSpan(s string) (Span, error) {
	if share, err := strconv.ParseFloat(s, 64); err == nil {
		if !(share > 0 && share < 1) {
			return Span{}, fmt.Errorf("%q is no share of a lifetime: write a number between 0 and 1 such as 0.33, or a "+
				"duration such as 62d", s)
		}
		return Span{Share: share}, nil
	}
	d, err := ParseDuration(s)
	return Span{Fixed: d}, err
}
