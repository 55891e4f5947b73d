package web

import (
	"encoding/json"
	"net/http"
)

// longestAnswer limits the size of a browser's answer about a credential, in bytes.
const longestAnswer = 64 << 10

func (v *view) json(out any) error {
	v.w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(v.w).Encode(out)
}

func (c *console) beginPasskey(v *view) error {
	options, ceremony, err := c.identity.BeginPasskey(v.ctx(), v.account)
	if err != nil {
		return err
	}
	c.keepCeremony(v, ceremony)
	return v.json(options)
}

func (c *console) addPasskey(v *view) error {
	answer := http.MaxBytesReader(v.w, v.r.Body, longestAnswer)
	if err := c.identity.AddPasskey(v.ctx(), v.account, c.takeCeremony(v), v.Day(c.clock()), answer); err != nil {
		return v.explained(err)
	}
	c.setFlash(v.w, v.T("The passkey has been added. You can now sign in with it."))
	return v.json(map[string]string{"to": "/account"})
}

func (c *console) removePasskey(v *view) error {
	if err := c.identity.RemovePasskey(v.ctx(), v.account, v.r.PathValue("passkey")); err != nil {
		return v.explained(err)
	}
	return c.done(v, "/account", v.T("The passkey has been removed."))
}

func (c *console) askPasskey(v *view) error {
	options, ceremony, err := c.identity.BeginPasskeySignIn(v.ctx(), c.browser(v.r))
	if err != nil {
		return v.explained(err)
	}
	c.keepCeremony(v, ceremony)
	return v.json(options)
}

func (c *console) signInByPasskey(v *view) error {
	answer := http.MaxBytesReader(v.w, v.r.Body, longestAnswer)
	secret, err := c.identity.SignInByPasskey(v.ctx(), c.takeCeremony(v), answer, c.browser(v.r))
	if err != nil {
		return v.explained(err)
	}
	c.begin(v, secret)
	return v.json(map[string]string{"to": local(v.r.URL.Query().Get("to"))})
}
