package feeds_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/feeds"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var check = testenv.Check

var start = time.Date(2026, 1, 15, 9, 10, 0, 0, time.UTC)

// A world is the tenant acme with one arrangement.
type world struct {
	*enginetest.Installation
	t           *testing.T
	url         string
	feeds       *feeds.Feeds
	acme        tenancy.Tenant
	arrangement tenancy.Arrangement
}

func each(t *testing.T, test func(w *world)) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) { test(newWorld(t, url)) })
}

func newWorld(t *testing.T, url string) *world {
	w := &world{t: t, url: url}
	w.Installation, _ = enginetest.New(t, url, start)
	w.acme = w.Tenant(t, "acme", start)
	w.arrangement = w.Arrangement(t, tenancy.Arrangement{TenantID: w.acme.ID, CreatedAt: start})
	w.feeds = w.replica(w.Store)
	return w
}

// replica returns the feeds of another replica of the service.
func (w *world) replica(s *store.Store) *feeds.Feeds {
	w.t.Helper()
	f, err := feeds.New(s, w.Engine.Rollovers(), w.Seal, slog.New(slog.DiscardHandler))
	check(w.t, err)
	return f
}

func (w *world) standing() standing.Standing {
	w.t.Helper()
	a, err := w.Store.ArrangementByID(w.t.Context(), w.arrangement.ID)
	check(w.t, err)
	s, err := w.Standing(w.t.Context(), w.Store.Reader, w.acme, a)
	check(w.t, err)
	return s
}

func (w *world) create(now time.Time) feeds.Address {
	w.t.Helper()
	a, err := w.feeds.Create(w.t.Context(), w.standing(), "alice", now)
	check(w.t, err)
	return a
}

func (w *world) read(a feeds.Address, now time.Time) feeds.Publication {
	w.t.Helper()
	p, err := w.feeds.Read(w.t.Context(), a, now)
	check(w.t, err)
	return p
}

// lists returns the content of a feed as text, such as "1 retired!, 2 active"; the mark is for what is about to be
// removed.
func lists(d feed.Document) string {
	var all []string
	for _, c := range d.Certificates {
		mark := ""
		if c.RemoveAfter != nil {
			mark = "!"
		}
		all = append(all, fmt.Sprint(c.Generation, " ", c.State, mark))
	}
	return strings.Join(all, ", ")
}

// renew replaces the newest generation.
func (w *world) renew(reason string, now time.Time) {
	w.t.Helper()
	_, err := w.RenewByHand(w.t.Context(), "acme", tenancy.ForTenant, reason, "operator", now)
	check(w.t, err)
}

func (w *world) events(action string) (all []tenancy.Event) {
	w.t.Helper()
	events, err := w.Store.Events(w.t.Context(), "acme", 0, 1000)
	check(w.t, err)
	return slices.DeleteFunc(events, func(e tenancy.Event) bool { return e.Action != action })
}

// A receiver that follows the feed knows each generation before it is presented, and no longer than it is valid.
func TestAFeedCarriesThreeRenewals(t *testing.T) {
	each(t, func(w *world) {
		address := w.create(start)
		next, active, last := map[int]time.Time{}, map[int]time.Time{}, map[int]feed.State{}
		var history []string
		sequence := uint64(0)
		for now := start; len(active) < 4; now = now.AddDate(0, 0, 4) {
			if now.After(start.AddDate(5, 0, 0)) {
				w.t.Fatalf("only %d generations were presented: %v", len(active), history)
			}
			check(w.t, w.Tick(w.t.Context(), now))
			p := w.read(address, now)
			signed, err := p.Sign(p.Document)
			check(w.t, err)
			d, err := feed.Verify(signed, address.Secret, address.Thumbprint)
			check(w.t, err)
			if text := lists(d); len(history) == 0 || history[len(history)-1] != text {
				if history = append(history, text); d.Sequence <= sequence {
					w.t.Errorf("the sequence goes from %d to %d", sequence, d.Sequence)
				}
			} else if d.Sequence != sequence {
				w.t.Errorf("%s: the sequence grows without a change", text)
			}
			sequence = d.Sequence
			presents := w.standing().Rollover.Presents
			for _, c := range d.Certificates {
				parsed, err := c.Parsed()
				check(w.t, err)
				if !now.Before(parsed.NotAfter) || (c.State == feed.Active) != (c.Generation == presents) {
					w.t.Errorf("%s: generation %d is %s, and %d is presented", now, c.Generation, c.State, presents)
				}
				if last[c.Generation] = c.State; c.State == feed.Next && next[c.Generation].IsZero() {
					next[c.Generation] = now
					w.accepts(c.Generation, now) // the receiver follows
				}
				if c.State == feed.Active && active[c.Generation].IsZero() {
					active[c.Generation] = now
				}
				verifies(w.t, parsed, d.CAs, now)
			}
		}
		for generation := 2; generation <= 4; generation++ {
			if next[generation].IsZero() || !next[generation].Before(active[generation]) {
				w.t.Errorf("generation %d was in the feed from %s, and presented from %s", generation, next[generation],
					active[generation])
			}
		}
		want := []string{"1 active", "1 active, 2 next", "1 retired, 2 active", "1 retired!, 2 active", "2 active"}
		if !slices.Equal(history[:5], want) {
			w.t.Errorf("the feed went through %q, want %q first", history, want)
		}
	})
}

