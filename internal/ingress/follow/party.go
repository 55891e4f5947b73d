package follow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
)

const (
	// indexTries limits the attempts to read an index that changes while it is read.
	indexTries = 3
	// If more than fewGone entries, and more than half of them, leave the index at once, they are kept. An operator at
	// the sender may have ended their links by mistake.
	fewGone = 10
)

// errMoved means that the index has changed while its pages were read.
var errMoved = errors.New("the index changes faster than it can be read")

// errOther is returned for a document that differs from the one in the index. It may have changed in the meantime.
var errOther = errors.New("a document is not the one that the index names")

// errNotThere is returned for a resource that the sender does not have.
var errNotThere = errors.New("status 404")

// refreshIndex replaces the entries of a state by those of a signed index. Entries whose documents cannot be read keep
// the last good ones, and s.missing states that.
func (f *Follower) refreshIndex(ctx context.Context, s *state, got fetched) error {
	pace := f.paced(1)
	have := s.entries
	for try := 1; ; try++ {
		index, err := feed.VerifyIndex(got.signed, f.address.secret, f.address.thumbprint)
		if err != nil {
			return fmt.Errorf("the feed at %s: %w", f.address.host(), err)
		}
		if index.Sequence < s.Sequence {
			return f.older(index.Sequence, s.Sequence)
		}
		next, err := f.entriesOf(ctx, have, index, pace)
		switch {
		case err == nil && (!next.moved || try == indexTries):
			return f.adopt(s, got, index, next)
		case err == nil:
			have = next
		case !errors.Is(err, errMoved) || try == indexTries:
			return err
		}
		if err := pace.next(ctx); err != nil {
			return err
		}
		if got, err = f.fetch(ctx, ""); err != nil {
			return err
		}
	}
}

// adopt stores the entries of an index. The ETag is left out if something is missing, so that the next round tries
// again. If no earlier documents are known either, such as after a change of the address, incomplete entries are
// refused. They would remove certificates from files that have them already.
func (f *Follower) adopt(s *state, got fetched, index feed.Index, next *entries) error {
	if next.missing != nil && s.entries == nil && f.filled() {
		return fmt.Errorf("no earlier documents are known, so the files stay as they are until all documents can be read: %w",
			next.missing)
	}
	if err := f.saveEntries(next); err != nil {
		return err
	}
	s.missing = next.missing
	s.Sequence, s.ETag, s.Signed, s.document, s.index, s.entries = index.Sequence, got.etag, got.signed, nil, &index, next
	if next.missing != nil {
		s.ETag = ""
	}
	return f.save(*s)
}

// entriesOf returns the entries of an index. Pages and documents that have not changed are taken from the old ones.
func (f *Follower) entriesOf(ctx context.Context, old *entries, index feed.Index, pace *pacer) (*entries, error) {
	next := newEntries()
	var listed []feed.Entry
	size := 0
	for n, digest := range index.Pages {
		text, known := old.page(digest)
		if !known {
			if err := pace.next(ctx); err != nil {
				return nil, err
			}
			data, err := f.get(ctx, "pages/"+strconv.Itoa(n), nil, feed.MaxPage)
			if errors.Is(err, errNotThere) {
				err = errMoved
			}
			if err != nil {
				return nil, err
			}
			text = string(data)
		}
		part, err := feed.ReadPage([]byte(text), digest)
		if errors.Is(err, feed.ErrPage) {
			return nil, fmt.Errorf("the feed at %s: %w", f.address.host(), errMoved)
		} else if err != nil {
			return nil, fmt.Errorf("the feed at %s: %w", f.address.host(), err)
		}
		if size += len(text); size > maxPages || len(listed)+len(part) > index.Entries {
			return nil, fmt.Errorf("the feed at %s: the pages of the index have more than %d MiB, or more than its %d entries",
				f.address.host(), maxPages>>20, index.Entries)
		}
		next.Pages[digest] = text
		listed = append(listed, part...)
	}
	ids := map[string]bool{}
	for _, e := range listed {
		ids[e.ID] = true
	}
	if len(listed) != index.Entries || len(ids) != index.Entries {
		return nil, fmt.Errorf("the feed at %s: the pages of the index have %d entries, %d of them with different IDs, "+
			"instead of %d", f.address.host(), len(listed), len(ids), index.Entries)
	}
	if err := f.documentsOf(ctx, old, next, listed, pace); err != nil {
		return nil, err
	}
	return next, nil
}

