package guard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/ingress/follow"
)

// A feedSource reads the feed of a counterparty. Its fields are used by one goroutine at a time: by that of
// [Service.readSources], and by a round while it runs.
type feedSource struct {
	PartyFeed
	reader *follow.PartyReader
	parsed parsing
	schedule
	warned time.Time // the end of the validity that has ended

	stop  context.CancelFunc // ends the round that runs
	ended chan struct{}      // closed when no round runs
}

// running reports whether a round runs.
func (c *feedSource) running() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// end ends the round that runs, and waits for it.
func (c *feedSource) end() {
	c.stop()
	<-c.ended
}

// listed holds the partners that the feed of a counterparty lists.
type listed struct {
	partners []acceptance.Partner // never changed in place
	readAt   time.Time            // the last round without an error; zero if there was none since the start
}

// openSource opens the feed of a counterparty with what was read before, from the files beside the state.
func (s *Service) openSource(f PartyFeed) (*feedSource, []acceptance.Partner, error) {
	reader, err := openParty(s.state.path, f, follow.PartyConfig{Client: &http.Client{}, Now: s.now, Log: s.log})
	if err != nil {
		return nil, nil, err
	}
	c := &feedSource{PartyFeed: f, reader: reader, stop: func() {}, ended: make(chan struct{})}
	close(c.ended)
	partners, parsed, err := c.parsed.tenants(f.Name, reader.Documents())
	if err != nil {
		s.warn("feed "+f.Name, "some entries of a feed are left out", "feed", f.Name, "error", err)
	}
	c.parsed = parsed
	return c, partners, nil
}

// openParty returns the reader of a feed, with its files beside a state file.
func openParty(state string, f PartyFeed, p follow.PartyConfig) (*follow.PartyReader, error) {
	p.Address, p.Shrink, p.Program, p.State = f.Address, f.Shrink, "perennial guard", state+".feed-"+f.Name
	reader, err := follow.OpenParty(p)
	if err != nil {
		return nil, fmt.Errorf("feed %q: %w", f.Name, err)
	}
	return reader, nil
}

// openSources opens the feeds of the configuration when the guard starts.
func (s *Service) openSources() error {
	for _, f := range s.config.Parties {
		c, partners, err := s.openSource(f)
		if err != nil {
			return err
		}
		s.sources[f.Name], s.listed[f.Name] = c, listed{partners: partners}
	}
	return nil
}

// readSources reads the feeds of counterparties when they are due, until the context ends.
func (s *Service) readSources(ctx context.Context) {
	tick := time.NewTicker(feedsEvery)
	defer tick.Stop()
	for {
		s.startRounds(ctx)
		select {
		case <-ctx.Done():
			for _, c := range s.sources {
				c.end()
			}
			return
		case <-s.read:
			for _, c := range s.sources {
				if !c.running() {
					c.due = time.Time{}
				}
			}
		case <-tick.C:
		}
	}
}

// readAgain makes all feeds of counterparties due.
func (s *Service) readAgain() {
	select {
	case s.read <- struct{}{}:
	default:
	}
}

// startRounds starts a round of each feed that is due. A round of one feed does not delay another one.
func (s *Service) startRounds(ctx context.Context) {
	s.matchSources(ctx, s.settings().Parties)
	for _, c := range s.sources {
		if c.running() || s.now().Before(c.due) {
			continue
		}
		round, stop := context.WithCancel(ctx)
		c.stop, c.ended = stop, make(chan struct{})
		go func() {
			defer close(c.ended)
			defer stop()
			s.round(round, c)
		}()
	}
}

// matchSources opens and ends feeds, so that they are those of a configuration.
func (s *Service) matchSources(ctx context.Context, wanted []PartyFeed) {
	for name, c := range s.sources {
		if slices.Contains(wanted, c.PartyFeed) {
			continue
		}
		c.end()
		delete(s.sources, name)
		if !slices.ContainsFunc(wanted, func(f PartyFeed) bool { return f.Name == name }) {
			s.list(name, nil)
		}
	}
	for _, f := range wanted {
		if s.sources[f.Name] != nil {
			continue
		}
		c, partners, err := s.openSource(f)
		if err == nil {
			s.list(f.Name, partners)
			err = s.applyAgain(ctx)
		}
		s.metrics.failed("feed", err)
		if err != nil {
			s.warn("feed "+f.Name, "cannot open a feed: another attempt follows in a minute", "feed", f.Name, "error", err)
			continue
		}
		s.sources[f.Name] = c
	}
}

