package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/tenancy"
)

func viewTenant(t tenancy.Tenant) client.Tenant {
	return client.Tenant{
		Name: t.Name, DisplayName: t.DisplayName, KeyType: t.KeyType,
		MailsAdministrators: t.MailsAdministrators, CreatedAt: t.CreatedAt,
	}
}

// A tenant cannot be deleted: its certificates would expire unrenewed.
func registerTenants(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants", summary: "List tenants", access: operators,
	}, (*server).listTenants)
	register(r, endpoint{
		method: http.MethodPost, path: "/tenants", summary: "Create a tenant with its first certificates",
		status: http.StatusCreated, access: operators,
	}, (*server).createTenant)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}", summary: "Get a tenant", access: members,
	}, (*server).getTenant)
	register(r, endpoint{
		method: http.MethodPut, path: "/tenants/{tenant}", summary: "Change a tenant", access: members,
	}, (*server).changeTenant)
}

func (s *server) listTenants(ctx context.Context, in *struct {
	Begun
	ByName
}) (*List[client.Tenant], error) {
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.SearchTenants(ctx, page)
	return listed(rows, next, in.Sort, viewTenant), err
}

func (s *server) createTenant(ctx context.Context, in *struct{ Body client.Tenant }) (*Created[client.Tenant], error) {
	t := tenancy.Tenant{Name: in.Body.Name, DisplayName: in.Body.DisplayName, KeyType: in.Body.KeyType}
	if t.DisplayName == "" {
		t.DisplayName = t.Name
	}
	if t.KeyType == "" {
		t.KeyType = tenancy.P256
	}
	t, err := s.engine.CreateTenant(ctx, t, actor(ctx), s.now())
	return &Created[client.Tenant]{etag(t.Version), prefix + "/tenants/" + t.Name, viewTenant(t)}, err
}

func (s *server) getTenant(ctx context.Context, in *InTenant) (*Entity[client.Tenant], error) {
	t, err := s.tenant(ctx, in.Tenant)
	return &Entity[client.Tenant]{etag(t.Version), viewTenant(t)}, err
}

func (s *server) changeTenant(ctx context.Context, in *struct {
	InTenant
	Guarded
	Body client.TenantChange
}) (*Entity[client.Tenant], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	if t.Version, err = in.version(); err != nil {
		return nil, err
	}
	t.DisplayName, t.KeyType = in.Body.DisplayName, in.Body.KeyType
	if in.Body.MailsAdministrators != nil {
		t.MailsAdministrators = *in.Body.MailsAdministrators
	}
	if err := t.Check(); err != nil {
		return nil, err
	}
	if err := s.engine.CheckKeyType(t.KeyType); err != nil {
		return nil, err
	}
	err = s.change(ctx, "tenant.changed", t.Name, t.Name, in.Body, func(tx *store.Tx) error {
		return tx.UpdateTenant(ctx, t)
	})
	return &Entity[client.Tenant]{etag(t.Version + 1), viewTenant(t)}, err
}

func viewKeyUser(u tenancy.KeyUser) client.KeyUser {
	return client.KeyUser{
		Name: u.Name, DisplayName: u.DisplayName, Email: u.Email, Language: u.Language, Zone: u.Zone,
		SubscribedAt: u.SubscribedAt, CreatedAt: u.CreatedAt,
	}
}

// OneKeyUser holds the path parameters of a key user.
type OneKeyUser struct {
	InTenant
	User string `path:"user" maxLength:"63"`
}

func (s *server) keyUser(ctx context.Context, in OneKeyUser) (tenancy.Tenant, tenancy.KeyUser, error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return t, tenancy.KeyUser{}, err
	}
	u, err := s.store.KeyUser(ctx, t.ID, in.User)
	return t, u, err
}

func registerPeople(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/key-users", summary: "List key users", access: members,
	}, (*server).listKeyUsers)
	register(r, endpoint{
		method: http.MethodPost, path: "/tenants/{tenant}/key-users", summary: "Create a key user",
		status: http.StatusCreated, access: members,
	}, (*server).createKeyUser)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/key-users/{user}", summary: "Get a key user",
		access: members,
	}, (*server).getKeyUser)
	register(r, endpoint{
		method: http.MethodPut, path: "/tenants/{tenant}/key-users/{user}",
		summary: "Change the full name, the e-mail address and the preferences of a key user",
		access:  members,
	}, (*server).changeKeyUser)
	register(r, endpoint{
		method: http.MethodDelete, path: "/tenants/{tenant}/key-users/{user}",
		summary: "Delete a key user with their tasks and tokens", status: http.StatusNoContent, access: members,
	}, (*server).deleteKeyUser)
	register(r, endpoint{
		method: http.MethodPut, path: "/tenants/{tenant}/key-users/{user}/subscription",
		summary: "Subscribe to Task. Applies from the next notice on", access: members,
	}, (*server).subscribe)
	register(r, endpoint{
		method: http.MethodDelete, path: "/tenants/{tenant}/key-users/{user}/subscription", summary: "Unsubscribe",
		access: members,
	}, (*server).unsubscribeUser)

	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/mail-check",
		summary: "Explain whether a user gets mail: each condition, whether it holds, and how to fix it", access: members,
	}, (*server).mailCheck)

	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/it-contacts", summary: "List the IT contacts in their order",
		access: members,
	}, (*server).listITContacts)
	register(r, endpoint{
		method: http.MethodPut, path: "/tenants/{tenant}/it-contacts",
		summary: "Set the IT contacts. The first one is the designated contact", access: members,
	}, (*server).setITContacts)
}

