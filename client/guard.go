package client

import "time"

// The standings of a certificate of a partner.
const (
	GuardAccepted = "accepted"
	GuardHeld     = "held" // a person is asked
	GuardDeclined = "declined"
)

// Guard is the guard that runs in the service.
type Guard struct {
	Calls     string `json:"calls,omitempty" doc:"Address at which partners call. Absent if it answers a proxy only."`
	Decisions string `json:"decisions,omitempty" doc:"Address at which it answers a proxy."`
	Partners  int    `json:"partners" doc:"Partners with a certificate that has not expired."`
	Accepted  int    `json:"accepted" doc:"Certificates that are accepted and have not expired."`
	Held      int    `json:"held" doc:"Certificates that wait for a decision."`
}

// GuardCertificate is a certificate of a partner that the guard knows.
type GuardCertificate struct {
	Partner        string    `json:"partner"`
	Feed           string    `json:"feed,omitempty" doc:"The feed of a counterparty that lists the certificate, by its name in the file of the guard."`
	Tenant         string    `json:"tenant,omitempty" doc:"The sender's tenant, if a feed lists the certificate."`
	Arrangements   string    `json:"arrangements,omitempty" doc:"The arrangements for which the feed lists it, separated by commas."`
	Fingerprint    string    `json:"fingerprint_sha256"`
	Serial         string    `json:"serial"`
	Subject        string    `json:"subject"`
	Issuer         string    `json:"issuer"`
	NotBefore      time.Time `json:"not_before"`
	NotAfter       time.Time `json:"not_after"`
	Standing       string    `json:"standing" enum:"accepted,held,declined"`
	Code           string    `json:"code,omitempty" doc:"Code of the decision. Absent for a certificate that the configuration lists."`
	Reason         string    `json:"reason,omitempty"`
	By             string    `json:"by" doc:"What has decided: configuration, rule, feed, or the name of a person."`
	SeenAt         time.Time `json:"seen_at,omitzero" doc:"When it was presented or announced first. Absent for a certificate that the configuration lists."`
	SuccessorFrom  time.Time `json:"successor_from,omitzero" doc:"When a successor of an accepted certificate is expected."`
	SuccessorUntil time.Time `json:"successor_until,omitzero"`
}

// GuardDecision is the decision of a person about a certificate that the guard has seen.
type GuardDecision struct {
	Partner  string `json:"partner"`
	Standing string `json:"standing" enum:"accepted,declined"`
}
