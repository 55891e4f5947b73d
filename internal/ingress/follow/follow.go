// Package follow keeps a receiver's configuration in step with a feed: it fetches the feed, writes the certificates in
// the form that a product reads, has the product check and reload its configuration, and reports back.
//
// It promises that a file holds the certificates of a document that the feed's key has signed for the feed's address,
// never of an older one than the last. A file is replaced as a whole and never left empty. If the feed is away or
// wrong, or if the product does not accept the new files, the old files stay. They come back even if the process ends
// in between, with the next round. A reload that failed is repeated. It does not promise that the document is the
// newest: whoever controls the connection can withhold a newer one, which is reported when the document's validity
// ends.
//
// At the address of a counterparty's feed is an index with an entry for each arrangement. The promise then holds for
// each entry: its last good document stays until the index names another one. An entry leaves when a signed and newer
// index does not name it. The signature covers the number of entries and, by their digests, the pages and the
// documents, so a cut index is not valid. An index without entries is not valid either.
//
// The steps of a round are: lock, fetch, render, save the old files in the state file, write and rename each file,
// check, apply ConfigMaps, reload, and report. The state file is written before each step that an interruption must not
// hide.
package follow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
)

// commandTime limits each command. The check and the reload together stay below the 90 s that systemd waits for a
// service to stop.
const commandTime = 40 * time.Second

// A Runner runs a command line and returns the beginning of its output.
type Runner func(ctx context.Context, command string) (output string, err error)

// Config describes a follower. All fields without a default are required.
type Config struct {
	Address string // of the feed: https://HOST/feeds/SECRET/THUMBPRINT/
	Outputs []Output
	Check   string // command that checks the product's configuration; "" for none
	Then    string // command that reloads the product; "" for none
	State   string // path of the state file; default: beside the first file
	// Every is the period, from a minute to a day; 0 for the one that the feed suggests.
	Every time.Duration
	// Shrink accepts an index from which most entries have left at once.
	Shrink bool
	// Kubernetes is the API server for outputs that are ConfigMaps; nil if there are none.
	Kubernetes *Kubernetes

	Client *http.Client
	Run    Runner
	Now    func() time.Time
	Log    *slog.Logger
}

// An Output is a rendering and the place to which it is written.
type Output struct {
	Format Format
	Target Target
}

// A Follower follows one feed. It is used by one goroutine.
type Follower struct {
	address address
	outputs []Output
	check   string
	then    string
	state   string
	every   time.Duration
	shrink  bool
	wait    func(ctx context.Context, d time.Duration) error // replaced by tests
	api     *Kubernetes
	client  *http.Client
	run     Runner
	now     func() time.Time
	log     *slog.Logger
	files   files
	reports string // names the program in reports; "" for perennial follow with its formats
	held    bool   // reports that there are earlier documents, although the state has none
}

// New returns a follower. It reads and writes nothing.
func New(c Config) (*Follower, error) {
	a, err := parseAddress(c.Address)
	if err != nil {
		return nil, err
	}
	if len(c.Outputs) == 0 {
		return nil, errors.New("nothing to write: name a format and a path")
	}
	if c.Client == nil || c.Run == nil || c.Now == nil || c.Log == nil {
		return nil, errors.New("follow: the client, the runner, the clock or the log is missing")
	}
	if c.Every != 0 && (c.Every < minPause || c.Every > maxPause) {
		return nil, fmt.Errorf("invalid period %v: use %v to %v", c.Every, minPause, maxPause)
	}
	f := &Follower{address: a, outputs: slices.Clone(c.Outputs), check: c.Check, then: c.Then, state: c.State,
		every: c.Every, shrink: c.Shrink, wait: sleep, api: c.Kubernetes, client: guarded(c.Client), run: c.Run,
		now: c.Now, log: c.Log,
		files: files{sync: syncFile}}
	return f, f.places()
}

