package follow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
)

const (
	requestTime  = 30 * time.Second
	maxRedirects = 3
	maxETag      = 256
	agent        = "perennial-follow"
)

// guarded returns a copy of a client that follows redirects only within a host, and gives up after a time.
func guarded(c *http.Client) *http.Client {
	copied := *c
	copied.Timeout = requestTime
	copied.Jar = nil
	copied.CheckRedirect = func(next *http.Request, before []*http.Request) error {
		from := before[0].URL
		if next.URL.Scheme != from.Scheme || next.URL.Host != from.Host {
			return errors.New("it redirects to another host, which is not followed: ask the sender for the new address")
		}
		if len(before) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	}
	return &copied
}

// fetched is an answer of a feed.
type fetched struct {
	unchanged    bool // the document is that of the ETag
	signed, etag string
}

// fetch gets the signed document, unless it is still that of an ETag.
func (f *Follower) fetch(ctx context.Context, etag string) (got fetched, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address.below(documentName), nil)
	if err != nil {
		return got, f.failed("fetch", err)
	}
	req.Header.Set("Accept", "application/jose")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	res, err := f.send(req)
	if err != nil {
		return got, f.failed("fetch", err)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotModified && etag != "":
		return fetched{unchanged: true}, nil
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusGone:
		return got, f.failed("fetch", fmt.Errorf("status %d: it does not exist at this address any more, so ask the sender "+
			"for the new one", res.StatusCode))
	case res.StatusCode == http.StatusServiceUnavailable:
		return got, f.failed("fetch", fmt.Errorf("status %d: the sender is not available, or has no certificate for this "+
			"address yet: try again later, or ask the sender", res.StatusCode))
	case res.StatusCode != http.StatusOK:
		return got, f.failed("fetch", fmt.Errorf("status %d", res.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, feed.MaxSize+1))
	if err != nil {
		return got, f.failed("fetch", err)
	}
	if got.etag = res.Header.Get("ETag"); len(got.etag) > maxETag {
		got.etag = ""
	}
	got.signed = string(bytes.TrimSpace(body))
	return got, nil
}

// installed is the report of a follower, a wire format.
type installed struct {
	Sequence    uint64 `json:"sequence"`
	Generations []int  `json:"generations"`
	Program     string `json:"program"`
}

// report notifies the sender that this receiver accepts generations: those of an [installed], or of a [feed.Report].
func (f *Follower) report(ctx context.Context, r any) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.address.below("installed"), bytes.NewReader(body))
	if err != nil {
		return f.failed("report to", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := f.send(req)
	if err != nil {
		return f.failed("report to", err)
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		return f.failed("report to", fmt.Errorf("status %d", res.StatusCode))
	}
	return nil
}

func (f *Follower) send(req *http.Request) (*http.Response, error) {
	req.Header.Set("User-Agent", agent)
	return f.client.Do(req)
}

// failed returns an error about the feed without the URL, which contains a secret.
func (f *Follower) failed(operation string, err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
		if strings.Contains(err.Error(), "Location") { // it quotes the address
			err = errors.New("the answer redirects to an address that cannot be read")
		}
	}
	return fmt.Errorf("%s the feed at %s: %w", operation, f.address.host(), err)
}
