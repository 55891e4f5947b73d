package web

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/a-h/templ"

	"github.com/perennial-pki/perennial/client"
)

// mostProposals is the number of proposals that the list of counterparties shows.
const mostProposals = 20

// partyAt returns the path of a counterparty, which is the same in the API and in the console.
func partyAt(name string, parts ...string) string {
	path := "/counterparties/" + url.PathEscape(name)
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// counterparties lists the counterparties, with the proposals above them.
func (c *console) counterparties(v *view) error {
	list, err := paged[client.Counterparty](c, v, v.listPath("/counterparties?counts=true"))
	if err != nil {
		return err
	}
	proposals, err := get[client.Page[client.CounterpartyProposal]](c, v,
		v.listPath(fmt.Sprintf("/counterparty-proposals?limit=%d", mostProposals)))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Counterparties"), counterpartiesPage(v, list, proposals))
}

// hosts returns the hosts of a text field, which are separated by spaces, commas or lines.
func hosts(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,;\t\r\n", r) })
}

// hostLines returns the hosts for a text field.
func hostLines(hosts []string) string { return strings.Join(hosts, "\n") }

func (c *console) createCounterparty(v *view) error {
	made, err := post[client.Counterparty](c, v, "/counterparties", client.Counterparty{Name: v.r.PostFormValue("name"),
		DisplayName: v.r.PostFormValue("display_name"), Hosts: hosts(v.r.PostFormValue("hosts"))})
	if err != nil {
		return err
	}
	return c.done(v, partyAt(made.Name), v.T("%s has been created. Linked tenants: %s.", made.DisplayName,
		v.N(made.Tenants)))
}

func (c *console) changeCounterparty(v *view) error {
	name := v.r.PathValue("counterparty")
	p, err := get[client.Counterparty](c, v, partyAt(name))
	if err != nil {
		return err
	}
	p.DisplayName, p.Product = v.r.PostFormValue("display_name"), v.r.PostFormValue("product")
	p.Hosts = hosts(v.r.PostFormValue("hosts"))
	if _, err := client.Put[client.Counterparty](v.caller(), c.api, partyAt(name), v.r.PostFormValue("etag"),
		p); err != nil {
		return refused(err)
	}
	return c.done(v, partyAt(name), v.T("Saved."))
}

// counterparty shows one counterparty to operators.
func (c *console) counterparty(v *view) error {
	name := v.r.PathValue("counterparty")
	p, etag, err := client.GetVersion[client.Counterparty](v.caller(), c.api, partyAt(name))
	if err != nil {
		return refused(err)
	}
	lines, err := paged[client.CounterpartyLine](c, v, v.listPath(partyAt(name, "lines"), "state"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, p.DisplayName, counterpartySheet(v, p, etag, lines))
}

func (c *console) linkCounterparty(v *view) error {
	name := v.r.PathValue("counterparty")
	made, err := post[client.CounterpartyPageLink](c, v, partyAt(name, "link"), nil)
	if err != nil {
		return err
	}
	return c.showOnce(v, once{Page: partyAt(name), Kind: onceParty, Text: made.URL})
}

func (c *console) linkCounterpartyContact(v *view) error {
	name, contact := v.r.PathValue("counterparty"), v.r.PathValue("contact")
	made, err := post[client.CounterpartyPageLink](c, v, partyAt(name, "contacts", contact, "link"), nil)
	if err != nil {
		return err
	}
	return c.showOnce(v, once{Page: partyAt(name), Kind: onceParty, Text: made.URL, About: contact})
}

// addressee returns whose address of the page was created: that of a contact, or of the counterparty if there is no
// contact with the ID.
func addressee(p client.Counterparty, contactID string) string {
	for _, person := range p.Contacts {
		if person.ID == contactID {
			return person.Name
		}
	}
	return p.DisplayName
}

// changeParty sends a change of a counterparty, and shows the counterparty again.
func (c *console) changeParty(v *view, method, text string, body any, parts ...string) error {
	name := v.r.PathValue("counterparty")
	if _, err := c.do(v, client.Request{Method: method, Path: partyAt(name, parts...), Body: body}); err != nil {
		return err
	}
	return c.done(v, partyAt(name), text)
}

func (c *console) revokeCounterpartyLink(v *view) error {
	return c.changeParty(v, http.MethodDelete, v.T("The address of the page has been revoked."), nil, "link")
}

func (c *console) addCounterpartyContact(v *view) error {
	return c.changeParty(v, http.MethodPost, v.T("Saved."), client.CounterpartyContact{Name: v.r.PostFormValue("name"),
		Email: v.r.PostFormValue("email"), Language: v.r.PostFormValue("language"), Zone: v.r.PostFormValue("zone")},
		"contacts")
}

func (c *console) acceptCounterpartyContact(v *view) error {
	return c.changeParty(v, http.MethodPost, v.T("The contact has been accepted."), nil, "contacts",
		v.r.PathValue("contact"), "accept")
}

// noneMailed reports whether a counterparty has contacts and none of them gets mails.
func noneMailed(contacts []client.CounterpartyContact) bool {
	return len(contacts) > 0 && !slices.ContainsFunc(contacts, func(c client.CounterpartyContact) bool {
		return c.StoppedAt.IsZero()
	})
}

// noneMailedText states that no contact of a counterparty gets mails, and what a key user can do.
func (v *view) noneMailedText(name string) string {
	return v.T("No contact of %s gets mails. Write to one of them yourself, and ask your hosting team to add another "+
		"contact.", name)
}

// stoppedNext returns the next step for an operator if a contact gets no mails.
func (v *view) stoppedNext(c client.CounterpartyContact) string {
	switch c.StoppedFor {
	case "bounced":
		return v.T("Correct the address: add the contact again with the right one, and remove this one.")
	case "passed-on":
		return v.T("Add the person who is responsible now.")
	}
	return v.T("Add another contact. They can undo it with the link in their last mail.")
}

func (c *console) resumeCounterpartyContact(v *view) error {
	return c.changeParty(v, http.MethodPost, v.T("The contact gets mails again."), nil, "contacts",
		v.r.PathValue("contact"), "resume")
}

func (c *console) removeCounterpartyContact(v *view) error {
	return c.changeParty(v, http.MethodDelete, v.T("The contact has been removed."), nil, "contacts",
		v.r.PathValue("contact"))
}

func (c *console) acceptProposal(v *view) error {
	accepted, err := post[client.Counterparty](c, v,
		proposalAt(v.r.PathValue("host"), "accept"),
		client.AcceptProposal{Counterparty: v.r.PostFormValue("counterparty"),
			DisplayName: v.r.PostFormValue("display_name")})
	if err != nil {
		return err
	}
	return c.done(v, partyAt(accepted.Name), v.T("The host has been linked. Linked tenants: %s.", v.N(accepted.Tenants)))
}

// proposalAt returns the path of a proposed host, which is the same in the API and in the console.
func proposalAt(host, action string) string {
	return "/counterparty-proposals/" + url.PathEscape(host) + "/" + action
}

// acceptInput returns the field of the form that accepts a proposed host. It stands in a table, so its label is not
// visible.
func (v *view) acceptInput(p client.CounterpartyProposal) input {
	label := v.T("Name of the counterparty for %s", p.Host)
	x := input{name: "counterparty", id: "counterparty-" + p.Host, label: label, stored: p.Counterparty, required: true,
		attributes: templ.Attributes{"aria-label": label, "placeholder": v.T("Name, such as bank")}}
	maps.Copy(x.attributes, plain)
	return x
}

func (c *console) dismissProposal(v *view) error {
	if _, err := c.do(v, client.Request{Method: http.MethodPost,
		Path: proposalAt(v.r.PathValue("host"), "dismiss")}); err != nil {
		return err
	}
	return c.done(v, "/counterparties", v.T("The proposal has been dismissed."))
}

// partyFigures states how many certificates still need something, and until when.
func (v *view) partyFigures(n client.CounterpartyCounts) string {
	switch {
	case n.All == 0:
		return v.T("No receivers with certificates are linked.")
	case n.Open() == 0 && n.Done == 0:
		return v.T("Certificates: %s. None of them is being renewed.", v.N(n.All))
	case n.Open() == 0:
		return v.T("New certificates: %s. All of them are accepted.", v.N(n.Done))
	case !n.First.After(v.now):
		return v.T("Not confirmed yet: %s of %s certificates. Messages already depend on some of them.", v.N(n.Open()),
			v.N(n.All))
	}
	return v.T("Not confirmed yet: %s of %s certificates. The first deadline is %s.", v.N(n.Open()), v.N(n.All),
		v.Day(n.First))
}

// contactState returns whether a contact was accepted and confirmed.
func (v *view) contactState(c client.CounterpartyContact) stateOf {
	switch {
	case c.ProposedBy != "":
		return stateOf{"wait", v.T("Proposed")}
	case c.ConfirmedAt.IsZero():
		return stateOf{"off", v.T("Not confirmed")}
	}
	return stateOf{"good", v.T("Confirmed %s", v.Day(c.ConfirmedAt))}
}

// counterpartyOf reads the counterparty of a receiver; nil if it is linked to none.
func (c *console) counterpartyOf(v *view, tenant, receiver string) (*client.ReceiverCounterparty, error) {
	found, err := get[client.ReceiverCounterparty](c, v, in(tenant, "receivers", receiver, "counterparty"))
	var r *refusal
	if errors.As(err, &r) && r.Status == http.StatusNotFound {
		return nil, nil
	}
	return &found, err
}
