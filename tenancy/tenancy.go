// Package tenancy is the vocabulary: tenants, their users, receivers, arrangements, certificates and tasks, with their
// rules of validity, and the kinds of error that callers distinguish.
//
// A value that passes its Check can be stored, shown in a terminal, on a page or in a mail, and used in a URL or a
// certificate without further escaping. The package does no I/O and reads no clock.
package tenancy

import (
	"cmp"
	"errors"
	"time"
)

// A Tenant is one customer of the platform.
type Tenant struct {
	ID          string // UUIDv7
	Name        string // unique, for URLs and command lines: "acme"
	DisplayName string // for display
	KeyType     KeyType
	// MailsAdministrators is true if the service may mail the administrators of the tenant's receivers.
	MailsAdministrators bool
	CreatedAt           time.Time
	Version             int64 // counts changes
}

// Check returns an [ErrInvalid] if the tenant is not valid.
func (t Tenant) Check() error {
	if err := CheckName("name", t.Name); err != nil {
		return err
	}
	if err := CheckText("display_name", t.DisplayName); err != nil {
		return err
	}
	return t.KeyType.Check()
}

// A KeyUser is a person who administers the tenant. Every key user gets every task.
type KeyUser struct {
	ID       string
	TenantID string
	Name     string // unique in the tenant: "alice"
	// DisplayName is the full name, for the salutation of mails; empty for the name.
	DisplayName string
	Email       string
	Preferences // of the user's mails; empty for those of the user's account
	// SubscribedAt is the time at which the user chose Subscribe to Task; zero if not subscribed. It applies to later
	// notices only.
	SubscribedAt time.Time
	// UnsubscribeToken is the secret behind the links about the subscription in the user's mails, see
	// [KeyUser.LinkSecret].
	UnsubscribeToken string
	CreatedAt        time.Time
	Version          int64
}

// Check returns an [ErrInvalid] if the key user is not valid.
func (u KeyUser) Check() error {
	if err := CheckUserName("name", u.Name); err != nil {
		return err
	}
	if u.DisplayName != "" {
		if err := CheckText("display_name", u.DisplayName); err != nil {
			return err
		}
	}
	if err := u.Preferences.Check(); err != nil {
		return err
	}
	return CheckEmail("email", u.Email)
}

// An ITContact is a person who gets the hosting team's mail about the M-user. The first one is the designated contact.
type ITContact struct {
	ID       string
	TenantID string
	Position int // 1 is the designated contact
	Name     string
	Email    string
	Preferences
	CreatedAt time.Time
	Version   int64
}

// Check returns an [ErrInvalid] if the contact is not valid.
func (c ITContact) Check() error {
	if err := CheckText("name", c.Name); err != nil {
		return err
	}
	if err := c.Preferences.Check(); err != nil {
		return err
	}
	return CheckEmail("email", c.Email)
}

// A Receiver is an external system that receives a tenant's messages.
type Receiver struct {
	ID           string
	TenantID     string
	Name         string // unique in the tenant: "erp"
	DisplayName  string
	ContactName  string // of its administrator; may be empty
	ContactEmail string // may be empty
	// Contact are the language and the time zone of mails to the administrator.
	Contact Preferences
	// CounterpartyID is the [Counterparty] behind it; empty if an operator has linked none.
	CounterpartyID string
	CreatedAt      time.Time
	Version        int64
}

// Check returns an [ErrInvalid] if the receiver is not valid.
func (r Receiver) Check() error {
	if err := CheckName("name", r.Name); err != nil {
		return err
	}
	if err := CheckText("display_name", r.DisplayName); err != nil {
		return err
	}
	if r.ContactName != "" {
		if err := CheckText("contact_name", r.ContactName); err != nil {
			return err
		}
	}
	if r.ContactEmail != "" {
		if err := CheckEmail("contact_email", r.ContactEmail); err != nil {
			return err
		}
	}
	err := r.Contact.Check()
	if rule := (*RuleError)(nil); errors.As(err, &rule) {
		named := *rule
		named.Field = "contact_" + rule.Field
		return &named
	}
	return err
}

// Authentication is the method by which an arrangement authenticates to its receiver.
type Authentication string

// The methods of a communication arrangement.
const (
	ClientCertificate Authentication = "client-certificate"
	Basic             Authentication = "basic"
	NoAuthentication  Authentication = "none"
)

// Strategy determines when an arrangement rolls over from one generation to the next.
type Strategy string

// All strategies leave a generation before it expires. All but immediate try the other valid generations with the same
// message if the receiver refuses the presented one.
const (
	// Immediate switches when the certificate is renewed, whatever the receiver accepts, and tries nothing else. It suits
	// receivers that trust the CA. Others answer 401 until the new certificate is installed.
	Immediate Strategy = "immediate"
	// Confirmed switches when a person reports, or a probe shows, that the receiver accepts the new certificate.
	Confirmed Strategy = "confirmed"
	// Adaptive is the default. It also uses the answers to messages, in both directions.
	Adaptive Strategy = "adaptive"
	// Manual switches when a person selects the generation.
	Manual Strategy = "manual"
)

