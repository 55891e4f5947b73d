package web

import (
	"encoding/json"
	"net/http"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/tenancy"
)

// selection returns the tenants that a form has chosen. Without a choice it is empty, and [console.chosen] refuses it.
func (v *view) selection() client.WorkSelection {
	s := client.WorkSelection{Filter: v.r.PostFormValue("filter"), Query: v.r.PostFormValue("q"),
		Host: v.r.PostFormValue("host")}
	if v.r.PostFormValue("all") != "yes" {
		s.Tenants = v.r.PostForm["tenant"]
	}
	return s
}

// chosen returns what a form has chosen for an action, with its figures.
func (c *console) chosen(v *view) (s client.WorkSelection, n client.WorkScope, err error) {
	s = v.selection()
	if len(s.Tenants) == 0 && v.r.PostFormValue("all") != "yes" {
		return s, n, &refusal{http.StatusUnprocessableEntity, v.T("Choose tenants first, or all that match.")}
	}
	path := "/worklist/scope?filter=" + escape(s.Filter) + "&q=" + escape(s.Query) + "&host=" + escape(s.Host)
	for _, name := range s.Tenants {
		path += "&tenant=" + escape(name)
	}
	if n, err = get[client.WorkScope](c, v, path); err == nil && n.Arrangements == 0 {
		err = &refusal{http.StatusUnprocessableEntity, v.T("None of the chosen tenants has a receiver at risk, so there is " +
			"nothing to do.")}
	}
	return s, n, err
}

// askChosen returns a question about an action on chosen tenants, with the figures of what it concerns.
func (c *console) askChosen(v *view) (q *question, n client.WorkScope, err error) {
	s, n, err := c.chosen(v)
	if err != nil {
		return nil, n, err
	}
	q = &question{back: "/tenants", calm: true, facts: []string{v.T("Receivers at risk: %s, of %s, at %s.",
		v.N(n.Arrangements), v.Count(n.Tenants, "tenant", "tenants"), v.Count(n.Hosts, "host", "hosts"))}}
	switch {
	case s.Host != "":
		q.back = "/at-risk?host=" + escape(s.Host)
	case s.Filter != "":
		q.back += "?filter=" + escape(s.Filter)
	}
	if n.Idle > 0 {
		q.facts = append(q.facts, v.T("Chosen tenants without a receiver at risk, which are left out: %d.", n.Idle))
	}
	return q, n, nil
}

func (c *console) askTestRound(v *view) (*question, error) {
	q, n, err := c.askChosen(v)
	if err != nil {
		return nil, err
	}
	q.title, q.verb = v.T("Test %s?", v.Count(n.Arrangements, "receiver", "receivers")), v.T("Test receivers")
	q.facts = append(q.facts, v.T("Each receiver is asked whether it accepts the new certificate. No message is sent, "+
		"and at most four receivers of a host are asked per second."))
	if n.NewestOnly > 0 {
		q.facts = append(q.facts, v.T("Not asked, because a question would lock out the certificate in use: %d.",
			n.NewestOnly))
	}
	q.undo = v.T("A test changes nothing at the receiver. Its answer is recorded, and receivers that accept are used " +
		"with the new certificate.")
	return q, nil
}

func (c *console) askWorkLinks(v *view) (*question, error) {
	q, n, err := c.askChosen(v)
	if err != nil {
		return nil, err
	}
	q.title, q.verb, q.file = v.T("Create %s?", v.Count(n.Arrangements, "link", "links")), v.T("Create links"), true
	q.facts = append(q.facts, v.T("Each link leads the administrator of one receiver to its new certificate. You get a "+
		"CSV file with the links and the addresses, for a mail merge. The links are shown only there."),
		v.T("Receivers whose administrator has an e-mail address: %d of %d.", n.Contacts, n.Arrangements))
	q.undo = v.T("Each link can be revoked on the page of its arrangement. Links that exist stay valid.")
	return q, nil
}

// startTestRound starts a round of tests. A form that is sent again leads to the same round.
func (c *console) startTestRound(v *view) error {
	round, err := createOnce[client.TestRound](c, v, "/test-rounds", v.selection())
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, "/test-rounds/"+escape(round.ID), http.StatusSeeOther)
	return nil
}

// createOnce creates something once for each form: if a form is sent again, the answer is the first one.
func createOnce[T any](c *console, v *view, path string, body any) (out T, err error) {
	answer, err := c.do(v, client.Request{Method: http.MethodPost, Path: path, Body: body,
		IdempotencyKey: v.r.PostFormValue("once")})
	if err == nil {
		err = json.Unmarshal(answer.Body, &out)
	}
	return out, err
}

// createWorkLinks creates links for administrators, and writes them as a CSV file.
func (c *console) createWorkLinks(v *view) error {
	links, err := createOnce[client.WorkLinks](c, v, "/worklist/links", v.selection())
	if err != nil {
		return err
	}
	table, err := c.beginTable(v, "links.csv", "arrangement", "tenant", "receiver", "contact", "email", "url",
		"expires_at")
	if err != nil {
		return err
	}
	for _, l := range links.Items {
		table.Write([]string{l.Arrangement, publish.SpreadsheetCell(l.Tenant), publish.SpreadsheetCell(l.Receiver),
			publish.SpreadsheetCell(l.Contact), publish.SpreadsheetCell(l.Email), l.URL, stamp(l.ExpiresAt)})
	}
	table.Flush()
	return nil // if the connection failed, the form can be sent again
}

func (c *console) testRounds(v *view) error {
	list, err := paged[client.TestRound](c, v, "/test-rounds")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Tests"), testRoundsPage(v, list))
}

func (c *console) testRound(v *view) error {
	path := "/test-rounds/" + escape(v.r.PathValue("round"))
	round, err := get[client.TestRound](c, v, path)
	if err != nil {
		return err
	}
	results, err := paged[client.TestResult](c, v, v.listPath(path+"/results", "result"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Tests"), testRoundPage(v, round, results))
}

// choiceText names what a round was for.
func (v *view) choiceText(s client.WorkSelection) string {
	switch {
	case s.Host != "":
		return s.Host
	case len(s.Tenants) == 1:
		return s.Tenants[0]
	case len(s.Tenants) > 1:
		return v.T("%d chosen tenants", len(s.Tenants))
	case s.Query != "":
		return v.T("tenants found by %s", s.Query)
	case s.Filter == client.WorkFilterUnwarned:
		return v.T("tenants without key users")
	}
	return v.T("all tenants at risk")
}

// roundText states how far a round is.
func (v *view) roundText(r client.TestRound) string {
	switch {
	case r.Waiting > 0:
		return v.T("Running: %d of %d have a result. You can leave this page.", r.Total-r.Waiting, r.Total)
	case r.Accepted == r.Total:
		return v.T("Finished: all receivers accept the new certificate.")
	}
	return v.T("Finished: %d of %d accept the new certificate.", r.Accepted, r.Total)
}

// A roundFigure is a number of a round. It leads to the tests that it counts.
type roundFigure struct {
	count      int
	text, href string
	current    bool
}

func (v *view) roundFigures(r client.TestRound) []roundFigure {
	path, shown := "/test-rounds/"+r.ID, v.r.URL.Query().Get("result")
	all := []roundFigure{{r.Total, v.T("All"), path, shown == ""}}
	for _, f := range []roundFigure{{r.Accepted, v.T("Accepted"), tenancy.TestAccepted, false},
		{r.Refused, v.T("Refused"), tenancy.TestRefused, false}, {r.Unclear, v.T("Unclear"), tenancy.TestUnclear, false},
		{r.Skipped, v.T("Not asked"), tenancy.TestSkipped, false}, {r.Waiting, v.T("Waiting"), tenancy.TestWaiting, false}} {
		f.current = shown == f.href
		f.href = path + "?result=" + f.href
		all = append(all, f)
	}
	return all
}

// roundResult shows the result of a test.
func (v *view) roundResult(t client.TestResult) stateOf {
	switch t.Result {
	case tenancy.TestAccepted:
		return stateOf{"good", v.T("Accepted")}
	case tenancy.TestRefused:
		return stateOf{"bad", v.T("Refused")}
	case tenancy.TestSkipped:
		return stateOf{"off", v.T("Not asked")}
	case "":
		return stateOf{"wait", v.T("Waiting")}
	}
	return stateOf{"wait", v.T("Unclear")}
}

// roundAnswer shows the answer of the receiver, or why it was not asked.
func (v *view) roundAnswer(t client.TestResult) string {
	switch t.Reason {
	case tenancy.SkippedRecent:
		return v.T("Another round asks it, or has asked it in the last five minutes.")
	case tenancy.SkippedNewestOnly:
		return v.T("A question would lock out the certificate in use.")
	case tenancy.SkippedSettled:
		return v.T("It is no longer at risk.")
	case tenancy.SkippedGone:
		return v.T("The arrangement presents no certificate any longer.")
	case tenancy.SkippedNoKey:
		return v.T("The private key does not sign at the moment.")
	case tenancy.SkippedFailed:
		return v.T("The question failed. The service's log has the reason.")
	}
	return t.Answer
}
