package guard

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/ingress/follow"
)

// feedsEvery is the time between two looks at which feeds are due.
const feedsEvery = time.Minute

// A schedule is the time of the next fetch of a feed. Its zero value is due.
type schedule struct {
	due      time.Time
	failures int // since the last success
}

// after sets the time of the next fetch after one with a result. hint is the period that the sender suggests.
func (s *schedule) after(now time.Time, hint time.Duration, err error) {
	s.failures++
	if err == nil {
		s.failures = 0
	}
	s.due = now.Add(follow.Pause(hint, s.failures, rand.Float64()))
}

// mostFetches limits the feeds that are fetched at the same time.
const mostFetches = 4

// A reading is the state of a feed between two fetches.
type reading struct {
	reader  *follow.Reader
	address string
	etag    string
	hint    time.Duration // the period that the sender suggests
	schedule
	warned time.Time // the ValidUntil of a document that is out of date
}

// readFeeds fetches the feeds of partners when they are due, until the context ends.
func (s *Service) readFeeds(ctx context.Context) {
	tick := time.NewTicker(feedsEvery)
	defer tick.Stop()
	known := map[string]*reading{}
	for {
		s.fetchDue(ctx, known)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// fetchDue fetches the feeds that are due.
func (s *Service) fetchDue(ctx context.Context, known map[string]*reading) {
	feeds := s.settings().Feeds
	for partner := range known {
		if feeds[partner] != known[partner].address {
			delete(known, partner)
		}
	}
	var all sync.WaitGroup
	places := make(chan struct{}, mostFetches)
	for partner, address := range feeds {
		r := known[partner]
		if r == nil {
			reader, err := follow.NewReader(address, &http.Client{})
			if err != nil { // the configuration was checked
				s.warn("feed of "+partner, "the address of a feed is not valid", "partner", partner, "error", err)
				continue
			}
			r = &reading{reader: reader, address: address}
			known[partner] = r
		}
		if s.now().Before(r.due) {
			continue
		}
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			s.fetch(ctx, partner, r)
		})
	}
	all.Wait()
}

// fetch fetches a feed. What was known stays known if that fails.
func (s *Service) fetch(ctx context.Context, partner string, r *reading) {
	err := s.readFeed(ctx, partner, r)
	s.metrics.failed("feed", err)
	if err != nil {
		s.warn("feed of "+partner, "cannot follow a feed: what is known stays accepted, and another attempt follows",
			"partner", partner, "error", err)
	}
	r.after(s.now(), r.hint, err)
}

// readFeed fetches a feed and accepts its certificates.
func (s *Service) readFeed(ctx context.Context, partner string, r *reading) error {
	d, etag, changed, err := r.reader.Read(ctx, r.etag)
	if err != nil || !changed {
		return err
	}
	last, err := s.state.sequence(ctx, partner)
	if err != nil {
		return err
	}
	if d.Sequence < last {
		return follow.OlderError(d.Sequence, last)
	}
	s.warnStale("partner", partner, d.ValidUntil, &r.warned)
	generations, err := s.acceptFeed(ctx, partner, d)
	if err != nil {
		return err
	}
	if err := s.state.fetched(ctx, partner, d.Sequence, s.now()); err != nil {
		return err
	}
	r.etag, r.hint = etag, follow.Hinted(d.RefreshHint)
	if err := r.reader.Report(ctx, d.Sequence, generations, "perennial guard"); err != nil {
		s.warn("report to "+partner, "cannot report to a feed what is accepted", "partner", partner, "error", err)
	}
	return nil
}

// warnStale warns once about a feed whose validity has ended. kind and name identify it. warned is the end of the
// validity about which a warning was logged last.
func (s *Service) warnStale(kind, name string, validUntil time.Time, warned *time.Time) {
	if validUntil.IsZero() || !s.now().After(validUntil) || warned.Equal(validUntil) {
		return
	}
	*warned = validUntil
	s.log.Warn("a feed is out of date: its sender has not signed it again", kind, name, "valid_until", validUntil)
}

// acceptFeed makes the certificates of a document known, and ends those that have left the feed, such as revoked ones.
// What a person has refused stays refused. It returns the generations that are accepted now.
func (s *Service) acceptFeed(ctx context.Context, partner string, d feed.Document) (generations []int, err error) {
	var was []byte
	var listed []Sighting
	taken := false // whether the feed of a counterparty lists one of them, too: this feed has precedence
	for _, c := range d.Certificates {
		parsed, err := c.Parsed()
		if err != nil {
			return nil, err
		}
		v := sighted(s.now(), parsed, acceptance.Decision{Outcome: acceptance.Accept, Partner: partner,
			Code: acceptance.Pinned, Reason: "the partner's feed lists it"})
		v.By, v.Was = byFeed, was
		k, isNew := acceptance.NewKnown(parsed), false
		err = s.guard.Change(func(all *acceptance.Partners) (*acceptance.Partners, error) {
			isNew = !all.Knows(partner, k)
			if !isNew {
				return all, nil
			}
			if holder, known := all.Holder(k.Fingerprint); known && holder.Source.Feed != "" {
				taken = true
				return all, nil
			}
			return all.WithKnown(partner, k)
		})
		if err != nil {
			return nil, err
		}
		if isNew {
			s.queue(v)
		}
		was = c.DER
		listed = append(listed, v)
		generations = append(generations, c.Generation)
	}
	s.store(ctx)
	changed, err := s.state.follow(ctx, partner, listed)
	if err == nil && (changed || taken) {
		s.reloading.Lock()
		defer s.reloading.Unlock()
		err = s.apply(ctx, s.settings())
	}
	return generations, err
}
