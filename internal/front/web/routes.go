package web

import (
	"io/fs"
	"net/http"
	"strings"
)

// An audience names who may see a page or send a form. There is no default.
type audience int

const (
	// public: no sign-in is needed.
	public audience = iota + 1
	// signedIn: operators and key users. Objects of another tenant do not exist for a key user: the API refuses.
	signedIn
	// recently: as signedIn, but only soon after signing in, because the route changes the ways to sign in or ends other
	// sessions.
	recently
	// operators: the page does not exist for others.
	operators
)

// A handler answers one request.
type handler func(c *console, v *view) error

// A page is one page of the console. The table of pages is the source of the routes, of the menus, and of the browser
// test that visits every page.
type page struct {
	path string // pattern of [http.ServeMux] for GET
	name string // of its picture in docs/screenshots
	who  audience
	menu string // text of its menu entry; empty if it has none
	show handler
	// guard is true for what exists only if a guard runs in the service.
	guard bool
}

// inTenant reports whether a page belongs to one tenant.
func (p page) inTenant() bool { return strings.HasPrefix(p.path, tenantPages) }

// tenantPages is the path of the pages of a tenant.
const tenantPages = "/tenants/{tenant}"

// pageTable lists the pages, in the order of the menus.
func pageTable() []page {
	const arrangement = tenantPages + "/arrangements/{arrangement}"
	return []page{
		{path: "/sign-in", name: "sign-in", who: public, show: (*console).signInPage},
		{path: "/welcome", name: "welcome", who: public, show: (*console).welcomePage},
		{path: "/rollover/{secret}", name: "receiver", who: public, show: (*console).receiver},
		{path: "/watched/{secret}", name: "watch-link", who: public, show: (*console).watchLinked},
		{path: "/counterparty/{secret}", name: "counterparty-page", who: public, show: (*console).counterpartyPage},
		{path: "/account", name: "account", who: signedIn, show: (*console).account},

		{path: "/{$}", name: "overview", who: signedIn, menu: "Overview", show: (*console).home},
		{path: "/tenants", name: "tenants", who: operators, menu: "Tenants", show: (*console).tenants},
		{path: "/counterparties", name: "counterparties", who: operators, menu: "Counterparties",
			show: (*console).counterparties},
		{path: "/counterparties/{counterparty}", name: "counterparty", who: operators, show: (*console).counterparty},
		{path: "/at-risk", name: "at-risk", who: operators, menu: "At risk", show: (*console).atRisk},
		{path: "/silent-feeds", name: "silent-feeds", who: operators, show: (*console).silentFeeds},
		{path: "/runs", name: "runs", who: operators, menu: "Runs", show: (*console).runs},
		{path: "/forecast", name: "forecast", who: operators, menu: "Forecast", show: (*console).forecast},
		{path: "/forecast/{date}", name: "forecast-run", who: operators, show: (*console).forecastRun},
		{path: "/deliveries", name: "mails", who: operators, menu: "Mails", show: (*console).deliveries},
		{path: "/parked", name: "parked", who: operators, show: (*console).parked},
		{path: "/authorities", name: "authorities", who: operators, menu: "CA", show: (*console).authorities},
		{path: guardPath, name: "guard", who: operators, menu: "Guard", show: (*console).guarded, guard: true},
		{path: "/policy", name: "policy", who: operators, menu: "Policy", show: (*console).policy},
		{path: "/imports", name: "imports", who: operators, menu: "Import", show: (*console).imports},
		{path: "/imports/{import}", name: "import", who: operators, show: (*console).importPage},
		{path: "/tokens", name: "tokens", who: operators, menu: "Tokens", show: (*console).tokens},
		{path: "/accounts", name: "accounts", who: operators, menu: "Accounts", show: (*console).accounts},
		{path: "/log", name: "audit-log", who: operators, menu: "Audit log", show: (*console).events},

		{path: tenantPages, name: "tenant", who: signedIn, menu: "Overview", show: (*console).tenant},
		{path: tenantPages + "/tasks", name: "tasks", who: signedIn, menu: "Tasks", show: (*console).tasks},
		{path: tenantPages + "/certificates", name: "certificates", who: signedIn, menu: "Certificates",
			show: (*console).certificates},
		{path: tenantPages + "/rollovers", name: "rollovers", who: signedIn, menu: "Roll-overs", show: (*console).board},
		{path: tenantPages + "/arrangements/new", name: "new-arrangement", who: signedIn, show: (*console).newArrangement},
		{path: arrangement, name: "rollover", who: signedIn, show: (*console).arrangement},
		{path: arrangement + "/edit", name: "change-arrangement", who: signedIn, show: (*console).editArrangement},
		{path: arrangement + "/messages", name: "messages", who: signedIn, show: (*console).messages},
		{path: tenantPages + "/watched", name: "watched", who: signedIn, menu: "Watched", show: (*console).watchedList},
		{path: tenantPages + "/watched/{watched}", name: "watched-one", who: signedIn, show: (*console).watchedOne},
		{path: tenantPages + "/mail-check", name: "mail-check", who: signedIn, show: (*console).mailCheck},
		{path: tenantPages + "/scope", name: "scope", who: signedIn, menu: "Business Configuration", show: (*console).scope},
		{path: tenantPages + "/people", name: "people", who: signedIn, menu: "People", show: (*console).people},
		{path: tenantPages + "/log", name: "tenant-log", who: signedIn, menu: "Audit log", show: (*console).events},
	}
}

// A route is a form, a file or a stream to which a page leads.
type route struct {
	pattern string // of [http.ServeMux]
	who     audience
	handle  handler
}

// routeTable lists the forms, files and streams.
func (c *console) routeTable() []route {
	const arrangement = tenantPages + "/arrangements/{arrangement}"
	table := []route{
		{"GET /calendar/{secret}", public, (*console).calendar},
		{"POST /sign-in", public, (*console).signIn},
		{"POST /welcome", public, (*console).welcome},
		{"POST /rollover/{secret}/test", public, (*console).testLink},
		{"POST /rollover/{secret}/installed", public, (*console).installed},

		{"POST /watched/{secret}/installed", public, (*console).watchInstalled},
		{"GET /watched/{secret}/{format}", public, (*console).watchLinkFile},

		{"GET /counterparty/{secret}/calendar.ics", public, (*console).partyCalendar},
		{"POST /counterparty/{secret}/test", public, (*console).testParty},
		{"POST /counterparty/{secret}/product", public, (*console).setPartyProduct},
		{"POST /counterparty/{secret}/contacts", public, (*console).proposePartyContact},
		{"POST /counterparty/{secret}/contacts/{contact}/confirm", public, (*console).confirmPartyContact},

		{"GET /live", signedIn, (*console).live},
		{"POST /sign-out", signedIn, (*console).signOut},
		{"POST /account", signedIn, (*console).setPreferences},
		{"POST /account/sessions/{session}/end", recently, (*console).endSession},
		{"POST /account/password", signedIn, (*console).setPassword},
		{"POST /account/calendar", signedIn, (*console).makeCalendar},
		{"POST /account/calendar/revoke", signedIn, (*console).revokeCalendar},

		{"POST /authorities/request", operators, (*console).requestAuthority},
		{"POST /authorities/install", operators, (*console).installAuthority},
		{"POST /accounts/{account}/delete", operators, (*console).deleteAccount},
		{"POST /counterparties", operators, (*console).createCounterparty},
		{"POST /counterparties/{counterparty}", operators, (*console).changeCounterparty},
		{"POST /counterparties/{counterparty}/link", operators, (*console).linkCounterparty},
		{"POST /counterparties/{counterparty}/link/revoke", operators, (*console).revokeCounterpartyLink},
		{"POST /counterparties/{counterparty}/contacts", operators, (*console).addCounterpartyContact},
		{"POST /counterparties/{counterparty}/contacts/{contact}/link", operators, (*console).linkCounterpartyContact},
		{"POST /counterparties/{counterparty}/contacts/{contact}/accept", operators,
			(*console).acceptCounterpartyContact},
		{"POST /counterparties/{counterparty}/contacts/{contact}/remove", operators,
			(*console).removeCounterpartyContact},
		{"POST /counterparty-proposals/{host}/accept", operators, (*console).acceptProposal},
		{"POST /counterparty-proposals/{host}/dismiss", operators, (*console).dismissProposal},
		{"POST /tenants", operators, (*console).createTenant},
		{"POST /deliveries/{delivery}/requeue", operators, (*console).requeue},
		{"POST /deliveries/requeue", operators, (*console).requeueAll},
		{"POST /log/verify", operators, (*console).verifyEvents},
		{"GET /log/export/{format}", operators, (*console).exportEvents},
		{"POST /imports", operators, (*console).checkImport},
		{"POST /imports/{import}/{verb}", operators, (*console).moveImport},
		{"POST /tokens", operators, (*console).createToken},
		{"POST /tokens/{token}/revoke", operators, (*console).revokeToken},

		{"POST " + tenantPages + "/certificates/{purpose}/renew", signedIn, (*console).renew},
		{"GET " + tenantPages + "/certificates/{purpose}/{generation}/{format}", signedIn, (*console).download},
		{"GET " + tenantPages + "/requests/{request}/csr", signedIn, (*console).downloadRequest},
		{"POST " + tenantPages + "/requests/{request}/answer", signedIn, (*console).answerRequest},
		{"POST " + tenantPages + "/requests/{request}/again", operators, (*console).repeatRequest},
		{"POST " + tenantPages + "/arrangements", signedIn, (*console).saveArrangement},
		{"POST " + arrangement, signedIn, (*console).saveArrangement},
		{"POST " + arrangement + "/delete", signedIn, (*console).deleteArrangement},
		{"POST " + arrangement + "/probe", signedIn, (*console).probe},
		{"POST " + arrangement + "/choose", signedIn, (*console).choose},
		{"POST " + arrangement + "/confirm", signedIn, (*console).confirm},
		{"POST " + arrangement + "/link", signedIn, (*console).link},
		{"POST " + arrangement + "/links/{link}/revoke", signedIn, (*console).revokeLink},
		{"POST " + arrangement + "/feed", signedIn, (*console).createFeed},
		{"POST " + arrangement + "/feed/address", signedIn, (*console).readdressFeed},
		{"POST " + arrangement + "/feed/revoke", signedIn, (*console).revokeFeed},
		{"POST " + arrangement + "/diagnose", signedIn, (*console).diagnose},
		{"POST " + arrangement + "/refusal-rules", signedIn, (*console).addRefusalRule},
		{"POST " + arrangement + "/strategy", signedIn, (*console).setStrategy},
		{"POST " + tenantPages + "/watched", signedIn, (*console).addWatched},
		{"POST " + tenantPages + "/watched/{watched}/certificates", signedIn, (*console).uploadWatched},
		{"POST " + tenantPages + "/watched/{watched}/look", signedIn, (*console).lookWatched},
		{"POST " + tenantPages + "/watched/{watched}/links", signedIn, (*console).watchLink},
		{"POST " + tenantPages + "/watched/{watched}/links/{link}/revoke", signedIn, (*console).revokeWatchLink},
		{"POST " + tenantPages + "/watched/{watched}/remove", signedIn, (*console).removeWatched},
		{"GET " + tenantPages + "/watched/{watched}/certificates/{fingerprint}/{format}", signedIn,
			(*console).downloadWatched},
		{"POST " + tenantPages + "/tasks/{task}", signedIn, (*console).setTask},
		{"POST " + tenantPages + "/subscription", signedIn, (*console).subscribe},
		{"POST " + tenantPages + "/scope", signedIn, (*console).answer},
		{"POST " + tenantPages + "/people", signedIn, (*console).addPerson},
		{"POST " + tenantPages + "/people/{user}/remove", signedIn, (*console).removePerson},
		{"POST " + tenantPages + "/contacts", signedIn, (*console).setContacts},
		{"GET " + tenantPages + "/log/export/{format}", signedIn, (*console).exportEvents},
	}
	if c.guard {
		table = append(table, route{"POST " + guardPath + "/certificates/{fingerprint}/decision", operators,
			(*console).decideGuarded})
	}
	if c.identity.HasPasskeys() {
		table = append(table, []route{
			{"POST /sign-in/passkey/begin", public, (*console).askPasskey},
			{"POST /sign-in/passkey", public, (*console).signInByPasskey},
			{"POST /account/passkeys/begin", recently, (*console).beginPasskey},
			{"POST /account/passkeys", signedIn, (*console).addPasskey},
			{"POST /account/passkeys/{passkey}/remove", recently, (*console).removePasskey},
		}...)
	}
	if c.identity.Company() != "" {
		table = append(table, []route{
			{"GET /sign-in/company", public, (*console).companySignIn},
			{"GET /sign-in/company/back", public, (*console).companyBack},
		}...)
	}
	return table
}

