package client

import "time"

// CounterpartyFeed publishes the certificates of all arrangements with a counterparty at one address.
type CounterpartyFeed struct {
	Counterparty string    `json:"counterparty" readOnly:"true" example:"bank"`
	URL          string    `json:"url,omitempty" readOnly:"true" doc:"Address of the feed. Shown only when it is created."`
	CreatedBy    string    `json:"created_by,omitempty" readOnly:"true"`
	CreatedAt    time.Time `json:"created_at,omitzero" readOnly:"true" doc:"Creation of the present address."`
	Sequence     int64     `json:"sequence,omitempty" readOnly:"true" doc:"Number of the index that was published last. It grows with every change."`
	FetchedAt    time.Time `json:"fetched_at,omitzero" readOnly:"true" doc:"Last time at which the index was fetched, to the hour. Absent if it never was."`
	FetchedBy    string    `json:"fetched_by,omitempty" readOnly:"true" doc:"Program that fetched it, as it names itself."`
	InstalledAt  time.Time `json:"installed_at,omitzero" readOnly:"true" doc:"Last report that certificates were installed, to the hour. Absent if there was none. This is a claim."`
	InstalledBy  string    `json:"installed_by,omitempty" readOnly:"true" doc:"Program that reported it, as it names itself."`
	Silent       bool      `json:"silent,omitempty" readOnly:"true" doc:"True if the feed was fetched before, but not within the last 7 days."`
}
