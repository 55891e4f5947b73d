package api

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func viewTrust(ctx context.Context, t store.ReceiverTrust) client.Trust {
	return client.Trust{
		Tenant: t.Tenant, Arrangement: t.Arrangement, Trust: t.Verdict, At: t.At, By: t.Source,
		Answer: said(ctx, t.Detail),
	}
}

var errNoHierarchy = tenancy.Errorf(tenancy.ErrRefused,
	"the issuer manages its authorities itself: announce new ones there")

func (s *server) viewAuthorities() []client.Authority {
	all := []client.Authority{}
	authorities, ok := issuer.As[issuer.Hierarchy](s.issuer)
	if !ok {
		return all
	}
	now := s.clock()
	plans := authorities.Plans(now)
	for _, p := range plans {
		a := client.Authority{
			ID: p.ID, Kind: p.Kind, Subject: p.Subject, Stage: client.Stage(p.Stage), NotBefore: p.NotBefore,
			NotAfter: p.NotAfter, SignsFrom: p.SignsFrom, AnnounceAt: p.AnnounceAt,
			RevokedAt: p.RevokedAt, RevokedFor: p.RevokedFor, Key: keyOf(p.Authority), KeyURI: p.KeyURI,
			Unlisted: unlisted(p, plans),
		}
		if ca, err := s.subordinate(); err == nil && a.Kind == tenancy.RootAuthority && a.Key == client.KeyElsewhere &&
			a.Stage == client.StageSigns {
			a.SignBy, _ = ca.Awaited(now)
		}
		all = append(all, a)
	}
	return all
}

// unlisted returns the IDs of the revoked authorities that the last list of a root lacks, because its key is offline.
func unlisted(root issuer.Plan, all []issuer.Plan) (ids []string) {
	if len(root.CRL) == 0 {
		return nil
	}
	list, err := x509.ParseRevocationList(root.CRL)
	if err != nil {
		list = &x509.RevocationList{} // it has none of them
	}
	for _, p := range all {
		if p.ParentID != root.ID || p.RevokedAt.IsZero() {
			continue
		}
		c, err := certfile.ParseCertificate(p.DER)
		if err != nil || !slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
			return e.SerialNumber.Cmp(c.SerialNumber) == 0
		}) {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// keyOf returns the place of an authority's key.
func keyOf(a tenancy.Authority) client.KeyPlace {
	switch {
	case a.KeyURI != "":
		return client.KeyRemote
	case len(a.SealedKey) == 0:
		return client.KeyElsewhere
	}
	return client.KeySealed
}

// subordinate returns the service's CA if a root elsewhere can sign its authorities.
func (s *server) subordinate() (issuer.Subordinate, error) {
	ca, ok := issuer.As[issuer.Subordinate](s.issuer)
	if !ok {
		return nil, errNoHierarchy
	}
	return ca, nil
}

// announced returns the authority that is announced and does not sign yet.
func (s *server) announced(ctx context.Context) (tenancy.Authority, error) {
	authorities, ok := issuer.As[issuer.Hierarchy](s.issuer)
	if !ok {
		return tenancy.Authority{}, errNoHierarchy
	}
	now := s.clock()
	if err := issuer.Refreshed(ctx, authorities, now); err != nil { // another replica may have created it
		return tenancy.Authority{}, err
	}
	a, ok := authorities.Announced(now)
	if !ok {
		return a, tenancy.Errorf(tenancy.ErrRefused, "no new CA is announced, so there is nothing to trust yet")
	}
	return a, nil
}

func registerAuthorities(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/authorities",
		summary: "List the authorities of the service's CA and when their successors are announced", access: operators,
	}, (*server).listAuthorities)
	register(r, endpoint{
		method: http.MethodPost, path: "/authorities", summary: "Create and announce a new issuing CA",
		status: http.StatusCreated, access: operators,
	}, (*server).announceAuthority)
	register(r, endpoint{
		method: http.MethodPost, path: "/authorities/request",
		summary: "Get the request for the next issuing CA, if the key of its root is elsewhere", access: operators,
	}, (*server).requestAuthority)
	register(r, endpoint{
		method: http.MethodPost, path: "/authorities/install",
		summary: "Announce an issuing CA that a root elsewhere has signed", status: http.StatusCreated, access: operators,
	}, (*server).installAuthority)
	register(r, endpoint{
		method: http.MethodPost, path: "/authorities/{authority}/export",
		summary: "Get the key of a root, encrypted with a passphrase", access: operators,
	}, (*server).exportRoot)
	register(r, endpoint{
		method: http.MethodPost, path: "/authorities/{authority}/remove-key",
		summary: "Remove the key of a root from the database, once its export has been proved usable", access: operators,
	}, (*server).removeRootKey)
	register(r, endpoint{
		method: http.MethodPost, path: "/authorities/import",
		summary: "Bring back the key of a root that was taken offline", access: operators,
	}, (*server).importRoot)
	register(r, endpoint{
		method: http.MethodPost, path: "/authorities/{authority}/sign",
		summary: "Let an announced authority start signing now", access: operators,
	}, (*server).signFromNow)
	register(r, endpoint{
		method: http.MethodPost, path: "/authorities/{authority}/revoke",
		summary: "Revoke an issuing CA, let another one sign, and renew its certificates", access: operators,
	}, (*server).revokeAuthority)
	register(r, endpoint{
		method: http.MethodGet, path: "/authorities/{authority}/waiting",
		summary: "List the arrangements whose receivers are not known to trust an authority", access: operators,
	}, (*server).listWaiting)
	register(r, endpoint{
		method: http.MethodPost, path: "/tenants/{tenant}/arrangements/{arrangement}/authority",
		summary: "Test whether the receiver trusts the announced CA, or report that it does", access: members,
	}, (*server).askTrust)
}

