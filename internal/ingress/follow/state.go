package follow

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
)

// maxState limits a state file: the signed document and the old files, in base64.
const maxState = 512 << 20

// state is kept from one round to the next, in a file with mode 0600.
type state struct {
	// Feed and Thumbprint are the ID of the feed's address and the thumbprint of its key. The state of another address
	// does not apply to this one.
	Feed       string `json:"feed"`
	Thumbprint string `json:"thumbprint"`
	Sequence   uint64 `json:"sequence"` // of the newest document so far
	ETag       string `json:"etag,omitempty"`
	Signed     string `json:"signed,omitempty"` // the newest document, which is verified whenever it is read
	// Unfinished are the files that a round was about to replace. They come back if it does not finish.
	Unfinished []savedFile `json:"unfinished,omitempty"`
	// Pending is set from before the files are replaced until the reload has succeeded.
	Pending bool `json:"pending,omitempty"`
	// Applied is the digest of what the ConfigMaps contain.
	Applied string `json:"applied,omitempty"`
	// Reported is the last report that the sender has received.
	Reported *installed `json:"reported,omitempty"`

	document *feed.Document // that of Signed; nil if there is none
	index    *feed.Index    // that of Signed, if it is the feed of a counterparty
	entries  *entries       // of the index
	missing  error          // states which entries are not up to date; nil if all are
}

// freshness returns the times of the document or the index; known is false if there is none.
func (s *state) freshness() (refreshHint int, validUntil time.Time, known bool) {
	switch {
	case s.index != nil:
		return s.index.RefreshHint, s.index.ValidUntil, true
	case s.document != nil:
		return s.document.RefreshHint, s.document.ValidUntil, true
	}
	return 0, time.Time{}, false
}

// A savedFile is a file as it was before it was replaced.
type savedFile struct {
	Path    string `json:"path"`
	Missing bool   `json:"missing,omitempty"`
	Data    []byte `json:"data,omitempty"`
}

// load reads the state file. A damaged one is replaced: the next document is verified anyway, and the product checks
// and reloads it again. The protection against an older document is lost once.
func (f *Follower) load() (s state, err error) {
	fresh := state{Feed: feed.ID(f.address.secret), Thumbprint: f.address.thumbprint}
	info, err := os.Lstat(f.state)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fresh, nil
	case err != nil:
		return s, fmt.Errorf("read the state file: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxState:
		return s, fmt.Errorf("the state file %s is not a regular file of a follower: name another one", f.state)
	}
	data, err := os.ReadFile(f.state)
	if err != nil {
		return s, fmt.Errorf("read the state file: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		f.log.Warn("the state file cannot be read, and is replaced", "file", f.state)
		fresh.Pending = true
		return fresh, nil
	}
	if s.Feed != fresh.Feed || s.Thumbprint != fresh.Thumbprint { // the address has changed, and with it the count
		fresh.Unfinished, fresh.Pending = s.Unfinished, s.Pending
		return fresh, nil
	}
	if s.Signed == "" {
		return s, nil
	}
	if feed.IsIndex(s.Signed) {
		return f.loadIndex(s)
	}
	d, err := feed.Verify(s.Signed, f.address.secret, f.address.thumbprint)
	if err != nil {
		f.log.Warn("the document in the state file is damaged, and is fetched again", "file", f.state)
		s.Signed, s.ETag = "", ""
		return s, nil
	}
	s.document = &d
	return s, nil
}

// loadIndex completes a state with its index and the entries. If one of them is damaged, both are fetched again.
func (f *Follower) loadIndex(s state) (state, error) {
	index, err := feed.VerifyIndex(s.Signed, f.address.secret, f.address.thumbprint)
	if err != nil {
		f.log.Warn("the document in the state file is damaged, and is fetched again", "file", f.state)
		s.Signed, s.ETag = "", ""
		return s, nil
	}
	if s.entries, err = f.loadEntries(); err != nil {
		return s, err
	}
	if s.entries == nil {
		s.ETag = ""
		return s, nil
	}
	s.index = &index
	return s, nil
}

// save replaces the state file.
func (f *Follower) save(s state) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := f.files.replace(f.state, data, stateMode); err != nil {
		return fmt.Errorf("save the state: %w", err)
	}
	return nil
}

// rollBack restores the files of a round that was interrupted before the product had checked them.
func (f *Follower) rollBack(s *state) error {
	if len(s.Unfinished) == 0 {
		return nil
	}
	if err := f.restore(s.Unfinished); err != nil {
		return err
	}
	f.log.Warn("the last round was interrupted: the files are as they were before it")
	s.Unfinished = nil
	return f.save(*s)
}

// restore brings files back. Those that are not outputs any more are left alone.
func (f *Follower) restore(saved []savedFile) error {
	var failed []error
	for _, old := range saved {
		if !slices.Contains(f.paths(), old.Path) {
			continue
		}
		var err error
		if !old.Missing {
			err = f.files.replace(old.Path, old.Data, fileMode)
		} else if err = os.Remove(old.Path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("restore the old content: %w", err))
		}
	}
	return errors.Join(failed...)
}
