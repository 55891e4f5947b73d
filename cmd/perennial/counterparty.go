package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/client"
)

type counterpartyCmd struct {
	Create    counterpartyCreateCmd    `cmd:"" help:"Create a counterparty, and link the receivers of all tenants with its hosts."`
	List      counterpartyListCmd      `cmd:"" help:"List the counterparties."`
	Show      counterpartyShowCmd      `cmd:"" help:"Show a counterparty with its contacts and its state."`
	Change    counterpartyChangeCmd    `cmd:"" help:"Change a counterparty. If its hosts change, the receivers are linked again."`
	Lines     counterpartyLinesCmd     `cmd:"" help:"List the certificates that its receivers must accept, the worst first."`
	Link      counterpartyLinkCmd      `cmd:"" help:"Give the page of a counterparty a new address. The former one ends at once."`
	Revoke    counterpartyRevokeCmd    `cmd:"" help:"Revoke the address of the page of a counterparty."`
	Unlink    counterpartyUnlinkCmd    `cmd:"" help:"End the link of one receiver to a counterparty."`
	Remove    counterpartyRemoveCmd    `cmd:"" help:"Delete a counterparty with its contacts and its page."`
	Contact   counterpartyContactCmd   `cmd:"" help:"The contacts of a counterparty."`
	Feed      counterpartyFeedCmd      `cmd:"" help:"The feed with the certificates of all its tenants."`
	Proposals counterpartyProposalsCmd `cmd:"" help:"List the hosts that several tenants name, and those of counterparties with receivers that are not linked."`
	Accept    counterpartyAcceptCmd    `cmd:"" help:"Link the receivers of all tenants with a proposed host to a counterparty, which is created if there is none."`
	Dismiss   counterpartyDismissCmd   `cmd:"" help:"Dismiss the proposal for a host. It is not proposed again."`
}

// aCounterparty names a counterparty.
type aCounterparty struct {
	remote
	Name string `arg:"" field:"counterparty" help:"The name of the counterparty."`
}

