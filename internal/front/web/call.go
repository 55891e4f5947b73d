package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/a-h/templ"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/tenancy"
)

// A refusal is an error that the page shows to the reader: an answer of the API, or the console's own.
type refusal struct {
	Status int
	Detail string
}

func (r *refusal) Error() string { return r.Detail }

// An invalidForm is a refusal because of single fields.
type invalidForm struct {
	refusal *refusal
	fields  []client.FieldError
}

func (e *invalidForm) Error() string { return e.refusal.Detail }

func (e *invalidForm) Unwrap() error { return e.refusal }

// invalid refuses the value of one field of a form.
func invalid(field, detail string) error {
	return &invalidForm{&refusal{http.StatusUnprocessableEntity, detail}, []client.FieldError{{Field: field,
		Message: detail}}}
}

// refused returns a refusal for an API error on which the reader can act. Other errors stay as they are: they are
// logged, and the page shows no details.
func refused(err error) error {
	var e *client.Error
	if errors.As(err, &e) && e.Detail != "" &&
		(e.Status < http.StatusInternalServerError || e.Status == http.StatusServiceUnavailable) {
		r := &refusal{e.Status, e.Error()}
		if len(e.Fields) > 0 {
			return &invalidForm{r, e.Fields}
		}
		return r
	}
	return err
}

// caller returns the request's context with the rights of the account that is signed in.
func (v *view) caller() context.Context {
	a := v.account
	return principal.With(words.With(v.ctx(), v.lang), tenancy.Token{Name: a.Name, Role: a.Role, TenantID: a.TenantID,
		Tenant: a.Tenant, KeyUserID: a.KeyUserID, KeyUser: a.KeyUser, Origin: a.Origin})
}

// do calls the API with the rights of the account that is signed in, and returns the answer as it is.
func (c *console) do(v *view, r client.Request) (client.Answer, error) {
	answer, err := c.api.Do(v.caller(), r)
	return answer, refused(err)
}

// get reads one thing.
func get[T any](c *console, v *view, path string) (T, error) {
	out, err := client.Get[T](v.caller(), c.api, path)
	return out, refused(err)
}

// post creates something, or runs an action.
func post[T any](c *console, v *view, path string, body any) (T, error) {
	out, err := client.Post[T](v.caller(), c.api, path, body)
	return out, refused(err)
}

// change reads a thing, edits it and writes it back, unless it was changed in between.
func change[T any](c *console, v *view, path string, edit func(*T)) error {
	_, err := client.Change(v.caller(), c.api, path, func(thing *T) error { edit(thing); return nil })
	return refused(err)
}

// mostRows is the number of rows that a page shows of a list. The rest is on the next page.
const mostRows = 100

// paged reads the page of a list that the reader asks for.
func paged[T any](c *console, v *view, path string) (client.Page[T], error) {
	out, err := client.ListPage[T](v.caller(), c.api, path, v.r.URL.Query().Get("from"), mostRows)
	return out, refused(err)
}

// next returns the address of the page after this one, with the same filters.
func (v *view) next(cursor string) string {
	q, path := v.r.URL.Query(), v.r.URL.Path
	if v.page != "" { // the page of a form that is shown again
		path = v.page
	}
	q.Set("from", cursor)
	return path + "?" + q.Encode()
}

// mailTo returns the link with which a mail to an address is written. Characters such as ? are escaped: an address that
// a stranger has named could add recipients otherwise (RFC 6068, section 2).
func mailTo(address string) templ.SafeURL { return templ.SafeURL("mailto:" + url.PathEscape(address)) }

// in returns the path of something in a tenant: the API and the pages use the same paths.
func in(tenant string, parts ...string) string { return client.TenantPath(tenant, parts...) }

func escape(s string) string { return url.QueryEscape(s) }
