package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/identity/password"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// A session ends longestSession after it began, or when it was not used for idleSession.
	longestSession = 7 * 24 * time.Hour
	idleSession    = 12 * time.Hour
	// seeEvery is how exactly it is known when a session was used last: finer would make every page a write.
	seeEvery = 5 * time.Minute
	// freeFailures are wrong passwords that cost nothing; each further one doubles the wait, up to longestLock.
	freeFailures = 5
	longestLock  = 15 * time.Minute
	// triesPerMinute bounds what one address may try, whatever the account.
	triesPerMinute = 30
)

// cookie is the name of the session's cookie. With the prefix, browsers take it over https from this very host alone
// (RFC 6265bis, section 4.1.3.2).
func (c *console) cookie() string {
	if c.secure {
		return "__Host-perennial"
	}
	return "perennial"
}

func (c *console) setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(age.Seconds()), Secure: c.secure,
		HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// signedIn finds the session of a request; [tenancy.ErrNotFound] where there is none that is valid.
func (c *console) signedIn(r *http.Request) (tenancy.Session, tenancy.Account, error) {
	none := tenancy.Errorf(tenancy.ErrNotFound, "nobody is signed in")
	sent, err := r.Cookie(c.cookie())
	if err != nil {
		return tenancy.Session{}, tenancy.Account{}, none
	}
	s, a, err := c.Store.SessionByHash(r.Context(), tenancy.HashSecret(sent.Value))
	now := c.Now()
	switch {
	case err != nil:
		return s, a, err
	case !now.Before(s.ExpiresAt), now.Sub(s.SeenAt) > idleSession,
		a.Role == tenancy.RoleKeyUser && a.KeyUser == "": // the key user is gone
		return s, tenancy.Account{}, none
	case now.Sub(s.SeenAt) > seeEvery:
		err = c.Store.InTx(r.Context(), func(tx *store.Tx) error { return tx.SeeSession(r.Context(), s.ID, now) })
	}
	return s, a, err
}

// begin signs an account in: always with a new session, so that nobody can plant one.
func (c *console) begin(v *view, a tenancy.Account, how string) error {
	now := c.Now().UTC().Truncate(time.Microsecond)
	secret := rand.Text()
	agent := v.r.UserAgent()
	if len(agent) > 200 {
		agent = agent[:200]
	}
	s := tenancy.Session{ID: lifecycle.NewID(), AccountID: a.ID, Agent: strings.ToValidUTF8(agent, ""),
		Address: c.addressOf(v.r), CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(longestSession)}
	if how == "oidc" {
		s.ExpiresAt = now.Add(oidcSession)
	}
	err := c.Store.InTx(v.ctx(), func(tx *store.Tx) error {
		if err := tx.ForgetSessions(v.ctx(), now); err != nil {
			return err
		}
		if err := tx.SetFailures(v.ctx(), a.ID, 0, time.Time{}); err != nil {
			return err
		}
		if err := tx.CreateSession(v.ctx(), s, tenancy.HashSecret(secret)); err != nil {
			return err
		}
		return tx.Audit(v.ctx(), tenancy.NewEvent(now, string(a.Role)+" "+a.Name, "account.signed-in", a.Tenant, a.Name,
			map[string]any{"how": how, "address": s.Address}))
	})
	if err == nil {
		c.setCookie(v.w, c.cookie(), secret, longestSession)
	}
	return err
}

// addressOf is where a request comes from. Behind a proxy that is what the proxy, and nobody before it, says: the last
// entry of X-Forwarded-For.
func (c *console) addressOf(r *http.Request) string {
	if c.BehindProxy {
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

func (c *console) signInPage(v *view) error {
	return c.show(v, http.StatusOK, v.T("Sign in"), signInForm(v, "", c.ways()))
}

// ways are those to sign in besides a password.
type ways struct {
	passkey bool
	company string // the provider's name
}

func (c *console) ways() ways {
	w := ways{passkey: c.passkeys != nil}
	if c.provider != nil {
		w.company = c.provider.Name
	}
	return w
}

// local is where to go after signing in: a page of ours, whatever the address says.
func local(to string) string {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return to
}

func (c *console) signIn(v *view) error {
	name, secret := strings.TrimSpace(v.r.PostFormValue("name")), v.r.PostFormValue("password")
	wrong := func(status int, text string) error {
		return c.show(v, status, v.T("Sign in"), signInForm(v, text, c.ways()))
	}
	now := c.Now()
	if !c.tries.take(c.addressOf(v.r), now) {
		return wrong(http.StatusTooManyRequests, v.T("Too many tries from here: wait a minute."))
	}
	a, err := c.Store.AccountByName(v.ctx(), name)
	if errors.Is(err, tenancy.ErrNotFound) || err == nil && a.Password == "" {
		password.Waste(secret) // so that time does not tell which names exist, and have a password
		return wrong(http.StatusUnauthorized, v.T("That name and password do not fit."))
	} else if err != nil {
		return err
	}
	if now.Before(a.LockedUntil) {
		return wrong(http.StatusTooManyRequests, v.T("Too many wrong passwords: the next try is possible %s.",
			v.When(a.LockedUntil)))
	}
	if !password.Matches(a.Password, secret) {
		if err := c.countFailure(v.ctx(), a, now); err != nil {
			return err
		}
		return wrong(http.StatusUnauthorized, v.T("That name and password do not fit."))
	}
	if err := c.begin(v, a, "password"); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, local(v.r.PostFormValue("to")), http.StatusSeeOther)
	return nil
}

func (c *console) countFailure(ctx context.Context, a tenancy.Account, now time.Time) error {
	a.Failures++
	var until time.Time
	if over := a.Failures - freeFailures; over >= 0 {
		until = now.Add(min(time.Second<<min(over, 20), longestLock))
	}
	return c.Store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.SetFailures(ctx, a.ID, a.Failures, until); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, "sign-in", "account.wrong-password", a.Tenant, a.Name,
			map[string]any{"failures": a.Failures}))
	})
}

