package tenancy

import "time"

// ParkedChunk is the size of a chunk of a parked body, in bytes. The last chunk may be smaller. A body of up to this
// size is stored together with its message.
const ParkedChunk = 256 << 10

// A ParkedPart is one chunk of a parked body. A body has at least two.
type ParkedPart struct {
	N    int // from 0
	Last bool
	Data []byte
}

// A ParkedUsage counts the messages that wait for the receivers of a tenant.
type ParkedUsage struct {
	TenantID string
	Messages int
	Bytes    int64
}

// A ParkedQuota limits the messages that wait for the receivers of one tenant. A zero value stands for the default.
type ParkedQuota struct {
	Messages int   // by default 10,000
	Bytes    int64 // by default 1 GiB
}

// Limits returns the quota with its defaults.
func (q ParkedQuota) Limits() ParkedQuota {
	if q.Messages == 0 {
		q.Messages = 10_000
	}
	if q.Bytes == 0 {
		q.Bytes = 1 << 30
	}
	return q
}

// Check returns an [ErrQuota] if a tenant's usage is more than the quota allows.
func (q ParkedQuota) Check(used ParkedUsage) error {
	q = q.Limits()
	switch {
	case used.Messages > q.Messages:
		return Errorf(ErrQuota, "the tenant's quota of %d parked messages is used up: send the message again after some "+
			"were delivered, or ask an operator for a higher --parked-messages", q.Messages)
	case used.Bytes > q.Bytes:
		return Errorf(ErrQuota, "the message does not fit the tenant's quota of %d bytes for parked messages: send it "+
			"again after some were delivered, or ask an operator for a higher --parked-bytes", q.Bytes)
	}
	return nil
}

// ParkedState is the state of a parked message.
type ParkedState string

// A parked message waits until it gets a final answer from the receiver.
const (
	ParkedWaiting   ParkedState = "waiting"
	ParkedDelivered ParkedState = "delivered"
	ParkedFailed    ParkedState = "failed" // the final answer is not a success
)

// A Parked message is stored for delivery. Its headers and body are sealed.
type Parked struct {
	ID             string
	ArrangementID  string
	TenantID       string
	IdempotencyKey string
	Digest         []byte // of the message, sealed in storage: the key must not be reused for another message
	Method         string
	Path           string // without the query
	State          ParkedState
	Bytes          int64 // stored of it, without the chunks of its body
	Chunks         int   // of its body, which is stored apart; 0 if the body is part of the request
	Attempts       int
	NextAt         time.Time // of the next attempt
	Status         int       // of the last answer; 0 if there was none
	LastError      string
	CreatedAt      time.Time
	EndedAt        time.Time // zero while it waits
}
