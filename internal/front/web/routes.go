package web

import (
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
	// group is the part of the menu in which the entry is.
	group string
	show  handler
	// guard is true for what exists only if a guard runs in the service.
	guard bool
}

// inTenant reports whether a page belongs to one tenant.
func (p page) inTenant() bool { return strings.HasPrefix(p.path, tenantPages) }

// Paths of pages: of a tenant, of a counterparty, and of the page for the administrators of a counterparty.
const (
	tenantPages    = "/tenants/{tenant}"
	partyPages     = "/counterparties/{counterparty}"
	partyLinkPages = "/counterparty/{secret}"
)

// pageTable lists the pages, in the order of the menus.
func pageTable() []page {
	const arrangement = tenantPages + "/arrangements/{arrangement}"
	return []page{
		{path: "/sign-in", name: "sign-in", who: public, show: (*console).signInPage},
		{path: "/welcome", name: "welcome", who: public, show: (*console).welcomePage},
		{path: "/rollover/{secret}", name: "receiver", who: public, show: (*console).receiver},
		{path: "/watched/{secret}", name: "watch-link", who: public, show: (*console).watchLinked},
		{path: partyLinkPages, name: "counterparty-page", who: public, show: (*console).counterpartyPage},
		{path: "/administrator/{secret}", name: "stop-mails", who: public, show: (*console).stopLink},
		{path: "/find", name: "find", who: signedIn, show: (*console).find},
		{path: "/account", name: "account", who: signedIn, show: (*console).account},

		{path: "/{$}", name: "overview", who: signedIn, menu: "Overview", group: "Watch", show: (*console).home},
		{path: "/at-risk", name: "at-risk", who: operators, menu: "At risk", group: "Watch", show: (*console).atRisk},
		{path: "/rollovers", name: "fleet-rollovers", who: operators, menu: "Roll-overs", group: "Watch",
			show: (*console).fleetBoard},
		{path: "/test-rounds", name: "test-rounds", who: operators, menu: "Tests", group: "Watch",
			show: (*console).testRounds},
		{path: "/test-rounds/{round}", name: "test-round", who: operators, show: (*console).testRound},
		{path: "/forecast", name: "forecast", who: operators, menu: "Forecast", group: "Watch", show: (*console).forecast},
		{path: "/forecast/{date}", name: "forecast-run", who: operators, show: (*console).forecastRun},
		{path: "/runs", name: "runs", who: operators, menu: "Runs", group: "Watch", show: (*console).runs},
		{path: "/deliveries", name: "mails", who: operators, menu: "Mails", group: "Watch", show: (*console).deliveries},
		{path: "/webhooks", name: "webhooks", who: operators, menu: "Webhooks", group: "Watch", show: (*console).webhooks},
		{path: "/webhooks/{webhook}", name: "webhook", who: operators, show: (*console).webhook},
		{path: "/parked", name: "parked", who: operators, menu: "Parked messages", group: "Watch",
			show: (*console).parked},
		{path: "/silent-feeds", name: "silent-feeds", who: operators, menu: "Silent feeds", group: "Watch",
			show: (*console).silentFeeds},
		{path: guardPath, name: "guard", who: operators, menu: "Guard", group: "Watch", show: (*console).guarded,
			guard: true},
		{path: "/tenants", name: "tenants", who: operators, menu: "Tenants", group: "Fleet", show: (*console).tenants},
		{path: "/counterparties", name: "counterparties", who: operators, menu: "Counterparties", group: "Fleet",
			show: (*console).counterparties},
		{path: partyPages, name: "counterparty", who: operators, show: (*console).counterparty},
		{path: partyPages + "/webhooks", name: "counterparty-webhooks", who: operators, show: (*console).webhooks},
		{path: partyPages + "/webhooks/{webhook}", name: "counterparty-webhook", who: operators, show: (*console).webhook},
		{path: "/imports", name: "imports", who: operators, menu: "Import", group: "Fleet", show: (*console).imports},
		{path: "/imports/{import}", name: "import", who: operators, show: (*console).importPage},
		{path: "/policy", name: "policy", who: operators, menu: "Policy", group: "Rules", show: (*console).policy},
		{path: "/authorities", name: "authorities", who: operators, menu: "CA", group: "Rules",
			show: (*console).authorities},
		{path: "/tokens", name: "tokens", who: operators, menu: "Tokens", group: "Access", show: (*console).tokens},
		{path: "/accounts", name: "accounts", who: operators, menu: "Accounts", group: "Access", show: (*console).accounts},
		{path: "/log", name: "audit-log", who: operators, menu: "Audit log", group: "Audit", show: (*console).events},

		{path: tenantPages, name: "tenant", who: signedIn, menu: "Overview", show: (*console).tenant},
		{path: tenantPages + "/tasks", name: "tasks", who: signedIn, menu: "Tasks", show: (*console).tasks},
		{path: tenantPages + "/certificates", name: "certificates", who: signedIn, menu: "Certificates",
			show: (*console).certificates},
		{path: tenantPages + "/rollovers", name: "rollovers", who: signedIn, menu: "Roll-overs", show: (*console).board},
		{path: tenantPages + "/new-arrangement", name: "new-arrangement", who: signedIn, show: (*console).newArrangement},
		{path: arrangement, name: "rollover", who: signedIn, show: (*console).arrangement},
		{path: arrangement + "/edit", name: "change-arrangement", who: signedIn, show: (*console).editArrangement},
		{path: arrangement + "/messages", name: "messages", who: signedIn, show: (*console).messages},
		{path: tenantPages + "/watched", name: "watched", who: signedIn, menu: "Watched", show: (*console).watchedList},
		{path: tenantPages + "/watched/{watched}", name: "watched-one", who: signedIn, show: (*console).watchedOne},
		{path: tenantPages + "/mail-check", name: "mail-check", who: signedIn, show: (*console).mailCheck},
		{path: tenantPages + "/people", name: "people", who: signedIn, menu: "People", group: "Settings",
			show: (*console).people},
		{path: tenantPages + "/people/{user}", name: "person", who: signedIn, show: (*console).person},
		{path: tenantPages + "/administrators", name: "administrators", who: signedIn, menu: "Administrators",
			group: "Settings", show: (*console).administrators},
		{path: tenantPages + "/administrators/{receiver}", name: "administrator", who: signedIn,
			show: (*console).administratorForm},
		{path: tenantPages + "/scope", name: "scope", who: signedIn, menu: "Business Configuration", group: "Settings",
			show: (*console).scope},
		{path: tenantPages + "/webhooks", name: "tenant-webhooks", who: signedIn, menu: "Webhooks", group: "Settings",
			show: (*console).webhooks},
		{path: tenantPages + "/webhooks/{webhook}", name: "tenant-webhook", who: signedIn, show: (*console).webhook},
		{path: tenantPages + "/log", name: "tenant-log", who: signedIn, menu: "Audit log", group: "Audit",
			show: (*console).events},
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

		{"GET " + partyLinkPages + "/calendar.ics", public, (*console).partyCalendar},
		{"POST " + partyLinkPages + "/test", public, (*console).testParty},
		{"POST " + partyLinkPages + "/feed", public, (*console).createFeedOnPage},
		{"POST " + partyLinkPages + "/product", public, (*console).setPartyProduct},
		{"POST " + partyLinkPages + "/contacts", public, (*console).proposePartyContact},
		{"POST " + partyLinkPages + "/contacts/{contact}/confirm", public, (*console).confirmPartyContact},

		{"POST /administrator/{secret}", public, (*console).stopMails},
		{"POST /administrator/{secret}/resume", public, (*console).undoStop},

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
		{"GET /tenants/export.csv", operators, (*console).exportTenants},
		{"POST /worklist/export.csv", operators, (*console).exportTenants},
		{"POST /worklist/links", operators, (*console).createWorkLinks},
		{"POST /test-rounds", operators, (*console).startTestRound},
		{"POST /counterparties", operators, (*console).createCounterparty},
		{"POST " + partyPages, operators, (*console).changeCounterparty},
		{"POST " + partyPages + "/link", operators, (*console).linkCounterparty},
		{"POST " + partyPages + "/link/revoke", operators, (*console).revokeCounterpartyLink},
		{"POST " + partyPages + "/feed", operators, (*console).createPartyFeed},
		{"POST " + partyPages + "/feed/address", operators, (*console).readdressPartyFeed},
		{"POST " + partyPages + "/feed/revoke", operators, (*console).revokePartyFeed},
		{"POST " + partyPages + "/contacts", operators, (*console).addCounterpartyContact},
		{"POST " + partyPages + "/contacts/{contact}/link", operators, (*console).linkCounterpartyContact},
		{"POST " + partyPages + "/contacts/{contact}/accept", operators,
			(*console).acceptCounterpartyContact},
		{"POST " + partyPages + "/contacts/{contact}/resume", operators,
			(*console).resumeCounterpartyContact},
		{"POST " + partyPages + "/contacts/{contact}/remove", operators,
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
		{"POST " + tenantPages + "/certificates/{purpose}/{generation}/revoke", signedIn, (*console).revokeGeneration},
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
		{"POST " + tenantPages + "/people/{user}/invite", signedIn, (*console).invitePerson},
		{"POST " + tenantPages + "/people/{user}/remove", signedIn, (*console).removePerson},
		{"POST " + tenantPages + "/people/{user}", signedIn, (*console).savePerson},
		{"POST " + tenantPages + "/contacts", signedIn, (*console).setContacts},
		{"POST " + tenantPages + "/administrators", signedIn, (*console).allowMails},
		{"POST " + tenantPages + "/administrators/{receiver}", signedIn, (*console).saveAdministrator},
		{"POST " + tenantPages + "/administrators/{receiver}/resume", signedIn, (*console).resumeAdministrator},
		{"GET " + tenantPages + "/log/export/{format}", signedIn, (*console).exportEvents},
	}
	table = append(append(table, webhookRoutes("", operators)...), webhookRoutes(tenantPages, signedIn)...)
	table = append(table, webhookRoutes(partyPages, operators)...)
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

// webhookRoutes lists the forms of the webhooks of the installation, of a tenant, or of a counterparty.
func webhookRoutes(below string, who audience) []route {
	const one = "/webhooks/{webhook}"
	return []route{
		{"POST " + below + "/webhooks", who, (*console).createWebhook},
		{"POST " + below + one, who, (*console).changeWebhook},
		{"POST " + below + one + "/test", who, (*console).testWebhook},
		{"POST " + below + one + "/rotate", who, (*console).rotateWebhook},
		{"POST " + below + one + "/switch", who, (*console).switchWebhook},
		{"POST " + below + one + "/replay", who, (*console).replayDead},
		{"POST " + below + one + "/deliveries/{delivery}/replay", who, (*console).replayDelivery},
		{"POST " + below + one + "/delete", who, (*console).deleteWebhook},
	}
}

func (c *console) routes() {
	c.mux.Handle("GET /assets/", http.StripPrefix("/assets/", http.HandlerFunc(serveAsset)))
	if c.platform.Logo.exists() {
		c.mux.Handle("GET "+logoPath, c.platform.Logo)
	}
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
		if err := c.dispatch(r, v); err != nil {
			c.failed(v, err)
		}
	})
}

