package importing

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// batchSize is the number of tenants that one transaction creates. Other writers wait for a transaction of that size
// for some hundredths of a second.
const batchSize = 100

// A made records what an import created for a tenant.
type made struct {
	TenantID     string   `json:"tenant_id"`
	New          bool     `json:"new,omitempty"`
	KeyUsers     []string `json:"key_users,omitempty"` // names
	Contacts     []string `json:"contacts,omitempty"`  // identifiers
	Receivers    []string `json:"receivers,omitempty"`
	Arrangements []string `json:"arrangements,omitempty"`
}

// makeAll creates what units contain. If one of them cannot be created, those before it are.
func (m *Importer) makeAll(ctx context.Context, i tenancy.Import, units []*Unit) error {
	err := m.make(ctx, i, units)
	var rule *tenancy.RuleError
	if len(units) == 1 || !errors.As(err, &rule) {
		return err
	}
	for _, u := range units {
		if err := m.make(ctx, i, []*Unit{u}); err != nil {
			return err
		}
	}
	return nil
}

// make creates what units contain, and records it, in one transaction.
func (m *Importer) make(ctx context.Context, i tenancy.Import, units []*Unit) error {
	now := m.now().UTC().Truncate(time.Microsecond)
	var foundings []lifecycle.Founding
	for _, u := range units {
		if !u.New {
			continue
		}
		adopted, err := u.adopted()
		if err != nil {
			return err
		}
		foundings = append(foundings, lifecycle.Founding{Tenant: u.tenant(), Adopted: adopted, NotAfter: u.NotAfter,
			MailForTasks: u.MailForTasks, Issuer: u.Issuer})
	}
	_, err := m.engine.AdoptTenants(ctx, foundings, i.CreatedBy, now, func(tx *store.Tx, _ []tenancy.Tenant) error {
		here, err := readExisting(ctx, tx.Reader, units)
		if err != nil {
			return err
		}
		b := batch{now: now, actor: i.CreatedBy, importID: i.ID, here: here}
		for _, u := range units {
			if err := b.add(u); err != nil {
				return err
			}
		}
		return b.write(ctx, tx)
	})
	return err
}

// A batch collects the rows of many units.
type batch struct {
	now      time.Time
	actor    string
	importID string
	here     *existing

	rows    store.Rows
	items   []tenancy.Imported
	changed []tenancy.Tenant // with new arrangements
	events  []tenancy.Event
}

// add collects the people and the arrangements of a unit. The error is [tenancy.ErrConflict] if one of them was added
// since the check.
func (b *batch) add(u *Unit) error {
	t, ok := b.here.tenants[u.Tenant]
	if !ok {
		return tenancy.Errorf(tenancy.ErrNotFound, "the tenant %s was deleted in the meantime", u.Tenant)
	}
	done := made{TenantID: t.ID, New: u.New}
	for _, p := range u.KeyUsers {
		if b.here.hasKeyUser(t, p.Name) {
			return tenancy.Errorf(tenancy.ErrConflict, "a key user %s was added to %s in the meantime", p.Name, t.Name)
		}
		k := tenancy.KeyUser{ID: store.NewID(), TenantID: t.ID, Name: p.Name, DisplayName: p.DisplayName,
			Email: p.Email, Preferences: p.Preferences,
			UnsubscribeToken: rand.Text(), CreatedAt: b.now, Version: 1}
		if p.Subscribed {
			k.SubscribedAt = b.now
		}
		b.rows.KeyUsers = append(b.rows.KeyUsers, k)
		done.KeyUsers = append(done.KeyUsers, p.Name)
	}
	position := len(b.here.contacts[t.ID])
	for _, p := range u.Contacts {
		position++
		c := tenancy.ITContact{ID: store.NewID(), TenantID: t.ID, Position: position, Name: p.Name, Email: p.Email,
			Preferences: p.Preferences, CreatedAt: b.now, Version: 1}
		b.rows.ITContacts = append(b.rows.ITContacts, c)
		done.Contacts = append(done.Contacts, c.ID)
	}
	if err := b.addArrangements(u, t, &done); err != nil {
		return err
	}
	text, err := json.Marshal(done)
	if err != nil {
		return err
	}
	b.items = append(b.items, tenancy.Imported{Tenant: u.Tenant, Made: string(text)})
	if !u.New {
		b.events = append(b.events, tenancy.NewEvent(b.now, b.actor, "tenant.imported-into", t.Name, t.Name,
			map[string]any{"import": b.importID, "key_users": len(u.KeyUsers), "arrangements": len(u.Arrangements)}))
	}
	return nil
}

