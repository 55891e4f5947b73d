package client

import "time"

// Traffic counts the messages that were sent with the certificates of a tenant or through an arrangement.
type Traffic struct {
	Since    time.Time `json:"since" doc:"Start of the count, 30 days ago. Older entries of the message log may be deleted."`
	Messages int       `json:"messages" doc:"Messages since then, whatever their outcome."`
	LatestAt time.Time `json:"latest_at,omitzero" doc:"Time of the latest of them. Absent if there was none."`
}