func (c *aCounterparty) path(parts ...string) string {
	path := "/counterparties/" + url.PathEscape(c.Name)
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

type counterpartyCreateCmd struct {
	aCounterparty
	DisplayName string   `help:"Name shown to people (default: the name)."`
	Host        []string `placeholder:"HOST" field:"hosts" help:"A host of its receivers, or with a dot in front every host below it. May be repeated."`
	Product     string   `help:"Product that its receivers run, as in the instructions."`
}

func (c *counterpartyCreateCmd) Run(e env) error {
	v, err := post[client.Counterparty](&c.remote, "/counterparties", client.Counterparty{Name: c.Name,
		DisplayName: c.DisplayName, Hosts: c.Host, Product: c.Product})
	if err != nil {
		return err
	}
	return showCounterparty(&c.remote, e, v)
}

func showCounterparty(c *remote, e env, v client.Counterparty) error {
	page := "none: create one with perennial counterparty link " + v.Name
	if !v.LinkedAt.IsZero() {
		page = fmt.Sprintf("address of %s by %s, last visit %s", moment(v.LinkedAt), v.LinkedBy, when(v.VisitedAt))
	}
	state := ""
	if n := v.Counts; n != nil {
		state = fmt.Sprintf("%d of %d certificates still need their receivers", n.Open(), n.All)
		if n.Open() > 0 {
			state += ", the first deadline is " + moment(n.First)
		}
	}
	lines := []any{"name", v.Name, "display name", v.DisplayName, "hosts", strings.Join(v.Hosts, ", "),
		"product", v.Product, "tenants", v.Tenants, "state", state, "page", page}
	if v.Feed != nil {
		lines = append(lines, "feed", "fetched "+fetchedParty(*v.Feed))
	}
	for _, p := range v.Contacts {
		text := p.Name + " <" + p.Email + ">, ID " + p.ID
		if p.ProposedBy != "" {
			text += " (proposed: accept it with perennial counterparty contact accept " + v.Name + " " + p.ID + ")"
		}
		if !p.StoppedAt.IsZero() {
			text += ", no mails since " + moment(p.StoppedAt) + " (" + p.StoppedFor + "): add another contact"
		}
		lines = append(lines, "contact", text)
	}
	return c.show(e, v, lines...)
}

type counterpartyListCmd struct {
	searched
	Host string `help:"Only the counterparty that this host belongs to."`
	Text string `arg:"" optional:"" field:"q" help:"As --query."`
}

func (c *counterpartyListCmd) Run(e env) error {
	path := "/counterparties"
	if c.Host != "" {
		path += "?host=" + url.QueryEscape(c.Host)
	}
	if c.Query != "" && c.Text != "" {
		return misused("give the text once, with or without --query")
	}
	c.Query = cmp.Or(c.Query, c.Text)
	return list(&c.listing, e, c.search(path), "NAME\tDISPLAY NAME\tTENANTS\tHOSTS\tPAGE VISITED",
		c.none("No counterparties. Hosts that several tenants name: perennial counterparty proposals"),
		func(v client.Counterparty) []any {
			return []any{v.Name, v.DisplayName, v.Tenants, strings.Join(v.Hosts, ", "), when(v.VisitedAt)}
		})
}

type counterpartyShowCmd struct{ aCounterparty }

func (c *counterpartyShowCmd) Run(e env) error {
	v, err := get[client.Counterparty](&c.remote, c.path())
	if err != nil {
		return err
	}
	return showCounterparty(&c.remote, e, v)
}

type counterpartyChangeCmd struct {
	aCounterparty
	DisplayName *string  `help:"Name shown to people."`
	AddHost     []string `placeholder:"HOST" field:"hosts" help:"Another host of its receivers. May be repeated."`
	RemoveHost  []string `placeholder:"HOST" field:"hosts" help:"A host that does not belong to it. May be repeated."`
	Product     *string  `help:"Product that its receivers run, as in the instructions."`
}

func (c *counterpartyChangeCmd) Run(e env) error {
	v, err := change(&c.remote, c.path(), func(v *client.Counterparty) error {
		if c.DisplayName != nil {
			v.DisplayName = *c.DisplayName
		}
		if c.Product != nil {
			v.Product = *c.Product
		}
		v.Hosts = append(v.Hosts, c.AddHost...)
		v.Hosts = slices.DeleteFunc(v.Hosts, func(host string) bool { return slices.Contains(c.RemoveHost, host) })
		return nil
	})
	if err != nil {
		return err
	}
	return showCounterparty(&c.remote, e, v)
}

type counterpartyLinesCmd struct {
	queried
	Name  string `arg:"" field:"counterparty" help:"The name of the counterparty."`
	State string `enum:",exposed,refused,needed,claimed,done,quiet" default:"" help:"Only certificates in this state: ${enum}."`
}

func (c *counterpartyLinesCmd) Run(e env) error {
	none := "No receivers are linked to it."
	if c.State != "" {
		none = "No certificate is in this state."
	}
	return list(&c.listing, e, c.search("/counterparties/"+url.PathEscape(c.Name)+"/lines", "state", c.State),
		"CERTIFICATE\tTENANT\tSTATE\tDEADLINE\tNEW SHA-256", c.none(none),
		func(l client.CounterpartyLine) []any {
			return []any{l.Key, l.Tenant, l.State, when(l.Deadline), l.New.Fingerprint[:16]}
		})
}

type counterpartyLinkCmd struct{ aCounterparty }

func (c *counterpartyLinkCmd) Run(e env) error {
	v, err := post[client.CounterpartyPageLink](&c.remote, c.path("link"), nil)
	if err != nil {
		return err
	}
	return c.show(e, v, "page", v.URL)
}

type counterpartyRevokeCmd struct{ aCounterparty }

func (c *counterpartyRevokeCmd) Run(e env) error {
	return c.carry(e, http.MethodDelete, c.path("link"), nil,
		"The link to the page of "+c.Name+" is revoked. To create another one: perennial counterparty link "+c.Name)
}

type counterpartyUnlinkCmd struct {
	aCounterparty
	Receiver string `arg:"" name:"tenant/receiver" field:"tenant,receiver"`
}

func (c *counterpartyUnlinkCmd) Run(e env) error {
	tenant, receiver, ok := strings.Cut(c.Receiver, "/")
	if !ok {
		return misused("%q: write TENANT/RECEIVER, such as acme/erp", c.Receiver)
	}
	return c.carry(e, http.MethodPost, c.path("unlink"), client.UnlinkReceiver{Tenant: tenant, Receiver: receiver},
		"The receiver "+c.Receiver+" is no longer linked to "+c.Name+".")
}

type counterpartyRemoveCmd struct{ aCounterparty }

func (c *counterpartyRemoveCmd) Run(e env) error {
	return c.remove(e, c.path(), "The counterparty "+c.Name+" is deleted, with its contacts and its page.")
}

type counterpartyContactCmd struct {
	Add    counterpartyContactAddCmd    `cmd:"" help:"Add a contact, after the others."`
	Accept counterpartyContactAcceptCmd `cmd:"" help:"Accept a contact that the page of the counterparty has proposed."`
	Link   counterpartyContactLinkCmd   `cmd:"" help:"Create an address of the page for one contact, in their language and time zone."`
	Resume counterpartyContactResumeCmd `cmd:"" help:"Mail a contact again whose address was reported as not existing."`
	Remove counterpartyContactRemoveCmd `cmd:"" help:"Remove a contact. Their address of the page ends."`
}

type counterpartyContactAddCmd struct {
	aCounterparty
	Person   string `arg:"" field:"name" help:"Name of the person."`
	Email    string `arg:""`
	Language string `enum:",en,de" default:"" help:"en or de; by default that of the browser."`
	Zone     string `help:"Time zone such as Europe/Berlin; by default UTC."`
}

func (c *counterpartyContactAddCmd) Run(e env) error {
	v, err := post[client.CounterpartyContact](&c.remote, c.path("contacts"), client.CounterpartyContact{Name: c.Person,
		Email: c.Email, Language: c.Language, Zone: c.Zone})
	if err != nil {
		return err
	}
	return c.show(e, v, "id", v.ID, "name", v.Name, "e-mail", v.Email)
}

type counterpartyContactAcceptCmd struct {
	aCounterparty
	ID string `arg:"" field:"contact"`
}

func (c *counterpartyContactAcceptCmd) Run(e env) error {
	return c.carry(e, http.MethodPost, c.path("contacts", c.ID, "accept"), nil,
		"The contact "+c.ID+" of "+c.Name+" is accepted.")
}

type counterpartyContactLinkCmd struct {
	aCounterparty
	ID string `arg:"" field:"contact"`
}

func (c *counterpartyContactLinkCmd) Run(e env) error {
	v, err := post[client.CounterpartyPageLink](&c.remote, c.path("contacts", c.ID, "link"), nil)
	if err != nil {
		return err
	}
	return c.show(e, v, "page", v.URL)
}

type counterpartyContactResumeCmd struct {
	aCounterparty
	ID string `arg:"" field:"contact"`
}

func (c *counterpartyContactResumeCmd) Run(e env) error {
	return c.carry(e, http.MethodPost, c.path("contacts", c.ID, "resume"), nil,
		"The contact "+c.ID+" of "+c.Name+" gets mails again.")
}

type counterpartyContactRemoveCmd struct {
	aCounterparty
	ID string `arg:"" field:"contact"`
}

func (c *counterpartyContactRemoveCmd) Run(e env) error {
	return c.carry(e, http.MethodDelete, c.path("contacts", c.ID), nil,
		"The contact "+c.ID+" of "+c.Name+" is removed, and their link to the page is no longer valid.")
}

type counterpartyProposalsCmd struct{ queried }

func (c *counterpartyProposalsCmd) Run(e env) error {
	return list(&c.listing, e, c.search("/counterparty-proposals"), "HOST\tTENANTS\tRECEIVERS\tCOUNTERPARTY",
		c.none("No proposals."),
		func(p client.CounterpartyProposal) []any {
			return []any{p.Host, p.Tenants, p.Receivers, p.Counterparty}
		})
}

type counterpartyAcceptCmd struct {
	remote
	Host         string `arg:"" help:"The proposed host."`
	Counterparty string `arg:"" optional:"" help:"The counterparty (default: the one that the host belongs to)."`
	DisplayName  string `help:"Name of a new counterparty, shown to people."`
}

func (c *counterpartyAcceptCmd) Run(e env) error {
	v, err := post[client.Counterparty](&c.remote, "/counterparty-proposals/"+url.PathEscape(c.Host)+"/accept",
		client.AcceptProposal{Counterparty: c.Counterparty, DisplayName: c.DisplayName})
	if err != nil {
		return err
	}
	return showCounterparty(&c.remote, e, v)
}

type counterpartyDismissCmd struct {
	remote
	Host string `arg:"" help:"The proposed host."`
}

func (c *counterpartyDismissCmd) Run(e env) error {
	return c.carry(e, http.MethodPost, "/counterparty-proposals/"+url.PathEscape(c.Host)+"/dismiss", nil,
		"The proposal for "+c.Host+" is dismissed.")
}
