package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

var feedURL = regexp.MustCompile(`/feeds/[\w-]{43}/[\w-]{43}/`)

// Both the operators and the administrators of a bank can create its feed. Only operators can end its address.
func TestTheFeedOfABankIsCreatedByItsOperatorsOrItsAdministrators(t *testing.T) {
	c := open(t)
	olga, nobody := c.signIn("olga"), jar(t)
	path := c.newBank(olga)
	if _, page := c.get(olga, bankSheet); !strings.Contains(page, "With a feed, one program fetches") {
		t.Error("the feed is not offered")
	}
	page := c.posted(nobody, path+"/feed")
	address := feedURL.FindString(page)
	if address == "" {
		t.Fatal("the page shows no address")
	}
	for _, want := range []string{"--render nginx", "--render cas", "--then &#39;nginx -s reload&#39;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the command has no %s: the product would not accept the certificates", want)
		}
	}
	if res, err := http.Get(c.url + address + "certificates.jws"); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("the feed answers %v, %v", res, err)
	}
	for who, at := range map[*http.Client]string{nobody: path, olga: bankSheet} {
		if _, page := c.get(who, at); feedURL.MatchString(page) || !strings.Contains(page, "by Go-http-client/1.1, ") {
			t.Errorf("%s shows the address again, or no fetch", at)
		}
	}
	if page := c.posted(nobody, path+"/feed"); !strings.Contains(page, "has a feed already") {
		t.Error("the page replaces an address")
	}
	if _, page := c.get(c.signIn("alice"), "/tenants/acme/arrangements/crm-to-bank"); !strings.Contains(page,
		"House Bank has one feed for all tenants, with this arrangement. It was not fetched yet.") {
		t.Error("the key user does not see that the bank has a feed")
	}
	for _, ends := range []string{"/link", "/link/revoke"} {
		if question := c.posted(olga, bankSheet+ends); !strings.Contains(question,
			"The feed keeps its address, which was created by page of bank.") {
			t.Errorf("the question of %s lacks that the feed keeps its address", ends)
		}
	}
	question := c.posted(olga, bankSheet+"/feed/address")
	for _, want := range []string{"Give the feed of bank a new address?", "The present address was last fetched",
		"Tenants in the feed: 3."} {
		if !strings.Contains(question, want) {
			t.Errorf("the question lacks %q", want)
		}
	}
	second := feedURL.FindString(c.posted(olga, bankSheet+"/feed/address", "sure", "yes"))
	if second == "" || second == address {
		t.Errorf("the new address is %q", second)
	}
	if page := c.posted(olga, bankSheet+"/feed/revoke", "sure", "yes"); !strings.Contains(page,
		"The feed has been revoked.") {
		t.Error("it cannot be revoked")
	}
	if page := c.posted(nobody, "/counterparty/AAAAAAAAAAAAAAAAAAAAAAAAAA/feed"); !strings.Contains(page,
		"This link is not valid") {
		t.Error("a wrong address of the page is not answered as one")
	}
}

// posted returns the page after a form was sent.
func (c *console) posted(who *http.Client, path string, fields ...string) string {
	c.t.Helper()
	_, page := c.post(who, path, fields...)
	return page
}

func TestOperatorsSeeThatTheFeedOfABankIsNoLongerFetched(t *testing.T) {
	c := open(t)
	address := feedURL.FindString(c.posted(jar(t), c.newBank(c.signIn("olga"))+"/feed"))
	if _, err := http.Get(c.url + address + "certificates.jws"); err != nil {
		t.Fatal(err)
	}
	c.later(tenancy.FeedSilence + time.Hour)
	olga := c.signIn("olga")
	for path, wants := range map[string][]string{"/": {"Feeds that are no longer fetched: 1"},
		"/silent-feeds": {"Feeds of counterparties", `href="/counterparties/bank"`, "Go-http-client/1.1"}} {
		_, page := c.get(olga, path)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not show %q", path, want)
			}
		}
	}
}
