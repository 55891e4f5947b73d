package api

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/egress/lookout"
	"github.com/perennial-pki/perennial/internal/engine/notify"
	"github.com/perennial-pki/perennial/internal/engine/watching"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// A watcher is what the handlers of watched certificates use.
type watcher struct {
	*watching.Watching
	lookout *lookout.Lookout
}

func newWatcher(c Config) watcher {
	w := watching.New(c.Store, c.Engine, c.Log)
	return watcher{w, lookout.New(c.Store, w, c.Network, c.Now, c.Log)}
}

func registerWatched(r *router) {
	const all, one = "/tenants/{tenant}/watched", "/tenants/{tenant}/watched/{watched}"
	register(r, endpoint{
		method: http.MethodGet, path: all, summary: "List the watched certificates of others", access: members,
	}, (*server).listWatched)
	register(r, endpoint{
		method: http.MethodPost, path: all, summary: "Watch a certificate that belongs to another organisation",
		status: http.StatusCreated, access: members,
	}, (*server).addWatched)
	register(r, endpoint{
		method: http.MethodGet, path: one, summary: "Get a watched certificate with its history", access: members,
	}, (*server).getWatched)
	register(r, endpoint{
		method: http.MethodPut, path: one, summary: "Change how a certificate is watched", access: members,
	}, (*server).changeWatched)
	register(r, endpoint{
		method: http.MethodDelete, path: one, summary: "Stop watching a certificate", status: http.StatusNoContent,
		access: members,
	}, (*server).removeWatched)
	register(r, endpoint{
		method: http.MethodPost, path: one + "/certificates",
		summary: "Upload the new certificate, and compare it with the one before", access: members,
	}, (*server).uploadWatched)
	register(r, endpoint{
		method: http.MethodGet, path: one + "/certificates/{fingerprint}/download",
		summary: "Download a certificate that was seen", access: members,
	}, (*server).downloadWatched)
	register(r, endpoint{
		method: http.MethodPost, path: one + "/look", summary: "Look at the source now", access: members,
	}, (*server).lookWatched)
}

// OneWatched holds the path parameters of a watched certificate.
type OneWatched struct {
	InTenant
	Name string `path:"watched" maxLength:"63"`
}

func (s *server) watched(ctx context.Context, in OneWatched) (t tenancy.Tenant, v tenancy.Watched, err error) {
	if t, err = s.tenant(ctx, in.Tenant); err == nil {
		v, err = s.store.Watched(ctx, t.ID, in.Name)
	}
	return t, v, err
}

func viewSeen(c tenancy.WatchedCertificate) client.WatchedSeen {
	v := client.WatchedSeen{Number: c.Position, Fingerprint: c.Fingerprint, SHA1: certfile.SHA1(c.DER),
		NotBefore: c.NotBefore, NotAfter: c.NotAfter, SeenAt: c.SeenAt, SeenBy: c.SeenBy, Surprises: c.Surprises,
		Adopted: c.Adopted}
	if parsed, err := certfile.ParseCertificate(c.DER); err == nil {
		v.Subject, v.Issuer = certfile.Name(parsed.RawSubject), certfile.Name(parsed.RawIssuer)
		serials := certfile.SerialsOf(parsed.SerialNumber)
		v.Serial, v.SerialDecimal = serials.Hex, serials.Decimal
	}
	return v
}

// viewSystems shows what to do in each system about the next certificate, or about one that was seen.
func viewSystems(v tenancy.Watched, receivers []tenancy.Receiver, seen bool,
	changes *tenancy.Changes) (all []client.WatchSystem) {
	for i, a := range notify.Advise(v.Systems, receivers, seen, changes) {
		all = append(all, client.WatchSystem{Name: a.System, IdentifiesBy: v.Systems[i].IdentifiesBy, Contact: a.Contact,
			Survival: a.Survival, Advice: a.Advice})
	}
	return all
}

