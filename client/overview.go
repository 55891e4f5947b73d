package client

import "time"

// Overview is what the hosting team looks at first.
type Overview struct {
	Policy     string     `json:"policy"`
	LastRun    *Run       `json:"last_run,omitempty"`
	NextRun    time.Time  `json:"next_run"`
	MailsDead  int        `json:"mails_dead" doc:"Mails that will not be tried again unless somebody requeues them."`
	MailsQueue int        `json:"mails_queued"`
	MailsWait  int        `json:"mails_waiting" doc:"Mails that wait for a mail server to be configured."`
	Parked     int        `json:"messages_parked" doc:"Messages that wait for delivery."`
	AtRisk     int        `json:"at_risk" doc:"Arrangements whose receiver has not acted."`
	AsOf       time.Time  `json:"at_risk_as_of,omitzero" doc:"When they were counted: of a large fleet a minute ago; absent while they are counted for the first time since the start."`
	Announced  *Authority `json:"announced_authority,omitempty" doc:"A new CA that does not sign yet."`
}

// Parked is a message that waits for delivery.
type Parked struct {
	ID          string    `json:"id"`
	Arrangement string    `json:"arrangement" doc:"With its tenant: acme/crm-to-erp."`
	Method      string    `json:"method"`
	Path        string    `json:"path"`
	Since       time.Time `json:"since"`
	Attempts    int       `json:"attempts"`
	NextAt      time.Time `json:"next_at"`
	LastError   string    `json:"last_error,omitempty"`
}
