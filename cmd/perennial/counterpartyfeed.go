package main

import (
	"fmt"
	"net/http"

	"github.com/perennial-pki/perennial/client"
)

type counterpartyFeedCmd struct {
	Create  counterpartyFeedCreateCmd  `cmd:"" help:"Create the feed of a counterparty. Its address is shown only once."`
	Show    counterpartyFeedShowCmd    `cmd:"" help:"Show when the feed was fetched, and when an installation was reported."`
	Address counterpartyFeedAddressCmd `cmd:"" help:"Give the feed a new address. The former one ends at once."`
	Revoke  counterpartyFeedRevokeCmd  `cmd:"" help:"Revoke the feed of a counterparty."`
}

type counterpartyFeedCreateCmd struct{ aCounterparty }

func (c *counterpartyFeedCreateCmd) Run(e env) error {
	v, err := post[client.CounterpartyFeed](&c.remote, c.path("feed"), nil)
	if err != nil {
		return err
	}
	return showPartyFeed(&c.remote, e, v)
}

type counterpartyFeedAddressCmd struct{ aCounterparty }

func (c *counterpartyFeedAddressCmd) Run(e env) error {
	v, err := post[client.CounterpartyFeed](&c.remote, c.path("feed", "address"), nil)
	if err != nil {
		return err
	}
	return showPartyFeed(&c.remote, e, v)
}

type counterpartyFeedShowCmd struct{ aCounterparty }

func (c *counterpartyFeedShowCmd) Run(e env) error {
	v, err := get[client.CounterpartyFeed](&c.remote, c.path("feed"))
	if err != nil {
		return err
	}
	return showPartyFeed(&c.remote, e, v)
}

func showPartyFeed(c *remote, e env, v client.CounterpartyFeed) error {
	installed := ""
	if !v.InstalledAt.IsZero() {
		installed = fmt.Sprintf("reported on %s by %s", moment(v.InstalledAt), v.InstalledBy)
	}
	return c.show(e, v, "counterparty", v.Counterparty, "address", v.URL, "created", moment(v.CreatedAt), "by",
		v.CreatedBy, "fetched", fetchedParty(v), "installed", installed)
}

// fetchedParty returns when the feed of a counterparty was fetched.
func fetchedParty(v client.CounterpartyFeed) string {
	if v.FetchedAt.IsZero() {
		return "never"
	}
	text := fmt.Sprintf("on %s by %s", moment(v.FetchedAt), v.FetchedBy)
	if v.Silent {
		text += " (SILENT: not within the last 7 days)"
	}
	return text
}

type counterpartyFeedRevokeCmd struct{ aCounterparty }

func (c *counterpartyFeedRevokeCmd) Run(e env) error {
	return c.carry(e, http.MethodDelete, c.path("feed"), nil, "The feed of "+c.Name+" is revoked, and its URL is no "+
		"longer valid. To create another one: perennial counterparty feed create "+c.Name)
}
