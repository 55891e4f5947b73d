package follow

import (
	"context"
	"fmt"
	"net/http"

	"github.com/perennial-pki/perennial/internal/feed"
)

// A Reader reads a feed for a program that needs no files. It is used by one goroutine at a time.
type Reader struct{ follower Follower }

// NewReader returns a reader of a feed at an address.
func NewReader(address string, client *http.Client) (*Reader, error) {
	a, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	return &Reader{Follower{address: a, client: guarded(client)}}, nil
}

// Read fetches the document, unless it is still that of an ETag. It is verified, but may be older than one that was
// read before: compare [feed.Document.Sequence].
func (r *Reader) Read(ctx context.Context, etag string) (d feed.Document, newTag string, changed bool, err error) {
	got, err := r.follower.fetch(ctx, etag)
	if err != nil || got.unchanged {
		return d, etag, false, err
	}
	d, err = feed.Verify(got.signed, r.follower.address.secret, r.follower.address.thumbprint)
	if err != nil {
		return feed.Document{}, etag, false, r.follower.failed("read", err)
	}
	return d, got.etag, true, nil
}

// Report notifies the sender that generations are accepted.
func (r *Reader) Report(ctx context.Context, sequence uint64, generations []int, program string) error {
	return r.follower.report(ctx, installed{Sequence: sequence, Generations: generations, Program: program})
}

// OlderError returns the error about a document that is older than the last one.
func OlderError(got, last uint64) error {
	return fmt.Errorf("the feed has returned to sequence %d, older than %d: it is not used", got, last)
}
