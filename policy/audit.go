package policy

import (
	"math"
	"time"
)

// An AuditReport contains how often a policy renews without an earlier warning.
type AuditReport struct {
	Policy       string      `json:"policy"`
	Sound        bool        `json:"sound"`
	SurpriseFree bool        `json:"surprise_free"`
	Single       Single      `json:"single"`
	SteadyState  SteadyState `json:"steady_state"`
	// CounterExample describes a certificate that expires unrenewed. It is empty if the policy is sound.
	CounterExample string `json:"counter_example,omitempty"`
}

// Single counts certificates whose expiry instants are spread evenly. Each was issued before its first possible event.
type Single struct {
	Expiries       int     `json:"expiries"`
	WithoutWarning int     `json:"without_warning"`
	Share          float64 `json:"share"` // rounded to four decimals
}

// SteadyState counts the renewals of certificates that the job itself issued.
type SteadyState struct {
	Renewals       int     `json:"renewals"`
	WithoutWarning int     `json:"without_warning"`
	Share          float64 `json:"share"` // rounded to four decimals
	// IntervalDays is the time between two renewals.
	IntervalDays Range `json:"interval_days"`
}

// Range is a minimum and a maximum in days of 24 h, rounded to two decimals.
type Range struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
}

// The period of the audit is fixed, so that figures of different policies and versions can be compared.
var (
	auditSingleFrom  = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) // inclusive
	auditSingleUntil = time.Date(2028, 6, 1, 0, 0, 0, 0, time.UTC) // exclusive
	auditRunsFrom    = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	auditRunsUntil   = auditRunsFrom.AddDate(200, 0, 0)
	auditFirstExpiry = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

const (
	auditSingleStep = 6 * time.Hour
	auditFirstStep  = 5 * Day
	auditFirstLast  = 360 * Day
	// auditIssueDelay is the time from a run to the start of a new certificate's validity.
	auditIssueDelay = 5 * time.Minute
)

// Audit computes both figures exactly, for certificates of the policy's validity (365 days in the published rules). It
// also works for unsound policies: a certificate that expires unrenewed counts as renewed late.
func Audit(p Policy) (AuditReport, error) {
	if err := p.checkValues(); err != nil {
		return AuditReport{}, err
	}
	r := AuditReport{Policy: p.Name, Sound: true}
	if err := p.Check(); err != nil {
		r.Sound, r.CounterExample = false, err.Error()
	}
	r.Single = p.auditSingle()
	r.SteadyState = p.auditSteadyState()
	r.SurpriseFree = r.Single.WithoutWarning == 0 && r.SteadyState.WithoutWarning == 0
	return r, nil
}

func (p Policy) auditSingle() Single {
	var s Single
	for notAfter := auditSingleFrom; notAfter.Before(auditSingleUntil); notAfter = notAfter.Add(auditSingleStep) {
		v := Validity{NotBefore: notAfter.Add(-p.Validity), NotAfter: notAfter}
		s.Expiries++
		if f := p.Forecast(v, v.NotBefore); !warned(f) {
			s.WithoutWarning++
		}
	}
	s.Share = share(s.WithoutWarning, s.Expiries)
	return s
}

func (p Policy) auditSteadyState() SteadyState {
	s := SteadyState{IntervalDays: Range{Min: math.Inf(1)}}
	for offset := time.Duration(0); offset <= auditFirstLast; offset += auditFirstStep {
		v := Validity{NotAfter: auditFirstExpiry.Add(offset)}
		v.NotBefore = v.NotAfter.Add(-p.Validity)
		from, last := auditRunsFrom, time.Time{}
		for {
			f := p.Forecast(v, from)
			run := f.Last().At
			if !run.Before(auditRunsUntil) {
				break
			}
			s.Renewals++
			if !warned(f) {
				s.WithoutWarning++
			}
			if !last.IsZero() {
				days := round(run.Sub(last).Hours()/24, 2)
				s.IntervalDays.Min, s.IntervalDays.Max = min(s.IntervalDays.Min, days), max(s.IntervalDays.Max, days)
			}
			last = run
			v.NotBefore = run.Add(auditIssueDelay)
			v.NotAfter = v.NotBefore.Add(p.Validity)
			from = v.NotBefore
		}
	}
	if math.IsInf(s.IntervalDays.Min, 1) {
		s.IntervalDays = Range{}
	}
	s.Share = share(s.WithoutWarning, s.Renewals)
	return s
}

func warned(f Forecast) bool { return len(f.Events) > 0 && f.Events[0].Action == Warn }

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return round(float64(part)/float64(whole), 4)
}

func round(x float64, decimals int) float64 {
	f := math.Pow10(decimals)
	return math.Round(x*f) / f
}
