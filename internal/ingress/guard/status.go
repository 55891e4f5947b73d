package guard

import (
	"time"

	"github.com/perennial-pki/perennial/acceptance"
)

// A Status is what a guard knows of a certificate of a partner.
type Status struct {
	Partner string
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

// StatusOf returns what a guard knows of its partners, in the order of the configuration: what it lists, and what the
// guard has seen. Certificates that have expired are left out.
func StatusOf(c Config, seen []Sighting, now time.Time) (all []Status, err error) {
	of := map[string][]Sighting{}
	for _, v := range seen {
		of[v.Partner] = append(of[v.Partner], v)
	}
	for _, p := range c.Partners {
		add := func(v Status, k acceptance.Known) {
			v.Partner, v.DER, v.Fingerprint, v.NotAfter = p.Name, k.DER, k.Fingerprint, k.NotAfter
			if v.Standing == Accepted && p.Rule == acceptance.Successor {
				v.ExpectedFrom, v.ExpectedUntil = p.Expected(k)
			}
			if now.Before(k.NotAfter) {
				all = append(all, v)
			}
		}
		for _, k := range p.Known {
			add(Status{Standing: Accepted, By: "configuration"}, k)
		}
		for _, v := range of[p.Name] {
			parsed, err := v.certificate()
			if err != nil {
				return nil, err
			}
			add(Status{Standing: v.Standing, By: v.By, Code: v.Code, Reason: v.Reason, SeenAt: v.At},
				acceptance.NewKnown(parsed))
		}
	}
	return all, nil
}
