package tenancy

import (
	"strings"
	"time"
)

// An Account is a person who signs in to the console, as an operator or as a key user.
type Account struct {
	ID        string
	Name      string // for signing in
	Role      Role   // operator or key user
	TenantID  string // empty for operators
	Tenant    string // name
	KeyUserID string // only for key users
	KeyUser   string // name
	// Password is an argon2id hash in PHC format; empty if the account has another way to sign in.
	Password string
	// Origin identifies the credential that created the account: "token ID", or "oidc ISSUER SUBJECT".
	Origin   string
	Zone     string // IANA name; empty for UTC
	Language string // of the console, such as "de"; empty for the browser's
	// CompanyAt is the time of the latest sign-in at the company's OpenID provider; zero for other accounts.
	CompanyAt time.Time
	// HasCalendar is set if the account has a calendar feed at a secret address.
	HasCalendar bool
	CreatedAt   time.Time
}

// Location returns the account's time zone.
func (a Account) Location() *time.Location {
	if l, err := time.LoadLocation(a.Zone); err == nil {
		return l
	}
	return time.UTC
}

// OfCompany reports whether the rights of the account come from the company's OpenID provider.
func (a Account) OfCompany() bool { return strings.HasPrefix(a.Origin, CompanyOrigin) }

// CompanyOrigin is the prefix of the origin of accounts that the company's OpenID provider signs in.
const CompanyOrigin = "oidc "

// Check returns an [ErrInvalid] if the account is not valid.
func (a Account) Check() error {
	if err := CheckUserName("name", a.Name); err != nil {
		return err
	}
	if a.Role != RoleOperator && a.Role != RoleKeyUser {
		return Invalid("role", "an account cannot have the role %s: use the token of an operator or of a key user", a.Role)
	}
	return checkPreferences(a.Language, a.Zone)
}

// checkPreferences returns an [ErrInvalid] about the language or the time zone of a person. Either may be empty.
func checkPreferences(language, zone string) error {
	if language != "" && language != "en" && language != "de" {
		return Invalid("language", "unsupported language %q: use en or de", language)
	}
	if _, err := time.LoadLocation(zone); err != nil {
		return Invalid("zone", "unknown time zone %q: use an IANA name such as Europe/Berlin", zone)
	}
	return nil
}

// A Passkey is a WebAuthn credential of an account.
type Passkey struct {
	ID         string // of the credential, in base64url
	AccountID  string
	Name       string
	Credential string // JSON: the public key and the counter of its authenticator
	CreatedAt  time.Time
	UsedAt     time.Time
}

// A Session is a browser that is signed in to an account. Its secret is in a cookie and stored as a hash.
type Session struct {
	ID        string
	AccountID string
	Agent     string // the User-Agent of the browser
	Address   string
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
}
