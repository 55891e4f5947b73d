package web

import (
	"net/http"

	"github.com/perennial-pki/perennial/client"
)

// watchLinked shows the page of a link for the administrator of a system that knows a watched certificate.
func (c *console) watchLinked(v *view) error { return c.showWatchLink(v, "") }

func (c *console) showWatchLink(v *view, message string) error {
	secret := v.r.PathValue("secret")
	l, err := get[client.WatchLinked](c, v, watchLinkAPI(secret))
	if isGone(err) {
		return c.show(v, http.StatusNotFound, v.T("This link is not valid"), linkGone(v))
	} else if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("New certificate: %s", l.Name), watchLinkPage(v, l, "/watched/"+escape(secret),
		message))
}

// watchLinkAPI returns the path of a link in the API.
func watchLinkAPI(secret string) string { return "/links/" + escape(secret) + "/watched" }

func (c *console) watchLinkFile(v *view) error {
	err := c.pass(v, watchLinkAPI(v.r.PathValue("secret"))+"/download?format="+escape(v.r.PathValue("format")))
	if isGone(err) {
		return c.show(v, http.StatusNotFound, v.T("This link is not valid"), linkGone(v))
	}
	return err
}

func (c *console) watchInstalled(v *view) error {
	_, err := c.do(v, client.Request{Method: http.MethodPost,
		Path: watchLinkAPI(v.r.PathValue("secret")) + "/installed"})
	if isGone(err) {
		return c.show(v, http.StatusNotFound, v.T("This link is not valid"), linkGone(v))
	} else if err != nil {
		return err
	}
	return c.showWatchLink(v, v.T("Thank you. It is recorded as installed."))
}

// watchLink creates a link. The page of the watched certificate shows it once.
func (c *console) watchLink(v *view) error {
	name, watched := v.r.PathValue("tenant"), v.r.PathValue("watched")
	made, err := post[client.WatchLink](c, v, in(name, "watched", watched, "links"),
		client.WatchLink{System: v.r.PostFormValue("system")})
	if err != nil {
		return err
	}
	return c.showOnce(v, once{Page: in(name, "watched", watched), Kind: onceWatchLink, Text: made.URL, About: made.System})
}

func (c *console) revokeWatchLink(v *view) error {
	name, watched := v.r.PathValue("tenant"), v.r.PathValue("watched")
	if _, err := c.do(v, client.Request{Method: http.MethodDelete,
		Path: in(name, "watched", watched, "links", v.r.PathValue("link"))}); err != nil {
		return err
	}
	return c.done(v, in(name, "watched", watched), v.T("The link has been revoked."))
}

// watchGenuine describes how the administrator of a system verifies the certificate of a link.
func (v *view) watchGenuine(l client.WatchLinked) []string {
	all := []string{v.T("The sender of the link may be lying, and this page cannot prove otherwise. A familiar issuer " +
		"proves nothing either, because the same CA issues the certificates of other companies.")}
	if r := renewalOf(l.Change); r != nil {
		all = append(all, v.T("In your own system, look up the certificate that it accepts now. Its subject must be %s, and "+
			"its issuer must be %s. If one of them differs, do not install the new certificate.", r.Old.Subject,
			r.Old.Issuer), v.confirmed(r))
	}
	return append(all,
		v.T("Then compare the SHA-256 fingerprint above with the one that your contact at %s reads to you, for example by "+
			"phone. Use a contact that you already knew, not one from this page or from the mail with the link.", l.Tenant),
		v.T("This page never asks for a password or a private key. It shows only public information, so you may pass it on."))
}
