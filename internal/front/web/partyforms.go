package web

import (
	"net/http"

	"github.com/a-h/templ"

	"github.com/perennial-pki/perennial/client"
)

// newPartyInputs returns the fields of the form for a new counterparty.
func (v *view) newPartyInputs() []input {
	return []input{
		{name: "name", label: v.T("Name"), required: true, attributes: plain,
			hint: v.T("Part of URLs: lowercase letters, digits and -, for example bank")},
		{name: "display_name", label: v.T("Display name"),
			hint: v.T("For example House Bank. If left empty, the name is used.")},
		v.hostInput(nil),
	}
}

// partyInputs returns the fields of the form for the settings of a counterparty.
func (v *view) partyInputs(p client.Counterparty) []input {
	return []input{{name: "display_name", label: v.T("Display name"), stored: p.DisplayName}, v.hostInput(p.Hosts),
		v.productInput(v.T("Product"), p.Product)}
}

func (v *view) hostInput(stored []string) input {
	return input{name: "hosts", label: v.T("Hosts"), kind: "textarea", rows: 3, stored: hostLines(stored),
		attributes: plain, hint: v.T("One per line, such as pay.bank.example, or .bank.example for every host below it. " +
			"The receivers of all tenants with these hosts are linked.")}
}

func (v *view) productInput(label, stored string) input {
	x := input{name: "product", label: label, kind: "select", stored: stored, options: []option{{"", v.T("Not known")}}}
	for _, name := range productNames() {
		x.options = append(x.options, option{name, name})
	}
	return x
}

// partyContactInputs returns the fields of the form for a contact of a counterparty.
func (v *view) partyContactInputs() []input {
	return []input{
		{name: "name", label: v.T("Name"), required: true, attributes: templ.Attributes{"autocomplete": "off"}},
		{name: "email", label: v.T("E-mail"), kind: "email", required: true,
			attributes: templ.Attributes{"autocomplete": "off"}},
		{name: "language", label: v.T("Language"), kind: "select", options: []option{{"", v.T("Same as the browser")},
			{"en", "English"}, {"de", "Deutsch"}}},
	}
}

func (v *view) partyZoneInput() input {
	return input{name: "zone", label: v.T("Time zone"), hint: v.T("For example Europe/Berlin. Leave empty for UTC."),
		attributes: plain}
}

// visited states when the page of a counterparty was visited.
func (v *view) visited(p client.Counterparty) string {
	if p.VisitedAt.IsZero() {
		return v.T("The present address was never visited.")
	}
	return v.T("The page was last visited %s.", v.Away(p.VisitedAt))
}

func (c *console) askReplacePartyLink(v *view) (*question, error) {
	return c.askEndPartyLink(v, v.T("New address"))
}

func (c *console) askRevokePartyLink(v *view) (*question, error) {
	return c.askEndPartyLink(v, v.T("Revoke address"))
}

// askEndPartyLink asks before the addresses of a counterparty's page end, if there are any.
func (c *console) askEndPartyLink(v *view, verb string) (*question, error) {
	name := v.r.PathValue("counterparty")
	p, err := get[client.Counterparty](c, v, partyAt(name))
	if err != nil || p.LinkedAt.IsZero() {
		return nil, err
	}
	q := &question{title: v.T("End the present address of the page for %s?", p.DisplayName), verb: verb,
		back: partyAt(name), undo: v.final(), facts: []string{v.visited(p),
			v.T("The addresses of its contacts end too. Its calendars get no further deadlines.")}}
	if p.Feed != nil { // someone who has found the address of the page may have created it
		q.facts = append(q.facts, v.T("The feed keeps its address, which was created by %s. Give it a new one too if "+
			"someone else may have the address of the page.", v.actor(p.Feed.CreatedBy)))
	}
	return q, nil
}

func (c *console) askRemovePartyContact(v *view) (*question, error) {
	name, id := v.r.PathValue("counterparty"), v.r.PathValue("contact")
	p, err := get[client.Counterparty](c, v, partyAt(name))
	if err != nil {
		return nil, err
	}
	for _, person := range p.Contacts {
		if person.ID == id {
			return &question{title: v.T("Remove the contact %s?", person.Name), verb: v.T("Remove"), back: partyAt(name),
				undo: v.final(), facts: []string{v.T("Their own address of the page ends."),
					v.T("Contacts that remain: %s.", v.N(len(p.Contacts)-1))}}, nil
		}
	}
	return nil, &refusal{http.StatusNotFound, ""}
}

func (c *console) askDismissProposal(v *view) (*question, error) {
	host := v.r.PathValue("host")
	return &question{title: v.T("Dismiss %s?", host), verb: v.T("Dismiss"), back: "/counterparties", facts: []string{
		v.T("The host is not proposed again, whatever number of tenants names it.")},
		undo: v.T("You can still add the host to a counterparty, in its settings.")}, nil
}
