package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/rollover"
)

type rolloverCmd struct {
	Show     rolloverShowCmd     `cmd:"" help:"Show the state of a roll-over."`
	Choose   rolloverChooseCmd   `cmd:"" help:"Present a generation from now on."`
	Confirm  rolloverConfirmCmd  `cmd:"" help:"Record that the receiver has installed a generation, as reported by its administrator."`
	Probe    rolloverProbeCmd    `cmd:"" help:"Test which generations the receiver accepts."`
	Link     rolloverLinkCmd     `cmd:"" help:"Create a link for the receiver's administrator: the new certificate, with a button to confirm that it is installed."`
	Links    rolloverLinksCmd    `cmd:"" help:"List the links of an arrangement."`
	Unlink   rolloverUnlinkCmd   `cmd:"" help:"Revoke a link."`
	Messages rolloverMessagesCmd `cmd:"" help:"Show the latest messages and their outcomes."`
	Board    rolloverBoardCmd    `cmd:"" help:"Count the roll-overs of the fleet or of a tenant by state and by days left."`
	List     rolloverListCmd     `cmd:"" help:"List roll-overs, those of the fleet unless they are settled."`
	Hosts    rolloverHostsCmd    `cmd:"" help:"Count the roll-overs that are not settled by the host of the receiver."`
	AtRisk   rolloverAtRiskCmd   `cmd:"" help:"List the receivers that are not known to accept the new certificate, by days left."`
}

// anArrangement names an arrangement as TENANT/ARRANGEMENT.
type anArrangement struct {
	remote
	Arrangement string `arg:"" name:"tenant/arrangement" field:"tenant,arrangement"`
}

func (a *anArrangement) path(parts ...string) (string, error) {
	tenant, name, ok := strings.Cut(a.Arrangement, "/")
	if !ok || tenant == "" || name == "" {
		return "", misused("%q: write TENANT/ARRANGEMENT, such as acme/crm-to-erp", a.Arrangement)
	}
	return in(tenant, append([]string{"arrangements", name}, parts...)...), nil
}

// act runs an action on the arrangement.
func act[T any](a *anArrangement, body any, parts ...string) (v T, err error) {
	path, err := a.path(parts...)
	if err != nil {
		return v, err
	}
	return post[T](&a.remote, path, body)
}

type rolloverShowCmd struct{ anArrangement }

func (c *rolloverShowCmd) Run(e env) error {
	path, err := c.path("rollover")
	if err != nil {
		return err
	}
	v, err := get[client.Rollover](&c.remote, path)
	if err != nil {
		return err
	}
	return showRollover(&c.remote, e, v)
}

func showRollover(c *remote, e env, v client.Rollover) error {
	tries := make([]string, len(v.Tries))
	for i, n := range v.Tries {
		tries[i] = fmt.Sprint(n)
	}
	risk := ""
	if v.AtRisk {
		risk = riskOf(v)
	}
	err := c.show(e, v, "arrangement", v.Arrangement, "strategy", v.Strategy, "state", v.State, "presents", v.Presents,
		"tries", strings.Join(tries, ", then "), "AT RISK", risk, "next", nextStep(v))
	if err != nil || c.Output == "json" {
		return err
	}
	fmt.Fprintln(e.out)
	return table(e.out, "GENERATION\tVALID UNTIL\tTHE RECEIVER\tSINCE\tBY\tANSWER", func(row func(...any)) {
		for _, g := range v.Generations {
			verdict := string(g.Verdict)
			if g.Verdict == rollover.Unknown {
				verdict = "unknown"
			}
			if g.Revoked {
				verdict += " (revoked)"
			}
			if !g.ClaimedAt.IsZero() {
				verdict += fmt.Sprintf(" (claimed by a %s on %s)", g.ClaimedBy, moment(g.ClaimedAt))
			}
			row(g.Generation, moment(g.NotAfter), verdict, when(g.VerdictAt), g.Source, g.Answer)
		}
	})
}

