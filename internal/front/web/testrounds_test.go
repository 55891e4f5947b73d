package web_test

import (
	"context"
	"database/sql"
	"encoding/csv"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/prober"
)

// EnqueueRound keeps a round of tests until the test works on it.
func (c *console) EnqueueRound(_ context.Context, _ *sql.Tx, id string) error {
	c.rounds = append(c.rounds, id)
	return nil
}

// workRounds does the tests of the rounds that wait, without the pauses between groups.
func (c *console) workRounds() {
	c.t.Helper()
	p := prober.New(c.engine.Engine, c.engine.Store, c.network, c.now)
	for _, id := range c.rounds {
		for again := time.Duration(1); again > 0; {
			var err error
			again, err = p.WorkRound(c.t.Context(), id)
			check(c.t, err)
		}
	}
	c.rounds = nil
}

// newRound tests all receivers at risk, and returns the ID of the round.
func (c *console) newRound(operator *http.Client) string {
	c.t.Helper()
	c.post(operator, "/test-rounds", "all", "yes", "sure", "yes")
	id := c.rounds[len(c.rounds)-1]
	c.workRounds()
	return id
}

func TestReceiversOfManyTenantsAreTestedWithOneActionThatIsCountedFirst(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	_, page := c.get(olga, "/tenants?filter=at-risk")
	once := value(t, page, "once")
	if status, page := c.post(olga, "/test-rounds", "once", once, "filter", "at-risk"); status != 422 ||
		!strings.Contains(page, "Choose tenants first") {
		t.Errorf("without a choice: %d", status)
	}
	if status, page := c.post(olga, "/test-rounds", "once", once, "tenant", "globex"); status != 422 ||
		!strings.Contains(page, "nothing to do") {
		t.Errorf("a tenant without a receiver at risk: %d", status)
	}
	form := []string{"once", once, "filter", "at-risk", "all", "yes"}
	status, question := c.post(olga, "/test-rounds", form...)
	if status != 200 || !strings.Contains(question, "Test 1 receiver?") || len(c.rounds) != 0 {
		t.Fatalf("it is not counted first: %d, %d rounds", status, len(c.rounds))
	}
	_, running := c.post(olga, "/test-rounds", append(form, "sure", "yes")...)
	if !strings.Contains(running, "Running: 0 of 1 have a result.") {
		t.Error("the page does not show that tests are running")
	}
	c.post(olga, "/test-rounds", append(form, "sure", "yes")...)
	if len(c.rounds) != 1 {
		t.Fatalf("a form that is sent twice starts %d rounds", len(c.rounds))
	}
	id := c.rounds[0]
	c.workRounds()
	for path, want := range map[string]string{"/test-rounds/" + id: "401 Unauthorized",
		"/test-rounds/" + id + "?result=accepted": "Finished: 0 of 1 accept the new certificate.",
		"/test-rounds": "/test-rounds/" + id} {
		if status, page := c.get(olga, path); status != 200 || !strings.Contains(page, want) {
			t.Errorf("%s: %d, no %q", path, status, want)
		}
	}
}

func TestLinksForManyAdministratorsAreAFileThatIsTheSameIfTheFormIsSentAgain(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	_, page := c.get(olga, "/tenants")
	form := []string{"once", value(t, page, "once"), "filter", "at-risk", "all", "yes"}
	if _, question := c.post(olga, "/worklist/links", form...); !strings.Contains(question, "Create 1 link?") ||
		!strings.Contains(question, "data-file") {
		t.Error("it is not counted first")
	}
	_, file := c.post(olga, "/worklist/links", append(form, "sure", "yes")...)
	rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	check(t, err)
	if len(rows) != 2 || rows[0][0] != "arrangement" {
		t.Fatalf("%q", rows)
	}
	if _, again := c.post(olga, "/worklist/links", append(form, "sure", "yes")...); again != file {
		t.Error("a form that is sent twice creates other links")
	}
	link := rows[1][5]
	if status, _ := c.get(&http.Client{}, link[strings.Index(link, "/rollover/"):]); status != 200 {
		t.Errorf("the link of %s: %d", rows[1][0], status)
	}
}

func TestTheWorkListIsSortedByItsHeadings(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	order := func(path string) string {
		_, page := c.get(olga, path)
		if strings.Index(page, "/tenants/acme") < strings.Index(page, "/tenants/globex") {
			return "acme globex"
		}
		return "globex acme"
	}
	for path, want := range map[string]string{"/tenants?sort=name": "acme globex", "/tenants?sort=-name": "globex acme",
		"/tenants?sort=deadline": "acme globex"} {
		if got := order(path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	_, page := c.get(olga, "/tenants?sort=name")
	for _, want := range []string{`aria-sort="ascending"`, `href="/tenants?sort=-name"`, " to "} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
	_, file := c.post(olga, "/worklist/export.csv", "tenant", "globex")
	if rows := strings.Split(strings.TrimSpace(file), "\n"); len(rows) != 2 || !strings.HasPrefix(rows[1], "globex,") {
		t.Errorf("the export of a chosen tenant: %q", file)
	}
}
