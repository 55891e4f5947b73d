package client

import (
	"encoding/json"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Run is one execution of the background job.
type Run struct {
	RunDate    time.Time `json:"run_date"`
	Policy     string    `json:"policy"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at,omitzero" doc:"Absent until every due certificate is handled."`
	Warned     int       `json:"warned"`
	Renewed    int       `json:"renewed"`
	Late       int       `json:"late" doc:"Renewed certificates that had expired before."`
	Failed     int       `json:"failed" doc:"Certificates that are left for the next attempt."`
	LastError  string    `json:"last_error,omitempty"`
}

// Event is an entry of the audit log.
type Event struct {
	Seq    int64           `json:"seq"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor"`
	Action string          `json:"action"`
	Title  string          `json:"title" doc:"What the action is, in the language of the caller."`
	Tenant string          `json:"tenant,omitempty"`
	Object string          `json:"object,omitempty"`
	Detail json.RawMessage `json:"detail"`
	Hash   string          `json:"hash"`
}

// Delivery is a mail and its state.
type Delivery struct {
	ID        string            `json:"id"`
	Tenant    string            `json:"tenant"`
	Subject   string            `json:"subject"`
	Name      string            `json:"name"`
	Address   string            `json:"address"`
	MessageID string            `json:"message_id"`
	State     tenancy.MailState `json:"state" enum:"waiting,queued,sent,dead"`
	Attempts  int               `json:"attempts"`
	LastError string            `json:"last_error,omitempty"`
	CreatedAt time.Time         `json:"created_at"`
	SentAt    time.Time         `json:"sent_at,omitzero"`
}

// Token is an API credential.
type Token struct {
	ID         string       `json:"id,omitempty" readOnly:"true"`
	Name       string       `json:"name" doc:"Purpose of the token."`
	Role       tenancy.Role `json:"role" enum:"operator,key-user,sender,gateway"`
	Tenant     string       `json:"tenant,omitempty"`
	User       string       `json:"user,omitempty" doc:"Key user that a key-user token acts as."`
	Workload   *Workload    `json:"workload,omitempty" doc:"Workload whose identity tokens are used instead of a secret; for senders and gateways."`
	ExpiresAt  time.Time    `json:"expires_at,omitzero" doc:"Default: 90 days from now. At most one year from now. The token of a workload does not expire."`
	CreatedAt  time.Time    `json:"created_at,omitzero" readOnly:"true"`
	LastUsedAt time.Time    `json:"last_used_at,omitzero" readOnly:"true"`
	RevokedAt  time.Time    `json:"revoked_at,omitzero" readOnly:"true"`
	Secret     string       `json:"secret,omitempty" readOnly:"true" doc:"Shown once, when the token is created."`
}

// Workload is a program that a platform vouches for, such as a service account of Kubernetes.
type Workload struct {
	Issuer  string `json:"issuer,omitempty" doc:"Issuer of its identity tokens (OpenID Connect). Default: that of the service, if it has one."`
	Subject string `json:"subject" example:"system:serviceaccount:acme:crm" doc:"The claim sub of its identity tokens."`
}

// Created holds what was created with a token and is still valid, directly or by what it created.
type Created struct {
	Accounts []CreatedAccount `json:"accounts"`
	Tokens   []Token          `json:"tokens"`
}

// A CreatedAccount is an account of the console that was created with a token.
type CreatedAccount struct {
	Name      string       `json:"name"`
	Role      tenancy.Role `json:"role"`
	Tenant    string       `json:"tenant,omitempty"`
	User      string       `json:"user,omitempty"`
	CreatedAt time.Time    `json:"created_at"`
}

// Rotation describes how a token is replaced.
type Rotation struct {
	OverlapSeconds int64 `json:"overlap_seconds,omitempty" minimum:"1" maximum:"2592000" doc:"Time for which the old token stays valid. Default: 7 days."`
}

// Verified is the result of a verification of the audit log.
type Verified struct {
	Unbroken bool      `json:"unbroken"`
	Seq      int64     `json:"seq" doc:"Number of the last verified entry."`
	Hash     string    `json:"hash" doc:"Hash of that entry. Keep it in another place, so that the removal of entries from the end is detected."`
	At       time.Time `json:"at"`
	Problem  string    `json:"problem,omitempty"`
}
