package tenancy

import (
	"strings"
	"time"
)

// An Administrator is an address to which the service mails as the administrator of receivers: those of a tenant, or all
// of a counterparty. The other ID is empty.
type Administrator struct {
	ID             string
	TenantID       string
	CounterpartyID string
	Address        string // in lower case
	CreatedAt      time.Time
	StoppedAt      time.Time // no mail is sent from then on; zero while mails are sent
	StoppedFor     StopReason
}

// StopReason is why an administrator gets no more mails.
type StopReason string

// The reasons.
const (
	StopAskedFor StopReason = "asked"     // the reader wants no more
	PassedOn     StopReason = "passed-on" // the reader named another person
	Bounced      StopReason = "bounced"   // the address does not exist
)

// MailKey returns the form of an address by which administrators are distinguished. Mail servers do not distinguish
// upper and lower case in practice.
func MailKey(address string) string { return strings.ToLower(address) }

// CounterpartyNews is a renewal of one tenant that a counterparty is to be mailed about. Its mails gather the news of all
// tenants.
type CounterpartyNews struct {
	CounterpartyID string
	Kind           NoticeKind
	CertificateID  string // that is replaced
	Stage          int    // of a reminder, in days; 0 for another kind
	TenantID       string
	CreatedAt      time.Time
}

// A NewsBatch is the news of one kind that a counterparty is not mailed about yet.
type NewsBatch struct {
	CounterpartyID string
	Kind           NoticeKind
	First, Last    time.Time // when the first and the last one were stored
	Stage          int       // the most urgent one of reminders, in days
}
