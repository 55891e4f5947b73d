package web

import (
	"net/http"
	"strings"
)

// notFound refuses a page that does not exist, or that is not for the reader.
var notFound = &refusal{Status: http.StatusNotFound}

// missing returns the heading and the text of the page for something that does not exist. An answer of the API names
// it. For key users, the answer is the same if it belongs to another tenant.
func (v *view) missing(detail string) (title, text string) {
	text = v.T("It may have been deleted, or you have no access to it. The menu shows the pages that you can open.")
	if detail == "" {
		return v.T("There is no such page"), text
	}
	return sentence(detail), text
}

// rest answers requests for paths that the console does not have. A person whose browser asks for a path that nothing
// answers gets a page of the console.
func (c *console) rest(next http.Handler, w http.ResponseWriter, r *http.Request) {
	person := (r.Method == http.MethodGet || r.Method == http.MethodHead) && !strings.HasPrefix(r.URL.Path, "/api/") &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
	if !person {
		next.ServeHTTP(w, r)
		return
	}
	held := &withoutMissing{ResponseWriter: w}
	next.ServeHTTP(held, r)
	if held.missing || held.held { // it has no content
		c.nowhere.ServeHTTP(w, r)
	}
}

// nowherePage answers a request for a path that does not exist.
func (c *console) nowherePage(w http.ResponseWriter, r *http.Request) {
	v := r.Context().Value(viewKey{}).(*view)
	v.w, v.r = w, r
	c.failed(v, notFound)
}

// noRoute is the answer of [http.ServeMux] to a path that it does not have.
const noRoute = "404 page not found\n"

// withoutMissing holds back the answer that there is no such path. It passes on other answers, also those with the same
// status: they name what is missing.
type withoutMissing struct {
	http.ResponseWriter
	held    bool // the status 404, until the content shows which answer it is
	missing bool
}

func (w *withoutMissing) WriteHeader(status int) {
	if w.held = status == http.StatusNotFound; !w.held {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *withoutMissing) Write(p []byte) (int, error) {
	if w.held {
		w.held = false
		if w.missing = string(p) == noRoute; w.missing {
			return len(p), nil
		}
		w.ResponseWriter.WriteHeader(http.StatusNotFound)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (w *withoutMissing) Unwrap() http.ResponseWriter { return w.ResponseWriter }
