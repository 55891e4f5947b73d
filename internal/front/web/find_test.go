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
			"/find?q=crm-to-bank":                   {"crm-to-bank"},
			"/find?q=a":                             {"2 to 200 characters", `aria-invalid="true"`},
			"/find?q=" + strings.Repeat("long", 51): {"2 to 200 characters"},
			"/find?q=no-such-thing":                 {"Nothing begins with no-such-thing"},
			"/find":                                 {`type="search"`},
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

func TestTheWorkListIsFilteredAndExported(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	for page, wants := range map[string][]string{
		"/tenants":                  {"Without key users", "/tenants/acme", "/tenants/globex"},
		"/tenants?q=acme":           {"/tenants/acme"},
		"/tenants?q=no-such-thing":  {"No tenant fits this filter."},
		"/tenants?filter=unwarned":  {`aria-current`},
		"/tenants/export.csv":       {"tenant,display_name,state", "acme,"},
		"/tenants/export.csv?q=acm": {"acme,"},
	} {
		status, body := c.get(olga, page)
		for _, want := range wants {
			if status != 200 || !strings.Contains(body, want) {
				t.Errorf("%s: %d, no %q", page, status, want)
			}
		}
	}
	if _, body := c.get(olga, "/tenants?q=acme"); strings.Contains(body, "/tenants/globex") {
		t.Error("a search lists other tenants")
	}
}
