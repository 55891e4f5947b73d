package tenancy

import (
	"slices"
	"time"
)

// A Credential is a named series of certificates of a tenant: generation after generation, each with its own key. Every
// tenant has [ForTenant] and [ForMUser] without a Credential of its own, until one of their settings differs from the
// installation's.
type Credential struct {
	TenantID string
	Name     Purpose // unique in the tenant
	// Issuer is the name of the configured issuer of later generations; empty for the default one.
	Issuer string
	// KeyType is that of later generations; empty for the tenant's.
	KeyType KeyType
	// Subject (RFC 4514) and SAN (comma-separated, as OpenSSL prints it: "DNS:a.example.com, URI:...") are the names of
	// the first generation. Later ones keep them. Empty: the names that the issuer gives the tenant.
	Subject, SAN string
	// Validity is requested for later generations; 0 for that of the policy.
	Validity time.Duration
	// AnnouncedAt is the time of the notice about the latest change of the issuer or the key type; zero without one.
	AnnouncedAt time.Time
	CreatedAt   time.Time
	Version     int64
}

// minValidity is the shortest validity that a credential may request.
const minValidity = 24 * time.Hour

// Check returns an [ErrInvalid] if the credential is not valid.
func (c Credential) Check() error {
	if err := CheckName("name", string(c.Name)); err != nil {
		return err
	}
	if c.Issuer != "" {
		if err := CheckName("issuer", c.Issuer); err != nil {
			return err
		}
	}
	if c.Validity != 0 && c.Validity < minValidity {
		return Invalid("validity", "%s is too short: use at least %s, or leave it out for that of the policy", c.Validity,
			minValidity)
	}
	if c.KeyType == "" {
		return nil
	}
	return c.KeyType.Check()
}

// BuiltIn are the credentials that every tenant has.
var BuiltIn = []Purpose{ForTenant, ForMUser}

// IsBuiltIn reports whether every tenant has a credential of this name.
func (p Purpose) IsBuiltIn() bool { return slices.Contains(BuiltIn, p) }

// Presented reports whether messages can present the certificates of a credential. The M-user's are the platform's own.
func (p Purpose) Presented() bool { return p != ForMUser }

// A Request is a certificate that has been requested from a CA but not issued yet.
type Request struct {
	ID         string // becomes that of the certificate
	TenantID   string
	Purpose    Purpose
	Generation int
	Issuer     string // name of a configured issuer; empty for the default one
	KeyType    KeyType
	Handle     string    // identifies the request at the CA; empty if the CA may not have got it
	AskAt      time.Time // when the CA is asked for the answer
	LastError  string    // of the latest question
	Actor      string    // of the renewal
	Reason     string    // of the renewal; may be empty
	RunDate    time.Time // of the run that renews; zero for a renewal by hand
	CreatedAt  time.Time
}
