package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/service"
	"github.com/perennial-pki/perennial/tenancy"
)

type taskCmd struct {
	List     taskListCmd     `cmd:"" help:"List tasks."`
	Start    taskStartCmd    `cmd:"" help:"Start working on a task."`
	Complete taskCompleteCmd `cmd:"" help:"Complete your task."`
}

type taskListCmd struct {
	searched
	Tenant string `arg:""`
	User   string `help:"Tasks of this key user only."`
	State  string `enum:",open,in-process,completed" default:"" help:"open, in-process or completed only."`
}

func (c *taskListCmd) Run(e env) error {
	query := url.Values{}
	if c.User != "" {
		query.Set("user", c.User)
	}
	if c.State != "" {
		query.Set("state", c.State)
	}
	return list(&c.listing, e, c.search(in(c.Tenant, "tasks")+"?"+query.Encode()), "ID\tUSER\tSTATE\tDUE\tSUBJECT\tNOTE",
		c.none("No tasks."),
		func(t client.Task) []any { return []any{t.ID, t.User, t.State, moment(t.DueAt), t.Subject, t.Note} })
}

type oneTask struct {
	remote
	Tenant string `arg:""`
	ID     string `arg:"" field:"task"`
	Note   string `help:"A note for later readers."`
}

func (c *oneTask) set(e env, state tenancy.TaskState) error {
	path := in(c.Tenant, "tasks", c.ID)
	current, err := c.exchange(client.Request{Method: http.MethodGet, Path: path})
	if err != nil {
		return err
	}
	body := map[string]string{"state": string(state)}
	if c.Note != "" {
		body["note"] = c.Note
	}
	t, err := put[client.Task](&c.remote, path, current.ETag(), body)
	if err != nil {
		return err
	}
	return c.show(e, t, "user", t.User, "subject", t.Subject, "state", t.State, "note", t.Note)
}

type taskStartCmd struct{ oneTask }

func (c *taskStartCmd) Run(e env) error { return c.set(e, tenancy.TaskInProcess) }

type taskCompleteCmd struct{ oneTask }

func (c *taskCompleteCmd) Run(e env) error { return c.set(e, tenancy.TaskCompleted) }

type runCmd struct {
	List runListCmd `cmd:"" help:"List runs, the latest first."`
	Now  runNowCmd  `cmd:"" help:"Run now for a run date."`
}

type runListCmd struct{ searched }

func (c *runListCmd) Run(e env) error {
	return list(&c.listing, e, c.search("/runs"), "RUN DATE\tPOLICY\tFINISHED\tWARNED\tRENEWED\tLATE\tFAILED\tLAST ERROR",
		c.none("No runs yet."), func(r client.Run) []any {
			return []any{moment(r.RunDate), r.Policy, when(r.FinishedAt), r.Warned, r.Renewed, r.Late, r.Failed, r.LastError}
		})
}

type runNowCmd struct {
	remote
	Date string `arg:"" field:"run_date" help:"The run date: 2026-11-01 or 2026-11-01T00:00:00Z, not in the future."`
}

func (c *runNowCmd) Run(e env) error {
	date, err := parseInstant(c.Date)
	if err != nil {
		return err
	}
	r, err := post[client.Run](&c.remote, "/runs", map[string]time.Time{"run_date": date})
	if err != nil {
		return err
	}
	return c.show(e, r, "run date", moment(r.RunDate), "warned", r.Warned, "renewed", r.Renewed, "late", r.Late, "failed",
		r.Failed)
}

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Create a token: its secret is shown once."`
	List   tokenListCmd   `cmd:"" help:"List tokens."`
	Rotate tokenRotateCmd `cmd:"" help:"Create a successor of a token: both are valid for a while, and its secret is shown once."`
	Revoke tokenRevokeCmd `cmd:"" help:"Revoke a token, and list what was created with it."`
}

type tokenCreateCmd struct {
	remote
	Name    string `arg:"" help:"Its purpose."`
	Role    string `required:"" enum:"operator,key-user,sender,gateway" help:"operator, key-user, sender, or gateway (for perennial gateway --control https://...)."`
	Tenant  string `help:"The tenant, for key-user and sender."`
	User    string `help:"The key user, for key-user."`
	Expires string `placeholder:"DATE" field:"expires_at" help:"Expiry date (default: in 90 days; at most one year)."`

	Workload       string `placeholder:"SUBJECT" help:"Bind the token to a workload instead of a secret, for sender and gateway: the claim sub of its identity tokens, such as system:serviceaccount:NAMESPACE:NAME. It does not expire."`
	WorkloadIssuer string `placeholder:"URL" field:"workload.issuer" help:"With --workload: the issuer of its identity tokens (default: that of the service)."`

	Database string `placeholder:"URL" help:"Create an operator's token directly in this database, on the host, if every operator is locked out: sqlite:PATH or postgres://... It expires after a day by default."`
	KeyFile  string `default:"perennial.key" env:"PERENNIAL_KEY_FILE" help:"With --database: the key file that belongs to it."`
	Key      string `env:"PERENNIAL_KEY" help:"With --database: the content of the key file in base64, instead of --key-file; better set as PERENNIAL_KEY."`
}

