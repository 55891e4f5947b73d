package web

import (
	"encoding/base64"
	"errors"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/front/identity"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/tenancy"
)

// The cookies of the console, without the prefix.
const (
	sessionCookie  = "perennial"
	ceremonyCookie = "ceremony"
	flashCookie    = "flash"
	onceCookie     = "once"
	keptCookie     = "kept"
)

// cookieName returns the name of a cookie. With the prefix, browsers accept it over https only, and from this host only
// (RFC 6265bis, section 4.1.3.2).
func (c *console) cookieName(name string) string {
	if c.secure {
		return "__Host-" + name
	}
	return name
}

func (c *console) cookie(r *http.Request, name string) (*http.Cookie, error) {
	return r.Cookie(c.cookieName(name))
}

func (c *console) setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: c.cookieName(name), Value: value, Path: "/",
		MaxAge: int(age.Seconds()), Secure: c.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// signedIn finds the session of a request; [tenancy.ErrNotFound] if there is no valid one.
func (c *console) signedIn(r *http.Request) (tenancy.Session, tenancy.Account, error) {
	sent, err := c.cookie(r, sessionCookie)
	if err != nil {
		return tenancy.Session{}, tenancy.Account{}, tenancy.Errorf(tenancy.ErrNotFound, "the request has no session")
	}
	return c.identity.Session(r.Context(), sent.Value)
}

// begin keeps the secret of a new session in the browser. It ends the session that the browser had.
func (c *console) begin(v *view, secret string) {
	if v.session.ID != "" {
		if err := c.identity.EndSession(v.ctx(), v.account, v.session.ID); err != nil {
			c.logger.ErrorContext(v.ctx(), "a replaced session was not ended", "error", err)
		}
	}
	c.setCookie(v.w, sessionCookie, secret, identity.LongestSession)
}

// browser describes where a request comes from.
func (c *console) browser(r *http.Request) identity.Browser {
	return identity.Browser{Address: c.addressOf(r), Agent: r.UserAgent()}
}