// list replaces the partners of a feed; nil removes them. They count once the partners are applied.
func (s *Service) list(feed string, partners []acceptance.Partner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if partners == nil {
		delete(s.listed, feed)
		return
	}
	of := s.listed[feed]
	of.partners = partners
	s.listed[feed] = of
}

// listedBy returns the partners that the feeds of a configuration list.
func (s *Service) listedBy(c Config) (all []acceptance.Partner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range c.Parties {
		all = append(all, s.listed[f.Name].partners...)
	}
	return all
}

// applyAgain applies the partners that feeds list now.
func (s *Service) applyAgain(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	err := s.apply(ctx, s.settings())
	if err != nil {
		s.behind = true // so that it is tried again in a second
	}
	return err
}

// measureFeeds updates the metrics of the feeds of counterparties.
func (s *Service) measureFeeds() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metrics.feedPartners.Reset()
	s.metrics.feedRead.Reset()
	for _, f := range s.config.Parties {
		of := s.listed[f.Name]
		s.metrics.feedPartners.WithLabelValues(f.Name).Set(float64(len(of.partners)))
		if !of.readAt.IsZero() {
			s.metrics.feedRead.WithLabelValues(f.Name).Set(float64(of.readAt.Unix()))
		}
	}
}

// round reads a feed once. What was listed stays accepted if that fails.
func (s *Service) round(ctx context.Context, c *feedSource) {
	changed, err := c.reader.Read(ctx)
	if changed {
		err = errors.Join(err, s.adopt(ctx, c))
	}
	hint, validUntil := c.reader.Hint()
	c.after(s.now(), hint, err)
	if ctx.Err() != nil { // the guard stops, or the feed has other settings now
		return
	}
	s.metrics.failed("feed", err)
	if err != nil {
		s.warn("feed "+c.Name, "cannot follow a feed completely: what is known stays accepted, and another attempt follows",
			"feed", c.Name, "error", err)
	} else {
		s.mu.Lock()
		of := s.listed[c.Name]
		of.readAt = s.now()
		s.listed[c.Name] = of
		s.mu.Unlock()
	}
	s.warnStale("feed", c.Name, validUntil, &c.warned)
	s.measure(ctx)
	c.reader.Report(ctx, c.accepted(s.guard.Partners()))
}

// accepted returns the generations that are accepted, by the ID of their entry.
func (c *feedSource) accepted(partners *acceptance.Partners) map[string][]int {
	all := map[string][]int{}
	for id, d := range c.reader.Documents() {
		for _, one := range d.Certificates {
			k, err := c.parsed.known(one)
			if p, known := partners.Holder(k.Fingerprint); err == nil && known && !slices.Contains(p.Declined, k.Body) {
				all[id] = append(all[id], one.Generation)
			}
		}
	}
	return all
}

// adopt makes the tenants in the documents of a feed the partners of it.
func (s *Service) adopt(ctx context.Context, c *feedSource) error {
	before := c.parsed
	partners, parsed, leftOut := before.tenants(c.Name, c.reader.Documents())
	if parsed == nil {
		return leftOut
	}
	c.parsed = parsed
	s.list(c.Name, partners)
	if err := s.applyAgain(ctx); err != nil {
		return err
	}
	if leftOut != nil {
		s.warn("entries of "+c.Name, "some entries of a feed are left out", "feed", c.Name, "error", leftOut)
	}
	joined, left := s.announceChanges(ctx, partners, before, parsed)
	s.log.Info("a feed has changed", "feed", c.Name, "tenants", len(partners), "certificates", len(parsed),
		"new", joined, "ended", left)
	debug.FreeOSMemory() // what reading the documents has used
	return nil
}

// mostAnnounced limits the certificates of a round that are announced one by one. Their number is always logged.
const mostAnnounced = 50

// announceChanges announces the certificates that are new in a feed, and returns the numbers of those that are new and
// that it does not list any more. When a feed is read for the first time, all of them are new, and none is announced.
func (s *Service) announceChanges(ctx context.Context, partners []acceptance.Partner,
	before, after parsing) (joined, left int) {
	for fingerprint := range before {
		if _, still := after[fingerprint]; !still {
			left++
		}
	}
	for _, p := range partners {
		for _, k := range p.Known {
			if _, known := before[k.Fingerprint]; known {
				continue
			}
			if joined++; joined > mostAnnounced || len(before) == 0 {
				continue
			}
			v := listedSighting(p, k, s.now())
			announce(s.log, v)
			if s.seen == nil {
				continue
			}
			if err := s.seen(ctx, v); err != nil {
				s.warn("seen", "cannot record in the service what a feed has announced", "partner", v.Partner, "error", err)
			}
		}
	}
	return joined, left
}
