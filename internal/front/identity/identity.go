// Package identity holds the accounts of the console: who they are, how they sign in, and their sessions. It writes no
// HTML and sets no cookies.
//
// It promises: a session is a new secret at every sign-in, and only its hash is stored. Signing in takes as long for an
// unknown name as for a wrong password, and has the same answers. An attempt is counted before its password is checked.
// Wrong passwords lock a name for the network that they come from, for at most 15 minutes. The owner can sign in from
// another network, or with a passkey. A network (an IPv4 address, or 64 bits of IPv6) may try 30 times per minute in
// this process. A first half of a ceremony (passkey, OpenID Connect) is used at most once, by the browser that began
// it. Rights that come from a company's provider end 12 hours after the latest sign-in there, whatever passkeys and
// calendars the account has. Every change of an account has an entry in the audit log, and refused sign-ins are logged.
package identity

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/internal/front/refusals"
	"github.com/perennial-pki/perennial/tenancy"
)

// Config holds the dependencies of a [Service].
type Config struct {
	Store   *store.Store
	BaseURL string // of the service, as browsers reach it
	OIDC    *OIDC  // the provider of the company's accounts; nil if there is none
	// SecondFactor names the accounts for which a password alone does not suffice.
	SecondFactor SecondFactor
	// Passwords are the rules for new passwords.
	Passwords password.Rules
	Now       func() time.Time
	Log       *slog.Logger
}

// A Service signs accounts in and keeps them. It is safe for concurrent use.
type Service struct {
	store     *store.Store
	baseURL   string
	strong    SecondFactor
	passwords password.Rules
	now       func() time.Time
	log       *slog.Logger
	refused   *refusals.Log
	attempts  attempts
	visits    visits
	passkeys  *webauthn.WebAuthn // nil if the service's address is not a name
	provider  *provider          // nil if there is none
}

// New returns a service. Store, Now and Log are required.
func New(c Config) (*Service, error) {
	switch {
	case c.Store == nil:
		return nil, errors.New("identity: no store is given")
	case c.Now == nil:
		return nil, errors.New("identity: no clock is given")
	case c.Log == nil:
		return nil, errors.New("identity: no logger is given")
	}
	s := &Service{store: c.Store, baseURL: c.BaseURL, strong: c.SecondFactor, passwords: c.Passwords, now: c.Now,
		log: c.Log, refused: refusals.New(c.Log, c.Now)}
	s.passwords.Names = append(slices.Clone(c.Passwords.Names), c.BaseURL)
	if c.OIDC != nil {
		s.provider = &provider{OIDC: *c.OIDC}
	}
	var err error
	if s.passkeys, err = newPasskeys(c.BaseURL); err != nil {
		return nil, fmt.Errorf("passkeys at %s: %w", c.BaseURL, err)
	}
	if s.strong != NoSecondFactor && s.passkeys == nil && s.provider == nil {
		return nil, errors.New("identity: a second factor needs passkeys, so a host name in the address of the service, or " +
			"an OpenID provider")
	}
	return s, nil
}

// SecondFactor names the accounts that need a passkey or the company's sign-in. Welcome, with a token, signs in all.
type SecondFactor string

// Values of [SecondFactor].
const (
	NoSecondFactor       SecondFactor = ""
	SecondFactorOperator SecondFactor = "operators"
	SecondFactorAll      SecondFactor = "all"
)

// of reports whether an account needs a second factor.
func (f SecondFactor) of(a tenancy.Account) bool {
	return f == SecondFactorAll || f == SecondFactorOperator && a.Role == tenancy.RoleOperator
}

// Browser describes where a sign-in comes from.
type Browser struct {
	Address string // IP address
	Agent   string // the User-Agent header
}

// Errors on which a person can act.
var (
	// ErrTooManyAttempts means that the network tried too often in this minute.
	ErrTooManyAttempts = errors.New("identity: too many attempts from this address")
	// ErrWrongPassword means that there is no account with the name and the password.
	ErrWrongPassword = errors.New("identity: wrong name or password")
	// ErrSecondFactor means that the password is right, but does not suffice for the account.
	ErrSecondFactor = errors.New("identity: a passkey or the company's sign-in is required")
	// ErrOldPassword means that the old password is wrong.
	ErrOldPassword = errors.New("identity: wrong old password")
	// ErrToken means that a token does not exist or is no longer valid.
	ErrToken = errors.New("identity: unknown or invalid token")
	// ErrNameTaken means that the name, or the token of the new account, is used by another account.
	ErrNameTaken = errors.New("identity: the name or the token is used by another account")
	// ErrCeremony means that the first half of a ceremony is too old or belongs to another browser.
	ErrCeremony = errors.New("identity: the ceremony is too old or was started in another browser")
	// ErrUnknownPasskey means that a passkey belongs to no account.
	ErrUnknownPasskey = errors.New("identity: unknown passkey")
	// ErrNoRights means that an account has no rights, or that a new sign-in at the company must show them again.
	ErrNoRights = errors.New("identity: the account currently has no rights")
	// ErrOwnAccount means that an operator tried to delete the account that is signed in.
	ErrOwnAccount = errors.New("identity: the account is signed in")
)