// addressOf returns the address that a request comes from. Behind a proxy that is the last entry of X-Forwarded-For,
// which the proxy itself has written.
func (c *console) addressOf(r *http.Request) string {
	if c.behindProxy {
		all := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		if ip, err := netip.ParseAddr(strings.TrimSpace(all[len(all)-1])); err == nil {
			return ip.String()
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// explain returns a refusal for an error of [identity] on which the reader can act. It returns nil for others.
func (v *view) explain(err error) *refusal {
	var locked *identity.LockedError
	var refused *identity.ProviderRefusedError
	var none *identity.NoRightsError
	var weak *identity.WeakSignInError
	switch {
	case errors.Is(err, identity.ErrTooManyAttempts):
		v.retryAt(v.now.Truncate(time.Minute).Add(time.Minute))
		return &refusal{http.StatusTooManyRequests, v.T("Too many attempts from your address. Wait a minute.")}
	case errors.Is(err, password.ErrBusy):
		v.w.Header().Set("Retry-After", "5")
		return &refusal{http.StatusServiceUnavailable, v.T("Too many people are signing in at this moment. Try again in " +
			"a few seconds.")}
	case errors.As(err, &locked):
		v.retryAt(locked.Until)
		shown := locked.Until.Add(time.Minute - 1).Truncate(time.Minute) // a time has no seconds
		return &refusal{http.StatusTooManyRequests, v.T("Too many wrong passwords. Try again after %s, or sign in with a "+
			"passkey.", v.When(shown))}
	case errors.Is(err, identity.ErrWrongPassword):
		return &refusal{http.StatusUnauthorized, v.T("Wrong name or password.")}
	case errors.Is(err, identity.ErrSecondFactor):
		return &refusal{http.StatusForbidden, v.T("A password alone does not suffice for your account. Sign in with a " +
			"passkey or with your company account. If you have neither, ask an operator for a new token.")}
	case errors.Is(err, identity.ErrOldPassword):
		return &refusal{http.StatusUnprocessableEntity, v.T("The old password is wrong.")}
	case errors.Is(err, identity.ErrToken):
		return &refusal{http.StatusUnprocessableEntity, v.T("This token is unknown or no longer valid. Ask the " +
			"person who gave it to you for a new one.")}
	case errors.Is(err, identity.ErrNameTaken):
		return &refusal{http.StatusUnprocessableEntity, v.T("This name is taken, or an account was already created " +
			"with this token. If that account is yours, sign in with it.")}
	case errors.Is(err, identity.ErrCeremony):
		return &refusal{http.StatusConflict, v.T("This took too long, or it was started in another browser. Please try " +
			"again.")}
	case errors.Is(err, identity.ErrProviderState):
		return &refusal{http.StatusForbidden, v.T("This took too long, or it was started in another browser. Please try " +
			"again.")}
	case errors.Is(err, identity.ErrUnknownPasskey):
		return &refusal{http.StatusUnauthorized, v.T("This passkey is not registered here.")}
	case errors.Is(err, identity.ErrProviderDown):
		return &refusal{http.StatusServiceUnavailable, v.T("The company's sign-in service does not answer at the " +
			"moment. Please try again.")}
	case errors.Is(err, identity.ErrProviderAnswer):
		return &refusal{http.StatusForbidden, v.T("The company's sign-in service sent an invalid answer. Please try " +
			"again.")}
	case errors.As(err, &refused):
		return &refusal{http.StatusForbidden, v.T("The company's sign-in service refused the sign-in: %s.", refused.Code)}
	case errors.As(err, &weak):
		return &refusal{http.StatusForbidden, v.T("You are signed in with your company account, but this service requires "+
			"a stronger sign-in there, such as a second factor. Required: %s = %s.", weak.Claim,
			strings.Join(weak.Wanted, ", "))}
	case errors.As(err, &none):
		return &refusal{http.StatusForbidden, v.T("You are signed in with your company account, but have no rights here: %s.",
			none.Reason)}
	case errors.Is(err, identity.ErrNoRights):
		return &refusal{http.StatusUnauthorized, v.T("Your account has no rights at the moment. Sign in with your company " +
			"account.")}
	case errors.Is(err, identity.ErrOwnAccount):
		return &refusal{http.StatusConflict, v.T("You are signed in with this account. Another operator can delete " +
			"it.")}
	case errors.Is(err, password.ErrGuessable):
		return &refusal{http.StatusUnprocessableEntity, v.T("This password is easy to guess: it mainly consists of common " +
			"words, names or patterns. Use a sentence that only you know.")}
	case errors.Is(err, password.ErrBreached):
		return &refusal{http.StatusUnprocessableEntity, v.T("This password is in a list of passwords that were stolen from " +
			"other services. Use another one, and change it where you use it.")}
	case errors.Is(err, password.ErrShort):
		return &refusal{http.StatusUnprocessableEntity, v.T("The password must have at least 12 characters. A sentence " +
			"works well.")}
	case errors.Is(err, password.ErrLong):
		return &refusal{http.StatusUnprocessableEntity, v.T("The password is longer than 1024 bytes.")}
	case errors.Is(err, tenancy.ErrInvalid):
		return &refusal{http.StatusUnprocessableEntity, err.Error()}
	case errors.Is(err, tenancy.ErrNotFound):
		return &refusal{http.StatusNotFound, ""}
	}
	return nil
}

// retryAt sets the time at which a program may repeat a refused attempt (RFC 9110, section 10.2.3).
func (v *view) retryAt(at time.Time) {
	seconds := max(1, int(math.Ceil(at.Sub(v.now).Seconds())))
	v.w.Header().Set("Retry-After", strconv.Itoa(seconds))
}

// explained returns the refusal that explains an error, or else the error.
func (v *view) explained(err error) error {
	var rule *tenancy.RuleError
	if errors.Is(err, tenancy.ErrInvalid) && errors.As(err, &rule) && rule.Field != "" {
		return invalid(rule.Field, words.Say(v.caller(), rule.Text))
	}
	if r := v.explain(err); r != nil {
		return r
	}
	return err
}

func (c *console) signInPage(v *view) error { return c.showSignIn(v, http.StatusOK, "") }

func (c *console) showSignIn(v *view, status int, problem string) error {
	return c.show(v, status, v.T("Sign in"), signInForm(v, problem, c.otherWays()))
}

// askAgain sends a reader who signed in too long ago to the sign-in page, and from there back to the account. Scripts
// get the address of the page.
func (c *console) askAgain(v *view) error {
	const page = "/sign-in?again=1&to=/account"
	c.setFlash(v.w, v.T("Sign in again to change how you sign in or to end other sessions. Then repeat the last step."))
	if v.r.Header.Get("Accept") == "application/json" {
		return v.json(map[string]string{"to": page})
	}
	http.Redirect(v.w, v.r, page, http.StatusSeeOther)
	return nil
}

// otherWays lists the ways to sign in besides a password.
type otherWays struct {
	passkey bool
	company string // the provider's name
}

func (c *console) otherWays() otherWays {
	return otherWays{passkey: c.identity.HasPasskeys(), company: c.identity.Company()}
}

// local returns the page to show after signing in, which is always a page of the console.
func local(to string) string {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return to
}

func (c *console) signIn(v *view) error {
	secret, err := c.identity.SignIn(v.ctx(), strings.TrimSpace(v.r.PostFormValue("name")), v.r.PostFormValue("password"),
		c.browser(v.r))
	if r := v.explain(err); r != nil {
		return c.showSignIn(v, r.Status, r.Detail)
	} else if err != nil {
		return err
	}
	c.begin(v, secret)
	http.Redirect(v.w, v.r, local(v.r.PostFormValue("to")), http.StatusSeeOther)
	return nil
}

func (c *console) welcomePage(v *view) error {
	return c.show(v, http.StatusOK, v.T("Welcome"), welcomeForm(v, ""))
}

// welcome creates the account of an operator or a key user who has a token.
func (c *console) welcome(v *view) error {
	f := v.r.PostFormValue
	secret, err := c.identity.Welcome(v.ctx(), strings.TrimSpace(f("token")), strings.TrimSpace(f("name")), f("password"),
		c.browser(v.r))
	if r := v.explain(err); r != nil {
		return c.show(v, http.StatusUnprocessableEntity, v.T("Welcome"), welcomeForm(v, r.Detail))
	} else if err != nil {
		return err
	}
	c.begin(v, secret)
	http.Redirect(v.w, v.r, "/", http.StatusSeeOther)
	return nil
}

func (c *console) signOut(v *view) error {
	if err := c.identity.EndSession(v.ctx(), v.account, v.session.ID); err != nil {
		return err
	}
	for _, name := range []string{sessionCookie, onceCookie, keptCookie} {
		c.setCookie(v.w, name, "", -time.Second)
	}
	http.Redirect(v.w, v.r, "/sign-in", http.StatusSeeOther)
	return nil
}

// companySignIn sends the browser to the provider of the company's accounts.
func (c *console) companySignIn(v *view) error {
	begin := c.identity.BeginCompanySignIn
	if v.r.URL.Query().Get("again") != "" {
		begin = c.identity.BeginCompanySignInAgain
	}
	address, ceremony, err := begin(v.ctx(), local(v.r.URL.Query().Get("to")), c.browser(v.r))
	if err != nil {
		return v.explained(err)
	}
	c.keepCeremony(v, ceremony)
	http.Redirect(v.w, v.r, address, http.StatusSeeOther)
	return nil
}

// companyBack is the page to which the provider sends the browser back.
func (c *console) companyBack(v *view) error {
	secret, to, err := c.identity.FinishCompanySignIn(v.ctx(), c.takeCeremony(v), v.r.URL.Query(), c.browser(v.r))
	switch r := v.explain(err); {
	case r != nil && r.Status == http.StatusForbidden:
		return c.showSignIn(v, r.Status, r.Detail)
	case err != nil:
		return v.explained(err)
	}
	c.begin(v, secret)
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

// ceremonyAge is the age of the cookie with a ceremony's secret. The ceremony itself ends earlier, or at the same time.
const ceremonyAge = 10 * time.Minute

// keepCeremony keeps the secret of a ceremony in the browser.
func (c *console) keepCeremony(v *view, secret string) {
	c.setCookie(v.w, ceremonyCookie, secret, ceremonyAge)
}

// takeCeremony takes the secret of a ceremony out of the browser; "" if it has none.
func (c *console) takeCeremony(v *view) string {
	sent, err := c.cookie(v.r, ceremonyCookie)
	if err != nil {
		return ""
	}
	c.setCookie(v.w, ceremonyCookie, "", -time.Second)
	return sent.Value
}

// setFlash keeps a sentence for the next page, in the browser.
func (c *console) setFlash(w http.ResponseWriter, text string) {
	c.setCookie(w, flashCookie, base64.RawURLEncoding.EncodeToString([]byte(text)), time.Minute)
}

func (c *console) takeFlash(w http.ResponseWriter, r *http.Request) string {
	sent, err := c.cookie(r, flashCookie)
	if err != nil || r.Method != http.MethodGet || strings.HasPrefix(r.URL.Path, "/assets/") || isRefresh(r) {
		return ""
	}
	c.setCookie(w, flashCookie, "", -time.Second)
	text, err := base64.RawURLEncoding.DecodeString(sent.Value)
	if err != nil || len(text) > 2000 {
		return ""
	}
	return strings.ToValidUTF8(string(text), "")
}
