package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func (c *console) tenant(v *view) error { return c.tenantHome(v, v.r.PathValue("tenant")) }

// homeTasks is the maximum number of open tasks on a tenant's overview.
const homeTasks = 5

// A situation holds the content of a tenant's overview.
type situation struct {
	tenant    client.Tenant
	forecast  client.TenantForecast
	rollovers []client.Rollover
	tasks     []client.Task // at most homeTasks
	moreTasks bool
	ready     int // receivers that are not at risk
	silent    []client.Feed
}

func (c *console) tenantHome(v *view, name string) (err error) {
	v.about = name
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
	v.tenant, s.rollovers = &s.tenant, rollovers.Items
	for _, r := range s.rollovers {
		if !r.AtRisk {
			s.ready++
		}
	}
	silent, err := get[client.Page[client.Feed]](c, v, in(name, "silent-feeds"))
	if err != nil {
		return err
	}
	s.silent = silent.Items
	open := "?state=open&limit=" + strconv.Itoa(homeTasks) + v.ownTasks()
	tasks, err := get[client.Page[client.Task]](c, v, in(name, "tasks")+open)
	if err != nil {
		return err
	}
	s.tasks, s.moreTasks = tasks.Items, tasks.Next != ""
	return c.show(v, http.StatusOK, v.T("Overview"), tenantPage(v, s))
}

// ownTasks restricts a list of tasks to those of the reader, if the reader is a key user.
func (v *view) ownTasks() string {
	if v.Operator() {
		return ""
	}
	return "&user=" + escape(v.account.KeyUser)
}

// sentence returns the most important fact about the tenant.
func (v *view) sentence(s situation) string {
	stopped := 0
	for _, r := range s.rollovers {
		if r.Stopped {
			stopped++
		}
	}
	if stopped > 0 {
		return v.T("No message can be sent to %d of %d receivers: the certificate is revoked, and the CA has not issued the "+
			"next one.", stopped, len(s.rollovers))
	}
	for _, f := range s.forecast.Certificates {
		if f.Purpose != tenancy.ForTenant {
			continue
		}
		if slices.ContainsFunc(s.rollovers, func(r client.Rollover) bool { return len(r.Generations) > 1 }) {
			return v.progress(s)
		}
		for _, e := range f.Events {
			if e.Action == policy.Renew {
				return v.T("Your certificate will be renewed on %s. Until then there is nothing to do.", v.Day(e.At))
			}
		}
	}
	return v.T("Nothing is planned at the moment.")
}

// progress returns the progress of the receivers after a renewal.
func (v *view) progress(s situation) string {
	var first time.Time // deadline
	risks, exposed := 0, 0
	for _, r := range s.rollovers {
		switch {
		case !r.AtRisk:
			continue
		case r.Exposed:
			exposed++
		case first.IsZero() || r.Deadline.Before(first):
			first = r.Deadline
		}
		risks++
	}
	switch {
	case risks == 0:
		return v.T("Your certificate has been renewed, and every receiver accepts the new one.")
	case exposed > 0:
		return v.T("Your certificate has been renewed. %d of %d receivers are not known to accept the new one, and messages "+
			"to %d of them depend on it now.", risks, len(s.rollovers), exposed)
	case risks == len(s.rollovers):
		return v.T("Your certificate has been renewed. No receiver is known to accept the new one yet. The first deadline "+
			"is %s.", v.Day(first))
	}
	return v.T("Your certificate has been renewed. %d of %d receivers are ready for the new one. The first deadline is "+
		"%s.", s.ready, len(s.rollovers), v.Day(first))
}

func (c *console) certificates(v *view) error {
	name := v.r.PathValue("tenant")
	t, err := get[client.Tenant](c, v, in(name))
	if err != nil {
		return err
	}
	v.tenant = &t
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
	requests, err := get[client.Page[client.CertificateRequest]](c, v, in(name, "requests"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Certificates"), certificatesPage(v, t.Name, list.Items, requests.Items,
		v.lines(list.Items, f, rollovers.Items)))
}

// credentialsOf returns the credentials of certificates and requests: the tenant certificate first, then that of the
// M-user if the tenant has one, then the others by name.
func credentialsOf(certs []client.Certificate, requests []client.CertificateRequest) []tenancy.Purpose {
	var others []tenancy.Purpose
	for _, c := range certs {
		others = append(others, c.Purpose)
	}
	for _, q := range requests {
		others = append(others, q.Purpose)
	}
	names := []tenancy.Purpose{tenancy.ForTenant}
	if slices.Contains(others, tenancy.ForMUser) {
		names = append(names, tenancy.ForMUser)
	}
	others = slices.DeleteFunc(others, tenancy.Purpose.IsBuiltIn)
	slices.Sort(others)
	return slices.Concat(names, slices.Compact(others))
}

