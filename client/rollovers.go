package client

import (
	"encoding/json"
	"time"

	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// Rollover is the state of an arrangement between its available generations.
type Rollover struct {
	Arrangement string              `json:"arrangement" example:"acme/crm-to-erp"`
	Host        string              `json:"host" doc:"Host of the receiver."`
	Strategy    tenancy.Strategy    `json:"strategy"`
	State       rollover.State      `json:"state" enum:"announced,claimed,trusted,cut-over,settled,refused,regressed"`
	Credential  string              `json:"credential" doc:"Name of the credential whose certificates it presents."`
	Presents    int                 `json:"presents" doc:"Generation that is presented."`
	Tries       []int               `json:"tries" doc:"Generations with which a message is tried, in this order."`
	AtRisk      bool                `json:"at_risk" doc:"True if the receiver has not been proved to accept the newest generation, while an older one has not expired, or if no generation can be presented (stopped)."`
	Deadline    time.Time           `json:"deadline,omitzero" doc:"If at risk: the expiry of the last generation that the receiver is known to accept. Not in the future if messages already depend on the newest generation."`
	DaysLeft    float64             `json:"days_left,omitempty" doc:"Days until the deadline, rounded up."`
	Exposed     bool                `json:"exposed,omitempty" doc:"True if messages already depend on the newest generation, because no older one is tried or accepted."`
	Stopped     bool                `json:"stopped,omitempty" doc:"True if the newest generation is revoked and no older one is usable, so that no message can be sent until the CA issues the next one. It is at risk then."`
	Wanted      int                 `json:"wanted,omitempty" doc:"If at risk: the generation that the receiver must accept."`
	UnaskedAt   time.Time           `json:"unasked_at,omitzero" doc:"Last time at which the receiver delivered a message without asking for a certificate."`
	NewestOnly  bool                `json:"newest_only,omitempty" doc:"True if the receiver refuses every certificate older than the last one that it accepted. It is not tested with a generation that messages do not present yet."`
	QuietUntil  time.Time           `json:"quiet_until,omitzero" doc:"Earliest time at which the roll-over is settled: the receiver must accept the newest generation until then, without needing an older one. Only if the newest generation is presented."`
	Generations []RolloverKnowledge `json:"generations"`
	Revoked     []string            `json:"revoked,omitempty" doc:"Serial numbers of earlier certificates that are revoked and have not expired. The receiver must not accept them any longer. Only for a single arrangement."`
	Renewal     *Renewal            `json:"renewal,omitempty" doc:"The newest generation compared with the one that the receiver is known to accept. Only for a single arrangement with several generations."`
	Next        *NextStep           `json:"next,omitempty" doc:"Whose turn it is, and what to do."`
}

// The actors whose turn it can be.
const (
	TurnNone     = "none"     // nothing needs to be done
	TurnOwner    = "owner"    // a key user of the tenant
	TurnReceiver = "receiver" // the administrator of the receiver
	TurnOperator = "operator" // the hosting team
)

// The actions of a next step.
const (
	ActionLink   = "send-link"
	ActionTest   = "test"
	ActionChoose = "choose"
	ActionProbe  = "set-probe"
)

// NextStep is the one thing that moves a roll-over on.
type NextStep struct {
	Reason string `json:"reason" enum:"stopped,exposed-refused,exposed,survives,test-unclear,message-unclear,claimed,cut-over-unproved,refused,regressed,waiting,choose,choose-later,ready,ready-later,cut-over,settled" doc:"Why it is this step."`
	Turn   string `json:"turn" enum:"none,owner,receiver,operator" doc:"Whose turn it is: nobody's, a key user's, that of the receiver's administrator, or the hosting team's."`
	Action string `json:"action,omitempty" enum:"send-link,test,choose,set-probe" doc:"What a key user can do now. Absent if nothing needs to be done."`
}

// Renewal compares the certificate that a receiver must accept with the one that it is known to accept.
type Renewal struct {
	Old          Certificate          `json:"old"`
	New          Certificate          `json:"new"`
	Changes      tenancy.Changes      `json:"changes" doc:"Changes besides the serial number and the dates."`
	IdentifiesBy []tenancy.Identifier `json:"identifies_by,omitempty" doc:"Fields that the receiver compares, as declared."`
	Survival     tenancy.Survival     `json:"survival" enum:"survives,fails,unclear" doc:"survives: a receiver that compares this accepts the new certificate without a change. fails: it needs the new certificate, subject or CA. unclear: it is not known what the receiver compares, or which CAs it trusts."`
}

// RolloverKnowledge is the knowledge about one generation at the receiver.
type RolloverKnowledge struct {
	Generation   int              `json:"generation"`
	Fingerprint  string           `json:"fingerprint_sha256"`
	NotAfter     time.Time        `json:"not_after"`
	LeaveAt      time.Time        `json:"leave_at" doc:"Latest time at which the arrangement stops using it."`
	NoticedUntil time.Time        `json:"noticed_until,omitzero" doc:"End of the notice period of the key users. Before that, it is presented only if needed."`
	PresentedAt  time.Time        `json:"presented_at,omitzero"`
	Choosable    bool             `json:"choosable" doc:"True if a person may switch to it now. Before the end of the notice period, that is so only if the receiver refuses what is presented and accepts it."`
	Revoked      bool             `json:"revoked,omitempty" doc:"True if it is revoked, so that it is no longer presented."`
	Verdict      rollover.Verdict `json:"verdict,omitempty" enum:"accepted,refused,unclear,unknown" doc:"The proved verdict; unknown if the receiver was never asked."`
	VerdictAt    time.Time        `json:"verdict_at,omitzero"`
	Source       rollover.Source  `json:"source,omitempty" enum:"traffic,probe,person"`
	Answer       string           `json:"answer,omitempty" doc:"Answer of the receiver."`
	ClaimedAt    time.Time        `json:"claimed_at,omitzero" doc:"Latest report or test that it is accepted, as long as no message has proved it."`
	ClaimedBy    rollover.Source  `json:"claimed_by,omitempty" enum:"probe,person"`
}

// unknownVerdict is [rollover.Unknown] in JSON.
const unknownVerdict = "unknown"

// MarshalJSON writes an unknown verdict as such.
func (k RolloverKnowledge) MarshalJSON() ([]byte, error) {
	type plain RolloverKnowledge
	if k.Verdict == rollover.Unknown {
		k.Verdict = unknownVerdict
	}
	return json.Marshal(plain(k))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (k *RolloverKnowledge) UnmarshalJSON(data []byte) error {
	type plain RolloverKnowledge
	if err := json.Unmarshal(data, (*plain)(k)); err != nil {
		return err
	}
	if k.Verdict == unknownVerdict {
		k.Verdict = rollover.Unknown
	}
	return nil
}

// ProbeResult is the result of one probe of a receiver.
type ProbeResult struct {
	Generation    int      `json:"generation,omitempty" doc:"Absent if no certificate was presented."`
	Result        string   `json:"result" enum:"accepted,refused,unclear" doc:"Verdict of the comparison with the other answers."`
	Answer        string   `json:"answer"`
	HandshakeOnly bool     `json:"handshake_only" doc:"Only the TLS handshake was tested. It can prove a refusal but not an acceptance."`
	AcceptableCAs []string `json:"acceptable_cas,omitempty" doc:"CAs that the receiver listed in the TLS handshake."`
	Milliseconds  int64    `json:"milliseconds"`
}

// Probed is the result of a probe with all generations, and the state of the roll-over after it.
type Probed struct {
	Results  []ProbeResult `json:"results"`
	Rollover Rollover      `json:"rollover"`
}

// Diagnosis explains why messages fail.
type Diagnosis struct {
	Cause    string               `json:"cause"`
	Summary  string               `json:"summary"`
	Rule     *tenancy.RefusalRule `json:"rule,omitempty" doc:"Refusal rule by which the gateway would recognise this answer. Add it to egress.refusal_rules."`
	Evidence []string             `json:"evidence"`
	NextStep string               `json:"next_step"`
	Action   string               `json:"action,omitempty" enum:"renew,send-link,choose,set-probe,change-arrangement" doc:"The next step for a program. Absent if only a person can take it."`
	Command  string               `json:"command,omitempty" doc:"The command line for the next step."`
	Results  []ProbeResult        `json:"results"`
}

// Message is an entry of the message log.
type Message struct {
	ID           string    `json:"id"`
	At           time.Time `json:"at"`
	Method       string    `json:"method"`
	Path         string    `json:"path"`
	Status       int       `json:"status" doc:"Status that the sender got. 0 if none was sent, 499 if the sender closed the connection."`
	Generation   int       `json:"generation"`
	Attempts     int       `json:"attempts"`
	Milliseconds float64   `json:"milliseconds"`
	Outcome      string    `json:"outcome,omitempty" doc:"The failure and the reaction to it."`
	Count        int       `json:"count" doc:"Number of messages that the entry counts."`
}

// MessageHours counts the messages of an arrangement by hour and outcome.
type MessageHours struct {
	Hours []MessageHour `json:"hours" doc:"The last 24 hours (UTC), the earliest first. The last one is not over yet."`
}

// MessageHour counts the messages of one hour by outcome.
type MessageHour struct {
	At        time.Time `json:"at" doc:"Start of the hour."`
	Delivered int       `json:"delivered" doc:"Delivered at the first attempt."`
	Retried   int       `json:"retried" doc:"Delivered after another attempt, usually with another generation."`
	Failed    int       `json:"failed" doc:"Not delivered, or answered with an error."`
	Cancelled int       `json:"cancelled" doc:"The sender closed the connection."`
	Cursor    string    `json:"cursor,omitempty" doc:"Cursor of the list of messages that begins at the end of the hour. Absent if there was no message."`
}

// Link is a link for the administrator of a receiving system.
type Link struct {
	ID         string    `json:"id" readOnly:"true"`
	URL        string    `json:"url,omitempty" readOnly:"true" doc:"Shown only when the link is created."`
	Generation int       `json:"generation" readOnly:"true" doc:"Newest generation when the link was created. The page shows the newest one."`
	Address    string    `json:"address,omitempty" readOnly:"true" doc:"Address of the administrator to whom the service mails the link. Absent if a person passes it on."`
	CreatedBy  string    `json:"created_by,omitempty" readOnly:"true"`
	CreatedAt  time.Time `json:"created_at,omitzero" readOnly:"true"`
	ExpiresAt  time.Time `json:"expires_at,omitzero" readOnly:"true"`
	RevokedAt  time.Time `json:"revoked_at,omitzero" readOnly:"true"`
	OpenedAt   time.Time `json:"opened_at,omitzero" readOnly:"true" doc:"Latest opening of the page, to the hour. Filters of mails open links, too."`
	TestedAt   time.Time `json:"tested_at,omitzero" readOnly:"true" doc:"Latest test on the page."`
	UsedAt     time.Time `json:"used_at,omitzero" readOnly:"true" doc:"Time at which the certificate was last reported as installed."`
}
