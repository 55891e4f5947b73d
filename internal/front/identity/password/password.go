// Package password hashes passwords with argon2id (RFC 9106), in the PHC string form.
//
// It promises that a hash reveals only whether another password is the same. A password must have at least twelve
// characters; its strength is up to its owner. [Waste] takes as long as a comparison, for names that do not exist.
package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// The cost is the minimum of the OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
const (
	memory  = 19 << 10 // KiB
	passes  = 2
	lanes   = 1
	keySize = 32
)

// Limits of a password, in characters and bytes. NIST SP 800-63B (section 5.1.1.2) demands at least eight characters.
// These accounts give access to every certificate of a tenant.
const (
	shortest = 12
	longest  = 1024
)

// Errors of [Hash].
var (
	//lint:ignore ST1005 the text is shown to people
	ErrShort = errors.New("The password must have at least 12 characters. A sentence works well.")
	ErrLong  = errors.New("The password is longer than 1024 bytes.") //lint:ignore ST1005 the text is shown to people
)

// places limits the number of hashes that are computed at the same time. Each takes 19 MiB.
var places = make(chan struct{}, 4)

func key(password string, salt []byte, m, t uint32, p uint8) []byte {
	places <- struct{}{}
	defer func() { <-places }()
	return argon2.IDKey([]byte(password), salt, t, m, p, keySize)
}

// Hash hashes a password. It returns [ErrShort] or [ErrLong] if the password is not allowed.
func Hash(password string) (string, error) {
	switch {
	case utf8.RuneCountInString(password) < shortest:
		return "", ErrShort
	case len(password) > longest:
		return "", ErrLong
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes, encode(salt),
		encode(key(password, salt, memory, passes, lanes))), nil
}

// Matches reports whether a hash belongs to a password.
func Matches(hash, password string) bool {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || len(password) > longest {
		return false
	}
	var m, t uint32
	var p uint8
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &m, &t, &p); err != nil || m == 0 || t == 0 || p == 0 {
		return false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	return err1 == nil && err2 == nil && subtle.ConstantTimeCompare(want, key(password, salt, m, t, p)) == 1
}

// Waste takes as long as [Matches].
func Waste(password string) {
	if len(password) <= longest {
		key(password, make([]byte, 16), memory, passes, lanes)
	}
}