// requestsOf returns the requests of a credential.
func requestsOf(all []client.CertificateRequest, name tenancy.Purpose) (some []client.CertificateRequest) {
	for _, q := range all {
		if q.Purpose == name {
			some = append(some, q)
		}
	}
	return some
}

func (c *console) downloadRequest(v *view) error {
	return c.pass(v, in(v.r.PathValue("tenant"), "requests", v.r.PathValue("request"), "csr"))
}

func (c *console) answerRequest(v *view) error {
	name := v.r.PathValue("tenant")
	made, err := post[client.Certificate](c, v, in(name, "requests", v.r.PathValue("request"), "answer"),
		client.RequestAnswer{Certificate: []byte(v.r.PostFormValue("certificate"))})
	if err != nil {
		return err
	}
	return c.done(v, in(name, "certificates"), v.T("Generation %d has been issued. Receivers that accept only the "+
		"old certificate need it now.", made.Generation))
}

func (c *console) repeatRequest(v *view) error {
	name := v.r.PathValue("tenant")
	if _, err := c.do(v, client.Request{Method: http.MethodPost,
		Path: in(name, "requests", v.r.PathValue("request"), "again")}); err != nil {
		return err
	}
	return c.done(v, in(name, "certificates"), v.T("The request was sent again, with another key."))
}

// renewPath returns the path of the form that renews the certificate of a credential.
func renewPath(tenant string, p tenancy.Purpose) string {
	return in(tenant, "certificates", string(p), "renew")
}

// revokePath returns the path of the form that revokes a generation.
func revokePath(tenant string, c client.Certificate) string {
	return in(tenant, "certificates", string(c.Purpose), strconv.Itoa(c.Generation), "revoke")
}

func (c *console) revokeGeneration(v *view) error {
	name, generation := v.r.PathValue("tenant"), v.r.PathValue("generation")
	newest, err := post[client.Certificate](c, v, in(name, "certificates", v.r.PathValue("purpose"), generation,
		"revoke"), map[string]string{"reason": v.r.PostFormValue("reason")})
	if err != nil {
		return err
	}
	return c.done(v, in(name, "certificates"), v.T("Generation %s has been revoked. The newest one is generation %d.",
		generation, newest.Generation))
}

// reasonInput returns the field for the reason of a renewal.
func (v *view) reasonInput(p tenancy.Purpose) input {
	return input{name: "reason", id: "reason-" + string(p), label: v.T("Reason"), kind: "select",
		hint: v.T("Operators can renew at any time if they give a reason. Lost and Compromised revoke every earlier " +
			"generation immediately, even if that interrupts delivery."),
		options: []option{{"", v.T("None (the normal rules apply)")}, {"reissue", v.T("Reissue")}, {"lost", v.T("Lost")},
			{"compromised", v.T("Compromised")}}}
}

// answerInputs returns the field for the answer of a CA to a request.
func (v *view) answerInputs(q client.CertificateRequest) []input {
	return []input{{name: "certificate", id: "answer-" + q.ID, label: v.T("Certificate with its chain (PEM)"),
		kind: "textarea", rows: 6, required: true, attributes: plain}}
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
	if made.State == tenancy.Requested {
		return c.done(v, in(name, "certificates"), v.T("Generation %d has been requested.", made.Generation))
	}
	return c.done(v, in(name, "certificates"), v.T("Generation %d has been issued. Receivers that accept only the "+
		"old certificate need it now.", made.Generation))
}

func (c *console) download(v *view) error {
	p := v.r.PathValue
	return c.pass(v, in(p("tenant"), "certificates", p("purpose"), p("generation"), "download")+"?format="+
		escape(p("format")))
}

