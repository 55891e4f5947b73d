package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// A Format is the form of a webhook's messages.
type Format string

// The formats.
const (
	// CloudEvents is the event itself, in the structured JSON format of CloudEvents 1.0.
	CloudEvents Format = "cloudevents"
	// Slack is a message for an incoming webhook of Slack.
	Slack Format = "slack"
	// Teams is an Adaptive Card for a workflow of Microsoft Teams that posts to a chat or a channel.
	Teams Format = "teams"
	// PagerDuty triggers and resolves alerts with version 2 of the Events API.
	PagerDuty Format = "pagerduty"
	// Ticket is a JSON document that is made from a template.
	Ticket Format = "ticket"
)

// Formats lists the formats.
func Formats() []Format { return []Format{CloudEvents, Slack, Teams, PagerDuty, Ticket} }

// Takes reports whether events of a type are sent in the format. Alerting gets only events that open or resolve a
// problem.
func (f Format) Takes(t Type) bool {
	d, ok := DefinitionOf(t)
	return ok && (f != PagerDuty || d.Problem)
}

// A Message is the body of a request to a webhook.
type Message struct {
	ContentType string
	Body        []byte
}

// Rendering holds what a format needs besides the event.
type Rendering struct {
	Format     Format
	RoutingKey string // of PagerDuty
	Template   string // of a ticket; empty for the default one
}

// Render returns the message about an event.
func (r Rendering) Render(e Event) (Message, error) {
	var body any
	contentType := jsonContent
	switch r.Format {
	case CloudEvents:
		body, contentType = e, "application/cloudevents+json"
	case Slack:
		body = slackMessage(e)
	case Teams:
		body = teamsMessage(e)
	case PagerDuty:
		body = pagerDutyAlert(e, r.RoutingKey)
	case Ticket:
		t, err := ParseTemplate(r.Template)
		if err != nil {
			return Message{}, err
		}
		body = t.fill(e)
	default:
		return Message{}, fmt.Errorf("unknown format %q of a webhook", r.Format)
	}
	data, err := json.Marshal(body)
	return Message{contentType, data}, err
}

// Limits of the products, in characters. Longer texts are refused by them.
const (
	mostSlackText      = 3000 // of a section
	mostPagerDutyText  = 1024 // of a summary
	mostPagerDutyDedup = 255
)

// clipped returns a text that has at most n characters.
func clipped(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}

