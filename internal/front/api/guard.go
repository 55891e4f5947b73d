package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/ingress/guard"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Guard is the guard that runs in the service.
type Guard interface {
	// Addresses returns where it listens: for callers, for a proxy, and for the monitoring. Each may be empty.
	Addresses() (front, decide, monitor string)
	// Held returns the number of certificates that need a decision.
	Held(ctx context.Context) (int, error)
	// Certificates returns what it knows of its partners.
	Certificates(ctx context.Context) ([]guard.Status, error)
	// Decide stores and follows the decision of a person about a certificate that was seen.
	Decide(ctx context.Context, partner, sha256, by string, standing guard.Standing) (guard.Sighting, error)
}

func registerGuard(r *router) {
	const all, one = "/guard/certificates", "/guard/certificates/{fingerprint}"
	register(r, endpoint{
		method: http.MethodGet, path: "/guard", summary: "Get the addresses and the figures of the guard in the service",
		access: operators,
	}, (*server).getGuard)
	register(r, endpoint{
		method: http.MethodGet, path: all, summary: "List the certificates of partners that the guard knows, by partner",
		access: operators,
	}, (*server).listGuarded)
	register(r, endpoint{
		method: http.MethodPost, path: one + "/decision", summary: "Accept or refuse a certificate that the guard has seen",
		access: operators,
	}, (*server).decideGuarded)
}

// guardCertificates returns what the guard in the service knows, sorted by partner.
func (s *server) guardCertificates(ctx context.Context) ([]guard.Status, error) {
	if s.guard == nil {
		return nil, tenancy.Errorf(tenancy.ErrNotFound, "no guard runs in this service: start it with --guard FILE")
	}
	all, err := s.guard.Certificates(ctx)
	slices.SortFunc(all, func(a, b guard.Status) int { return strings.Compare(guardedKey(a), guardedKey(b)) })
	return all, err
}

// guardedKey is the cursor of a certificate. The characters of a name are greater than a space.
func guardedKey(v guard.Status) string { return v.Partner + " " + v.Fingerprint.String() }

func (s *server) getGuard(ctx context.Context, _ *struct{}) (*Entity[client.Guard], error) {
	all, err := s.guardCertificates(ctx)
	if err != nil {
		return nil, err
	}
	partners := map[string]bool{}
	var out client.Guard
	out.Calls, out.Decisions, _ = s.guard.Addresses()
	for _, v := range all {
		partners[v.Partner] = true
		switch v.Standing {
		case guard.Accepted:
			out.Accepted++
		case guard.Held:
			out.Held++
		}
	}
	out.Partners = len(partners)
	return &Entity[client.Guard]{Body: out}, nil
}

func (s *server) listGuarded(ctx context.Context, in *struct {
	Searched
	Partner  string `query:"partner" maxLength:"100" doc:"Only those of this partner."`
	Standing string `query:"standing" enum:"accepted,held,declined" doc:"Only those with this standing."`
}) (*List[client.GuardCertificate], error) {
	all, err := s.guardCertificates(ctx)
	all = slices.DeleteFunc(all, func(v guard.Status) bool {
		return in.Partner != "" && v.Partner != in.Partner || in.Standing != "" && string(v.Standing) != in.Standing ||
			guardedKey(v) <= in.Cursor
	})
	all = matching(all, in.Query, guardedWords)
	return pageOf(all, in.Limit, guardedKey, viewGuarded), err
}

// guardedWords returns the texts by which a certificate of a partner is found.
func guardedWords(v guard.Status) []string {
	words := []string{v.Partner, v.Fingerprint.String()}
	if parsed, err := certfile.ParseCertificate(v.DER); err == nil {
		words = append(words, certfile.Serial(parsed), certfile.Name(parsed.RawSubject))
	}
	return words
}

func viewGuarded(v guard.Status) client.GuardCertificate {
	out := client.GuardCertificate{Partner: v.Partner, Feed: v.Source.Feed, Tenant: v.Source.Tenant,
		Arrangements: v.Arrangements, Fingerprint: v.Fingerprint.String(), NotAfter: v.NotAfter,
		Standing: string(v.Standing), Code: string(v.Code), Reason: v.Reason, By: v.By, SeenAt: v.SeenAt,
		SuccessorFrom: v.ExpectedFrom, SuccessorUntil: v.ExpectedUntil}
	if parsed, err := certfile.ParseCertificate(v.DER); err == nil {
		out.Serial, out.NotBefore = certfile.Serial(parsed), parsed.NotBefore
		out.Subject, out.Issuer = certfile.Name(parsed.RawSubject), certfile.Name(parsed.RawIssuer)
	}
	return out
}

// decideGuarded answers with the certificate as it stands now.
func (s *server) decideGuarded(ctx context.Context, in *struct {
	Fingerprint string `path:"fingerprint" maxLength:"95" doc:"SHA-256 of the certificate, or at least its first 8 digits."`
	Body        client.GuardDecision
}) (*Entity[client.GuardCertificate], error) {
	if s.guard == nil {
		return nil, tenancy.Errorf(tenancy.ErrNotFound, "no guard runs in this service: start it with --guard FILE")
	}
	decided, err := s.guard.Decide(ctx, in.Body.Partner, in.Fingerprint, actor(ctx), guard.Standing(in.Body.Standing))
	if err != nil {
		return nil, err
	}
	all, err := s.guardCertificates(ctx)
	fingerprint := certfile.Fingerprint(decided.DER)
	for _, v := range all {
		if v.Partner == decided.Partner && v.Fingerprint.String() == fingerprint {
			return &Entity[client.GuardCertificate]{Body: viewGuarded(v)}, err
		}
	}
	return nil, cmp.Or(err, tenancy.Errorf(tenancy.ErrConflict, "the decision is stored, but the certificate has expired"))
}
