package main

import "github.com/perennial-pki/perennial/client"

type parkedCmd struct {
	List  parkedListCmd  `cmd:"" help:"List messages that wait for delivery, oldest first."`
	Usage parkedUsageCmd `cmd:"" help:"List the tenants with waiting messages, and their quotas."`
}

type parkedListCmd struct{ queried }

func (c *parkedListCmd) Run(e env) error {
	return list(&c.listing, e, c.search("/parked"), "ID\tARRANGEMENT\tMESSAGE\tSINCE\tBYTES\tATTEMPTS\tNEXT\tLAST ERROR",
		c.none("No parked messages."), func(p client.Parked) []any {
			return []any{p.ID, p.Arrangement, p.Method + " " + p.Path, moment(p.Since), p.Bytes, p.Attempts, moment(p.NextAt),
				p.LastError}
		})
}

type parkedUsageCmd struct{ queried }

func (c *parkedUsageCmd) Run(e env) error {
	return list(&c.listing, e, c.search("/parked/usage"), "TENANT\tMESSAGES\tAT MOST\tBYTES\tAT MOST",
		c.none("No parked messages."),
		func(u client.ParkedUsage) []any {
			return []any{u.Tenant, u.Messages, u.MessagesLimit, u.Bytes, u.BytesLimit}
		})
}
