package web

import (
	"net/http"
	"strings"

	"github.com/perennial-pki/perennial/tenancy"
)

// own holds the content of an account's page.
type own struct {
	sessions []tenancy.Session
	passkeys []tenancy.Passkey
	calendar string // its address, if it was just created
}

func (c *console) account(v *view) error { return c.showAccount(v, "") }

func (c *console) showAccount(v *view, calendar string) (err error) {
	o := own{calendar: calendar}
	if o.sessions, err = c.identity.Sessions(v.ctx(), v.account); err != nil {
		return err
	}
	if o.passkeys, err = c.identity.Passkeys(v.ctx(), v.account); err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Your account"), accountPage(v, o, c.identity.HasPasskeys()))
}

func (c *console) endSession(v *view) error {
	if err := c.identity.EndSession(v.ctx(), v.account, v.r.PathValue("session")); err != nil {
		return err
	}
	return c.done(v, "/account", v.T("The session has been ended."))
}

func (c *console) setPreferences(v *view) error {
	a := v.account
	a.Zone, a.Language = strings.TrimSpace(v.r.PostFormValue("zone")), v.r.PostFormValue("language")
	if err := c.identity.SetPreferences(v.ctx(), a); err != nil {
		return v.explained(err)
	}
	v.setLanguage(a)
	return c.done(v, "/account", v.T("Saved."))
}

func (c *console) setPassword(v *view) error {
	if err := c.identity.ChangePassword(v.ctx(), v.account, v.session, v.r.PostFormValue("old"),
		v.r.PostFormValue("new"), c.browser(v.r)); err != nil {
		return v.explained(err)
	}
	return c.done(v, "/account", v.T("The password has been changed. Other browsers must sign in again."))
}

// makeCalendar creates the secret address of the account's calendar and shows it once.
func (c *console) makeCalendar(v *view) error {
	secret, err := c.identity.CreateCalendar(v.ctx(), v.account)
	if err != nil {
		return err
	}
	v.account.HasCalendar = true
	return c.showAccount(v, c.baseURL+"/calendar/"+secret+".ics")
}

func (c *console) revokeCalendar(v *view) error {
	if err := c.identity.RevokeCalendar(v.ctx(), v.account); err != nil {
		return err
	}
	return c.done(v, "/account", v.T("The calendar address has been revoked. Subscriptions no longer get any dates."))
}

// accounts lists all accounts, for operators.
func (c *console) accounts(v *view) error {
	all, err := c.identity.Accounts(v.ctx(), v.r.URL.Query().Get("from"), mostRows+1)
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
	deleted, err := c.identity.DeleteAccount(v.ctx(), v.account, v.r.PathValue("account"))
	if err != nil {
		return v.explained(err)
	}
	return c.done(v, "/accounts", v.T("%s can no longer sign in and has been signed out everywhere.", deleted.Name))
}
