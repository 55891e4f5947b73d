package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// kinds of ceremonies with a passkey.
const (
	addCeremony    = "passkey"
	signInCeremony = "passkey sign-in"
)

// newPasskeys returns the relying party. It is nil if browsers reach the service at an IP address: WebAuthn needs a
// domain (Level 3, section 5.1.2, effective domain).
func newPasskeys(base string) (*webauthn.WebAuthn, error) {
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" {
		return nil, nil
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return nil, nil
	}
	return webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "Perennial", RPOrigins: []string{u.Scheme + "://" + u.Host},
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired,
			UserVerification: protocol.VerificationRequired},
	})
}

// HasPasskeys reports whether accounts can have passkeys.
func (s *Service) HasPasskeys() bool { return s.passkeys != nil }

// passkeyUser is an account as a WebAuthn user.
type passkeyUser struct {
	tenancy.Account
	credentials []webauthn.Credential
}

func (u passkeyUser) WebAuthnID() []byte                         { return []byte(u.ID) }
func (u passkeyUser) WebAuthnName() string                       { return u.Name }
func (u passkeyUser) WebAuthnDisplayName() string                { return u.Name }
func (u passkeyUser) WebAuthnCredentials() []webauthn.Credential { return u.credentials }

// withPasskeys returns an account with its passkeys.
func (s *Service) withPasskeys(ctx context.Context, a tenancy.Account) (u passkeyUser, err error) {
	u.Account = a
	stored, err := s.store.Passkeys(ctx, a.ID)
	if err != nil {
		return u, err
	}
	for _, p := range stored {
		var credential webauthn.Credential
		if err := json.Unmarshal([]byte(p.Credential), &credential); err != nil {
			return u, fmt.Errorf("passkey %s: %w", p.ID, err)
		}
		u.credentials = append(u.credentials, credential)
	}
	return u, nil
}

// Passkeys returns the passkeys of an account.
func (s *Service) Passkeys(ctx context.Context, a tenancy.Account) ([]tenancy.Passkey, error) {
	return s.store.Passkeys(ctx, a.ID)
}

// mostPasskeys limits the passkeys of an account.
const mostPasskeys = 50

// BeginPasskey begins to add a passkey. The options are for the browser's navigator.credentials.create, as JSON.
func (s *Service) BeginPasskey(ctx context.Context, a tenancy.Account) (options any, ceremony string, err error) {
	user, err := s.withPasskeys(ctx, a)
	if err != nil {
		return nil, "", err
	}
	if len(user.credentials) >= mostPasskeys {
		return nil, "", tenancy.Errorf(tenancy.ErrRefused, "your account already has %d passkeys: remove one first",
			len(user.credentials))
	}
	creation, half, err := s.passkeys.BeginRegistration(user,
		webauthn.WithExclusions(webauthn.Credentials(user.credentials).CredentialDescriptors()))
	if err != nil {
		return nil, "", err
	}
	ceremony, err = s.beginCeremony(ctx, addCeremony, half)
	return creation.Response, ceremony, err
}

// AddPasskey finishes what [Service.BeginPasskey] began, with the browser's answer. It returns [ErrCeremony] or
// [ErrUnknownPasskey].
func (s *Service) AddPasskey(ctx context.Context, a tenancy.Account, ceremony, name string, answer io.Reader) error {
	var half webauthn.SessionData
	if err := s.takeCeremony(ctx, ceremony, addCeremony, &half); err != nil {
		return err
	}
	user, err := s.withPasskeys(ctx, a)
	if err != nil {
		return err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBody(answer)
	if err != nil {
		return passkeyError(err)
	}
	credential, err := s.passkeys.CreateCredential(user, half, parsed)
	if err != nil {
		return passkeyError(err)
	}
	data, err := json.Marshal(credential)
	if err != nil {
		return err
	}
	p := tenancy.Passkey{ID: base64.RawURLEncoding.EncodeToString(credential.ID), AccountID: a.ID, Name: name,
		Credential: string(data), CreatedAt: s.now()}
	return s.change(ctx, a, "passkey.added", map[string]any{"passkey": p.ID}, func(tx *store.Tx) error {
		return tx.CreatePasskey(ctx, p)
	})
}

// RemovePasskey removes a passkey of an account. It returns [tenancy.ErrNotFound] if the account has no such passkey.
func (s *Service) RemovePasskey(ctx context.Context, a tenancy.Account, id string) error {
	err := s.change(ctx, a, "passkey.removed", map[string]any{"passkey": id}, func(tx *store.Tx) error {
		return tx.DeletePasskey(ctx, a.ID, id)
	})
	if errors.Is(err, tenancy.ErrStale) {
		return tenancy.Errorf(tenancy.ErrNotFound, "there is no such passkey")
	}
	return err
}

// BeginPasskeySignIn begins a sign-in with a passkey. The options are for the browser's navigator.credentials.get, as
// JSON. It returns [ErrTooManyAttempts]: each beginning is a row in the database.
func (s *Service) BeginPasskeySignIn(ctx context.Context, b Browser) (options any, ceremony string, err error) {
	defer func() { s.logRefused(ctx, byPasskey, "", b, err) }()
	leave, err := s.attempt(b)
	if err != nil {
		return nil, "", err
	}
	defer leave()
	assertion, half, err := s.passkeys.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, "", err
	}
	ceremony, err = s.beginCeremony(ctx, signInCeremony, half)
	return assertion.Response, ceremony, err
}

// SignInByPasskey finishes what [Service.BeginPasskeySignIn] began, with the browser's answer, and returns the secret
// of a new session. It returns [ErrCeremony], [ErrUnknownPasskey] or [ErrNoRights].
func (s *Service) SignInByPasskey(ctx context.Context, ceremony string, answer io.Reader, b Browser) (session string,
	err error) {
	var a tenancy.Account
	defer func() { s.logRefused(ctx, byPasskey, a.Name, b, err) }()
	var half webauthn.SessionData
	if err := s.takeCeremony(ctx, ceremony, signInCeremony, &half); err != nil {
		return "", err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBody(answer)
	if err != nil {
		return "", passkeyError(err)
	}
	var failed error // of the database: the library reports it as an unknown passkey
	_, credential, err := s.passkeys.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		var user passkeyUser
		if a, failed = s.store.Account(ctx, string(handle)); failed == nil {
			user, failed = s.withPasskeys(ctx, a)
		}
		return user, failed
	}, half, parsed)
	switch {
	case failed != nil:
		return "", passkeyError(failed)
	case err != nil:
		return "", passkeyError(err)
	}
	data, err := json.Marshal(credential)
	if err != nil {
		return "", err
	}
	err = s.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.UsePasskey(ctx, base64.RawURLEncoding.EncodeToString(credential.ID), string(data), s.now())
	})
	if err != nil {
		return "", err
	}
	return s.begin(ctx, a, byPasskey, b)
}

// passkeyError returns [ErrUnknownPasskey] for errors that an invalid answer of a browser causes.
func passkeyError(err error) error {
	var p *protocol.Error
	if errors.As(err, &p) || errors.Is(err, tenancy.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrUnknownPasskey, err)
	}
	return err
}
