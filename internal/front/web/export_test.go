package web

import (
	"maps"
	"slices"

	"github.com/perennial-pki/perennial/internal/front/identity"
)

// A Page is an entry of the table of pages, for tests that visit every page.
type Page struct {
	Path, Name          string
	Anybody, ByOperator bool
	InTenant            bool
}

// Pages returns the table of pages.
func Pages() []Page {
	var all []Page
	for _, p := range pageTable() {
		all = append(all, Page{p.path, p.name, p.who == public, p.who == operators, p.inTenant()})
	}
	return all
}

// A Route is a page, a form, a file or a stream, and its audience.
type Route struct {
	Pattern             string
	Anybody, ByOperator bool
}

// Routes returns all routes of a console.
func Routes(accounts *identity.Service) []Route {
	var all []Route
	for _, p := range pageTable() {
		all = append(all, Route{"GET " + p.path, p.who == public, p.who == operators})
	}
	for _, r := range (&console{identity: accounts, guard: true}).routeTable() {
		all = append(all, Route{r.pattern, r.who == public, r.who == operators})
	}
	return all
}

// Questions returns the patterns of the routes that ask before they act.
func Questions() []string { return slices.Collect(maps.Keys(questions)) }

// FormPages returns the page of each form that is shown again.
func FormPages() map[string]string { return formPages }
