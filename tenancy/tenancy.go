// Package tenancy is the vocabulary: tenants, their users, receivers, arrangements, certificates and tasks, with their
// rules of validity, and the kinds of error that callers distinguish.
//
// A value that passes its Check can be stored, shown in a terminal, on a page or in a mail, and used in a URL or a
// certificate without further escaping. The package does no I/O and reads no clock.
package tenancy

import (
	"cmp"
	"slices"
	"time"
)

// A Tenant is one customer of the platform.
type Tenant struct {
	ID          string // UUIDv7
	Name        string // unique, for URLs and command lines: "acme"
	DisplayName string // for display
	KeyType     KeyType
	CreatedAt   time.Time
	Version     int64 // counts changes
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
	Email    string
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
	return CheckEmail("email", u.Email)
}

// An ITContact is a person who gets the hosting team's mail about the M-user. The first one is the designated contact.
type ITContact struct {
	ID        string
	TenantID  string
	Position  int // 1 is the designated contact
	Name      string
	Email     string
	CreatedAt time.Time
	Version   int64
}

// Check returns an [ErrInvalid] if the contact is not valid.
func (c ITContact) Check() error {
	if err := CheckText("name", c.Name); err != nil {
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
	CreatedAt    time.Time
	Version      int64
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
		return CheckEmail("contact_email", r.ContactEmail)
	}
	return nil
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

// Purpose is the name of a credential: of what a tenant's certificate is for.
type Purpose string

// These credentials are built in. The tenant certificate authenticates outbound messages. The M-user is the tenant's
// technical user.
const (
	ForTenant Purpose = "tenant"
	ForMUser  Purpose = "m-user"
)

// Noun returns the name of the certificate for display.
func (p Purpose) Noun() string {
	switch p {
	case ForTenant:
		return "Tenant Certificate"
	case ForMUser:
		return "M-user Certificate"
	}
	return "Certificate " + string(p)
}

// State is the state of a generation (NIST SP 800-57 part 1, section 7: pre-activation, active, deactivated,
// compromised).
type State string

// A generation is requested if its CA answers later, waits as standby, is presented while active, and ends retired or
// revoked.
const (
	Requested State = "requested"
	Standby   State = "standby"
	Active    State = "active"
	Retired   State = "retired"
	Revoked   State = "revoked"
)

// A Certificate is a generation of a tenant's certificate, without its private key.
type Certificate struct {
	ID          string
	TenantID    string
	Purpose     Purpose
	Generation  int // 1, 2, 3 ... for each tenant and purpose
	State       State
	Serial      string // lowercase hexadecimal
	Fingerprint string // SHA-256 of DER, 64 lowercase hexadecimal digits
	Subject     string // RFC 4514
	NotBefore   time.Time
	NotAfter    time.Time
	KeyType     KeyType
	DER         []byte
	IssuerID    string
	// Issuer is the name of the configured issuer; empty for the default one.
	Issuer string
	// SuccessorID is the next generation; empty if there is none.
	SuccessorID string
	// NoticedUntil is the end of the key users' notice. Before, the generation is presented only if it is needed.
	NoticedUntil time.Time
	// WarnedAt is the run date of the first warning; zero if there was none.
	WarnedAt  time.Time
	CreatedAt time.Time
	// RevokedAt and RevokedFor are the time and the reason of the revocation; zero and empty unless State is Revoked.
	RevokedAt  time.Time
	RevokedFor string
}

// KeyType is the type of a private key.
type KeyType string

// P-256 is the default. Many receivers require RSA.
const (
	P256    KeyType = "p256"
	P384    KeyType = "p384"
	P521    KeyType = "p521"
	RSA2048 KeyType = "rsa2048"
	RSA3072 KeyType = "rsa3072"
	RSA4096 KeyType = "rsa4096"
	Ed25519 KeyType = "ed25519"
)

// KeyTypes are all key types.
var KeyTypes = []KeyType{P256, P384, P521, RSA2048, RSA3072, RSA4096, Ed25519}

// Check returns an [ErrInvalid] if the key type is not valid.
func (k KeyType) Check() error {
	if slices.Contains(KeyTypes, k) {
		return nil
	}
	return Invalid("key_type", "unknown key type %q: use p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519", k)
}

// NoticeKind is the subject matter of a notice.
type NoticeKind string

// A notice announces a renewal, reports a renewal, reports that receivers are not known to accept the new certificate,
// announces a new authority, asks for a certificate that a person must request, or states what receivers may check and
// differs from the certificate before (will differ, without a successor). StopAsked and MailsStopped are about a key
// user's subscription. AuditHead reports the head of the audit log to the hosting team, TokensEnd the tokens that need
// a successor, and AuthorityAwaited an issuing CA that a root elsewhere has to sign. These five belong to no
// certificate and cause no task.
const (
	Expiring     NoticeKind = "expiring"
	Renewed      NoticeKind = "renewed"
	Unready      NoticeKind = "unready"
	NewAuthority NoticeKind = "authority"
	ByHand       NoticeKind = "by-hand"
	Differs      NoticeKind = "differs"
	StopAsked    NoticeKind = "stop-asked"
	MailsStopped NoticeKind = "mails-stopped"
	AuditHead    NoticeKind = "audit-head"
	TokensEnd    NoticeKind = "tokens-end"

	AuthorityAwaited NoticeKind = "authority-awaited"
)

// A Notice is an event about a certificate that users are notified of. It causes tasks and mails.
type Notice struct {
	ID            string
	TenantID      string
	CertificateID string // the generation that expires or was renewed
	SuccessorID   string // the new generation, or the new authority; empty in a warning
	Kind          NoticeKind
	Subject       string
	RunDate       time.Time // of the run that caused it; zero for a renewal by hand
	DueAt         time.Time // the date by which action is needed
	Reason        string    // of a renewal by hand, the head of the audit log, the CA to ask, or the differences
	CreatedAt     time.Time
	// DedupKey names the cause. A certificate has at most one notice for each.
	DedupKey string
}

// TaskState is the progress of a task.
type TaskState string

// A task is open until its key user starts or completes it.
const (
	TaskOpen      TaskState = "open"
	TaskInProcess TaskState = "in-process"
	TaskCompleted TaskState = "completed"
)

// A Task is the task of one key user for one notice. Its completion does not affect the tasks of other users.
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

// MailState is the delivery state of a mail.
type MailState string

// A mail waits while no mail server is configured. It is queued until a server has accepted it. A dead mail is not
// tried again unless an operator requeues it.
const (
	MailWaiting MailState = "waiting"
	MailQueued  MailState = "queued"
	MailSent    MailState = "sent"
	MailDead    MailState = "dead"
)

// A MailHold states that the mail server refuses this installation, so that no mail is sent.
type MailHold struct {
	Since   time.Time `json:"since"`
	RetryAt time.Time `json:"retry_at"` // when one mail is tried
	Reason  string    `json:"reason"`   // the server's answer
	// Domain is that of the recipients if no other was tried. A mail to another domain does not wait.
	Domain string `json:"domain,omitempty"`
}

// A Mail is the delivery of one notice to one person.
type Mail struct {
	ID        string
	TenantID  string
	NoticeID  string
	Subject   string
	KeyUserID string // empty for an IT contact
	Name      string
	Address   string
	// Designated is set if the recipient is the first IT contact.
	Designated bool
	MessageID  string // without angle brackets; the same at every attempt
	State      MailState
	Attempts   int
	LastError  string
	CreatedAt  time.Time
	SentAt     time.Time // zero until sent
}

// Role defines the permissions of a token.
type Role string

// Operators are the hosting team. A key user is one person who acts in one tenant. A sender may use arrangements. A
// gateway runs apart from the service and gets the private keys of all tenants.
const (
	RoleOperator Role = "operator"
	RoleKeyUser  Role = "key-user"
	RoleSender   Role = "sender"
	RoleGateway  Role = "gateway"
)

// NoExpiry is the end of what ends by other means (RFC 5280, section 4.1.2.5).
var NoExpiry = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// A Token is an API credential. Its secret is shown once and stored as a hash. Instead of a secret, it may have a
// workload, whose identity tokens are used.
type Token struct {
	ID        string
	Name      string
	Role      Role
	TenantID  string // empty for operators and gateways
	Tenant    string // name
	KeyUserID string // only for key users
	KeyUser   string // name
	// Issuer and Subject identify the workload; empty for a token with a secret. Such a token has no expiry, because
	// the issuer's identity tokens have one.
	Issuer, Subject string
	// Origin identifies the credential with which the token was created, as [Account.Origin] does. An account creates
	// tokens with its own origin. It is empty for a token that was created at the host.
	Origin     string
	CreatedAt  time.Time
	ExpiresAt  time.Time
	LastUsedAt time.Time
	RevokedAt  time.Time
}

// Valid reports whether the token can be used at now.
func (t Token) Valid(now time.Time) bool { return t.RevokedAt.IsZero() && now.Before(t.ExpiresAt) }

// Check returns an [ErrInvalid] if the token is not valid.
func (t Token) Check() error {
	if err := CheckText("name", t.Name); err != nil {
		return err
	}
	if t.Subject != "" {
		if err := CheckText("workload", t.Subject); err != nil {
			return err
		}
		if t.Role != RoleSender && t.Role != RoleGateway {
			return Invalid("workload", "only tokens of senders and gateways can be bound to a workload")
		}
	}
	switch t.Role {
	case RoleOperator, RoleGateway:
		if t.TenantID != "" || t.KeyUserID != "" {
			return Invalid("role", "a token for the role %s is for all tenants: leave out tenant and user", t.Role)
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
		return Invalid("role", "unknown role %q: use operator, key-user, sender or gateway", t.Role)
	}
	return nil
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

// A Link lets the administrator of a receiving system fetch the new certificate of one arrangement and report that it
// is installed. Its secret is shown once and stored as a hash.
type Link struct {
	ID            string
	ArrangementID string
	Generation    int // the generation to install; the link is for this roll-over only
	CreatedBy     string
	CreatedAt     time.Time
	ExpiresAt     time.Time
	RevokedAt     time.Time
	UsedAt        time.Time // when the installation was last reported
}

// ParkedChunk is the size of a chunk of a parked body, in bytes. The last chunk may be smaller. A body of up to this
// size is stored together with its message.
const ParkedChunk = 256 << 10

// A ParkedPart is one chunk of a parked body. A body has at least two.
type ParkedPart struct {
	N    int // from 0
	Last bool
	Data []byte
}

// A ParkedUsage is what waits for the receivers of a tenant.
type ParkedUsage struct {
	TenantID string
	Messages int
	Bytes    int64
}

// A ParkedQuota limits what waits for the receivers of one tenant. A zero value stands for the default.
type ParkedQuota struct {
	Messages int   // by default 10,000
	Bytes    int64 // by default 1 GiB
}

// Limits returns the quota with its defaults.
func (q ParkedQuota) Limits() ParkedQuota {
	if q.Messages == 0 {
		q.Messages = 10_000
	}
	if q.Bytes == 0 {
		q.Bytes = 1 << 30
	}
	return q
}

// Check returns an [ErrQuota] if a tenant's usage is more than the quota allows.
func (q ParkedQuota) Check(used ParkedUsage) error {
	q = q.Limits()
	switch {
	case used.Messages > q.Messages:
		return Errorf(ErrQuota, "the tenant's quota of %d parked messages is used up: send the message again after some "+
			"were delivered, or ask an operator for a higher --parked-messages", q.Messages)
	case used.Bytes > q.Bytes:
		return Errorf(ErrQuota, "the message does not fit the tenant's quota of %d bytes for parked messages: send it "+
			"again after some were delivered, or ask an operator for a higher --parked-bytes", q.Bytes)
	}
	return nil
}

// ParkedState is the state of a parked message.
type ParkedState string

// A parked message waits until it gets a final answer from the receiver.
const (
	ParkedWaiting   ParkedState = "waiting"
	ParkedDelivered ParkedState = "delivered"
	ParkedFailed    ParkedState = "failed" // the final answer is not a success
)

// A Parked message is stored for delivery. Its headers and body are sealed.
type Parked struct {
	ID             string
	ArrangementID  string
	TenantID       string
	IdempotencyKey string
	Digest         []byte // of the message, sealed in storage: the key must not be reused for another message
	Method         string
	Path           string // without the query
	State          ParkedState
	Bytes          int64 // stored of it, without the chunks of its body
	Chunks         int   // of its body, which is stored apart; 0 if the body is part of the request
	Attempts       int
	NextAt         time.Time // of the next attempt
	Status         int       // of the last answer; 0 if there was none
	LastError      string
	CreatedAt      time.Time
	EndedAt        time.Time // zero while it waits
}
