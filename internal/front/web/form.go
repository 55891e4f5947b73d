package web

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/perennial-pki/perennial/client"
)

// formPages names the page of each form with fields: the pattern of the page by that of the form. If the input is
// refused, or if the session has ended, the page is shown again with what was typed.
var formPages = map[string]string{
	"POST /account":                                                "/account",
	"POST /account/password":                                       "/account",
	"POST /authorities/install":                                    "/authorities",
	"POST /counterparties":                                         "/counterparties",
	"POST /counterparty-proposals/{host}/accept":                   "/counterparties",
	"POST " + partyPages:                                           partyPages,
	"POST " + partyPages + "/contacts":                             partyPages,
	"POST " + partyLinkPages + "/contacts":                         partyLinkPages,
	"POST " + partyLinkPages + "/product":                          partyLinkPages,
	"POST /imports":                                                importsPath,
	"POST /tenants":                                                "/tenants",
	"POST /tokens":                                                 "/tokens",
	"POST /webhooks":                                               "/webhooks",
	"POST /webhooks/{webhook}":                                     "/webhooks/{webhook}",
	"POST " + tenantPages + "/webhooks/{webhook}":                  tenantPages + "/webhooks/{webhook}",
	"POST " + tenantPages + "/arrangements":                        tenantPages + "/new-arrangement",
	"POST /test-rounds":                                            "/tenants",
	"POST /worklist/links":                                         "/tenants",
	"POST " + tenantPages + "/arrangements/{arrangement}":          tenantPages + "/arrangements/{arrangement}/edit",
	"POST " + tenantPages + "/arrangements/{arrangement}/strategy": tenantPages + "/arrangements/{arrangement}",
	"POST " + tenantPages + "/certificates/{purpose}/renew":        tenantPages + "/certificates",
	"POST " + tenantPages + "/certificates/{purpose}/{generation}/revoke": tenantPages + "/certificates",
	"POST " + tenantPages + "/contacts":                                   tenantPages + "/people",
	"POST " + tenantPages + "/scope":                                      tenantPages + "/scope",
	"POST " + tenantPages + "/tasks/{task}":                               tenantPages + "/tasks",
	"POST " + tenantPages + "/people":                                     tenantPages + "/people",
	"POST " + tenantPages + "/people/{user}":                              tenantPages + "/people/{user}",
	"POST " + tenantPages + "/administrators/{receiver}":                  tenantPages + "/administrators/{receiver}",
	"POST " + tenantPages + "/requests/{request}/answer":                  tenantPages + "/certificates",
	"POST " + tenantPages + "/watched":                                    tenantPages + "/watched",
	"POST " + tenantPages + "/webhooks":                                   tenantPages + "/webhooks",
	"POST " + partyPages + "/webhooks":                                    partyPages + "/webhooks",
	"POST " + partyPages + "/webhooks/{webhook}":                          partyPages + "/webhooks/{webhook}",
	"POST " + tenantPages + "/watched/{watched}/certificates":             tenantPages + "/watched/{watched}",
}

// unkept are the fields that never leave the request in which they were sent, because they hold secrets.
var unkept = []string{"password", "passwords", "old", "new", "token", "authorization", "routing_key"}

// unsaved are the fields that are not kept until the reader has signed in, because they may hold secrets: the URL of a
// webhook often is one.
var unsaved = []string{"url"}

// A sentForm is a form that was sent and is shown again with what was typed.
type sentForm struct {
	action  string
	values  url.Values // without secrets
	title   string     // what failed; empty if nothing did
	problem string     // why
	faults  []client.FieldError
	stale   bool // another person has changed the same thing in the meantime
}

// A form is the state of one form of a page. The zero value is a form that was not sent yet.
type form struct{ sent *sentForm }

// form returns the state of the form with an action.
func (v *view) form(action string) form {
	if v.sent == nil || v.sent.action != action {
		return form{}
	}
	return form{v.sent}
}

// again reports whether the form was sent before.
func (f form) again() bool { return f.sent != nil }

// problem returns why the form was refused; "" if it was not.
func (f form) problem() string {
	if f.sent == nil {
		return ""
	}
	return f.sent.problem
}