// atHost creates the token in the database.
func (c *tokenCreateCmd) atHost(e env, expires time.Time) error {
	if c.Role != string(tenancy.RoleOperator) || c.Tenant != "" || c.User != "" || c.Workload != "" {
		return misused("--database creates operators' tokens only: use --role operator, and create other tokens with it")
	}
	t, secret, err := service.CreateOperatorToken(context.Background(),
		service.Database{URL: c.Database, KeyFile: c.KeyFile, Key: c.Key}, c.Name, expires, e.now(), e.log())
	if err != nil {
		return err
	}
	return c.show(e, client.Token{ID: t.ID, Name: t.Name, Role: t.Role, ExpiresAt: t.ExpiresAt, CreatedAt: t.CreatedAt,
		Secret: secret}, "id", t.ID, "name", t.Name, "role", t.Role, "expires", when(t.ExpiresAt), "secret", secret)
}

func (c *tokenCreateCmd) Run(e env) error {
	t := client.Token{Name: c.Name, Role: tenancy.Role(c.Role), Tenant: c.Tenant, User: c.User}
	if c.WorkloadIssuer != "" && c.Workload == "" {
		return misused("--workload-issuer needs --workload, the subject of the identity tokens")
	}
	if c.Workload != "" {
		t.Workload = &client.Workload{Issuer: c.WorkloadIssuer, Subject: c.Workload}
	}
	if c.Expires != "" {
		at, err := parseInstant(c.Expires)
		if err != nil {
			return misused("--expires: %w", err)
		}
		t.ExpiresAt = at
	}
	if c.Database != "" {
		return c.atHost(e, t.ExpiresAt)
	}
	t, err := post[client.Token](&c.remote, "/tokens", t)
	if err != nil {
		return err
	}
	return c.show(e, t, "id", t.ID, "name", t.Name, "role", t.Role, "tenant", t.Tenant, "user", t.User,
		"workload", workloadOf(t), "expires", expiry(t), "secret", t.Secret)
}

// workloadOf returns the workload of a token; "" for a token with a secret.
func workloadOf(t client.Token) string {
	if t.Workload == nil {
		return ""
	}
	return t.Workload.Subject
}

// expiry returns the expiry of a token. A token that is bound to a workload has none.
func expiry(t client.Token) string {
	if t.Workload != nil {
		return "never"
	}
	return when(t.ExpiresAt)
}

type tokenListCmd struct {
	searched
	Tenant string `help:"Only tokens for this tenant."`
}

func (c *tokenListCmd) Run(e env) error {
	path := "/tokens"
	if c.Tenant != "" {
		path += "?tenant=" + url.QueryEscape(c.Tenant)
	}
	return list(&c.listing, e, c.search(path), "ID\tNAME\tROLE\tTENANT\tUSER\tWORKLOAD\tEXPIRES\tLAST USED\tREVOKED",
		c.none("No tokens."), func(t client.Token) []any {
			return []any{t.ID, t.Name, t.Role, t.Tenant, t.User, workloadOf(t), expiry(t), when(t.LastUsedAt),
				when(t.RevokedAt)}
		})
}

type tokenRotateCmd struct {
	remote
	ID      string        `arg:"" field:"token"`
	Overlap time.Duration `default:"168h" field:"overlap_seconds" help:"Time for which the old token stays valid, at most 720h (30 days)."`
}

func (c *tokenRotateCmd) Run(e env) error {
	if c.Overlap < time.Second {
		return misused("--overlap must be at least 1s: to end the old token now, revoke it")
	}
	t, err := post[client.Token](&c.remote, "/tokens/"+url.PathEscape(c.ID)+"/rotate",
		client.Rotation{OverlapSeconds: int64(c.Overlap / time.Second)})
	if err != nil {
		return err
	}
	return c.show(e, t, "id", t.ID, "name", t.Name, "role", t.Role, "tenant", t.Tenant, "user", t.User,
		"workload", workloadOf(t), "expires", expiry(t), "secret", t.Secret)
}

type tokenRevokeCmd struct {
	remote
	ID      string `arg:"" field:"token"`
	Created string `enum:"keep,end" default:"keep" help:"What to do with the accounts and tokens that were created with it: keep, or end (delete and revoke them)."`
}

