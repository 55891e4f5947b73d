package tenancy

import "time"

// NoticeKind is the subject matter of a notice.
type NoticeKind string

// IsAboutWatched reports whether notices of the kind are about a watched certificate. They have a [WatchReport].
func (k NoticeKind) IsAboutWatched() bool {
	return k == WatchExpected || k == WatchRenewed || k == WatchAlarmed
}

// A notice announces a renewal, reports a renewal, reports that receivers are not known to accept the new certificate,
// announces a new authority, asks for a certificate that a person must request, or lists properties that receivers may
// check and that differ from the previous certificate (will differ, without a successor). Done reports that every
// receiver accepts the new certificate, and its tasks are completed. Over reports that the old one has expired before
// that. StopAsked and MailsStopped are about a key user's subscription. AuditHead reports the head of the audit log to
// the hosting team, TokensEnd the tokens that need a successor, and AuthorityAwaited an issuing CA that a root
// elsewhere must sign. These five belong to no certificate and cause no task. Notices about a watched certificate have
// a [WatchReport].
const (
	Expiring     NoticeKind = "expiring"
	Renewed      NoticeKind = "renewed"
	Unready      NoticeKind = "unready"
	Done         NoticeKind = "done"
	Over         NoticeKind = "over"
	NewAuthority NoticeKind = "authority"
	ByHand       NoticeKind = "by-hand"
	Differs      NoticeKind = "differs"
	StopAsked    NoticeKind = "stop-asked"
	MailsStopped NoticeKind = "mails-stopped"
	AuditHead    NoticeKind = "audit-head"
	TokensEnd    NoticeKind = "tokens-end"

	AuthorityAwaited NoticeKind = "authority-awaited"

	// Notices to the administrators of receivers cause no tasks. Those to a counterparty have a [CounterpartyReport].
	AdministratorExpiring NoticeKind = "administrator-expiring" // a receiver gets another certificate soon
	AdministratorRenewed  NoticeKind = "administrator-renewed"
	AdministratorUnready  NoticeKind = "administrator-unready"
	AdministratorDone     NoticeKind = "administrator-done"    // all of their receivers accept the new certificate
	AdministratorRetired  NoticeKind = "administrator-retired" // the old one is not used any more
	// AdministratorStopped reports to key users that an administrator gets no more mails. It has a [StopReport].
	AdministratorStopped NoticeKind = "administrator-stopped"

	WatchExpected NoticeKind = "watch-expected" // its owner renews it soon
	WatchRenewed  NoticeKind = "watch-renewed"  // the expected successor was seen
	WatchAlarmed  NoticeKind = "watch-alarm"
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
	Reason        string    // of a renewal by hand, the head of the audit log, the CA to ask, the differences, or a report
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
	Purpose     Purpose // of the certificate that it is about; empty if it is about another thing
	Reason      string  // of the notice
	State       TaskState
	Note        string
	ClosedFor   TaskClosing // why the service closed it; empty if a person completed it, or if it is open
	DueAt       time.Time
	CreatedAt   time.Time
	CompletedAt time.Time // zero until completed
	Version     int64
}

// TaskClosing is why the service closed a task.
type TaskClosing string

// The reasons that are gone.
const (
	ClosedAccepted TaskClosing = "accepted" // every receiver accepts the new certificate
	ClosedRenewed  TaskClosing = "renewed"  // the certificate was renewed
	ClosedAnswered TaskClosing = "answered" // the CA has answered the request
	ClosedRevoked  TaskClosing = "revoked"  // a certificate that it names was revoked, which is a task of its own
)

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
	Kind      NoticeKind // of the notice; not stored with the mail
	KeyUserID string     // empty for an IT contact and an administrator
	// AdministratorID is that of the [Administrator]; empty for everyone else.
	AdministratorID string
	Name            string
	Address         string
	// Designated is set if the recipient is the first IT contact.
	Designated bool
	MessageID  string // without angle brackets; the same at every attempt
	State      MailState
	Attempts   int
	LastError  string
	CreatedAt  time.Time
	SentAt     time.Time // zero until sent
}
