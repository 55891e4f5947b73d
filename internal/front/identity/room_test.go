package identity_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAnAccountHasABoundedNumberOfPasskeysAndSessions(t *testing.T) {
	f := open(t)
	session := f.welcome("alice", tenancy.RoleKeyUser)
	_, a := f.account(session)
	f.write(func(tx *store.Tx) error {
		for i := range 49 {
			p := tenancy.Passkey{ID: fmt.Sprint(i), AccountID: a.ID, Name: "n", Credential: "{}", CreatedAt: f.now}
			if err := tx.CreatePasskey(t.Context(), p); err != nil {
				return err
			}
		}
		for range 99 {
			s := tenancy.Session{ID: store.NewID(), AccountID: a.ID, CreatedAt: f.now, SeenAt: f.now,
				ExpiresAt: f.now.AddDate(0, 0, 1)}
			if err := tx.CreateSession(t.Context(), s, s.ID); err != nil {
				return err
			}
		}
		return nil
	})
	_, _, err := f.BeginPasskey(t.Context(), a)
	check(t, err)
	f.write(func(tx *store.Tx) error {
		return tx.CreatePasskey(t.Context(), tenancy.Passkey{ID: "last", AccountID: a.ID, Name: "n", Credential: "{}",
			CreatedAt: f.now})
	})
	if _, _, err := f.BeginPasskey(t.Context(), a); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("51 passkeys: %v", err)
	}
	if f.ended(session) {
		t.Error("the first of 100 sessions has ended")
	}
	latest, err := f.SignIn(t.Context(), "alice", secret, here)
	check(t, err)
	if !f.ended(session) || f.ended(latest) {
		t.Error("the oldest of 101 sessions is still valid, or the latest has ended")
	}
}
