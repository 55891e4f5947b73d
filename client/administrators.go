package client

import "time"

// Administrator is the administrator of a receiver, with what the service has mailed to them. Times are the latest
// ones, and are absent if there was none. If the receiver is linked to a counterparty with a page, its contacts are
// mailed about all their tenants at once, and the address is absent.
type Administrator struct {
	Receiver            string    `json:"receiver" doc:"Name of the receiver."`
	ReceiverDisplayName string    `json:"receiver_display_name"`
	Name                string    `json:"name,omitempty"`
	Email               string    `json:"email,omitempty" doc:"Absent if no administrator is known."`
	Language            string    `json:"language,omitempty"`
	Zone                string    `json:"zone,omitempty"`
	Counterparty        string    `json:"counterparty,omitempty" doc:"Display name of the counterparty whose contacts are mailed instead."`
	AnnouncedAt         time.Time `json:"announced_at,omitzero" doc:"When they were mailed that the certificate will change."`
	SentAt              time.Time `json:"sent_at,omitzero" doc:"When they were mailed the new certificate."`
	OpenedAt            time.Time `json:"opened_at,omitzero" doc:"When their page was opened, to the hour. Filters of mails open links, too."`
	TestedAt            time.Time `json:"tested_at,omitzero" doc:"When they tested on their page."`
	RemindedAt          time.Time `json:"reminded_at,omitzero"`
	DoneAt              time.Time `json:"done_at,omitzero" doc:"When they were mailed that nothing is left to do."`
	StoppedAt           time.Time `json:"stopped_at,omitzero" doc:"Since when they get no mails. For a counterparty: since when none of its contacts does."`
	StoppedFor          string    `json:"stopped_for,omitempty" enum:"asked,passed-on,bounced" doc:"Why they get no mails: they asked for it, they named another person, or the address does not exist."`
	Failure             string    `json:"failure,omitempty" doc:"Answer of the mail server to the latest mail, if it could not be delivered."`
}

// StopLink is the content of the link in a mail by which its reader stops the mails.
type StopLink struct {
	Address    string    `json:"address"`
	About      string    `json:"about" doc:"Display name of the tenant or of the counterparty that the mails are about."`
	StoppedAt  time.Time `json:"stopped_at,omitzero"`
	StoppedFor string    `json:"stopped_for,omitempty" enum:"asked,passed-on,bounced"`
}

// StopMails ends the mails to the reader of a link.
type StopMails struct {
	Other string `json:"other,omitempty" maxLength:"200" doc:"Name and address of the person who is responsible instead. The key users of the tenant decide."`
}

// Bounce is a mail that reports that another mail could not be delivered (RFC 3464).
type Bounce struct {
	Message string `json:"message" maxLength:"524288" doc:"The whole mail (RFC 5322)."`
}

// Bounced is the result of a bounce.
type Bounced struct {
	Stopped []string `json:"stopped" doc:"Addresses of administrators of receivers that get no more mails. Empty if the failure is temporary, or if the mail was to another reader."`
}
