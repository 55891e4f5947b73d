package client

import (
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Counterparty is the organisation behind receivers of one or many tenants.
type Counterparty struct {
	Name        string                `json:"name" example:"bank" maxLength:"63"`
	DisplayName string                `json:"display_name,omitempty" maxLength:"200" example:"House Bank" doc:"Default: the name."`
	Hosts       []string              `json:"hosts,omitempty" maxItems:"50" example:"pay.bank.example" doc:"Hosts of its receivers: a name, or with a dot in front every host below it. A change links the receivers of all tenants with such a host, and ends the links of the others."`
	Product     string                `json:"product,omitempty" maxLength:"200" doc:"Product that its receivers run, as in the instructions."`
	Contacts    []CounterpartyContact `json:"contacts,omitempty" readOnly:"true" doc:"In the order in which they are asked. Left out in lists."`
	Tenants     int                   `json:"tenants" readOnly:"true" doc:"Tenants with a receiver that is linked to it."`
	Counts      *CounterpartyCounts   `json:"counts,omitempty" readOnly:"true" doc:"In lists only if it is asked for."`
	Feed        *CounterpartyFeed     `json:"feed,omitempty" readOnly:"true" doc:"Its feed, without the address. Absent if it has none, and in lists."`
	LinkedAt    time.Time             `json:"linked_at,omitzero" readOnly:"true" doc:"Creation of the present address of its page. Absent if it has no page."`
	LinkedBy    string                `json:"linked_by,omitempty" readOnly:"true"`
	VisitedAt   time.Time             `json:"visited_at,omitzero" readOnly:"true" doc:"Last visit of the page, to the hour."`
	CreatedAt   time.Time             `json:"created_at,omitzero" readOnly:"true"`
}

// CounterpartyContact is a person who administers the receivers of a counterparty.
type CounterpartyContact struct {
	ID          string    `json:"id,omitempty" readOnly:"true"`
	Name        string    `json:"name" maxLength:"200" example:"Ada Example"`
	Email       string    `json:"email" maxLength:"254" example:"ada@bank.example"`
	Language    string    `json:"language,omitempty" enum:",en,de" doc:"Empty for that of the browser."`
	Zone        string    `json:"zone,omitempty" maxLength:"64" example:"Europe/Berlin" doc:"IANA name; empty for UTC."`
	ProposedBy  string    `json:"proposed_by,omitempty" readOnly:"true" doc:"Present if the page named the contact and no operator has accepted it yet."`
	ConfirmedAt time.Time `json:"confirmed_at,omitzero" readOnly:"true" doc:"When the data were confirmed on the page. A claim: whoever has its address can do that."`
	StoppedAt   time.Time `json:"stopped_at,omitzero" readOnly:"true" doc:"Since when the contact gets no mails."`
	StoppedFor  string    `json:"stopped_for,omitempty" readOnly:"true" enum:"asked,passed-on,bounced" doc:"Why the contact gets no mails: they asked for it, they named another person, or the address does not exist."`
}

// CounterpartyCounts counts the certificates that the receivers of a counterparty must accept, by state.
type CounterpartyCounts struct {
	Exposed int       `json:"exposed" doc:"Messages are sent with the new certificate only, and nothing proves that it is accepted."`
	Refused int       `json:"refused" doc:"A receiver refuses the new certificate, and messages use the old one."`
	Needed  int       `json:"needed" doc:"The new certificate must be accepted before the deadline."`
	Claimed int       `json:"claimed" doc:"The new certificate was reported as installed, and nothing proves it yet."`
	Done    int       `json:"done" doc:"The new certificate is proved to be accepted."`
	Quiet   int       `json:"quiet" doc:"There is no new certificate."`
	All     int       `json:"all"`
	First   time.Time `json:"first_deadline,omitzero" doc:"The earliest deadline. Not in the future if messages depend on a new certificate already."`
	Waiting int       `json:"waiting" doc:"Tests that were asked for and have no answer yet."`
	AsOf    time.Time `json:"as_of" doc:"Time of the numbers. Those of more than 200 certificates may be up to 15 seconds old."`
}

// Open returns the number of certificates that need something.
func (c CounterpartyCounts) Open() int { return c.Exposed + c.Refused + c.Needed + c.Claimed }

// CounterpartyLine is one certificate of a tenant, with the arrangements that present it to the counterparty.
type CounterpartyLine struct {
	Key         string                   `json:"key" example:"acme/tenant" doc:"TENANT/CREDENTIAL."`
	Tenant      string                   `json:"tenant" doc:"Display name of the tenant."`
	State       string                   `json:"state" enum:"exposed,refused,needed,claimed,done,quiet" doc:"The worst of its arrangements."`
	Deadline    time.Time                `json:"deadline,omitzero" doc:"Expiry of the last certificate that a receiver is known to accept. Not in the future if messages depend on the new one already. Absent if nothing is needed."`
	New         Certificate              `json:"new" doc:"The newest certificate."`
	Old         *Certificate             `json:"old,omitempty" doc:"The certificate before it. Absent if there is none."`
	Changes     *tenancy.Changes         `json:"changes,omitempty" doc:"Changes from the old to the new certificate, besides the serial number and the dates. Absent if there is no old one, or if they cannot be compared."`
	Revoked     []string                 `json:"revoked,omitempty" doc:"Serial numbers of earlier certificates that are revoked and have not expired. The receiver must not accept them any longer."`
	Connections []CounterpartyConnection `json:"connections" doc:"The worst first, at most 20."`
	More        int                      `json:"more_connections,omitempty" doc:"The number of connections that are not listed."`
}

// CounterpartyConnection is one arrangement that presents a certificate to the counterparty.
type CounterpartyConnection struct {
	Endpoint string    `json:"endpoint"`
	State    string    `json:"state" enum:"exposed,refused,needed,claimed,done,quiet"`
	Proves   bool      `json:"test_proves" doc:"True if a test can prove an acceptance. Otherwise it can prove a refusal only."`
	Waiting  bool      `json:"waiting,omitempty" doc:"A test was asked for and has no answer yet."`
	TestedAt time.Time `json:"tested_at,omitzero" doc:"Last test that was asked for here."`
	Result   string    `json:"result,omitempty" enum:"accepted,refused,unclear" doc:"Its result. Absent if the receiver could not be tested."`
	Answer   string    `json:"answer,omitempty"`
}

// CounterpartyPage is the content of the page of a counterparty.
type CounterpartyPage struct {
	DisplayName string                 `json:"display_name"`
	Product     string                 `json:"product,omitempty"`
	Contacts    []CounterpartyContact  `json:"contacts"`
	Reader      *CounterpartyContact   `json:"reader,omitempty" doc:"The contact whose address this is. Absent at the address of the counterparty."`
	Counts      CounterpartyCounts     `json:"counts"`
	Feed        *CounterpartyFeed      `json:"feed,omitempty" doc:"Its feed, without the address. Absent if it has none."`
	Deadlines   []CounterpartyDeadline `json:"deadlines" doc:"The earliest days with a deadline, at most 100."`
}

// CounterpartyDeadline is a day (UTC) with the number of certificates that must be accepted before its first deadline.
type CounterpartyDeadline struct {
	At           time.Time `json:"at" doc:"The first deadline of the day."`
	Certificates int       `json:"certificates"`
}

// CounterpartyTest asks for tests of certificates of a counterparty.
type CounterpartyTest struct {
	Keys      []string `json:"keys,omitempty" maxItems:"500" doc:"Keys of lines."`
	All       bool     `json:"all,omitempty" doc:"All lines that need something."`
	Installed bool     `json:"installed,omitempty" doc:"Also report the new certificates as installed. That is a claim until a test or a message proves it."`
}

// CounterpartyTested is the answer to a [CounterpartyTest].
type CounterpartyTested struct {
	Tests int `json:"tests" doc:"Tests that begin now. A receiver that was tested within the last five minutes is left out."`
}

// CounterpartyPageLink is the address of the page of a counterparty.
type CounterpartyPageLink struct {
	URL string `json:"url" doc:"Shown only once. It is valid until it is replaced or revoked."`
}

// CounterpartyProposal is a host that several tenants name, or that belongs to a counterparty, with receivers that are
// not linked.
type CounterpartyProposal struct {
	Host         string `json:"host" example:"pay.bank.example"`
	Counterparty string `json:"counterparty,omitempty" doc:"Name of the counterparty that the host belongs to."`
	Tenants      int    `json:"tenants" doc:"Tenants that name the host and are not linked."`
	Receivers    int    `json:"receivers"`
}

// AcceptProposal names the counterparty of a proposed host.
type AcceptProposal struct {
	Counterparty string `json:"counterparty,omitempty" maxLength:"63" doc:"Its name. It is created if there is none. Default: the counterparty that the host belongs to."`
	DisplayName  string `json:"display_name,omitempty" maxLength:"200" doc:"Of a new counterparty."`
}

// UnlinkReceiver names a receiver that does not belong to a counterparty.
type UnlinkReceiver struct {
	Tenant   string `json:"tenant" maxLength:"63"`
	Receiver string `json:"receiver" maxLength:"63"`
}

// ReceiverCounterparty is the part of a counterparty that a tenant with a linked receiver sees.
type ReceiverCounterparty struct {
	Name        string                `json:"name"`
	DisplayName string                `json:"display_name"`
	Contacts    []CounterpartyContact `json:"contacts"`
}

// CounterpartyProduct is the product that the receivers of a counterparty run.
type CounterpartyProduct struct {
	Product string `json:"product" maxLength:"200"`
}