// accepts stores a proof that the receiver accepts a generation.
func (w *world) accepts(generation int, now time.Time) {
	w.t.Helper()
	_, err := w.Observe(w.t.Context(), w.arrangement.ID, "test", []standing.Observation{{Evidence: rollover.Evidence{
		Generation: generation, Verdict: rollover.Accepted, By: rollover.Probe, At: now}}}, now)
	check(w.t, err)
}

// verifies fails unless the CAs of a feed verify a certificate.
func verifies(t *testing.T, c *x509.Certificate, cas [][]byte, now time.Time) {
	t.Helper()
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, der := range cas {
		ca, err := x509.ParseCertificate(der)
		check(t, err)
		if bytes.Equal(ca.RawIssuer, ca.RawSubject) {
			roots.AddCert(ca)
		} else {
			between.AddCert(ca)
		}
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("the CAs of the feed do not verify %s: %v", c.Subject, err)
	}
}

// The strategy immediate presents a generation without evidence, so it waits until a follower had time to fetch it.
func TestTheStrategyImmediateWaitsForFollowers(t *testing.T) {
	w := newWorld(t, storetest.Migrated.SQLite(t))
	a := w.standing().Arrangement
	a.Strategy = tenancy.Immediate
	check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.UpdateArrangement(t.Context(), a) }))
	now := start
	// waits returns the time between the next scheduled renewal and the first use of the new generation.
	waits := func() time.Duration {
		t.Helper()
		var issued time.Time
		for presents, until := w.standing().Rollover.Presents, now.AddDate(1, 1, 0); ; now = now.Add(12 * time.Hour) {
			if now.After(until) {
				t.Fatalf("generation %d is still presented on %s", presents, now)
			}
			check(t, w.Tick(t.Context(), now))
			s := w.standing()
			if issued.IsZero() && s.Certificates[len(s.Certificates)-1].Generation > presents {
				issued = now
			}
			if s.Rollover.Presents > presents {
				return now.Sub(issued)
			}
		}
	}
	address := w.create(now)
	if got := waits(); got != 0 {
		t.Errorf("without a follower, a generation is presented after %s", got)
	}
	check(t, w.feeds.RecordFetch(t.Context(), w.read(address, now), "follow", now))
	if got := waits(); got != 48*time.Hour {
		t.Errorf("with a follower, a generation is presented after %s", got)
	}
	check(t, w.feeds.Revoke(t.Context(), w.acme, w.arrangement, "alice", now))
	if got := waits(); got != 0 {
		t.Errorf("without the feed, a generation is presented after %s", got)
	}
}

func TestARevokedGenerationLeavesTheFeedAtOnce(t *testing.T) {
	each(t, func(w *world) {
		address := w.create(start)
		before := w.read(address, start)
		w.renew(lifecycle.Compromised, start.Add(time.Minute))
		after := w.read(address, start.Add(time.Minute))
		if lists(before.Document) != "1 active" || lists(after.Document) != "2 active" {
			w.t.Errorf("before %s, after %s", lists(before.Document), lists(after.Document))
		}
		if after.Document.Sequence <= before.Document.Sequence {
			w.t.Errorf("the sequence goes from %d to %d", before.Document.Sequence, after.Document.Sequence)
		}
	})
}

