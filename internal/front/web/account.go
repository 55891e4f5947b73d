package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/a-h/templ"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/tenancy"
)

// own holds the content of an account's page.
type own struct {
	sessions []tenancy.Session
	passkeys []tenancy.Passkey
}

func (c *console) account(v *view) (err error) {
	var o own
	if o.sessions, err = c.identity.Sessions(v.ctx(), v.account); err != nil {
		return err
	}
	if o.passkeys, err = c.identity.Passkeys(v.ctx(), v.account); err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Your account"), accountPage(v, o, c.identity.HasPasskeys()))
}

// preferenceInputs returns the fields of the form for the language and the time zone.
func (v *view) preferenceInputs() []input {
	return []input{
		{name: "language", label: v.T("Language"), kind: "select", stored: v.account.Language,
			options: []option{{"", v.T("Same as the browser")}, {"en", "English"}, {"de", "Deutsch"}}},
		{name: "zone", label: v.T("Time zone"), stored: v.account.Zone,
			hint:       v.T("For example Europe/Berlin. Leave empty for UTC."),
			attributes: templ.Attributes{"list": "zones", "spellcheck": "false"}},
	}
}

// passwordInputs returns the fields of the form for another password.
func (v *view) passwordInputs() []input {
	return []input{
		{name: "old", label: v.T("Old password"), kind: "password", required: true,
			attributes: templ.Attributes{"autocomplete": "current-password"}},
		{name: "new", label: v.T("New password"), kind: "password", required: true,
			hint:       v.T("At least 12 characters. A sentence works well."),
			attributes: templ.Attributes{"autocomplete": "new-password", "minlength": "12"}},
	}
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
	err := c.identity.ChangePassword(v.ctx(), v.account, v.session, v.r.PostFormValue("old"), v.r.PostFormValue("new"),
		c.browser(v.r))
	field := "new"
	if errors.Is(err, identity.ErrOldPassword) {
		field = "old"
	}
	if r := v.explain(err); r != nil && r.Status == http.StatusUnprocessableEntity {
		return invalid(field, r.Detail)
	} else if err != nil {
		return v.explained(err)
	}
	return c.done(v, "/account", v.T("The password has been changed. Other browsers must sign in again."))
}

// makeCalendar creates the secret address of the account's calendar. The page of the account shows it once.
func (c *console) makeCalendar(v *view) error {
	secret, err := c.identity.CreateCalendar(v.ctx(), v.account)
	if err != nil {
		return err
	}
	return c.showOnce(v, once{Page: "/account", Kind: onceCalendar, Text: c.baseURL + "/calendar/" + secret + ".ics"})
}

func (c *console) revokeCalendar(v *view) error {
	if err := c.identity.RevokeCalendar(v.ctx(), v.account); err != nil {
		return err
	}
	return c.done(v, "/account", v.T("The calendar address has been revoked. Subscriptions no longer get any dates."))
}

// accounts lists all accounts, for operators.
func (c *console) accounts(v *view) error {
	list, err := paged[client.Account](c, v, v.listPath("/accounts"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Accounts"), accountsPage(v, list))
}

func (c *console) deleteAccount(v *view) error {
	deleted, err := c.identity.DeleteAccount(v.ctx(), v.account, v.r.PathValue("account"))
	if err != nil {
		return v.explained(err)
	}
	return c.done(v, "/accounts", v.T("%s can no longer sign in and has been signed out everywhere.", deleted.Name))
}
