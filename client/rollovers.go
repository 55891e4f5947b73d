package client

import (
	"time"

	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// Rollover is where an arrangement stands between the generations that are within reach.
type Rollover struct {
	Arrangement string              `json:"arrangement" example:"acme/crm-to-erp"`
	Strategy    tenancy.Strategy    `json:"strategy"`
	State       rollover.State      `json:"state" enum:"announced,trusted,cut-over,settled,refused,regressed"`
	Presents    int                 `json:"presents" doc:"The generation that is presented."`
	Tries       []int               `json:"tries" doc:"The generations that a message is tried with, the first one first."`
	AtRisk      bool                `json:"at_risk" doc:"The receiver has not shown that it accepts the newest generation, and the old one expires."`
	DaysLeft    float64             `json:"days_left,omitempty" doc:"Until the old generation expires; 0 where there is none."`
	Generations []RolloverKnowledge `json:"generations"`
}

// RolloverKnowledge is what is known of one generation at the receiver.
type RolloverKnowledge struct {
	Generation   int              `json:"generation"`
	Fingerprint  string           `json:"fingerprint_sha256"`
	NotAfter     time.Time        `json:"not_after"`
	LeaveAt      time.Time        `json:"leave_at" doc:"When the arrangement leaves it at the latest."`
	NoticedUntil time.Time        `json:"noticed_until,omitzero" doc:"When the key users' notice of it ends: before, it is presented only where needed."`
	PresentedAt  time.Time        `json:"presented_at,omitzero"`
	Verdict      rollover.Verdict `json:"verdict,omitempty" enum:"accepted,refused" doc:"What the receiver last said to it; absent where nothing is known."`
	VerdictAt    time.Time        `json:"verdict_at,omitzero"`
	Source       rollover.Source  `json:"source,omitempty" enum:"traffic,probe,person"`
	Answer       string           `json:"answer,omitempty" doc:"What the receiver answered."`
}

// ProbeResult is one question to a receiver.
type ProbeResult struct {
	Generation    int      `json:"generation,omitempty" doc:"0: no certificate was presented."`
	Result        string   `json:"result" enum:"accepted,refused,closed,unclear"`
	Answer        string   `json:"answer"`
	HandshakeOnly bool     `json:"handshake_only" doc:"Only TLS was asked: that can prove a refusal, and no acceptance."`
	AcceptableCAs []string `json:"acceptable_cas,omitempty" doc:"The CAs that the receiver named."`
	Milliseconds  int64    `json:"milliseconds"`
}

// Probed is what a probe found, and where the roll-over stands then.
type Probed struct {
	Results  []ProbeResult `json:"results"`
	Rollover Rollover      `json:"rollover"`
}

// Diagnosis is why messages fail.
type Diagnosis struct {
	Cause    string        `json:"cause"`
	Summary  string        `json:"summary"`
	Evidence []string      `json:"evidence"`
	NextStep string        `json:"next_step"`
	Results  []ProbeResult `json:"results"`
}

// Message is an entry of the message log.
type Message struct {
	ID           string    `json:"id"`
	At           time.Time `json:"at"`
	Method       string    `json:"method"`
	Path         string    `json:"path"`
	Status       int       `json:"status" doc:"That the sender got; 0 where none was sent, 499 where it went away."`
	Generation   int       `json:"generation"`
	Attempts     int       `json:"attempts"`
	Milliseconds float64   `json:"milliseconds"`
	Outcome      string    `json:"outcome,omitempty" doc:"What went wrong, and what was done about it."`
	Count        int       `json:"count" doc:"How many messages the entry stands for."`
}

// Link is a link for the administrator of a receiving system.
type Link struct {
	ID         string    `json:"id" readOnly:"true"`
	URL        string    `json:"url,omitempty" readOnly:"true" doc:"Shown only when the link is made."`
	Generation int       `json:"generation" readOnly:"true" doc:"The generation to install."`
	CreatedBy  string    `json:"created_by,omitempty" readOnly:"true"`
	CreatedAt  time.Time `json:"created_at,omitzero" readOnly:"true"`
	ExpiresAt  time.Time `json:"expires_at,omitzero" readOnly:"true"`
	RevokedAt  time.Time `json:"revoked_at,omitzero" readOnly:"true"`
	UsedAt     time.Time `json:"used_at,omitzero" readOnly:"true" doc:"When somebody last said that it is installed."`
}
