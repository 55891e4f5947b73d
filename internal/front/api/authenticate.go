package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/control"
	"github.com/perennial-pki/perennial/internal/egress/workload"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/faults"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/tenancy"
)

// actor returns the name of the caller for the audit log.
func actor(ctx context.Context) string { return nameOf(principal.Of(ctx)) }

func nameOf(p tenancy.Token) string {
	if p.Role == tenancy.RoleKeyUser {
		return "key user " + p.Tenant + "/" + p.KeyUser
	}
	if p.ID == "" { // signed in to the console
		return string(p.Role) + " " + p.Name
	}
	return string(p.Role) + " token " + p.Name
}

// touchAfter is the precision of the last use of a token. A finer one would make every read a write.
const touchAfter = 10 * time.Minute

// authenticate requires a valid token for requests to the API. Other requests pass without one.
func (s *server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, linksPath) {
			next.ServeHTTP(w, r)
			return
		}
		if principal.Of(r.Context()).Role != "" { // the console has set the caller
			next.ServeHTTP(w, r)
			return
		}
		refuse := func(detail string) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="perennial"`)
			writeProblem(w, http.StatusUnauthorized, detail)
		}
		secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			refuse("send a token: Authorization: Bearer ...")
			return
		}
		now := s.clock()
		hash, err := s.hashOf(r.Context(), secret)
		var t tenancy.Token
		if err == nil {
			t, err = s.store.TokenByHash(r.Context(), hash)
		}
		switch {
		case errors.Is(err, workload.ErrInvalid):
			refuse(err.Error())
			return
		case errors.Is(err, workload.ErrUnavailable):
			s.log.WarnContext(r.Context(), "an identity token cannot be verified", "error", err)
			writeProblem(w, http.StatusServiceUnavailable, "the issuer of this identity token does not answer: try again")
			return
		case errors.Is(err, tenancy.ErrNotFound) && s.workloads.Claimed(secret):
			refuse("no token is bound to this workload: perennial token create NAME --role gateway --workload SUBJECT")
			return
		case errors.Is(err, tenancy.ErrNotFound):
			refuse("this token is unknown")
			return
		case err != nil:
			faults.Log(r.Context(), s.log, "authentication failed", err)
			writeProblem(w, http.StatusServiceUnavailable, "the database does not answer: try again")
			return
		case !t.Valid(now):
			expiredTokens.WithLabelValues(string(t.Role)).Inc()
			detail := "this token expired on " + t.ExpiresAt.Format("2006-01-02 15:04 MST")
			if !t.RevokedAt.IsZero() {
				detail = "this token was revoked on " + t.RevokedAt.Format("2006-01-02 15:04 MST")
			}
			s.logRefused(r.Context(), t, r.Method+" "+r.URL.Path, detail)
			refuse(detail)
			return
		}
		if detail := misused(t, r.URL.Path); detail != "" {
			s.logRefused(r.Context(), t, r.Method+" "+r.URL.Path, detail)
			writeProblem(w, http.StatusForbidden, detail)
			return
		}
		if now.Sub(t.LastUsedAt) > touchAfter {
			if err := s.store.InTx(r.Context(), func(tx *store.Tx) error {
				return tx.TouchToken(r.Context(), t.ID, now)
			}); err != nil {
				s.log.WarnContext(r.Context(), "the last use of a token was not stored", "token", t.ID, "error", err)
			}
		}
		next.ServeHTTP(w, r.WithContext(principal.With(r.Context(), t)))
	})
}

// misused returns the reason why a path is not for the role of a token; "" if it may be.
func misused(t tenancy.Token, path string) string {
	switch {
	case t.Role == tenancy.RoleSender:
		return "a sender's token is for sending messages, not for the API"
	case (t.Role == tenancy.RoleGateway) != strings.HasPrefix(path, control.Path):
		return "paths below " + control.Path + " need the token of a gateway, and no other path accepts it: create one " +
			"with perennial token create NAME --role gateway"
	}
	return ""
}

// longestCall limits the logged part of a call, in bytes: the caller chooses its text.
const longestCall = 200

// logRefused logs a call that was refused although its caller is known.
func (s *server) logRefused(ctx context.Context, p tenancy.Token, call, reason string) {
	who := nameOf(p)
	s.refused.Write(ctx, who+" "+p.ID, "a call was refused", func() []any {
		return []any{"who", who, "token", p.ID, "call", call[:min(len(call), longestCall)], "reason", reason}
	})
}

// hashOf returns the hash under which a credential is stored. A workload's identity token is verified.
func (s *server) hashOf(ctx context.Context, secret string) (string, error) {
	if !s.workloads.Claimed(secret) {
		return tenancy.HashSecret(secret), nil
	}
	id, err := s.workloads.Verify(ctx, secret)
	return tenancy.WorkloadHash(id.Issuer, id.Subject), err
}
