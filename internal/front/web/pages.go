package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// home is the overview: of the fleet for operators, of the tenant for key users.
func (c *console) home(v *view) error {
	if !v.Operator() {
		return c.tenantHome(v, v.account.Tenant)
	}
	go audits() // of the page that may come next: they take a second, once
	o, err := get[client.Overview](c, v, "/overview")
	if err != nil {
		return err
	}
	var risk client.Page[client.Rollover]
	var f client.FleetForecast
	if !o.AsOf.IsZero() { // else the fleet is being counted
		if risk, err = get[client.Page[client.Rollover]](c, v, "/at-risk?limit=8"); err != nil {
			return err
		}
	}
	if f, err = get[client.FleetForecast](c, v, "/forecast"); err != nil && !isCounting(err) {
		return err
	}
	first, err := get[client.Page[client.Tenant]](c, v, "/tenants?limit=1")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Overview"), fleetPage(v, o, risk.Items, months(v, f.Runs), len(first.Items) == 0))
}

// isCounting says whether something of the fleet is not known yet, so soon after the start.
func isCounting(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.Status == http.StatusServiceUnavailable
}

func (c *console) tenant(v *view) error { return c.tenantHome(v, v.r.PathValue("tenant")) }

// A situation is all that a tenant's overview says.
type situation struct {
	tenant    client.Tenant
	forecast  client.TenantForecast
	rollovers []client.Rollover
	tasks     []client.Task
	ready     int // receivers that accept the newest generation
}

func (c *console) tenantHome(v *view, name string) (err error) {
	var s situation
	if s.tenant, err = get[client.Tenant](c, v, in(name)); err != nil {
		return err
	}
	if s.forecast, err = get[client.TenantForecast](c, v, in(name, "forecast")); err != nil {
		return err
	}
	rollovers, err := get[client.Page[client.Rollover]](c, v, in(name, "rollovers"))
	if err != nil {
		return err
	}
	s.rollovers = rollovers.Items
	for _, r := range s.rollovers {
		if newestOf(r).Verdict == rollover.Accepted {
			s.ready++
		}
	}
	tasks, err := get[client.Page[client.Task]](c, v, in(name, "tasks")+"?state=open&limit=5"+v.ownTasks())
	if err != nil {
		return err
	}
	s.tasks = tasks.Items
	return c.show(v, http.StatusOK, s.tenant.DisplayName, tenantPage(v, s))
}

// ownTasks restricts a list of tasks to the reader's, where the reader is a key user.
func (v *view) ownTasks() string {
	if v.Operator() {
		return ""
	}
	return "&user=" + escape(v.account.KeyUser)
}

// sentence is the one that matters.
func (v *view) sentence(s situation) string {
	for _, f := range s.forecast.Certificates {
		if f.Purpose != tenancy.ForTenant {
			continue
		}
		var until time.Time // when the old generation of an open roll-over expires
		for _, r := range s.rollovers {
			if len(r.Generations) > 1 {
				until = r.Generations[0].NotAfter
			}
		}
		if !until.IsZero() {
			switch {
			case s.ready == len(s.rollovers):
				return v.T("Your certificate has been renewed, and every receiver accepts the new one.")
			case s.ready == 0:
				return v.T("Your certificate has been renewed. No receiver is known to accept the new one yet; messages go on "+
					"with the old one until %s.", v.Day(until))
			}
			return v.T("Your certificate has been renewed: %d of %d receivers are ready for the new one. The old one goes on "+
				"until %s.", s.ready, len(s.rollovers), v.Day(until))
		}
		for _, e := range f.Events {
			if e.Action == policy.Renew {
				return v.T("Your certificate will be renewed on %s. Until then there is nothing to do.", v.Day(e.At))
			}
		}
	}
	return v.T("Nothing is planned at the moment.")
}

func (c *console) tenants(v *view) error {
	list, err := paged[client.Tenant](c, v, "/tenants")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Tenants"), tenantsPage(v, list))
}

func (c *console) createTenant(v *view) error {
	body := client.Tenant{Name: v.r.PostFormValue("name"), DisplayName: v.r.PostFormValue("display_name"),
		KeyType: tenancy.KeyType(v.r.PostFormValue("key_type"))}
	t, err := post[client.Tenant](c, v, "/tenants", body)
	if err != nil {
		return err
	}
	return c.done(v, in(t.Name), v.T("%s has its first certificates. Next: its people, and an arrangement.",
		t.DisplayName))
}

