package web

import (
	"net/http"

	"github.com/perennial-pki/perennial/client"
)

// partyFeedOffer states the use of a feed for a counterparty.
func (v *view) partyFeedOffer() string {
	return v.T("With a feed, one program fetches the certificates of all tenants before they are used, and writes them " +
		"where the systems read them. No certificate is installed by hand.")
}

// createPartyFeed leads to the page of the counterparty, which shows the address of the new feed once.
func (c *console) createPartyFeed(v *view) error { return c.addressPartyFeed(v, "feed") }

// readdressPartyFeed gives the feed a new address, and shows it once.
func (c *console) readdressPartyFeed(v *view) error { return c.addressPartyFeed(v, "feed", "address") }

func (c *console) addressPartyFeed(v *view, parts ...string) error {
	name := v.r.PathValue("counterparty")
	made, err := post[client.CounterpartyFeed](c, v, partyAt(name, parts...), nil)
	if err != nil {
		return err
	}
	return c.showOnce(v, once{Page: partyAt(name), Kind: oncePartyFeed, Text: made.URL})
}

func (c *console) revokePartyFeed(v *view) error {
	return c.changeParty(v, http.MethodDelete, v.T("The feed has been revoked. Receivers that follow it keep the "+
		"certificates that they have."), nil, "feed")
}

// createFeedOnPage creates the feed for the visitors of the page of a counterparty.
func (c *console) createFeedOnPage(v *view) error {
	made, err := post[client.CounterpartyFeed](c, v, partyAPI(v)+"/feed", nil)
	if err != nil {
		return c.partyDone(v, err, "")
	}
	return c.showOnce(v, once{Page: partyPath(v), Kind: oncePartyFeed, Text: made.URL})
}

func (c *console) askReaddressPartyFeed(v *view) (*question, error) {
	return c.askPartyFeed(v, v.T("Give the feed of %s a new address?", v.r.PathValue("counterparty")), v.T("New address"))
}

func (c *console) askRevokePartyFeed(v *view) (*question, error) {
	return c.askPartyFeed(v, v.T("Revoke the feed of %s?", v.r.PathValue("counterparty")), v.T("Revoke feed"))
}

// askPartyFeed asks before the address of a counterparty's feed ends.
func (c *console) askPartyFeed(v *view, title, verb string) (*question, error) {
	name := v.r.PathValue("counterparty")
	p, err := get[client.Counterparty](c, v, partyAt(name))
	if err != nil || p.Feed == nil {
		return nil, err
	}
	facts := append(v.endOfFeed(p.Feed.FetchedAt, p.Feed.FetchedBy), v.T("Tenants in the feed: %s.", v.N(p.Tenants)))
	return &question{title: title, verb: verb, back: partyAt(name), undo: v.final(), facts: facts}, nil
}

// followCommand writes the two files that a product needs, the list and the CAs, and has the product read them.
const followCommand = `perennial follow --render nginx --write /etc/nginx/perennial/tenants.map \
    --render cas --write /etc/nginx/perennial/tenants-ca.pem --then 'nginx -s reload'`

// followedBy states whether a counterparty follows an arrangement through the feed for all of its tenants.
func (v *view) followedBy(f client.Feed) string {
	switch {
	case f.Silent:
		return v.T("%s has one feed for all tenants, with this arrangement, and has not fetched it for more than 7 days.",
			f.Counterparty)
	case f.InstalledGeneration > 0:
		return v.T("%s follows one feed for all tenants, with this arrangement. Generation %d was reported as installed.",
			f.Counterparty, f.InstalledGeneration)
	case f.FetchedGeneration > 0:
		return v.T("%s follows one feed for all tenants, with this arrangement. Generation %d was fetched.", f.Counterparty,
			f.FetchedGeneration)
	}
	return v.T("%s has one feed for all tenants, with this arrangement. It was not fetched yet.", f.Counterparty)
}
