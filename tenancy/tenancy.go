// Package tenancy is the vocabulary: tenants, their people, receivers, arrangements, certificates and tasks, with the
// rules that make each of them valid, and the kinds of error that a caller may decide by.
//
// It promises that a value which passes its Check can be stored, shown in a terminal, a page or a mail, and named in a
// URL or in a certificate without escaping surprises. It does no I/O and reads no clock.
package tenancy

import "time"

// A Tenant is one customer of the platform.
type Tenant struct {
	ID          string // UUIDv7
	Name        string // unique, for URLs and command lines: "acme"
	DisplayName string // for people
	KeyType     KeyType
	CreatedAt   time.Time
	Version     int64 // counts changes
}

// Check says what is wrong with the tenant, or nil. The error is an [ErrInvalid].
func (t Tenant) Check() error {
	if err := CheckName("name", t.Name); err != nil {
		return err
	}
	if err := CheckText("display_name", t.DisplayName); err != nil {
		return err
	}
	return t.KeyType.Check()
}

// A KeyUser is a person who administers the tenant: every key user gets every task.
type KeyUser struct {
	ID       string
	TenantID string
	Name     string // unique in the tenant: "alice"
	Email    string
	// SubscribedAt is when the user chose Subscribe to Task; zero: not subscribed. It applies to later notices only.
	SubscribedAt time.Time
	// UnsubscribeToken is the secret of the one-click link in the user's mails.
	UnsubscribeToken string
	CreatedAt        time.Time
	Version          int64
}

// Check says what is wrong with the key user, or nil. The error is an [ErrInvalid].
func (u KeyUser) Check() error {
	if err := CheckUserName("name", u.Name); err != nil {
		return err
	}
	return CheckEmail("email", u.Email)
}

// An ITContact is a person whom the hosting team mails about the M-user. The one listed first is the designated one.
type ITContact struct {
	ID        string
	TenantID  string
	Position  int // 1 is the designated contact
	Name      string
	Email     string
	CreatedAt time.Time
	Version   int64
}

// Check says what is wrong with the contact, or nil. The error is an [ErrInvalid].
func (c ITContact) Check() error {
	if err := CheckText("name", c.Name); err != nil {
		return err
	}
	return CheckEmail("email", c.Email)
}

// A Receiver is an external system that a tenant's messages go to.
type Receiver struct {
	ID           string
	TenantID     string
	Name         string // unique in the tenant: "erp"
	DisplayName  string
	ContactName  string // its administrator; may be empty
	ContactEmail string // may be empty
	CreatedAt    time.Time
	Version      int64
}

// Check says what is wrong with the receiver, or nil. The error is an [ErrInvalid].
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
		return CheckEmail("contact_email", r.ContactEmail)
	}
	return nil
}

// Authentication is how an arrangement authenticates to its receiver.
type Authentication string

// The methods of a communication arrangement.
const (
	ClientCertificate Authentication = "client-certificate"
	Basic             Authentication = "basic"
	NoAuthentication  Authentication = "none"
)

// Strategy is how an arrangement rolls over from one generation to the next.
type Strategy string

// All strategies leave a generation before it expires, and, but for immediate, try the other valid generation with the
// same message where the receiver refuses the one that is presented.
const (
	// Immediate switches when the certificate is renewed, whatever the receiver accepts, and tries nothing else: right for
	// receivers that trust the CA, and the cause of the 401 at those that do not.
	Immediate Strategy = "immediate"
	// Confirmed switches when a person or a probe says that the receiver accepts the new certificate.
	Confirmed Strategy = "confirmed"
	// Adaptive is the default: it also learns from the messages themselves, in both directions.
	Adaptive Strategy = "adaptive"
	// Manual switches when a person chooses the generation.
	Manual Strategy = "manual"
)

// Check says what is wrong with the strategy, or nil. The error is an [ErrInvalid].
func (s Strategy) Check() error {
	switch s {
	case Immediate, Confirmed, Adaptive, Manual:
		return nil
	}
	return Invalid("strategy", "%q is not allowed: use adaptive, confirmed, manual or immediate", s)
}

// An Arrangement is one outbound integration: tenant x receiver x scenario x endpoint x authentication.
type Arrangement struct {
	ID             string
	TenantID       string
	ReceiverID     string
	Name           string // unique in the tenant: "crm-to-erp"
	Scenario       string // what it is for, in words; may be empty
	Endpoint       string // an absolute URL
	Authentication Authentication
	Strategy       Strategy
	// Generation is the generation of the tenant certificate that it presents; 0 where it presents none.
	Generation int
	// NeededOldAt is when a message last got through with an older generation after the newest was refused.
	NeededOldAt time.Time
	Egress      Egress
	CreatedAt   time.Time
	Version     int64
}

