// Package notify composes the mails about certificates, hands them to a mail server, and stores its answers.
//
// It promises that a subject that the policy prescribes is sent to the letter, that a mail is in the language and the
// time zone of its reader, and that the same mail always has the same Message-ID, so that duplicates can be recognised.
// Each statement about a receiver follows from what is stored about it. The new certificate is attached, never a key.
// A server's refusal is final only if another attempt is useless, for example because the address does not exist. A
// crash repeats at most ten mails of each conversation. It cannot promise that a mail arrives once: a server that
// accepts a mail and fails before it confirms this is sent the mail again.
package notify

import (
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Letter holds the content of a mail about one notice to one recipient.
type Letter struct {
	MessageID string // without angle brackets
	Subject   string
	Date      time.Time
	Name      string
	Address   string
	// Thread is the Message-ID of the first mail to the reader about the same certificate; empty if this is the first.
	Thread string
	Reader
	Platform Platform
	Kind     tenancy.NoticeKind
	say      func(language string, text tenancy.Text) string // nil for English
	// Now is the time at which the mail is composed.
	Now time.Time

	Purpose     tenancy.Purpose
	Tenant      string // name
	TenantTitle string // display name
	Certificate string // "Tenant Certificate" or "M-user Certificate"
	ITContact   bool   // the recipient is an IT contact, not a key user
	Designated  bool   // the IT contact listed first
	Differences string // what differs, in a mail about that; else empty
	Reason      string // of a renewal by hand or for a revoked CA, as in the audit log; else empty
	Old         Details
	// OldRevoked is set if the old certificate is revoked, and AlsoRevoked are the serial numbers of the earlier ones that
	// were revoked with it.
	OldRevoked  bool
	AlsoRevoked []string
	New         *Details // nil in a warning, and if NewRevoked is set
	// NewRevoked is set if the new certificate was revoked since the notice, and the CA has not issued the next one.
	NewRevoked bool
	Authority  *Details // the new issuing CA if one is announced, else nil
	NewRoot    *Details // its root if that is new too, else nil
	// FirstOfCA is the planned renewal that the new CA signs first; zero if it is not known.
	FirstOfCA    time.Time
	RenewalOn    time.Time
	Arrangements []Affected
	// Failed counts the messages to these arrangements that have failed since the old certificate expired, in a mail about
	// that.
	Failed int
	// Changes lists the differences that receivers may notice besides the serial number and the dates, if ChangesKnown
	// is set. In a warning, they follow from the CA's plans.
	Changes      tenancy.Changes
	ChangesKnown bool
	// ForeignIssuer is set if the old certificate was issued by another CA than those of this service.
	ForeignIssuer bool
	NewCAs        []Details // the certificates of a new issuing CA, and of a new root; empty if the CA stays
	ServiceURL    string    // the address of the tasks; may be empty
	// These pages are empty without an address of the service. CheckPage shows the fingerprint after signing in. Board
	// lists the systems of the tenant, and CAFile has the CA certificates.
	CheckPage, Board, CAFile, AccountPage string
	// Unsubscribe is the page that asks whether to stop mails, and OneClick the link that stops them at once (RFC
	// 8058). Both are empty for IT contacts.
	Unsubscribe, OneClick string
	Confirm               string   // the link that stops mails, if that is asked for
	Undo                  string   // the link that undoes it, if mails were stopped
	Issuer                string   // the CA that a person asks, in a mail about a request
	RequestPage           string   // the page of that request; may be empty
	Head                  string   // of the audit log, in a mail to the hosting team
	Tokens                []string // that end, in a mail to the hosting team; a line each

	Watched      *WatchFacts   // nil unless the mail is about a certificate that belongs to others
	Administered *Administered // nil unless the reader administers receivers
	// Stopped states why the administrator of a receiver gets no more mails; nil in another mail.
	Stopped *tenancy.StopReport
}

// Revoked reports whether the old certificate was revoked with its renewal.
func (l Letter) Revoked() bool {
	return l.Reason == "lost" || l.Reason == "compromised" || l.Reason == "authority-revoked"
}

// Superseded reports whether a revocation makes this notice obsolete: the new certificate was revoked, or the one whose
// renewal the notice announces. Another mail states what to do.
func (l Letter) Superseded() bool {
	return l.NewRevoked || l.OldRevoked && (l.Kind == tenancy.Expiring || l.Kind == tenancy.AdministratorExpiring)
}

// AtOnce reports whether the new certificate is in use as soon as it exists, because no arrangement presents it.
func (l Letter) AtOnce() bool { return len(l.Arrangements) == 0 }

// Open returns the arrangements whose receiver may need a change and has not been proved to accept the new certificate.
func (l Letter) Open() (open []Affected) {
	for _, a := range l.Arrangements {
		if !a.Accepts && !a.Unaffected && !a.Unasked {
			open = append(open, a)
		}
	}
	return open
}

// Exposed returns the arrangements that get only the new certificate, while their receiver is not known to accept it.
func (l Letter) Exposed() (exposed []Affected) {
	for _, a := range l.Arrangements {
		if a.Exposed {
			exposed = append(exposed, a)
		}
	}
	return exposed
}

// Deadline returns the earliest deadline of the arrangements; zero if there is none.
func (l Letter) Deadline() (first time.Time) {
	for _, a := range l.Arrangements {
		if !a.Deadline.IsZero() && (first.IsZero() || a.Deadline.Before(first)) {
			first = a.Deadline
		}
	}
	return first
}

// read returns a stored text in the reader's language.
func (l Letter) read(stored string) string {
	text := tenancy.ReadText(stored)
	if l.say == nil {
		return text.String()
	}
	return l.say(l.Language, text)
}

// Details describe a certificate to a receiver's administrator.
type Details struct {
	Generation  int
	Subject     string
	Issuer      string
	Serial      string
	Fingerprint string
	NotBefore   time.Time
	NotAfter    time.Time
	DER         []byte
}

// DetailsOf returns the details of a certificate. The issuer is empty if it cannot be read.
func DetailsOf(c tenancy.Certificate) Details {
	issuer, _ := certfile.IssuerOf(c.DER)
	return Details{Generation: c.Generation, Subject: c.Subject, Issuer: issuer, Serial: c.Serial,
		Fingerprint: c.Fingerprint, NotBefore: c.NotBefore, NotAfter: c.NotAfter, DER: c.DER}
}

// An Affected arrangement presents the certificate.
type Affected struct {
	Arrangement string
	Scenario    string
	Receiver    string
	Endpoint    string
	Contact     string // the receiver's administrator; may be empty
	// Switched is true if the arrangement already presents the new certificate.
	Switched bool
	// Immediate is true if it presents the new certificate as soon as it exists, and no other.
	Immediate bool
	// Page is the address of its page; empty without an address of the service. PageToPassOn is that of the page which a
	// key user passes on to the administrator; empty if there is none.
	Page, PageToPassOn string
	// Checks names what the receiver compares; empty if that is not known.
	Checks string
	// Unaffected is true if the receiver compares nothing that changes, and MustChange if it compares something that
	// does. Both are false if that is not known.
	Unaffected, MustChange bool
	// DependsOnCA is true if the receiver needs a change only because the CA changes.
	DependsOnCA bool
	// Accepts and Refuses are proved for the new certificate. Answer is the receiver's.
	Accepts, Refuses bool
	Answer           string
	AnsweredAt       time.Time
	// Unasked is true if the receiver delivers messages without asking for a certificate.
	Unasked bool
	// Claimed is true if a person reports the new certificate as installed, without a proof.
	Claimed bool
	// Exposed is true if messages already depend on the new certificate.
	Exposed bool
	// Mailed is true if the service mails the administrator about this as well.
	Mailed bool
	// Deadline is the expiry of the last certificate that the receiver is known to accept; zero if none is needed.
	Deadline time.Time
	// Advice states what is known about the receiver, and the next step there. Idle is true if there is none.
	Advice string
	Idle   bool

	id                        string
	contactName, contactEmail string
	// invited is true if there is a link to the page for its administrator, and opened is when that was opened last.
	invited bool
	opened  time.Time
}