func (s *server) listAuthorities(_ context.Context, in *struct {
	Query string       `query:"q" maxLength:"200" doc:"Only authorities whose subject contains this text, in upper or lower case."`
	Stage client.Stage `query:"stage" enum:"announced,signs,replaced,revoked" doc:"Only authorities in this stage."`
}) (*List[client.Authority], error) {
	all := slices.DeleteFunc(s.viewAuthorities(), func(a client.Authority) bool {
		return in.Stage != "" && a.Stage != in.Stage ||
			!strings.Contains(strings.ToLower(a.Subject), strings.ToLower(in.Query))
	})
	return &List[client.Authority]{client.Page[client.Authority]{Items: all}}, nil
}

func (s *server) announceAuthority(ctx context.Context, in *struct {
	Body struct {
		SignsFrom time.Time `json:"signs_from,omitzero" doc:"Latest start of signing. Default: 93 days from now."`
		NewRoot   bool      `json:"new_root,omitempty" doc:"Create it below a new root. Every receiver that trusts a CA must then trust the new root."`
		Key       string    `json:"key,omitempty" doc:"URI of its key in a key management service or a token, or sealed for a new one in the database. Default: as for the present CA."`
	}
}) (*Entity[client.Authority], error) {
	announcer, ok := issuer.As[issuer.Announcer](s.issuer)
	if !ok {
		return nil, errNoHierarchy
	}
	made, err := announcer.Announce(ctx, s.now(), issuer.Succession{SignsFrom: in.Body.SignsFrom,
		NewRoot: in.Body.NewRoot, Key: in.Body.Key})
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, "authority.made", "", made.ID,
		map[string]any{"signs_from": made.SignsFrom, "new_root": in.Body.NewRoot, "key": made.KeyURI}, func(*store.Tx) error {
			return nil
		})
	if err != nil {
		return nil, err
	}
	return s.authority(made.ID)
}

