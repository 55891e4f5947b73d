// Package password hashes passwords with argon2id (RFC 9106), in the PHC string form.
//
// It promises that a hash reveals only whether another password is the same. [Rules] refuse new passwords that are
// short, easy to guess or breached, without a request to another service. [Waste] takes as long as a comparison, for
// names that do not exist. Few hashes are computed at the same time, few requests wait for their turn, and one that has
// ended is not computed.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost is the minimum of the OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
const (
	memory  = 19 << 10 // KiB
	passes  = 2
	lanes   = 1
	keySize = 32
)

// Limits of a password, in characters and bytes. NIST SP 800-63B (section 5.1.1.2) requires at least eight characters.
// These accounts give access to every certificate of a tenant.
const (
	shortest = 12
	longest  = 1024
)

// ErrBusy means that too many passwords are being checked already.
var ErrBusy = errors.New("password: too many passwords are being checked: try again in a few seconds")

// Errors of [Hash].
var (
	ErrShort = errors.New("password: less than 12 characters")
	ErrLong  = errors.New("password: more than 1024 bytes")
)

const (
	computed = 4  // hashes at the same time; each takes 19 MiB
	waiting  = 16 // requests that wait for their turn
)

var (
	turns  = make(chan struct{}, computed)
	queued = make(chan struct{}, computed+waiting)
)

func key(ctx context.Context, password string, salt []byte, m, t uint32, p uint8) ([]byte, error) {
	select {
	case queued <- struct{}{}:
		defer func() { <-queued }()
	default:
		return nil, ErrBusy
	}
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return argon2.IDKey([]byte(password), salt, t, m, p, keySize), nil
}

// Hash hashes a password. It returns [ErrShort] or [ErrLong] if the password is not allowed, [ErrBusy], or the error of
// the context.
func Hash(ctx context.Context, password string) (string, error) {
	if err := checkLength(password); err != nil {
		return "", err
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	sum, err := key(ctx, password, salt, memory, passes, lanes)
	if err != nil {
		return "", err
	}
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes, encode(salt),
		encode(sum)), nil
}

// Matches reports whether a hash belongs to a password. It returns [ErrBusy], or the error of the context.
func Matches(ctx context.Context, hash, password string) (bool, error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || len(password) > longest {
		return false, nil
	}
	var m, t uint32
	var p uint8
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p); err != nil || m == 0 || t == 0 || p == 0 {
		return false, nil
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil {
		return false, nil
	}
	got, err := key(ctx, password, salt, m, t, p)
	return err == nil && subtle.ConstantTimeCompare(want, got) == 1, err
}

// Waste takes as long as [Matches], and returns the same errors.
func Waste(ctx context.Context, password string) error {
	if len(password) > longest {
		return nil
	}
	_, err := key(ctx, password, make([]byte, 16), memory, passes, lanes)
	return err
}
