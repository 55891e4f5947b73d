package client

import "time"

// WorkSelection chooses tenants of the work list, for an action on their receivers at risk.
type WorkSelection struct {
	Tenants []string `json:"tenants,omitempty" maxItems:"500" doc:"Only these tenants. Default: all that fit the other fields."`
	Filter  string   `json:"filter,omitempty" enum:"at-risk,unwarned" doc:"As in the work list."`
	Query   string   `json:"q,omitempty" maxLength:"200" doc:"As in the work list."`
	Host    string   `json:"host,omitempty" maxLength:"253" doc:"Only receivers at this host."`
}

// WorkScope states in figures what an action on a selection concerns.
type WorkScope struct {
	Tenants      int `json:"tenants" doc:"Tenants with a receiver at risk that is chosen."`
	Arrangements int `json:"arrangements" doc:"Arrangements at risk that are chosen."`
	Hosts        int `json:"hosts" doc:"Hosts of their receivers."`
	NewestOnly   int `json:"newest_only" doc:"Arrangements whose receiver is not asked, because a question would lock out the certificate in use."`
	Contacts     int `json:"contacts" doc:"Arrangements whose receiver has an administrator with an e-mail address."`
	// Idle are chosen tenants for which there is nothing to do.
	Idle int `json:"idle" doc:"Tenants that were chosen by name and have no receiver at risk."`
}

// TestRound is a group of tests of receivers at risk.
type TestRound struct {
	ID         string        `json:"id"`
	Choice     WorkSelection `json:"choice"`
	CreatedBy  string        `json:"created_by"`
	CreatedAt  time.Time     `json:"created_at"`
	FinishedAt time.Time     `json:"finished_at,omitzero" doc:"Absent while tests wait."`
	Total      int           `json:"total" doc:"Arrangements in the round."`
	Waiting    int           `json:"waiting" doc:"Not tested yet."`
	Accepted   int           `json:"accepted"`
	Refused    int           `json:"refused"`
	Unclear    int           `json:"unclear" doc:"The answer proves nothing."`
	Skipped    int           `json:"skipped" doc:"Not asked, for a reason."`
}

// TestResult is the test of one arrangement in a round.
type TestResult struct {
	Arrangement string    `json:"arrangement" doc:"TENANT/ARRANGEMENT."`
	Host        string    `json:"host"`
	Generation  int       `json:"generation" doc:"The one that the receiver is to accept."`
	Result      string    `json:"result,omitempty" enum:"accepted,refused,unclear,skipped" doc:"Absent while the test waits."`
	Answer      string    `json:"answer,omitempty" doc:"Of the receiver."`
	Reason      string    `json:"reason,omitempty" enum:"recent,newest-only,settled,gone,no-key,failed" doc:"Why the receiver was not asked: another round asks it or has asked it in the last five minutes, a question would lock out the certificate in use, it is no longer at risk, it presents no certificate any longer, the private key does not sign at the moment, or the question could not be asked."`
	DoneAt      time.Time `json:"done_at,omitzero"`
}

// WorkLinks are links for the administrators of receivers at risk.
type WorkLinks struct {
	Items []WorkLink `json:"items"`
}

// WorkLink is a link for the administrator of one receiver. It is shown only once.
type WorkLink struct {
	Arrangement string    `json:"arrangement" doc:"TENANT/ARRANGEMENT."`
	Tenant      string    `json:"tenant" doc:"Display name of the tenant."`
	Receiver    string    `json:"receiver" doc:"Display name of the receiver."`
	Contact     string    `json:"contact,omitempty" doc:"Name of its administrator."`
	Email       string    `json:"email,omitempty" doc:"E-mail address of its administrator."`
	URL         string    `json:"url"`
	ExpiresAt   time.Time `json:"expires_at"`
}
