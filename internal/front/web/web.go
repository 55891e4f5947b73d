// Package web is the console: pages for key users, the hosting team and the administrators of receiving systems.
//
// It promises: the console is a client of the JSON API, in the same process, with the rights of who is signed in and no
// others, so that what belongs to another tenant does not exist here either; every page works without script, with the
// keyboard alone, and on a phone; no page loads anything from elsewhere; whatever people or receivers wrote is shown as
// text, never as markup. A session's secret is only in the browser's cookie.
package web

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/a-h/templ"
	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/tenancy"
)

// Config describes what the console needs.
type Config struct {
	// API is the JSON API. It takes the caller from the request's context.
	API http.Handler
	// Identity signs people in.
	Identity *identity.Service
	// News is the audit log, which open pages follow.
	News News
	// BaseURL is the address of the service as browsers reach it. Cookies are for https only if it is an https address.
	BaseURL string
	// BehindProxy takes the address of a browser from the proxy's X-Forwarded-For.
	BehindProxy bool
	Now         func() time.Time
	// Ending ends streams to open pages, so that the service can stop.
	Ending context.Context
	Log    *slog.Logger
}

type console struct {
	Config
	api    *client.Client
	secure bool // cookies are for https only
	mux    *http.ServeMux
	watch  watch
	// verified is the latest verification of the audit log by this process; nil if there was none.
	verified atomic.Pointer[client.Verified]
}

//go:embed assets
var assets embed.FS

// inProcess is the base of the API's addresses. No name is resolved.
const inProcess = "http://api.invalid"

// New is the handler of the console's pages. Everything else is answered by rest.
func New(c Config, rest http.Handler) (http.Handler, error) {
	w := &console{Config: c, secure: strings.HasPrefix(c.BaseURL, "https://"), mux: http.NewServeMux()}
	var err error
	if w.api, err = client.New(client.Config{URL: inProcess, Transport: client.Handler(c.API)}); err != nil {
		return nil, err
	}
	w.routes()
	guard := http.NewCrossOriginProtection() // a change must come from a page of ours
	pages := headers(guard.Handler(w.identify(w.mux)))
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, pattern := w.mux.Handler(r); pattern == "" {
			rest.ServeHTTP(rw, r)
			return
		}
		pages.ServeHTTP(rw, r)
	}), nil
}