func (s *server) listKeyUsers(ctx context.Context, in *struct {
	InTenant
	Searched
	ByName
}) (*List[client.KeyUser], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.KeyUsers(ctx, t.ID, page)
	return listed(rows, next, in.Sort, viewKeyUser), err
}

func (s *server) createKeyUser(ctx context.Context, in *struct {
	InTenant
	Body client.KeyUser
}) (*Created[client.KeyUser], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	u := tenancy.KeyUser{ID: store.NewID(), TenantID: t.ID, Name: in.Body.Name, DisplayName: in.Body.DisplayName,
		Email: in.Body.Email, Preferences: tenancy.Preferences{Language: in.Body.Language, Zone: in.Body.Zone},
		UnsubscribeToken: rand.Text(), CreatedAt: s.now(), Version: 1}
	if err := u.Check(); err != nil {
		return nil, err
	}
	err = s.change(ctx, "key-user.created", t.Name, t.Name+"/"+u.Name, nil, func(tx *store.Tx) error {
		if err := roomForKeyUser(ctx, tx, t); err != nil {
			return err
		}
		return named("key user", u.Name, tx.CreateKeyUsers(ctx, u))
	})
	return &Created[client.KeyUser]{etag(1), prefix + "/tenants/" + t.Name + "/key-users/" + u.Name, viewKeyUser(u)}, err
}

func (s *server) getKeyUser(ctx context.Context, in *OneKeyUser) (*Entity[client.KeyUser], error) {
	_, u, err := s.keyUser(ctx, *in)
	return &Entity[client.KeyUser]{etag(u.Version), viewKeyUser(u)}, err
}

func (s *server) changeKeyUser(ctx context.Context, in *struct {
	OneKeyUser
	Guarded
	Body client.KeyUserChange
}) (*Entity[client.KeyUser], error) {
	t, u, err := s.keyUser(ctx, in.OneKeyUser)
	if err != nil {
		return nil, err
	}
	if u.Version, err = in.version(); err != nil {
		return nil, err
	}
	if u.Email != in.Body.Email { // links in the mails to the old address must not work for the new one
		u.UnsubscribeToken = rand.Text()
	}
	u.Email = in.Body.Email
	setIf(&u.DisplayName, in.Body.DisplayName)
	setIf(&u.Language, in.Body.Language)
	setIf(&u.Zone, in.Body.Zone)
	if err := u.Check(); err != nil {
		return nil, err
	}
	err = s.change(ctx, "key-user.changed", t.Name, t.Name+"/"+u.Name, nil, func(tx *store.Tx) error {
		return tx.UpdateKeyUser(ctx, u)
	})
	return &Entity[client.KeyUser]{etag(u.Version + 1), viewKeyUser(u)}, err
}

// setIf sets a field that a request contains. Another one stays as it is.
func setIf(field, to *string) {
	if to != nil {
		*field = *to
	}
}

func (s *server) deleteKeyUser(ctx context.Context, in *struct {
	OneKeyUser
	Guarded
}) (*struct{}, error) {
	t, u, err := s.keyUser(ctx, in.OneKeyUser)
	if err != nil {
		return nil, err
	}
	return s.discard(ctx, in.Guarded, &u.Version, "key-user.deleted", t.Name, u.Name, func(tx *store.Tx) error {
		return tx.DeleteKeyUser(ctx, u)
	})
}

func (s *server) subscribe(ctx context.Context, in *OneKeyUser) (*Entity[client.KeyUser], error) {
	return s.setSubscription(ctx, *in, "key-user.subscribed", s.now())
}

func (s *server) unsubscribeUser(ctx context.Context, in *OneKeyUser) (*Entity[client.KeyUser], error) {
	return s.setSubscription(ctx, *in, "key-user.unsubscribed", time.Time{})
}

