package main

import (
	"fmt"
	"net/http"

	"github.com/perennial-pki/perennial/client"
)

type feedCmd struct {
	Create  feedCreateCmd  `cmd:"" help:"Create the feed of an arrangement. Its address is shown only once."`
	Show    feedShowCmd    `cmd:"" help:"Show when a feed was fetched, and what was reported as installed."`
	Address feedAddressCmd `cmd:"" help:"Give a feed a new address. The former one ends at once."`
	Revoke  feedRevokeCmd  `cmd:"" help:"Revoke the feed of an arrangement."`
	Silent  feedSilentCmd  `cmd:"" help:"List the feeds that were fetched before, but not within the last 7 days."`
}

type feedCreateCmd struct{ anArrangement }

func (c *feedCreateCmd) Run(e env) error {
	v, err := act[client.Feed](&c.anArrangement, nil, "feed")
	if err != nil {
		return err
	}
	return showFeed(&c.remote, e, v)
}

type feedAddressCmd struct{ anArrangement }

func (c *feedAddressCmd) Run(e env) error {
	v, err := act[client.Feed](&c.anArrangement, nil, "feed", "address")
	if err != nil {
		return err
	}
	return showFeed(&c.remote, e, v)
}

type feedShowCmd struct{ anArrangement }

func (c *feedShowCmd) Run(e env) error {
	path, err := c.path("feed")
	if err != nil {
		return err
	}
	v, err := get[client.Feed](&c.remote, path)
	if err != nil {
		return err
	}
	return showFeed(&c.remote, e, v)
}

func showFeed(c *remote, e env, v client.Feed) error {
	fetched, installed := "never", ""
	if !v.FetchedAt.IsZero() {
		fetched = fmt.Sprintf("generation %d on %s by %s", v.FetchedGeneration, moment(v.FetchedAt), v.FetchedBy)
	}
	if v.Silent {
		fetched += " (SILENT: not within the last 7 days)"
	}
	if !v.InstalledAt.IsZero() {
		installed = fmt.Sprintf("generation %d, reported on %s by %s", v.InstalledGeneration, moment(v.InstalledAt),
			v.InstalledBy)
	}
	return c.show(e, v, "arrangement", v.Arrangement, "address", v.URL, "created", moment(v.CreatedAt), "by", v.CreatedBy,
		"fetched", fetched, "installed", installed)
}

type feedRevokeCmd struct{ anArrangement }

func (c *feedRevokeCmd) Run(e env) error {
	path, err := c.path("feed")
	if err != nil {
		return err
	}
	return c.carry(e, http.MethodDelete, path, nil, "The feed of "+c.Arrangement+" is revoked, and its URL is no longer "+
		"valid. To create another one: perennial feed create "+c.Arrangement)
}

type feedSilentCmd struct {
	queried
	Tenant         string `arg:"" optional:"" help:"The tenant; optional for operators."`
	Counterparties bool   `help:"List the feeds of counterparties, for operators."`
}

func (c *feedSilentCmd) Run(e env) error {
	if c.Counterparties {
		return c.parties(e)
	}
	path := "/silent-feeds"
	if c.Tenant != "" {
		path = in(c.Tenant, "silent-feeds")
	}
	return list(&c.listing, e, c.search(path), "ARRANGEMENT\tLAST FETCHED\tBY\tGENERATION", c.none("No feed is silent."),
		func(f client.Feed) []any {
			return []any{f.Arrangement, moment(f.FetchedAt), f.FetchedBy, f.FetchedGeneration}
		})
}

func (c *feedSilentCmd) parties(e env) error {
	if c.Tenant != "" {
		return misused("--counterparties lists the feeds of all tenants: leave out %s", c.Tenant)
	}
	return list(&c.listing, e, c.search("/silent-counterparty-feeds"), "COUNTERPARTY\tLAST FETCHED\tBY",
		c.none("No feed of a counterparty is silent."), func(f client.CounterpartyFeed) []any {
			return []any{f.Counterparty, moment(f.FetchedAt), f.FetchedBy}
		})
}