// dispatch answers a request for a route: it checks the audience, asks before what cannot be undone, and shows a form
// again if its input is refused.
func (c *console) dispatch(r route, v *view) error {
	switch {
	case r.who != public && v.account.ID == "":
		c.signInFirst(r, v)
		return nil
	case r.who == recently && !c.identity.SignedInRecently(v.session):
		return c.askAgain(v)
	case r.who == operators && !v.Operator():
		c.refused.Write(v.ctx(), v.account.ID, "a page was refused", func() []any {
			return []any{"account", v.account.Name, "page", r.pattern, "reason", "it is for operators"}
		})
		return notFound
	}
	if v.r.Method == http.MethodGet {
		c.restore(v)
	}
	if ask := questions[r.pattern]; ask != nil {
		if asked, err := c.asked(v, ask); asked || err != nil {
			return err
		}
	}
	err := r.handle(c, v)
	if on, ok := formPages[r.pattern]; ok && err != nil {
		return c.showAgain(v, on, err)
	}
	return err
}

// signInFirst sends a reader who is not signed in to the sign-in page, which leads back. A form is kept for that time.
func (c *console) signInFirst(r route, v *view) {
	back := ""
	switch {
	case v.isRefresh():
		v.w.WriteHeader(http.StatusUnauthorized) // the page stays, and leads to the sign-in page
		return
	case v.r.Method == http.MethodGet:
		back = v.r.URL.RequestURI()
	default:
		back = c.keep(r, v)
	}
	to := "/sign-in"
	if back != "" && back != "/" {
		to += "?to=" + escape(back)
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
}
