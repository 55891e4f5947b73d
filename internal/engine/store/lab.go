package store

// Only the lab uses this file. Simulations and measurements open a database in memory and fill it with thousands of
// rows, without the checks of the engine.

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/perennial-pki/perennial/tenancy"
)

var (
	insertTenants = bulkInsert("tenants", "id text", "name text", "display_name text", "key_type text",
		"created_at bigint", "version bigint")
	insertKeyUsers = bulkInsert("key_users", "id text", "tenant_id text", "name text", "email text",
		"subscribed_at bigint", "unsubscribe_token text", "created_at bigint", "version bigint")
	insertProjects = bulkInsert("scoping_projects", "id text", "tenant_id text", "name text", "created_at bigint",
		"version bigint")
	insertAnswers = bulkInsert("scoping_answers", "project_id text", "question text", "yes bigint", "answered_by text",
		"answered_at bigint")
)

var (
	insertReceivers = bulkInsert("receivers", "id text", "tenant_id text", "name text", "display_name text",
		"contact_name text", "contact_email text", "created_at bigint", "version bigint")
	insertArrangements = bulkInsert("arrangements", "id text", "tenant_id text", "receiver_id text", "name text",
		"scenario text", "endpoint text", "authentication text", "strategy text", "generation bigint", "needed_old_at bigint",
		"egress text", "created_at bigint", "version bigint")
)

// ImportArrangements stores many arrangements with their receivers at once.
func (t *Tx) ImportArrangements(ctx context.Context, receivers []tenancy.Receiver,
	arrangements []tenancy.Arrangement) error {
	if _, err := insertReceivers.write(ctx, t, len(receivers), func(i int) []any {
		r := &receivers[i]
		return []any{r.ID, r.TenantID, r.Name, r.DisplayName, r.ContactName, r.ContactEmail, micros(r.CreatedAt), r.Version}
	}); err != nil {
		return err
	}
	_, err := insertArrangements.write(ctx, t, len(arrangements), func(i int) []any {
		a := &arrangements[i]
		return []any{a.ID, a.TenantID, a.ReceiverID, a.Name, a.Scenario, a.Endpoint, string(a.Authentication),
			string(a.Strategy), int64(a.Generation), micros(a.NeededOldAt), "{}", micros(a.CreatedAt), a.Version}
	})
	return err
}

// Import stores many tenants with their people and certificates at once.
func (t *Tx) Import(ctx context.Context, tenants []tenancy.Tenant, users []tenancy.KeyUser,
	projects []tenancy.ScopingProject, certs []SealedCertificate) error {
	if _, err := insertTenants.write(ctx, t, len(tenants), func(i int) []any {
		v := &tenants[i]
		return []any{v.ID, v.Name, v.DisplayName, string(v.KeyType), micros(v.CreatedAt), v.Version}
	}); err != nil {
		return err
	}
	if _, err := insertKeyUsers.write(ctx, t, len(users), func(i int) []any {
		u := &users[i]
		return []any{u.ID, u.TenantID, u.Name, u.Email, micros(u.SubscribedAt), u.UnsubscribeToken, micros(u.CreatedAt),
			u.Version}
	}); err != nil {
		return err
	}
	if _, err := insertProjects.write(ctx, t, len(projects), func(i int) []any {
		p := &projects[i]
		return []any{p.ID, p.TenantID, p.Name, micros(p.CreatedAt), p.Version}
	}); err != nil {
		return err
	}
	var answers []ownedAnswer
	for _, p := range projects {
		for _, a := range p.Answers {
			answers = append(answers, ownedAnswer{p.ID, a})
		}
	}
	if _, err := insertAnswers.write(ctx, t, len(answers), func(i int) []any {
		a := &answers[i]
		return []any{a.project, a.Question, bit(a.Yes), a.By, micros(a.At)}
	}); err != nil {
		return err
	}
	return t.AddCertificates(ctx, certs)
}

// Analyze refreshes the statistics of the query planner after an import.
func (s *Store) Analyze(ctx context.Context) error {
	_, err := s.writer.ExecContext(ctx, "ANALYZE")
	return s.explain(err)
}

// OpenInMemory opens a new SQLite database in memory that ends with the store. It has one connection, so that code
// inside a transaction must read through the transaction.
func OpenInMemory(ctx context.Context) (*Store, error) {
	db := sql.OpenDB(&preparing{name: ":memory:?_pragma=foreign_keys(ON)&_pragma=cache_size(-65536)&_txlock=immediate"})
	db.SetMaxOpenConns(1)
	s := &Store{Reader: Reader{db, SQLite}, writer: db, reader: db}
	if err := s.migrate(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("database in memory: %w", err)
	}
	return s, nil
}
