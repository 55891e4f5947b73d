package web

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/client"
)

// administrators shows whether the service mails the administrators of a tenant's receivers, and what they did.
func (c *console) administrators(v *view) error {
	name := v.r.PathValue("tenant")
	t, etag, err := client.GetVersion[client.Tenant](v.caller(), c.api, in(name))
	if err != nil {
		return refused(err)
	}
	list, err := paged[client.Administrator](c, v, v.listPath(in(name, "administrators")))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Administrators of your receivers"), administratorsPage(v, t, etag, list))
}

// allowMails sets whether the service mails the administrators.
func (c *console) allowMails(v *view) error {
	name := v.r.PathValue("tenant")
	t, err := get[client.Tenant](c, v, in(name))
	if err != nil {
		return err
	}
	allowed := v.r.PostFormValue("allowed") == "yes"
	change := client.TenantChange{DisplayName: t.DisplayName, KeyType: t.KeyType, MailsAdministrators: &allowed}
	if _, err := c.do(v, client.Request{Method: http.MethodPut, Path: in(name), Body: change,
		IfMatch: v.r.PostFormValue("etag")}); err != nil {
		return err
	}
	said := v.T("The administrators of your receivers are no longer mailed.")
	if allowed {
		said = v.T("The administrators of your receivers are mailed from the next event on.")
	}
	return c.done(v, in(name, "administrators"), said)
}

// administratorOf returns the administrator of one receiver.
func (c *console) administratorOf(v *view, tenant, receiver string) (*client.Administrator, error) {
	list, err := get[client.Page[client.Administrator]](c, v, in(tenant, "administrators")+"?receiver="+escape(receiver))
	if err != nil || len(list.Items) == 0 {
		return nil, err
	}
	return &list.Items[0], nil
}

// administratorForm is the page on which the administrator of a receiver is changed.
func (c *console) administratorForm(v *view) error {
	name, receiver := v.r.PathValue("tenant"), v.r.PathValue("receiver")
	r, etag, err := client.GetVersion[client.Receiver](v.caller(), c.api, in(name, "receivers", receiver))
	if err != nil {
		return refused(err)
	}
	inputs := append([]input{
		{name: "contact_name", label: v.T("Administrator"), stored: r.ContactName},
		{name: "contact_email", label: v.T("Administrator's e-mail"), kind: "email", stored: r.ContactEmail,
			attributes: plain},
	}, v.readerInputs("contact_", r.ContactLanguage, r.ContactZone)...)
	title := v.T("Administrator of %s", r.DisplayName)
	return c.show(v, http.StatusOK, title, administratorPage(v, title, receiver, etag, inputs))
}

// readerInputs returns the fields for the language and the time zone of mails. Their names begin with a prefix.
func (v *view) readerInputs(prefix, language, zone string) []input {
	return []input{
		{name: prefix + "language", label: v.T("Language of mails"), kind: "select", stored: language,
			options: []option{{"", v.T("Default")}, {"en", "English"}, {"de", "Deutsch"}}},
		{name: prefix + "zone", label: v.T("Time zone of mails"), attributes: plain, stored: zone,
			hint: v.T("For example Europe/Berlin")},
	}
}

func (c *console) saveAdministrator(v *view) error {
	name, receiver := v.r.PathValue("tenant"), v.r.PathValue("receiver")
	path := in(name, "receivers", receiver)
	r, err := get[client.Receiver](c, v, path)
	if err != nil {
		return err
	}
	f := v.r.PostFormValue
	r.ContactName, r.ContactEmail, r.ContactLanguage, r.ContactZone = f("contact_name"), f("contact_email"),
		f("contact_language"), f("contact_zone")
	if _, err := c.do(v, client.Request{Method: http.MethodPut, Path: path, Body: r, IfMatch: f("etag")}); err != nil {
		return err
	}
	return c.done(v, in(name, "administrators"), v.T("Saved."))
}

func (c *console) resumeAdministrator(v *view) error {
	name, receiver := v.r.PathValue("tenant"), v.r.PathValue("receiver")
	if _, err := c.do(v, client.Request{Method: http.MethodPost,
		Path: in(name, "receivers", receiver, "administrator", "resume")}); err != nil {
		return err
	}
	return c.done(v, in(name, "administrators"), v.T("This address gets mails again."))
}

// stopLink is the page of the link in a mail to an administrator. Opening it changes nothing, because mail scanners
// follow links.
func (c *console) stopLink(v *view) error {
	l, err := get[client.StopLink](c, v, stopAPI(v))
	if isGone(err) {
		return c.show(v, http.StatusNotFound, v.T("This link is not valid"), linkGone(v))
	} else if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Mails about %s", l.About), stopPage(v, l, "/administrator/"+
		escape(v.r.PathValue("secret"))))
}

func stopAPI(v *view) string { return "/links/" + escape(v.r.PathValue("secret")) + "/administrator" }

// stopMails stops the mails. It is also the one-click request of a mail program (RFC 8058), which has no cookies.
func (c *console) stopMails(v *view) error {
	if _, err := c.do(v, client.Request{Method: http.MethodPost, Path: stopAPI(v) + "/stop",
		Body: client.StopMails{Other: v.r.PostFormValue("other")}}); isGone(err) {
		return c.show(v, http.StatusNotFound, v.T("This link is not valid"), linkGone(v))
	} else if err != nil {
		return err
	}
	return c.stopLink(v)
}

// undoStop undoes a stop. That is refused for a second time on a day.
func (c *console) undoStop(v *view) error {
	_, err := c.do(v, client.Request{Method: http.MethodPost, Path: stopAPI(v) + "/resume"})
	if r := (*refusal)(nil); errors.As(err, &r) && r.Status == http.StatusNotFound {
		return c.show(v, http.StatusNotFound, v.T("This link is not valid"), linkGone(v))
	} else if err != nil {
		return err
	}
	return c.stopLink(v)
}

// stopReason states why an administrator gets no mails.
func (v *view) stopReason(code string) string {
	switch code {
	case "passed-on":
		return v.T("another person is responsible")
	case "bounced":
		return v.T("the address does not exist")
	}
	return v.T("they asked for it")
}

// A stepAt is something that happened to an administrator at a time; zero if it never did.
type stepAt struct {
	name string
	at   time.Time
}

// mailSteps lists what an administrator was mailed, and did, in the usual order. What did not happen is left out,
// except that the page was not opened although its link was sent.
func (v *view) mailSteps(a client.Administrator) []stepAt {
	steps := []stepAt{{v.T("Announced"), a.AnnouncedAt}, {v.T("Sent"), a.SentAt}, {v.T("Page opened"), a.OpenedAt},
		{v.T("Tested"), a.TestedAt}, {v.T("Reminded"), a.RemindedAt}, {v.T("Done"), a.DoneAt}}
	return slices.DeleteFunc(steps, func(s stepAt) bool {
		return s.at.IsZero() && (s.name != v.T("Page opened") || a.SentAt.IsZero())
	})
}