// setSubscription subscribes a key user from an instant on, or ends the subscription if it is zero.
func (s *server) setSubscription(ctx context.Context, in OneKeyUser, action string,
	from time.Time) (*Entity[client.KeyUser], error) {
	t, u, err := s.keyUser(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := oneself(ctx, u); err != nil {
		return nil, err
	}
	if u.SubscribedAt.IsZero() == from.IsZero() { // nothing changes
		return &Entity[client.KeyUser]{etag(u.Version), viewKeyUser(u)}, nil
	}
	if u.SubscribedAt = from; !from.IsZero() {
		u.Subscribe(from, rand.Text())
	}
	err = s.change(ctx, action, t.Name, t.Name+"/"+u.Name, nil, func(tx *store.Tx) error {
		return tx.UpdateKeyUser(ctx, u)
	})
	return &Entity[client.KeyUser]{etag(u.Version + 1), viewKeyUser(u)}, err
}

func (s *server) listITContacts(ctx context.Context, in *InTenant) (*Contacts, error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	contacts, err := s.store.ITContacts(ctx, t.ID)
	return viewContacts(contacts), err
}

func (s *server) setITContacts(ctx context.Context, in *struct {
	InTenant
	Guarded
	Body []client.ITContact `maxItems:"50"`
}) (*Contacts, error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	var contacts []tenancy.ITContact
	for _, c := range in.Body {
		contact := tenancy.ITContact{ID: store.NewID(), TenantID: t.ID, Name: c.Name, Email: c.Email,
			Preferences: tenancy.Preferences{Language: c.Language, Zone: c.Zone}, CreatedAt: s.now(), Version: version + 1}
		if err := contact.Check(); err != nil {
			return nil, err
		}
		contacts = append(contacts, contact)
	}
	err = s.change(ctx, "it-contacts.changed", t.Name, t.Name, map[string]any{"contacts": len(contacts)},
		func(tx *store.Tx) error {
			before, err := tx.ITContacts(ctx, t.ID)
			if err != nil {
				return err
			}
			if listVersion(before) != version {
				return tenancy.Errorf(tenancy.ErrStale, "the contacts have been changed in the meantime: read them again")
			}
			return tx.SetITContacts(ctx, t.ID, contacts)
		})
	return viewContacts(contacts), err
}

// Contacts is an answer with all IT contacts. The list is changed as a whole.
type Contacts struct {
	ETag string `header:"ETag"`
	Body client.Page[client.ITContact]
}

func viewContacts(contacts []tenancy.ITContact) *Contacts {
	list := pageOf(contacts, len(contacts), nil, func(c tenancy.ITContact) client.ITContact {
		return client.ITContact{
			Name: c.Name, Email: c.Email, Language: c.Language, Zone: c.Zone,
		}
	})
	return &Contacts{etag(listVersion(contacts)), list.Body}
}

// listVersion returns the version that all contacts of a list have; 0 if the list is empty.
func listVersion(contacts []tenancy.ITContact) int64 {
	if len(contacts) == 0 {
		return 0
	}
	return contacts[0].Version
}

// oneself returns an error if a key user acts for another key user.
func oneself(ctx context.Context, u tenancy.KeyUser) error {
	if p := principal.Of(ctx); p.Role == tenancy.RoleKeyUser && p.KeyUserID != u.ID {
		return tenancy.Errorf(tenancy.ErrRefused, "only %s can change this", u.Name)
	}
	return nil
}

// named adds the name of the object to a conflict.
func named(what, name string, err error) error {
	if errors.Is(err, tenancy.ErrConflict) {
		return tenancy.Errorf(tenancy.ErrConflict, "%s %s already exists", what, name)
	}
	return err
}

func (s *server) mailCheck(ctx context.Context, in *struct {
	InTenant
	User string `query:"user" required:"true" maxLength:"63"`
}) (*Entity[client.MailCheck], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	projects, err := s.store.ScopingProjects(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	hold, err := s.store.MailHold(ctx)
	if err != nil {
		return nil, err
	}
	u, err := s.store.KeyUser(ctx, t.ID, in.User)
	assigned := err == nil
	if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
		return nil, err
	}
	conditions := tenancy.MailConditions(tenancy.Recipient{InScope: tenancy.InScope(projects, tenancy.MailForTasks),
		Assigned: assigned, Subscribed: !u.SubscribedAt.IsZero()})
	conditions = append(conditions, tenancy.Condition{Name: tenancy.Say("a mail server is configured"),
		Holds: s.outbox != nil,
		Fix: tenancy.Say("Mails are not configured on this installation. The hosting team can do that. Mails wait until " +
			"then.")})
	if s.outbox != nil {
		conditions = append(conditions, tenancy.Condition{
			Name:  tenancy.Say("the mail server accepts mails of this installation"),
			Holds: hold.Since.IsZero(),
			Fix:   tenancy.Say("The hosting team must fix what the mail server refuses. Mails wait until then.")})
	}
	check := client.MailCheck{User: in.User, GetsMail: true, Deliveries: []client.Delivery{}}
	for _, c := range conditions {
		check.GetsMail = check.GetsMail && c.Holds
		condition := client.Condition{Condition: words.Say(ctx, c.Name), Holds: c.Holds}
		if !c.Holds {
			condition.Fix = words.Say(ctx, c.Fix)
		}
		check.Conditions = append(check.Conditions, condition)
	}
	if assigned {
		mails, err := s.store.MailsOf(ctx, u.ID, 10)
		if err != nil {
			return nil, err
		}
		for _, m := range mails {
			check.Deliveries = append(check.Deliveries, viewDelivery(ctx, m, t.Name))
		}
	}
	return &Entity[client.MailCheck]{Body: check}, nil
}
