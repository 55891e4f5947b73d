package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/perennial-pki/perennial/client"
)

// personInputs returns the fields of the form for a new key user.
func (v *view) personInputs() []input {
	return []input{
		{name: "name", label: v.T("Name"), required: true, attributes: plain,
			hint: v.T("Lowercase letters and digits, for example alice")},
		{name: "email", label: v.T("E-mail"), kind: "email", required: true},
		{name: "display_name", label: v.T("Full name")},
		v.languageInput(""), v.zoneInput(""),
		{name: "invite", label: v.T("Create a token with which the person can create an account"), kind: "check",
			stored: "yes"},
	}
}

func (v *view) languageInput(stored string) input {
	return input{name: "language", label: v.T("Language of mails"), kind: "select", stored: stored,
		options: []option{{"", v.T("As in the account")}, {"en", "English"}, {"de", "Deutsch"}}}
}

func (v *view) zoneInput(stored string) input {
	return input{name: "zone", label: v.T("Time zone of mails"), attributes: plain, stored: stored,
		hint: v.T("For example Europe/Berlin. Empty: as in the account, or UTC")}
}

// person is the page on which a key user is changed.
func (c *console) person(v *view) error {
	name, user := v.r.PathValue("tenant"), v.r.PathValue("user")
	u, etag, err := client.GetVersion[client.KeyUser](v.caller(), c.api, in(name, "key-users", user))
	if err != nil {
		return refused(err)
	}
	return c.show(v, http.StatusOK, v.T("Key user %s", u.Name), personPage(v, u, etag, []input{
		{name: "email", label: v.T("E-mail"), kind: "email", required: true, stored: u.Email},
		{name: "display_name", label: v.T("Full name"), stored: u.DisplayName},
		v.languageInput(u.Language), v.zoneInput(u.Zone),
	}))
}

func (c *console) savePerson(v *view) error {
	name, user := v.r.PathValue("tenant"), v.r.PathValue("user")
	displayName, language, zone := v.r.PostFormValue("display_name"), v.r.PostFormValue("language"),
		v.r.PostFormValue("zone")
	change := client.KeyUserChange{Email: v.r.PostFormValue("email"), DisplayName: &displayName, Language: &language,
		Zone: &zone}
	if _, err := c.do(v, client.Request{Method: http.MethodPut, Path: in(name, "key-users", user), Body: change,
		IfMatch: v.r.PostFormValue("etag")}); err != nil {
		return err
	}
	return c.done(v, in(name, "people"), v.T("Saved."))
}

// contactInputs returns the field for the IT contacts.
func (v *view) contactInputs(stored string) []input {
	return []input{{name: "contacts", label: v.T("IT contacts, one per line"), kind: "textarea", rows: 4, stored: stored,
		hint: v.T("For example Ina Ivers <ina@example.com>. The language and the time zone of mails may follow: " +
			"de Europe/Berlin"), attributes: plain}}
}

func (c *console) invitePerson(v *view) error { return c.showInvitation(v, v.r.PathValue("user")) }

// invited holds what a person needs to create an account.
type invited struct {
	Token string
	URL   string
	Email string
	Until time.Time
}

// showInvitation creates the token of a key user, and leads to the page of people, which shows it once.
func (c *console) showInvitation(v *view, user string) error {
	name := v.r.PathValue("tenant")
	u, err := get[client.KeyUser](c, v, in(name, "key-users", user))
	if err != nil {
		return err
	}
	made, err := post[client.Invitation](c, v, in(name, "key-users", user, "invitations"), nil)
	if err != nil {
		return err
	}
	data, err := json.Marshal(invited{made.Token, c.baseURL + "/welcome", u.Email, made.ExpiresAt})
	if err != nil {
		return err
	}
	return c.showOnce(v, once{Page: in(name, "people"), Kind: onceInvitation, Text: string(data), About: user})
}

// invited returns the invitation that was just created.
func (v *view) invited() (i invited, ok bool) {
	text := v.secret(onceInvitation)
	return i, text != "" && json.Unmarshal([]byte(text), &i) == nil
}

// inviteMail returns the address with which a mail program writes a mail with an invitation.
func (v *view) inviteMail(user string, i invited) templ.SafeURL {
	body := v.T("Hello %s,\n\nyou look after the certificates of %s. To create your account, open %s, enter this token "+
		"and choose a name and a password:\n\n%s\n\nThe token is valid until %s. Do not pass it on.\n", user, v.tenantName(),
		i.URL, i.Token, v.Day(i.Until))
	return templ.SafeURL("mailto:" + url.PathEscape(i.Email) + "?subject=" +
		mailEscape(v.T("Your account at Perennial")) + "&body=" + mailEscape(body))
}

// mailEscape escapes a text for the address of a mail (RFC 6068), in which a plus sign is not a space.
func mailEscape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