func (c *console) routes() {
	static, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // it is embedded
	}
	c.mux.Handle("GET /assets/", http.StripPrefix("/assets/", files(static)))
	for _, p := range c.pages {
		c.handle(route{"GET " + p.path, p.who, p.show})
	}
	for _, r := range c.routeTable() {
		c.handle(r)
	}
}

// handle registers a route. A reader who must sign in first comes back to the page afterwards.
func (c *console) handle(r route) {
	if r.who < public || r.who > operators {
		panic(r.pattern + " has no audience")
	}
	c.mux.HandleFunc(r.pattern, func(w http.ResponseWriter, request *http.Request) {
		v := request.Context().Value(viewKey{}).(*view)
		v.w, v.r = w, request
		if r.who != public && v.account.ID == "" {
			to := "/sign-in"
			if request.Method == http.MethodGet && request.URL.Path != "/" {
				to += "?to=" + escape(request.URL.RequestURI())
			}
			http.Redirect(w, request, to, http.StatusSeeOther)
			return
		}
		if r.who == recently && !c.identity.SignedInRecently(v.session) {
			if err := c.askAgain(v); err != nil {
				c.failed(v, err)
			}
			return
		}
		err := error(&refusal{http.StatusNotFound, ""})
		if r.who != operators || v.Operator() {
			err = r.handle(c, v)
		} else {
			c.refused.Write(v.ctx(), v.account.ID, "a page was refused", func() []any {
				return []any{"account", v.account.Name, "page", r.pattern, "reason", "it is for operators"}
			})
		}
		if err != nil {
			c.failed(v, err)
		}
	})
}

