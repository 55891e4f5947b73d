package store

import (
	"context"
	"errors"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func scanProject(s row) (p tenancy.ScopingProject, err error) {
	return p, s.Scan(&p.ID, &p.TenantID, &p.Name, instant{&p.CreatedAt}, &p.Version)
}

type ownedAnswer struct {
	project string
	tenancy.Answer
}

func scanAnswer(s row) (a ownedAnswer, err error) {
	var yes int64
	err = s.Scan(&a.project, &a.Question, &yes, &a.By, instant{&a.At})
	a.Yes = yes == 1
	return a, err
}

// ScopingProjects lists a tenant's implementation projects with their answers.
func (r Reader) ScopingProjects(ctx context.Context, tenantID string) ([]tenancy.ScopingProject, error) {
	projects, err := r.ScopingProjectsOf(ctx, []string{tenantID})
	return projects[tenantID], err
}

// ScopingProjectsOf reads the implementation projects of many tenants with their answers, by tenant ID.
func (r Reader) ScopingProjectsOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.ScopingProject,
	error) {
	projects, err := groupBy(ctx, r, scanProject, func(p tenancy.ScopingProject) string { return p.TenantID },
		"SELECT id, tenant_id, name, created_at, version FROM scoping_projects WHERE tenant_id ", tenantIDs, " ORDER BY id")
	if err != nil {
		return nil, err
	}
	answers, err := groupBy(ctx, r, scanAnswer, func(a ownedAnswer) string { return a.project },
		"SELECT project_id, question, yes, answered_by, answered_at FROM scoping_answers WHERE project_id IN (SELECT id "+
			"FROM scoping_projects WHERE tenant_id ", tenantIDs, ") ORDER BY question")
	if err != nil {
		return nil, err
	}
	for _, of := range projects {
		for i := range of {
			for _, a := range answers[of[i].ID] {
				of[i].Answers = append(of[i].Answers, a.Answer)
			}
		}
	}
	return projects, nil
}

// InScope says which of the tenants answered a question with yes, in any of their projects.
func (r Reader) InScope(ctx context.Context, question string, tenantIDs []string) (map[string]bool, error) {
	yes, err := groupBy(ctx, r, scanOne[string], func(id string) string { return id },
		"SELECT DISTINCT p.tenant_id FROM scoping_projects p JOIN scoping_answers a ON a.project_id = p.id WHERE "+
			"a.question = ? AND a.yes = 1 AND p.tenant_id ", tenantIDs, "", question)
	in := make(map[string]bool, len(yes))
	for id := range yes {
		in[id] = true
	}
	return in, err
}

// CreateScopingProject stores a new project; [tenancy.ErrConflict] where the name is taken.
func (t *Tx) CreateScopingProject(ctx context.Context, p tenancy.ScopingProject) error {
	_, err := t.exec(ctx, "INSERT INTO scoping_projects (id, tenant_id, name, created_at, version) VALUES (?, ?, ?, ?, ?)",
		p.ID, p.TenantID, p.Name, micros(p.CreatedAt), p.Version)
	return err
}

// AnswerQuestion stores an answer, in place of an earlier one, as a change to version of the project.
func (t *Tx) AnswerQuestion(ctx context.Context, projectID string, version int64, a tenancy.Answer) error {
	if err := t.execOne(ctx, "UPDATE scoping_projects SET version = version + 1 WHERE id = ? AND version = ?", projectID,
		version); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO scoping_answers (project_id, question, yes, answered_by, answered_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (project_id, question) DO UPDATE SET yes = excluded.yes, answered_by = excluded.answered_by, answered_at = excluded.answered_at`, projectID, a.Question, bit(a.Yes), a.By, micros(a.At))
	return err
}

// A Remembered is the answer to a request that carried an Idempotency-Key.
type Remembered struct {
	RequestHash string
	Status      int // 0 while the first request is under way
	Header      string
	Body        []byte
}

func scanRemembered(s row) (v Remembered, err error) {
	return v, s.Scan(&v.RequestHash, &v.Status, &v.Header, &v.Body)
}

// Remember enters a key before its request is worked on. Where the key is there already, found is what it stands for.
func (t *Tx) Remember(ctx context.Context, tokenID, name, requestHash string, now time.Time) (found *Remembered,
	err error) {
	n, err := t.exec(ctx, "INSERT INTO idempotency_keys (token_id, name, request_hash, status, header, body, "+
		"created_at) VALUES (?, ?, ?, 0, '', ?, ?) ON CONFLICT (token_id, name) DO NOTHING",
		tokenID, name, requestHash, []byte{}, micros(now))
	if err != nil || n == 1 {
		return nil, err
	}
	v, err := one(ctx, t.Reader, "key", scanRemembered, "SELECT request_hash, status, header, body FROM "+
		"idempotency_keys WHERE token_id = ? AND name = ?", tokenID, name)
	return &v, err
}

// RememberAnswer stores the answer to a key's request.
func (t *Tx) RememberAnswer(ctx context.Context, tokenID, name string, v Remembered) error {
	return t.execOne(ctx, "UPDATE idempotency_keys SET status = ?, header = ?, body = ? WHERE token_id = ? AND name = ?",
		v.Status, v.Header, v.Body, tokenID, name)
}

// Forget removes a key whose request came to no answer worth keeping, and all keys from before the instant.
func (t *Tx) Forget(ctx context.Context, tokenID, name string, before time.Time) error {
	_, err := t.exec(ctx, "DELETE FROM idempotency_keys WHERE (token_id = ? AND name = ?) OR created_at < ?", tokenID,
		name, micros(before))
	return err
}

// InstalledAt is when this installation began, written at the first call: no run date before it is due.
func (s *Store) InstalledAt(ctx context.Context, now time.Time) (at time.Time, err error) {
	const name = "installed_at"
	err = s.InTx(ctx, func(tx *Tx) error {
		if _, err := tx.Claim(ctx, name, now.UTC().Format(time.RFC3339Nano)); err != nil {
			return err
		}
		v, err := tx.Setting(ctx, name)
		if err != nil {
			return err
		}
		if at, err = time.Parse(time.RFC3339Nano, v); err != nil {
			return errors.New("the setting installed_at is not an instant")
		}
		return nil
	})
	return at, err
}
