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
	// idleSession ends a session that was not used.
	idleSession = 12 * time.Hour
	// seenEvery is the precision of a session's last use. A finer one would make every page a write.
	seenEvery = 5 * time.Minute
	// freeFailures is the number of wrong passwords without a wait. Each further one doubles the wait, up to
	// longestLock.
	freeFailures = 5
	longestLock  = 15 * time.Minute
	// longestAgent limits what is stored of a User-Agent header, in bytes.
	longestAgent = 200
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
		if err := tx.SetFailures(ctx, a.ID, 0, time.Time{}); err != nil {
			return err
		}
		if err := tx.CreateSession(ctx, session, tenancy.HashSecret(secret)); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, string(a.Role)+" "+a.Name, "account.signed-in", a.Tenant, a.Name,
			map[string]any{"how": how, "address": session.Address}))
	})
}

// SignIn signs in with a name and a password and returns the secret of a new session. It returns
// [ErrTooManyAttempts], [ErrWrongPassword] or a [*LockedError].
func (s *Service) SignIn(ctx context.Context, name, secret string, b Browser) (session string, err error) {
	if err := s.attempt(b); err != nil {
		return "", err
	}
	now := s.now()
	a, err := s.store.AccountByName(ctx, name)
	switch {
	case errors.Is(err, tenancy.ErrNotFound), err == nil && a.Password == "":
		password.Waste(secret) // the time must not show which names exist and have a password
		return "", ErrWrongPassword
	case err != nil:
		return "", err
	case now.Before(a.LockedUntil):
		return "", &LockedError{a.LockedUntil}
	case !password.Matches(a.Password, secret):
		if err := s.countFailure(ctx, a, now); err != nil {
			return "", err
		}
		return "", ErrWrongPassword
	}
	return s.begin(ctx, a, byPassword, b)
}

func (s *Service) countFailure(ctx context.Context, a tenancy.Account, now time.Time) error {
	a.Failures++
	var until time.Time
	if over := a.Failures - freeFailures; over >= 0 {
		until = now.Add(min(time.Second<<min(over, 20), longestLock))
	}
	return s.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.SetFailures(ctx, a.ID, a.Failures, until); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, "sign-in", "account.wrong-password", a.Tenant, a.Name,
			map[string]any{"failures": a.Failures}))
	})
}

// Welcome creates the account of an operator or a key user who has a token, and signs it in. A token makes one account.
// It returns [ErrTooManyAttempts], [ErrToken], [ErrNameTaken], [tenancy.ErrInvalid], [password.ErrShort] or
// [password.ErrLong].
func (s *Service) Welcome(ctx context.Context, token, name, secret string, b Browser) (session string, err error) {
	if err := s.attempt(b); err != nil {
		return "", err
	}
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
	if a.Password, err = password.Hash(secret); err != nil {
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