func TestACertificateThatExpiresSoonIsMarked(t *testing.T) {
	w := newWorld(t, storetest.Migrated.SQLite(t))
	address := w.create(start)
	until := w.Generation(t, w.acme.ID, 1).NotAfter
	for _, c := range []struct {
		before time.Duration
		want   string
	}{{tenancy.FeedSilence + time.Second, "1 active"}, {tenancy.FeedSilence, "1 active!"}} {
		d := w.read(address, until.Add(-c.before)).Document
		if got := lists(d); got != c.want {
			t.Errorf("%s before its expiry: %s", c.before, got)
		}
		if at := d.Certificates[0].RemoveAfter; at != nil && !at.Equal(until) {
			t.Errorf("it is removed after %s, want %s", at, until)
		}
	}
	if _, err := w.feeds.Read(t.Context(), address, until); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("without a valid certificate: %v", err)
	}
}

// Many renewals push out neither the presented generation nor the newest, and followers can read the document.
func TestAFeedIsBounded(t *testing.T) {
	w := newWorld(t, storetest.Migrated.SQLite(t))
	address := w.create(start)
	for i := range 40 {
		w.renew(lifecycle.Reissue, start.Add(time.Duration(i)*time.Second))
	}
	p := w.read(address, start.Add(time.Minute))
	signed, err := p.Sign(p.Document)
	check(t, err)
	d, err := feed.Verify(signed, address.Secret, address.Thumbprint)
	if err != nil || len(d.Certificates) != 32 || d.Certificates[0].State != feed.Active ||
		d.Certificates[1].Generation != 11 || p.Newest() != 41 {
		t.Errorf("%s, %v", lists(d), err)
	}
	// The index of a counterparty's feed leaves out the same ones.
	_, party := w.bank()
	digest, err := d.Digest()
	check(t, err)
	if entries, _ := w.index(w.feeds, party, start.Add(time.Minute)); len(entries) != 1 || entries[0].Digest != digest {
		t.Errorf("the index has %+v, want the digest %s", entries, digest)
	}
}

// Followers refuse a document that is too large. What is least likely to be accepted is left out instead.
func TestAFeedOfLargeCertificatesFitsIntoADocument(t *testing.T) {
	w := newWorld(t, storetest.Migrated.SQLite(t))
	for i := range 20 {
		w.renew(lifecycle.Reissue, start.Add(time.Duration(i)*time.Second))
	}
	var log strings.Builder
	logged, err := feeds.New(w.Store, w.Engine.Rollovers(), w.Seal, slog.New(slog.NewTextHandler(&log, nil)))
	check(t, err)
	address, err := logged.Create(t.Context(), w.standing(), "alice", start)
	check(t, err)
	large := func(size int) {
		_, err := w.Store.DB().ExecContext(t.Context(), "UPDATE certificates SET der = ?",
			testca.Padded(t, start, size))
		check(t, err)
	}
	for _, c := range []struct {
		size       int
		want       string
		lines, cas int
	}{
		{20 << 10, "1 active, 2 next", 0, 2}, // all 21
		{60 << 10, "1 active, 15 next", 1, 2},
		{250 << 10, "1 active, 21 next", 1, 2},
	} {
		large(c.size)
		log.Reset()
		for range 2 { // the second one is the same document
			p, err := logged.Read(t.Context(), address, start.Add(time.Minute))
			check(t, err)
			signed, err := p.Sign(p.Document)
			check(t, err)
			d, err := feed.Verify(signed, address.Secret, address.Thumbprint)
			check(t, err)
			if got := lists(d); !strings.HasPrefix(got, c.want) || !strings.HasSuffix(got, "21 next") || len(d.CAs) != c.cas {
				t.Errorf("%d bytes: %s, %d CAs", c.size, got, len(d.CAs))
			}
		}
		if got := strings.Count(log.String(), "left out of a feed"); got != c.lines {
			t.Errorf("%d bytes: %d lines are logged, want %d:\n%s", c.size, got, c.lines, &log)
		}
	}
	large(300 << 10)
	if _, err := logged.Read(t.Context(), address, start.Add(time.Minute)); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("two certificates that do not fit: %v", err)
	}
}

