package tenancy

import "time"

// An Account is a person who signs in to the console, as an operator or as a key user.
type Account struct {
	ID        string
	Name      string // what the person signs in with
	Role      Role   // operator or key user
	TenantID  string // empty for operators
	Tenant    string // name
	KeyUserID string // only for key users
	KeyUser   string // name
	// Password is an argon2id hash in PHC form; empty where the person signs in another way.
	Password string
	// Origin is what made the account, once: "token ID", or "oidc ISSUER SUBJECT".
	Origin   string
	Zone     string // IANA name; empty for UTC
	Language string // of the console, such as "de"; empty for the browser's
	// HasCalendar: there is a secret address under which calendars read what will happen.
	HasCalendar bool
	// Failures are wrong passwords since the last right one; LockedUntil is when the next try is taken.
	Failures    int
	LockedUntil time.Time
	CreatedAt   time.Time
}

// Location is the account's time zone.
func (a Account) Location() *time.Location {
	if l, err := time.LoadLocation(a.Zone); err == nil {
		return l
	}
	return time.UTC
}

// Check says what is wrong with the account, or nil. The error is an [ErrInvalid].
func (a Account) Check() error {
	if err := CheckUserName("name", a.Name); err != nil {
		return err
	}
	if a.Role != RoleOperator && a.Role != RoleKeyUser {
		return Invalid("role", "a token for the role %s makes no account: use an operator's or a key user's", a.Role)
	}
	if a.Language != "" && a.Language != "en" && a.Language != "de" {
		return Invalid("language", "%q is not spoken here: en and de are", a.Language)
	}
	if _, err := time.LoadLocation(a.Zone); err != nil {
		return Invalid("zone", "%q is no time zone: write one such as Europe/Berlin", a.Zone)
	}
	return nil
}

// A Passkey is a WebAuthn credential of an account.
type Passkey struct {
	ID         string // the credential's, in base64url
	AccountID  string
	Name       string
	Credential string // JSON: the public key, and what its authenticator counts
	CreatedAt  time.Time
	UsedAt     time.Time
}

// A Session is a browser in which somebody is signed in. Its secret is in a cookie and stored as a hash.
type Session struct {
	ID        string
	AccountID string
	Agent     string // the browser, as it calls itself
	Address   string
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
}
