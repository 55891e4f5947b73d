package web

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/instructions"
	"github.com/perennial-pki/perennial/internal/front/publish"
)

// A partyPage is the content of the page of a counterparty.
type partyPage struct {
	client.CounterpartyPage
	Lines client.Page[client.CounterpartyLine]
	Path  string // of the page
}

// partyRows is the number of certificates on a page. With their fingerprints, 50 keep it below 100 KB.
const partyRows = 50

// partyAPI returns the path of the page of a counterparty in the API.
func partyAPI(v *view) string { return "/links/" + escape(v.r.PathValue("secret")) + "/counterparty" }

// partyPath returns the path of the page of a counterparty.
func partyPath(v *view) string { return "/counterparty/" + escape(v.r.PathValue("secret")) }

// counterpartyPage shows the page of a counterparty to its administrators, who have no account.
func (c *console) counterpartyPage(v *view) error {
	p, err := get[client.CounterpartyPage](c, v, partyAPI(v))
	if isGone(err) {
		return c.show(v, http.StatusNotFound, v.T("This link is not valid"), linkGone(v))
	} else if err != nil {
		return err
	}
	v.readAs(p.Reader)
	lines, err := client.ListPage[client.CounterpartyLine](v.caller(), c.api, v.listPath(partyAPI(v)+"/lines", "state"),
		v.r.URL.Query().Get("from"), partyRows)
	if err != nil {
		return refused(err)
	}
	return c.show(v, http.StatusOK, v.T("Certificates for %s", p.DisplayName),
		counterpartyStanding(v, partyPage{CounterpartyPage: p, Lines: lines, Path: partyPath(v)}))
}

// readAs shows a page in the language and the time zone of a contact, as far as they are known.
func (v *view) readAs(contact *client.CounterpartyContact) {
	if contact == nil {
		return
	}
	if contact.Language != "" {
		v.lang = contact.Language
	}
	if zone, err := time.LoadLocation(contact.Zone); err == nil {
		v.zone, v.account.Zone = zone, contact.Zone // the footer names the zone of the account
	}
}

// boxOf returns the ID of the box that selects a certificate, which a refresh keeps as it is. htmx reads it as a part
// of a selector. The names in a key contain no underscore.
func boxOf(key string) string { return "key_" + strings.ReplaceAll(key, "/", "_") }

// partyPlace lists the parameters of the part of the list that a form comes from, and that is shown again.
var partyPlace = []string{"from", "q", "state"}

// testParty has certificates tested, and reports them as installed if the button says so.
func (c *console) testParty(v *view) error {
	if err := v.r.ParseForm(); err != nil {
		return &refusal{http.StatusBadRequest, v.T("The form cannot be read.")}
	}
	button := v.r.PostFormValue("do")
	body := client.CounterpartyTest{Keys: v.r.PostForm["key"], All: strings.HasSuffix(button, "all"),
		Installed: strings.HasPrefix(button, "installed")}
	place := url.Values{}
	for _, name := range partyPlace {
		if value := v.r.PostFormValue(name); value != "" {
			place.Set(name, value)
		}
	}
	back := strings.TrimSuffix(partyPath(v)+"?"+place.Encode(), "?")
	if !body.All && len(body.Keys) == 0 {
		return c.done(v, back, v.T("No certificate was selected. Select at least one, or use the buttons for all."))
	}
	tested, err := post[client.CounterpartyTested](c, v, partyAPI(v)+"/test", body)
	if isGone(err) {
		return c.show(v, http.StatusNotFound, v.T("This link is not valid"), linkGone(v))
	} else if err != nil {
		return err
	}
	switch {
	case tested.Tests == 0:
		return c.done(v, back, v.T("These systems were tested within the last five minutes. The results are below."))
	case body.Installed:
		return c.done(v, back, v.T("Thank you. Your report is recorded, and the systems are being tested: %s. The "+
			"results appear below.", v.N(tested.Tests)))
	}
	return c.done(v, back, v.T("Tests started: %s. The results appear below.", v.N(tested.Tests)))
}

