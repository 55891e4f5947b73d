package tenancy

import (
	"crypto/sha256"
	"encoding/hex"
)

// TokenPrefix is the prefix of every token's secret. It distinguishes tokens from other credentials, for example for
// scanners that search for leaked secrets.
const TokenPrefix = "perennial_"

// WorkloadHash returns the stored form of a workload that may be used in place of a secret. No secret has it, because
// it is not hexadecimal.
func WorkloadHash(issuer, subject string) string { return "workload " + HashSecret(issuer+" "+subject) }

// HashSecret returns the stored form of the secret of a token or a link: SHA-256 in hexadecimal. The secrets are long
// and random, so a slow hash is not needed.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
