package client

import "time"

// The causes that need attention.
const (
	AttentionReceivers = "receivers-at-risk"
	AttentionRun       = "run-unfinished"
	AttentionMailHeld  = "mails-held"
	AttentionMailDead  = "mails-dead"
	AttentionAuthority = "authority-awaited"
	AttentionTokens    = "tokens-expiring"
	AttentionUnwarned  = "tenants-unwarned"
	AttentionFeeds     = "feeds-silent"
	AttentionGuard     = "guard-held"
	AttentionProposals = "counterparties-proposed"
)

// Attention is a cause that needs attention. Equal causes are one.
type Attention struct {
	Cause  string `json:"cause" enum:"receivers-at-risk,run-unfinished,mails-held,mails-dead,authority-awaited,tokens-expiring,tenants-unwarned,feeds-silent,guard-held,counterparties-proposed"`
	Urgent bool   `json:"urgent" doc:"Whether messages fail, or will fail within days."`
	Title  string `json:"title" doc:"In the language of the caller."`
	Turn   string `json:"turn" enum:"operator,receiver,owner" doc:"Whose turn it is: the hosting team's, that of the administrator of a receiver, or that of a tenant's key users."`
	Count  int    `json:"count"`
	// Host is that of the receivers, whose administrator is the same for all of them.
	Host     string    `json:"host,omitempty" doc:"Of the receivers."`
	Tenants  int       `json:"tenants,omitempty" doc:"Tenants with such a receiver."`
	Refused  int       `json:"refused,omitempty" doc:"Arrangements whose receiver refuses the new certificate."`
	Stopped  int       `json:"stopped,omitempty" doc:"Arrangements whose certificates are all revoked, so that no message can be sent until the CA issues the next one."`
	Since    time.Time `json:"since,omitzero"`
	Deadline time.Time `json:"deadline,omitzero"`
}

// AttentionList holds what needs attention, the worst first.
type AttentionList struct {
	Items []Attention `json:"items"`
	More  int         `json:"more" doc:"Hosts with receivers at risk that are not listed."`
	AsOf  time.Time   `json:"as_of,omitzero" doc:"Time of the survey of receivers. Absent during the first one after the start."`
}