func viewWatched(ctx context.Context, v tenancy.Watched, newest tenancy.WatchedCertificate,
	receivers []tenancy.Receiver, now time.Time) client.Watched {
	view := client.Watched{Name: v.Name, Owner: v.Owner, Window: v.Window,
		Source:  client.WatchSource{Kind: v.Source.Kind, Address: v.Source.Address},
		Systems: viewSystems(v, receivers, false, nil), LookedAt: v.LookedAt, Failing: v.FailingSince,
		LookError: said(ctx, v.LookError), CreatedAt: v.CreatedAt}
	if p, err := watching.PolicyOf(v); err == nil {
		view.Policy = p.Name
	}
	if newest.ID == "" {
		return view
	}
	shown := viewSeen(newest)
	view.Newest = &shown
	if e, err := watching.Expect(v, newest); err == nil {
		view.Stage = e.Stage(now)
		view.Expected = &client.WatchExpected{WarnAt: e.WarnAt, From: e.From, RenewsAt: e.RenewsAt, OverdueAt: e.OverdueAt}
	}
	return view
}

func (s *server) listWatched(ctx context.Context, in *struct {
	InTenant
	Searched
	ByName
}) (*List[client.Watched], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err1 := s.store.WatchedOf(ctx, t.ID, page)
	receivers, err2 := s.store.ReceiversOf(ctx, []string{t.ID})
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i, v := range rows {
		ids[i] = v.ID
	}
	newest, err := s.store.NewestWatched(ctx, ids)
	return listed(rows, next, in.Sort, func(v tenancy.Watched) client.Watched {
		return viewWatched(ctx, v, newest[v.ID], receivers[t.ID], s.now())
	}), err
}

// showWatched returns a watched certificate with its history.
func (s *server) showWatched(ctx context.Context, t tenancy.Tenant, v tenancy.Watched) (client.Watched, error) {
	seen, err1 := s.store.WatchedCertificates(ctx, []string{v.ID})
	receivers, err2 := s.store.ReceiversOf(ctx, []string{t.ID})
	newest, found := watching.Newest(seen[v.ID])
	view := viewWatched(ctx, v, newest, receivers[t.ID], s.now())
	for _, c := range slices.Backward(seen[v.ID]) {
		view.History = append(view.History, viewSeen(c))
	}
	if found {
		installed, err := s.store.WatchInstalled(ctx, newest.ID)
		if err != nil {
			return view, err
		}
		view.LastChange = viewChange(v, seen[v.ID], newest, receivers[t.ID], installed)
	}
	return view, errors.Join(err1, err2)
}

// viewChange shows what the newest certificate changed, and where it was reported as installed; nil if it is the first.
func viewChange(v tenancy.Watched, seen []tenancy.WatchedCertificate, newest tenancy.WatchedCertificate,
	receivers []tenancy.Receiver, installed map[string]time.Time) *client.Sighting {
	before, found := watching.Before(seen, newest)
	if !found {
		return nil
	}
	changes := watching.Compare(before, newest)
	out := &client.Sighting{New: true, Seen: viewSeen(newest), Before: viewSeen(before), Changes: changes,
		Systems: viewSystems(v, receivers, true, changes)}
	for i, system := range out.Systems {
		out.Systems[i].Installed = installed[system.Name]
	}
	return out
}

func (s *server) getWatched(ctx context.Context, in *OneWatched) (*Entity[client.Watched], error) {
	t, v, err := s.watched(ctx, *in)
	if err != nil {
		return nil, err
	}
	view, err := s.showWatched(ctx, t, v)
	return &Entity[client.Watched]{etag(v.Version), view}, err
}

