package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/perennial-pki/perennial/client"
)

// receiver shows the page of a link for a receiver's administrator.
func (c *console) receiver(v *view) error { return c.showLink(v, "") }

func (c *console) showLink(v *view, message string) error {
	secret := v.r.PathValue("secret")
	l, err := get[client.Linked](c, v, "/links/"+escape(secret))
	if isGone(err) {
		return c.show(v, http.StatusNotFound, v.T("This link is not valid"), linkGone(v))
	} else if err != nil {
		return err
	}
	page := linked{Tenant: l.Tenant, TenantName: l.TenantName, Endpoint: l.Endpoint, Certificate: l.Certificate,
		State: l.State, RenewsAt: l.RenewsAt, OldUntil: l.OldUntil, Exposed: l.Exposed, Revoked: l.Revoked,
		Renewal: l.Renewal, Contact: l.Contact, Path: "/rollover/" + escape(secret), Message: message}
	if l.State == "done" || l.State == "quiet" {
		title := v.T("Nothing to do, thank you")
		if len(l.Revoked) > 0 {
			title = v.T("Remove the revoked certificates")
		}
		return c.show(v, http.StatusOK, title, receiverSettled(v, title, page))
	}
	return c.show(v, http.StatusOK, v.T("New certificate of %s", l.Tenant), receiverPage(v, page))
}

func isGone(err error) bool {
	var r *refusal
	return errors.As(err, &r) && (r.Status == http.StatusNotFound || r.Status == http.StatusConflict)
}

// installed reports the certificate as installed and shows the answer of the receiver.
func (c *console) installed(v *view) error {
	path := "/links/" + escape(v.r.PathValue("secret")) + "/installed"
	if generation, err := strconv.Atoi(v.r.PostFormValue("generation")); err == nil {
		path += "?generation=" + strconv.Itoa(generation)
	}
	tested, err := post[client.Tested](c, v, path, nil)
	if r := (*refusal)(nil); errors.As(err, &r) && r.Status == http.StatusConflict {
		return c.showLink(v, r.Detail)
	}
	if isGone(err) {
		return c.show(v, http.StatusNotFound, v.T("This link is not valid"), linkGone(v))
	} else if err != nil {
		return err
	}
	switch {
	case tested.Result == "accepted":
		return c.showLink(v, v.T("Thank you. It works: the receiver accepted the new certificate (%s).", tested.Answer))
	case tested.Result == "refused":
		return c.showLink(v, v.T("You reported the certificate as installed, but the receiver still answers %s. Please "+
			"check the installation and test again.", tested.Answer))
	case tested.Result == "":
		return c.showLink(v, v.T("Thank you. The receiver could not be tested at the moment. The next messages will "+
			"show whether it works."))
	}
	return c.showLink(v, v.T("Thank you. The receiver gave no clear answer (%s). The next messages will show "+
		"whether it works.",
		tested.Answer))
}

// testLink tests the receiver and shows its answer, without a report of its administrator.
func (c *console) testLink(v *view) error {
	tested, err := post[client.Tested](c, v, "/links/"+escape(v.r.PathValue("secret"))+"/test", nil)
	if isGone(err) {
		return c.show(v, http.StatusNotFound, v.T("This link is not valid"), linkGone(v))
	} else if err != nil {
		return err
	}
	switch {
	case tested.Result == "accepted":
		return c.showLink(v, v.T("Your system accepts the new certificate (%s). There is nothing to do. Thank you.",
			tested.Answer))
	case tested.Result == "refused":
		return c.showLink(v, v.T("Your system refuses the new certificate (%s). Please install it as described below.",
			tested.Answer))
	case tested.Result == "":
		return c.showLink(v, v.T("Your system could not be tested at the moment. Please try again later."))
	case tested.HandshakeOnly:
		return c.showLink(v, v.T("Your system does not refuse the new certificate at the beginning of a connection. Whether "+
			"it accepts messages is shown by the next one."))
	}
	return c.showLink(v, v.T("Your system gave no clear answer (%s). Please check whether it knows the new certificate.",
		tested.Answer))
}
