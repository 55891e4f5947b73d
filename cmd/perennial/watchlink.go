package main

import (
	"net/http"

	"github.com/perennial-pki/perennial/client"
)

type watchLinkCmd struct {
	oneWatched
	System string `arg:"" help:"One of the systems of the watched certificate."`
}

func (c *watchLinkCmd) Run(e env) error {
	path, err := c.path("links")
	if err != nil {
		return err
	}
	l, err := post[client.WatchLink](&c.remote, path, client.WatchLink{System: c.System})
	if err != nil {
		return err
	}
	return c.show(e, l, "link", l.URL, "id", l.ID, "system", l.System, "valid until", moment(l.ExpiresAt))
}

type watchLinksCmd struct{ oneWatched }

func (c *watchLinksCmd) Run(e env) error {
	path, err := c.path("links")
	if err != nil {
		return err
	}
	return list(&listing{remote: c.remote}, e, path, "ID\tSYSTEM\tCREATED BY\tVALID UNTIL\tINSTALLED\tREVOKED",
		"No links yet. Create one: perennial watch link "+c.Name+" SYSTEM", func(l client.WatchLink) []any {
			return []any{l.ID, l.System, l.CreatedBy, moment(l.ExpiresAt), when(l.UsedAt), when(l.RevokedAt)}
		})
}

type watchUnlinkCmd struct {
	oneWatched
	ID string `arg:"" field:"link"`
}

func (c *watchUnlinkCmd) Run(e env) error {
	path, err := c.path("links", c.ID)
	if err != nil {
		return err
	}
	return c.carry(e, http.MethodDelete, path, nil, "The link "+c.ID+" is revoked. To create "+
		"another one: perennial watch link "+c.Name+" SYSTEM")
}