// headers let a page load nothing but our own files, run no script within it, be framed by nobody, and be kept by no
// cache.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; "+
			"img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (c *console) routes() {
	static, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // it is embedded
	}
	c.mux.Handle("GET /assets/", http.StripPrefix("/assets/", files(static)))
	c.open("GET /sign-in", c.signInPage)
	c.open("POST /sign-in", c.signIn)
	if c.Identity.HasPasskeys() {
		c.open("POST /sign-in/passkey/begin", c.askPasskey)
		c.open("POST /sign-in/passkey", c.signInByPasskey)
		c.page("POST /account/passkeys/begin", c.beginPasskey)
		c.page("POST /account/passkeys", c.addPasskey)
		c.page("POST /account/passkeys/{passkey}/remove", c.removePasskey)
	}
	if c.Identity.Company() != "" {
		c.open("GET /sign-in/company", c.companySignIn)
		c.open("GET /sign-in/company/back", c.companyBack)
	}
	c.open("GET /calendar/{secret}", c.calendar)
	c.open("GET /welcome", c.welcomePage)
	c.open("POST /welcome", c.welcome)
	c.open("GET /rollover/{secret}", c.receiver)
	c.open("POST /rollover/{secret}/installed", c.installed)
	c.page("POST /sign-out", c.signOut)
	c.page("GET /account", c.account)
	c.page("POST /account", c.setPreferences)
	c.page("POST /account/sessions/{session}/end", c.endSession)

	c.page("POST /account/password", c.setPassword)
	c.page("POST /account/calendar", c.makeCalendar)
	c.page("POST /account/calendar/revoke", c.revokeCalendar)
	c.page("GET /accounts", c.accounts)
	c.page("POST /accounts/{account}/delete", c.deleteAccount)
	c.page("GET /live", c.live)
	c.page("GET /{$}", c.home)
	c.page("GET /tenants", c.tenants)
	c.page("POST /tenants", c.createTenant)
	c.page("GET /runs", c.runs)
	c.page("GET /at-risk", c.atRisk)
	c.page("GET /parked", c.parked)
	c.page("GET /deliveries", c.deliveries)
	c.page("POST /deliveries/{delivery}/requeue", c.requeue)
	c.page("GET /log", c.events)
	c.page("POST /log/verify", c.verifyEvents)
	c.page("GET /log/export/{format}", c.exportEvents)
	c.page("GET /imports", c.imports)
	c.page("POST /imports", c.checkImport)
	c.page("GET /imports/{import}", c.importPage)
	c.page("POST /imports/{import}/{verb}", c.moveImport)
	c.page("GET /tokens", c.tokens)
	c.page("POST /tokens", c.createToken)
	c.page("POST /tokens/{token}/revoke", c.revokeToken)
	c.page("GET /authorities", c.authorities)
	c.page("GET /forecast", c.forecast)
	c.page("GET /forecast/{date}", c.forecastRun)
	c.page("GET /policy", c.policy)

	c.page("GET /tenants/{tenant}", c.tenant)
	c.page("GET /tenants/{tenant}/certificates", c.certificates)
	c.page("POST /tenants/{tenant}/certificates/{purpose}/renew", c.renew)
	c.page("GET /tenants/{tenant}/certificates/{purpose}/{generation}/{format}", c.download)
	c.page("GET /tenants/{tenant}/rollovers", c.board)
	c.page("GET /tenants/{tenant}/arrangements/new", c.newArrangement)
	c.page("POST /tenants/{tenant}/arrangements", c.saveArrangement)
	c.page("GET /tenants/{tenant}/arrangements/{arrangement}", c.arrangement)
	c.page("GET /tenants/{tenant}/arrangements/{arrangement}/edit", c.editArrangement)
	c.page("POST /tenants/{tenant}/arrangements/{arrangement}", c.saveArrangement)
	c.page("POST /tenants/{tenant}/arrangements/{arrangement}/delete", c.deleteArrangement)
	c.page("POST /tenants/{tenant}/arrangements/{arrangement}/probe", c.probe)
	c.page("POST /tenants/{tenant}/arrangements/{arrangement}/choose", c.choose)
	c.page("POST /tenants/{tenant}/arrangements/{arrangement}/confirm", c.confirm)
	c.page("POST /tenants/{tenant}/arrangements/{arrangement}/link", c.link)
	c.page("POST /tenants/{tenant}/arrangements/{arrangement}/links/{link}/revoke", c.revokeLink)
	c.page("POST /tenants/{tenant}/arrangements/{arrangement}/diagnose", c.diagnose)
	c.page("POST /tenants/{tenant}/arrangements/{arrangement}/strategy", c.setStrategy)
	c.page("GET /tenants/{tenant}/arrangements/{arrangement}/messages", c.messages)
	c.page("GET /tenants/{tenant}/tasks", c.tasks)
	c.page("POST /tenants/{tenant}/tasks/{task}", c.setTask)
	c.page("POST /tenants/{tenant}/subscription", c.subscribe)
	c.page("GET /tenants/{tenant}/mail-check", c.mailCheck)
	c.page("GET /tenants/{tenant}/scope", c.scope)
	c.page("POST /tenants/{tenant}/scope", c.answer)
	c.page("GET /tenants/{tenant}/people", c.people)
	c.page("POST /tenants/{tenant}/people", c.addPerson)
	c.page("POST /tenants/{tenant}/people/{user}/remove", c.removePerson)
	c.page("POST /tenants/{tenant}/contacts", c.setContacts)
	c.page("GET /tenants/{tenant}/log", c.events)
	c.page("GET /tenants/{tenant}/log/export/{format}", c.exportEvents)
}

