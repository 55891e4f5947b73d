package tenancy

import (
	"encoding/json"
	"strings"
	"time"
)

// An Administrator is an address to which the service mails as the administrator of receivers: those of a tenant, or
// all of a counterparty. The other ID is empty.
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

// CounterpartyNews is a renewal of one tenant that a counterparty is to be mailed about. Its mails gather the news of
// all tenants.
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

// MostReported limits the certificates that a [CounterpartyReport] lists.
const MostReported = 8

// A CounterpartyReport is what one mail to a counterparty is about. It is stored with the notice.
type CounterpartyReport struct {
	CounterpartyID string `json:"counterparty_id"`
	DisplayName    string `json:"display_name"` // of the counterparty
	// Lines are the certificates with the earliest deadlines, at most [MostReported], and Total is the number of all.
	Lines []ReportedCertificate `json:"lines"`
	Total int                   `json:"total"`
	// First is the earliest date: of the renewal in a warning, otherwise of the expiry.
	First time.Time `json:"first,omitzero"`
}

// A ReportedCertificate is one certificate in a [CounterpartyReport].
type ReportedCertificate struct {
	Tenant        string    `json:"tenant"`         // name
	DisplayName   string    `json:"display_name"`   // of the tenant
	Fingerprint   string    `json:"fingerprint"`    // of the new certificate, or of the present one in a warning
	CertificateID string    `json:"certificate_id"` // of the same one
	At            time.Time `json:"at"`             // as First
}

// A StopReport is why an administrator gets no more mails.
type StopReport struct {
	Address string     `json:"address"`
	Why     StopReason `json:"why"`
	Other   string     `json:"other,omitempty"` // the person to ask, in the words of the reader
}

// Text encodes a report for a notice.
func (r CounterpartyReport) Text() string { return encoded(r) }

// Text encodes a report for a notice.
func (r StopReport) Text() string { return encoded(r) }

func encoded(v any) string {
	data, err := json.Marshal(v)
	if err != nil { // it has only strings, numbers and times of this century
		panic(err)
	}
	return string(data)
}