// applyWatched sets what a caller may set. A folder is on the service's machine, so only an operator may name one.
func (s *server) applyWatched(ctx context.Context, in client.Watched, to tenancy.Watched) (tenancy.Watched, error) {
	source := tenancy.WatchSource{Kind: in.Source.Kind, Address: in.Source.Address}
	if source.Kind == tenancy.WatchFolder && source != to.Source && principal.Of(ctx).Role != tenancy.RoleOperator {
		return to, tenancy.Errorf(tenancy.ErrRefused, "a folder of the service's machine can only be set by an operator: "+
			"use a URL or a server, or upload new certificates")
	}
	rules, err := s.ownersPolicy(in, to)
	if err != nil {
		return to, err
	}
	to.Owner, to.Policy, to.Window, to.Source = in.Owner, rules, in.Window, source
	to.Systems = nil
	for _, system := range in.Systems {
		to.Systems = append(to.Systems, tenancy.WatchedSystem{Name: system.Name, IdentifiesBy: system.IdentifiesBy})
	}
	return to, nil
}

// ownersPolicy returns the policy file for a request. A policy that is stored already is kept by its name.
func (s *server) ownersPolicy(in client.Watched, stored tenancy.Watched) (string, error) {
	if in.PolicyFile != "" {
		p, err := policy.Read(strings.NewReader(in.PolicyFile))
		if err != nil {
			return "", tenancy.Invalid("policy_file", "%v", err)
		}
		return p.YAML(), nil
	}
	if in.Policy == "" {
		return "", nil
	}
	if p, err := watching.PolicyOf(stored); err == nil && p.Name == in.Policy {
		return stored.Policy, nil
	}
	if p := s.engine.Policy(); p.Name == in.Policy {
		return p.YAML(), nil
	}
	p, err := policy.Preset(in.Policy)
	if err != nil {
		return "", tenancy.Invalid("policy", "%v", err)
	}
	return p.YAML(), nil
}

// parseWatched reads an uploaded file. known is the watched certificate (DER); nil if there is none yet.
func parseWatched(file, known []byte) ([][]byte, error) {
	found, err := certfile.ParseAll(file, "")
	if err != nil {
		return nil, tenancy.Invalid("certificate", "%v", err)
	}
	return watching.Choose(found, known)
}

func (s *server) addWatched(ctx context.Context, in *struct {
	InTenant
	Body client.Watched
}) (*Created[client.Watched], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	v, err := s.applyWatched(ctx, in.Body, tenancy.Watched{Name: in.Body.Name})
	if err != nil {
		return nil, err
	}
	if err := v.Check(); err != nil { // before a source is read
		return nil, err
	}
	var chain [][]byte
	switch {
	case len(in.Body.File) > 0:
		chain, err = parseWatched(in.Body.File, nil)
	case v.Source.Kind == "":
		err = tenancy.Invalid("certificate", "there is no certificate: upload it, or name a source that shows it")
	default:
		v.LookedAt = s.now()
		if chain, err = s.watcher.lookout.Read(ctx, t.Name, v.Source, nil); err != nil {
			err = tenancy.Invalid("source", "the first certificate cannot be read: %v", err)
		}
	}
	if err != nil {
		return nil, err
	}
	if v, err = s.watcher.Add(ctx, t, v, chain, actor(ctx), s.now()); err != nil {
		return nil, err
	}
	view, err := s.showWatched(ctx, t, v)
	return &Created[client.Watched]{ETag: etag(v.Version), Body: view,
		Location: fmt.Sprintf(prefix+"/tenants/%s/watched/%s", t.Name, v.Name)}, err
}

func (s *server) changeWatched(ctx context.Context, in *struct {
	OneWatched
	Guarded
	Body client.Watched
}) (*Entity[client.Watched], error) {
	t, v, err := s.watched(ctx, in.OneWatched)
	if err != nil {
		return nil, err
	}
	if err := sameName(in.Body.Name, v.Name); err != nil {
		return nil, err
	}
	if v, err = s.applyWatched(ctx, in.Body, v); err != nil {
		return nil, err
	}
	if v.Version, err = in.version(); err != nil {
		return nil, err
	}
	if v, err = s.watcher.Change(ctx, t, v, actor(ctx), s.now()); err != nil {
		return nil, err
	}
	view, err := s.showWatched(ctx, t, v)
	return &Entity[client.Watched]{etag(v.Version), view}, err
}

