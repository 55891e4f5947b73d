package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/tenancy"
)

func viewReceiver(r tenancy.Receiver) client.Receiver {
	return client.Receiver{
		Name: r.Name, DisplayName: r.DisplayName, ContactName: r.ContactName, ContactEmail: r.ContactEmail,
		ContactLanguage: r.Contact.Language, ContactZone: r.Contact.Zone, CreatedAt: r.CreatedAt,
	}
}

// applyReceiver sets what a caller may set.
func applyReceiver(r client.Receiver, to tenancy.Receiver) tenancy.Receiver {
	to.DisplayName, to.ContactName, to.ContactEmail = r.DisplayName, r.ContactName, r.ContactEmail
	to.Contact = tenancy.Preferences{Language: r.ContactLanguage, Zone: r.ContactZone}
	if to.DisplayName == "" {
		to.DisplayName = to.Name
	}
	return to
}

// OneReceiver holds the path parameters of a receiver.
type OneReceiver struct {
	InTenant
	Name string `path:"receiver" maxLength:"63"`
}

// arrangementPath is the path of an arrangement.
const arrangementPath = "/tenants/{tenant}/arrangements/{arrangement}"

// OneArrangement holds the path parameters of an arrangement.
type OneArrangement struct {
	InTenant
	Name string `path:"arrangement" maxLength:"63"`
}

func (s *server) receiver(ctx context.Context, in OneReceiver) (t tenancy.Tenant, r tenancy.Receiver, err error) {
	if t, err = s.tenant(ctx, in.Tenant); err == nil {
		r, err = s.store.Receiver(ctx, t.ID, in.Name)
	}
	return t, r, err
}

func (s *server) arrangement(ctx context.Context, in OneArrangement) (t tenancy.Tenant, a tenancy.Arrangement,
	err error) {
	if t, err = s.tenant(ctx, in.Tenant); err == nil {
		a, err = s.store.Arrangement(ctx, t.ID, in.Name)
	}
	return t, a, err
}

// viewArrangements returns a function that shows an arrangement of the tenant with the name of its receiver.
func (s *server) viewArrangements(ctx context.Context, t tenancy.Tenant) (func(tenancy.Arrangement) client.Arrangement,
	error) {
	receivers, err := s.store.ReceiversOf(ctx, []string{t.ID})
	names := map[string]string{}
	for _, r := range receivers[t.ID] {
		names[r.ID] = r.Name
	}
	return func(a tenancy.Arrangement) client.Arrangement {
		return client.Arrangement{
			Name: a.Name, Receiver: names[a.ReceiverID], Scenario: a.Scenario, Endpoint: a.Endpoint,
			Authentication: a.Authentication, Strategy: a.Strategy, Egress: a.Egress, Generation: a.Generation,
			Credential: a.Presents(), CreatedAt: a.CreatedAt,
		}
	}, err
}

// apply sets the fields that a caller may set. An arrangement that begins to use the certificate presents the newest
// generation.
func (s *server) apply(ctx context.Context, t tenancy.Tenant, in client.Arrangement,
	a tenancy.Arrangement) (tenancy.Arrangement, error) {
	r, err := s.store.Receiver(ctx, t.ID, in.Receiver)
	if errors.Is(err, tenancy.ErrNotFound) {
		return a, tenancy.Invalid("receiver", "there is no receiver %s: create it first", in.Receiver)
	} else if err != nil {
		return a, err
	}
	if principal.Of(ctx).Role != tenancy.RoleOperator {
		if err := s.ceilings.Check(a.Egress, in.Egress); err != nil {
			return a, err
		}
	}
	a.ReceiverID, a.Scenario, a.Endpoint, a.Authentication, a.Strategy, a.Egress = r.ID, in.Scenario, in.Endpoint,
		in.Authentication, in.Strategy, in.Egress
	if a.Authentication == "" {
		a.Authentication = tenancy.ClientCertificate
	}
	if a.Strategy == "" {
		a.Strategy = tenancy.Adaptive
	}
	if a.Credential == "" {
		a.Credential = in.Credential
	} else if in.Credential != "" && in.Credential != a.Credential {
		return a, tenancy.Invalid("credential", "cannot be changed: it is %s. Create another arrangement for %s",
			a.Credential, in.Credential)
	}
	switch {
	case a.Authentication != tenancy.ClientCertificate:
		a.Generation = 0
	case a.Generation == 0:
		if a.Generation, err = s.newestGeneration(ctx, t, a.Presents()); err != nil {
			return a, err
		}
	}
	return a, a.Check()
}

