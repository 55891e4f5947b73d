package web

import (
	"net/http"

	"github.com/perennial-pki/perennial/client"
)

// feedOf returns the feed at a path of the API; nil if there is none.
func (c *console) feedOf(v *view, path string) (*client.Feed, error) {
	f, err := get[client.Feed](c, v, path)
	if isGone(err) {
		return nil, nil
	}
	return &f, err
}

// createFeed leads to the page of the arrangement, which shows the address of the new feed once.
func (c *console) createFeed(v *view) error { return c.addressFeed(v, "/feed") }

// readdressFeed gives the feed a new address, and shows it once.
func (c *console) readdressFeed(v *view) error { return c.addressFeed(v, "/feed/address") }

func (c *console) addressFeed(v *view, path string) error {
	made, err := post[client.Feed](c, v, v.of(path), nil)
	if err != nil {
		return err
	}
	return c.showOnce(v, once{Page: v.of(""), Kind: onceFeed, Text: made.URL})
}

func (c *console) revokeFeed(v *view) error {
	if _, err := c.do(v, client.Request{Method: http.MethodDelete, Path: v.of("/feed")}); err != nil {
		return err
	}
	return c.done(v, v.of(""), v.T("The feed has been revoked. Receivers that follow it keep the certificates that they "+
		"have."))
}

// silentFeeds lists the feeds that receivers have stopped fetching.
func (c *console) silentFeeds(v *view) error {
	list, err := paged[client.Feed](c, v, v.listPath("/silent-feeds"))
	if err != nil {
		return err
	}
	parties, err := paged[client.CounterpartyFeed](c, v, v.listPath("/silent-counterparty-feeds"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Silent feeds"), silentPage(v, list, parties.Items))
}
