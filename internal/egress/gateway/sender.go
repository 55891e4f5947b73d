package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/workload"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// tokenLife is the time for which a token counts as valid without another look-up. The message after that still uses
	// it, while it is looked up in the background. After a change of its tenant, it is looked up at once.
	tokenLife = time.Minute
	// changePatience is the time for which a message waits for the control after a change, if the state from before the
	// change is known. A control that hangs must not delay messages, but the answer of one that answers must be used.
	changePatience = time.Second
	// tokenGrace prolongs it while the control does not answer, so that senders can continue through an outage of the
	// service.
	tokenGrace = time.Hour
)

var (
	errNoSender = errors.New(`send a sender's token: "Authorization: Bearer perennial_...", or Proxy-Authorization if ` +
		`the receiver needs Authorization`)
	// ErrOwnToken is returned by a control if the service does not accept the gateway's own token.
	ErrOwnToken = errors.New("the service does not accept this gateway's own token")

	// ErrAway is returned by a control if the service does not answer.
	ErrAway = errors.New("the service does not answer this gateway")

	errToken = errors.New("this token does not exist or is no longer valid")
)

// tokens are the senders' tokens that were used recently.
type tokens struct {
	mu      sync.RWMutex     // guards the fields below
	known   map[string]token // by hash
	changes changes
}

type token struct {
	tenancy.Token
	until    time.Time
	changed  bool      // something of the tenant has changed since
	asking   bool      // it is being looked up in the background
	askAfter time.Time // the control did not answer, so it is not asked again before
}

// forget makes the gateway look up the tokens of a tenant, or all, before they are accepted again. It drops those that
// were last valid an hour ago.
func (t *tokens) forget(tenantID string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changes.add(tenantID)
	for hash, known := range t.known {
		switch {
		case now.After(known.until.Add(tokenGrace)):
			delete(t.known, hash)
		case tenantID == "" || known.TenantID == tenantID || known.TenantID == "":
			known.changed, known.askAfter = true, time.Time{}
			if known.until.After(now) {
				known.until = now
			}
			t.known[hash] = known
		}
	}
}

// A trusted sender was authenticated by its connection. tenant is empty if it may send for all.
type trusted struct{ tenant string }

type trustedKey struct{}

// untrustedKey holds the reason why a client certificate authenticates no sender.
type untrustedKey struct{}

// mayUse returns an error unless the sender of a request may use an arrangement. A sender of another tenant gets the
// same answer as if the arrangement did not exist, before it is looked up.
func (g *Gateway) mayUse(r *http.Request, to address) error {
	if s, ok := r.Context().Value(trustedKey{}).(trusted); ok {
		if s.tenant == "" || s.tenant == to.tenant {
			return nil
		}
		return notTheirs(to)
	}
	hash, err := g.senderToken(r)
	if err != nil {
		return err
	}
	if hash == "" {
		if reason, ok := r.Context().Value(untrustedKey{}).(error); ok {
			return tenancy.Errorf(tenancy.ErrRefused, "%s", reason)
		}
		if g.open {
			return g.trustsMachine(r)
		}
		return errNoSender
	}
	t, err := g.lookUpToken(r.Context(), hash)
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		return errToken
	case err != nil:
		return err
	case t.Role != tenancy.RoleSender:
		return tenancy.Errorf(tenancy.ErrRefused, "this is not a sender's token: create one with perennial token create "+
			"NAME --role sender --tenant %s", to.tenant)
	case t.Tenant != to.tenant:
		return notTheirs(to)
	}
	return nil
}

// senderToken finds the token among a request's credentials, and returns the hash under which it is stored; "" if there
// is none. A workload's identity token is verified. The scheme is case-insensitive (RFC 9110, section 11.1).
func (g *Gateway) senderToken(r *http.Request) (hash string, err error) {
	for _, name := range []string{"Proxy-Authorization", "Authorization"} {
		for _, line := range r.Header[name] {
			scheme, rest, _ := strings.Cut(line, " ")
			secret := strings.TrimSpace(rest)
			switch {
			case !strings.EqualFold(scheme, "Bearer"):
			case strings.HasPrefix(secret, tenancy.TokenPrefix):
				return tenancy.HashSecret(secret), nil
			case g.workloads.Claimed(secret):
				id, err := g.workloads.Verify(r.Context(), secret)
				return tenancy.WorkloadHash(id.Issuer, id.Subject), err
			}
		}
	}
	return "", nil
}

