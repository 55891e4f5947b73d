package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// LongestSession is the maximum age of a session.
	LongestSession = 7 * 24 * time.Hour
	// RecentSignIn is the age of a session up to which its user may change the ways to sign in and end other sessions.
	RecentSignIn = 10 * time.Minute
	// idleSession ends a session that was not used.
	idleSession = 12 * time.Hour
	// seenEvery is the precision of a session's last use. A finer one would make every page a write.
	seenEvery = 5 * time.Minute
	// freeFailures is the number of wrong passwords for a name, from one network, after which it is locked. Each further
	// one doubles the wait, up to longestLock.
	freeFailures = 5
	longestLock  = 15 * time.Minute
	// longestAgent limits the stored part of a User-Agent header, in bytes.
	longestAgent = 200
	// mostSessions limits the sessions of an account. The next one ends the oldest.
	mostSessions = 100
)

// Ways to sign in, for the audit log.
const (
	byPassword = "password"
	byPasskey  = "passkey"
	byToken    = "token"
	byOIDC     = "oidc"
)

// Session returns the session with a secret and its account. It returns [tenancy.ErrNotFound] if there is no valid one.
func (s *Service) Session(ctx context.Context, secret string) (tenancy.Session, tenancy.Account, error) {
	session, a, err := s.store.SessionByHash(ctx, tenancy.HashSecret(secret))
	now := s.now()
	switch {
	case err != nil:
		return session, a, err
	case !now.Before(session.ExpiresAt), now.Sub(session.SeenAt) > idleSession, !s.hasRights(a):
		return session, tenancy.Account{}, tenancy.Errorf(tenancy.ErrNotFound, "there is no valid session")
	case now.Sub(session.SeenAt) > seenEvery:
		err = s.store.InTx(ctx, func(tx *store.Tx) error { return tx.SeeSession(ctx, session.ID, now) })
	}
	return session, a, err
}

// SignedInRecently reports whether a session began so recently that its user need not sign in again before the ways to
// sign in are changed. Each sign-in begins a new session.
func (s *Service) SignedInRecently(session tenancy.Session) bool {
	return s.now().Sub(session.CreatedAt) <= RecentSignIn
}

// hasRights reports whether an account still has rights. The key user may have been removed, the company may have taken
// the role away, or the latest sign-in at the company may be too old to show that it has not.
func (s *Service) hasRights(a tenancy.Account) bool {
	switch {
	case a.Role == "", a.Role == tenancy.RoleKeyUser && a.KeyUser == "":
		return false
	case a.OfCompany():
		return s.now().Before(a.CompanyAt.Add(companyRights))
	}
	return true
}

// begin signs an account in. The session is always a new one, so that a secret that another person planted in the
// browser is worthless. It returns [ErrNoRights] if the account has none.
func (s *Service) begin(ctx context.Context, a tenancy.Account, how string, b Browser) (secret string, err error) {
	now := s.instant()
	secret = rand.Text()
	agent := b.Agent
	if len(agent) > longestAgent {
		agent = agent[:longestAgent]
	}
	session := tenancy.Session{ID: store.NewID(), AccountID: a.ID, Agent: strings.ToValidUTF8(agent, ""),
		Address: b.Address, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(LongestSession)}
	if how == byOIDC {
		a.CompanyAt = now
	}
	if !s.hasRights(a) {
		return "", ErrNoRights
	}
	if a.OfCompany() {
		session.ExpiresAt = a.CompanyAt.Add(companyRights)
	}
	return secret, s.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.ForgetSessions(ctx, now); err != nil {
			return err
		}
		if how == byOIDC {
			if err := tx.SetCompanyAt(ctx, a.ID, now); err != nil {
				return err
			}
		}
		if how == byPassword {
			if err := tx.ForgetSignIns(ctx, a.Name, b.network()); err != nil {
				return err
			}
		}
		if err := tx.CreateSession(ctx, session, tenancy.HashSecret(secret)); err != nil {
			return err
		}
		if err := tx.KeepSessions(ctx, a.ID, mostSessions); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, string(a.Role)+" "+a.Name, "account.signed-in", a.Tenant, a.Name,
			map[string]any{"how": how, "address": session.Address}))
	})
}