func (s *server) requestAuthority(ctx context.Context, in *struct {
	Body *struct {
		Key string `json:"key,omitempty" doc:"URI of its key in a key management service or a token, or sealed for a new one in the database. Default: that of the open request; without one, as for the present CA. A request with another key is replaced."`
	} `required:"false"`
}) (*Entity[client.AuthorityRequest], error) {
	ca, err := s.subordinate()
	if err != nil {
		return nil, err
	}
	key := ""
	if in.Body != nil {
		key = in.Body.Key
	}
	r, err := ca.RequestAuthority(ctx, key, s.now())
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, "authority.requested", "", r.ID, map[string]any{"key": r.KeyURI}, func(*store.Tx) error {
		return nil
	})
	return &Entity[client.AuthorityRequest]{Body: client.AuthorityRequest{ID: r.ID, CreatedAt: r.CreatedAt,
		CSR: certfile.RequestPEM(r.CSR)}}, err
}

func (s *server) installAuthority(ctx context.Context, in *struct {
	Body struct {
		Chain     []byte    `json:"chain" maxLength:"2000000" doc:"The certificate of the issuing CA and those above it up to the self-signed root, in any form and order: PEM, DER or PKCS#7."`
		SignsFrom time.Time `json:"signs_from,omitzero" doc:"Latest start of signing. Default: 93 days from now."`
	}
}) (*Entity[client.Authority], error) {
	ca, err := s.subordinate()
	if err != nil {
		return nil, err
	}
	made, err := ca.InstallAuthority(ctx, in.Body.Chain, in.Body.SignsFrom, s.now())
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, "authority.installed", "", made.ID, map[string]any{"signs_from": made.SignsFrom,
		"not_after": made.NotAfter, "sha256": certfile.Fingerprint(made.DER)}, func(*store.Tx) error { return nil })
	if err != nil {
		return nil, err
	}
	return s.authority(made.ID)
}

// exporter returns the service's CA if the key of its root can be taken offline, as the database has it now.
func (s *server) exporter(ctx context.Context, now time.Time) (issuer.Exporter, error) {
	ca, ok := issuer.As[issuer.Exporter](s.issuer)
	authorities, has := issuer.As[issuer.Hierarchy](s.issuer)
	if !ok || !has {
		return nil, errNoHierarchy
	}
	return ca, issuer.Refreshed(ctx, authorities, now) // another replica may have taken a key offline
}

var errRootServes = tenancy.Errorf(tenancy.ErrRefused, "the service's own certificate is below its root (--tls self): "+
	"start it with --tls-cert and --tls-key before you take the key of a root offline")

func (s *server) exportRoot(ctx context.Context, in *struct {
	ID   string `path:"authority" maxLength:"36"`
	Body struct {
		// The schema has no limits, because an error of the schema quotes the value.
		Passphrase string `json:"passphrase" doc:"At least 16 characters."`
	}
}) (*Entity[client.RootExport], error) {
	ca, err := s.exporter(ctx, s.now())
	if err != nil {
		return nil, err
	}
	if s.rootServes {
		return nil, errRootServes
	}
	file, err := ca.ExportRoot(in.ID, in.Body.Passphrase)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, "authority.exported", "", in.ID, nil, func(*store.Tx) error { return nil })
	return &Entity[client.RootExport]{Body: client.RootExport{File: string(file)}}, err
}

func (s *server) removeRootKey(ctx context.Context, in *struct {
	ID   string `path:"authority" maxLength:"36"`
	Body struct {
		Proof []byte `json:"proof" maxLength:"1000" doc:"Signature by the exported key, as perennial authority root export makes it."`
	}
}) (*Entity[client.Authority], error) {
	now := s.now()
	ca, err := s.exporter(ctx, now)
	if err != nil {
		return nil, err
	}
	if s.rootServes {
		return nil, errRootServes
	}
	revoked, err := s.revokedBy(ctx, in.ID, now)
	if err != nil {
		return nil, err
	}
	list, err := ca.LastList(in.ID, in.Body.Proof, revoked, now)
	if err != nil {
		return nil, err
	}
	return s.changeRoot(ctx, "authority.key-removed", in.ID, func(tx *store.Tx) error {
		return tx.RemoveAuthorityKey(ctx, in.ID, list)
	})
}