// The signature changes once an hour at most, so that caches can compare it.
func TestTheSignatureIsTheSameForAnHour(t *testing.T) {
	w := newWorld(t, storetest.Migrated.SQLite(t))
	address := w.create(start)
	sign := func(now time.Time) string {
		p := w.read(address, now)
		signed, err := p.Sign(p.Document)
		check(t, err)
		return signed
	}
	first := sign(start)
	if sign(start.Add(49*time.Minute)) != first {
		t.Error("it changes within the hour")
	}
	if sign(start.Add(50*time.Minute)) == first {
		t.Error("it does not change after the hour, so that the document never becomes stale")
	}
	d := w.read(address, start).Document
	if d.PublishedAt != start.Truncate(time.Hour) || d.ValidUntil != d.PublishedAt.AddDate(0, 0, 7) ||
		d.RefreshHint != 3600 {
		t.Errorf("%+v", d)
	}
}

func TestAnAddressThatIsNotValidReadsNothing(t *testing.T) {
	each(t, func(w *world) {
		refused := func(what string, a feeds.Address) {
			w.t.Helper()
			_, err := w.feeds.Read(w.t.Context(), a, start)
			if !errors.Is(err, tenancy.ErrNotFound) || !strings.HasPrefix(err.Error(), "there is no such feed") {
				w.t.Errorf("%s: %v", what, err)
			}
		}
		refused("before the first feed", feeds.Address{Secret: "x", Thumbprint: "y"})
		first := w.create(start)
		if len(first.Secret) != 43 || len(first.Thumbprint) != 43 {
			w.t.Errorf("%+v", first)
		}
		refused("another secret", feeds.Address{Secret: first.Secret + "A", Thumbprint: first.Thumbprint})
		refused("another key", feeds.Address{Secret: first.Secret, Thumbprint: first.Secret})
		if _, err := w.feeds.Create(w.t.Context(), w.standing(), "alice", start); !errors.Is(err, tenancy.ErrConflict) {
			w.t.Errorf("a second feed: %v", err)
		}
		sequence := w.read(first, start).Document.Sequence
		second, err := w.feeds.Readdress(w.t.Context(), w.standing(), "alice", start)
		check(w.t, err)
		refused("the former address", first)
		if got := w.read(second, start).Document.Sequence; got != sequence || second.Thumbprint != first.Thumbprint {
			w.t.Errorf("the new address has the sequence %d, want %d", got, sequence)
		}
		check(w.t, w.feeds.Revoke(w.t.Context(), w.acme, w.arrangement, "alice", start))
		refused("a revoked address", second)
		if err := w.feeds.Revoke(w.t.Context(), w.acme, w.arrangement, "alice", start); !errors.Is(err,
			tenancy.ErrNotFound) {
			w.t.Errorf("revoked again: %v", err)
		}
		later := start.Add(time.Second)
		if got := w.read(w.create(later), later).Document.Sequence; got <= sequence {
			w.t.Errorf("the feed was created again, and its sequence goes from %d to %d", sequence, got)
		}
		for action, want := range map[string]int{"feed.created": 2, "feed.readdressed": 1, "feed.revoked": 1} {
			if got := w.events(action); len(got) != want || got[0].Actor != "alice" {
				w.t.Errorf("%s: %+v", action, got)
			}
		}
	})
}