// isOurs reports whether a line of Authorization holds a credential for the gateway, in whatever form.
func (g *Gateway) isOurs(line string) bool {
	return strings.Contains(strings.ToLower(line), tenancy.TokenPrefix) ||
		slices.ContainsFunc(strings.Fields(line), g.workloads.Claimed)
}

func notTheirs(to address) error {
	return tenancy.Errorf(tenancy.ErrNotFound, "there is no arrangement %s", to)
}

func (g *Gateway) lookUpToken(ctx context.Context, hash string) (tenancy.Token, error) {
	now := g.now()
	g.tokens.mu.RLock()
	known, ok := g.tokens.known[hash]
	g.tokens.mu.RUnlock()
	usable := ok && now.Before(known.until.Add(tokenGrace)) && now.Before(known.ExpiresAt)
	switch {
	case usable && (now.Before(known.until) || now.Before(known.askAfter)):
		return known.Token, nil
	case usable && !known.changed:
		g.refreshToken(hash)
		return known.Token, nil
	case usable:
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, changePatience)
		defer cancel()
	}
	g.tokens.mu.Lock()
	since := g.tokens.changes.begin()
	g.tokens.mu.Unlock()
	t, err := g.control.Token(ctx, hash)
	g.tokens.learn(hash, t, err, since, g.now())
	if err != nil && !errors.Is(err, tenancy.ErrNotFound) && usable {
		return known.Token, nil
	}
	return t, err
}

// refreshToken looks up a known token in the background, once at a time.
func (g *Gateway) refreshToken(hash string) {
	g.tokens.mu.Lock()
	defer g.tokens.mu.Unlock()
	known, ok := g.tokens.known[hash]
	if !ok || known.asking {
		return
	}
	known.asking = true
	g.tokens.known[hash] = known
	since := g.tokens.changes.begin()
	g.inBackground(func(ctx context.Context) {
		t, err := g.control.Token(ctx, hash)
		g.tokens.learn(hash, t, err, since, g.now())
	})
}

// learn stores an answer about a token and ends its reading. Without an answer, a known token stays as it is, and is
// not asked about for [askAgain].
func (t *tokens) learn(hash string, answer tenancy.Token, err error, since int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.changes.end()
	known, ok := t.known[hash]
	switch {
	case err == nil && t.changes.concern(answer.TenantID, since): // the answer may be from before a change
		t.known[hash] = token{Token: answer, until: now, changed: true}
	case err == nil:
		t.known[hash] = token{Token: answer, until: now.Add(tokenLife)}
	case errors.Is(err, tenancy.ErrNotFound):
		delete(t.known, hash)
	case ok:
		known.asking, known.askAfter = false, now.Add(askAgain)
		t.known[hash] = known
	}
}

// refuse answers a sender that may not use the arrangement.
func refuse(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errNoSender), errors.Is(err, errToken), errors.Is(err, workload.ErrInvalid):
		w.Header().Set("WWW-Authenticate", `Bearer realm="perennial gateway"`)
		problem(w, http.StatusUnauthorized, err.Error())
	case errors.Is(err, tenancy.ErrNotFound):
		problem(w, http.StatusNotFound, err.Error())
	case errors.Is(err, tenancy.ErrRefused), errors.Is(err, errForeignHost), errors.Is(err, errForeignSite):
		problem(w, http.StatusForbidden, err.Error())
	case errors.Is(err, workload.ErrUnavailable):
		problem(w, http.StatusServiceUnavailable, "the issuer of your identity token does not answer, so the token cannot "+
			"be verified at the moment: try again")
	case errors.Is(err, ErrOwnToken):
		problem(w, http.StatusServiceUnavailable, "your token was not checked, because the service no longer accepts this "+
			"gateway's own token: the gateway's operator must replace it")
	case errors.Is(err, ErrAway):
		problem(w, http.StatusServiceUnavailable, "your token was not checked, because the service does not answer this "+
			"gateway: try again")
	default:
		problem(w, http.StatusServiceUnavailable, "the service cannot check this token at the moment: try again")
	}
}

// problem answers with problem details (RFC 9457). The header marks the gateway's own answers.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set(ours, "1")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}