// tries counts what each address tried in the current minute.
type tries struct {
	mu     sync.Mutex
	minute int64
	counts map[string]int
}

func (t *tries) take(address string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if minute := now.Unix() / 60; minute != t.minute || t.counts == nil {
		t.minute, t.counts = minute, map[string]int{}
	}
	t.counts[address]++
	return t.counts[address] <= triesPerMinute
}

// mayTry bounds what an address may begin: each beginning is a row of the database.
func (c *console) mayTry(v *view) error {
	if !c.tries.take(c.addressOf(v.r), c.Now()) {
		return &refusal{http.StatusTooManyRequests, v.T("Too many tries from here: wait a minute.")}
	}
	return nil
}

func (c *console) welcomePage(v *view) error {
	return c.show(v, http.StatusOK, v.T("Welcome"), welcomeForm(v, ""))
}

// welcome makes an account for who has an operator's or a key user's token: one for each token.
func (c *console) welcome(v *view) error {
	wrong := func(text string) error {
		return c.show(v, http.StatusUnprocessableEntity, v.T("Welcome"), welcomeForm(v, text))
	}
	now := c.Now().UTC().Truncate(time.Microsecond)
	if !c.tries.take(c.addressOf(v.r), now) {
		return wrong(v.T("Too many tries from here: wait a minute."))
	}
	t, err := c.Store.TokenByHash(v.ctx(), tenancy.HashSecret(strings.TrimSpace(v.r.PostFormValue("token"))))
	switch {
	case errors.Is(err, tenancy.ErrNotFound), err == nil && !t.Valid(now):
		return wrong(v.T("This token is not known, or not valid any more: ask who gave it to you for another one."))
	case err != nil:
		return err
	}
	a := tenancy.Account{ID: lifecycle.NewID(), Name: strings.TrimSpace(v.r.PostFormValue("name")), Role: t.Role,
		TenantID: t.TenantID, Tenant: t.Tenant, KeyUserID: t.KeyUserID, KeyUser: t.KeyUser, Origin: "token " + t.ID,
		CreatedAt: now}
	if err := a.Check(); err != nil {
		return wrong(err.Error())
	}
	if a.Password, err = password.Hash(v.r.PostFormValue("password")); err != nil {
		return wrong(err.Error())
	}
	err = c.change(v, a, "account.created", map[string]any{"origin": a.Origin}, func(tx *store.Tx) error {
		return tx.CreateAccount(v.ctx(), a)
	})
	if errors.Is(err, tenancy.ErrConflict) {
		return wrong(v.T("This name is taken, or this token has made an account already: sign in with that one."))
	} else if err != nil {
		return err
	}
	if err := c.begin(v, a, "token"); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, "/", http.StatusSeeOther)
	return nil
}

func (c *console) signOut(v *view) error {
	if err := c.end(v, v.session.ID); err != nil {
		return err
	}
	c.setCookie(v.w, c.cookie(), "", -time.Second)
	http.Redirect(v.w, v.r, "/sign-in", http.StatusSeeOther)
	return nil
}

func (c *console) end(v *view, id string) error {
	err := c.change(v, v.account, "session.ended", nil, func(tx *store.Tx) error {
		return tx.EndSession(v.ctx(), v.account.ID, id)
	})
	if errors.Is(err, tenancy.ErrStale) { // it has ended already
		return nil
	}
	return err
}

// change changes something of an account, by its owner, with an entry in the audit log.
func (c *console) change(v *view, a tenancy.Account, action string, detail any, fn func(tx *store.Tx) error) error {
	return c.Store.InTx(v.ctx(), func(tx *store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return tx.Audit(v.ctx(), tenancy.NewEvent(c.Now(), string(a.Role)+" "+a.Name, action, a.Tenant, a.Name, detail))
	})
}

// say keeps a sentence for the next page, in the browser.
func (c *console) say(w http.ResponseWriter, text string) {
	c.setCookie(w, "said", base64.RawURLEncoding.EncodeToString([]byte(text)), time.Minute)
}

func (c *console) takeSaid(w http.ResponseWriter, r *http.Request) string {
	sent, err := r.Cookie("said")
	if err != nil || r.Method != http.MethodGet || strings.HasPrefix(r.URL.Path, "/assets/") {
		return ""
	}
	c.setCookie(w, "said", "", -time.Second)
	text, err := base64.RawURLEncoding.DecodeString(sent.Value)
	if err != nil || len(text) > 2000 {
		return ""
	}
	return strings.ToValidUTF8(string(text), "")
}
