package tenancy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// NewEvent returns an audit event. The detail is stored as JSON; nil is stored as an empty object.
func NewEvent(at time.Time, actor, action, tenant, object string, detail any) Event {
	e := Event{At: at.Truncate(time.Microsecond), Actor: actor, Action: action, Tenant: tenant, Object: object,
		Detail: "{}"}
	if detail != nil {
		if data, err := json.Marshal(detail); err == nil {
			e.Detail = string(data)
		}
	}
	return e
}

// Sum returns the hash of the event: SHA-256 over its number, its instant in microseconds, its fields and the hash of
// the previous event. Each field is preceded by its length, so that different events have different input.
func (e Event) Sum() []byte {
	h := sha256.New()
	var n [8]byte
	number := func(v int64) {
		binary.BigEndian.PutUint64(n[:], uint64(v))
		h.Write(n[:])
	}
	number(e.Seq)
	number(e.At.UnixMicro())
	for _, s := range []string{e.Actor, e.Action, e.Tenant, e.Object, e.Detail, string(e.Prev)} {
		number(int64(len(s)))
		h.Write([]byte(s))
	}
	return h.Sum(nil)
}

// A ChainError reports an entry of the audit log that differs from what was written.
type ChainError struct {
	Seq    int64
	Reason string
}

func (e *ChainError) Error() string {
	return fmt.Sprintf("audit log: entry %d: %s", e.Seq, e.Reason)
}

// A Chain verifies events in their order. The zero value expects entry 1.
type Chain struct {
	Seq  int64  // of the last verified event
	Hash []byte // of the last verified event
}

// String returns the head of the log in the form in which it is kept outside the database: the number of the entry and
// its hash, as in "1234:9f86...".
func (c Chain) String() string {
	return strconv.FormatInt(c.Seq, 10) + ":" + hex.EncodeToString(c.Hash)
}

var headForm = regexp.MustCompile(`\b([0-9]{1,18}):([0-9a-f]{64})\b`)

// ParseHeads finds heads of the log in any text that contains them, such as a log or mails.
func ParseHeads(text string) (heads []Chain) {
	for _, m := range headForm.FindAllStringSubmatch(text, -1) {
		seq, err1 := strconv.ParseInt(m[1], 10, 64)
		hash, err2 := hex.DecodeString(m[2])
		if err1 == nil && err2 == nil {
			heads = append(heads, Chain{Seq: seq, Hash: hash})
		}
	}
	return heads
}

// Add verifies the next event against the previous ones. The error is a [*ChainError].
func (c *Chain) Add(e Event) error {
	switch {
	case e.Seq != c.Seq+1:
		return &ChainError{c.Seq + 1, fmt.Sprintf("missing (the next one is %d)", e.Seq)}
	case !bytes.Equal(e.Prev, c.Hash):
		return &ChainError{e.Seq, "does not follow the previous entry: one of them was changed, replaced or moved"}
	case !bytes.Equal(e.Hash, e.Sum()):
		return &ChainError{e.Seq, "was changed after it was written"}
	}
	c.Seq, c.Hash = e.Seq, e.Hash
	return nil
}

// End compares the chain with the stored head of the log. The error is a [*ChainError].
func (c *Chain) End(seq int64, hash []byte) error {
	switch {
	case c.Seq < seq:
		return &ChainError{c.Seq + 1, fmt.Sprintf("missing: the log ends at %d, but %d entries were written", c.Seq, seq)}
	case c.Seq > seq || !bytes.Equal(c.Hash, hash):
		return &ChainError{c.Seq,
			"is not the last entry that was written (its hash should be " + hex.EncodeToString(hash) + ")"}
	}
	return nil
}
