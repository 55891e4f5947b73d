package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/perennial-pki/perennial/internal/front/api"
	"github.com/perennial-pki/perennial/tenancy"
)

// A refusal is the API's answer where it did not do what was asked.
type refusal struct {
	Status int
	Detail string
}

func (r *refusal) Error() string { return r.Detail }

// answer keeps what the API writes.
type answer struct {
	header http.Header
	status int
	bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// call asks the API in the name of who is signed in, and reads its answer into out, where that is given.
func (c *console) call(v *view, method, path string, in, out any, headers ...string) (http.Header, error) {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return nil, err
		}
	}
	a := v.account
	ctx := api.WithPrincipal(v.ctx(), tenancy.Token{Name: a.Name, Role: a.Role, TenantID: a.TenantID, Tenant: a.Tenant,
		KeyUserID: a.KeyUserID, KeyUser: a.KeyUser})
	r, err := http.NewRequestWithContext(ctx, method, "/api/v1"+path, &body)
	if err != nil {
		return nil, err
	}
	r.RequestURI = r.URL.RequestURI()
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	got := &answer{header: http.Header{}}
	c.API.ServeHTTP(got, r)
	if got.status >= 400 {
		return nil, refused(got)
	}
	if data, ok := out.(*[]byte); ok {
		*data = got.Bytes()
	} else if out != nil {
		if err := json.Unmarshal(got.Bytes(), out); err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	return got.header, nil
}

func refused(a *answer) error {
	var p huma.ErrorModel
	if err := json.Unmarshal(a.Bytes(), &p); err != nil || p.Detail == "" {
		return fmt.Errorf("the API answered %d", a.status)
	}
	if a.status >= 500 && a.status != http.StatusServiceUnavailable {
		return fmt.Errorf("the API answered %d: %s", a.status, p.Detail)
	}
	text := p.Detail
	if text == "validation failed" {
		var parts []string
		for _, e := range p.Errors {
			parts = append(parts, strings.TrimPrefix(e.Location, "body.")+": "+e.Message)
		}
		text = strings.Join(parts, "; ")
	}
	return &refusal{a.status, text}
}

// get reads one thing.
func get[T any](c *console, v *view, path string) (out T, err error) {
	_, err = c.call(v, http.MethodGet, path, nil, &out)
	return out, err
}

// change reads a thing, changes it, and writes it back, unless somebody else changed it meanwhile.
func change[T any](c *console, v *view, path string, edit func(*T)) error {
	var thing T
	header, err := c.call(v, http.MethodGet, path, nil, &thing)
	if err != nil {
		return err
	}
	edit(&thing)
	_, err = c.call(v, http.MethodPut, path, thing, nil, "If-Match", header.Get("ETag"))
	return err
}

// mostRows bounds what a page shows of a list; the rest is on the next page.
const mostRows = 100

// paged reads the page of a list that the reader asks for.
func paged[T any](c *console, v *view, path string) (out api.Page[T], err error) {
	query := url.Values{"limit": {fmt.Sprint(mostRows)}}
	if cursor := v.r.URL.Query().Get("from"); cursor != "" {
		query.Set("cursor", cursor)
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return get[api.Page[T]](c, v, path+separator+query.Encode())
}

// next is the address of the page after this one, which keeps the filters.
func (v *view) next(cursor string) string {
	q := v.r.URL.Query()
	q.Set("from", cursor)
	return v.r.URL.Path + "?" + q.Encode()
}

// in is the path of something in a tenant, for the API and for pages alike.
func in(tenant string, parts ...string) string {
	path := "/tenants/" + url.PathEscape(tenant)
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

func escape(s string) string { return url.QueryEscape(s) }
