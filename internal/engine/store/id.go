package store

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// NewID returns the ID of a new row: a UUIDv7 (RFC 9562), so that rows sort by the time of their creation.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// IDAt returns the ID of a row that was created at an earlier instant, so that it sorts by that time.
func IDAt(at time.Time) string {
	id := uuid.Must(uuid.NewV7())
	for i, shift := range []int{40, 32, 24, 16, 8, 0} {
		id[i] = byte(at.UnixMilli() >> shift)
	}
	return id.String()
}

// idsFrom returns the lower bound of the IDs that are made from an instant on.
func idsFrom(at time.Time) string {
	ms := uint64(max(0, at.UnixMilli()))
	return fmt.Sprintf("%08x-%04x", ms>>16, ms&0xffff)
}