// setPartyProduct remembers the product that the systems of a counterparty run.
func (c *console) setPartyProduct(v *view) error {
	_, err := c.do(v, client.Request{Method: http.MethodPut, Path: partyAPI(v) + "/product",
		Body: client.CounterpartyProduct{Product: v.r.PostFormValue("product")}})
	return c.partyDone(v, err, v.T("Saved. The instructions below are for this product."))
}

// proposePartyContact names another contact.
func (c *console) proposePartyContact(v *view) error {
	_, err := c.do(v, client.Request{Method: http.MethodPost, Path: partyAPI(v) + "/contacts",
		Body: client.CounterpartyContact{Name: v.r.PostFormValue("name"), Email: v.r.PostFormValue("email"),
			Language: v.r.PostFormValue("language")}})
	return c.partyDone(v, err, v.T("Thank you. The operators of the platform will check the contact and accept it."))
}

func (c *console) confirmPartyContact(v *view) error {
	_, err := c.do(v, client.Request{Method: http.MethodPost,
		Path: partyAPI(v) + "/contacts/" + escape(v.r.PathValue("contact")) + "/confirm"})
	return c.partyDone(v, err, v.T("Thank you. The contact has been confirmed."))
}

// partyDone answers a form of the page of a counterparty. A conflict is shown, because the secret is valid.
func (c *console) partyDone(v *view, err error, text string) error {
	var r *refusal
	if errors.As(err, &r) && r.Status == http.StatusNotFound {
		return c.show(v, http.StatusNotFound, v.T("This link is not valid"), linkGone(v))
	} else if err != nil {
		return err
	}
	return c.done(v, partyPath(v), text)
}

// partyCalendar serves the deadlines of a counterparty as a calendar.
func (c *console) partyCalendar(v *view) error {
	p, err := get[client.CounterpartyPage](c, v, partyAPI(v))
	if isGone(err) {
		http.Error(v.w, "this calendar does not exist or was revoked", http.StatusNotFound)
		return nil
	} else if err != nil {
		return err
	}
	v.readAs(p.Reader)
	owner := sha256.Sum256([]byte(p.DisplayName)) // a reader may follow the calendars of two counterparties
	var entries []publish.CalendarEntry
	for _, d := range p.Deadlines {
		if !d.At.After(v.now) {
			continue
		}
		day := publish.LastWorkday(d.At.In(v.zone))
		if day.Before(v.now) {
			day = v.now.In(v.zone)
		}
		entries = append(entries, publish.CalendarEntry{
			UID: c.calendarUID(fmt.Sprintf("counterparty-%x-%s", owner[:8], d.At.UTC().Format(time.DateOnly))),
			At:  day, AllDay: true, URL: c.baseURL + partyPath(v), RemindDays: []int{7, 1},
			Summary: v.T("Last working day for new client certificates: %s", v.N(d.Certificates)),
			Description: v.T("From %s on, messages fail if your systems do not accept the new certificates.", v.When(d.At)) +
				"\n" + c.baseURL + partyPath(v),
		})
	}
	var out bytes.Buffer
	if err := publish.Calendar(&out, v.T("Certificates for %s", p.DisplayName), entries, v.now); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/calendar; charset=utf-8")
	_, err = v.w.Write(out.Bytes())
	return err
}

// partyState returns the state of a certificate for the administrators of its receivers.
func (v *view) partyState(state string) stateOf {
	switch state {
	case "exposed":
		return stateOf{"bad", v.T("In use, not confirmed")}
	case "refused":
		return stateOf{"bad", v.T("Refused")}
	case "needed":
		return stateOf{"wait", v.T("Not confirmed")}
	case "claimed":
		return stateOf{"wait", v.T("Reported")}
	case "done":
		return stateOf{"good", v.T("Accepted")}
	}
	return stateOf{"off", v.T("No new certificate")}
}

// partyTabs returns the states that the certificates of a counterparty have, and the chosen one.
func (v *view) partyTabs(n client.CounterpartyCounts) []tab {
	chosen := v.r.URL.Query().Get("state")
	all := []tab{{v.T("All"), n.All, v.with("state", "") + "#states", chosen == ""}}
	for _, of := range []struct {
		state string
		count int
	}{{"exposed", n.Exposed}, {"refused", n.Refused}, {"needed", n.Needed}, {"claimed", n.Claimed}, {"done", n.Done},
		{"quiet", n.Quiet}} {
		if of.count > 0 || of.state == chosen {
			all = append(all, tab{v.partyState(of.state).word, of.count, v.with("state", of.state) + "#states",
				of.state == chosen})
		}
	}
	return all
}

// partyNarrowed reports whether the list of certificates is limited to a text or a state.
func (v *view) partyNarrowed() bool { return v.searched() || v.r.URL.Query().Get("state") != "" }

// partySentence states what is left to do.
func (v *view) partySentence(n client.CounterpartyCounts) string {
	switch {
	case n.All == 0:
		return v.T("No certificates are presented to your systems yet.")
	case n.Open() == 0 && n.Done == 0:
		return v.T("There is nothing to do. None of the certificates is being renewed.")
	case n.Open() == 0:
		return v.T("There is nothing to do. Your systems accept every new certificate. Thank you.")
	case n.Refused > 0:
		return v.T("A system refuses a new certificate. Install the certificate there, and test again.")
	}
	return v.firstStep()
}

// firstStep states what the administrators of receivers do first.
func (v *view) firstStep() string {
	return v.T("Perhaps you need not do anything: many systems accept a new certificate without a change. Test now.")
}

// countdown returns the time to the first deadline, as the largest text of the page, and its explanation.
func (v *view) countdown(n client.CounterpartyCounts) (large, small string) {
	if !n.First.After(v.now) {
		return v.T("Now"), v.T("Messages are already sent with new certificates that no system has confirmed.")
	}
	return v.daysUntil(n.First), v.T("until the first deadline: %s", v.When(n.First))
}

// daysUntil returns the days until a deadline, rounded up.
func (v *view) daysUntil(deadline time.Time) string {
	if !deadline.After(v.now) {
		return v.T("Now")
	}
	return v.Days(deadline.Sub(v.now).Hours() / 24)
}

// fingerprints returns those of the certificate in use and of the new one.
func fingerprints(l client.CounterpartyLine) (before, after string) {
	switch {
	case l.State == "quiet":
		return l.New.Fingerprint, "–"
	case l.Old == nil:
		return "–", l.New.Fingerprint
	}
	return l.Old.Fingerprint, l.New.Fingerprint
}

// testResult describes the last test of a connection.
func (v *view) testResult(c client.CounterpartyConnection) string {
	switch {
	case c.Waiting:
		return v.T("Test is running")
	case c.TestedAt.IsZero():
		return ""
	case c.Result == "accepted":
		return v.T("Test on %s: accepted", v.When(c.TestedAt))
	case c.State == "done": // a message, or a test that was not asked for here
		return v.T("Accepted since the test on %s", v.When(c.TestedAt))
	case c.Result == "refused":
		return v.T("Test on %s: refused (%s)", v.When(c.TestedAt), c.Answer)
	case c.Result == "":
		return v.T("Test on %s: not possible at the moment", v.When(c.TestedAt))
	case !c.Proves:
		return v.T("Test on %s: not refused. The next message will show whether it works.", v.When(c.TestedAt))
	}
	return v.T("Test on %s: no clear answer (%s)", v.When(c.TestedAt), c.Answer)
}

// productNames lists the products with instructions.
func productNames() []string {
	var names []string
	for _, p := range instructions.Products() {
		names = append(names, p.Product)
	}
	return names
}

// partyInstructions returns the instructions for the product of a counterparty, with the worst certificate as the
// example. There are none without a product, or if nothing is left to do.
func partyInstructions(p partyPage) []instructions.Instruction {
	if p.Product == "" || len(p.Lines.Items) == 0 || p.Counts.Open() == 0 {
		return nil
	}
	l := p.Lines.Items[0]
	var r *client.Renewal
	if l.Old != nil && l.Changes != nil {
		r = &client.Renewal{Old: *l.Old, New: l.New, Changes: *l.Changes}
	}
	for _, i := range instructionsFor(tenantOf(l.Key), l.New, r, len(l.Revoked) > 0) {
		if i.Product == p.Product {
			return []instructions.Instruction{i}
		}
	}
	return nil
}
