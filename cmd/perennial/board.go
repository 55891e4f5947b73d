package main

import (
	"fmt"

	"github.com/perennial-pki/perennial/client"
)

// aBoard is the fleet, or a tenant if one is named.
type aBoard struct {
	Tenant string `arg:"" optional:"" help:"The tenant; optional for operators."`
}

func (b aBoard) path(rest string) string {
	if b.Tenant == "" {
		return "/rollovers" + rest
	}
	return in(b.Tenant, "rollovers") + rest
}

type rolloverBoardCmd struct {
	remote
	aBoard
}

func (c *rolloverBoardCmd) Run(e env) error {
	v, err := get[client.RolloverBoard](&c.remote, c.path("/board"))
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(e.out, v)
	}
	if err := table(e.out, "STATE\tROLL-OVERS\tAT RISK", func(row func(...any)) {
		for _, s := range v.States {
			row(s.State, s.Count, s.AtRisk)
		}
	}); err != nil {
		return err
	}
	fmt.Fprintln(e.out)
	return table(e.out, "DAYS LEFT\tAT RISK", func(row func(...any)) {
		for _, l := range v.Left {
			row(leftOf(l.Left), l.Count)
		}
	})
}

// leftOf names a number of days left, as in [client.BoardLeft].
func leftOf(left string) string {
	switch left {
	case "now":
		return "none"
	case "more":
		return "more"
	}
	return "up to " + left
}

type rolloverListCmd struct {
	queried
	aBoard
	State string `enum:",announced,refused,claimed,trusted,regressed,cut-over,settled" default:"" help:"Only those in this state: ${enum}. Settled ones need a tenant."`
	Host  string `help:"Only those whose receiver is at this host."`
	Left  string `enum:",now,7,14,30,60,more" default:"" help:"Only those at risk with this number of days left, as in the board: ${enum}."`
}

func (c *rolloverListCmd) Run(e env) error {
	path := c.search(c.path(""), "state", c.State, "host", c.Host, "left", c.Left)
	return list(&c.listing, e, path, "STATE\tARRANGEMENT\tHOST\tDAYS LEFT\tPRESENTS",
		c.none("There is no such roll-over."), func(v client.Rollover) []any {
			left := "-"
			if v.AtRisk {
				left = fmt.Sprint(v.DaysLeft)
			}
			return []any{v.State, v.Arrangement, v.Host, left, v.Presents}
		})
}

type rolloverHostsCmd struct {
	queried
	aBoard
}

func (c *rolloverHostsCmd) Run(e env) error {
	return list(&c.listing, e, c.search(c.path("/hosts")), "HOST\tCOUNTERPARTY\tTENANTS\tROLL-OVERS\tAT RISK\tDEADLINE",
		c.none("Every roll-over is settled."), func(v client.RolloverHost) []any {
			return []any{v.Host, v.Counterparty, v.Tenants, v.Count, v.AtRisk, when(v.Deadline)}
		})
}
