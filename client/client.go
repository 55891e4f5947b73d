// Package client calls the API of a Perennial service, over HTTP or in the same process, and holds the types of its
// requests and answers.
//
// A path is that of the API without its prefix, such as "/tenants" or [TenantPath]("acme", "arrangements"). The API's
// description (docs/openapi.json) lists them with the type that each takes and returns. A refused request returns an
// [*Error] with the service's explanation. The package links neither the database nor the engine.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// prefix is the path of this version of the API.
const prefix = "/api/v1"

// Config describes how to reach a service.
type Config struct {
	URL   string // of the service, such as https://perennial.example.com
	Token string // sent with every request; empty for the endpoints that need none
	// Roots are the CAs to verify the service's certificate with; nil for the CAs of the system.
	Roots *x509.CertPool
	// Transport replaces HTTP over the network, for example with [Handler]. Roots must be nil then.
	Transport http.RoundTripper
	Timeout   time.Duration // of one request; zero for none
}

// A Client calls one service. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// New returns a client of the service that the configuration describes. It does not connect yet.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not the URL of a service: write one such as https://perennial.example.com", c.URL)
	}
	transport := c.Transport
	switch {
	case c.Timeout < 0:
		return nil, fmt.Errorf("client: the timeout %v is negative", c.Timeout)
	case transport != nil && c.Roots != nil:
		return nil, errors.New("client: Roots and Transport exclude each other: set the CAs in the transport")
	case c.Roots != nil:
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.TLSClientConfig = &tls.Config{RootCAs: c.Roots}
		transport = own
	case transport == nil:
		transport = http.DefaultTransport
	}
	return &Client{base: strings.TrimSuffix(c.URL, "/"), token: c.Token,
		http: &http.Client{Transport: transport, Timeout: c.Timeout}}, nil
}

// Request is one request to the API.
type Request struct {
	Method, Path string
	Body         any    // sent as JSON; nil for none
	IfMatch      string // ETag of the version that the request changes
	// IdempotencyKey makes a POST safe to repeat within 24 hours.
	IdempotencyKey string
}

// Answer is the answer to a successful request.
type Answer struct {
	Header http.Header
	Body   []byte
}

// ETag returns the version of what was read, for [Request].IfMatch.
func (a Answer) ETag() string { return a.Header.Get("ETag") }

// Do sends a request and returns the answer as it is, for example a file. It returns an [*Error] if the service refuses
// the request.
func (c *Client) Do(ctx context.Context, in Request) (Answer, error) {
	var body io.Reader
	if in.Body != nil {
		data, err := json.Marshal(in.Body)
		if err != nil {
			return Answer{}, fmt.Errorf("%s %s: %w", in.Method, in.Path, err)
		}
		body = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, in.Method, c.base+prefix+in.Path, body)
	if err != nil {
		return Answer{}, err
	}
	for name, value := range map[string]string{"If-Match": in.IfMatch, "Idempotency-Key": in.IdempotencyKey} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	if in.Body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return Answer{}, fmt.Errorf("the service at %s does not answer: %w", c.base, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return Answer{}, fmt.Errorf("the answer of %s was cut off: %w", c.base, err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		return Answer{}, c.readError(res, data)
	}
	return Answer{Header: res.Header, Body: data}, nil
}

// Send sends a request and decodes the answer. An empty answer leaves v as it is.
func Send[T any](ctx context.Context, c *Client, in Request) (v T, err error) {
	v, _, err = send[T](ctx, c, in)
	return v, err
}

func send[T any](ctx context.Context, c *Client, in Request) (v T, etag string, err error) {
	answer, err := c.Do(ctx, in)
	if err != nil || len(answer.Body) == 0 {
		return v, answer.ETag(), err
	}
	if err := json.Unmarshal(answer.Body, &v); err != nil {
		return v, "", fmt.Errorf("%s %s: %s is not a Perennial service, or one of another version: %w", in.Method, in.Path,
			c.base, err)
	}
	return v, answer.ETag(), nil
}

// Get reads one thing.
func Get[T any](ctx context.Context, c *Client, path string) (T, error) {
	return Send[T](ctx, c, Request{Method: http.MethodGet, Path: path})
}

// GetVersion reads one thing and the ETag of its version.
func GetVersion[T any](ctx context.Context, c *Client, path string) (v T, etag string, err error) {
	return send[T](ctx, c, Request{Method: http.MethodGet, Path: path})
}

// Post creates something in a list, or runs an action. body is nil if the endpoint takes none.
func Post[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	return Send[T](ctx, c, Request{Method: http.MethodPost, Path: path, Body: body})
}

// Put replaces the version that has the ETag. It returns an [*Error] of status 412 if another version is current.
func Put[T any](ctx context.Context, c *Client, path, etag string, body any) (T, error) {
	return Send[T](ctx, c, Request{Method: http.MethodPut, Path: path, Body: body, IfMatch: etag})
}

// Change reads a thing, edits it and writes it back. It writes nothing if edit fails, and returns an [*Error] of status
// 412 if the thing was changed in between.
func Change[T any](ctx context.Context, c *Client, path string, edit func(*T) error) (T, error) {
	v, etag, err := GetVersion[T](ctx, c, path)
	if err != nil {
		return v, err
	}
	if err := edit(&v); err != nil {
		return v, err
	}
	return Put[T](ctx, c, path, etag, v)
}

// Delete deletes a thing that has no version, such as a token.
func (c *Client) Delete(ctx context.Context, path string) error {
	_, err := c.Do(ctx, Request{Method: http.MethodDelete, Path: path})
	return err
}

// DeleteCurrent deletes the current version of a thing. It returns an [*Error] of status 412 if the thing was changed
// in between.
func (c *Client) DeleteCurrent(ctx context.Context, path string) error {
	current, err := c.Do(ctx, Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return err
	}
	_, err = c.Do(ctx, Request{Method: http.MethodDelete, Path: path, IfMatch: current.ETag()})
	return err
}

// LongestPage is the largest number of items in a page of a list.
const LongestPage = 500

// ListPage reads one page of a list, of at most limit items. cursor is Next of the page before, and empty for the first
// page. path may have a query.
func ListPage[T any](ctx context.Context, c *Client, path, cursor string, limit int) (Page[T], error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return Get[Page[T]](ctx, c, path+separator+query.Encode())
}

// List reads all pages of a list. path may have a query.
func List[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	items := []T{}
	for cursor := ""; ; {
		page, err := ListPage[T](ctx, c, path, cursor, LongestPage)
		if err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if cursor = page.Next; cursor == "" {
			return items, nil
		}
	}
}

// TenantPath returns the path of something that belongs to a tenant, such as TenantPath("acme", "receivers", "erp").
func TenantPath(tenant string, parts ...string) string {
	return joined("/tenants/"+url.PathEscape(tenant), parts)
}

// joined appends the parts of a path, escaped.
func joined(path string, parts []string) string {
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}
