package api

import (
	"context"
	"net/http"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

func registerTrial(r *router) {
	register(r, endpoint{
		method: http.MethodPost, path: "/tenants/{tenant}/arrangements/trial",
		summary: "Test an arrangement without saving it", access: members,
	}, (*server).tryArrangement)
}

func (s *server) tryArrangement(ctx context.Context, in *struct {
	InTenant
	Body client.Arrangement
}) (*Entity[client.Trial], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	a := tenancy.Arrangement{
		ID: store.NewID(), TenantID: t.ID, ReceiverID: "none", Name: in.Body.Name, Scenario: in.Body.Scenario,
		Endpoint: in.Body.Endpoint, Credential: in.Body.Credential,
		Authentication: tenancy.ClientCertificate, Strategy: tenancy.Adaptive, Egress: in.Body.Egress, CreatedAt: s.now(),
		Version: 1,
	}
	newest, err := s.store.Newest(ctx, t.ID, a.Presents())
	if err != nil {
		return nil, err
	}
	if a.Generation = newest.Generation; a.Name == "" {
		a.Name = "trial"
	}
	if err := a.Check(); err != nil {
		return nil, err
	}
	out, err := s.try(ctx, t, a)
	return &Entity[client.Trial]{Body: out}, err
}

// try reads the certificate of a receiver. If the arrangement trusts it, try tests the receiver with each generation.
func (s *server) try(ctx context.Context, t tenancy.Tenant, a tenancy.Arrangement) (out client.Trial, err error) {
	endpoint, err := outbound.Endpoint(a.Endpoint)
	if err != nil {
		return out, tenancy.Invalid("endpoint", "is not a valid URL")
	}
	shown, err := outbound.Meet(ctx, s.network.For(t.Name), a.Egress.Proxy, endpoint)
	if err != nil {
		out.Problem = words.Say(ctx, outbound.OfError(err).Text())
		return out, nil
	}
	leaf := shown[0]
	out.Server = &client.ServerCertificate{Subject: certfile.Name(leaf.RawSubject), Issuer: certfile.Name(leaf.RawIssuer),
		Names: leaf.DNSNames, NotAfter: leaf.NotAfter, Fingerprint: certfile.Fingerprint(leaf.Raw),
		KeyPin: outbound.KeyPin(leaf)}
	for _, ip := range leaf.IPAddresses {
		out.Server.Names = append(out.Server.Names, ip.String())
	}
	standing, err := s.engine.Standing(ctx, s.store.Reader, t, a)
	if err != nil {
		return out, err
	}
	identities, err := s.engine.Identities(ctx, standing)
	if err != nil {
		return out, err
	}
	answers, err := outbound.Question(ctx, s.network, standing, identities)
	if err != nil {
		return out, err
	}
	if answers.Control.Reason == outbound.ReceiverUntrusted {
		out.Problem = words.Say(ctx, answers.Control.Text())
		return out, nil
	}
	out.Results = viewAnswers(ctx, answers)
	out.Server.Trusted = true
	return out, nil
}
