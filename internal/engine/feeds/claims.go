package feeds

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// recordEvery limits how often a repeated claim is stored.
const recordEvery = time.Hour

// mostProgram limits the name of a program, in bytes: the program chooses it.
const mostProgram = 100

// RecordFetch records that the certificates of the publication were fetched. The first fetch of a generation is an
// audit event. It writes nothing if the same generation was fetched within the last hour.
func (f *Feeds) RecordFetch(ctx context.Context, p Publication, program string, now time.Time) error {
	return f.record(ctx, p, claim{
		action: "feed.fetched", last: func(of tenancy.Feed) tenancy.FeedReport { return of.Fetched },
		write: func(ctx context.Context, tx *store.Tx, arrangementID string, r tenancy.FeedReport) error {
			if err := p.place.fetched(ctx, tx, arrangementID, r); err != nil {
				return err
			}
			return follow(ctx, tx, arrangementID, r.At)
		},
	}, tenancy.FeedReport{At: now, Sequence: p.Feed.Sequence, Generation: p.Newest(), Program: Program(program)})
}

// follow stores that the receiver of an arrangement follows its feed, unless that is known. It does not if at is zero.
func follow(ctx context.Context, tx *store.Tx, arrangementID string, at time.Time) error {
	a, err := tx.LockArrangement(ctx, arrangementID)
	if err != nil || a.Learned.FollowedAt.IsZero() == at.IsZero() {
		return err
	}
	a.Learned.FollowedAt = at
	return tx.SetLearned(ctx, arrangementID, a.Learned)
}

// RecordInstalled records that a follower reports generations as installed: the newest of them. It limits its writes as
// [Feeds.RecordFetch] does. Generations that are not published are ignored.
func (f *Feeds) RecordInstalled(ctx context.Context, p Publication, r tenancy.FeedReport, generations []int) error {
	for _, c := range p.Document.Certificates {
		if slices.Contains(generations, c.Generation) {
			r.Generation = c.Generation
		}
	}
	if r.Generation == 0 {
		return nil
	}
	r.Program = Program(r.Program)
	return f.record(ctx, p, claim{
		action: "feed.installed", last: func(of tenancy.Feed) tenancy.FeedReport { return of.Installed },
		write: p.place.installed,
	}, r)
}

// A claim is one of the two kinds of reports.
type claim struct {
	action string // of the audit event
	last   func(tenancy.Feed) tenancy.FeedReport
	write  func(ctx context.Context, tx *store.Tx, arrangementID string, r tenancy.FeedReport) error
}

// record stores a report if it is due, with an event if it is about a newer generation than the last one. What is
// stored is the latest report as it is: a receiver that went back to an older generation reports that one.
func (f *Feeds) record(ctx context.Context, p Publication, c claim, r tenancy.FeedReport) error {
	due := func(last tenancy.FeedReport) bool {
		return r.Generation > last.Generation || r.At.Sub(last.At) >= recordEvery
	}
	if !due(c.last(p.Feed)) {
		return nil
	}
	return f.store.InTx(ctx, func(tx *store.Tx) error {
		current, err := p.place.lock(ctx, tx)
		if err != nil {
			return unknown(err)
		}
		last := c.last(current)
		if !due(last) { // another request was faster
			return nil
		}
		first := r.Generation > last.Generation
		if err := c.write(ctx, tx, current.ArrangementID, r); err != nil || !first {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(r.At, p.Actor(), c.action, p.Standing.Tenant.Name, p.Standing.Name(),
			map[string]any{"generation": r.Generation, "sequence": r.Sequence, "program": r.Program}))
	})
}

// Program returns the name of a program for display: at most 100 bytes that can be printed.
func Program(name string) string {
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, name[:min(len(name), 4*mostProgram)]))
	if len(name) > mostProgram {
		name = strings.ToValidUTF8(name[:mostProgram], "")
	}
	if name == "" {
		return "a program without a name"
	}
	return name
}
