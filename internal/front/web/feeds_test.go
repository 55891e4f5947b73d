package web_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const bankPage = "/tenants/acme/arrangements/crm-to-bank"

var feedAddress = regexp.MustCompile(`/feeds/[A-Za-z0-9_-]{43}/[A-Za-z0-9_-]{43}/`)

// newFeed presses a button about the feed of acme's bank that shows a new address.
func (c *console) newFeed(client *http.Client, button string) string {
	c.t.Helper()
	status, page := c.post(client, bankPage+button, "sure", "yes")
	address := feedAddress.FindString(page)
	if status != 200 || address == "" {
		c.t.Fatalf("%s: %d, and no address is shown", button, status)
	}
	return address
}

func TestAKeyUserPublishesAFeedAndSeesWhetherItIsFetched(t *testing.T) {
	c := open(t)
	alice, nobody := c.signIn("alice"), &http.Client{}
	reads := func(path string, wants ...string) {
		t.Helper()
		_, page := c.get(alice, path)
		for _, want := range wants {
			if !strings.Contains(html.UnescapeString(page), want) {
				t.Errorf("%s does not show %q", path, want)
			}
		}
		if feedAddress.MatchString(page) {
			t.Errorf("%s shows the address again", path)
		}
	}
	reads(bankPage, "Create the feed and give its address to the receiver's administrator.")
	first := c.newFeed(alice, "/feed")
	reads(bankPage, "New address", "never")
	if status, page := c.post(alice, bankPage+"/feed"); status != 409 || !strings.Contains(page, "has a feed already") ||
		!strings.Contains(page, "Could not create the address") {
		t.Errorf("a second feed: %d", status)
	}
	second := c.newFeed(alice, "/feed/address")
	if status, _ := c.get(nobody, first+"list.txt"); status != 404 {
		t.Errorf("the former address: %d", status)
	}
	if status, list := c.get(nobody, second+"list.txt"); status != 200 || !strings.Contains(list, "\tactive\t") {
		t.Errorf("the new address: %d %s", status, list)
	}
	reads(bankPage, "by Go-http-client/1.1")
	c.later(tenancy.FeedSilence + time.Hour)
	alice = c.signIn("alice")
	reads(bankPage, "Not fetched for more than 7 days")
	reads("/tenants/acme", "Silent feeds", "acme/crm-to-bank")
	for path, wants := range map[string][]string{
		"/silent-feeds": {"acme/crm-to-bank", "Go-http-client/1.1"}, "/": {"Feeds that are no longer fetched: 1"},
	} {
		_, page := c.get(c.signIn("olga"), path)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not show %q", path, want)
			}
		}
	}
	if status, page := c.post(alice, bankPage+"/feed/revoke", "sure", "yes"); status != 200 ||
		!strings.Contains(page, "The feed has been revoked.") {
		t.Errorf("revoking: %d", status)
	}
	if status, _ := c.get(nobody, second+"list.txt"); status != 404 {
		t.Errorf("a revoked feed: %d", status)
	}
	reads(bankPage, "Create feed")
}