// documentsOf completes the entries with their documents. Only those that have changed are fetched.
func (f *Follower) documentsOf(ctx context.Context, old, next *entries, listed []feed.Entry, pace *pacer) error {
	wanted := map[string]feed.Entry{}
	var ids []string
	for _, e := range listed {
		last, known := old.entry(e.ID)
		if known {
			last.Left = false
			if err := next.put(e.ID, last); err != nil {
				return err
			}
		}
		if e.Digest != "" && (!known || last.Digest != e.Digest) {
			wanted[e.ID], ids = e, append(ids, e.ID)
		}
	}
	var failed error
	for len(ids) > 0 {
		part := ids[:min(len(ids), feed.MaxDocuments)]
		got, err := f.documents(ctx, part, pace)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			failed = err
			break
		}
		for _, signed := range got {
			e, asked := wanted[signed.ID]
			if !asked {
				continue
			}
			if err := f.accept(next, e, signed.Document); err != nil {
				failed, next.moved = err, next.moved || errors.Is(err, errOther)
			}
			delete(wanted, signed.ID)
		}
		before := len(ids)
		answered := len(got) > 0
		ids = slices.DeleteFunc(ids, func(id string) bool {
			_, open := wanted[id]
			return !open || !answered && slices.Contains(part, id)
		})
		if len(ids) == before {
			break // the answer has nothing of what was asked for
		}
	}
	next.missing = f.missing(old, next, listed, failed)
	return nil
}

// accept verifies the document of an entry, and adds it.
func (f *Follower) accept(next *entries, e feed.Entry, signed string) error {
	d, err := feed.Verify(signed, feed.EntrySecret(f.address.secret, e.ID), f.address.thumbprint)
	if err != nil {
		return err
	}
	digest, err := d.Digest()
	switch last := next.of[e.ID]; {
	case err != nil:
		return err
	case digest != e.Digest:
		return errOther
	case d.Sequence < last.Document.Sequence:
		return OlderError(d.Sequence, last.Document.Sequence)
	default:
		return next.put(e.ID, entry{Digest: digest, Document: d, Reported: last.Reported})
	}
}

// missing returns the error about entries that are not up to date, and keeps those that have left together.
func (f *Follower) missing(old, next *entries, listed []feed.Entry, failed error) error {
	names := make(map[string]bool, len(listed))
	late := 0
	for _, e := range listed {
		names[e.ID] = true
		if e.Digest != "" && next.of[e.ID].Digest != e.Digest {
			late++
		}
	}
	var all []error
	if late > 0 {
		if failed == nil {
			failed = errors.New("the sender did not return them")
		}
		all = append(all, fmt.Errorf("the feed at %s: %d of %d documents are not up to date, and the last good ones are "+
			"kept: %w", f.address.host(), late, len(listed), failed))
	}
	var gone []string
	kept := false // some have left before
	for id, e := range old.all() {
		if !names[id] {
			gone, kept = append(gone, id), kept || e.Left
		}
	}
	before := len(old.all())
	if (kept || len(gone) > fewGone && 2*len(gone) > before) && !f.shrink {
		for _, id := range gone {
			e := old.of[id]
			e.Left = true
			if err := next.put(id, e); err != nil {
				all = append(all, fmt.Errorf("the feed at %s: an entry that left cannot be kept: %w", f.address.host(), err))
			}
		}
		all = append(all, fmt.Errorf("the feed at %s: %d of %d entries have left the index at once, so their certificates "+
			"are kept: ask the sender whether that is right, and then run this once with --shrink", f.address.host(), len(gone),
			before))
	}
	return errors.Join(all...)
}

// documents fetches the documents of some entries.
func (f *Follower) documents(ctx context.Context, ids []string, pace *pacer) ([]feed.SignedDocument, error) {
	if err := pace.next(ctx); err != nil {
		return nil, err
	}
	// A document of the largest size can follow the last one that fits.
	data, err := f.get(ctx, "documents", url.Values{"id": ids}, feed.MaxDocumentsSize+2*feed.MaxSize)
	if err != nil {
		return nil, err
	}
	var answer feed.SignedDocuments
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, fmt.Errorf("the feed at %s: the answer with the documents cannot be read: %w", f.address.host(), err)
	}
	return answer.Documents, nil
}

// get fetches a resource below the address. If the sender asks for a pause, it is made once.
func (f *Follower) get(ctx context.Context, name string, query url.Values, limit int64) ([]byte, error) {
	for paused := false; ; paused = true {
		data, wait, err := f.getOnce(ctx, name, query, limit)
		if wait == 0 || paused {
			return data, err
		}
		if err := f.wait(ctx, min(wait, mostWait)); err != nil {
			return nil, err
		}
	}
}

// getOnce fetches a resource. wait is the pause after which the sender would answer; 0 if there is none.
func (f *Follower) getOnce(ctx context.Context, name string, query url.Values, limit int64) (data []byte,
	wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address.below(name), nil)
	if err != nil {
		return nil, 0, f.failed("fetch", err)
	}
	req.URL.RawQuery = query.Encode()
	req.Header.Set("Accept", "application/json")
	res, err := f.send(req)
	if err != nil {
		return nil, 0, f.failed("fetch", err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusTooManyRequests {
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		wait = time.Duration(min(max(seconds, 1), int(mostWait/time.Second))) * time.Second
	}
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, 0, f.failed("fetch", errNotThere)
	default:
		return nil, wait, f.failed("fetch", fmt.Errorf("status %d", res.StatusCode))
	}
	if data, err = readAll(res.Body, limit); err != nil {
		return nil, 0, f.failed("fetch", err)
	}
	return data, 0, nil
}