func (c *console) runs(v *view) error {
	list, err := paged[client.Run](c, v, "/runs")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Runs"), runsPage(v, list))
}

func (c *console) atRisk(v *view) error {
	list, err := paged[client.Rollover](c, v, "/at-risk")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("At risk"), atRiskPage(v, list))
}

func (c *console) deliveries(v *view) error {
	path := "/deliveries"
	if s := v.r.URL.Query().Get("state"); s != "" {
		path += "?state=" + escape(s)
	}
	list, err := paged[client.Delivery](c, v, path)
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Mails"), deliveriesPage(v, list))
}

func (c *console) requeue(v *view) error {
	if _, err := post[client.Delivery](c, v, "/deliveries/"+escape(v.r.PathValue("delivery"))+"/requeue",
		nil); err != nil {
		return err
	}
	return c.done(v, "/deliveries?state=dead", v.T("The mail is queued again."))
}

func (c *console) tokens(v *view) error { return c.showTokens(v, "") }

func (c *console) showTokens(v *view, secret string) error {
	list, err := paged[client.Token](c, v, "/tokens")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Tokens"), tokensPage(v, list, secret))
}

// createToken shows the secret in its answer, for it is shown once.
func (c *console) createToken(v *view) error {
	f := v.r.PostFormValue
	body := client.Token{Name: f("name"), Role: tenancy.Role(f("role")), Tenant: f("tenant"), User: f("user")}
	t, err := post[client.Token](c, v, "/tokens", body)
	if err != nil {
		return err
	}
	return c.showTokens(v, t.Secret)
}

func (c *console) revokeToken(v *view) error {
	if _, err := c.do(v, client.Request{Method: http.MethodDelete,
		Path: "/tokens/" + escape(v.r.PathValue("token"))}); err != nil {
		return err
	}
	return c.done(v, "/tokens", v.T("The token is revoked."))
}

func (c *console) authorities(v *view) error {
	list, err := get[client.Page[client.Authority]](c, v, "/authorities")
	if err != nil {
		return err
	}
	var waiting client.Page[client.Trust]
	if a, ok := client.AnnouncedAuthority(list.Items); ok {
		if waiting, err = paged[client.Trust](c, v, "/authorities/"+a.ID+"/waiting"); err != nil {
			return err
		}
	}
	return c.show(v, http.StatusOK, v.T("CA"), authoritiesPage(v, list.Items, waiting))
}

func (c *console) forecast(v *view) error {
	f, err := get[client.FleetForecast](c, v, "/forecast")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Forecast"), forecastPage(v, f, months(v, f.Runs)))
}

// forecastRun says whom a coming run will warn, and whose certificates it will renew.
func (c *console) forecastRun(v *view) error {
	date, err := time.Parse(time.RFC3339, v.r.PathValue("date"))
	if err != nil {
		return &refusal{http.StatusNotFound, ""}
	}
	list, err := paged[client.DueCertificate](c, v, "/forecast/"+date.UTC().Format(time.RFC3339))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Run on %s", v.Day(date)), forecastRunPage(v, date, list))
}

// policy says the rules in words, and what the audit finds of each.
func (c *console) policy(v *view) error {
	o, err := get[client.Overview](c, v, "/overview")
	if err != nil {
		return err
	}
	all, err := audits()
	if err != nil {
		return err
	}
	chosen := func(name string, instead int) audited {
		for _, one := range all {
			if one.policy.Name == v.r.URL.Query().Get(name) {
				return one
			}
		}
		return all[instead]
	}
	return c.show(v, http.StatusOK, v.T("Policy"), policyPage(v, o.Policy, all, chosen("a", 0), chosen("b", 1)))
}

// comparePolicies says rule by rule how two policies differ.
func comparePolicies(v *view, a, b audited) []difference {
	row := func(field string, of func(audited) string) difference { return difference{field, of(a), of(b)} }
	return []difference{
		row(v.T("Runs"), func(a audited) string { return a.policy.Schedule.String() }),
		row(v.T("Warns"), func(a audited) string { return v.T("with %s to %s left", a.policy.WarnFrom, a.policy.WarnTo) }),
		row(v.T("Renews"), func(a audited) string { return v.T("with at most %s left", a.policy.RenewWithin) }),
		row(v.T("Validity of new certificates"), func(a audited) string { return v.Days(a.policy.Validity.Hours() / 24) }),
		row(v.T("Without a warning, in the long run"), func(a audited) string {
			return v.percent(a.report.SteadyState.Share)
		}),
		row(v.T("Without a warning, of all dates"), func(a audited) string { return v.percent(a.report.Single.Share) }),
	}
}