// nextStep returns whose turn it is, and the command for the next step, or what happens without one. It is empty if
// nothing needs to be done.
func nextStep(v client.Rollover) string {
	if v.Next == nil {
		return ""
	}
	if v.Next.Turn == client.TurnNone {
		newest := v.Generations[len(v.Generations)-1]
		held := moment(newest.NoticedUntil) + ", when the notice to the key users ends"
		switch v.Next.Reason {
		case "ready":
			return fmt.Sprintf("generation %d is used as soon as messages need it", newest.Generation)
		case "ready-later":
			return fmt.Sprintf("generation %d is presented from %s", newest.Generation, held)
		case "choose-later":
			return fmt.Sprintf("generation %d can be chosen from %s", newest.Generation, held)
		}
		return ""
	}
	if v.Next.Reason == "stopped" {
		tenant, _, _ := strings.Cut(v.Arrangement, "/")
		return fmt.Sprintf("hosting team: perennial request list --tenant %s; without a request: perennial certificate "+
			"renew %s --purpose %s", tenant, tenant, v.Credential)
	}
	who := map[string]string{client.TurnOwner: "key users", client.TurnReceiver: "administrator of the receiver"}
	tenant, name, _ := strings.Cut(v.Arrangement, "/")
	newest := v.Generations[len(v.Generations)-1].Generation
	command := map[string]string{client.ActionLink: "rollover link " + v.Arrangement,
		client.ActionTest:   "rollover probe " + v.Arrangement,
		client.ActionChoose: fmt.Sprint("rollover choose ", v.Arrangement, " ", newest),
		client.ActionProbe:  fmt.Sprintf("arrangement change %s %s --probe 'GET /PATH'", tenant, name)}
	return who[v.Next.Turn] + ": perennial " + command[v.Next.Action]
}

type rolloverChooseCmd struct {
	anArrangement
	Generation count `arg:"" least:"1"`
}

func (c *rolloverChooseCmd) Run(e env) error {
	v, err := act[client.Rollover](&c.anArrangement, map[string]count{"generation": c.Generation}, "rollover", "choose")
	if err != nil {
		return err
	}
	return showRollover(&c.remote, e, v)
}

type rolloverConfirmCmd struct {
	anArrangement
	Generation count `arg:"" least:"1"`
}

func (c *rolloverConfirmCmd) Run(e env) error {
	v, err := act[client.Rollover](&c.anArrangement, map[string]count{"generation": c.Generation}, "rollover", "confirm")
	if err != nil {
		return err
	}
	return showRollover(&c.remote, e, v)
}

type rolloverProbeCmd struct{ anArrangement }

func (c *rolloverProbeCmd) Run(e env) error {
	v, err := act[client.Probed](&c.anArrangement, nil, "rollover", "probe")
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(e.out, v)
	}
	if err := table(e.out, "GENERATION\tRESULT\tANSWER\tTOOK", func(row func(...any)) {
		for _, r := range v.Results {
			generation := fmt.Sprint(r.Generation)
			if r.Generation == 0 {
				generation = "none"
			}
			row(generation, r.Result, r.Answer, fmt.Sprintf("%d ms", r.Milliseconds))
		}
	}); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "\nThe roll-over is %s and presents generation %d.\n", v.Rollover.State, v.Rollover.Presents)
	return nil
}

type rolloverLinkCmd struct{ anArrangement }

func (c *rolloverLinkCmd) Run(e env) error {
	v, err := act[client.Link](&c.anArrangement, nil, "rollover", "links")
	if err != nil {
		return err
	}
	return c.show(e, v, "link", v.URL, "id", v.ID, "generation", v.Generation, "valid until", moment(v.ExpiresAt))
}

type rolloverLinksCmd struct{ anArrangement }

