package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/engine/watching"
	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// longestLink is the maximum lifetime of a link.
	longestLink = 90 * policy.Day
	// mostWatchLinks limits the valid links to a watched certificate.
	mostWatchLinks = 200
	// reportEvery is the time in which repeated reports of a link are recorded once.
	reportEvery = policy.Day
)

func registerWatchLinks(r *router) {
	const links, link = "/tenants/{tenant}/watched/{watched}/links", "/links/{secret}/watched"
	register(r, endpoint{
		method: http.MethodPost, path: links, access: members, status: http.StatusCreated,
		summary: "Create a link for the administrator of a system that knows a watched certificate",
	}, (*server).createWatchLink)
	register(r, endpoint{
		method: http.MethodGet, path: links, summary: "List the links of a watched certificate", access: members,
	}, (*server).listWatchLinks)
	register(r, endpoint{
		method: http.MethodDelete, path: links + "/{link}", summary: "Revoke a link of a watched certificate",
		status: http.StatusNoContent, access: members,
	}, (*server).revokeWatchLink)
	register(r, endpoint{
		method: http.MethodGet, path: link, access: public,
		summary: "Get the content of a link about a watched certificate. Needs no token",
	}, (*server).getWatchLinked)
	register(r, endpoint{
		method: http.MethodGet, path: link + "/download", access: public,
		summary: "Download the certificate of a link. Needs no token",
	}, (*server).downloadWatchLinked)
	register(r, endpoint{
		method: http.MethodPost, path: link + "/installed", access: public, status: http.StatusNoContent,
		summary: "Report the certificate of a link as installed. Needs no token",
	}, (*server).reportWatchInstalled)
}

func viewWatchLink(l tenancy.WatchLink) client.WatchLink {
	return client.WatchLink{ID: l.ID, System: l.System, CreatedBy: l.CreatedBy, CreatedAt: l.CreatedAt,
		ExpiresAt: l.ExpiresAt, RevokedAt: l.RevokedAt, UsedAt: l.UsedAt}
}

func (s *server) createWatchLink(ctx context.Context, in *struct {
	OneWatched
	Body client.WatchLink
}) (*Created[client.WatchLink], error) {
	t, v, err := s.watched(ctx, in.OneWatched)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(v.Systems, func(s tenancy.WatchedSystem) bool { return s.Name == in.Body.System }) {
		return nil, tenancy.Invalid("system", "%q is not a system of the watched certificate %s: add it there first",
			in.Body.System, v.Name)
	}
	newest, err := s.store.NewestWatched(ctx, []string{v.ID})
	if err != nil {
		return nil, err
	}
	secret, now := rand.Text(), s.now()
	l := tenancy.WatchLink{ID: store.NewID(), TenantID: t.ID, WatchedID: v.ID, CertificateID: newest[v.ID].ID,
		System: in.Body.System, CreatedBy: actor(ctx), CreatedAt: now, ExpiresAt: now.Add(longestLink)}
	err = s.change(ctx, "watch-link.created", t.Name, t.Name+"/watched/"+v.Name,
		map[string]any{"link": l.ID, "system": l.System, "expires_at": l.ExpiresAt}, func(tx *store.Tx) error {
			n, err := tx.CountWatchLinks(ctx, l.CertificateID, now)
			if err != nil {
				return err
			}
			if n >= mostWatchLinks {
				return tenancy.Errorf(tenancy.ErrRefused, "the watched certificate %s of %s has %d links, which is the maximum: "+
					"revoke one first", v.Name, t.Name, n)
			}
			if err := tx.ForgetWatchLinks(ctx, l.CertificateID, mostOldLinks); err != nil {
				return err
			}
			return tx.CreateWatchLink(ctx, l, tenancy.HashSecret(secret))
		})
	if err != nil {
		return nil, err
	}
	view := viewWatchLink(l)
	view.URL = s.baseURL + "/watched/" + secret
	return &Created[client.WatchLink]{Body: view,
		Location: prefix + client.TenantPath(t.Name, "watched", v.Name) + "/links/" + l.ID}, nil
}

func (s *server) listWatchLinks(ctx context.Context, in *struct {
	OneWatched
	Searched
	ByAge
}) (*List[client.WatchLink], error) {
	_, v, err := s.watched(ctx, in.OneWatched)
	if err != nil {
		return nil, err
	}
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.WatchLinks(ctx, v.ID, page)
	return listed(rows, next, in.Sort, viewWatchLink), err
}