func (c *console) parked(v *view) error {
	list, err := paged[client.Parked](c, v, "/parked")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Messages parked"), parkedPage(v, list))
}

type audited struct {
	policy policy.Policy
	report policy.AuditReport
}

// audits are those of the built-in policies, which never change.
var audits = sync.OnceValues(func() (all []audited, err error) {
	for _, p := range policy.Presets() {
		report, err := policy.Audit(p)
		if err != nil {
			return nil, err
		}
		all = append(all, audited{p, report})
	}
	return all, nil
})

func (c *console) certificates(v *view) error {
	name := v.r.PathValue("tenant")
	t, err := get[client.Tenant](c, v, in(name))
	if err != nil {
		return err
	}
	list, err := get[client.Page[client.Certificate]](c, v, in(name, "certificates")+"?limit=500")
	if err != nil {
		return err
	}
	f, err := get[client.TenantForecast](c, v, in(name, "forecast"))
	if err != nil {
		return err
	}
	rollovers, err := get[client.Page[client.Rollover]](c, v, in(name, "rollovers"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Certificates"), certificatesPage(v, t, list.Items, f, rollovers.Items))
}

func (c *console) renew(v *view) error {
	name, purpose := v.r.PathValue("tenant"), v.r.PathValue("purpose")
	body := map[string]string{}
	if reason := v.r.PostFormValue("reason"); reason != "" {
		body["reason"] = reason
	}
	made, err := post[client.Certificate](c, v, in(name, "certificates", purpose, "renew"), body)
	if err != nil {
		return err
	}
	return c.done(v, in(name, "certificates"), v.T("Generation %d exists. Receivers that know the old certificate need "+
		"it now.", made.Generation))
}

func (c *console) download(v *view) error {
	p := v.r.PathValue
	file, err := c.do(v, client.Request{Method: http.MethodGet, Path: in(p("tenant"), "certificates", p("purpose"),
		p("generation"), "download") + "?format=" + escape(p("format"))})
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", file.Header.Get("Content-Type"))
	v.w.Header().Set("Content-Disposition", file.Header.Get("Content-Disposition"))
	_, err = v.w.Write(file.Body)
	return err
}

func (c *console) tasks(v *view) error {
	name := v.r.PathValue("tenant")
	state := v.r.URL.Query().Get("state")
	path := in(name, "tasks") + "?" + v.ownTasks()
	if state != "" {
		path += "&state=" + escape(state)
	}
	list, err := paged[client.Task](c, v, path)
	if err != nil {
		return err
	}
	var user client.KeyUser
	var check client.MailCheck
	if !v.Operator() {
		if user, err = get[client.KeyUser](c, v, in(name, "key-users", v.account.KeyUser)); err != nil {
			return err
		}
		if check, err = get[client.MailCheck](c, v, in(name, "mail-check")+"?user="+escape(v.account.KeyUser)); err != nil {
			return err
		}
	}
	return c.show(v, http.StatusOK, v.T("Tasks"), tasksPage(v, name, state, list, user, check))
}

// A taskChange is what a person may change of a task.
type taskChange struct {
	State tenancy.TaskState `json:"state"`
	Note  string            `json:"note,omitempty"`
}

func (c *console) setTask(v *view) error {
	name := v.r.PathValue("tenant")
	state := tenancy.TaskState(v.r.PostFormValue("state"))
	err := change(c, v, in(name, "tasks", v.r.PathValue("task")),
		func(t *taskChange) { t.State, t.Note = state, v.r.PostFormValue("note") })
	if err != nil {
		return err
	}
	said := v.T("The task is in process.")
	if state == tenancy.TaskCompleted {
		said = v.T("The task is completed, for you.")
	}
	return c.done(v, in(name, "tasks"), said)
}

func (c *console) subscribe(v *view) error {
	name := v.r.PathValue("tenant")
	method, said := http.MethodPut, v.T("You get mail about tasks, from the next one on.")
	if v.r.PostFormValue("subscribe") == "no" {
		method, said = http.MethodDelete, v.T("You get no more mail about tasks. The tasks themselves stay.")
	}
	if _, err := c.do(v, client.Request{Method: method,
		Path: in(name, "key-users", v.account.KeyUser, "subscription")}); err != nil {
		return err
	}
	return c.done(v, in(name, "tasks"), said)
}

func (c *console) mailCheck(v *view) error {
	name := v.r.PathValue("tenant")
	user := v.r.URL.Query().Get("user")
	if user == "" {
		user = v.account.KeyUser
	}
	check, err := get[client.MailCheck](c, v, in(name, "mail-check")+"?user="+escape(user))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Why did I get no mail?"), mailCheckPage(v, name, check))
}

func (c *console) scope(v *view) error {
	name := v.r.PathValue("tenant")
	list, err := get[client.Page[client.Project]](c, v, in(name, "scope"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Business Configuration"), scopePage(v, name, list.Items))
}

func (c *console) answer(v *view) error {
	name, f := v.r.PathValue("tenant"), v.r.PostFormValue
	if _, err := c.do(v, client.Request{Method: http.MethodPut, Path: in(name, "scope", f("project"), f("question")),
		Body: map[string]string{"answer": f("answer")}}); err != nil {
		return err
	}
	return c.done(v, in(name, "scope"), v.T("Answered. It applies from the next notice on."))
}

func (c *console) people(v *view) error {
	name := v.r.PathValue("tenant")
	users, err := paged[client.KeyUser](c, v, in(name, "key-users"))
	if err != nil {
		return err
	}
	contacts, etag, err := client.GetVersion[client.Page[client.ITContact]](v.caller(), c.api, in(name, "it-contacts"))
	if err != nil {
		return refused(err)
	}
	lines := make([]string, len(contacts.Items))
	for i, one := range contacts.Items {
		lines[i] = (&mail.Address{Name: one.Name, Address: one.Email}).String()
		if !strings.ContainsAny(one.Name, "\"<>@,;:\\()[]") { // as people write it, in any script
			lines[i] = one.Name + " <" + one.Email + ">"
		}
	}
	return c.show(v, http.StatusOK, v.T("People"), peoplePage(v, name, users, strings.Join(lines, "\n"), etag))
}

// setContacts reads the IT contacts, a line each: Ina Ivers <ina@example.com>.
func (c *console) setContacts(v *view) error {
	name := v.r.PathValue("tenant")
	contacts := []client.ITContact{}
	n := 0
	for line := range strings.Lines(v.r.PostFormValue("contacts")) {
		n++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		a, err := mail.ParseAddress(line)
		if err != nil || a.Name == "" {
			return &refusal{http.StatusUnprocessableEntity, v.T("Line %d: write a name and an address, such as Ina Ivers "+
				"<ina@example.com>.", n)}
		}
		contacts = append(contacts, client.ITContact{Name: a.Name, Email: a.Address})
	}
	if _, err := c.do(v, client.Request{Method: http.MethodPut, Path: in(name, "it-contacts"), Body: contacts,
		IfMatch: v.r.PostFormValue("etag")}); err != nil {
		return err
	}
	return c.done(v, in(name, "people"), v.T("Saved."))
}

func (c *console) removePerson(v *view) error {
	name, user := v.r.PathValue("tenant"), v.r.PathValue("user")
	if err := c.api.DeleteCurrent(v.caller(), in(name, "key-users", user)); err != nil {
		return refused(err)
	}
	return c.done(v, in(name, "people"), v.T("%s is no key user any more, and cannot sign in.", user))
}

func (c *console) addPerson(v *view) error {
	name := v.r.PathValue("tenant")
	body := client.KeyUser{Name: v.r.PostFormValue("name"), Email: v.r.PostFormValue("email")}
	if _, err := post[client.KeyUser](c, v, in(name, "key-users"), body); err != nil {
		return err
	}
	return c.done(v, in(name, "people"), v.T("%s is a key user now, and gets every later task.", body.Name))
}

// count writes a number.
func count(n int) string { return strconv.Itoa(n) }

func generationPath(tenant string, c client.Certificate, format string) string {
	return in(tenant, "certificates", string(c.Purpose), fmt.Sprint(c.Generation), format)
}