// newestGeneration returns the newest generation of a credential; 0 if none is issued yet.
func (s *server) newestGeneration(ctx context.Context, t tenancy.Tenant, name tenancy.Purpose) (int, error) {
	newest, err := s.store.Newest(ctx, t.ID, name)
	if !errors.Is(err, tenancy.ErrNotFound) {
		return newest.Generation, err
	}
	if _, err := s.store.Credential(ctx, t.ID, name); errors.Is(err, tenancy.ErrNotFound) {
		return 0, tenancy.Invalid("credential", "%s has no credential %s: add it first", t.Name, name)
	} else if err != nil {
		return 0, err
	}
	return 0, nil
}

func registerArrangements(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/receivers", summary: "List receivers", access: members,
	}, (*server).listReceivers)
	register(r, endpoint{
		method: http.MethodPost, path: "/tenants/{tenant}/receivers", summary: "Create a receiver",
		status: http.StatusCreated, access: members,
	}, (*server).createReceiver)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/receivers/{receiver}", summary: "Get a receiver",
		access: members,
	}, (*server).getReceiver)
	register(r, endpoint{
		method: http.MethodPut, path: "/tenants/{tenant}/receivers/{receiver}", summary: "Change a receiver",
		access: members,
	}, (*server).changeReceiver)
	register(r, endpoint{
		method: http.MethodDelete, path: "/tenants/{tenant}/receivers/{receiver}",
		summary: "Delete a receiver that no arrangement uses", status: http.StatusNoContent, access: members,
	}, (*server).deleteReceiver)

	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/arrangements", summary: "List arrangements",
		access: members,
	}, (*server).listArrangements)
	register(r, endpoint{
		method: http.MethodPost, path: "/tenants/{tenant}/arrangements", summary: "Create an arrangement",
		status: http.StatusCreated, access: members,
	}, (*server).createArrangement)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/arrangements/{arrangement}", summary: "Get an arrangement",
		access: members,
	}, (*server).getArrangement)
	register(r, endpoint{
		method: http.MethodPut, path: "/tenants/{tenant}/arrangements/{arrangement}",
		summary: "Change an arrangement", access: members,
	}, (*server).changeArrangement)
	register(r, endpoint{
		method: http.MethodDelete, path: "/tenants/{tenant}/arrangements/{arrangement}",
		summary: "Delete an arrangement", status: http.StatusNoContent, access: members,
	}, (*server).deleteArrangement)
}

func (s *server) listReceivers(ctx context.Context, in *struct {
	InTenant
	Searched
	ByName
}) (*List[client.Receiver], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.Receivers(ctx, t.ID, page)
	return listed(rows, next, in.Sort, viewReceiver), err
}

func (s *server) createReceiver(ctx context.Context, in *struct {
	InTenant
	Body client.Receiver
}) (*Created[client.Receiver], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	r := applyReceiver(
		in.Body,
		tenancy.Receiver{ID: store.NewID(), TenantID: t.ID, Name: in.Body.Name, CreatedAt: s.now(),
			Version: 1},
	)
	if err := r.Check(); err != nil {
		return nil, err
	}
	err = s.change(ctx, "receiver.created", t.Name, t.Name+"/"+r.Name, viewReceiver(r), func(tx *store.Tx) error {
		if err := roomForReceiver(ctx, tx, t); err != nil {
			return err
		}
		return named("receiver", r.Name, tx.CreateReceivers(ctx, r))
	})
	return &Created[client.Receiver]{
		etag(1),
		prefix + "/tenants/" + t.Name + "/receivers/" + r.Name,
		viewReceiver(r),
	}, err
}

