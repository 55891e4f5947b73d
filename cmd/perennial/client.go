package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// remote holds the flags of commands that call a running service.
type remote struct {
	URL    string `name:"url" default:"http://127.0.0.1:8080" env:"PERENNIAL_URL" help:"Address of the service."`
	Token  string `env:"PERENNIAL_TOKEN" help:"The token to use; better set as PERENNIAL_TOKEN."`
	CA     string `name:"ca" env:"PERENNIAL_CA" placeholder:"FILE" help:"CAs (PEM) to trust, for a service that uses --tls self."`
	Output string `enum:"table,json" default:"table" help:"table or json."`
}

// requestTimeout is generous, because the request that starts a run manually is answered when the run has finished.
const requestTimeout = 10 * time.Minute

// connect returns the client that the flags describe.
func (c *remote) connect() (*client.Client, error) {
	if c.Token == "" {
		return nil, misused("no token: set PERENNIAL_TOKEN (the first one is shown when the service starts for the " +
			"first time)")
	}
	roots, err := certfile.ReadRoots(c.CA)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	api, err := client.New(client.Config{URL: c.URL, Token: c.Token, Roots: roots, Timeout: requestTimeout})
	if err != nil {
		return nil, misused("--url: %w", err)
	}
	return api, nil
}

// exchange sends one request and returns the answer as it is.
func (c *remote) exchange(r client.Request) (client.Answer, error) {
	api, err := c.connect()
	if err != nil {
		return client.Answer{}, err
	}
	return api.Do(context.Background(), r)
}

// send sends one request and decodes the answer.
func send[T any](c *remote, r client.Request) (v T, err error) {
	api, err := c.connect()
	if err != nil {
		return v, err
	}
	return client.Send[T](context.Background(), api, r)
}

func get[T any](c *remote, path string) (T, error) {
	return send[T](c, client.Request{Method: http.MethodGet, Path: path})
}

func post[T any](c *remote, path string, body any) (T, error) {
	return send[T](c, client.Request{Method: http.MethodPost, Path: path, Body: body})
}

func put[T any](c *remote, path, etag string, body any) (T, error) {
	return send[T](c, client.Request{Method: http.MethodPut, Path: path, Body: body, IfMatch: etag})
}

// all reads every page of a list.
func all[T any](c *remote, path string) ([]T, error) {
	api, err := c.connect()
	if err != nil {
		return nil, err
	}
	return client.List[T](context.Background(), api, path)
}

// change reads a thing, edits it and writes it back, unless it was changed in between.
func change[T any](c *remote, path string, edit func(*T) error) (v T, err error) {
	api, err := c.connect()
	if err != nil {
		return v, err
	}
	return client.Change(context.Background(), api, path, edit)
}

// remove deletes a thing, and prints that it is done.
func (c *remote) remove(e env, path, done string) error {
	api, err := c.connect()
	if err != nil {
		return err
	}
	if err := api.DeleteCurrent(context.Background(), path); err != nil {
		return err
	}
	return c.done(e, done)
}

// carry sends a request whose answer has nothing to show, and prints that it is done.
func (c *remote) carry(e env, method, path string, body any, done string) error {
	if _, err := c.exchange(client.Request{Method: method, Path: path, Body: body}); err != nil {
		return err
	}
	return c.done(e, done)
}

// done prints what a command has done.
func (c *remote) done(e env, text string) error {
	if c.Output == "json" {
		return writeJSON(e.out, map[string]string{"done": text})
	}
	_, err := fmt.Fprintln(e.out, printable(text))
	return err
}

// deliver writes a file of the service: to a path, or to standard output without one.
func (c *remote) deliver(e env, path string, data []byte) error {
	switch {
	case path != "":
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
		return c.done(e, path+" is written.")
	case c.Output == "json":
		return misused("--output json cannot print a file: write it with -o FILE, or leave out --output json")
	}
	_, err := e.out.Write(data)
	return err
}

