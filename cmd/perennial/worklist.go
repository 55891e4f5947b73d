package main

import (
	"crypto/rand"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
)

type worklistCmd struct {
	List  worklistListCmd  `cmd:"" default:"withargs" help:"List the tenants with what is to be done for each (the default)."`
	Test  worklistTestCmd  `cmd:"" help:"Test the receivers at risk of chosen tenants, in the background. The exit status is 1 if one does not accept."`
	Links worklistLinksCmd `cmd:"" help:"Create a link for the administrator of each receiver at risk of chosen tenants, as CSV."`
	Tests worklistTestsCmd `cmd:"" help:"List the tests of many receivers, or show one with its results."`
}

type worklistListCmd struct {
	listing
	Filter string `enum:",at-risk,unwarned" default:"" help:"Only tenants with a receiver at risk (at-risk) or without a key user (unwarned)."`
	Sort   string `enum:",created,-created,name,-name,not-after,-not-after,deadline,-deadline" default:"" help:"Order: created, name, not-after or deadline; with a minus sign in front, the reverse."`
	Query  string `name:"find" placeholder:"TEXT" field:"q" help:"Only tenants whose name begins with it, or whose display name has its words."`
}

func (c *worklistListCmd) Run(e env) error {
	return list(&c.listing, e, withQuery("/worklist", "filter", c.Filter, "sort", c.Sort, "q", c.Query),
		"TENANT\tSTATE\tAT RISK\tDEADLINE\tVALID UNTIL\tNEXT EVENT\tKEY USERS", "No tenant matches.",
		func(t client.TenantWork) []any {
			next := "-"
			if t.NextAction != "" {
				next = t.NextAction + " " + when(t.NextAt)
			}
			return []any{t.Tenant, t.State, fmt.Sprintf("%d of %d", t.AtRisk, t.Arrangements), when(t.Deadline),
				when(t.NotAfter), next, t.KeyUsers}
		})
}

// workChoice chooses tenants for an action.
type workChoice struct {
	remote
	Tenants []string `arg:"" optional:"" name:"tenant" help:"Only these tenants."`
	Filter  string   `enum:",at-risk,unwarned" default:"" help:"Only tenants with a receiver at risk (at-risk) or without a key user (unwarned)."`
	Query   string   `name:"find" placeholder:"TEXT" field:"q" help:"Only tenants whose name begins with it, or whose display name has its words."`
	Host    string   `help:"Only receivers at this host."`
	Yes     bool     `help:"Do it. Without it, the command only counts what it concerns."`
}

func (c *workChoice) selection() client.WorkSelection {
	return client.WorkSelection{Tenants: c.Tenants, Filter: c.Filter, Query: c.Query, Host: c.Host}
}

// count prints the figures of what an action concerns.
func (c *workChoice) count(e env, action string) error {
	query := url.Values{"tenant": c.Tenants}
	for name, value := range map[string]string{"filter": c.Filter, "q": c.Query, "host": c.Host} {
		if value != "" {
			query.Set(name, value)
		}
	}
	n, err := get[client.WorkScope](&c.remote, "/worklist/scope?"+query.Encode())
	if err != nil {
		return err
	}
	return c.show(e, n, "receivers", n.Arrangements, "tenants", n.Tenants, "hosts", n.Hosts, "not asked", n.NewestOnly,
		"with address", n.Contacts, "nothing to do", n.Idle, "next", "add --yes to "+action)
}

type worklistTestCmd struct {
	workChoice
	Wait time.Duration `default:"10m" help:"Wait this long for the results; 0 to return at once."`
}

// roundPoll is the time between two questions for the state of a round.
const roundPoll = time.Second

func (c *worklistTestCmd) Run(e env) error {
	if !c.Yes {
		return c.count(e, "test these receivers")
	}
	round, err := send[client.TestRound](&c.remote, client.Request{Method: http.MethodPost, Path: "/test-rounds",
		Body: c.selection(), IdempotencyKey: rand.Text()})
	for end := time.Now().Add(c.Wait); err == nil && round.Waiting > 0 && time.Now().Before(end); {
		time.Sleep(roundPoll)
		round, err = get[client.TestRound](&c.remote, "/test-rounds/"+round.ID)
	}
	if err != nil {
		return err
	}
	if err := showRound(&c.remote, e, round); err != nil || round.Waiting > 0 || round.Accepted == round.Total {
		return err
	}
	return &finding{exitFailed, fmt.Sprintf("%d of %d receivers are not known to accept the new certificate: see "+
		"perennial worklist tests %s", round.Total-round.Accepted, round.Total, round.ID)}
}

func showRound(c *remote, e env, r client.TestRound) error {
	return c.show(e, r, "round", r.ID, "started", moment(r.CreatedAt)+" by "+r.CreatedBy, "receivers", r.Total,
		"accepted", r.Accepted, "refused", r.Refused, "unclear", r.Unclear, "not asked", r.Skipped, "waiting", r.Waiting)
}

type worklistLinksCmd struct{ workChoice }

func (c *worklistLinksCmd) Run(e env) error {
	if !c.Yes {
		return c.count(e, "create these links")
	}
	links, err := send[client.WorkLinks](&c.remote, client.Request{Method: http.MethodPost, Path: "/worklist/links",
		Body: c.selection(), IdempotencyKey: rand.Text()})
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(e.out, links)
	}
	out := csv.NewWriter(e.out)
	out.Write([]string{"arrangement", "tenant", "receiver", "contact", "email", "url", "expires_at"})
	for _, l := range links.Items {
		out.Write([]string{l.Arrangement, printable(l.Tenant), printable(l.Receiver), printable(l.Contact),
			printable(l.Email), l.URL, l.ExpiresAt.UTC().Format(time.RFC3339)})
	}
	out.Flush()
	return out.Error()
}

type worklistTestsCmd struct {
	queried
	ID     string `arg:"" optional:"" field:"round" help:"The round to show with its results."`
	Result string `enum:",accepted,refused,unclear,skipped,waiting" default:"" help:"Only the tests with this result, or waiting for one."`
}

func (c *worklistTestsCmd) Run(e env) error {
	if c.ID == "" && c.Result != "" {
		return misused("--result needs a round: perennial worklist tests ROUND --result %s", c.Result)
	}
	if c.ID == "" {
		return list(&c.listing, e, c.search("/test-rounds"),
			"ROUND\tSTARTED\tBY\tRECEIVERS\tACCEPTED\tREFUSED\tOTHER\tWAITING",
			c.none("No tests yet. Start one: perennial worklist test --filter at-risk"), func(r client.TestRound) []any {
				return []any{r.ID, when(r.CreatedAt), r.CreatedBy, r.Total, r.Accepted, r.Refused, r.Unclear + r.Skipped,
					r.Waiting}
			})
	}
	path := c.search("/test-rounds/"+url.PathEscape(c.ID)+"/results", "result", c.Result)
	return list(&c.listing, e, path, "ARRANGEMENT\tHOST\tGENERATION\tRESULT\tANSWER\tTESTED",
		c.none("No test has this result."),
		func(t client.TestResult) []any {
			return []any{t.Arrangement, t.Host, t.Generation, orWaiting(t.Result), strings.TrimSpace(t.Answer + " " + t.Reason),
				when(t.DoneAt)}
		})
}

func orWaiting(result string) string {
	if result == "" {
		return "waiting"
	}
	return result
}