func (b *batch) addArrangements(u *Unit, t tenancy.Tenant, done *made) error {
	receivers := map[string]string{} // IDs by name
	for _, r := range b.here.receivers[t.ID] {
		receivers[r.Name] = r.ID
	}
	for _, a := range u.Arrangements {
		if b.here.hasArrangement(t, a.Name) {
			return tenancy.Errorf(tenancy.ErrConflict, "an arrangement %s was added to %s in the meantime", a.Name, t.Name)
		}
		r := a.Receiver
		if receivers[r.Name] == "" {
			r.ID, r.TenantID, r.CreatedAt, r.Version = store.NewID(), t.ID, b.now, 1
			receivers[r.Name] = r.ID
			b.rows.Receivers = append(b.rows.Receivers, r)
			done.Receivers = append(done.Receivers, r.Name)
		}
		v := a.Arrangement
		v.ID, v.TenantID, v.ReceiverID, v.Generation, v.CreatedAt, v.Version = store.NewID(), t.ID, receivers[r.Name],
			b.here.newest[t.ID].Generation, b.now, 1
		b.rows.Arrangements = append(b.rows.Arrangements, v)
		done.Arrangements = append(done.Arrangements, v.Name)
	}
	if len(u.Arrangements) > 0 {
		b.changed = append(b.changed, t)
	}
	return nil
}

// write stores what was collected.
func (b *batch) write(ctx context.Context, tx *store.Tx) error {
	if err := tx.Create(ctx, b.rows); err != nil {
		return err
	}
	if err := tx.AddImported(ctx, b.importID, b.items...); err != nil {
		return err
	}
	for _, t := range b.changed {
		tx.Changed(t.ID)
		if newest := b.here.newest[t.ID]; newest.State == tenancy.Standby {
			if err := tx.Activate(ctx, t.ID, tenancy.ForTenant, newest.Generation); err != nil {
				return err
			}
		}
	}
	return tx.Audit(ctx, b.events...)
}

// existing holds the rows that the database has of the tenants of some units.
type existing struct {
	tenants      map[string]tenancy.Tenant // by name
	users        map[string][]tenancy.KeyUser
	contacts     map[string][]tenancy.ITContact
	receivers    map[string][]tenancy.Receiver
	arrangements map[string][]tenancy.Arrangement
	newest       map[string]tenancy.Certificate // newest generation of the tenant certificate, by tenant ID
}

func readExisting(ctx context.Context, r store.Reader, units []*Unit) (*existing, error) {
	names := make([]string, len(units))
	for i, u := range units {
		names[i] = u.Tenant
	}
	e := &existing{newest: map[string]tenancy.Certificate{}}
	var err error
	if e.tenants, err = r.TenantsNamed(ctx, names); err != nil {
		return nil, err
	}
	var ids []string
	for _, t := range e.tenants {
		ids = append(ids, t.ID)
	}
	var errs [5]error
	var generations map[string][]tenancy.Certificate
	e.users, errs[0] = r.KeyUsersOf(ctx, ids)
	e.contacts, errs[1] = r.ITContactsOf(ctx, ids)
	e.receivers, errs[2] = r.ReceiversOf(ctx, ids)
	e.arrangements, errs[3] = r.ArrangementsOf(ctx, ids)
	generations, errs[4] = r.InReachOf(ctx, ids)
	for id, all := range generations {
		for _, c := range all { // oldest first
			if c.Purpose == tenancy.ForTenant {
				e.newest[id] = c
			}
		}
	}
	return e, errors.Join(errs[:]...)
}

func (e *existing) hasKeyUser(t tenancy.Tenant, name string) bool {
	return slices.ContainsFunc(e.users[t.ID], func(u tenancy.KeyUser) bool { return u.Name == name })
}

func (e *existing) hasArrangement(t tenancy.Tenant, name string) bool {
	return slices.ContainsFunc(e.arrangements[t.ID], func(a tenancy.Arrangement) bool { return a.Name == name })
}
