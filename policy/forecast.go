package policy

import "time"

// An Event is the effect of one run on one certificate.
type Event struct {
	At       time.Time
	Action   Action
	DaysLeft float64 // validity left at At, in days of 24 h, not rounded
}

// A Forecast lists the future events of a certificate.
type Forecast struct {
	// Events are all warnings up to and including the first renewal. An expired certificate has one event, Expired.
	Events []Event
	// Surprise is set if the renewal comes without an earlier warning.
	Surprise bool
}

// Last returns the event that ends the certificate's life: its renewal, or [Expired].
func (f Forecast) Last() Event { return f.Events[len(f.Events)-1] }

// days returns the number of days from one instant to another. Unlike a [time.Duration], it is not limited to 292
// years.
func days(from, to time.Time) float64 {
	return float64(to.Unix()-from.Unix())/86400 + float64(to.Nanosecond()-from.Nanosecond())/86400e9
}

// Forecast returns the events of a certificate from the first run at or after from.
//
// The last event is Expired if the certificate has expired at from, or expires before the first run can renew it. It is
// at from, or at the run that comes too late.
func (p Policy) Forecast(v Validity, from time.Time) Forecast {
	var f Forecast
	add := func(at time.Time, a Action) {
		f.Events = append(f.Events, Event{At: at.UTC(), Action: a, DaysLeft: days(at, v.NotAfter)})
	}
	if v.NotAfter.Before(from) {
		add(from, Expired)
		return f
	}
	// Runs before the horizon do nothing.
	start := from
	if h := v.NotAfter.Add(-p.Horizon(v.Lifetime())); h.After(start) {
		start = h
	}
	warned := false
	for run := p.Schedule.Next(start.Add(-1)); ; run = p.Schedule.Next(run) {
		switch a := p.Decide(v, run); a {
		case Warn:
			if !warned || !p.WarnOnce {
				add(run, Warn)
			}
			warned = true
		case Renew, Expired:
			add(run, a)
			f.Surprise = a == Renew && !warned
			return f
		}
	}
}
