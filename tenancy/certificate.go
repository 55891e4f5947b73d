package tenancy

import (
	"slices"
	"time"
)

// Purpose is the name of a credential, which states the use of a tenant's certificate.
type Purpose string

// These credentials are built in. The tenant certificate authenticates outbound messages. The M-user is the tenant's
// technical user.
const (
	ForTenant Purpose = "tenant"
	ForMUser  Purpose = "m-user"
)

// Noun returns the name of the certificate for display.
func (p Purpose) Noun() string {
	switch p {
	case ForTenant:
		return "Tenant Certificate"
	case ForMUser:
		return "M-user Certificate"
	}
	return "Certificate " + string(p)
}

// State is the state of a generation (NIST SP 800-57 part 1, section 7: pre-activation, active, deactivated,
// compromised).
type State string

// A generation is requested if its CA answers later, waits as standby, is presented while active, and ends retired or
// revoked.
const (
	Requested State = "requested"
	Standby   State = "standby"
	Active    State = "active"
	Retired   State = "retired"
	Revoked   State = "revoked"
)

// A Certificate is a generation of a tenant's certificate, without its private key.
type Certificate struct {
	ID          string
	TenantID    string
	Purpose     Purpose
	Generation  int // 1, 2, 3 ... for each tenant and purpose
	State       State
	Serial      string // lowercase hexadecimal
	Fingerprint string // SHA-256 of DER, 64 lowercase hexadecimal digits
	Subject     string // RFC 4514
	NotBefore   time.Time
	NotAfter    time.Time
	KeyType     KeyType
	DER         []byte
	IssuerID    string
	// Issuer is the name of the configured issuer; empty for the default one.
	Issuer string
	// SuccessorID is the next generation; empty if there is none.
	SuccessorID string
	// NoticedUntil is the end of the key users' notice. Until then, the generation is presented only if it is needed.
	NoticedUntil time.Time
	// WarnedAt is the run date of the first warning; zero if there was none.
	WarnedAt  time.Time
	CreatedAt time.Time
	// RevokedAt and RevokedFor are the time and the reason of the revocation; zero and empty unless State is Revoked.
	RevokedAt  time.Time
	RevokedFor string
}

// KeyType is the type of a private key.
type KeyType string

// P-256 is the default. Many receivers require RSA.
const (
	P256    KeyType = "p256"
	P384    KeyType = "p384"
	P521    KeyType = "p521"
	RSA2048 KeyType = "rsa2048"
	RSA3072 KeyType = "rsa3072"
	RSA4096 KeyType = "rsa4096"
	Ed25519 KeyType = "ed25519"
)

// KeyTypes are all key types.
var KeyTypes = []KeyType{P256, P384, P521, RSA2048, RSA3072, RSA4096, Ed25519}

// Check returns an [ErrInvalid] if the key type is not valid.
func (k KeyType) Check() error {
	if slices.Contains(KeyTypes, k) {
		return nil
	}
	return Invalid("key_type", "unknown key type %q: use p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519", k)
}