// Check says what is wrong with the arrangement, or nil. The error is an [ErrInvalid].
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
		return Invalid("authentication", "%q is not allowed: use client-certificate, basic or none", a.Authentication)
	}
	if err := a.Strategy.Check(); err != nil {
		return err
	}
	if err := checkEndpoint(a.Endpoint, a.Authentication); err != nil {
		return err
	}
	return a.Egress.Check()
}

// Purpose is what a tenant's certificate is for.
type Purpose string

// The tenant certificate authenticates outbound messages; the M-user is the tenant's technical user.
const (
	ForTenant Purpose = "tenant"
	ForMUser  Purpose = "m-user"
)

// Noun is how people call the certificate of the purpose.
func (p Purpose) Noun() string {
	if p == ForMUser {
		return "M-user Certificate"
	}
	return "Tenant Certificate"
}

// State is a generation's state (NIST SP 800-57 part 1, section 7: pre-activation, active, deactivated, compromised).
type State string

// A generation waits as standby, is presented while active, and ends retired or revoked.
const (
	Standby State = "standby"
	Active  State = "active"
	Retired State = "retired"
	Revoked State = "revoked"
)

// A Certificate is one generation of a tenant's certificate, without its private key.
type Certificate struct {
	ID          string
	TenantID    string
	Purpose     Purpose
	Generation  int // 1, 2, 3 ... per tenant and purpose
	State       State
	Serial      string // lowercase hexadecimal
	Fingerprint string // SHA-256 of DER, 64 lowercase hexadecimal digits
	Subject     string // RFC 4514
	NotBefore   time.Time
	NotAfter    time.Time
	KeyType     KeyType
	DER         []byte
	IssuerID    string
	// SuccessorID is the next generation, once there is one.
	SuccessorID string
	// NoticedUntil is when the key users' notice of it ends: before, it is presented only where it is needed.
	NoticedUntil time.Time
	// WarnedAt is the run date of the first warning; zero: none so far.
	WarnedAt  time.Time
	CreatedAt time.Time
	// RevokedAt and RevokedFor say when and why; zero and empty unless State is Revoked.
	RevokedAt  time.Time
	RevokedFor string
}

// KeyType is a kind of private key.
type KeyType string

// P-256 is the default; many receivers want RSA.
const (
	P256    KeyType = "p256"
	P384    KeyType = "p384"
	RSA2048 KeyType = "rsa2048"
	RSA3072 KeyType = "rsa3072"
)

// Check says what is wrong with the key type, or nil. The error is an [ErrInvalid].
func (k KeyType) Check() error {
	switch k {
	case P256, P384, RSA2048, RSA3072:
		return nil
	}
	return Invalid("key_type", "%q is not allowed: use p256, p384, rsa2048 or rsa3072", k)
}

// NoticeKind is what a notice says.
type NoticeKind string

// A notice announces a renewal, reports one, says that receivers have not accepted the new certificate yet, or
// announces a new authority.
const (
	Expiring     NoticeKind = "expiring"
	Renewed      NoticeKind = "renewed"
	Unready      NoticeKind = "unready"
	NewAuthority NoticeKind = "authority"
)

// A Notice is one event about one certificate that people are told of. Tasks and mails hang on it.
type Notice struct {
	ID            string
	TenantID      string
	CertificateID string // the generation that expires or was renewed
	SuccessorID   string // the new generation, or the new authority; empty in a warning
	Kind          NoticeKind
	Subject       string
	RunDate       time.Time // the run that caused it; zero for a renewal by hand
	DueAt         time.Time // by when something should be done
	Reason        string    // of a renewal by hand; else empty
	CreatedAt     time.Time
	// DedupKey names the cause. A certificate has at most one notice for each.
	DedupKey string
}

// TaskState is how far a person is with a task.
type TaskState string

// A task is open until its key user takes it up or completes it.
const (
	TaskOpen      TaskState = "open"
	TaskInProcess TaskState = "in-process"
	TaskCompleted TaskState = "completed"
)

// A Task is one key user's task for one notice. Completing it completes it for that user alone.
type Task struct {
	ID          string
	TenantID    string
	KeyUserID   string
	KeyUser     string // name
	NoticeID    string
	Kind        NoticeKind
	Subject     string
	State       TaskState
	Note        string
	DueAt       time.Time
	CreatedAt   time.Time
	CompletedAt time.Time // zero until completed
	Version     int64
}

// MailState is where a mail is.
type MailState string

// A mail waits while no mail server is configured, is queued until a server took it, and is dead when it will not be
// tried again unless an operator requeues it.
const (
	MailWaiting MailState = "waiting"
	MailQueued  MailState = "queued"
	MailSent    MailState = "sent"
	MailDead    MailState = "dead"
)

