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
		fleet := func(ctx context.Context, tx *Tx) error {
			return tx.Create(ctx, Rows{Tenants: []tenancy.Tenant{tenant}, KeyUsers: []tenancy.KeyUser{user},
				Projects: []tenancy.ScopingProject{project}, Certificates: []SealedCertificate{{cert, []byte("key")}},
				Receivers: []tenancy.Receiver{receiver}, Arrangements: []tenancy.Arrangement{arrangement}})
		}
		if r.Engine() == SQLite {
			testenv.FailsIfReadOnly(t, r.DB(), []string{"INSERT ON tenants", "INSERT ON key_users",
				"INSERT ON scoping_projects", "INSERT ON scoping_answers", "INSERT ON certificates", "INSERT ON receivers",
				"INSERT ON arrangements"}, func() error { return write(t, r.Store, fleet) })
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
