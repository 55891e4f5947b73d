package identity

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/tenancy"
)

// SetPreferences stores the language and the time zone of an account. It returns [tenancy.ErrInvalid] if one of them
// does not exist.
func (s *Service) SetPreferences(ctx context.Context, a tenancy.Account) error {
	if err := a.Check(); err != nil {
		return err
	}
	return s.store.InTx(ctx, func(tx *store.Tx) error { return tx.SetPreferences(ctx, a) })
}

// ChangePassword replaces the password of an account and ends all its sessions except one. It returns
// [ErrTooManyAttempts], a [*LockedError], [ErrOldPassword], [password.ErrBusy] or an error of [password.Rules.Check].
func (s *Service) ChangePassword(ctx context.Context, a tenancy.Account, keep tenancy.Session, before, after string,
	b Browser) (err error) {
	defer func() { s.logRefused(ctx, byPassword, a.Name, b, err) }()
	leave, err := s.attempt(b)
	if err != nil {
		return err
	}
	defer leave()
	failures, err := s.countFirst(ctx, a.Name, b)
	if err != nil {
		return err
	}
	if err := s.matches(ctx, a, before, failures); errors.Is(err, ErrWrongPassword) {
		return ErrOldPassword
	} else if err != nil {
		return err
	}
	hash, err := s.newPassword(ctx, a, after)
	if err != nil {
		return err
	}
	return s.change(ctx, a, "account.password-changed", nil, func(tx *store.Tx) error {
		if err := tx.ForgetSignIns(ctx, a.Name, b.network()); err != nil {
			return err
		}
		if err := tx.SetPassword(ctx, a.ID, hash); err != nil {
			return err
		}
		return tx.EndSessions(ctx, a.ID, keep.ID)
	})
}

// newPassword returns the hash of a new password of an account, or an error of [password.Rules.Check]. The names of the
// account and the address of its key user make a password easy to guess.
func (s *Service) newPassword(ctx context.Context, a tenancy.Account, secret string) (hash string, err error) {
	names := []string{a.Name, a.Tenant, a.KeyUser}
	if a.KeyUserID != "" {
		user, err := s.store.KeyUserByID(ctx, a.KeyUserID)
		if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
			return "", err
		}
		names = append(names, user.Email)
	}
	if err := s.passwords.Check(secret, names...); err != nil {
		return "", err
	}
	return password.Hash(ctx, secret)
}

// CreateCalendar returns a new secret address for the calendar of an account. It replaces an earlier one.
func (s *Service) CreateCalendar(ctx context.Context, a tenancy.Account) (secret string, err error) {
	secret = rand.Text()
	return secret, s.change(ctx, a, "calendar.created", nil, func(tx *store.Tx) error {
		return tx.SetCalendar(ctx, a.ID, tenancy.HashSecret(secret))
	})
}

// RevokeCalendar revokes the secret address of the calendar of an account.
func (s *Service) RevokeCalendar(ctx context.Context, a tenancy.Account) error {
	return s.change(ctx, a, "calendar.revoked", nil, func(tx *store.Tx) error { return tx.SetCalendar(ctx, a.ID, "") })
}

// CalendarOwner returns the account whose calendar has a secret address. It returns [tenancy.ErrNotFound] if there is
// none, or if the account no longer has rights.
func (s *Service) CalendarOwner(ctx context.Context, secret string) (tenancy.Account, error) {
	a, err := s.store.AccountByCalendar(ctx, tenancy.HashSecret(secret))
	if err == nil && !s.hasRights(a) {
		return tenancy.Account{}, tenancy.Errorf(tenancy.ErrNotFound, "there is no such calendar")
	}
	return a, err
}

// Account returns an account. It returns [tenancy.ErrNotFound] if there is none.
func (s *Service) Account(ctx context.Context, id string) (tenancy.Account, error) {
	return s.store.Account(ctx, id)
}

// DeleteAccount deletes an account with its sessions and passkeys. It returns [tenancy.ErrNotFound], or [ErrOwnAccount]
// if by is the account itself.
func (s *Service) DeleteAccount(ctx context.Context, by tenancy.Account, id string) (deleted tenancy.Account,
	err error) {
	a, err := s.store.Account(ctx, id)
	switch {
	case err != nil:
		return a, err
	case a.ID == by.ID:
		return a, ErrOwnAccount
	}
	return a, s.change(ctx, by, "account.deleted", map[string]any{"account": a.Name, "role": a.Role},
		func(tx *store.Tx) error { return tx.DeleteAccount(ctx, a.ID) })
}
