package store

import "github.com/google/uuid"

// NewID returns the ID of a new row: a UUIDv7 (RFC 9562), so that rows sort by the time of their creation.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }
