package tenancy

import "time"

// Role defines the permissions of a token.
type Role string

// Operators are the hosting team. A key user is one person who acts in one tenant. A sender may use arrangements. A
// gateway runs apart from the service and gets the private keys of all tenants.
const (
	RoleOperator Role = "operator"
	RoleKeyUser  Role = "key-user"
	RoleSender   Role = "sender"
	RoleGateway  Role = "gateway"
)

// NoExpiry is the expiry of tokens that end by other means (RFC 5280, section 4.1.2.5).
var NoExpiry = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// A Token is an API credential. Its secret is shown once and stored as a hash. Instead of a secret, it may have a
// workload, whose identity tokens are used.
type Token struct {
	ID        string
	Name      string
	Role      Role
	TenantID  string // empty for operators and gateways
	Tenant    string // name
	KeyUserID string // only for key users
	KeyUser   string // name
	// Issuer and Subject identify the workload; empty for a token with a secret. Such a token has no expiry, because
	// the issuer's identity tokens have one.
	Issuer, Subject string
	// Origin identifies the credential with which the token was created, as [Account.Origin] does. An account creates
	// tokens with its own origin. It is empty for a token that was created on the host.
	Origin     string
	CreatedAt  time.Time
	ExpiresAt  time.Time
	LastUsedAt time.Time
	RevokedAt  time.Time
}

// Valid reports whether the token can be used at now.
func (t Token) Valid(now time.Time) bool { return t.RevokedAt.IsZero() && now.Before(t.ExpiresAt) }

// Check returns an [ErrInvalid] if the token is not valid.
func (t Token) Check() error {
	if err := CheckText("name", t.Name); err != nil {
		return err
	}
	if t.Subject != "" {
		if err := CheckText("workload", t.Subject); err != nil {
			return err
		}
		if t.Role != RoleSender && t.Role != RoleGateway {
			return Invalid("workload", "only tokens of senders and gateways can be bound to a workload")
		}
	}
	switch t.Role {
	case RoleOperator, RoleGateway:
		if t.TenantID != "" || t.KeyUserID != "" {
			return Invalid("role", "a token for the role %s is for all tenants: leave out tenant and user", t.Role)
		}
	case RoleKeyUser:
		if t.TenantID == "" || t.KeyUserID == "" {
			return Invalid("role", "a key user's token needs a tenant and a user")
		}
	case RoleSender:
		if t.TenantID == "" || t.KeyUserID != "" {
			return Invalid("role", "a sender's token needs a tenant and no user")
		}
	default:
		return Invalid("role", "unknown role %q: use operator, key-user, sender or gateway", t.Role)
	}
	return nil
}