func (s *server) revokeWatchLink(ctx context.Context, in *struct {
	OneWatched
	Link string `path:"link" maxLength:"36"`
}) (*struct{}, error) {
	t, v, err := s.watched(ctx, in.OneWatched)
	if err != nil {
		return nil, err
	}
	return nil, s.change(ctx, "watch-link.revoked", t.Name, t.Name+"/watched/"+v.Name, map[string]any{"link": in.Link},
		func(tx *store.Tx) error { return tx.RevokeWatchLink(ctx, v.ID, in.Link, s.now()) })
}

// A watchLinked is a link with what it leads to.
type watchLinked struct {
	link    tenancy.WatchLink
	tenant  tenancy.Tenant
	watched tenancy.Watched
	seen    []tenancy.WatchedCertificate
	newest  tenancy.WatchedCertificate
}

// watchLink finds the link with a secret. One that is expired, revoked, or for a certificate that has been replaced is
// answered like one that never existed.
func (s *server) watchLink(ctx context.Context, secret string) (l watchLinked, err error) {
	l.link, err = s.store.WatchLinkByHash(ctx, tenancy.HashSecret(secret))
	if errors.Is(err, tenancy.ErrNotFound) {
		return l, errLink
	} else if err != nil {
		return l, err
	}
	if !l.link.RevokedAt.IsZero() || !s.clock().Before(l.link.ExpiresAt) {
		return l, errLink
	}
	tenants, err1 := s.store.TenantsByID(ctx, []string{l.link.TenantID})
	watched, err2 := s.store.WatchedByID(ctx, []string{l.link.WatchedID})
	seen, err3 := s.store.WatchedCertificates(ctx, []string{l.link.WatchedID})
	if err := errors.Join(err1, err2, err3); err != nil {
		return l, err
	}
	l.tenant, l.watched, l.seen = tenants[l.link.TenantID], watched[l.link.WatchedID], seen[l.link.WatchedID]
	newest, found := watching.Newest(l.seen)
	if !found || newest.ID != l.link.CertificateID {
		return l, errLink
	}
	l.newest = newest
	return l, nil
}

func (s *server) getWatchLinked(ctx context.Context, in *OneLink) (*Entity[client.WatchLinked], error) {
	l, err := s.watchLink(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	receivers, err1 := s.store.ReceiversOf(ctx, []string{l.tenant.ID})
	contact, err2 := s.linkContact(ctx, tenancy.Link{CreatedBy: l.link.CreatedBy}, l.tenant)
	out := client.WatchLinked{Tenant: l.tenant.DisplayName, Name: l.watched.Name, Owner: l.watched.Owner,
		Newest: viewSeen(l.newest), Installed: l.link.UsedAt, Contact: contact,
		Change: viewChange(l.watched, l.seen, l.newest, receivers[l.tenant.ID], nil),
		System: client.WatchSystem{Name: l.link.System}}
	systems := viewSystems(l.watched, receivers[l.tenant.ID], true, nil)
	if out.Change != nil { // the other systems are not the business of this one's administrator
		systems, out.Change.Systems = out.Change.Systems, nil
	}
	for _, system := range systems {
		if system.Name == l.link.System {
			out.System = system
			out.System.Contact = ""
		}
	}
	out.Newest.SeenBy = ""
	if out.Change != nil {
		out.Change.Seen.SeenBy, out.Change.Before.SeenBy = "", ""
	}
	return &Entity[client.WatchLinked]{Body: out}, errors.Join(err1, err2)
}

func (s *server) downloadWatchLinked(ctx context.Context, in *struct {
	OneLink
	Format publish.Format `query:"format" enum:"pem,der,pkcs7" default:"pem"`
}) (*Download, error) {
	l, err := s.watchLink(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	return watchedFile(l.watched, l.newest, in.Format)
}

func (s *server) reportWatchInstalled(ctx context.Context, in *OneLink) (*struct{}, error) {
	l, err := s.watchLink(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	now := s.now()
	return nil, s.store.InTx(ctx, func(tx *store.Tx) error {
		used, err := tx.UseWatchLink(ctx, l.link.ID, now.Add(-reportEvery), now)
		if err != nil || !used { // it was reported already, or revoked in the meantime
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, "link "+l.link.ID, "watch-link.installed", l.tenant.Name,
			l.tenant.Name+"/watched/"+l.watched.Name, map[string]any{"system": l.link.System,
				"fingerprint_sha256": l.newest.Fingerprint}))
	})
}
