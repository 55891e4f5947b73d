package webhook

import "time"

// A Severity states how urgent an event is.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Common is the part of the data that all events have.
type Common struct {
	Tenant   string   `json:"tenant,omitempty" example:"acme" doc:"Name of the tenant. Absent if the event is about the installation."`
	Summary  string   `json:"summary" example:"acme/crm-to-erp refuses generation 2" doc:"One sentence in English. Its wording may change."`
	Severity Severity `json:"severity" enum:"info,warning,critical"`
	Link     string   `json:"link" format:"uri" doc:"Page of the console about the subject."`
	Problem  string   `json:"problem,omitempty" example:"rollover:acme/crm-to-erp:2" doc:"Key of the problem that the event opens or resolves. Absent if it does neither."`
	Resolved bool     `json:"resolved,omitempty" doc:"True if the event resolves the problem."`
}

func (c *Common) common() *Common { return c }

// Certificate identifies a certificate.
type Certificate struct {
	Credential  string    `json:"credential" example:"tenant" doc:"Name of the credential: tenant, m-user or another one."`
	Generation  int       `json:"generation" example:"2"`
	Serial      string    `json:"serial,omitempty" doc:"Serial number in hexadecimal."`
	Fingerprint string    `json:"fingerprint_sha256,omitempty"`
	NotAfter    time.Time `json:"not_after,omitzero"`
}

// CertificateExpiringData is the data of certificate.expiring.
type CertificateExpiringData struct {
	Common
	Certificate
	RunDate time.Time `json:"run_date,omitzero" doc:"Date of the run that found it. A later run renews it."`
}

// CertificateRenewedData is the data of certificate.renewed. The certificate is the new one.
type CertificateRenewedData struct {
	Common
	Certificate
	Replaces string `json:"replaces,omitempty" doc:"Serial number of the former certificate, in hexadecimal."`
	Reason   string `json:"reason,omitempty" doc:"Reason of a renewal by hand: lost, compromised, reissue or authority-revoked."`
}

// CertificateRevokedData is the data of certificate.revoked.
type CertificateRevokedData struct {
	Common
	Certificate
	Reason string `json:"reason,omitempty" doc:"lost, compromised or authority-revoked."`
}

// CertificateRetiredData is the data of certificate.retired.
type CertificateRetiredData struct {
	Common
	Certificate
}

// RolloverVerdictData is the data of rollover.accepted and rollover.refused.
type RolloverVerdictData struct {
	Common
	Arrangement string `json:"arrangement" example:"crm-to-erp"`
	Generation  int    `json:"generation"`
	Source      string `json:"source,omitempty" doc:"What proved it, such as a message or a question."`
}

// RolloverCutOverData is the data of rollover.cut_over.
type RolloverCutOverData struct {
	Common
	Arrangement      string `json:"arrangement" example:"crm-to-erp"`
	From             int    `json:"from" doc:"Generation that it presented before. 0 for none."`
	Generation       int    `json:"generation" doc:"Generation that it presents now."`
	MayBreakDelivery bool   `json:"may_break_delivery,omitempty" doc:"True if the receiver may refuse the generation, because the former one was revoked."`
}

// RolloverAtRiskData is the data of rollover.at_risk.
type RolloverAtRiskData struct {
	Common
	Arrangement string    `json:"arrangement" example:"crm-to-erp"`
	Generation  int       `json:"generation,omitempty" doc:"Generation that the receiver should accept."`
	ExpiresAt   time.Time `json:"expires_at" doc:"Expiry of the last certificate that the receiver is known to accept."`
	StageDays   int       `json:"stage_days" doc:"Days before the expiry of which this is the reminder: 30, 14, 7, 3 or 1."`
	Refused     bool      `json:"refused,omitempty" doc:"True if the receiver was proved to refuse the new certificate."`
}

// WatchedData is the data of the events about watched certificates.
type WatchedData struct {
	Common
	Name        string    `json:"name" example:"acme-c4c" doc:"Name under which the certificate is watched."`
	Fingerprint string    `json:"fingerprint_sha256,omitempty" doc:"Of the newest certificate."`
	NotAfter    time.Time `json:"not_after,omitzero"`
	Surprises   []string  `json:"surprises,omitempty" doc:"Reasons why a new certificate was not expected."`
}

// FeedSilentData is the data of feed.silent. It names an arrangement and its tenant, or a counterparty.
type FeedSilentData struct {
	Common
	Arrangement  string    `json:"arrangement,omitempty" example:"crm-to-erp" doc:"Absent for the feed of a counterparty."`
	Counterparty string    `json:"counterparty,omitempty" example:"bank" doc:"Counterparty whose feed it is, for many tenants. Absent for the feed of an arrangement."`
	FetchedAt    time.Time `json:"fetched_at,omitzero" doc:"Time of the latest request, to the hour."`
}

// AuthorityData is the data of the events about CAs.
type AuthorityData struct {
	Common
	Authority string    `json:"authority" doc:"ID of the CA."`
	SignsFrom time.Time `json:"signs_from,omitzero" doc:"Time from which it issues certificates."`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Reason    string    `json:"reason,omitempty" doc:"Reason of a revocation."`
}

// RunData is the data of the events about runs.
type RunData struct {
	Common
	RunDate time.Time `json:"run_date"`
	Failed  int       `json:"failed,omitempty" doc:"Number of certificates that could not be renewed in the last attempt at a part of the run."`
}

// MailData is the data of mail.held and mail.released.
type MailData struct {
	Common
}

// TokenData is the data of token.expiring.
type TokenData struct {
	Common
	Token     string    `json:"token" doc:"ID of the token."`
	Name      string    `json:"name" example:"dmz"`
	Role      string    `json:"role" enum:"sender,gateway"`
	ExpiresAt time.Time `json:"expires_at"`
}

// GuardData is the data of the events about partners' certificates at the guard.
type GuardData struct {
	Common
	Partner     string `json:"partner" example:"globex"`
	Fingerprint string `json:"fingerprint_sha256"`
	Code        string `json:"code,omitempty" doc:"Code of the reason."`
}

// TestData is the data of webhook.test.
type TestData struct {
	Common
	Webhook string `json:"webhook" doc:"Name of the webhook that is tested."`
}

// OtherData is the data of an event whose type this version does not define.
type OtherData struct {
	Common
}
