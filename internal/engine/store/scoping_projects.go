package store

import (
	"context"

	"github.com/perennial-pki/perennial/tenancy"
)

func scanProject(s row) (p tenancy.ScopingProject, err error) {
	err = s.Scan(&p.ID, &p.TenantID, &p.Name, instant{&p.CreatedAt}, &p.Version)
	return p, err
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

// CountScopingProjects counts the implementation projects of a tenant, up to a limit.
func (r Reader) CountScopingProjects(ctx context.Context, tenantID string, limit int) (int, error) {
	return r.countUpTo(ctx, limit, "scoping_projects WHERE tenant_id = ?", tenantID)
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

// InScope returns the tenants that answered a question with yes in one of their projects.
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

var (
	insertScopingProjects = bulkInsert("scoping_projects", "id text", "tenant_id text", "name text", "created_at bigint",
		"version bigint")
	insertScopingAnswers = bulkInsert("scoping_answers", "project_id text", "question text", "yes bigint",
		"answered_by text", "answered_at bigint")
)

// CreateScopingProjects stores new projects with their answers. It returns [tenancy.ErrConflict] if a name is taken.
func (t *Tx) CreateScopingProjects(ctx context.Context, projects ...tenancy.ScopingProject) error {
	if _, err := insertScopingProjects.write(ctx, t, len(projects), func(i int) []any {
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
	_, err := insertScopingAnswers.write(ctx, t, len(answers), func(i int) []any {
		a := &answers[i]
		return []any{a.project, a.Question, bit(a.Yes), a.By, micros(a.At)}
	})
	return err
}

// AnswerQuestion stores an answer and replaces an earlier one. It returns [tenancy.ErrStale] if the project's version
// has changed.
func (t *Tx) AnswerQuestion(ctx context.Context, projectID string, version int64, a tenancy.Answer) error {
	if err := t.execOne(ctx, "UPDATE scoping_projects SET version = version + 1 WHERE id = ? AND version = ?", projectID,
		version); err != nil {
		return err
	}
	_, err := t.exec(ctx, `INSERT INTO scoping_answers (project_id, question, yes, answered_by, answered_at)
		VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (project_id, question) DO UPDATE SET yes = excluded.yes, answered_by =
		excluded.answered_by, answered_at = excluded.answered_at`, projectID, a.Question, bit(a.Yes), a.By, micros(a.At))
	return err
}

// defaultAnswer is the prefix of the settings that hold the answers of new tenants.
const defaultAnswer = "scope-default/"

// DefaultAnswer returns the default answer of new tenants to a question.
func (r Reader) DefaultAnswer(ctx context.Context, question string) (tenancy.ScopeAnswer, error) {
	text, err := r.Setting(ctx, defaultAnswer+question)
	if text == "" {
		return tenancy.Unanswered, err
	}
	return tenancy.ScopeAnswer(text), err
}

// SetDefaultAnswer stores the default answer of new tenants to a question.
func (t *Tx) SetDefaultAnswer(ctx context.Context, question string, a tenancy.ScopeAnswer) error {
	return t.SetSetting(ctx, defaultAnswer+question, string(a))
}

// AnswerOpen stores an answer in the first project of tenants that have not answered the question in any of their
// projects, at most limit of them. It returns their names.
func (t *Tx) AnswerOpen(ctx context.Context, a tenancy.Answer, limit int) (tenants []string, err error) {
	type open struct{ project, tenant string }
	all, err := list(ctx, t.Reader, func(r row) (o open, err error) {
		err = r.Scan(&o.project, &o.tenant)
		return o, err
	},
		"SELECT p.id, t.name FROM scoping_projects p JOIN tenants t ON t.id = p.tenant_id WHERE p.name = ? AND NOT EXISTS "+
			"(SELECT 1 FROM scoping_projects q JOIN scoping_answers a ON a.project_id = q.id WHERE q.tenant_id = "+
			"p.tenant_id AND a.question = ?) ORDER BY p.id LIMIT ?", tenancy.FirstProject, a.Question, limit)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	projects := make([]string, len(all))
	for i, o := range all {
		projects[i], tenants = o.project, append(tenants, o.tenant)
	}
	in, args := t.among(projects)
	if _, err := t.exec(ctx, "UPDATE scoping_projects SET version = version + 1 WHERE id "+in, args...); err != nil {
		return nil, err
	}
	_, err = insertScopingAnswers.write(ctx, t, len(projects), func(i int) []any {
		return []any{projects[i], a.Question, bit(a.Yes), a.By, micros(a.At)}
	})
	return tenants, err
}
