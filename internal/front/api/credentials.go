package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

func registerCredentials(r *router) {
	const credentials, credential = "/tenants/{tenant}/credentials", "/tenants/{tenant}/credentials/{credential}"
	register(r, endpoint{
		method: http.MethodGet, path: credentials, summary: "List credentials", access: members,
	}, (*server).listCredentials)
	register(r, endpoint{
		method: http.MethodPost, path: credentials, summary: "Add a credential and request its first certificate",
		status: http.StatusCreated, access: operators,
	}, (*server).addCredential)
	register(r, endpoint{
		method: http.MethodGet, path: credential, summary: "Get a credential", access: members,
	}, (*server).getCredential)
	register(r, endpoint{
		method: http.MethodPut, path: credential, summary: "Change a credential from the next generation on",
		access: operators,
	}, (*server).changeCredential)

	const requests, request = "/tenants/{tenant}/requests", "/tenants/{tenant}/requests/{request}"
	register(r, endpoint{
		method: http.MethodGet, path: "/requests", summary: "List certificates that have been requested but not issued yet",
		access: operators,
	}, (*server).listAllRequests)
	register(r, endpoint{
		method: http.MethodGet, path: requests, summary: "List a tenant's certificates that are not issued yet",
		access: members,
	}, (*server).listRequests)
	register(r, endpoint{
		method: http.MethodGet, path: request + "/csr", summary: "Download the PKCS#10 request for the CA", access: members,
	}, (*server).downloadRequest)
	register(r, endpoint{
		method: http.MethodPost, path: request + "/answer", summary: "Upload the certificate that the CA issued",
		access: members, status: http.StatusCreated,
	}, (*server).answerRequest)
	register(r, endpoint{
		method: http.MethodPost, path: request + "/again", summary: "Send a request again, with another key",
		access: operators, status: http.StatusNoContent,
	}, (*server).repeatRequest)

	register(r, endpoint{
		method: http.MethodGet, path: "/issuers", summary: "List the CAs from which certificates are requested",
		access: operators,
	}, (*server).listIssuers)
}

// OneCredential holds the path parameters of a credential.
type OneCredential struct {
	InTenant
	Name tenancy.Purpose `path:"credential" maxLength:"63"`
}

// credentialNames lists the credentials of a tenant: the built-in ones, and then those that were added.
func credentialNames(stored []tenancy.Credential) []tenancy.Purpose {
	names := slices.Clone(tenancy.BuiltIn)
	for _, c := range stored {
		if !c.Name.IsBuiltIn() {
			names = append(names, c.Name)
		}
	}
	return names
}

// viewCredentials lists the credentials of a tenant: the built-in ones first.
func (s *server) viewCredentials(ctx context.Context, t tenancy.Tenant) (all []client.Credential,
	versions map[tenancy.Purpose]int64, err error) {
	stored, err1 := s.store.CredentialsOf(ctx, []string{t.ID})
	requests, err2 := s.store.RequestsOf(ctx, []string{t.ID})
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	settings, versions := map[tenancy.Purpose]tenancy.Credential{}, map[tenancy.Purpose]int64{}
	for _, c := range stored[t.ID] {
		settings[c.Name], versions[c.Name] = c, c.Version
	}
	for _, name := range credentialNames(stored[t.ID]) {
		c := settings[name]
		view := client.Credential{Name: name, Issuer: c.Issuer, KeyType: c.KeyType, Subject: c.Subject, SAN: c.SAN,
			ValiditySeconds: int64(c.Validity / time.Second)}
		newest, err := s.store.Newest(ctx, t.ID, name)
		switch {
		case err == nil:
			view.Generation, view.State, view.NotAfter = newest.Generation, newest.State, newest.NotAfter
		case !errors.Is(err, tenancy.ErrNotFound):
			return nil, nil, err
		case name == tenancy.ForMUser && versions[name] == 0:
			continue // the tenant was created without an M-user
		}
		if slices.ContainsFunc(requests[t.ID], func(q tenancy.Request) bool { return q.Purpose == name }) {
			view.State = tenancy.Requested
		}
		all = append(all, view)
	}
	return all, versions, nil
}

func (s *server) listCredentials(ctx context.Context, in *InTenant) (*List[client.Credential], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	all, _, err := s.viewCredentials(ctx, t)
	return &List[client.Credential]{client.Page[client.Credential]{Items: all}}, err
}