// value returns what was typed into a field, or else its stored value.
func (f form) value(name, stored string) string {
	if f.sent == nil || !f.sent.values.Has(name) {
		return stored
	}
	return f.sent.values.Get(name)
}

// version returns the ETag of the version on which the form is based. After a conflict that is the stored one, which
// the reader has now seen.
func (f form) version(stored string) string {
	if f.sent == nil || f.sent.stale {
		return stored
	}
	return f.value("etag", stored)
}

// checked reports whether a box is checked: by the reader, or else as it is stored.
func (f form) checked(name, value string, stored bool) bool {
	if f.sent == nil {
		return stored
	}
	return slices.Contains(f.sent.values[name], value)
}

// fault returns why the value of a field was refused; "" if it was not.
func (f form) fault(name string) string {
	if f.sent == nil {
		return ""
	}
	for _, x := range f.sent.faults {
		if fieldOf(x.Field) == name {
			return x.Message
		}
	}
	return ""
}

// theirs returns the value that another person has stored in the meantime; "" if it is the one that was typed.
func (f form) theirs(name, stored string) string {
	if f.sent == nil || !f.sent.stale || f.value(name, stored) == stored {
		return ""
	}
	return stored
}

// fields holds the names of fields in forms that differ from those of the API.
var fields = map[string]string{
	"egress.probe.path": "probe_path", "egress.server_ca": "server_ca", "egress.server_key_pin": "server_key_pin",
	"egress.proxy": "egress_proxy", "egress.refusal_rules": "refusal_rules", "egress.identifies_by": "identifies_by",
	"workload.subject": "workload", "source.address": "address", "source.kind": "source", "email": "email",
}

// fieldOf returns the name in forms of a field of the API, such as "endpoint" or "systems[0].name".
func fieldOf(api string) string {
	api, _, _ = strings.Cut(api, "[")
	if name, ok := fields[api]; ok {
		return name
	}
	return api
}

// An input is a field of a form.
type input struct {
	name, label, hint string
	kind              string // of an <input>, or "textarea", "select" or "check"; "text" if it is empty
	id                string // the name if it is empty
	stored            string // value before it is edited
	options           []option
	rows              int // of a textarea
	required          bool
	attributes        templ.Attributes
}

// An option is a value that can be chosen.
type option struct{ value, text string }

// ID returns the ID of the field.
func (x input) ID() string {
	if x.id != "" {
		return x.id
	}
	return x.name
}

// inputType returns the type of an <input>.
func (x input) inputType() string {
	if x.kind == "" {
		return "text"
	}
	return x.kind
}

// all returns the attributes of the element into which the reader types, besides its name and its value.
func (x input) all(f form) templ.Attributes {
	all := templ.Attributes{}
	maps.Copy(all, x.attributes)
	if x.required {
		all["required"] = true
	}
	if x.rows > 0 {
		all["rows"] = strconv.Itoa(x.rows)
	}
	if f.fault(x.name) != "" {
		all["aria-invalid"], all["aria-describedby"] = "true", x.ID()+"-fault"
	}
	return all
}

// A fieldMark is a link to a field whose value was refused.
type fieldMark struct{ id, label, text string }

// marks returns the links to the fields that were refused; nil if the refusal is not only about fields that are shown.
func (f form) marks(inputs []input) (all []fieldMark) {
	if f.sent == nil {
		return nil
	}
	for _, fault := range f.sent.faults {
		i := slices.IndexFunc(inputs, func(x input) bool { return x.name == fieldOf(fault.Field) })
		if i < 0 {
			return nil
		}
		all = append(all, fieldMark{inputs[i].ID(), inputs[i].label, fault.Message})
	}
	return all
}

// plain are the attributes of fields with names and addresses, which browsers must not correct.
var plain = templ.Attributes{"spellcheck": "false", "autocapitalize": "none", "autocomplete": "off"}