// A view is one request for a page, and who makes it.
type view struct {
	w       http.ResponseWriter
	r       *http.Request
	account tenancy.Account // the zero value where nobody is signed in
	session tenancy.Session
	zone    *time.Location
	lang    string // "en" or "de"
	now     time.Time
	said    string // what the last form did
}

// Operator says whether the reader is of the hosting team.
func (v *view) Operator() bool { return v.account.Role == tenancy.RoleOperator }

func (v *view) ctx() context.Context { return v.r.Context() }

type viewKey struct{}

// identify finds out who is signed in.
func (c *console) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &view{w: w, r: r, zone: time.UTC, now: c.Now()}
		v.speak(tenancy.Account{})
		session, account, err := c.signedIn(r)
		switch {
		case err == nil:
			v.session, v.account, v.zone = session, account, account.Location()
			v.speak(account)
		case !errors.Is(err, tenancy.ErrNotFound):
			c.Log.ErrorContext(r.Context(), "session", "error", err)
			http.Error(w, "the database does not answer: try again", http.StatusServiceUnavailable)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), viewKey{}, v))
		v.w, v.r = w, r
		v.said = c.takeSaid(w, r)
		most := int64(mostForm)
		if r.URL.Path == importsPath {
			most = mostFiles
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		next.ServeHTTP(w, r)
	})
}

// mostForm bounds what a form may send: a page of text and a CA bundle.
const mostForm = 1 << 20

// A handler answers one request.
type handler func(v *view) error

// open registers a page for everybody.
func (c *console) open(pattern string, h handler) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		v := r.Context().Value(viewKey{}).(*view)
		v.w, v.r = w, r
		if err := h(v); err != nil {
			c.failed(v, err)
		}
	})
}

// page registers a page for people who are signed in; others are sent to sign in first, and come back.
func (c *console) page(pattern string, h handler) {
	c.open(pattern, func(v *view) error {
		if v.account.ID == "" {
			to := "/sign-in"
			if v.r.Method == http.MethodGet && v.r.URL.Path != "/" {
				to += "?to=" + escape(v.r.URL.RequestURI())
			}
			http.Redirect(v.w, v.r, to, http.StatusSeeOther)
			return nil
		}
		return h(v)
	})
}

// show writes a page.
func (c *console) show(v *view, status int, title string, body templ.Component) error {
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	if err := layout(v, title, body).Render(v.ctx(), v.w); err != nil {
		c.Log.DebugContext(v.ctx(), "a page was cut off", "error", err)
	}
	return nil
}

// failed says what went wrong, and what to do.
func (c *console) failed(v *view, err error) {
	var refused *refusal
	if !errors.As(err, &refused) {
		c.Log.ErrorContext(v.ctx(), "page", "path", v.r.URL.Path, "error", err)
		c.show(v, http.StatusInternalServerError, v.T("That did not work"),
			messagePage(v, v.T("That did not work"),
				v.T("This is not your doing. Please try again; the service's log says more.")))
		return
	}
	title := v.T("That did not work")
	text := refused.Detail
	switch refused.Status {
	case http.StatusNotFound, http.StatusForbidden:
		refused.Status, title, text = http.StatusNotFound, v.T("There is no such page"),
			v.T("It may have been deleted, or it is not yours. The menu shows what is.")
	case http.StatusPreconditionFailed:
		text = v.T("Somebody else changed this meanwhile. Go back, read it again, and decide anew.")
	}
	c.show(v, refused.Status, title, messagePage(v, title, text))
}

// done sends the reader on after a change, with a sentence about it.
func (c *console) done(v *view, to, text string) error {
	c.say(v.w, text)
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}
