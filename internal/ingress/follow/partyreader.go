package follow

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
)

// PartyConfig describes a reader of a counterparty's feed. All fields but Shrink are required.
type PartyConfig struct {
	Address string // of the feed: https://HOST/feeds/SECRET/THUMBPRINT/
	// State is the path of the state file. The documents are in a second file beside it.
	State string
	// Shrink accepts an index from which most entries have left at once.
	Shrink bool
	// Program names the program in reports to the sender.
	Program string

	Client *http.Client
	Now    func() time.Time
	Log    *slog.Logger
}

// A PartyReader reads the feed of a counterparty for a program that needs no files of a product. It promises for each
// entry what a [Follower] promises for its files. It is used by one goroutine, and by one process, at a time.
type PartyReader struct {
	follower Follower
	state    state
	before   *entries // those of another address, until the documents of this one are complete
}

// CheckParty returns why an address cannot be that of a feed. The error does not quote it.
func CheckParty(address string) error {
	_, err := parseAddress(address)
	return err
}

// OpenParty returns a reader with what it has read before. It fetches and writes nothing.
func OpenParty(c PartyConfig) (*PartyReader, error) {
	a, err := parseAddress(c.Address)
	if err != nil {
		return nil, err
	}
	if c.State == "" || c.Client == nil || c.Now == nil || c.Log == nil {
		return nil, errors.New("follow: the state file, the client, the clock or the log is missing")
	}
	p := &PartyReader{follower: Follower{address: a, state: c.State, shrink: c.Shrink, wait: sleep,
		client: guarded(c.Client), now: c.Now, log: c.Log, files: files{sync: syncFile}, reports: c.Program}}
	if p.state, err = p.follower.load(); err != nil {
		return nil, err
	}
	if p.state.entries == nil {
		if p.before, err = p.follower.loadEntries(); err != nil {
			return nil, err
		}
		p.follower.held = p.before != nil
	}
	return p, nil
}

// errSingle is returned for the feed of one arrangement.
var errSingle = errors.New("this is the feed of one arrangement, not that of a counterparty: use it as the feed of " +
	"a partner")

// Read executes a round: it fetches the index, and the pages and documents that have changed. changed reports whether
// [PartyReader.Documents] may differ from before, also if there is an error: documents that could not be read keep
// their last good state, and the others are up to date.
func (p *PartyReader) Read(ctx context.Context) (changed bool, err error) {
	f := &p.follower
	got, err := f.fetch(ctx, p.state.ETag)
	switch {
	case err != nil:
		return false, err
	case got.unchanged:
		return false, nil
	case !feed.IsIndex(got.signed):
		if _, err := feed.Verify(got.signed, f.address.secret, f.address.thumbprint); err != nil {
			return false, f.failed("read", err)
		}
		return false, f.failed("read", errSingle)
	}
	p.state.missing = nil
	before := p.state.entries
	if err := f.refreshIndex(ctx, &p.state, got); err != nil {
		return false, err
	}
	if p.state.entries == before {
		return false, p.state.missing
	}
	p.before, f.held = nil, false
	return true, p.state.missing
}

// Documents returns the last good document of each entry, by its ID. The caller does not change them.
func (p *PartyReader) Documents() map[string]feed.Document {
	of := p.before.all()
	if p.state.entries != nil {
		of = p.state.entries.of
	}
	all := make(map[string]feed.Document, len(of))
	for id, e := range of {
		all[id] = e.Document
	}
	return all
}

// Hint returns the period that the index suggests, and the end of its validity. Both are zero before it was read.
func (p *PartyReader) Hint() (period time.Duration, validUntil time.Time) {
	if p.state.index == nil {
		return 0, time.Time{}
	}
	return Hinted(p.state.index.RefreshHint), p.state.index.ValidUntil
}

// Report notifies the sender of the generations that are accepted, by the ID of their entry, unless it was notified of
// them before. A report that fails is logged, and repeated when Report is called again.
func (p *PartyReader) Report(ctx context.Context, generations map[string][]int) {
	if p.state.entries != nil {
		p.follower.reportEntries(ctx, &p.state, generations)
	}
}