// A LockedError means that a name is locked for the browser's network after wrong passwords.
type LockedError struct{ Until time.Time }

func (e *LockedError) Error() string {
	return "identity: the name is locked until " + e.Until.Format(time.RFC3339)
}

const (
	// attemptsPerMinute limits the attempts of one network, whatever the account. attemptsAtOnce limits its simultaneous
	// attempts, so that it cannot fill the queue for all.
	attemptsPerMinute, attemptsAtOnce = 30, 8
	// ceremonyTime is the maximum time between the two halves of a ceremony.
	ceremonyTime = 10 * time.Minute
)

// network returns the network of the browser, which shares limits: its IPv4 address, or its IPv6 network of 64 bits,
// from which one host can choose any address (RFC 4291, section 2.5.4).
func (b Browser) network() string {
	ip, err := netip.ParseAddr(b.Address)
	if err != nil {
		return b.Address
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}

// attempts counts the attempts of each network in the current minute, and those that are running.
type attempts struct {
	mu      sync.Mutex // guards the fields below
	minute  int64
	counts  map[string]int
	running map[string]int
}

// enter counts an attempt. The caller calls leave when it has ended.
func (a *attempts) enter(network string, now time.Time) (leave func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if minute := now.Unix() / 60; minute != a.minute || a.counts == nil {
		a.minute, a.counts = minute, map[string]int{}
	}
	a.counts[network]++
	switch {
	case a.counts[network] > attemptsPerMinute:
		return nil, ErrTooManyAttempts
	case a.running[network] >= attemptsAtOnce:
		return nil, password.ErrBusy
	case a.running == nil:
		a.running = map[string]int{}
	}
	a.running[network]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.running[network]--; a.running[network] == 0 {
			delete(a.running, network)
		}
	}, nil
}

// attempt counts an attempt until leave is called. It returns [ErrTooManyAttempts] if there were too many attempts in
// this minute, and [password.ErrBusy] if too many of the network are running.
func (s *Service) attempt(b Browser) (leave func(), err error) {
	return s.attempts.enter(b.network(), s.now())
}

// visitsPerMinute limits the public pages and files that one network may get. It is enough for the calendars of a
// company behind one address, and too little to try secrets.
const visitsPerMinute = 120

// visits counts the public pages and files that each network got in the current minute.
type visits struct {
	mu     sync.Mutex // guards the fields below
	minute int64
	counts map[string]int
}

// Visit counts a request for a page or file that needs no sign-in. It returns the time that the browser's network must
// wait before the next one, or 0 if this one may be answered.
func (s *Service) Visit(b Browser) (wait time.Duration) {
	now, v := s.now(), &s.visits
	v.mu.Lock()
	defer v.mu.Unlock()
	if minute := now.Unix() / 60; minute != v.minute || v.counts == nil {
		v.minute, v.counts = minute, map[string]int{}
	}
	network := b.network()
	if v.counts[network]++; v.counts[network] <= visitsPerMinute {
		return 0
	}
	return time.Unix((v.minute+1)*60, 0).Sub(now)
}

// instant is the time of a change, in the precision in which it is stored.
func (s *Service) instant() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// change makes a change of an account and its audit event in one transaction.
func (s *Service) change(ctx context.Context, a tenancy.Account, action string, detail any,
	fn func(tx *store.Tx) error) error {
	return s.store.InTx(ctx, func(tx *store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(s.now(), string(a.Role)+" "+a.Name, action, a.Tenant, a.Name, detail))
	})
}

// beginCeremony stores the first half of a ceremony. The browser keeps the secret.
func (s *Service) beginCeremony(ctx context.Context, kind string, half any) (secret string, err error) {
	data, err := json.Marshal(half)
	if err != nil {
		return "", err
	}
	secret = rand.Text()
	now := s.now()
	return secret, s.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.BeginCeremony(ctx, tenancy.HashSecret(secret), kind, string(data), now, now.Add(ceremonyTime))
	})
}

// takeCeremony reads the first half of a ceremony, once.
func (s *Service) takeCeremony(ctx context.Context, secret, kind string, half any) error {
	if secret == "" {
		return ErrCeremony
	}
	var data string
	err := s.store.InTx(ctx, func(tx *store.Tx) (err error) {
		data, err = tx.RedeemCeremony(ctx, tenancy.HashSecret(secret), kind, s.now())
		return err
	})
	if errors.Is(err, tenancy.ErrNotFound) {
		return ErrCeremony
	} else if err != nil {
		return err
	}
	return json.Unmarshal([]byte(data), half)
}