// SignIn signs in with a name and a password and returns the secret of a new session. It returns
// [ErrTooManyAttempts], [ErrWrongPassword], a [*LockedError], [password.ErrBusy], or [ErrSecondFactor] after the right
// password. A name that does not exist gets the same answers as a wrong password.
func (s *Service) SignIn(ctx context.Context, name, secret string, b Browser) (session string, err error) {
	defer func() { s.logRefused(ctx, byPassword, name, b, err) }()
	leave, err := s.attempt(b)
	if err != nil {
		return "", err
	}
	defer leave()
	failures, err := s.countFirst(ctx, name, b)
	if err != nil {
		return "", err
	}
	a, err := s.store.AccountByName(ctx, name)
	switch {
	case errors.Is(err, tenancy.ErrNotFound), err == nil && a.Password == "":
		if err := password.Waste(ctx, secret); err != nil { // the time must not show which names have a password
			return "", s.unchecked(ctx, name, b, err)
		}
		return "", ErrWrongPassword
	case err != nil:
		return "", s.unchecked(ctx, name, b, err)
	}
	if err := s.matches(ctx, a, secret, failures); err != nil {
		return "", s.unchecked(ctx, name, b, err)
	}
	if s.strong.of(a) {
		return "", s.unchecked(ctx, name, b, ErrSecondFactor) // it was right, so it locks no one out
	}
	return s.begin(ctx, a, byPassword, b)
}

// unchecked takes back an attempt whose password was not checked, or was right, so that it locks no one out.
// It returns the error of the attempt.
func (s *Service) unchecked(ctx context.Context, name string, b Browser, err error) error {
	if errors.Is(err, ErrWrongPassword) {
		return err
	}
	ctx = context.WithoutCancel(ctx) // the browser may have gone away
	return errors.Join(err, s.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.UncountSignIn(ctx, name, b.network(), freeFailures)
	}))
}

// countFirst counts an attempt with a name as failed before its password is checked, so that attempts at the same time
// cannot pass as one. It returns a [*LockedError] if the name is locked for the network of the browser. Other networks
// are not locked, so a stranger cannot lock out the owner.
func (s *Service) countFirst(ctx context.Context, name string, b Browser) (failures int, err error) {
	var until time.Time
	err = s.store.InTx(ctx, func(tx *store.Tx) (err error) {
		failures, until, err = tx.CountSignIn(ctx, name, b.network(), s.instant(), lockFor)
		return err
	})
	if err == nil && !until.IsZero() {
		err = &LockedError{until}
	}
	return failures, err
}

// lockFor returns the time for which a number of wrong passwords locks a name for a network.
func lockFor(failures int) time.Duration {
	if over := failures - freeFailures; over >= 0 {
		return min(time.Second<<min(over, 20), longestLock)
	}
	return 0
}

// matches returns [ErrWrongPassword] if a password is not the account's, and records it in the audit log.
func (s *Service) matches(ctx context.Context, a tenancy.Account, secret string, failures int) error {
	right, err := password.Matches(ctx, a.Password, secret)
	if err != nil || right {
		return err
	}
	err = s.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.Audit(ctx, tenancy.NewEvent(s.now(), "sign-in", "account.wrong-password", a.Tenant, a.Name,
			map[string]any{"failures": failures}))
	})
	if err != nil {
		return err
	}
	return ErrWrongPassword
}

// Welcome creates the account of an operator or a key user who has a token, and signs it in. A token creates one
// account. It returns [ErrTooManyAttempts], [ErrToken], [ErrNameTaken], [tenancy.ErrInvalid], [password.ErrBusy] or an
// error of [password.Rules.Check].
func (s *Service) Welcome(ctx context.Context, token, name, secret string, b Browser) (session string, err error) {
	defer func() { s.logRefused(ctx, byToken, name, b, err) }()
	leave, err := s.attempt(b)
	if err != nil {
		return "", err
	}
	defer leave()
	now := s.instant()
	t, err := s.store.TokenByHash(ctx, tenancy.HashSecret(token))
	switch {
	case errors.Is(err, tenancy.ErrNotFound), err == nil && !t.Valid(now):
		return "", ErrToken
	case err != nil:
		return "", err
	}
	a := tenancy.Account{ID: store.NewID(), Name: name, Role: t.Role, TenantID: t.TenantID, Tenant: t.Tenant,
		KeyUserID: t.KeyUserID, KeyUser: t.KeyUser, Origin: "token " + t.ID, CreatedAt: now}
	if err := a.Check(); err != nil {
		return "", err
	}
	if a.Password, err = s.newPassword(ctx, a, secret); err != nil {
		return "", err
	}
	err = s.change(ctx, a, "account.created", map[string]any{"origin": a.Origin}, func(tx *store.Tx) error {
		return tx.CreateAccount(ctx, a)
	})
	if errors.Is(err, tenancy.ErrConflict) {
		return "", ErrNameTaken
	} else if err != nil {
		return "", err
	}
	return s.begin(ctx, a, byToken, b)
}

// Sessions returns the sessions of an account.
func (s *Service) Sessions(ctx context.Context, a tenancy.Account) ([]tenancy.Session, error) {
	return s.store.Sessions(ctx, a.ID)
}

// EndSession ends a session of an account. A session that has ended already is not an error.
func (s *Service) EndSession(ctx context.Context, a tenancy.Account, id string) error {
	err := s.change(ctx, a, "session.ended", nil, func(tx *store.Tx) error { return tx.EndSession(ctx, a.ID, id) })
	if errors.Is(err, tenancy.ErrStale) {
		return nil
	}
	return err
}
