package web

import (
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/tenancy"
)

// own is what an account's page shows.
type own struct {
	sessions []tenancy.Session
	passkeys []tenancy.Passkey
	calendar string // its address, where it was just made
}

func (c *console) account(v *view) error { return c.showAccount(v, "") }

func (c *console) showAccount(v *view, calendar string) (err error) {
	o := own{calendar: calendar}
	if o.sessions, err = c.Store.Sessions(v.ctx(), v.account.ID); err != nil {
		return err
	}
	if o.passkeys, err = c.Store.Passkeys(v.ctx(), v.account.ID); err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Your account"), accountPage(v, o, c.passkeys != nil))
}

func (c *console) endSession(v *view) error {
	if err := c.end(v, v.r.PathValue("session")); err != nil {
		return err
	}
	return c.done(v, "/account", v.T("That session has ended."))
}

func (c *console) setPreferences(v *view) error {
	a := v.account
	a.Zone, a.Language = strings.TrimSpace(v.r.PostFormValue("zone")), v.r.PostFormValue("language")
	if err := a.Check(); err != nil {
		return &refusal{http.StatusUnprocessableEntity, err.Error()}
	}
	if err := c.Store.InTx(v.ctx(), func(tx *store.Tx) error { return tx.SetPreferences(v.ctx(), a) }); err != nil {
		return err
	}
	v.speak(a)
	return c.done(v, "/account", v.T("Saved."))
}

// setPassword changes the password of who knows the old one, and ends all other sessions.
func (c *console) setPassword(v *view) error {
	now := c.Now()
	switch {
	case !c.tries.take(c.addressOf(v.r), now), now.Before(v.account.LockedUntil):
		return &refusal{http.StatusTooManyRequests, v.T("Too many wrong passwords: the next try is possible %s.",
			v.When(v.account.LockedUntil))}
	case !password.Matches(v.account.Password, v.r.PostFormValue("old")):
		if err := c.countFailure(v.ctx(), v.account, now); err != nil {
			return err
		}
		return &refusal{http.StatusUnprocessableEntity, v.T("The old password is not this one.")}
	}
	hash, err := password.Hash(v.r.PostFormValue("new"))
	if err != nil {
		return &refusal{http.StatusUnprocessableEntity, err.Error()}
	}
	err = c.change(v, v.account, "account.password-changed", nil, func(tx *store.Tx) error {
		if err := tx.SetPassword(v.ctx(), v.account.ID, hash); err != nil {
			return err
		}
		return tx.EndSessions(v.ctx(), v.account.ID, v.session.ID)
	})
	if err != nil {
		return err
	}
	return c.done(v, "/account", v.T("The password is changed. Other browsers have to sign in again."))
}

// makeCalendar makes the secret address of the account's calendar, in place of an earlier one, and shows it once.
func (c *console) makeCalendar(v *view) error {
	secret := rand.Text()
	err := c.change(v, v.account, "calendar.created", nil, func(tx *store.Tx) error {
		return tx.SetCalendar(v.ctx(), v.account.ID, tenancy.HashSecret(secret))
	})
	if err != nil {
		return err
	}
	v.account.HasCalendar = true
	return c.showAccount(v, c.BaseURL+"/calendar/"+secret+".ics")
}

func (c *console) revokeCalendar(v *view) error {
	err := c.change(v, v.account, "calendar.revoked", nil, func(tx *store.Tx) error {
		return tx.SetCalendar(v.ctx(), v.account.ID, "")
	})
	if err != nil {
		return err
	}
	return c.done(v, "/account", v.T("The calendar's address is revoked: subscriptions get nothing more."))
}

// accounts lists who can sign in, for operators.
func (c *console) accounts(v *view) error {
	if !v.Operator() {
		return &refusal{http.StatusNotFound, ""}
	}
	all, err := c.Store.Accounts(v.ctx(), v.r.URL.Query().Get("from"), mostRows+1)
	if err != nil {
		return err
	}
	next := ""
	if len(all) > mostRows {
		all = all[:mostRows]
		next = all[mostRows-1].Name
	}
	return c.show(v, http.StatusOK, v.T("Accounts"), accountsPage(v, all, next))
}

func (c *console) deleteAccount(v *view) error {
	if !v.Operator() {
		return &refusal{http.StatusNotFound, ""}
	}
	a, err := c.Store.Account(v.ctx(), v.r.PathValue("account"))
	switch {
	case err != nil:
		return &refusal{http.StatusNotFound, ""}
	case a.ID == v.account.ID:
		return &refusal{http.StatusConflict, v.T("This is the account that you are signed in with: another operator can " +
			"delete it.")}
	}
	err = c.change(v, v.account, "account.deleted", map[string]any{"account": a.Name, "role": a.Role},
		func(tx *store.Tx) error {
			return tx.DeleteAccount(v.ctx(), a.ID)
		})
	if err != nil {
		return err
	}
	return c.done(v, "/accounts", v.T("%s cannot sign in any more, and is signed out everywhere.", a.Name))
}
