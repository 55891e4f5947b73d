package client

import "time"

// Feed publishes the certificates of an arrangement for receivers that follow them.
type Feed struct {
	Arrangement         string    `json:"arrangement" readOnly:"true" example:"acme/crm-to-erp"`
	Counterparty        string    `json:"counterparty,omitempty" readOnly:"true" doc:"Display name of the counterparty whose feed it is. Absent for a feed of the arrangement's own."`
	URL                 string    `json:"url,omitempty" readOnly:"true" doc:"Address of the feed. Shown only when it is created."`
	CreatedBy           string    `json:"created_by,omitempty" readOnly:"true"`
	CreatedAt           time.Time `json:"created_at,omitzero" readOnly:"true" doc:"Creation of the present address."`
	Sequence            int64     `json:"sequence,omitempty" readOnly:"true" doc:"Number of the content that was published last. It grows with every change."`
	FetchedAt           time.Time `json:"fetched_at,omitzero" readOnly:"true" doc:"Last time at which the feed was fetched, to the hour. Absent if it never was."`
	FetchedGeneration   int       `json:"fetched_generation,omitempty" readOnly:"true" doc:"Newest generation in what was fetched then. This is a claim: it does not prove that the receiver accepts it."`
	FetchedBy           string    `json:"fetched_by,omitempty" readOnly:"true" doc:"Program that fetched it, as it names itself."`
	InstalledAt         time.Time `json:"installed_at,omitzero" readOnly:"true" doc:"Last report that certificates were installed, to the hour. Absent if there was none."`
	InstalledGeneration int       `json:"installed_generation,omitempty" readOnly:"true" doc:"Newest generation that was reported as installed then. This is a claim too."`
	InstalledBy         string    `json:"installed_by,omitempty" readOnly:"true" doc:"Program that reported it, as it names itself."`
	Silent              bool      `json:"silent,omitempty" readOnly:"true" doc:"True if the feed was fetched before, but not within the last 7 days."`
}
