package client

import "time"

// Overview is the state of the fleet in a few figures.
type Overview struct {
	Policy      string     `json:"policy"`
	LastRun     *Run       `json:"last_run,omitempty"`
	NextRun     time.Time  `json:"next_run"`
	MailsDead   int        `json:"mails_dead" doc:"Failed mails. They are not sent again unless an operator requeues them."`
	MailsQueue  int        `json:"mails_queued"`
	MailsWait   int        `json:"mails_waiting" doc:"Mails that wait until a mail server is configured."`
	MailsHeld   *MailHold  `json:"mails_held,omitempty" doc:"Present if the mail server refuses this installation, so that no mail is sent."`
	Parked      int        `json:"messages_parked" doc:"Messages that wait for delivery."`
	AtRisk      int        `json:"at_risk" doc:"Arrangements whose receiver has not acted."`
	Tokens      int        `json:"tokens_expiring" doc:"Tokens of senders and gateways that expire within 30 days, or expired within the last 7, and have no successor."`
	TokensFrom  time.Time  `json:"tokens_expire_from,omitzero" doc:"The earliest expiry of these tokens."`
	FeedsSilent int        `json:"feeds_silent" doc:"Feeds of arrangements and of counterparties that were fetched before, but not within the last 7 days."`
	GuardHeld   int        `json:"guard_held" doc:"Certificates of partners that need a decision at the guard in the service."`
	AsOf        time.Time  `json:"at_risk_as_of,omitzero" doc:"Time of the count. In a large fleet it is up to a minute old. Absent during the first count after the start."`
	Announced   *Authority `json:"announced_authority,omitempty" doc:"New CA that does not sign yet."`
	CAAwaited   time.Time  `json:"authority_awaited_by,omitzero" doc:"Present if a root whose key is elsewhere must sign the next issuing CA by this time."`
}

// MailHold states why no mail is sent.
type MailHold struct {
	Since   time.Time `json:"since"`
	RetryAt time.Time `json:"retry_at" doc:"Time at which one mail is tried. The others follow if the server accepts it."`
	Reason  string    `json:"reason" doc:"The answer of the mail server."`
}

// Requeued is the result of queueing all failed mails again.
type Requeued struct {
	Mails int `json:"mails" doc:"Number of failed mails that were queued again."`
}

// Parked is a message that waits for delivery.
type Parked struct {
	ID          string    `json:"id"`
	Arrangement string    `json:"arrangement" doc:"Name with its tenant, such as acme/crm-to-erp."`
	Method      string    `json:"method"`
	Path        string    `json:"path"`
	Since       time.Time `json:"since"`
	Bytes       int64     `json:"bytes" doc:"Size of the message as it is stored. 0 if an earlier release stored it."`
	Attempts    int       `json:"attempts"`
	NextAt      time.Time `json:"next_at"`
	LastError   string    `json:"last_error,omitempty"`
}

// ParkedUsage is the share of its quota that a tenant uses for parked messages.
type ParkedUsage struct {
	Tenant        string `json:"tenant"`
	Messages      int    `json:"messages" doc:"Messages that wait."`
	Bytes         int64  `json:"bytes" doc:"Their size, including bodies that are still arriving."`
	MessagesLimit int    `json:"messages_limit"`
	BytesLimit    int64  `json:"bytes_limit"`
}
