package web_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestASearchOpensTheOnlyResultAndListsSeveral(t *testing.T) {
	c := open(t)
	for who, pages := range map[string]map[string][]string{
		"olga": {
			"/find?q=crm-to-bank":   {"crm-to-bank"},
			"/find?q=a":             {"at least 2 characters", `aria-invalid="true"`},
			"/find?q=no-such-thing": {"Nothing begins with no-such-thing"},
			"/find":                 {`type="search"`},
		},
		"alice": {"/find?q=globex": {"Nothing begins with globex"}, "/find?q=alice@": {"alice"}},
	} {
		client := c.signIn(who)
		for page, wants := range pages {
			_, body := c.get(client, page)
			for _, want := range wants {
				if !strings.Contains(body, want) {
					t.Errorf("%s, %s: no %q", who, page, want)
				}
			}
		}
	}
	olga := c.signIn("olga")
	olga.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := olga.Get(c.url + "/find?q=" + "acme/crm-to-bank")
	check(t, err)
	res.Body.Close()
	if got := res.Header.Get("Location"); got != "/tenants/acme/arrangements/crm-to-bank" {
		t.Errorf("a single result leads to %q", got)
	}
}