// places checks the targets of the outputs, and sets the path of the state file.
func (f *Follower) places() error {
	seen := map[Target]bool{}
	for _, o := range f.outputs {
		if o.Format.render == nil || o.Target == (Target{}) {
			return errors.New("follow: an output lacks its format or its target")
		}
		if seen[o.Target] {
			return fmt.Errorf("%s is written twice: use one path for each format", o.Target)
		}
		seen[o.Target] = true
		if o.Target.ConfigMap != "" && f.api == nil {
			return fmt.Errorf("%s: there is no Kubernetes API server to write it to", o.Target)
		}
		if f.state == "" && o.Target.Path != "" {
			f.state = beside(o.Target.Path, "json")
		}
	}
	switch first := f.paths(); {
	case f.state == "":
		return errors.New("a ConfigMap has no folder for the state file: name a file that outlives the container (--state)")
	case f.check != "" && len(first) == 0:
		return errors.New("a check needs the new file in place, and only ConfigMaps are written: check them where they are " +
			"mounted")
	case slices.Contains(first, f.state):
		return fmt.Errorf("%s is both an output and the state file: use two paths", f.state)
	}
	return nil
}

// paths returns the files that are written.
func (f *Follower) paths() (all []string) {
	for _, o := range f.outputs {
		if o.Target.Path != "" {
			all = append(all, o.Target.Path)
		}
	}
	return all
}

// Once executes one round. Afterwards the outputs are up to date and the product has reloaded, or an error states which
// of both is not the case.
func (f *Follower) Once(ctx context.Context) error {
	held, err := f.lock()
	if err != nil {
		return err
	}
	defer held.release()
	_, err = f.round(ctx)
	return err
}

// Follow executes rounds until ctx is done. A round that has begun to write is finished first. The error is that of the
// lock, which another follower can take if its file is deleted; failures of a round are logged.
func (f *Follower) Follow(ctx context.Context) error {
	held, err := f.lock()
	if err != nil {
		return err
	}
	defer held.release()
	failures := 0
	for {
		if err := held.keep(); err != nil {
			return err
		}
		hint, err := f.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			failures++
			f.log.Error("the round failed", "error", err)
		} else {
			failures = 0
		}
		timer := time.NewTimer(Pause(cmp.Or(f.every, hint), failures, rand.Float64()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// round brings the outputs up to date. hint is the period that the feed suggests; 0 if it is not known.
func (f *Follower) round(ctx context.Context) (hint time.Duration, err error) {
	s, err := f.load()
	if err != nil {
		return 0, err
	}
	if err := f.rollBack(&s); err != nil {
		return 0, err
	}
	away := f.refresh(ctx, &s)
	refreshHint, validUntil, known := s.freshness()
	if !known {
		return 0, away
	}
	hint = Hinted(refreshHint)
	if now := f.now(); now.After(validUntil) {
		f.log.Warn("the feed's document is stale: check the sender, or what caches the feed", "host", f.address.host(),
			"valid_until", validUntil.UTC())
	}
	if away != nil && !s.Pending { // the document that is written may be withdrawn, or the feed may be back soon
		return hint, away
	}
	// What has begun is finished: a stop between the files and the reload would leave them apart.
	return hint, errors.Join(away, s.missing, f.install(context.WithoutCancel(ctx), &s))
}

// refresh replaces the document of a state by the feed's present one.
func (f *Follower) refresh(ctx context.Context, s *state) error {
	got, err := f.fetch(ctx, s.ETag)
	if err != nil {
		return err
	}
	if got.unchanged {
		return nil
	}
	if feed.IsIndex(got.signed) {
		return f.refreshIndex(ctx, s, got)
	}
	d, err := feed.Verify(got.signed, f.address.secret, f.address.thumbprint)
	if err != nil {
		return fmt.Errorf("the feed at %s: %w", f.address.host(), err)
	}
	if d.Sequence < s.Sequence {
		return f.older(d.Sequence, s.Sequence)
	}
	s.Sequence, s.ETag, s.Signed, s.document = d.Sequence, got.etag, got.signed, &d
	return f.save(*s)
}

// older returns the error about a document or an index that is older than the last one.
func (f *Follower) older(got, last uint64) error {
	return fmt.Errorf("the feed at %s is at sequence %d, after %d: an old copy is served, so it is not used",
		f.address.host(), got, last)
}
