package web

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// once holds a secret that is shown once, on the page to which its creation leads. Until then it is in a cookie of the
// browser that created it, so that reloading the page creates nothing.
type once struct {
	Page string `json:"page"`
	Kind string `json:"kind"` // such as "link"
	Text string `json:"text"`
	// About names what the secret is for; empty if the page does.
	About string `json:"about,omitempty"`
}

// The kinds of secrets.
const (
	onceLink       = "link"
	onceWatchLink  = "watch-link"
	onceFeed       = "feed"
	onceToken      = "token"
	onceCalendar   = "calendar"
	onceInvitation = "invitation"
	onceParty      = "counterparty"
	onceWebhook    = "webhook"
	oncePartyFeed  = "counterparty-feed"
)

// onceAge is the time in which the browser must have asked for the page.
const onceAge = time.Minute

// showOnce redirects the reader to a page, which shows a new secret.
func (c *console) showOnce(v *view, s once) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	c.setCookie(v.w, onceCookie, base64.RawURLEncoding.EncodeToString(data), onceAge)
	http.Redirect(v.w, v.r, s.Page, http.StatusSeeOther)
	return nil
}

// takeOnce takes the secret for a page out of the browser. Refreshes of another tab leave it.
func (c *console) takeOnce(w http.ResponseWriter, r *http.Request) (s once) {
	sent, err := c.cookie(r, onceCookie)
	if err != nil || r.Method != http.MethodGet || isRefresh(r) {
		return once{}
	}
	data, err := base64.RawURLEncoding.DecodeString(sent.Value)
	if err != nil || json.Unmarshal(data, &s) != nil || s.Page != r.URL.EscapedPath() {
		return once{}
	}
	c.setCookie(w, onceCookie, "", -time.Second)
	return s
}

// secret returns the new secret of a kind that the page shows; "" for none.
func (v *view) secret(kind string) string {
	if v.shown.Kind != kind {
		return ""
	}
	return v.shown.Text
}

// isRefresh reports whether a request is for a live part of a page.
func isRefresh(r *http.Request) bool {
	return r.Header.Get("HX-Request") != "" && r.Header.Get("HX-Boosted") == ""
}

func (v *view) isRefresh() bool { return isRefresh(v.r) }