// showAgain shows the page of a refused form with what was typed. Other errors stay as they are.
func (c *console) showAgain(v *view, pattern string, err error) error {
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	switch r.Status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusPreconditionFailed, http.StatusUnprocessableEntity:
	default:
		return err
	}
	sent := v.typed()
	sent.title, sent.problem = v.failure(), r.Detail
	var invalid *invalidForm
	if errors.As(err, &invalid) {
		sent.faults = invalid.fields
	}
	if r.Status == http.StatusPreconditionFailed {
		sent.stale = true
		sent.problem = v.T("Someone else has changed this in the meantime. Fields that differ show the stored value. " +
			"Save again to replace it with yours, or reload the page to discard your changes.")
	}
	return c.showSent(v, pattern, r.Status, sent)
}

// showSent shows the page of a form that was sent, in the answer to it.
func (c *console) showSent(v *view, pattern string, status int, sent *sentForm) error {
	v.sent, v.status, v.page = sent, status, v.pathOf(pattern)
	for _, p := range c.pages {
		if p.path == pattern {
			return p.show(c, v)
		}
	}
	return notFound
}

// typed returns what the reader has typed into the form that was sent.
func (v *view) typed() *sentForm {
	sent := &sentForm{action: v.r.URL.EscapedPath(), values: url.Values{}}
	if v.uploaded != nil {
		for name, value := range v.uploaded {
			sent.values.Set(name, value)
		}
	} else {
		v.r.ParseForm() // its error is in what the handler has read
		for name, all := range v.r.PostForm {
			sent.values[name] = all
		}
	}
	for _, name := range unkept {
		sent.values.Del(name)
	}
	return sent
}

// pathOf fills the pattern of a page with the parameters of the request.
func (v *view) pathOf(pattern string) string {
	parts := strings.Split(pattern, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, "{"); ok {
			parts[i] = url.PathEscape(v.r.PathValue(strings.TrimSuffix(name, "}")))
		}
	}
	return strings.Join(parts, "/")
}

// A keptForm is a form that was sent after the session had ended. It is in a cookie of the browser that sent it until
// the reader has signed in again, and is then filled in again.
type keptForm struct {
	Page    string     `json:"page"` // of the form
	Action  string     `json:"action"`
	Account string     `json:"account,omitempty"` // whose session had ended, if it is known: others do not get the form
	Values  url.Values `json:"values"`
}

// keptAge is the time in which the reader must have signed in, and longestKept limits the form, because browsers accept
// cookies of 4 KiB (RFC 6265, section 6.1).
const (
	keptAge     = 10 * time.Minute
	longestKept = 3800
)

// keep keeps a form that was sent after the session had ended. It returns the page to go back to; "" if there is none.
func (c *console) keep(r route, v *view) (back string) {
	pattern, ok := formPages[r.pattern]
	if !ok {
		return v.refererPath()
	}
	page := v.pathOf(pattern)
	text := v.T("You were signed out, so the form was not saved. Sign in to continue.")
	if strings.HasPrefix(v.r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		sent := v.typed()
		for _, name := range unsaved {
			sent.values.Del(name)
		}
		data, err := json.Marshal(keptForm{Page: page, Action: sent.action, Account: v.ended, Values: sent.values})
		value := base64.RawURLEncoding.EncodeToString(data)
		if err == nil && len(value) <= longestKept {
			c.setCookie(v.w, keptCookie, value, keptAge)
			text = v.T("You were signed out, so the form was not saved. Sign in, and it is filled in again.")
		}
	}
	c.setFlash(v.w, text)
	return page
}

// refererPath returns the page of the console from which the request came; "" if it is not known.
func (v *view) refererPath() string {
	u, err := url.Parse(v.r.Referer())
	if err != nil || u.Host != v.r.Host {
		return ""
	}
	return local(u.RequestURI())
}

// restore fills in the form that was kept for the page that is asked for.
func (c *console) restore(v *view) {
	sent, err := c.cookie(v.r, keptCookie)
	if err != nil || v.account.ID == "" || v.isRefresh() {
		return
	}
	var kept keptForm
	data, err := base64.RawURLEncoding.DecodeString(sent.Value)
	if err != nil || json.Unmarshal(data, &kept) != nil || kept.Page != v.r.URL.EscapedPath() {
		return
	}
	c.setCookie(v.w, keptCookie, "", -time.Second)
	if kept.Account == "" || kept.Account == v.account.ID {
		v.sent = &sentForm{action: kept.Action, values: kept.Values}
		v.flash = v.T("The form is filled in again. It is not saved yet.")
	}
}
