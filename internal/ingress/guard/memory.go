package guard

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"time"

	core "github.com/perennial-pki/perennial/guard"

	"github.com/perennial-pki/perennial/acceptance"
)

// remembered returns what the guard has seen, whether or not it is stored yet.
func (s *Service) remembered(ctx context.Context) ([]Sighting, error) {
	s.mu.Lock()
	waiting := slices.Clone(s.waiting) // before the state, into which they move meanwhile
	s.mu.Unlock()
	all, err := s.state.Sightings(ctx)
	if err != nil {
		return nil, err
	}
	return append(all, waiting...), nil
}

// newPartners returns the partners of a configuration and those that its feeds list, with the certificates that were
// decided about. leftOut states which of the latter are left out, and why.
func newPartners(partners, listed []acceptance.Partner, seen []Sighting) (ps *acceptance.Partners, leftOut []error,
	err error) {
	if partners, err = withSightings(partners, seen); err != nil {
		return nil, nil, err
	}
	if listed, err = withSightings(listed, seen); err != nil {
		return nil, nil, err
	}
	return acceptance.NewListed(partners, listed)
}

// withSightings returns partners with the certificates that were decided about.
func withSightings(partners []acceptance.Partner, all []Sighting) ([]acceptance.Partner, error) {
	partners = slices.Clone(partners)
	at := map[string]int{}
	for i := range partners {
		at[partners[i].Name] = i
	}
	for _, v := range all {
		i, found := at[v.Partner]
		// A person can refuse what the feed of a counterparty lists, and cannot add to it.
		if !found || partners[i].Source.Feed != "" && v.Standing != Declined {
			continue
		}
		c, err := v.certificate()
		if err != nil {
			return nil, err
		}
		p, k := &partners[i], acceptance.NewKnown(c)
		// Certificates of the rule authority stay accepted only as long as the rule accepts them.
		if v.Standing == Accepted && v.Code == acceptance.FromAuthority && v.By == byRule {
			continue
		}
		switch listed := slices.ContainsFunc(p.Known, func(o acceptance.Known) bool { return o.Body == k.Body }); {
		case v.Standing == Accepted && !listed:
			p.Known = append(slices.Clip(p.Known), k)
		case v.Standing == Held && !listed && v.Code != acceptance.OtherCA &&
			!slices.ContainsFunc(p.Held, func(h acceptance.Held) bool { return h.Body == k.Body }): // it waits with a new reason
			p.Held = append(slices.Clip(p.Held), acceptance.Held{Body: k.Body, Since: v.At})
		case v.Standing == Declined:
			p.Declined = append(slices.Clip(p.Declined), k.Body)
		}
	}
	return partners, nil
}

// learned queues a certificate that was accepted or held for the first time. It does not block.
func (s *Service) learned(l core.Learned) {
	v := sighted(l.At, l.Chain[0], l.Decision)
	if before := l.Decision.Predecessor; before != nil {
		v.Was = before.DER
	}
	s.mu.Lock()
	s.news(l.Chain[0], l.Decision)
	s.mu.Unlock()
	s.queue(v)
}

// Who decides without a person.
const (
	byRule = "rule"
	byFeed = "feed"
)

// sighted returns the sighting of a certificate.
func sighted(at time.Time, c *x509.Certificate, d acceptance.Decision) Sighting {
	v := Sighting{Partner: d.Partner, DER: c.Raw, Standing: Held, Code: d.Code, Reason: d.Reason, At: at, By: byRule}
	if d.Outcome == acceptance.Accept {
		v.Standing = Accepted
	}
	return v
}

// mostHeldWaiting limits the calls with held certificates that are not stored yet, because strangers make them.
const mostHeldWaiting = 64

// decided logs and counts a call. What the guard itself does not learn is queued too: a certificate of another CA,
// about which a person is asked, one that the rule authority accepts, and one that is held for another reason than
// before.
func (s *Service) decided(c core.Call) {
	s.logs.add(c)
	if len(c.Chain) == 0 || c.Decision.Partner == "" {
		return
	}
	held := c.Decision.Outcome == acceptance.Hold
	if !held && !(c.Accepted && c.Decision.Code == acceptance.FromAuthority) {
		return
	}
	s.mu.Lock()
	news := s.news(c.Chain[0], c.Decision)
	full := held && s.held >= mostHeldWaiting
	s.mu.Unlock()
	if news && !full {
		s.queue(sighted(c.At, c.Chain[0], c.Decision))
	}
}

// mostReported limits the certificates that are remembered as reported: at most twice as many.
const mostReported = 1024

// news reports whether a certificate was not reported lately with this reason, and remembers it. The caller holds the
// lock.
func (s *Service) news(c *x509.Certificate, d acceptance.Decision) bool {
	key := sha256.Sum256(c.Raw)
	before, shown := s.shown.Get(key)
	s.shown.Put(key, d.Reason)
	return !shown || before != d.Reason
}

func (s *Service) queue(v Sighting) {
	s.mu.Lock()
	s.waiting = append(s.waiting, v)
	if v.Standing == Held {
		s.held++
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// remember stores sightings as they come.
func (s *Service) remember(ctx context.Context) {
	again := time.NewTicker(stateEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-again.C:
		}
		s.store(context.WithoutCancel(ctx)) // a statement that is interrupted may have been executed
	}
}

// store stores the sightings that wait. Those that cannot be stored stay in memory, and count as well.
func (s *Service) store(ctx context.Context) {
	s.storing.Lock()
	defer s.storing.Unlock()
	s.mu.Lock()
	waiting := slices.Clone(s.waiting)
	s.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	withMail := s.settings().Mail.Server != ""
	for _, v := range waiting {
		changed, err := s.state.add(ctx, v, withMail && v.Code != acceptance.FromAuthority)
		s.metrics.failed("state", err)
		if err != nil {
			s.warn("state", "cannot store a certificate that was seen: it is kept in memory until that works", "partner",
				v.Partner, "file", s.state.path, "error", err)
			return
		}
		s.mu.Lock()
		s.waiting = s.waiting[1:]
		if v.Standing == Held {
			s.held--
		}
		s.mu.Unlock()
		if changed {
			announce(s.log, v)
			if s.seen == nil {
				continue
			}
			if err := s.seen(ctx, v); err != nil {
				s.warn("seen", "cannot record in the service what the guard has seen", "partner", v.Partner, "error", err)
			}
		}
	}
	s.measure(ctx)
}
