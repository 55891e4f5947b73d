package notify

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// A mail fits on a few screens of a phone, whatever the number of systems. These limit what it lists.
const (
	mostGroups  = 5
	mostSystems = 5 // in one line
)

// A Group is what one administrator has to do.
type Group struct {
	Name, Email   string // of the administrator; empty if none is known
	Points        []Point
	Page          string // the address of its page in the console; may be empty
	PagesToPassOn []PageToPassOn
	Mailed        bool // the service mails the administrator as well
	// Opened states when a page of the group was opened; empty if there is no link to one.
	Opened  string
	systems []Affected
}

// A Point is what one or several systems need.
type Point struct {
	Systems string // names with hosts
	Rest    int    // how many more there are
	Advice  string
}

// A PageToPassOn is the page of one system that a key user passes on to its administrator.
type PageToPassOn struct{ Arrangement, Page string }

// Several reports whether the group has more than one system.
func (g Group) Several() bool { return len(g.systems) > 1 }

// Groups returns the systems that need something by their administrators, the most urgent first.
func (l Letter) Groups() []Group {
	all := l.groups()
	return all[:listed(all)]
}

// listed returns how many groups a mail lists. One more group takes hardly more space than a line that refers to it.
func listed(all []Group) int {
	if len(all) <= mostGroups+1 {
		return len(all)
	}
	return mostGroups
}

// MoreSystems returns how many systems need something and are not in [Letter.Groups].
func (l Letter) MoreSystems() (n int) {
	all := l.groups()
	for _, g := range all[listed(all):] {
		n += len(g.systems)
	}
	return n
}

func (l Letter) groups() (all []Group) {
	open := slices.DeleteFunc(slices.Clone(l.Arrangements), func(a Affected) bool { return a.Idle })
	slices.SortStableFunc(open, func(a, b Affected) int { return a.rank() - b.rank() })
	for _, a := range open {
		i := slices.IndexFunc(all, func(g Group) bool {
			of := g.systems[0]
			return of.Mailed == a.Mailed && of.contactName == a.contactName && of.contactEmail == a.contactEmail
		})
		if i < 0 {
			i = len(all)
			all = append(all, Group{Name: a.contactName, Email: a.contactEmail, Mailed: a.Mailed})
			if a.contactName == "" {
				all[i].Name, all[i].Email = a.contactEmail, ""
			}
		}
		all[i].systems = append(all[i].systems, a)
	}
	for i := range all {
		all[i].Points, all[i].Page = pointsOf(all[i].systems), l.pageOf(all[i])
		all[i].Opened = l.openedBy(all[i])
		all[i].PagesToPassOn = pagesToPassOn(all[i].systems)
	}
	return all
}

// rank orders systems by their urgency.
func (a Affected) rank() int {
	switch {
	case a.Refuses:
		return 0
	case a.Exposed:
		return 1
	case a.Unaffected:
		return 3
	}
	return 2
}

// pageOf returns the page of a group: that of its only system, or the list of the tenant's systems.
func (l Letter) pageOf(g Group) string {
	if len(g.systems) == 1 {
		return g.systems[0].Page
	}
	return l.Board
}

// openedBy states in a reminder when a page of a group was opened last.
func (l Letter) openedBy(g Group) string {
	if l.Kind != tenancy.Unready && l.Kind != tenancy.Over {
		return ""
	}
	invited, opened := false, time.Time{}
	for _, a := range g.systems {
		if invited = invited || a.invited; a.opened.After(opened) {
			opened = a.opened
		}
	}
	switch {
	case !invited:
		return ""
	case opened.IsZero():
		return l.german("Page opened: never", "Seite geöffnet: nie")
	}
	return l.german("Page opened: ", "Seite geöffnet: ") + l.Day(opened)
}

// pagesToPassOn returns those of some systems.
func pagesToPassOn(systems []Affected) (pages []PageToPassOn) {
	for _, a := range systems {
		if a.PageToPassOn != "" {
			pages = append(pages, PageToPassOn{a.Arrangement, a.PageToPassOn})
		}
	}
	return pages
}

// HasPagesToPassOn reports whether the mail has pages to pass on to administrators.
func (l Letter) HasPagesToPassOn() bool { return len(pagesToPassOn(l.Arrangements)) > 0 }

// SomeRefuse reports whether a system has refused the new certificate.
func (l Letter) SomeRefuse() bool {
	return slices.ContainsFunc(l.Arrangements, func(a Affected) bool { return a.Refuses && !a.Unasked })
}

// pointsOf joins the systems that need the same.
func pointsOf(systems []Affected) (points []Point) {
	var advices []string
	byAdvice := map[string][]Affected{}
	for _, a := range systems {
		if byAdvice[a.Advice] == nil {
			advices = append(advices, a.Advice)
		}
		byAdvice[a.Advice] = append(byAdvice[a.Advice], a)
	}
	for _, advice := range advices {
		p := named(byAdvice[advice])
		p.Advice = advice
		points = append(points, *p)
	}
	return points
}

// named names the first of some systems; nil for none.
func named(systems []Affected) *Point {
	if len(systems) == 0 {
		return nil
	}
	names := make([]string, 0, mostSystems)
	for _, a := range systems[:min(len(systems), mostSystems)] {
		name := a.Arrangement
		if host := a.host(); host != "" {
			name += " (" + host + ")"
		}
		names = append(names, name)
	}
	return &Point{Systems: strings.Join(names, ", "), Rest: len(systems) - len(names)}
}

// longestHost limits a host in a mail, in characters.
const longestHost = 40

// host returns the host of the endpoint. Of a long one, it returns the end, which names the owner.
func (a Affected) host() string {
	u, err := url.Parse(a.Endpoint)
	if err != nil {
		return ""
	}
	host := []rune(u.Hostname())
	if len(host) > longestHost {
		return "…" + string(host[len(host)-longestHost+1:])
	}
	return string(host)
}

// those names the systems with a property; nil for none.
func (l Letter) those(has func(a Affected) bool) *Point {
	var some []Affected
	for _, a := range l.Arrangements {
		if has(a) {
			some = append(some, a)
		}
	}
	return named(some)
}

// Idle names the systems that need nothing.
func (l Letter) Idle() *Point { return l.those(func(a Affected) bool { return a.Idle }) }

// Only names the systems that get only the new certificate, and may not accept it.
func (l Letter) Only() *Point { return l.those(func(a Affected) bool { return a.Exposed && !a.Idle }) }

// Hasty names the systems that get only the new certificate as soon as it exists.
func (l Letter) Hasty() *Point { return l.those(func(a Affected) bool { return a.Immediate }) }

// Patient names the systems that get the old certificate until they accept the new one.
func (l Letter) Patient() *Point { return l.those(func(a Affected) bool { return !a.Immediate }) }
