package client

import "time"

// The states of a tenant in the work list, the worst first.
const (
	WorkAtRisk  = "at-risk" // a receiver is at risk
	WorkRolling = "rolling" // a roll-over is open
	WorkSettled = "settled"
)

// TenantWork states what is to be done for a tenant.
type TenantWork struct {
	Tenant       string    `json:"tenant"`
	DisplayName  string    `json:"display_name"`
	State        string    `json:"state" enum:"at-risk,rolling,settled" doc:"The worst state of its arrangements."`
	Arrangements int       `json:"arrangements" doc:"With a client certificate."`
	AtRisk       int       `json:"at_risk" doc:"Arrangements whose receiver has not acted."`
	Deadline     time.Time `json:"deadline,omitzero" doc:"The earliest one of those at risk."`
	NotAfter     time.Time `json:"not_after,omitzero" doc:"Expiry of the newest tenant certificate."`
	NextAction   string    `json:"next_action,omitempty" enum:"warn,renew,expired" doc:"What the background job does next."`
	NextAt       time.Time `json:"next_at,omitzero"`
	KeyUsers     int       `json:"key_users"`
	Subscribed   int       `json:"subscribed" doc:"Key users who get mails about tasks."`
}

// The filters of the work list.
const (
	WorkFilterAtRisk   = "at-risk"
	WorkFilterUnwarned = "unwarned"
)

// The orders of the work list. A minus sign in front reverses them.
const (
	WorkByAge      = "created"
	WorkByName     = "name"
	WorkByExpiry   = "not-after"
	WorkByDeadline = "deadline"
)

// WorkPage is one page of the work list.
type WorkPage struct {
	Items []TenantWork `json:"items"`
	Next  string       `json:"next,omitempty" doc:"Cursor of the next page. Absent on the last page."`
	First int          `json:"first" doc:"Position of the first tenant of the page in the list, from 1. 0 on an empty page."`
	Total int          `json:"total" doc:"Number of tenants in the list. In a large fleet, up to a minute old."`
}

// WorkCounts are the numbers of tenants of the filters of the work list.
type WorkCounts struct {
	All      int       `json:"all"`
	AtRisk   int       `json:"at_risk"`
	Unwarned int       `json:"unwarned" doc:"Tenants without a key user, so that no person is warned."`
	AsOf     time.Time `json:"as_of"`
}