// pass answers with a file of the API.
func (c *console) pass(v *view, path string) error {
	file, err := c.do(v, client.Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", file.Header.Get("Content-Type"))
	v.w.Header().Set("Content-Disposition", file.Header.Get("Content-Disposition"))
	_, err = v.w.Write(file.Body)
	return err
}

// mailStatus explains whether the reader gets mails about tasks. It is empty for operators.
type mailStatus struct {
	user  client.KeyUser
	check client.MailCheck
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
	var mail mailStatus
	if !v.Operator() {
		if mail.user, err = get[client.KeyUser](c, v, in(name, "key-users", v.account.KeyUser)); err != nil {
			return err
		}
		path := in(name, "mail-check") + "?user=" + escape(v.account.KeyUser)
		if mail.check, err = get[client.MailCheck](c, v, path); err != nil {
			return err
		}
	}
	return c.show(v, http.StatusOK, v.T("Tasks"), tasksPage(v, name, state, list, mail))
}

// A taskChange holds the fields of a task that can be changed.
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
	flash := v.T("Your task is in progress.")
	if state == tenancy.TaskCompleted {
		flash = v.T("Your task is completed.")
	}
	return c.done(v, in(name, "tasks"), flash)
}

func (c *console) subscribe(v *view) error {
	name := v.r.PathValue("tenant")
	method, flash := http.MethodPut, v.T("From now on you get a mail for every new task.")
	if v.r.PostFormValue("subscribe") == "no" {
		method, flash = http.MethodDelete, v.T("You no longer get mails about tasks. The tasks themselves remain.")
	}
	if _, err := c.do(v, client.Request{Method: method,
		Path: in(name, "key-users", v.account.KeyUser, "subscription")}); err != nil {
		return err
	}
	return c.done(v, in(name, "tasks"), flash)
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

// chosenAnswer returns the answer that the reader has chosen for a question, or else the stored one.
func (v *view) chosenAnswer(tenant, project string, q client.Question) string {
	f := v.form(in(tenant, "scope"))
	if f.value("project", "") != project || f.value("question", "") != q.ID {
		return q.Answer
	}
	return f.value("answer", q.Answer)
}

func (c *console) answer(v *view) error {
	name, f := v.r.PathValue("tenant"), v.r.PostFormValue
	if _, err := c.do(v, client.Request{Method: http.MethodPut, Path: in(name, "scope", f("project"), f("question")),
		Body: map[string]string{"answer": f("answer")}}); err != nil {
		return err
	}
	return c.done(v, in(name, "scope"), v.T("Saved. The answer applies from the next notice on."))
}

func (c *console) people(v *view) error {
	name := v.r.PathValue("tenant")
	users, err := paged[client.KeyUser](c, v, v.listPath(in(name, "key-users")))
	if err != nil {
		return err
	}
	contacts, etag, err := client.GetVersion[client.Page[client.ITContact]](v.caller(), c.api, in(name, "it-contacts"))
	if err != nil {
		return refused(err)
	}
	lines := make([]string, len(contacts.Items))
	for i, one := range contacts.Items {
		lines[i] = one.String()
	}
	return c.show(v, http.StatusOK, v.T("People"), peoplePage(v, name, users, strings.Join(lines, "\n"), etag))
}

// setContacts reads the IT contacts, one per line, such as Ina Ivers <ina@example.com>.
func (c *console) setContacts(v *view) error {
	name := v.r.PathValue("tenant")
	contacts := []client.ITContact{}
	n := 0
	for line := range strings.Lines(v.r.PostFormValue("contacts")) {
		n++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		contact, err := client.ParseContact(line)
		if err != nil || contact.Name == "" {
			return invalid("contacts", v.T("Line %d: write a name and an address, for example Ina Ivers <ina@example.com>.",
				n))
		}
		contacts = append(contacts, contact)
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
	return c.done(v, in(name, "people"), v.T("%s is no longer a key user and cannot sign in.", user))
}

// addPerson adds a key user, and invites the person if the reader asks for it.
func (c *console) addPerson(v *view) error {
	name := v.r.PathValue("tenant")
	f := v.r.PostFormValue
	body := client.KeyUser{Name: f("name"), Email: f("email"), DisplayName: f("display_name"), Language: f("language"),
		Zone: f("zone")}
	if _, err := post[client.KeyUser](c, v, in(name, "key-users"), body); err != nil {
		return err
	}
	c.setFlash(v.w, v.T("%s is now a key user and will get every new task.", body.Name))
	if v.r.PostFormValue("invite") == "yes" {
		return c.showInvitation(v, body.Name)
	}
	http.Redirect(v.w, v.r, in(name, "people"), http.StatusSeeOther)
	return nil
}

func generationPath(tenant string, c client.Certificate, format string) string {
	return in(tenant, "certificates", string(c.Purpose), fmt.Sprint(c.Generation), format)
}