// A Mail is one e-mail to one person about one notice: a delivery.
type Mail struct {
	ID        string
	TenantID  string
	NoticeID  string
	Subject   string
	KeyUserID string // empty for an IT contact
	Name      string
	Address   string
	// Designated: the recipient is the IT contact listed first.
	Designated bool
	MessageID  string // without angle brackets; the same at every try
	State      MailState
	Attempts   int
	LastError  string
	CreatedAt  time.Time
	SentAt     time.Time // zero until sent
}

// Role is what a token may do.
type Role string

// Operators are the hosting team; a key user acts in one tenant, as one person; a sender may use arrangements; a
// gateway is one that runs apart from the service, and gets the private keys of all tenants.
const (
	RoleOperator Role = "operator"
	RoleKeyUser  Role = "key-user"
	RoleSender   Role = "sender"
	RoleGateway  Role = "gateway"
)

// A Token is an API credential; its secret is shown once and stored as a hash.
type Token struct {
	ID         string
	Name       string
	Role       Role
	TenantID   string // empty for operators and gateways
	Tenant     string // name
	KeyUserID  string // only for key users
	KeyUser    string // name
	CreatedAt  time.Time
	ExpiresAt  time.Time
	LastUsedAt time.Time
	RevokedAt  time.Time
}

// Valid says whether the token can be used at now.
func (t Token) Valid(now time.Time) bool { return t.RevokedAt.IsZero() && now.Before(t.ExpiresAt) }

// Check says what is wrong with the token, or nil. The error is an [ErrInvalid].
func (t Token) Check() error {
	if err := CheckText("name", t.Name); err != nil {
		return err
	}
	switch t.Role {
	case RoleOperator, RoleGateway:
		if t.TenantID != "" || t.KeyUserID != "" {
			return Invalid("role", "a token for the role %s is for all tenants: leave tenant and user out", t.Role)
		}
	case RoleKeyUser:
		if t.TenantID == "" || t.KeyUserID == "" {
			return Invalid("role", "a key user's token needs a tenant and a user")
		}
	case RoleSender:
		if t.TenantID == "" || t.KeyUserID != "" {
			return Invalid("role", "a sender's token needs a tenant and no user")
		}
	default:
		return Invalid("role", "%q is not allowed: use operator, key-user, sender or gateway", t.Role)
	}
	return nil
}

// An Event is one entry of the audit log.
type Event struct {
	Seq    int64
	At     time.Time
	Actor  string // who: "run", "operator token ...", "key user acme/alice"
	Action string // what: "certificate.renewed"
	Tenant string // the tenant's name; empty where none is concerned
	Object string // on what: "acme/tenant/3"
	Detail string // more, as JSON
	Prev   []byte // hash of the entry before
	Hash   []byte
}

// A Run is one execution of the background job for one run date.
type Run struct {
	RunDate    time.Time
	Policy     string
	StartedAt  time.Time
	FinishedAt time.Time // zero until every due certificate was dealt with
	Warned     int
	Renewed    int
	Late       int    // of the renewed: those that had expired before
	Failed     int    // of the last try
	LastError  string // of the last try; empty where none failed
}

// A Message is one entry of the message log: never a body, a header or a query.
type Message struct {
	ID            string
	ArrangementID string
	At            time.Time
	Method        string
	Path          string // at the receiver, without the query
	Status        int    // that the sender got; 0 where none was sent
	Generation    int    // of the last try
	Attempts      int
	Duration      time.Duration
	Outcome       string // empty, or what went wrong and what was done about it
	// Count is how many messages the entry stands for: where many succeed in one second, one stands for the rest.
	Count int
}

// A Link lets the administrator of a receiving system fetch the new certificate of one arrangement and say that it is
// installed. Its secret is shown once and stored as a hash.
type Link struct {
	ID            string
	ArrangementID string
	Generation    int // the one to install: the link is for this roll-over alone
	CreatedBy     string
	CreatedAt     time.Time
	ExpiresAt     time.Time
	RevokedAt     time.Time
	UsedAt        time.Time // when somebody last said "installed"
}

// ParkedState is how far a parked message is.
type ParkedState string

// A parked message waits until the receiver has answered it for good.
const (
	ParkedWaiting   ParkedState = "waiting"
	ParkedDelivered ParkedState = "delivered"
	ParkedFailed    ParkedState = "failed" // the receiver's answer is final, and no success
)

// A Parked message is stored for delivery; its headers and body are sealed.
type Parked struct {
	ID             string
	ArrangementID  string
	TenantID       string
	IdempotencyKey string
	Digest         []byte // of what was parked, sealed where it is stored: the same key may not stand for another message
	Method         string
	Path           string // without the query
	State          ParkedState
	Attempts       int
	NextAt         time.Time // of the next attempt
	Status         int       // of the last answer; 0 where none came
	LastError      string
	CreatedAt      time.Time
	EndedAt        time.Time // zero while it waits
}