// line returns the type of an event with its tenant and its time.
func line(e Event) string {
	parts := []string{string(e.Type)}
	if tenant := e.Common().Tenant; tenant != "" {
		parts = append(parts, tenant)
	}
	return strings.Join(append(parts, stamp(e.Time)), " · ")
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

type slackText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type slackBlock struct {
	Type     string      `json:"type"`
	Text     *slackText  `json:"text,omitempty"`
	Elements []slackText `json:"elements,omitempty"`
}

type slackWebhook struct {
	Text   string       `json:"text"` // for notifications
	Blocks []slackBlock `json:"blocks"`
}

// slackEscaper escapes the three characters that control Slack's text.
var slackEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

const markdown = "mrkdwn"

func slackMessage(e Event) slackWebhook {
	c := e.Common()
	mark := map[Severity]string{Warning: ":warning:", Critical: ":rotating_light:"}[c.Severity]
	switch {
	case c.Resolved:
		mark = ":white_check_mark:"
	case mark == "":
		mark = ":information_source:"
	}
	summary := slackEscaper.Replace(clipped(c.Summary, mostSlackText/6)) // an escaped character has up to five
	context := slackEscaper.Replace(line(e))
	if c.Link != "" {
		context += " · <" + slackEscaper.Replace(c.Link) + "|Open in Perennial>"
	}
	return slackWebhook{Text: summary, Blocks: []slackBlock{
		{Type: "section", Text: &slackText{markdown, mark + " " + summary}},
		{Type: "context", Elements: []slackText{{markdown, clipped(context, mostSlackText)}}},
	}}
}

type teamsWebhook struct {
	Type        string            `json:"type"`
	Attachments []teamsAttachment `json:"attachments"`
}

type teamsAttachment struct {
	ContentType string       `json:"contentType"`
	ContentURL  *string      `json:"contentUrl"` // null, as in Microsoft's example
	Content     adaptiveCard `json:"content"`
}

type adaptiveCard struct {
	Schema  string       `json:"$schema"`
	Type    string       `json:"type"`
	Version string       `json:"version"`
	Body    []cardBlock  `json:"body"`
	Actions []cardAction `json:"actions,omitempty"`
}

type cardBlock struct {
	Type    string    `json:"type"`
	Inlines []cardRun `json:"inlines"`
}

// A cardRun is text that is shown as it is. The text of other elements is read as Markdown.
type cardRun struct {
	Type   string `json:"type"`
	Text   string `json:"text"`
	Weight string `json:"weight,omitempty"`
	Color  string `json:"color,omitempty"`
	Size   string `json:"size,omitempty"`
	Subtle bool   `json:"isSubtle,omitempty"`
}

type cardAction struct {
	Type  string `json:"type"`
	Title string `json:"title"`
	URL   string `json:"url"`
}

func teamsMessage(e Event) teamsWebhook {
	c := e.Common()
	color := map[Severity]string{Warning: "Warning", Critical: "Attention"}[c.Severity]
	if c.Resolved {
		color = "Good"
	}
	const text, run = "RichTextBlock", "TextRun"
	card := adaptiveCard{Schema: "http://adaptivecards.io/schemas/adaptive-card.json", Type: "AdaptiveCard",
		Version: "1.4", Body: []cardBlock{
			{text, []cardRun{{Type: run, Text: c.Summary, Weight: "Bolder", Color: color}}},
			{text, []cardRun{{Type: run, Text: line(e), Size: "Small", Subtle: true}}},
		}}
	if c.Link != "" {
		card.Actions = []cardAction{{"Action.OpenUrl", "Open in Perennial", c.Link}}
	}
	return teamsWebhook{"message", []teamsAttachment{{ContentType: "application/vnd.microsoft.card.adaptive",
		Content: card}}}
}

// PagerDutyURL is the address of PagerDuty's Events API.
const PagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	DedupKey   string            `json:"dedup_key"`
	Client     string            `json:"client,omitempty"`
	ClientURL  string            `json:"client_url,omitempty"`
	Links      []pagerDutyLink   `json:"links,omitempty"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"`
}

type pagerDutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

type pagerDutyPayload struct {
	Summary   string    `json:"summary"`
	Source    string    `json:"source"`
	Severity  Severity  `json:"severity"`
	Timestamp time.Time `json:"timestamp"`
	Component string    `json:"component,omitempty"`
	Group     string    `json:"group,omitempty"`
	Class     Type      `json:"class"`
	Details   Data      `json:"custom_details"`
}

func pagerDutyAlert(e Event, routingKey string) pagerDutyEvent {
	c := e.Common()
	alert := pagerDutyEvent{RoutingKey: routingKey, Action: "trigger", DedupKey: dedupKey(e)}
	if c.Resolved {
		alert.Action = "resolve"
		return alert
	}
	alert.Client, alert.ClientURL = "Perennial", e.Source
	if c.Link != "" {
		alert.Links = []pagerDutyLink{{c.Link, "Open in Perennial"}}
	}
	alert.Payload = &pagerDutyPayload{Summary: clipped(c.Summary, mostPagerDutyText), Source: e.Source,
		Severity: c.Severity, Timestamp: e.Time.UTC(), Component: e.Subject, Group: c.Tenant, Class: e.Type,
		Details: e.Data}
	return alert
}

// dedupKey returns the key of an event's problem. Installations that share a routing key have different ones.
func dedupKey(e Event) string {
	key := e.Source + " " + e.Common().Problem
	if len(key) <= mostPagerDutyDedup {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}
