package tenancy

import (
	"crypto/sha256"
	"encoding/hex"
)

// TokenPrefix is what the secrets of tokens begin with: it tells them from other credentials, also to scanners for
// leaks.
const TokenPrefix = "perennial_"

// HashSecret is how the secret of a token or a link is stored: SHA-256, in hexadecimal. The secrets are long and
// random, so that a slow hash would add nothing.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
