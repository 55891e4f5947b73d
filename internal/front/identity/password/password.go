// Package password hashes passwords with argon2id (RFC 9106), in the PHC string form.
//
// It promises that a hash tells nothing of the password but whether another one is the same, and that trying one costs
// as much for a name that does not exist. What a password is worth is its owner's doing: it must have twelve
// characters.
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

// The cost is what OWASP's password storage cheat sheet asks for at least: 19 MiB, two passes, one lane.
const (
	memory  = 19 << 10 // KiB
	passes  = 2
	lanes   = 1
	keySize = 32
)

// Bounds of a password, in characters and bytes. NIST SP 800-63B (section 5.1.1.2) asks for eight at least; these
// accounts open every certificate of a tenant.
const (
	shortest = 12
	longest  = 1024
)

// Errors of [Hash].
var (
	//lint:ignore ST1005 it is shown as it is
	ErrShort = errors.New("The password must have at least 12 characters: a sentence is fine.")
	ErrLong  = errors.New("The password is longer than 1024 bytes.") //lint:ignore ST1005 it is shown as it is
)

// tries bounds how many are computed at the same time: each takes 19 MiB.
var places = make(chan struct{}, 4)

func key(password string, salt []byte, m, t uint32, p uint8) []byte {
	places <- struct{}{}
	defer func() { <-places }()
	return argon2.IDKey([]byte(password), salt, t, m, p, keySize)
}

// Hash hashes a password; [ErrShort] and [ErrLong] where it cannot be one.
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

// Matches says whether a password is the one that was hashed.
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