func (s *server) removeWatched(ctx context.Context, in *struct {
	OneWatched
	Guarded
}) (_ *struct{}, err error) {
	t, v, err := s.watched(ctx, in.OneWatched)
	if err != nil {
		return nil, err
	}
	if v.Version, err = in.version(); err != nil {
		return nil, err
	}
	return nil, s.watcher.Remove(ctx, t, v, actor(ctx), s.now())
}

func (s *server) viewSighting(ctx context.Context, t tenancy.Tenant, w watching.Sighting) (*Entity[client.Sighting],
	error) {
	out := client.Sighting{New: w.New, Seen: viewSeen(w.Seen), Before: viewSeen(w.Before), Changes: w.Changes}
	if !w.New {
		return &Entity[client.Sighting]{etag(w.Watched.Version), out}, nil
	}
	receivers, err := s.store.ReceiversOf(ctx, []string{t.ID})
	out.Systems = viewSystems(w.Watched, receivers[t.ID], true, w.Changes)
	return &Entity[client.Sighting]{etag(w.Watched.Version), out}, err
}

func (s *server) uploadWatched(ctx context.Context, in *struct {
	OneWatched
	Body client.WatchUpload
}) (*Entity[client.Sighting], error) {
	t, v, err := s.watched(ctx, in.OneWatched)
	if err != nil {
		return nil, err
	}
	newest, err := s.store.NewestWatched(ctx, []string{v.ID})
	if err != nil {
		return nil, err
	}
	chain, err := parseWatched(in.Body.Certificate, newest[v.ID].DER)
	if err != nil {
		return nil, err
	}
	w, err := s.watcher.Seen(ctx, t, v.Name, chain,
		watching.Witness{By: actor(ctx), Person: true, Accepts: in.Body.Accept}, s.now())
	if err != nil {
		return nil, err
	}
	return s.viewSighting(ctx, t, w)
}

func (s *server) downloadWatched(ctx context.Context, in *struct {
	OneWatched
	Fingerprint string         `path:"fingerprint" maxLength:"64"`
	Format      publish.Format `query:"format" enum:"pem,der,pkcs7" default:"pem"`
}) (*Download, error) {
	_, v, err := s.watched(ctx, in.OneWatched)
	if err != nil {
		return nil, err
	}
	seen, err := s.store.WatchedCertificates(ctx, []string{v.ID})
	if err != nil {
		return nil, err
	}
	for _, c := range seen[v.ID] {
		if c.Fingerprint != in.Fingerprint {
			continue
		}
		return watchedFile(v, c, in.Format)
	}
	return nil, tenancy.Errorf(tenancy.ErrNotFound, "no certificate of %s has this fingerprint", v.Name)
}

// watchedFile returns a certificate that was seen as a file.
func watchedFile(v tenancy.Watched, c tenancy.WatchedCertificate, format publish.Format) (*Download, error) {
	above, err := certfile.SplitChain(c.Chain)
	if err != nil {
		return nil, err
	}
	var chain []byte
	for _, der := range above {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	file, err := publish.Certificate(format, c.DER, chain)
	name := fmt.Sprintf("%s-generation-%d%s", v.Name, c.Position, file.Extension)
	return &Download{file.ContentType, `attachment; filename="` + name + `"`, file.Data}, err
}

func (s *server) lookWatched(ctx context.Context, in *OneWatched) (*Entity[client.Sighting], error) {
	t, v, err := s.watched(ctx, *in)
	if err != nil {
		return nil, err
	}
	w, err := s.watcher.lookout.Look(ctx, t, v, actor(ctx))
	if err != nil {
		return nil, err
	}
	return s.viewSighting(ctx, t, w)
}