type entry struct{ path, text string }

// menu returns the pages that the reader can go to.
func (v *view) menu() []entry {
	if !v.Operator() {
		return v.tenantMenu("/", v.account.Tenant)
	}
	var entries []entry
	for _, p := range v.pages {
		if p.menu != "" && !p.inTenant() {
			entries = append(entries, entry{strings.TrimSuffix(p.path, "{$}"), v.T(p.menu)})
		}
	}
	return entries
}

// submenu returns the pages of the tenant that an operator looks at.
func (v *view) submenu() []entry {
	if name := v.tenantName(); v.Operator() && name != "" {
		return v.tenantMenu(in(name), name)
	}
	return nil
}

// tenantMenu returns the pages of a tenant. The first one has the given path.
func (v *view) tenantMenu(first, name string) []entry {
	var entries []entry
	for _, p := range v.pages {
		if p.menu != "" && p.inTenant() {
			entries = append(entries, entry{strings.Replace(p.path, tenantPages, in(name), 1), v.T(p.menu)})
		}
	}
	if len(entries) > 0 {
		entries[0].path = first
	}
	return entries
}

// isAt reports whether a menu entry leads to the page that is shown.
func (v *view) isAt(path string) bool {
	at := v.r.URL.Path
	if strings.HasPrefix(at, in(v.tenantName(), "arrangements")) {
		at = in(v.tenantName(), "rollovers")
	}
	return at == path || !strings.HasPrefix(path, "/tenants") && strings.HasPrefix(at, path+"/")
}