func (c *rolloverLinksCmd) Run(e env) error {
	path, err := c.path("rollover", "links")
	if err != nil {
		return err
	}
	return list(&listing{remote: c.remote}, e, path, "ID\tGENERATION\tCREATED BY\tVALID UNTIL\tUSED\tREVOKED",
		"No links yet. Create one: perennial rollover link "+c.Arrangement, func(l client.Link) []any {
			return []any{l.ID, l.Generation, l.CreatedBy, moment(l.ExpiresAt), when(l.UsedAt), when(l.RevokedAt)}
		})
}

type rolloverUnlinkCmd struct {
	anArrangement
	ID string `arg:"" field:"link"`
}

func (c *rolloverUnlinkCmd) Run(e env) error {
	path, err := c.path("rollover", "links", c.ID)
	if err != nil {
		return err
	}
	return c.carry(e, http.MethodDelete, path, nil, "The link "+c.ID+" is revoked. To create "+
		"another one: perennial rollover link "+c.Arrangement)
}

type rolloverMessagesCmd struct {
	anArrangement
	Limit  count  `default:"20" help:"Maximum number of messages; 0 for all."`
	Query  string `placeholder:"TEXT" field:"q" help:"Only messages whose method, path, status or outcome contains this text."`
	Failed bool   `help:"Only messages that failed."`
}

func (c *rolloverMessagesCmd) Run(e env) error {
	path, err := c.path("messages")
	if err != nil {
		return err
	}
	failed, none := "", "No messages in the log."
	if c.Failed {
		failed, none = "true", "No failed messages in the log."
	}
	found := queried{listing{c.remote, c.Limit}, c.Query}
	return list(&found.listing, e, found.search(path, "failed", failed),
		"AT\tMESSAGE\tSTATUS\tGENERATION\tTRIES\tTOOK\tCOUNT\tOUTCOME", found.none(none), func(m client.Message) []any {
			return []any{moment(m.At), m.Method + " " + m.Path, m.Status, m.Generation, m.Attempts,
				fmt.Sprintf("%.1f ms", m.Milliseconds), m.Count, m.Outcome}
		})
}

// riskOf describes the deadline of an arrangement at risk, or why its messages fail.
func riskOf(v client.Rollover) string {
	if v.Stopped {
		return "no message can be sent: the certificate is revoked, and the CA has not issued the next one"
	}
	if v.Exposed {
		for _, g := range v.Generations {
			if g.Generation == v.Wanted && g.Verdict == rollover.Refused {
				return fmt.Sprintf("messages fail: the receiver refuses generation %d, and no other one is tried or accepted",
					v.Wanted)
			}
		}
		return fmt.Sprintf("messages depend on generation %d already", v.Wanted)
	}
	return fmt.Sprintf("until %s (%.0f days left) the receiver has to accept generation %d", moment(v.Deadline),
		v.DaysLeft, v.Wanted)
}

type rolloverAtRiskCmd struct {
	queried
	Tenant string `arg:"" optional:"" help:"The tenant; optional for operators."`
}

func (c *rolloverAtRiskCmd) Run(e env) error {
	path := "/at-risk"
	if c.Tenant != "" {
		path = in(c.Tenant, "at-risk")
	}
	return list(&c.listing, e, c.search(path), "DAYS LEFT\tARRANGEMENT\tSTATE\tSTRATEGY\tPRESENTS\tRISK",
		c.none("No receiver is at risk."),
		func(v client.Rollover) []any {
			return []any{v.DaysLeft, v.Arrangement, v.State, v.Strategy, v.Presents, riskOf(v)}
		})
}

type diagnoseCmd struct{ anArrangement }

func (c *diagnoseCmd) Run(e env) error {
	d, err := act[client.Diagnosis](&c.anArrangement, nil, "diagnosis")
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(e.out, d)
	}
	fmt.Fprintf(e.out, "%s: %s\n", d.Cause, printable(d.Summary))
	for _, line := range d.Evidence {
		fmt.Fprintf(e.out, "  - %s\n", printable(line))
	}
	fmt.Fprintf(e.out, "Next: %s\n", printable(d.NextStep))
	if d.Command != "" {
		fmt.Fprintf(e.out, "      %s\n", printable(d.Command))
	}
	return nil
}
