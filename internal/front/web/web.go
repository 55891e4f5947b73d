// Package web is the console: pages for key users, the hosting team and the administrators of receiving systems.
//
// It promises: the console is a client of the JSON API in the same process. It has exactly the rights of the account
// that is signed in, so other tenants do not exist for a key user here either. Every page works without script, with
// the keyboard alone, and on a phone. No page loads anything from another site. Text from people and receivers is never
// treated as markup. The secret of a session is stored only in the browser's cookie.
package web

import (
	"context"
	"embed"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/a-h/templ"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/faults"
	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/internal/front/refusals"
	"github.com/perennial-pki/perennial/tenancy"
)

// Config holds the dependencies of the console.
type Config struct {
	// API is the JSON API. It takes the caller from the request's context.
	API http.Handler
	// Identity signs people in.
	Identity *identity.Service
	// News is the audit log, which open pages follow.
	News News
	// BaseURL is the address of the service as browsers reach it. Cookies are for https only if it is an https address.
	BaseURL string
	// Platform is named on every page.
	Platform Platform
	// Guard is true if a guard runs in the service.
	Guard bool
	// BehindProxy takes the address of a browser from the proxy's X-Forwarded-For.
	BehindProxy bool
	Now         func() time.Time
	// Ending ends streams to open pages, so that the service can stop.
	Ending context.Context
	Log    *slog.Logger
}

type console struct {
	identity    *identity.Service
	news        News
	baseURL     string
	behindProxy bool
	platform    Platform
	guard       bool // whether one runs in the service
	clock       func() time.Time
	ending      context.Context
	logger      *slog.Logger
	refused     *refusals.Log

	api    *client.Client
	secure bool // cookies are for https only
	mux    *http.ServeMux
	pages  []page
	// served answers all routes, with their headers and the account that is signed in. nowhere does so for all other
	// paths.
	served, nowhere http.Handler
	watch           watch
	badges          badgeCache
	// verified is the latest verification of the audit log by this process; nil if there was none.
	verified atomic.Pointer[client.Verified]
}

//go:embed assets
var assets embed.FS

// inProcess is the base of the API's addresses. No name is resolved.
const inProcess = "http://api.invalid"

// New returns the handler of the console. Requests for other paths go to rest. All fields of the configuration except
// BaseURL, Platform and BehindProxy are required.
func New(c Config, rest http.Handler) (http.Handler, error) {
	switch {
	case c.API == nil:
		return nil, errors.New("web: no API is given")
	case c.Identity == nil:
		return nil, errors.New("web: no identity service is given")
	case c.News == nil:
		return nil, errors.New("web: no audit log is given")
	case c.Now == nil || c.Log == nil || c.Ending == nil:
		return nil, errors.New("web: a clock, a logger or a context for the end is missing")
	}
	w := &console{identity: c.Identity, news: c.News, baseURL: c.BaseURL, behindProxy: c.BehindProxy, clock: c.Now,
		ending: c.Ending, logger: c.Log, secure: strings.HasPrefix(c.BaseURL, "https://"), mux: http.NewServeMux(),
		guard: c.Guard, platform: c.Platform, refused: refusals.New(c.Log, c.Now)}
	var err error
	if w.api, err = client.New(client.Config{URL: inProcess, Transport: client.Handler(c.API)}); err != nil {
		return nil, err
	}
	w.pages = slices.DeleteFunc(pageTable(), func(p page) bool { return p.guard && !c.Guard })
	w.routes()
	ownPages := http.NewCrossOriginProtection() // a change must come from a page of the console
	w.served = w.headers(ownPages.Handler(w.identify(w.mux)))
	w.nowhere = w.headers(w.identify(http.HandlerFunc(w.nowherePage)))
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if wait := w.throttled(r); wait > 0 {
			w.throttle(rw, r, int(math.Ceil(wait.Seconds())))
			return
		}
		if _, pattern := w.mux.Handler(r); pattern == "" {
			w.rest(rest, rw, r)
			return
		}
		w.served.ServeHTTP(rw, r)
	}), nil
}

// strictTransport tells browsers to use https for a year (RFC 6797). Other services of the domain are not affected.
const strictTransport = "max-age=31536000"

// headers restricts pages: they load only files of the console, run no inline script, and cannot be framed or cached.
// If the service's address is https, browsers keep to https.
func (c *console) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "+
			"img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if c.secure {
			h.Set("Strict-Transport-Security", strictTransport)
		}
		next.ServeHTTP(w, r)
	})
}

