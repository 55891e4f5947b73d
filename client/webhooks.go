package client

import (
	"encoding/json"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Webhook sends events to an endpoint. A program that receives them verifies and reads them with package webhook.
type Webhook struct {
	Name     string   `json:"name" example:"chat" maxLength:"63"`
	Format   string   `json:"format" enum:"cloudevents,slack,teams,pagerduty,ticket" doc:"Form of the messages: the event as CloudEvents 1.0, a message for a product, or a JSON document from a template. It cannot be changed."`
	Types    []string `json:"types,omitempty" maxItems:"50" example:"[\"rollover.refused\"]" doc:"Types of the events that it gets. Default: all that it can get."`
	Template string   `json:"template,omitempty" maxLength:"16384" doc:"JSON document of a ticket, whose strings can have placeholders such as {{summary}}."`
	Disabled bool     `json:"disabled,omitempty" doc:"True if it gets no events."`

	URL           string `json:"url,omitempty" maxLength:"2000" example:"https://hooks.example.com/perennial" doc:"https URL of the endpoint. Left out in answers, because it may be a secret. Left out in a change, it stays. Default for pagerduty: its Events API."`
	RoutingKey    string `json:"routing_key,omitempty" maxLength:"2000" doc:"Integration key of PagerDuty. Left out in answers. Left out in a change, it stays."`
	Authorization string `json:"authorization,omitempty" maxLength:"2000" doc:"Value of the header Authorization. Left out in answers. Left out in a change, it stays."`
	ServerCA      string `json:"server_ca,omitempty" maxLength:"262144" doc:"CAs (PEM) to verify the endpoint's certificate with, instead of the system's. Left out in answers. Left out in a change, it stays."`

	Secret       string    `json:"secret,omitempty" readOnly:"true" doc:"Secret that verifies the requests (Standard Webhooks). Shown only when it is created. The formats of products have none."`
	Host         string    `json:"host,omitempty" readOnly:"true" doc:"Host of the URL."`
	CreatedBy    string    `json:"created_by,omitempty" readOnly:"true"`
	CreatedAt    time.Time `json:"created_at,omitzero" readOnly:"true"`
	Queued       int       `json:"queued,omitempty" readOnly:"true" doc:"Number of deliveries that are not accepted yet."`
	Dead         int       `json:"dead,omitempty" readOnly:"true" doc:"Number of deliveries that were given up and are still kept."`
	Dropped      int64     `json:"dropped,omitempty" readOnly:"true" doc:"Number of events that found the queue full, since its creation."`
	DeliveredAt  time.Time `json:"delivered_at,omitzero" readOnly:"true" doc:"Time of the latest delivery that was accepted."`
	FailingSince time.Time `json:"failing_since,omitzero" readOnly:"true" doc:"Absent if the latest request was accepted."`
	LastError    string    `json:"last_error,omitempty" readOnly:"true" doc:"Reason of the latest failure. Absent if the latest request was accepted."`
	RetryAt      time.Time `json:"retry_at,omitzero" readOnly:"true" doc:"No request is sent before, because several have failed."`
}

// WebhookDelivery is one event for one webhook.
type WebhookDelivery struct {
	ID        string               `json:"id"`
	EventID   string               `json:"event_id" doc:"ID of the event, which is also the header webhook-id. It is the same at every attempt and replay."`
	Type      string               `json:"type" example:"rollover.refused"`
	Subject   string               `json:"subject" example:"acme/crm-to-erp"`
	State     tenancy.WebhookState `json:"state" enum:"queued,delivered,dead"`
	Attempts  int                  `json:"attempts" doc:"Since the event, or since the latest replay."`
	NextAt    time.Time            `json:"next_at,omitzero" doc:"Time of the next attempt of a queued one."`
	Status    int                  `json:"status,omitempty" doc:"HTTP status of the latest answer. Absent if there was none."`
	LastError string               `json:"last_error,omitempty"`
	CreatedAt time.Time            `json:"created_at"`
	EndedAt   time.Time            `json:"ended_at,omitzero"`
	Event     json.RawMessage      `json:"event,omitempty" doc:"The event, if a single delivery is read."`
}

// WebhookRotation is the request for another secret.
type WebhookRotation struct {
	OverlapHours *int `json:"overlap_hours,omitempty" minimum:"0" maximum:"168" doc:"Time for which the former secret signs as well. Default: 24."`
}

// WebhookTest is the outcome of a test.
type WebhookTest struct {
	Accepted bool   `json:"accepted"`
	Status   int    `json:"status,omitempty" doc:"HTTP status of the answer. Absent if there was none."`
	Error    string `json:"error,omitempty" doc:"Why the endpoint did not accept the event."`
}

// WebhookReplay is the number of deliveries that were queued again.
type WebhookReplay struct {
	Deliveries int `json:"deliveries"`
}

// WebhooksPath returns the path of the webhooks of a tenant, or of something below them; of the installation if the
// tenant is empty.
func WebhooksPath(tenant string, parts ...string) string {
	parts = append([]string{"webhooks"}, parts...)
	if tenant != "" {
		return TenantPath(tenant, parts...)
	}
	return joined("", parts)
}

// CounterpartyWebhooksPath returns the path of the webhooks of a counterparty, or of something below them.
func CounterpartyWebhooksPath(counterparty string, parts ...string) string {
	return joined("", append([]string{"counterparties", counterparty, "webhooks"}, parts...))
}
