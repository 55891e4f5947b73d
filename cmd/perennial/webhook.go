package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/webhook"
)

type webhookCmd struct {
	Create     webhookCreateCmd     `cmd:"" help:"Create a webhook. Its secret is shown only once."`
	List       webhookListCmd       `cmd:"" help:"List the webhooks."`
	Show       webhookShowCmd       `cmd:"" help:"Show a webhook, and whether its endpoint accepts the events."`
	Change     webhookChangeCmd     `cmd:"" help:"Change a webhook. What is not given stays."`
	Test       webhookTestCmd       `cmd:"" help:"Send a test event once, now."`
	Rotate     webhookRotateCmd     `cmd:"" help:"Give a webhook another secret. The former one signs as well for a while."`
	Deliveries webhookDeliveriesCmd `cmd:"" help:"List the deliveries to a webhook, the latest first."`
	Event      webhookEventCmd      `cmd:"" help:"Print the event of a delivery, as CloudEvents JSON."`
	Replay     webhookReplayCmd     `cmd:"" help:"Deliver again: one delivery, or all that were given up."`
	Delete     webhookDeleteCmd     `cmd:"" help:"Delete a webhook with its deliveries."`
	Types      webhookTypesCmd      `cmd:"" help:"List the types of events."`
}

// ofOwner holds the flag that selects whose webhooks a command is about.
type ofOwner struct {
	Tenant       string `env:"PERENNIAL_TENANT" placeholder:"NAME" help:"The tenant whose webhook it is (default: the installation, for operators)."`
	Counterparty string `placeholder:"NAME" help:"The counterparty whose webhook it is, for operators. It excludes --tenant."`
}

// Validate refuses two owners. The tenant may come from the environment.
func (c *ofOwner) Validate() error {
	if c.Tenant == "" || c.Counterparty == "" {
		return nil
	}
	return fmt.Errorf("a webhook has one owner: leave out --counterparty, or the tenant %s (--tenant= overrides "+
		"PERENNIAL_TENANT)", c.Tenant)
}

// hooks returns the path of the owner's webhooks, or of something below them.
func (c *ofOwner) hooks(parts ...string) string {
	if c.Counterparty != "" {
		return client.CounterpartyWebhooksPath(c.Counterparty, parts...)
	}
	return client.WebhooksPath(c.Tenant, parts...)
}

// oneWebhook names a webhook.
type oneWebhook struct {
	remote
	ofOwner
	Name string `arg:"" field:"webhook" help:"The name of the webhook."`
}

func (c *oneWebhook) path(parts ...string) string {
	return c.hooks(append([]string{c.Name}, parts...)...)
}

// webhookSettings holds the flags that describe a webhook. Credentials are read from files or the environment, because
// other users of a machine can see command lines.
type webhookSettings struct {
	Endpoint      string   `placeholder:"URL" env:"PERENNIAL_WEBHOOK_ENDPOINT" field:"url" help:"https URL of the endpoint; better set as PERENNIAL_WEBHOOK_ENDPOINT if it is a secret, as those of Slack and Teams are."`
	Type          []string `xor:"types" placeholder:"TYPE" field:"types" help:"A type of events that it gets (default: all that it can get). May be repeated. See perennial webhook types."`
	Template      string   `placeholder:"FILE" type:"existingfile" help:"JSON document of a ticket, whose strings can have placeholders such as {{summary}}."`
	RoutingKey    string   `placeholder:"KEY" env:"PERENNIAL_WEBHOOK_ROUTING_KEY" help:"Integration key of PagerDuty; better set as PERENNIAL_WEBHOOK_ROUTING_KEY."`
	Authorization string   `placeholder:"VALUE" env:"PERENNIAL_WEBHOOK_AUTHORIZATION" help:"Value of the header Authorization; better set as PERENNIAL_WEBHOOK_AUTHORIZATION."`
	ServerCA      string   `name:"server-ca" placeholder:"FILE" type:"existingfile" help:"CAs (PEM) to verify the endpoint's certificate with, instead of the system's."`
}

