package store

import (
	"context"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestAFleetReadsBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		tenant, user := filled[tenancy.Tenant](100), filled[tenancy.KeyUser](200)
		project, cert := filled[tenancy.ScopingProject](300), filled[tenancy.Certificate](400)
		receiver, arrangement := filled[tenancy.Receiver](500), filled[tenancy.Arrangement](600)
		user.TenantID, project.TenantID, cert.TenantID, receiver.TenantID = tenant.ID, tenant.ID, tenant.ID, tenant.ID
		arrangement.TenantID, arrangement.ReceiverID = tenant.ID, receiver.ID
		contact, credential := filled[tenancy.ITContact](700), filled[tenancy.Credential](800)
		contact.TenantID, credential.TenantID = tenant.ID, tenant.ID
		name := KeptName{"cn=" + tenant.Name, tenant.ID}
		fleet := func(ctx context.Context, tx *Tx) error {
			return tx.Create(ctx, Rows{Tenants: []tenancy.Tenant{tenant}, KeyUsers: []tenancy.KeyUser{user},
				Projects:     []tenancy.ScopingProject{project},
				Certificates: []SealedCertificate{{Certificate: cert, SealedKey: []byte("key")}},
				Receivers:    []tenancy.Receiver{receiver}, Arrangements: []tenancy.Arrangement{arrangement},
				ITContacts: []tenancy.ITContact{contact}, Credentials: []tenancy.Credential{credential},
				KeptNames: []KeptName{name}})
		}
		if r.Engine() == SQLite {
			testenv.FailsIfReadOnly(t, r.DB(), []string{"INSERT ON tenants", "INSERT ON key_users",
				"INSERT ON scoping_projects", "INSERT ON scoping_answers", "INSERT ON certificates", "INSERT ON receivers",
				"INSERT ON arrangements", "INSERT ON it_contacts", "INSERT ON credentials", "INSERT ON kept_names"},
				func() error { return write(t, r.Store, fleet) })
		}
		r.write(fleet)
		gotTenant, err := r.Tenant(ctx, tenant.Name)
		r.same("a tenant", err, gotTenant, tenant)
		gotUser, err := r.KeyUser(ctx, tenant.ID, user.Name)
		r.same("a key user", err, gotUser, user)
		projects, err := r.ScopingProjects(ctx, tenant.ID)
		r.same("projects", err, projects, []tenancy.ScopingProject{project})
		gotCert, err := r.Certificate(ctx, tenant.ID, cert.Purpose, cert.Generation)
		r.same("a certificate", err, gotCert, cert)
		gotReceiver, err := r.Receiver(ctx, tenant.ID, receiver.Name)
		r.same("a receiver", err, gotReceiver, receiver)
		gotArrangement, err := r.Arrangement(ctx, tenant.ID, arrangement.Name)
		r.same("an arrangement", err, gotArrangement, arrangement)
		contacts, err := r.ITContacts(ctx, tenant.ID)
		r.same("contacts", err, contacts, []tenancy.ITContact{contact})
		gotCredential, err := r.Credential(ctx, tenant.ID, credential.Name)
		r.same("a credential", err, gotCredential, credential)
		owners, err := r.NameOwners(ctx, []string{name.Name})
		r.same("a kept name", err, owners, []NameOwner{{name.Name, tenant.Name}})
		must(t, r.Analyze(ctx))
	})
}

func TestADatabaseInMemoryEndsWithItsStore(t *testing.T) {
	s, err := OpenInMemory(t.Context())
	must(t, err)
	acme(t, s, "acme", now)
	if n := s.DB().Stats().MaxOpenConnections; n != 1 { // another one would be another database
		t.Errorf("%d connections", n)
	}
	must(t, s.Close())
	if s, err = OpenInMemory(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if all, err := s.Tenants(t.Context(), "", 10); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := OpenInMemory(ended); err == nil || s != nil {
		t.Error("a database that was not migrated")
	}
}
