package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The headers of a signed request (Standard Webhooks).
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

const (
	secretPrefix    = "whsec_"
	signaturePrefix = "v1,"
	// SecretSize is the size of a new secret, in bytes. Standard Webhooks allows 24 to 64.
	SecretSize = 32

	leastSecret, mostSecret = 24, 64
	// maxSignatures limits the signatures of a request that are compared.
	maxSignatures = 16
)

// Tolerance is the difference between a request's timestamp and the present that [Verify] allows in either direction.
const Tolerance = 5 * time.Minute

// A Secret is the key that a webhook's requests are signed with. Its String does not show it.
type Secret struct{ key []byte }

// NewSecret returns a secret with a key of 24 to 64 random bytes.
func NewSecret(key []byte) (Secret, error) {
	if len(key) < leastSecret || len(key) > mostSecret {
		return Secret{}, fmt.Errorf("the secret has %d bytes: Standard Webhooks requires %d to %d", len(key), leastSecret,
			mostSecret)
	}
	return Secret{key}, nil
}

// ParseSecret reads a secret in its text form, "whsec_" and base64. The error does not quote it.
func ParseSecret(text string) (Secret, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, secretPrefix))
	if err != nil {
		return Secret{}, errors.New("the secret is not whsec_ and base64, as Standard Webhooks requires")
	}
	return NewSecret(key)
}

// Text returns the secret in its text form.
func (s Secret) Text() string { return secretPrefix + base64.StdEncoding.EncodeToString(s.key) }

// String hides the secret.
func (s Secret) String() string { return secretPrefix + "(hidden)" }

// A Signature holds the three headers of a signed request.
type Signature struct {
	ID        string // see [HeaderID]
	Timestamp string // see [HeaderTimestamp]
	Signature string // see [HeaderSignature]
}

// Sign signs a body that is sent at a time. There is one signature for each secret, so that a receiver can verify with
// the former secret while it changes to the new one.
func Sign(id string, at time.Time, body []byte, secrets ...Secret) Signature {
	s := Signature{ID: id, Timestamp: strconv.FormatInt(at.Unix(), 10)}
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		signatures[i] = signaturePrefix + base64.StdEncoding.EncodeToString(s.sum(secret, body))
	}
	s.Signature = strings.Join(signatures, " ")
	return s
}

// sum returns the HMAC-SHA256 over the ID, the timestamp and the body.
func (s Signature) sum(secret Secret, body []byte) []byte {
	h := hmac.New(sha256.New, secret.key)
	h.Write([]byte(s.ID + "." + s.Timestamp + "."))
	h.Write(body)
	return h.Sum(nil)
}

// Errors of [Verify].
var (
	ErrSignature = errors.New("no signature of the request is valid for the secret")
	ErrTimestamp = errors.New("the timestamp of the request is missing, or differs from now by more than 5 minutes")
)

// Verify returns nil if one of the signatures of a request is valid for the secret, and the request was signed within
// [Tolerance] of now. Otherwise it returns [ErrTimestamp] or [ErrSignature].
func Verify(s Signature, body []byte, secret Secret, now time.Time) error {
	seconds, err := strconv.ParseInt(s.Timestamp, 10, 64)
	if err != nil {
		return ErrTimestamp
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > Tolerance || off < -Tolerance {
		return ErrTimestamp
	}
	if s.ID == "" || len(secret.key) == 0 {
		return ErrSignature
	}
	want := s.sum(secret, body)
	for i, one := range strings.Fields(s.Signature) {
		encoded, ok := strings.CutPrefix(one, signaturePrefix)
		if !ok || i >= maxSignatures {
			continue
		}
		if got, err := base64.StdEncoding.Strict().DecodeString(encoded); err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return ErrSignature
}