func (s *server) importRoot(ctx context.Context, in *struct {
	Body struct {
		File       string `json:"file" doc:"The file of perennial authority root export."`
		Passphrase string `json:"passphrase" doc:"The passphrase of the file."`
	}
}) (*Entity[client.Authority], error) {
	now := s.now()
	ca, err := s.exporter(ctx, now)
	if err != nil {
		return nil, err
	}
	root, err := ca.ImportRoot([]byte(in.Body.File), in.Body.Passphrase, now)
	if err != nil {
		return nil, err
	}
	return s.changeRoot(ctx, "authority.key-restored", root.ID, func(tx *store.Tx) error {
		return tx.RestoreAuthorityKey(ctx, root.ID, root.SealedKey)
	})
}

// changeRoot removes or restores the key of a root, and returns the root as it is then.
func (s *server) changeRoot(ctx context.Context, action, id string, change func(*store.Tx) error) (
	*Entity[client.Authority], error) {
	if err := s.change(ctx, action, "", id, nil, change); err != nil {
		return nil, err
	}
	if _, err := s.exporter(ctx, s.now()); err != nil {
		return nil, err
	}
	s.crls.forget(id)
	return s.authority(id)
}

func (s *server) signFromNow(ctx context.Context, in *struct {
	ID string `path:"authority" maxLength:"36"`
}) (*Entity[client.Authority], error) {
	a, err := s.announced(ctx)
	if err != nil && !errors.Is(err, tenancy.ErrRefused) {
		return nil, err
	}
	if err != nil || a.ID != in.ID {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "%s is not announced: see perennial authority list", in.ID)
	}
	if err := s.engine.SignFrom(ctx, in.ID, actor(ctx), s.now()); err != nil {
		return nil, err
	}
	return s.authority(in.ID)
}

func (s *server) revokeAuthority(ctx context.Context, in *struct {
	ID   string `path:"authority" maxLength:"36"`
	Body struct {
		Reason string `json:"reason" enum:"compromised,superseded"`
	}
}) (*Entity[client.Authority], error) {
	if err := s.engine.RevokeAuthority(ctx, in.ID, in.Body.Reason, actor(ctx), s.now()); err != nil {
		return nil, err
	}
	return s.authority(in.ID)
}

func (s *server) listWaiting(ctx context.Context, in *struct {
	ID string `path:"authority" maxLength:"36"`
	Grown
}) (*List[client.Trust], error) {
	if _, err := s.authority(in.ID); err != nil {
		return nil, err
	}
	page, err := in.page("", in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.SearchNotTrusting(ctx, in.ID, page)
	return listed(rows, next, "", func(t store.ReceiverTrust) client.Trust { return viewTrust(ctx, t) }), err
}

func (s *server) askTrust(ctx context.Context, in *struct {
	OneArrangement
	Body struct {
		Installed bool `json:"installed,omitempty" doc:"True if the administrator of the receiver reported it as installed. The receiver is not tested."`
	}
}) (*Entity[client.AskedTrust], error) {
	standing, err := s.standing(ctx, in.OneArrangement)
	if err != nil {
		return nil, err
	}
	a, err := s.announced(ctx)
	if err != nil {
		return nil, err
	}
	var trust store.ReceiverTrust
	var results []outbound.Result
	if in.Body.Installed {
		trust, err = s.engine.RecordTrust(ctx, a.ID, standing.Arrangement.ID, actor(ctx), tenancy.Trusted,
			rollover.Person, "", s.now())
	} else {
		trust, results, err = s.prober().ProbeAuthority(ctx, standing, a, actor(ctx))
	}
	out := client.AskedTrust{Trust: viewTrust(ctx, trust), Authority: a.ID, Results: []client.ProbeResult{}}
	for _, r := range results {
		out.Results = append(out.Results, viewProbe(ctx, r))
	}
	return &Entity[client.AskedTrust]{Body: out}, err
}

func (s *server) authority(id string) (*Entity[client.Authority], error) {
	for _, a := range s.viewAuthorities() {
		if a.ID == id {
			return &Entity[client.Authority]{Body: a}, nil
		}
	}
	return nil, tenancy.Errorf(tenancy.ErrNotFound, "there is no authority %s", id)
}
