package tenancy

import "time"

// A TestRound is a group of tests of receivers at risk that an operator asked for together.
type TestRound struct {
	ID         string
	Choice     TestChoice
	CreatedBy  string
	CreatedAt  time.Time
	FinishedAt time.Time // zero until every test has a result
}

// A TestChoice states which receivers a round of tests was for. It is stored as JSON.
type TestChoice struct {
	Tenants []string `json:"tenants,omitempty"` // names; empty for all that the rest fits
	Filter  string   `json:"filter,omitempty"`  // of the work list
	Query   string   `json:"query,omitempty"`
	Host    string   `json:"host,omitempty"` // of the receivers
}

// The results of a test in a round.
const (
	TestAccepted = "accepted"
	TestRefused  = "refused"
	TestUnclear  = "unclear"
	TestSkipped  = "skipped" // the receiver was not asked, for a reason
	// TestWaiting selects the tests without a result. It is not stored.
	TestWaiting = "waiting"
)

// The reasons for which a receiver was not asked.
const (
	SkippedRecent     = "recent"      // another round asks it, or has asked it in the last minutes
	SkippedNewestOnly = "newest-only" // a question would lock out the certificate that messages present
	SkippedSettled    = "settled"     // it is no longer at risk
	SkippedGone       = "gone"        // the arrangement presents no certificate any longer
	SkippedNoKey      = "no-key"      // the private key does not sign at the moment
	SkippedFailed     = "failed"      // the question could not be asked
)

// A TestItem is the test of one arrangement in a round.
type TestItem struct {
	RoundID       string
	ArrangementID string
	Host          string    // of the receiver, for the pace
	Generation    int       // that the receiver is to accept
	TakenUntil    time.Time // a replica asks until then; zero if none does
	DoneAt        time.Time // zero until there is a result
	Result        string
	Detail        string // the receiver's answer, or the reason of a test that was skipped
}