// Check returns an [ErrInvalid] if the strategy is not valid.
func (s Strategy) Check() error {
	switch s {
	case Immediate, Confirmed, Adaptive, Manual:
		return nil
	}
	return Invalid("strategy", "unknown strategy %q: use adaptive, confirmed, manual or immediate", s)
}

// An Arrangement is an outbound integration: tenant x receiver x scenario x endpoint x authentication.
type Arrangement struct {
	ID             string
	TenantID       string
	ReceiverID     string
	Name           string // unique in the tenant: "crm-to-erp"
	Scenario       string // its purpose in words; may be empty
	Endpoint       string // an absolute URL
	Authentication Authentication
	Strategy       Strategy
	// Credential is the one whose certificates it presents; empty for [ForTenant]. [Arrangement.Presents] has the default.
	Credential Purpose
	// Generation is the generation that it presents; 0 if it presents none.
	Generation int
	// NeededOldAt is the last time at which a message was delivered with an older generation after the newest was
	// refused.
	NeededOldAt time.Time
	Learned     Learned
	Egress      Egress
	CreatedAt   time.Time
	Version     int64
}

// Presents returns the credential whose certificates the arrangement presents.
func (a Arrangement) Presents() Purpose { return cmp.Or(a.Credential, ForTenant) }

// Learned holds the facts that the answers of an arrangement's receiver showed. They are not configured, and they are
// cleared when the endpoint changes.
type Learned struct {
	// UnaskedAt is the last time at which it answered a message without asking for a certificate; zero if it asks for
	// one.
	UnaskedAt time.Time `json:"unasked_at,omitzero"`
	// NewestOnlyAt is the time at which it was found to accept nothing older than what it accepted last.
	NewestOnlyAt time.Time `json:"newest_only_at,omitzero"`
	// FollowedAt is the time at which it was found to follow the arrangement's feed; zero if it does not.
	FollowedAt time.Time `json:"followed_at,omitzero"`
}

// Check returns an [ErrInvalid] if the arrangement is not valid.
func (a Arrangement) Check() error {
	if err := CheckName("name", a.Name); err != nil {
		return err
	}
	if a.Scenario != "" {
		if err := CheckText("scenario", a.Scenario); err != nil {
			return err
		}
	}
	switch a.Authentication {
	case ClientCertificate, Basic, NoAuthentication:
	default:
		return Invalid("authentication", "unknown method %q: use client-certificate, basic or none", a.Authentication)
	}
	if err := a.Strategy.Check(); err != nil {
		return err
	}
	if !a.Presents().Presented() {
		return Invalid("credential", "messages cannot present the %s: use tenant, or a credential that you have added",
			a.Credential.Noun())
	}
	if err := checkEndpoint(a.Endpoint, a.Authentication); err != nil {
		return err
	}
	return a.Egress.Check()
}

// An Event is an entry of the audit log.
type Event struct {
	Seq    int64
	At     time.Time
	Actor  string // "run", "operator token ...", "key user acme/alice"
	Action string // "certificate.renewed"
	Tenant string // name; empty if the event is not about a tenant
	Object string // "acme/tenant/3"
	Detail string // JSON
	Prev   []byte // hash of the previous entry
	Hash   []byte
}

// A Run is the execution of the background job for a run date.
type Run struct {
	RunDate    time.Time
	Policy     string
	StartedAt  time.Time
	FinishedAt time.Time // zero until every due certificate is processed
	Warned     int
	Renewed    int
	Late       int    // number of renewed certificates that had expired before
	Failed     int    // in the last attempt
	LastError  string // of the last attempt; empty if none failed
}

// A Message is an entry of the message log. It never contains a body, a header or a query.
type Message struct {
	ID            string
	ArrangementID string
	At            time.Time
	Method        string
	Path          string // at the receiver, without the query
	Status        int    // that the sender got; 0 if none was sent
	Generation    int    // of the last attempt
	Attempts      int
	Duration      time.Duration
	Outcome       string // empty, or the failure and its handling
	// Count is the number of messages that the entry stands for. If it is more than 1, the duration is their mean, and
	// method, path and outcome are those of the first.
	Count int
}

// LinkKept is the time for which a [Link] is valid after its creation, after it was mailed, and after its page was
// opened: a year, so that it works until the next renewal, and a month.
const LinkKept = 400 * 24 * time.Hour

// A Link is the page of one arrangement for the administrator of its receiver. It shows the certificate to install, and
// after the next renewal the next one. Only the hash of its secret is stored.
type Link struct {
	ID            string
	ArrangementID string
	Generation    int // the newest one when the link was created
	// Address is that of the administrator to whom the service mails the link, in lower case; empty if a person passes it
	// on.
	Address   string
	CreatedBy string
	CreatedAt time.Time
	ExpiresAt time.Time
	RevokedAt time.Time
	OpenedAt  time.Time // latest opening of the page, to the hour; zero if there was none
	TestedAt  time.Time // latest test on the page; zero if there was none
	UsedAt    time.Time // when the installation was last reported
}