// apply sets what the flags give.
func (s webhookSettings) apply(v *client.Webhook) error {
	v.URL, v.RoutingKey, v.Authorization = s.Endpoint, s.RoutingKey, s.Authorization
	if len(s.Type) > 0 {
		v.Types = s.Type
	}
	for _, file := range []struct {
		name string
		to   *string
	}{{s.Template, &v.Template}, {s.ServerCA, &v.ServerCA}} {
		if file.name == "" {
			continue
		}
		data, err := os.ReadFile(file.name)
		if err != nil {
			return err
		}
		*file.to = string(data)
	}
	return nil
}

type webhookCreateCmd struct {
	oneWebhook
	Format string `enum:"cloudevents,slack,teams,pagerduty,ticket" default:"cloudevents" help:"Form of the messages: cloudevents, slack, teams, pagerduty or ticket."`
	webhookSettings
}

func (c *webhookCreateCmd) Run(e env) error {
	v := client.Webhook{Name: c.Name, Format: c.Format}
	if err := c.apply(&v); err != nil {
		return err
	}
	v, err := post[client.Webhook](&c.remote, c.hooks(), v)
	if err != nil {
		return err
	}
	return showWebhook(&c.remote, e, v)
}

type webhookListCmd struct {
	searched
	ofOwner
}

func (c *webhookListCmd) Run(e env) error {
	const header = "NAME\tFORMAT\tHOST\tEVENTS\tLAST ACCEPTED\tQUEUED\tDEAD\tPROBLEM"
	return list(&c.listing, e, c.search(c.hooks()), header,
		c.none("No webhooks. Create one: perennial webhook create NAME --endpoint URL"), func(v client.Webhook) []any {
			return []any{v.Name, v.Format, v.Host, eventsText(v), when(v.DeliveredAt), v.Queued, v.Dead,
				cmp.Or(problemText(v), "-")}
		})
}

func eventsText(v client.Webhook) string {
	if len(v.Types) == 0 {
		return "all"
	}
	return strings.Join(v.Types, ", ")
}

// problemText returns what is wrong with a webhook; empty if nothing is.
func problemText(v client.Webhook) string {
	switch {
	case v.Disabled && v.LastError == "":
		return "disabled"
	case v.Disabled:
		return "disabled: " + v.LastError
	}
	return v.LastError
}

type webhookShowCmd struct{ oneWebhook }

func (c *webhookShowCmd) Run(e env) error {
	v, err := get[client.Webhook](&c.remote, c.path())
	if err != nil {
		return err
	}
	return showWebhook(&c.remote, e, v)
}

func showWebhook(c *remote, e env, v client.Webhook) error {
	counts, dropped, retry := fmt.Sprintf("%d queued, %d dead", v.Queued, v.Dead), "", ""
	if v.Dropped > 0 {
		dropped = fmt.Sprintf("%d, because the queue was full", v.Dropped)
	}
	if !v.RetryAt.IsZero() {
		retry = moment(v.RetryAt)
	}
	return c.show(e, v, "name", v.Name, "format", v.Format, "host", v.Host, "events", eventsText(v), "secret", v.Secret,
		"created", moment(v.CreatedAt), "by", v.CreatedBy, "last accepted", when(v.DeliveredAt), "deliveries", counts,
		"dropped", dropped, "problem", problemText(v), "tried again", retry)
}

type webhookChangeCmd struct {
	oneWebhook
	webhookSettings
	AllTypes bool `xor:"types" field:"types" help:"Get all types of events."`
	Disable  bool `xor:"enabled" field:"disabled" help:"Send no events any longer."`
	Enable   bool `xor:"enabled" field:"disabled" help:"Send events again."`
}

func (c *webhookChangeCmd) Run(e env) error {
	v, err := change(&c.remote, c.path(), func(v *client.Webhook) error {
		*v = client.Webhook{Name: v.Name, Format: v.Format, Types: v.Types, Template: v.Template, Disabled: v.Disabled}
		if c.AllTypes {
			v.Types = nil
		}
		v.Disabled = (v.Disabled || c.Disable) && !c.Enable
		return c.apply(v)
	})
	if err != nil {
		return err
	}
	return showWebhook(&c.remote, e, v)
}

