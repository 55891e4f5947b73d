package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/tenancy"
)

// throttledPaths are the prefixes of pages and files that need no sign-in: they are public, or their address is a
// secret.
var throttledPaths = []string{"/rollover/", "/watched/", "/counterparty/", "/administrator/", "/calendar/",
	"/unsubscribe/", "/api/v1/links/", "/feeds/", "/pki/"}

// throttled returns the time that the sender of a request must wait before it may get a public page or file; 0 if it
// may get it now.
func (c *console) throttled(r *http.Request) time.Duration {
	if !slices.ContainsFunc(throttledPaths, func(prefix string) bool { return strings.HasPrefix(r.URL.Path, prefix) }) {
		return 0
	}
	return c.identity.Visit(identity.Browser{Address: c.addressOf(r)})
}

// throttle refuses a request that has to wait. A person gets a page in the language of the browser, and a program a
// line. No session is looked up, so that a refusal costs no access to the database.
func (c *console) throttle(w http.ResponseWriter, r *http.Request, seconds int) {
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	if !strings.Contains(r.Header.Get("Accept"), "text/html") && r.Header.Get("HX-Request") == "" {
		http.Error(w, fmt.Sprintf("too many requests from your network: try again in %d seconds", seconds),
			http.StatusTooManyRequests)
		return
	}
	c.headers(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &view{w: w, r: r, pages: c.pages, platform: c.platform, zone: time.UTC, now: c.clock()}
		v.setLanguage(tenancy.Account{})
		c.show(v, http.StatusTooManyRequests, v.T("Please wait a moment"), throttledPage(v, seconds))
	})).ServeHTTP(w, r)
}

// pageAgain returns the address of the page that a throttled request was for. That of a form is the one with the
// secret, such as /rollover/SECRET for /rollover/SECRET/test.
func (v *view) pageAgain() string {
	if v.r.Method == http.MethodGet || v.r.Method == http.MethodHead {
		return v.r.URL.RequestURI()
	}
	parts := strings.SplitN(v.r.URL.EscapedPath(), "/", 4)
	return strings.Join(parts[:min(len(parts), 3)], "/")
}