func (s *server) getReceiver(ctx context.Context, in *OneReceiver) (*Entity[client.Receiver], error) {
	_, r, err := s.receiver(ctx, *in)
	return &Entity[client.Receiver]{etag(r.Version), viewReceiver(r)}, err
}

func (s *server) changeReceiver(ctx context.Context, in *struct {
	OneReceiver
	Guarded
	Body client.Receiver
}) (*Entity[client.Receiver], error) {
	t, r, err := s.receiver(ctx, in.OneReceiver)
	if err != nil {
		return nil, err
	}
	if err := sameName(in.Body.Name, r.Name); err != nil {
		return nil, err
	}
	if r.Version, err = in.version(); err != nil {
		return nil, err
	}
	r = applyReceiver(in.Body, r)
	if err := r.Check(); err != nil {
		return nil, err
	}
	err = s.change(ctx, "receiver.changed", t.Name, t.Name+"/"+r.Name, viewReceiver(r), func(tx *store.Tx) error {
		return tx.UpdateReceiver(ctx, r)
	})
	return &Entity[client.Receiver]{etag(r.Version + 1), viewReceiver(r)}, err
}

func (s *server) deleteReceiver(ctx context.Context, in *struct {
	OneReceiver
	Guarded
}) (*struct{}, error) {
	t, r, err := s.receiver(ctx, in.OneReceiver)
	if err != nil {
		return nil, err
	}
	out, err := s.discard(ctx, in.Guarded, &r.Version, "receiver.deleted", t.Name, r.Name, func(tx *store.Tx) error {
		return tx.DeleteReceiver(ctx, r)
	})
	if errors.Is(err, tenancy.ErrConflict) {
		err = tenancy.Errorf(tenancy.ErrConflict, "receiver %s is used by an arrangement: delete the arrangement first",
			r.Name)
	}
	return out, err
}

func (s *server) listArrangements(ctx context.Context, in *struct {
	InTenant
	Searched
	ByName
	Receiver string `query:"receiver" maxLength:"63" doc:"Only arrangements with this receiver."`
}) (*List[client.Arrangement], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	var receiver tenancy.Receiver
	if in.Receiver != "" {
		if receiver, err = s.store.Receiver(ctx, t.ID, in.Receiver); err != nil {
			return nil, err
		}
	}
	rows, next, err1 := s.store.Arrangements(ctx, t.ID, receiver.ID, page)
	view, err2 := s.viewArrangements(ctx, t)
	return listed(rows, next, in.Sort, view), errors.Join(err1, err2)
}

func (s *server) createArrangement(ctx context.Context, in *struct {
	InTenant
	Body client.Arrangement
}) (*Created[client.Arrangement], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	a, err := s.apply(ctx, t, in.Body, tenancy.Arrangement{ID: store.NewID(), TenantID: t.ID, Name: in.Body.Name,
		CreatedAt: s.now(), Version: 1})
	if err != nil {
		return nil, err
	}
	view, err := s.viewArrangements(ctx, t)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, "arrangement.created", t.Name, t.Name+"/"+a.Name, view(a), func(tx *store.Tx) error {
		if err := roomForArrangement(ctx, tx, t); err != nil {
			return err
		}
		return errors.Join(named("arrangement", a.Name, tx.CreateArrangements(ctx, a)), presenting(ctx, tx, a))
	})
	if err == nil {
		s.askNew(ctx, t, a)
	}
	return &Created[client.Arrangement]{etag(1), prefix + "/tenants/" + t.Name + "/arrangements/" + a.Name, view(a)}, err
}

// newQuestionTimeout limits the wait for a new arrangement's receiver.
const newQuestionTimeout = 10 * time.Second

