package web

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"

	"github.com/perennial-pki/perennial/client"
)

// An entry of a menu leads to a page.
type entry struct {
	path, text string
	badge      int // things on the page that need attention
}

// A group is a part of the menu. The pages of a tenant that are used most have a group without a name.
type group struct {
	name    string
	entries []entry
}

// groups returns the pages that the reader can go to: those of the fleet for operators, and those of their tenant for
// key users.
func (v *view) groups() []group {
	if v.Operator() {
		return v.grouped(func(p page) bool { return !p.inTenant() }, func(p page) string {
			return strings.TrimSuffix(p.path, "{$}")
		})
	}
	own := v.account.Tenant
	return v.grouped(page.inTenant, func(p page) string {
		if p.path == tenantPages {
			return "/"
		}
		return strings.Replace(p.path, tenantPages, in(own), 1)
	})
}

// tabs returns the pages of the tenant that an operator looks at. Key users have them in the menu.
func (v *view) tabs() []entry {
	name := v.tenantName()
	if !v.Operator() || name == "" {
		return nil
	}
	var all []entry
	for _, g := range v.grouped(page.inTenant, func(p page) string {
		return strings.Replace(p.path, tenantPages, in(name), 1)
	}) {
		all = append(all, g.entries...)
	}
	return all
}

// grouped returns the menu entries of pages in their groups, in the order of the table.
func (v *view) grouped(which func(page) bool, path func(page) string) []group {
	var all []group
	for _, p := range v.pages {
		if p.menu == "" || !which(p) {
			continue
		}
		at := path(p)
		one := entry{at, v.T(p.menu), v.badges[at]}
		i := slices.IndexFunc(all, func(g group) bool { return g.name == v.T(p.group) })
		if i < 0 {
			i = len(all)
			all = append(all, group{name: v.T(p.group)})
		}
		all[i].entries = append(all[i].entries, one)
	}
	return all
}

// at returns the path of the page that is shown, also if the answer to a form shows it.
func (v *view) at() string {
	if v.page != "" {
		return v.page
	}
	return v.r.URL.Path
}

// isAt reports whether a menu entry leads to the page that is shown, or to a page above it.
func (v *view) isAt(path string) bool {
	at, name := v.at(), v.tenantName()
	switch {
	case name != "" && strings.HasPrefix(at, in(name, "arrangements")):
		at = in(name, "rollovers")
	case !v.Operator() && name != "" && at == in(name):
		at = "/"
	}
	switch {
	case at == path:
		return true
	case path == "/", name != "" && path == in(name): // all pages are below
		return false
	}
	return strings.HasPrefix(at, path+"/")
}

// title returns the title of a page. Pages of a tenant begin with its names, so that tabs of the browser differ.
func (v *view) title(page string) string {
	parts := []string{page, v.platform.named()}
	if t := v.tenant; t != nil {
		name := t.Name
		if t.DisplayName != "" && t.DisplayName != t.Name {
			name = t.DisplayName + " (" + t.Name + ")"
		}
		parts = slices.Insert(parts, 0, name)
	}
	return strings.Join(parts, " · ")
}

// dress reads what the frame of a page shows: the tenant that the page is about, and the badges of the menu. The page
// is shown without what cannot be read.
func (c *console) dress(v *view) {
	if v.account.ID == "" {
		return
	}
	if name := v.tenantName(); name != "" && v.tenant == nil {
		if t, err := get[client.Tenant](c, v, in(name)); err == nil {
			v.tenant = &t
		}
	}
	if v.Operator() {
		v.badges = c.fleetBadges(v)
		return
	}
	path := in(v.account.Tenant, "tasks")
	open, err := client.ListPage[client.Task](v.caller(), c.api, path+"?state=open"+v.ownTasks(), "", mostRows)
	if err == nil {
		v.badges = map[string]int{path: len(open.Items)}
	}
}

// badgeAge is the age up to which the badges of the fleet are shown again. Each needs a count in the database.
const badgeAge = 10 * time.Second

// A badgeCache holds the badges of the fleet, which are the same for all operators.
type badgeCache struct {
	mu     sync.Mutex // guards the fields below
	at     time.Time
	counts map[string]int
}

func (c *console) fleetBadges(v *view) map[string]int {
	c.badges.mu.Lock()
	defer c.badges.mu.Unlock()
	if age := v.now.Sub(c.badges.at); c.badges.counts != nil && age >= 0 && age < badgeAge {
		return c.badges.counts
	}
	o, err := get[client.Overview](c, v, "/overview")
	if err != nil {
		return nil
	}
	c.badges.at, c.badges.counts = v.now, badgesOf(o)
	return c.badges.counts
}

// badgesOf returns the number of things that need attention by the path of their page.
func badgesOf(o client.Overview) map[string]int {
	counts := map[string]int{"/at-risk": o.AtRisk, "/deliveries": o.MailsDead, "/tokens": o.Tokens,
		"/silent-feeds": o.FeedsSilent, guardPath: o.GuardHeld}
	if o.MailsHeld != nil {
		counts["/deliveries"]++
	}
	if !o.CAAwaited.IsZero() {
		counts["/authorities"] = 1
	}
	return counts
}

// badge formats the number of a badge.
func badge(n int) string {
	if n >= mostRows {
		return strconv.Itoa(mostRows-1) + "+"
	}
	return strconv.Itoa(n)
}

// signInURL returns the address of the sign-in page that leads back to a page.
func signInURL(to string) templ.SafeURL { return templ.SafeURL("/sign-in?to=" + escape(to)) }
