package identity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/tenancy"
)

// A stranger who keeps the service busy must not lock a person out who types the right password.
func TestAnAttemptThatABusyServiceRefusesIsNotCounted(t *testing.T) {
	f := open(t)
	f.welcome("alice", tenancy.RoleKeyUser)
	var busy, right atomic.Int32
	var all sync.WaitGroup
	for i := range 80 {
		all.Go(func() {
			_, err := f.SignIn(t.Context(), "alice", secret, identity.Browser{Address: fmt.Sprintf("192.0.2.%d", i)})
			switch {
			case errors.Is(err, password.ErrBusy):
				busy.Add(1)
			case err == nil:
				right.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	var failures int
	check(t, f.store.DB().QueryRowContext(t.Context(),
		"SELECT COALESCE(SUM(failures), 0) FROM sign_in_failures").Scan(&failures))
	if busy.Load() == 0 || right.Load() == 0 || failures != 0 {
		t.Errorf("%d busy, %d signed in, %d failures are counted", busy.Load(), right.Load(), failures)
	}
}

func TestAnAttemptWhoseBrowserGoesAwayIsNotCounted(t *testing.T) {
	f := open(t)
	f.welcome("alice", tenancy.RoleKeyUser)
	ctx, leave := context.WithCancel(t.Context())
	f.store.BeforeStatements(func(query string) error {
		if strings.Contains(query, "FROM accounts") { // after the attempt was counted
			leave()
		}
		return nil
	})
	_, err := f.SignIn(ctx, "alice", secret, identity.Browser{Address: "192.0.2.1"})
	f.store.BeforeStatements(nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	var failures int
	check(t, f.store.DB().QueryRowContext(t.Context(),
		"SELECT COALESCE(SUM(failures), 0) FROM sign_in_failures").Scan(&failures))
	if failures != 0 {
		t.Errorf("%d failures are counted", failures)
	}
}