// show prints one thing: as JSON, or as lines of names and values.
func (c *remote) show(e env, v any, lines ...any) error {
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

// listing holds the flags of commands that list things.
type listing struct {
	remote
	Limit count `default:"1000" help:"Maximum number of lines; 0 for all."`
}

// queried holds the flags of commands that list things of which some can be chosen.
type queried struct {
	listing
	Query string `placeholder:"TEXT" field:"q" help:"Only what contains this text; of tenants, tokens and accounts, those whose name begins with it."`
}

// search adds the flags to a path of the API, and filters: names and values, of which empty ones are left out.
func (c *queried) search(path string, filters ...string) string {
	return withQuery(path, append(filters, "q", c.Query)...)
}

// searched holds the flags of commands that list things in several orders.
type searched struct {
	queried
	Sort string `placeholder:"ORDER" help:"Order, such as created or name. A minus sign reverses it: --sort=-name."`
}

func (c *searched) search(path string, filters ...string) string {
	return c.queried.search(path, append(filters, "sort", c.Sort)...)
}

// withQuery adds parameters to a path of the API: names and values, of which empty ones are left out.
func withQuery(path string, parameters ...string) string {
	query := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		if parameters[i+1] != "" {
			query.Set(parameters[i], parameters[i+1])
		}
	}
	switch {
	case len(query) == 0:
		return path
	case strings.Contains(path, "?"):
		return path + "&" + query.Encode()
	}
	return path + "?" + query.Encode()
}

// none returns the text for an empty list.
func (c *queried) none(text string) string {
	if c.Query != "" {
		return "Nothing fits " + strconv.Quote(c.Query) + "."
	}
	return text
}

// list prints things as JSON, or as a table, page by page. Instead of an empty table it prints none.
func list[T any](c *listing, e env, path, header, none string, cells func(T) []any) error {
	api, err := c.connect()
	if err != nil {
		return err
	}
	print, end := func(items []T) error {
		err := table(e.out, header, func(row func(...any)) {
			for _, v := range items {
				row(cells(v)...)
			}
		})
		header = ""
		return err
	}, func() error { return nil }
	if c.Output == "json" {
		out := &jsonArray[T]{w: e.out}
		print, end, none = out.add, out.end, "[]"
	}
	shown, cursor := 0, ""
	for {
		page, err := client.ListPage[T](context.Background(), api, path, cursor, c.next(shown))
		if err != nil {
			return err
		}
		shown, cursor = shown+len(page.Items), page.Next
		more := cursor != "" && (c.Limit == 0 || shown < int(c.Limit))
		if shown == 0 && !more {
			_, err := fmt.Fprintln(e.out, none)
			return err
		}
		if err := print(page.Items); err != nil {
			return err
		}
		if more {
			continue
		}
		if cursor != "" {
			fmt.Fprintf(e.err, "perennial: only the first %d are listed; --limit 0 lists all\n", shown)
		}
		return end()
	}
}

// next returns the size of the page after a number of lines.
func (c *listing) next(shown int) int {
	if c.Limit == 0 {
		return client.LongestPage
	}
	return min(client.LongestPage, int(c.Limit)-shown)
}

// A jsonArray writes an array element by element.
type jsonArray[T any] struct {
	w     io.Writer
	begun bool
}

func (a *jsonArray[T]) add(items []T) error {
	for _, v := range items {
		before := ","
		if !a.begun {
			before, a.begun = "[", true
		}
		var data bytes.Buffer
		if err := writeJSON(&data, v); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(a.w, "%s%s", before, bytes.TrimRight(data.Bytes(), "\n")); err != nil {
			return err
		}
	}
	return nil
}

func (a *jsonArray[T]) end() error {
	_, err := fmt.Fprintln(a.w, "]")
	return err
}

// when formats an instant as moment does, or "-" for the zero time.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return moment(t)
}

// in returns the API's path of something in a tenant.
func in(tenant string, parts ...string) string { return client.TenantPath(tenant, parts...) }