// A fetch is recorded once an hour and once for each generation, whatever the program calls itself.
func TestFetchingIsRecordedOnceAnHourAndForEachGeneration(t *testing.T) {
	each(t, func(w *world) {
		address := w.create(start)
		writes := 0
		fetch := func(program string, now time.Time) tenancy.FeedReport {
			w.t.Helper()
			p := w.read(address, now)
			check(w.t, w.feeds.RecordFetch(w.t.Context(), p, program, now))
			stored, err := w.Store.Feed(w.t.Context(), w.arrangement.ID)
			check(w.t, err)
			if stored.Fetched != p.Feed.Fetched {
				writes++
			}
			return stored.Fetched
		}
		first := fetch("curl/8.5", start)
		if first.Generation != 1 || first.Program != "curl/8.5" || !first.At.Equal(start) || first.Sequence == 0 {
			w.t.Errorf("%+v", first)
		}
		for i := range 30 {
			fetch(fmt.Sprint("curl ", i), start.Add(time.Duration(i)*time.Minute))
		}
		if writes != 1 {
			w.t.Errorf("31 fetches within the hour wrote %d times", writes)
		}
		w.renew(lifecycle.Reissue, start.Add(40*time.Minute))
		if got := fetch("follow", start.Add(41*time.Minute)); got.Generation != 2 || writes != 2 {
			w.t.Errorf("after a renewal: %+v, %d writes", got, writes)
		}
		if got := fetch("follow", start.Add(101*time.Minute)); got.Generation != 2 || writes != 3 {
			w.t.Errorf("an hour later: %+v, %d writes", got, writes)
		}
		events := w.events("feed.fetched")
		if len(events) != 2 || events[1].Actor != "feed of acme/erp" ||
			!strings.Contains(events[1].Detail, `"generation":2`) {
			w.t.Errorf("%+v", events)
		}
		if state := w.standing().Rollover; slices.ContainsFunc(state.Generations, func(g rollover.Generation) bool {
			return g.Verdict != rollover.Unknown || !g.ClaimedAt.IsZero()
		}) {
			w.t.Errorf("a fetch counts as evidence: %+v", state)
		}
	})
}

func TestAReportIsRecordedOnceAnHourAndForEachGeneration(t *testing.T) {
	each(t, func(w *world) {
		address := w.create(start)
		report := func(now time.Time, generations ...int) tenancy.FeedReport {
			w.t.Helper()
			check(w.t, w.feeds.RecordInstalled(w.t.Context(), w.read(address, now), tenancy.FeedReport{At: now, Sequence: 5,
				Program: "perennial follow/nginx"}, generations))
			stored, err := w.Store.Feed(w.t.Context(), w.arrangement.ID)
			check(w.t, err)
			return stored.Installed
		}
		if got := report(start, 7); !got.At.IsZero() {
			w.t.Errorf("a generation that does not exist is recorded: %+v", got)
		}
		want := tenancy.FeedReport{At: start, Sequence: 5, Generation: 1, Program: "perennial follow/nginx"}
		if got := report(start, 7, 1); got != want {
			w.t.Errorf("%+v", got)
		}
		if got := report(start.Add(time.Minute), 1); got != want {
			w.t.Errorf("again within the hour: %+v", got)
		}
		w.renew(lifecycle.Reissue, start.Add(2*time.Minute))
		if got := report(start.Add(3*time.Minute), 1, 2); got.Generation != 2 {
			w.t.Errorf("the next generation: %+v", got)
		}
		if got := w.events("feed.installed"); len(got) != 2 {
			w.t.Errorf("%+v", got)
		}
		// A receiver that went back reports the old generation only. What is stored is one report, not a mixture of two.
		if got := report(start.Add(30*time.Minute), 1); got.Generation != 2 || !got.At.Equal(start.Add(3*time.Minute)) {
			w.t.Errorf("the old generation within the hour: %+v", got)
		}
		later := start.Add(2 * time.Hour)
		if got := report(later, 1); got.Generation != 1 || !got.At.Equal(later) {
			w.t.Errorf("the old generation after the hour: %+v", got)
		}
		if got := w.events("feed.installed"); len(got) != 2 {
			w.t.Errorf("%+v", got)
		}
	})
}

// Replicas that read a changed feed at the same time give it one new sequence number, and one key.
func TestReplicasPublishOneSequenceAndOneKey(t *testing.T) {
	each(t, func(w *world) {
		other, err := store.Open(w.t.Context(), w.url)
		check(w.t, err)
		w.t.Cleanup(func() { other.Close() })
		replicas := []*feeds.Feeds{w.feeds, w.replica(other), w.replica(other), w.replica(w.Store)}
		address := w.create(start)
		for round := range 4 {
			now := start.Add(time.Duration(round) * time.Minute)
			if round > 0 {
				w.renew(lifecycle.Reissue, now)
			}
			got, errs := make([]uint64, len(replicas)), make([]error, len(replicas))
			var done sync.WaitGroup
			for i, f := range replicas {
				done.Go(func() {
					p, err := f.Read(w.t.Context(), address, now)
					got[i], errs[i] = p.Document.Sequence, errors.Join(err, f.RecordFetch(w.t.Context(), p, "test", now))
				})
			}
			done.Wait()
			check(w.t, errors.Join(errs...))
			if slices.Min(got) != slices.Max(got) {
				w.t.Errorf("round %d: %d", round, got)
			}
		}
		if got := w.events("feed.fetched"); len(got) != 4 {
			w.t.Errorf("%d events for 4 generations", len(got))
		}
	})
}