// askNew sends the question of a new arrangement to its receiver if a roll-over is open, so that the arrangement starts
// with evidence. It fails silently, because the receiver is asked again later.
func (s *server) askNew(ctx context.Context, t tenancy.Tenant, a tenancy.Arrangement) {
	if a.Authentication != tenancy.ClientCertificate || a.Egress.Probe.Method == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, newQuestionTimeout)
	defer cancel()
	created, err := s.engine.Standing(ctx, s.store.Reader, t, a)
	if err == nil && len(created.Rollover.Generations) > 1 {
		_, _, err = s.prober().Probe(ctx, created, actor(ctx))
	}
	if err != nil {
		s.log.WarnContext(ctx, "the receiver of a new arrangement could not be tested", "arrangement", t.Name+"/"+a.Name,
			"error", err)
	}
}

func (s *server) getArrangement(ctx context.Context, in *OneArrangement) (*Entity[client.Arrangement], error) {
	t, a, err := s.arrangement(ctx, *in)
	if err != nil {
		return nil, err
	}
	view, err := s.viewArrangements(ctx, t)
	return &Entity[client.Arrangement]{etag(a.Version), view(a)}, err
}

func (s *server) changeArrangement(ctx context.Context, in *struct {
	OneArrangement
	Guarded
	Body client.Arrangement
}) (*Entity[client.Arrangement], error) {
	t, a, err := s.arrangement(ctx, in.OneArrangement)
	if err != nil {
		return nil, err
	}
	if err := sameName(in.Body.Name, a.Name); err != nil {
		return nil, err
	}
	if a.Version, err = in.version(); err != nil {
		return nil, err
	}
	before := a
	if a, err = s.apply(ctx, t, in.Body, a); err != nil {
		return nil, err
	}
	view, err := s.viewArrangements(ctx, t)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, "arrangement.changed", t.Name, t.Name+"/"+a.Name, view(a), func(tx *store.Tx) error {
		moved := tenancy.HostOf(a.Endpoint) != tenancy.HostOf(before.Endpoint)
		if moved && a.ReceiverID == before.ReceiverID { // it may be another organisation now
			if err := tx.UnlinkReceiver(ctx, a.ReceiverID); err != nil {
				return err
			}
		}
		if err := tx.UpdateArrangement(ctx, a); err != nil {
			return err
		}
		if a.ReceiverID != before.ReceiverID {
			if err := tx.UnlinkStray(ctx, before.ReceiverID); err != nil {
				return err
			}
		}
		if a.Endpoint != before.Endpoint || a.ReceiverID != before.ReceiverID { // the evidence is about another endpoint
			if err := tx.ForgetEvidence(ctx, a.ID); err != nil {
				return err
			}
		}
		return presenting(ctx, tx, a)
	})
	return &Entity[client.Arrangement]{etag(a.Version + 1), view(a)}, err
}

func (s *server) deleteArrangement(ctx context.Context, in *struct {
	OneArrangement
	Guarded
}) (*struct{}, error) {
	t, a, err := s.arrangement(ctx, in.OneArrangement)
	if err != nil {
		return nil, err
	}
	return s.discard(ctx, in.Guarded, &a.Version, "arrangement.deleted", t.Name, a.Name, func(tx *store.Tx) error {
		tx.Changed(a.TenantID)
		return tx.DeleteArrangement(ctx, a)
	})
}

// presenting activates the generation that an arrangement presents, and notifies gateways.
func presenting(ctx context.Context, tx *store.Tx, a tenancy.Arrangement) error {
	tx.Changed(a.TenantID)
	if a.Authentication != tenancy.ClientCertificate {
		return nil
	}
	return tx.Activate(ctx, a.TenantID, a.Presents(), a.Generation)
}

// sameName refuses a change of the name, because it is part of the address.
func sameName(in, is string) error {
	if in != "" && in != is {
		return tenancy.Invalid("name", "cannot be changed: it is %s", is)
	}
	return nil
}
