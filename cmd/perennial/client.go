package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/perennial-pki/perennial/internal/front/api"
)

// client is how commands reach a running service.
type client struct {
	URL    string `name:"url" default:"http://127.0.0.1:8080" env:"PERENNIAL_URL" help:"Where the service is."`
	Token  string `env:"PERENNIAL_TOKEN" help:"The token to use; better given as PERENNIAL_TOKEN."`
	CA     string `name:"ca" env:"PERENNIAL_CA" placeholder:"FILE" help:"CAs (PEM) to trust, for a service that uses --tls self."`
	Output string `enum:"table,json" default:"table" help:"table or json."`
}

// requestTimeout is generous: a run that an operator starts by hand is answered when it is done.
const requestTimeout = 10 * time.Minute

// send makes one request and reads the answer into out, where it is given. The header is the answer's.
func (c *client) send(method, path string, in, out any, headers ...string) (http.Header, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+"/api/v1"+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.Token == "" {
		return nil, fmt.Errorf("no token: set PERENNIAL_TOKEN (the first one is shown when the service starts for the " +
			"first time)")
	}
	r.Header.Set("Authorization", "Bearer "+c.Token)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	roots, err := readRoots("--ca", c.CA)
	if err != nil {
		return nil, err
	}
	if roots != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	res, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return nil, fmt.Errorf("the service at %s does not answer: %w", c.URL, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("the answer of %s was cut off: %w", c.URL, err)
	}
	if res.StatusCode >= 400 {
		return nil, refusal(res, data)
	}
	switch out := out.(type) {
	case nil:
	case *[]byte:
		*out = data
	default:
		if err := json.Unmarshal(data, out); err != nil {
			return nil, fmt.Errorf("%s is no Perennial, or of another version: %w", c.URL, err)
		}
	}
	return res.Header, nil
}

// refusal makes an error of a problem (RFC 9457).
func refusal(res *http.Response, data []byte) error {
	var problem huma.ErrorModel
	if json.Unmarshal(data, &problem) != nil || problem.Detail == "" {
		return fmt.Errorf("the service answered %s", res.Status)
	}
	text := problem.Detail
	if text == "validation failed" && len(problem.Errors) > 0 {
		text = ""
		for _, e := range problem.Errors {
			text += strings.TrimPrefix(e.Location, "body.") + ": " + e.Message + "; "
		}
		text = strings.TrimSuffix(text, "; ")
	}
	return fmt.Errorf("%s", text)
}

// all reads every page of a list.
func all[T any](c *client, path string) ([]T, error) {
	items := []T{}
	query := "?"
	if strings.Contains(path, "?") {
		query = "&"
	}
	for cursor := ""; ; {
		var page api.Page[T]
		if _, err := c.send(http.MethodGet, path+query+"limit=500&cursor="+url.QueryEscape(cursor), nil, &page); err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if cursor = page.Next; cursor == "" {
			return items, nil
		}
	}
}

// change reads a thing, changes it, and writes it back, unless somebody else changed it meanwhile.
func change[T any](c *client, path string, edit func(*T)) (T, error) {
	var v T
	header, err := c.send(http.MethodGet, path, nil, &v)
	if err != nil {
		return v, err
	}
	edit(&v)
	_, err = c.send(http.MethodPut, path, v, &v, "If-Match", header.Get("ETag"))
	return v, err
}

// remove deletes a thing.
func (c *client) remove(path string) error {
	header, err := c.send(http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	_, err = c.send(http.MethodDelete, path, nil, nil, "If-Match", header.Get("ETag"))
	return err
}

// show prints one thing: as JSON, or as lines of names and values.
func (c *client) show(e env, v any, lines ...any) error {
	if c.Output == "json" {
		return writeJSON(e.out, v)
	}
	for i := 0; i+1 < len(lines); i += 2 {
		if text := printable(fmt.Sprint(lines[i+1])); text != "" {
			fmt.Fprintf(e.out, "%-13s %s\n", lines[i], text)
		}
	}
	return nil
}

// list prints things: as JSON, or as a table; an empty table says what is not there.
func list[T any](c *client, e env, path, header, none string, cells func(T) []any) error {
	items, err := all[T](c, path)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(e.out, items)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(e.out, none)
		return err
	}
	return table(e.out, header, func(row func(...any)) {
		for _, v := range items {
			row(cells(v)...)
		}
	})
}

// when is moment, or "-" for an instant that has not come.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return moment(t)
}

// in is the path of something in a tenant.
func in(tenant string, parts ...string) string {
	path := "/tenants/" + url.PathEscape(tenant)
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}