func (c *tokenRevokeCmd) Run(e env) error {
	path := "/tokens/" + url.PathEscape(c.ID)
	created, err := get[client.Created](&c.remote, path+"/created")
	if err != nil {
		return err
	}
	if _, err := c.exchange(client.Request{Method: http.MethodDelete, Path: path + "?created=" + c.Created}); err != nil {
		return err
	}
	if c.Output == "json" {
		return c.show(e, created)
	}
	fmt.Fprintf(e.out, "The token %s is revoked.\n", c.ID)
	for _, a := range created.Accounts {
		fmt.Fprintf(e.out, "created with it: account %s (%s)\n", a.Name, a.Role)
	}
	for _, t := range created.Tokens {
		fmt.Fprintf(e.out, "created with it: token %s %s (%s)\n", t.ID, t.Name, t.Role)
	}
	switch n := len(created.Accounts) + len(created.Tokens); {
	case n > 0 && c.Created == "end":
		fmt.Fprintln(e.out, "All of these have been ended.")
	case n > 0:
		fmt.Fprintf(e.out, "These are still valid. To end them, run perennial token revoke %s --created end\n", c.ID)
	}
	return nil
}

type deliveryCmd struct {
	List    deliveryListCmd    `cmd:"" help:"List mails and their delivery."`
	Requeue deliveryRequeueCmd `cmd:"" help:"Try a dead mail again, or all of them."`
	Bounced deliveryBouncedCmd `cmd:"" help:"Report a bounced mail (RFC 3464) from standard input. If the address of an administrator of receivers does not exist, it gets no more mails."`
}

type deliveryListCmd struct {
	searched
	Tenant string `help:"For this tenant only."`
	State  string `enum:",waiting,queued,sent,dead" default:"" help:"waiting, queued, sent or dead only."`
}

func (c *deliveryListCmd) Run(e env) error {
	path := "/deliveries"
	if c.Tenant != "" {
		path = in(c.Tenant, "deliveries")
	}
	err := list(&c.listing, e, c.search(path, "state", c.State),
		"ID\tTENANT\tSTATE\tATTEMPTS\tADDRESS\tSUBJECT\tLAST ERROR", c.none("No mails."),
		func(d client.Delivery) []any {
			return []any{d.ID, d.Tenant, d.State, d.Attempts, d.Address, d.Subject, d.LastError}
		})
	if err != nil || c.Tenant != "" || c.Output == "json" {
		return err
	}
	o, err := get[client.Overview](&c.remote, "/overview")
	if err == nil && o.MailsHeld != nil {
		fmt.Fprintf(e.out, "\nNo mail is sent since %s, because the mail server refuses this installation: %s\nThe next "+
			"try is at %s. To try now: perennial delivery requeue --all\n", moment(o.MailsHeld.Since),
			printable(o.MailsHeld.Reason), moment(o.MailsHeld.RetryAt))
	}
	return err
}

type deliveryRequeueCmd struct {
	remote
	ID  string `arg:"" optional:"" field:"delivery" help:"A dead mail."`
	All bool   `help:"All dead mails. Mails that are held or wait for their next attempt are tried now."`
}

func (c *deliveryRequeueCmd) Run(e env) error {
	if c.All == (c.ID != "") {
		return misused("name a mail, or use --all")
	}
	if c.All {
		r, err := post[client.Requeued](&c.remote, "/deliveries/requeue", nil)
		if err != nil {
			return err
		}
		return c.show(e, r, "queued again", fmt.Sprintf("%d dead mails; waiting and held mails are tried now", r.Mails))
	}
	d, err := post[client.Delivery](&c.remote, "/deliveries/"+url.PathEscape(c.ID)+"/requeue", nil)
	if err != nil {
		return err
	}
	return c.show(e, d, "address", d.Address, "subject", d.Subject, "state", d.State)
}

type deliveryBouncedCmd struct{ remote }

// mostBounce is the size up to which a bounced mail is read. The report is at its beginning.
const mostBounce = 256 << 10

func (c *deliveryBouncedCmd) Run(e env) error {
	message, err := io.ReadAll(io.LimitReader(e.in, mostBounce))
	if err != nil {
		return err
	}
	b, err := post[client.Bounced](&c.remote, "/deliveries/bounces", client.Bounce{Message: string(message)})
	if err != nil {
		return err
	}
	return c.show(e, b, "stopped", cmp.Or(strings.Join(b.Stopped, ", "), "none"))
}

type eventCmd struct {
	List eventListCmd `cmd:"" help:"Read the audit log."`
}

type eventListCmd struct {
	listing
	Tenant string `help:"For this tenant only."`
	Query  string `placeholder:"TEXT" field:"q" help:"Only entries that contain this text, latest first."`
	Object string `help:"Only entries about this object, such as acme/crm-to-erp, latest first."`
	Actor  string `help:"Only entries by this actor, such as \"operator olga\", latest first."`
}

func (c *eventListCmd) Run(e env) error {
	path := "/events"
	if c.Tenant != "" {
		path = in(c.Tenant, "events")
	}
	query := url.Values{}
	for name, value := range map[string]string{"q": c.Query, "object": c.Object, "actor": c.Actor} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return list(&c.listing, e, path, "SEQ\tAT\tACTOR\tACTION\tOBJECT\tDETAIL", "No events.",
		func(v client.Event) []any {
			return []any{v.Seq, moment(v.At), v.Actor, v.Action, v.Object, string(v.Detail)}
		})
}
