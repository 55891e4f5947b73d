package identity

import (
	"context"
	"errors"
	"strings"
)

// reasons are those of refused sign-ins, in the log. Other errors are not refusals.
var reasons = []struct {
	err    error
	reason string
}{
	{ErrTooManyAttempts, "too many attempts"},
	{ErrWrongPassword, "wrong name or password"},
	{ErrSecondFactor, "a password alone does not suffice"},
	{ErrOldPassword, "wrong old password"},
	{ErrToken, "unknown or invalid token"},
	{ErrNameTaken, "the name or the token is used"},
	{ErrCeremony, "too old, or begun in another browser"},
	{ErrUnknownPasskey, "unknown passkey"},
	{ErrNoRights, "no rights"},
	{ErrProviderState, "the state belongs to another sign-in"},
	{ErrProviderAnswer, "invalid answer of the provider"},
}

// refusal returns the reason for which a sign-in was refused; "" if it was not.
func refusal(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	var locked *LockedError
	var refused *ProviderRefusedError
	var none *NoRightsError
	var weak *WeakSignInError
	switch {
	case errors.As(err, &locked):
		return "the name is locked"
	case errors.As(err, &refused):
		return "refused by the provider"
	case errors.As(err, &weak):
		return "another way to sign in is required"
	case errors.As(err, &none):
		return "no rights"
	}
	return ""
}

// longestDetail limits the logged part of an error, in bytes: a stranger chooses some of its text.
const longestDetail = 500

func shortened(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), longestDetail)], "")
}

// logRefused logs a sign-in that was refused. A typed name is logged only if it is that of an account: it may be a
// password that was typed into the wrong field.
func (s *Service) logRefused(ctx context.Context, how, name string, b Browser, err error) {
	reason := refusal(err)
	if reason == "" {
		return
	}
	s.refused.Write(ctx, b.network(), "a sign-in was refused", func() []any {
		attributes := []any{"how", how, "address", b.Address, "reason", reason}
		if how == byOIDC { // the provider's administrator needs the details
			attributes = append(attributes, "detail", shortened(err.Error()))
		}
		if a, err := s.store.AccountByName(ctx, name); err == nil {
			attributes = append(attributes, "account", a.Name)
		}
		return attributes
	})
}
