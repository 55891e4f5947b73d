package guard

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
)

// A Status is what a guard knows of a certificate of a partner.
type Status struct {
	Partner string
	// Source and Arrangements are set for a certificate that the feed of a counterparty lists, as in a decision.
	Source       acceptance.Source
	Arrangements string
	// Standing is accepted, held or declined.
	Standing    Standing
	DER         []byte
	Fingerprint acceptance.Fingerprint
	NotAfter    time.Time
	// By names the source: the configuration, the rule, a feed, or a person.
	By string
	// Code, Reason and SeenAt are those of a certificate that was seen. The configuration has none.
	Code   acceptance.Code
	Reason string
	SeenAt time.Time
	// ExpectedFrom and ExpectedUntil are when a successor of an accepted certificate is expected.
	ExpectedFrom, ExpectedUntil time.Time
}

// StatusOf returns what a guard knows of its partners, in the order of the configuration: what it lists, what the guard
// has seen, and then what the feeds of counterparties list, by partner. current are the partners with what was seen.
// Certificates that have expired are left out.
func StatusOf(c Config, current *acceptance.Partners, seen []Sighting, now time.Time) (all []Status, err error) {
	of := map[string][]Sighting{}
	for _, v := range seen {
		of[v.Partner] = append(of[v.Partner], v)
	}
	add := func(p acceptance.Partner, v Status, k acceptance.Known) {
		v.Partner, v.DER, v.Fingerprint, v.NotAfter = p.Name, k.DER, k.Fingerprint, k.NotAfter
		v.Source, v.Arrangements = p.Source, k.Arrangements
		if v.Standing == Accepted && p.Rule == acceptance.Successor {
			v.ExpectedFrom, v.ExpectedUntil = p.Expected(k)
		}
		if now.Before(k.NotAfter) {
			all = append(all, v)
		}
	}
	for _, p := range c.Partners {
		for _, k := range p.Known {
			add(p, Status{Standing: Accepted, By: "configuration"}, k)
		}
		for _, v := range of[p.Name] {
			parsed, err := v.certificate()
			if err != nil {
				return nil, err
			}
			add(p, v.status(), acceptance.NewKnown(parsed))
		}
	}
	for _, name := range current.Names() {
		p, _ := current.Partner(name)
		if p.Source.Feed == "" {
			continue
		}
		for _, k := range p.Known {
			status := Status{Standing: Accepted, By: byFeed, Code: acceptance.Pinned}
			for _, v := range of[name] {
				if v.Standing == Declined && sha256.Sum256(v.DER) == k.Fingerprint {
					status = v.status()
				}
			}
			add(p, status, k)
		}
	}
	return all, nil
}

func (s Sighting) status() Status {
	return Status{Standing: s.Standing, By: s.By, Code: s.Code, Reason: s.Reason, SeenAt: s.At}
}

// ReadStatus is [StatusOf] for the guard of a configuration, which may be another process. Nothing is changed.
func ReadStatus(ctx context.Context, c Config, now time.Time) ([]Status, error) {
	seen, err := ReadSightings(ctx, c.State)
	if err != nil {
		return nil, err
	}
	current, err := Remembered(ctx, c)
	if err != nil {
		return nil, err
	}
	return StatusOf(c, current, seen, now)
}