func (s *server) credential(
	ctx context.Context, in OneCredential,
) (t tenancy.Tenant, v client.Credential, version int64, err error) {
	if t, err = s.tenant(ctx, in.Tenant); err != nil {
		return t, v, 0, err
	}
	all, versions, err := s.viewCredentials(ctx, t)
	if err != nil {
		return t, v, 0, err
	}
	i := slices.IndexFunc(all, func(c client.Credential) bool { return c.Name == in.Name })
	if i < 0 {
		return t, v, 0, tenancy.Errorf(tenancy.ErrNotFound, "%s has no credential %s", t.Name, in.Name)
	}
	return t, all[i], versions[in.Name], nil
}

func (s *server) getCredential(ctx context.Context, in *OneCredential) (*Entity[client.Credential], error) {
	_, v, version, err := s.credential(ctx, *in)
	return &Entity[client.Credential]{etag(version), v}, err
}

func settingsOf(t tenancy.Tenant, v client.Credential) tenancy.Credential {
	return tenancy.Credential{TenantID: t.ID, Name: v.Name, Issuer: v.Issuer, KeyType: v.KeyType, Subject: v.Subject,
		SAN: v.SAN, Validity: time.Duration(v.ValiditySeconds) * time.Second}
}

func (s *server) addCredential(ctx context.Context, in *struct {
	InTenant
	Body client.Credential
}) (*Created[client.Credential], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	c, first, err := s.engine.AddCredential(ctx, settingsOf(t, in.Body), actor(ctx), s.now())
	view := in.Body
	view.Generation, view.State, view.NotAfter = first.Generation, first.State, first.NotAfter
	return &Created[client.Credential]{ETag: etag(c.Version), Body: view,
		Location: fmt.Sprintf(prefix+"/tenants/%s/credentials/%s", t.Name, c.Name)}, err
}

func (s *server) changeCredential(ctx context.Context, in *struct {
	OneCredential
	Guarded
	Body client.Credential
}) (*Entity[client.Credential], error) {
	t, before, _, err := s.credential(ctx, in.OneCredential)
	if err != nil {
		return nil, err
	}
	if err := sameName(string(in.Body.Name), string(before.Name)); err != nil {
		return nil, err
	}
	in.Body.Name = before.Name
	c := settingsOf(t, in.Body)
	if c.Version, err = in.version(); err != nil {
		return nil, err
	}
	if before.Generation > 0 && (c.Subject != before.Subject || c.SAN != before.SAN) {
		return nil, tenancy.Invalid(
			"subject",
			"cannot be changed: receivers map the names of the existing certificates. Add another credential, and create "+
				"arrangements that use it",
		)
	}
	if c, err = s.engine.ChangeCredential(ctx, c, actor(ctx), s.now()); err != nil {
		return nil, err
	}
	in.Body.Generation, in.Body.State, in.Body.NotAfter = before.Generation, before.State, before.NotAfter
	return &Entity[client.Credential]{etag(c.Version), in.Body}, nil
}

// OneRequest holds the path parameters of a request.
type OneRequest struct {
	InTenant
	ID string `path:"request" maxLength:"63"`
}

func (s *server) request(ctx context.Context, in OneRequest) (t tenancy.Tenant, q tenancy.Request, err error) {
	if t, err = s.tenant(ctx, in.Tenant); err == nil {
		q, err = s.store.Request(ctx, t.ID, in.ID)
	}
	return t, q, err
}

// requestFailure returns why a request to a CA has no answer. The stored text may name the address of the CA, so only
// operators read it.
func requestFailure(ctx context.Context, q tenancy.Request) string {
	if q.LastError == "" || principal.Of(ctx).Role == tenancy.RoleOperator {
		return q.LastError
	}
	return words.Say(ctx, tenancy.Say("the request is open because of a fault: the operators of the service see the "+
		"cause"))
}