type webhookTestCmd struct{ oneWebhook }

func (c *webhookTestCmd) Run(e env) error {
	v, err := post[client.WebhookTest](&c.remote, c.path("test"), nil)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		err = writeJSON(e.out, v)
	} else if v.Accepted {
		_, err = fmt.Fprintf(e.out, "The endpoint accepted the test event (%d).\n", v.Status)
	}
	if err == nil && !v.Accepted {
		return &finding{exitFailed, "the endpoint did not accept the test event: " + v.Error}
	}
	return err
}

type webhookRotateCmd struct {
	oneWebhook
	Overlap time.Duration `default:"24h" field:"overlap_hours" help:"Time for which the former secret signs as well, in whole hours up to 168h."`
}

func (c *webhookRotateCmd) Run(e env) error {
	if c.Overlap%time.Hour != 0 { // the API counts hours, and zero hours end the former secret at once
		return misused("--overlap: %v is not a number of whole hours: use one such as 24h, or 0 for no overlap", c.Overlap)
	}
	hours := int(c.Overlap / time.Hour)
	v, err := post[client.Webhook](&c.remote, c.path("rotate"), client.WebhookRotation{OverlapHours: &hours})
	if err != nil {
		return err
	}
	return showWebhook(&c.remote, e, v)
}

type webhookDeliveriesCmd struct {
	searched
	ofOwner
	Name  string `arg:"" field:"webhook" help:"The name of the webhook."`
	State string `enum:",queued,delivered,dead" default:"" help:"Only deliveries of this state: queued, delivered or dead."`
}

func (c *webhookDeliveriesCmd) Run(e env) error {
	path := c.search(c.hooks(c.Name, "deliveries"), "state", c.State)
	return list(&c.listing, e, path, "ID\tTIME\tTYPE\tSUBJECT\tSTATE\tATTEMPTS\tNEXT\tERROR", c.none("No deliveries."),
		func(d client.WebhookDelivery) []any {
			return []any{d.ID, when(d.CreatedAt), d.Type, d.Subject, d.State, d.Attempts, when(d.NextAt),
				cmp.Or(d.LastError, "-")}
		})
}

type webhookEventCmd struct {
	oneWebhook
	Delivery string `arg:"" help:"The ID of the delivery."`
}

func (c *webhookEventCmd) Run(e env) error {
	d, err := get[client.WebhookDelivery](&c.remote, c.path("deliveries", c.Delivery))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "%s\n", d.Event)
	return err
}

type webhookReplayCmd struct {
	oneWebhook
	Delivery string `arg:"" optional:"" help:"The ID of the delivery."`
	Dead     bool   `help:"Deliver all again that were given up."`
}

func (c *webhookReplayCmd) Run(e env) error {
	switch {
	case c.Dead == (c.Delivery != ""):
		return misused("name a delivery, or use --dead")
	case c.Dead:
		v, err := post[client.WebhookReplay](&c.remote, c.path("replay"), nil)
		if err != nil {
			return err
		}
		return c.show(e, v, "queued again", v.Deliveries)
	}
	d, err := post[client.WebhookDelivery](&c.remote, c.path("deliveries", c.Delivery, "replay"), nil)
	if err != nil {
		return err
	}
	return c.show(e, d, "queued again", d.ID, "event", d.EventID, "type", d.Type, "subject", d.Subject)
}

type webhookDeleteCmd struct{ oneWebhook }

func (c *webhookDeleteCmd) Run(e env) error {
	return c.remove(e, c.path(), "The webhook "+c.Name+" is deleted, with its deliveries.")
}

type webhookTypesCmd struct{}

func (webhookTypesCmd) Run(e env) error {
	return table(e.out, "TYPE\tOF\tPROBLEM\tWHEN", func(row func(...any)) {
		for _, d := range webhook.Definitions() {
			of, problem := "the installation", "-"
			if d.InTenant {
				of = "a tenant"
			}
			if d.Problem {
				problem = "opens or resolves one"
			}
			row(d.Type, of, problem, d.Doc)
		}
	})
}