func TestTheKeyOfTheFeedsIsSealedAndResealed(t *testing.T) {
	w := newWorld(t, storetest.Migrated.SQLite(t))
	n, err := lifecycle.Reseal(t.Context(), w.Store, w.Seal, func(int) {})
	check(t, err)
	if n != 0 {
		t.Errorf("%d keys without a feed", n)
	}
	address := w.create(start)
	keys := func() int {
		check(t, w.Seal.Rotate(t.Context()))
		n, err := lifecycle.Reseal(t.Context(), w.Store, w.Seal, func(int) {})
		check(t, err)
		return n
	}
	before, err := w.Store.Setting(t.Context(), "feed_key")
	check(t, err)
	count := keys()
	after, err := w.Store.Setting(t.Context(), "feed_key")
	check(t, err)
	if before == "" || before == after || count < 3 {
		t.Errorf("%d keys were sealed again, and that of the feeds changed: %v", count, before != after)
	}
	if n, err := lifecycle.Reseal(t.Context(), w.Store, w.Seal, func(int) {}); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
	if _, err := w.replica(w.Store).Read(t.Context(), address, start); err != nil {
		t.Errorf("the address does not read after a rotation: %v", err)
	}
	for what, value := range map[string]string{"damaged": "!", "sealed with another key": "AAAA"} {
		check(t, w.Store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.SetSetting(t.Context(), "feed_key", value)
		}))
		if _, err := w.replica(w.Store).Read(t.Context(), address, start); err == nil || errors.Is(err,
			tenancy.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := lifecycle.Reseal(t.Context(), w.Store, w.Seal, func(int) {}); err == nil {
			t.Errorf("%s: it is resealed", what)
		}
	}
}

func TestAFeedReturnsTheErrorOfEachStatement(t *testing.T) {
	n := storetest.EachFault(t, func(t *testing.T) (*store.Store, func() error) {
		w := newWorld(t, storetest.Migrated.SQLite(t))
		s := w.standing()
		return w.Store, func() error {
			address, err := w.feeds.Create(t.Context(), s, "alice", start)
			if err != nil {
				return err
			}
			p, err := w.feeds.Read(t.Context(), address, start)
			if err != nil {
				return err
			}
			if err := w.feeds.RecordFetch(t.Context(), p, "test", start); err != nil {
				return err
			}
			if err := w.feeds.RecordInstalled(t.Context(), p, tenancy.FeedReport{At: start}, []int{1}); err != nil {
				return err
			}
			if _, err := w.feeds.Readdress(t.Context(), s, "alice", start); err != nil {
				return err
			}
			return w.feeds.Revoke(t.Context(), w.acme, w.arrangement, "alice", start)
		}
	})
	if n < 20 {
		t.Errorf("only %d statements", n)
	}
}

func TestTheNameOfAProgramIsBoundedAndPrintable(t *testing.T) {
	for name, want := range map[string]string{
		"perennial follow/nginx":      "perennial follow/nginx",
		"":                            "a program without a name",
		"\x1b[31mred\x00\r\n":         "[31mred",
		"x\xffy":                      "xy",
		strings.Repeat("a", 5000):     strings.Repeat("a", 100),
		strings.Repeat("ä", 60):       strings.Repeat("ä", 50),
		"a" + strings.Repeat("ä", 60): "a" + strings.Repeat("ä", 49),
	} {
		if got := feeds.Program(name); got != want {
			t.Errorf("%.20q: %q", name, got)
		}
	}
}

func TestFeedsNeedAllTheirDependencies(t *testing.T) {
	if _, err := feeds.New(nil, nil, nil, nil); err == nil {
		t.Error("nothing is missed")
	}
}