// viewRequest returns a function that shows a request.
func (s *server) viewRequest(
	ctx context.Context, tenants map[string]tenancy.Tenant,
) func(tenancy.Request) client.CertificateRequest {
	issuers := s.engine.Issuers()
	return func(q tenancy.Request) client.CertificateRequest {
		v := client.CertificateRequest{
			ID:         q.ID,
			Tenant:     tenants[q.TenantID].Name,
			Purpose:    q.Purpose,
			Generation: q.Generation,
			Issuer:     q.Issuer,
			Since:      q.CreatedAt,
			AskAt:      q.AskAt,
			LastError:  requestFailure(ctx, q),
		}
		if from, err := issuers.Of(q.Issuer); err == nil {
			_, v.ByHand = issuer.As[issuer.Requester](from)
		}
		if v.ByHand {
			v.AskAt = time.Time{}
		}
		if old, err := s.store.Certificate(ctx, q.TenantID, q.Purpose, q.Generation-1); err == nil {
			v.Replaces = old.NotAfter
		}
		return v
	}
}

func (s *server) listAllRequests(ctx context.Context, in *Grown) (*List[client.CertificateRequest], error) {
	page, err := in.page("", in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.Requests(ctx, page)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, q := range rows {
		ids = append(ids, q.TenantID)
	}
	tenants, err := s.store.TenantsByID(ctx, ids)
	return listed(rows, next, "", s.viewRequest(ctx, tenants)), err
}

func (s *server) listRequests(ctx context.Context, in *struct {
	InTenant
	Query string `query:"q" maxLength:"200" doc:"Only requests whose credential, issuer or error contains this text, in upper or lower case."`
}) (*List[client.CertificateRequest], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	rows, err := s.store.RequestsOf(ctx, []string{t.ID})
	all := matching(rows[t.ID], in.Query, func(q tenancy.Request) []string {
		return []string{string(q.Purpose), q.Issuer, q.LastError}
	})
	return pageOf(all, len(all), func(q tenancy.Request) string { return q.ID },
		s.viewRequest(ctx, map[string]tenancy.Tenant{t.ID: t})), err
}

func (s *server) downloadRequest(ctx context.Context, in *OneRequest) (*Download, error) {
	t, q, err := s.request(ctx, *in)
	if err != nil {
		return nil, err
	}
	csr, err := s.engine.SigningRequest(ctx, q)
	name := fmt.Sprintf("%s-%s-generation-%d.csr", t.Name, q.Purpose, q.Generation)
	return &Download{"application/pkcs10", `attachment; filename="` + name + `"`, csr}, err
}

func (s *server) answerRequest(ctx context.Context, in *struct {
	OneRequest
	Body client.RequestAnswer
}) (*Created[client.Certificate], error) {
	t, q, err := s.request(ctx, in.OneRequest)
	if err != nil {
		return nil, err
	}
	c, err := s.engine.Answer(ctx, q, in.Body.Certificate, actor(ctx), s.now())
	if err != nil {
		return nil, err
	}
	return &Created[client.Certificate]{Location: fmt.Sprintf(prefix+"/tenants/%s/certificates/%s/%d", t.Name, c.Purpose,
		c.Generation), Body: viewCertificate(c)}, nil
}

func (s *server) repeatRequest(ctx context.Context, in *OneRequest) (*struct{}, error) {
	_, q, err := s.request(ctx, *in)
	if err != nil {
		return nil, err
	}
	return nil, s.engine.Again(ctx, q, actor(ctx), s.now())
}

func (s *server) listIssuers(ctx context.Context, _ *struct{}) (*List[client.Issuer], error) {
	credentials, requests, err := s.store.CountByIssuer(ctx)
	if err != nil {
		return nil, err
	}
	issuers := s.engine.Issuers()
	out := &List[client.Issuer]{client.Page[client.Issuer]{Items: []client.Issuer{}}}
	for _, name := range slices.Sorted(maps.Keys(issuers)) {
		v := client.Issuer{
			Name:        cmp.Or(name, issuer.Local),
			Kind:        issuer.Local,
			Default:     name == s.engine.IssuerName(),
			Credentials: credentials[name],
			Requests:    requests[name],
		}
		if k, ok := issuer.As[interface{ Kind() string }](issuers[name]); ok {
			v.Kind = cmp.Or(k.Kind(), v.Kind)
		}
		_, v.Later = issuer.As[issuer.Collector](issuers[name])
		_, v.ByHand = issuer.As[issuer.Requester](issuers[name])
		_, v.Revokes = issuer.As[issuer.Revoker](issuers[name])
		out.Body.Items = append(out.Body.Items, v)
	}
	return out, nil
}
