package tenancy

import (
	"cmp"
	"crypto/x509"
	"net/url"
	"time"
)

// A Webhook sends events to an endpoint of a person's choice: of the installation, of one tenant, or of one
// counterparty.
type Webhook struct {
	ID       string
	TenantID string // empty for the installation and for a counterparty
	Tenant   string // its name
	// CounterpartyID and Counterparty, which is its name, are empty for the installation and for a tenant.
	CounterpartyID string
	Counterparty   string
	Name           string // unique for its owner: "chat"
	// Format is one of package webhook.
	Format string
	// Host is the host of the endpoint, for display. The rest of the URL may be a secret.
	Host string
	// Types are the types of the events that it gets; empty for all.
	Types []string
	// Template is that of a ticket; empty for the default one and for other formats.
	Template string
	// Enabled is false if no event is sent.
	Enabled bool
	// Sealed is the sealed [WebhookTarget].
	Sealed    []byte
	CreatedBy string
	CreatedAt time.Time
	// Health is the outcome of the latest requests.
	Health  WebhookHealth
	Version int64 // counts changes by people
}

// OwnerID returns the ID of the tenant or the counterparty that a webhook belongs to; empty for the installation.
func (w Webhook) OwnerID() string { return cmp.Or(w.TenantID, w.CounterpartyID) }

// WebhookHealth is the outcome of the latest requests to an endpoint.
type WebhookHealth struct {
	// Failures is the number of requests in a row that have failed.
	Failures int
	// FailingSince is the time of the first of them; zero if the latest request succeeded.
	FailingSince time.Time
	// RetryAt is the time before which no request is sent, because several have failed.
	RetryAt time.Time
	// LastError is the reason of the latest failure; empty if the latest request succeeded.
	LastError string
	// DeliveredAt is the time of the latest request that succeeded.
	DeliveredAt time.Time
	// Dropped is the number of events that were not queued because the queue was full.
	Dropped int64
}

// A WebhookTarget is what a webhook keeps secret. It is stored sealed.
type WebhookTarget struct {
	URL string `json:"url"`
	// Secret signs requests (Standard Webhooks, in its text form).
	Secret string `json:"secret"`
	// Former are secrets that were replaced, and sign as well for a while.
	Former []FormerSecret `json:"former_secrets,omitempty"`
	// RoutingKey is that of PagerDuty.
	RoutingKey string `json:"routing_key,omitempty"`
	// Authorization is the value of the header of the same name; empty for none.
	Authorization string `json:"authorization,omitempty"`
	// ServerCA verifies the endpoint's certificate (PEM); empty for the CAs of the system.
	ServerCA string `json:"server_ca,omitempty"`
}

// A FormerSecret is a secret of a webhook that was replaced. It signs until an instant.
type FormerSecret struct {
	Secret string    `json:"secret"`
	Until  time.Time `json:"until"`
}

// maxWebhookText limits a URL, a routing key, and the value of a header, in bytes.
const maxWebhookText = 2000

// Check returns an [ErrInvalid] if the target is not valid. The error does not quote what may be a secret.
func (t WebhookTarget) Check() error {
	u, err := url.Parse(t.URL)
	switch {
	case err != nil || len(t.URL) > maxWebhookText || u.Scheme != "https" || u.Hostname() == "":
		return Invalid("url", "is not an https URL: use one such as https://hooks.example.com/perennial")
	case u.User != nil:
		return Invalid("url", "must not contain a user name or password: use authorization")
	case u.Fragment != "":
		return Invalid("url", "must not contain a fragment")
	case len(t.RoutingKey) > maxWebhookText || !visible(t.RoutingKey):
		return Invalid("routing_key", "must consist of visible ASCII characters without spaces")
	case len(t.Authorization) > maxWebhookText || !headerValue(t.Authorization):
		return Invalid("authorization", "must be a value of an HTTP header, such as Bearer and a token")
	}
	return checkServerCA(t.ServerCA)
}

func checkServerCA(ca string) error {
	if len(ca) > maxServerCA || ca != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(ca)) {
		return Invalid("server_ca", "must contain certificates in PEM, and at most %d KiB", maxServerCA>>10)
	}
	return nil
}

// visible reports whether a text consists of visible ASCII characters.
func visible(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// headerValue reports whether a text is the value of an HTTP header, of visible ASCII characters and single spaces.
func headerValue(s string) bool {
	for i, c := range []byte(s) {
		space := c == ' ' && i > 0 && i < len(s)-1 && s[i-1] != ' '
		if !space && (c <= ' ' || c > '~') {
			return false
		}
	}
	return true
}

// WebhookState is the state of a delivery to a webhook.
type WebhookState string

// A delivery is queued until the endpoint has accepted it. A dead one is not tried again unless a person replays it.
const (
	WebhookQueued    WebhookState = "queued"
	WebhookDelivered WebhookState = "delivered"
	WebhookDead      WebhookState = "dead"
)

// A WebhookDelivery is one event for one webhook.
type WebhookDelivery struct {
	ID        string
	WebhookID string
	TenantID  string // ID of the owner of the webhook; empty for the installation
	EventID   string // the same for all webhooks that get the event
	Type      string
	Subject   string
	Payload   []byte // the event as JSON
	State     WebhookState
	Attempts  int
	// NextAt is the time of the next attempt of a queued one.
	NextAt time.Time
	// Status is the HTTP status of the latest answer; 0 if there was none.
	Status    int
	LastError string
	CreatedAt time.Time
	// QueuedAt is the time from which it is tried: of the event, or of the latest replay.
	QueuedAt time.Time
	EndedAt  time.Time // zero while it is queued
}
