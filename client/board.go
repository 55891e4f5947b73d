package client

import (
	"time"

	"github.com/perennial-pki/perennial/rollover"
)

// RolloverBoard counts roll-overs by their state and by the days left.
type RolloverBoard struct {
	States []BoardState `json:"states" doc:"Every state, in the order of a roll-over."`
	Left   []BoardLeft  `json:"left" doc:"The roll-overs at risk by the days left, the fewest first."`
	Hosts  int          `json:"hosts" doc:"Number of hosts of receivers whose roll-over is not settled."`
	AsOf   time.Time    `json:"as_of" doc:"Time of the count. In a large fleet it is up to a minute old."`
}

// BoardState is a column of the board.
type BoardState struct {
	State  rollover.State `json:"state" enum:"announced,refused,claimed,trusted,regressed,cut-over,settled"`
	Count  int            `json:"count"`
	AtRisk int            `json:"at_risk"`
	First  []Rollover     `json:"first" doc:"The roll-overs with the earliest deadline, at most 5. Empty for settled ones of the fleet."`
}

// BoardLeft counts the roll-overs at risk with a number of days left.
type BoardLeft struct {
	Left  string `json:"left" enum:"now,7,14,30,60,more" doc:"The days left: none, at most 7, then at most 14, 30, 60, or more."`
	Count int    `json:"count"`
}

// RolloverHost counts the roll-overs that are not settled at the receivers of one host.
type RolloverHost struct {
	Host             string                 `json:"host"`
	Counterparty     string                 `json:"counterparty,omitempty" doc:"Name of the counterparty that the host belongs to. Only for operators."`
	CounterpartyName string                 `json:"counterparty_name,omitempty" doc:"Its display name."`
	Tenants          int                    `json:"tenants"`
	Count            int                    `json:"count" doc:"Number of arrangements."`
	AtRisk           int                    `json:"at_risk"`
	Deadline         time.Time              `json:"deadline,omitzero" doc:"The earliest deadline. Absent if none is at risk."`
	States           map[rollover.State]int `json:"states"`
}