// A view is one request for a page, with the account of the reader.
type view struct {
	w       http.ResponseWriter
	r       *http.Request
	pages   []page
	account tenancy.Account // the zero value if no account is signed in
	session tenancy.Session
	zone    *time.Location
	lang    string // "en" or "de"
	// platform is that of the installation.
	platform Platform
	now      time.Time
	flash    string // result of the last form
	head     int64  // of the audit log, from before the page was read

	tenant *client.Tenant // that the page is about; nil if there is none, or if it cannot be read
	badges map[string]int // things that need attention, by the path of their page
	about  string         // tenant of a page whose path does not name it
	page   string         // path of the page that shows a form again; empty for other pages
	sent   *sentForm      // that is shown again; nil for none
	status int            // of the page that shows a refused form; 0 for other pages
	ended  string         // ID of the account whose session has ended, if it is known
	shown  once           // what is shown once on this page

	uploaded map[string]string // the fields of a form with files; nil for other forms
}

// Operator reports whether the reader belongs to the hosting team.
func (v *view) Operator() bool { return v.account.Role == tenancy.RoleOperator }

func (v *view) ctx() context.Context { return v.r.Context() }

type viewKey struct{}

// identify finds the account that is signed in.
func (c *console) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &view{w: w, r: r, pages: c.pages, platform: c.platform, zone: time.UTC, now: c.clock()}
		v.setLanguage(tenancy.Account{})
		session, account, err := c.signedIn(r)
		switch {
		case err == nil:
			v.session, v.account, v.zone = session, account, account.Location()
			v.head = c.head(0)
			v.setLanguage(account)
		case errors.Is(err, tenancy.ErrNotFound):
			v.ended = session.AccountID
		default:
			faults.Log(r.Context(), c.logger, "the session could not be read", err)
			http.Error(w, "the database does not answer: try again", http.StatusServiceUnavailable)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), viewKey{}, v))
		v.w, v.r = w, r
		v.flash, v.shown = c.takeFlash(w, r), c.takeOnce(w, r)
		most := int64(mostForm)
		if r.URL.Path == importsPath {
			most = mostFiles
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		next.ServeHTTP(w, r)
	})
}

// mostForm limits a form, in bytes: enough for a page of text and a CA bundle.
const mostForm = 1 << 20

// show writes a page.
func (c *console) show(v *view, status int, title string, body templ.Component) error {
	c.dress(v)
	if v.status != 0 {
		status = v.status
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	if err := layout(v, title, body).Render(v.ctx(), v.w); err != nil {
		c.logger.DebugContext(v.ctx(), "a page was cut off", "error", err)
	}
	return nil
}

// failed shows the error and the next step.
func (c *console) failed(v *view, err error) {
	var refused *refusal
	if !errors.As(err, &refused) {
		faults.Log(v.ctx(), c.logger, "a page failed", err, "path", v.r.URL.Path)
		title := v.T("Something went wrong")
		c.show(v, http.StatusInternalServerError, title, messagePage(v, title,
			v.T("This is not your fault. Please try again. The service's log has the details.")))
		return
	}
	status, title, text := refused.Status, v.failure(), refused.Detail
	switch status {
	case http.StatusNotFound, http.StatusForbidden:
		status = http.StatusNotFound
		title, text = v.missing(refused.Detail)
	case http.StatusUnprocessableEntity:
		if v.misled(err) {
			text = v.T("The address of this page has a filter, an order or a page that does not exist. Open the page from the " +
				"menu.")
		}
	case http.StatusPreconditionFailed:
		text = v.T("Someone else has changed this in the meantime. Go back, reload the page and try again.")
	}
	c.show(v, status, title, messagePage(v, title, text))
}

// misled reports whether a page was refused because of the parameters in its address. The message of the API is about
// its schema, and in English.
func (v *view) misled(err error) bool {
	var form *invalidForm
	return v.r.Method == http.MethodGet && errors.As(err, &form) &&
		slices.ContainsFunc(form.fields, func(f client.FieldError) bool { return strings.HasPrefix(f.Field, "query.") })
}

// failure returns the heading of the page for a refused request.
func (v *view) failure() string {
	if v.r.Method == http.MethodGet {
		return v.T("Page not available")
	}
	_, path, _ := strings.Cut(v.r.Pattern, " ")
	switch {
	case strings.HasPrefix(path, "/sign-in"):
		return v.T("Could not sign in")
	case path == importsPath:
		return v.T("Could not check the files")
	case strings.HasPrefix(path, importsPath+"/"):
		return v.T("Could not start")
	}
	switch path[strings.LastIndex(path, "/")+1:] {
	case "renew":
		return v.T("Could not renew the certificate")
	case "probe", "diagnose":
		return v.T("Could not test the receiver")
	case "choose":
		return v.T("Could not switch the generation")
	case "link":
		return v.T("Could not create the link")
	case "feed", "address":
		return v.T("Could not create the address")
	case "delete", "remove":
		return v.T("Could not delete")
	case "revoke":
		return v.T("Could not revoke")
	}
	return v.T("Could not save")
}

// done redirects the reader after a change, with a sentence about it.
func (c *console) done(v *view, to, text string) error {
	c.setFlash(v.w, text)
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}
