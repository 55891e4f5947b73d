package main

import (
	"cmp"

	"github.com/perennial-pki/perennial/client"
)

type accountCmd struct {
	List accountListCmd `cmd:"" help:"List the accounts that can sign in to the console."`
}

type accountListCmd struct{ searched }

func (c *accountListCmd) Run(e env) error {
	return list(&c.listing, e, c.search("/accounts"), "ID\tNAME\tROLE\tTENANT\tUSER\tSIGNS IN WITH\tSINCE",
		c.none("No accounts yet. Create the first one in the console, at /welcome."), func(a client.Account) []any {
			with := "password or passkey"
			if a.Company {
				with = "company account"
			}
			return []any{a.ID, a.Name, a.Role, cmp.Or(a.Tenant, "-"), cmp.Or(a.User, "-"), with, when(a.CreatedAt)}
		})
}
