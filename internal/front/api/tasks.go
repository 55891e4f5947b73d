package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/tenancy"
)

func viewTask(ctx context.Context, t tenancy.Task) client.Task {
	v := client.Task{
		ID: t.ID, User: t.KeyUser, Type: t.Kind, Subject: t.Subject, Title: words.Say(ctx, taskTitle(t)), State: t.State,
		Note: t.Note, DueAt: t.DueAt, CreatedAt: t.CreatedAt, CompletedAt: t.CompletedAt,
	}
	if why, closed := closings[t.ClosedFor]; closed {
		v.Closed = words.Say(ctx, why)
	}
	if t.Kind.IsAboutWatched() {
		v.Watched = watchedBy(t).Name
	}
	return v
}

// watchedBy returns the report of a task about a watched certificate; the zero report for another task.
func watchedBy(t tenancy.Task) (r tenancy.WatchReport) {
	json.Unmarshal([]byte(t.Reason), &r) // only those of watched certificates are reports
	return r
}

// taskView returns a function that shows these tasks of a tenant. A task about a roll-over names its arrangement if it
// is about exactly one.
func (s *server) taskView(ctx context.Context, tenant string, tasks ...tenancy.Task) (func(tenancy.Task) client.Task,
	error) {
	var all []standing.Standing
	if slices.ContainsFunc(tasks, isAboutRollover) {
		var err error
		if all, err = s.standings(ctx, tenant); err != nil {
			return nil, err
		}
	}
	now := s.clock()
	return func(t tenancy.Task) client.Task {
		v := viewTask(ctx, t)
		if isAboutRollover(t) {
			v.Arrangement = onlyArrangement(t, all, now)
		}
		return v
	}, nil
}

func isAboutRollover(t tenancy.Task) bool {
	switch t.Kind {
	case tenancy.Expiring, tenancy.Renewed, tenancy.Unready, tenancy.Done, tenancy.Over, tenancy.NewAuthority:
		return true
	}
	return false
}

// onlyArrangement returns the name of the arrangement that a task is about; empty if it is not exactly one. As in the
// mail, a task about receivers that are not ready is about those that are at risk.
func onlyArrangement(t tenancy.Task, all []standing.Standing, now time.Time) (name string) {
	atRisk := (t.Kind == tenancy.Unready || t.Kind == tenancy.Over) && t.State != tenancy.TaskCompleted
	found := 0
	for _, s := range all {
		_, risk := s.Rollover.Risk(now)
		if atRisk && !risk || t.Kind != tenancy.NewAuthority && s.Arrangement.Presents() != t.Purpose {
			continue
		}
		name = s.Arrangement.Name
		found++
	}
	if found != 1 {
		return ""
	}
	return name
}

// closings state why the service closed a task.
var closings = map[tenancy.TaskClosing]tenancy.Text{
	tenancy.ClosedAccepted: tenancy.Say("every receiver accepts the new certificate"),
	tenancy.ClosedRenewed:  tenancy.Say("the certificate has been renewed"),
	tenancy.ClosedRevoked:  tenancy.Say("the certificate was revoked"),
	tenancy.ClosedAnswered: tenancy.Say("the CA has issued the certificate"),
}

// taskTitle states what a task is about. The subject of its mail may count days, which would be frozen in a list.
func taskTitle(t tenancy.Task) tenancy.Text {
	watched := watchedBy(t)
	noun := credentialNoun(t.Purpose)
	switch t.Kind {
	case tenancy.Expiring:
		return tenancy.Say("%s is going to expire soon", noun)
	case tenancy.Renewed:
		return tenancy.Say("%s has been renewed", noun)
	case tenancy.Unready:
		return tenancy.Say("%s: receivers are not ready for the new one", noun)
	case tenancy.Done:
		return tenancy.Say("%s: every receiver accepts the new one", noun)
	case tenancy.Over:
		return tenancy.Say("%s: the old one has expired, and receivers are not ready", noun)
	case tenancy.NewAuthority:
		return tenancy.Say("A new CA will issue your certificates")
	case tenancy.ByHand:
		return tenancy.Say("%s must be requested by hand", noun)
	case tenancy.Differs:
		return tenancy.Say("%s: the new one differs from the one before", noun)
	case tenancy.AdministratorStopped:
		var stopped tenancy.StopReport
		json.Unmarshal([]byte(t.Reason), &stopped) // without an address, the title is less precise
		return tenancy.Say("The administrator %s gets no more mails: name another one", stopped.Address)
	case tenancy.WatchExpected:
		return tenancy.Say("The certificate %s will be renewed by its owner", watched.Name)
	case tenancy.WatchRenewed:
		return tenancy.Say("The certificate %s has been renewed", watched.Name)
	case tenancy.WatchAlarmed:
		return tenancy.Say("The certificate %s needs attention", watched.Name)
	}
	return tenancy.Say("%s", t.Subject)
}

// credentialNoun names a credential as the prescribed subjects do.
func credentialNoun(p tenancy.Purpose) tenancy.Text {
	switch p {
	case tenancy.ForTenant, "":
		return tenancy.Say("Tenant Certificate")
	case tenancy.ForMUser:
		return tenancy.Say("M-user Certificate")
	}
	return tenancy.Say("Certificate %s", p)
}

// OneTask holds the path parameters of a task.
type OneTask struct {
	InTenant
	ID string `path:"task" maxLength:"64"`
}

func registerTasks(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/tasks", summary: "List tasks", access: members,
	}, (*server).listTasks)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/tasks/{task}", summary: "Get a task", access: members,
	}, (*server).getTask)
	register(r, endpoint{
		method: http.MethodPut, path: "/tenants/{tenant}/tasks/{task}",
		summary: "Start or complete one of your own tasks", access: members,
	}, (*server).changeTask)
}

func (s *server) listTasks(ctx context.Context, in *struct {
	InTenant
	Searched
	ByAge
	User  string            `query:"user" maxLength:"63" doc:"Only tasks of this key user."`
	State tenancy.TaskState `query:"state" enum:"open,in-process,completed" doc:"Only tasks in this state."`
}) (*List[client.Task], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	var userID string
	if in.User != "" {
		u, err := s.store.KeyUser(ctx, t.ID, in.User)
		if err != nil {
			return nil, err
		}
		userID = u.ID
	}
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.Tasks(ctx, store.TaskChoice{TenantID: t.ID, KeyUserID: userID, State: in.State}, page)
	if err != nil {
		return nil, err
	}
	view, err := s.taskView(ctx, t.Name, rows...)
	if err != nil {
		return nil, err
	}
	return listed(rows, next, in.Sort, view), nil
}

func (s *server) getTask(ctx context.Context, in *OneTask) (*Entity[client.Task], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	task, err := s.store.Task(ctx, t.ID, in.ID)
	if err != nil {
		return nil, err
	}
	return s.taskEntity(ctx, t, task, task.Version)
}

func (s *server) taskEntity(ctx context.Context, of tenancy.Tenant, t tenancy.Task,
	version int64) (*Entity[client.Task], error) {
	view, err := s.taskView(ctx, of.Name, t)
	if err != nil {
		return nil, err
	}
	return &Entity[client.Task]{etag(version), view(t)}, nil
}

func (s *server) changeTask(ctx context.Context, in *struct {
	OneTask
	Guarded
	Body struct {
		State tenancy.TaskState `json:"state" enum:"open,in-process,completed"`
		Note  string            `json:"note,omitempty"`
	}
}) (*Entity[client.Task], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	task, err := s.store.Task(ctx, t.ID, in.ID)
	if err != nil {
		return nil, err
	}
	if err := oneself(ctx, tenancy.KeyUser{ID: task.KeyUserID, Name: task.KeyUser}); err != nil {
		return nil, err
	}
	if task.Version, err = in.version(); err != nil {
		return nil, err
	}
	if err := tenancy.CheckNote("note", in.Body.Note); err != nil {
		return nil, err
	}
	task.ClosedFor = "" // a person has decided now
	task.State, task.Note, task.CompletedAt = in.Body.State, in.Body.Note, time.Time{}
	if task.State == tenancy.TaskCompleted {
		task.CompletedAt = s.now()
	}
	err = s.change(ctx, "task."+string(task.State), t.Name, task.ID, map[string]any{"user": task.KeyUser},
		func(tx *store.Tx) error {
			return tx.UpdateTask(ctx, task)
		})
	if err != nil {
		return nil, err
	}
	return s.taskEntity(ctx, t, task, task.Version+1)
}

func viewProject(ctx context.Context, p tenancy.ScopingProject) client.Project {
	view := client.Project{
		Name: p.Name, CreatedAt: p.CreatedAt, Questions: []client.Question{},
	}
	for _, q := range tenancy.Questions {
		question := client.Question{ID: q.ID, Path: q.PathText(), Text: words.Say(ctx, q.Text), Help: words.Say(ctx, q.Help),
			Answer: "unanswered"}
		for _, a := range p.Answers {
			if a.Question == q.ID {
				question.Answer, question.AnsweredBy, question.AnsweredAt = "no", a.By, a.At
				if a.Yes {
					question.Answer = "yes"
				}
			}
		}
		view.Questions = append(view.Questions, question)
	}
	return view
}

func registerScope(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/scope",
		summary: "List implementation projects with their questions", access: members,
	}, (*server).listProjects)
	register(r, endpoint{
		method: http.MethodPost, path: "/tenants/{tenant}/scope", summary: "Create an implementation project",
		status: http.StatusCreated, access: members,
	}, (*server).createProject)
	register(r, endpoint{
		method: http.MethodPut, path: "/tenants/{tenant}/scope/{project}/{question}",
		summary: "Answer a question. The answer applies from the next notice on", access: members,
	}, (*server).answerQuestion)
	register(r, endpoint{
		method: http.MethodGet, path: "/scope/default",
		summary: "Get the default answer of new tenants to the question about mail for tasks", access: operators,
	}, (*server).getDefaultAnswer)
	register(r, endpoint{
		method: http.MethodPut, path: "/scope/default",
		summary: "Set the default answer of new tenants to the question about mail for tasks", access: operators,
	}, (*server).setDefaultAnswer)
	register(r, endpoint{
		method: http.MethodPost, path: "/scope/answers",
		summary: "Answer the question about mail for tasks for all tenants that have not answered it", access: operators,
	}, (*server).answerOpen)
}

func (s *server) listProjects(ctx context.Context, in *InTenant) (*List[client.Project], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	projects, err := s.store.ScopingProjects(ctx, t.ID)
	view := func(p tenancy.ScopingProject) client.Project { return viewProject(ctx, p) }
	return pageOf(projects, len(projects), nil, view), err
}

func (s *server) createProject(ctx context.Context, in *struct {
	InTenant
	Body client.Project
}) (*Created[client.Project], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	p := tenancy.ScopingProject{ID: store.NewID(), TenantID: t.ID, Name: in.Body.Name, CreatedAt: s.now(),
		Version: 1}
	if err := tenancy.CheckText("name", p.Name); err != nil {
		return nil, err
	}
	err = s.change(ctx, "scoping-project.created", t.Name, p.Name, nil, func(tx *store.Tx) error {
		if err := roomForProject(ctx, tx, t); err != nil {
			return err
		}
		return named("project", p.Name, tx.CreateScopingProjects(ctx, p))
	})
	return &Created[client.Project]{ETag: etag(1), Body: viewProject(ctx, p)}, err
}

func (s *server) answerQuestion(ctx context.Context, in *struct {
	InTenant
	Project  string `path:"project" maxLength:"200"`
	Question string `path:"question" maxLength:"63"`
	Body     struct {
		Answer string `json:"answer" enum:"yes,no"`
	}
}) (*Entity[client.Project], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	if in.Question != tenancy.MailForTasks {
		return nil, tenancy.Errorf(tenancy.ErrNotFound, "there is no question %s", in.Question)
	}
	projects, err := s.store.ScopingProjects(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	for _, p := range projects {
		if p.Name != in.Project {
			continue
		}
		answer := tenancy.Answer{Question: in.Question, Yes: in.Body.Answer == "yes", By: actor(ctx), At: s.now()}
		err := s.change(ctx, "scope.answered", t.Name, p.Name+"/"+in.Question, map[string]any{"answer": in.Body.Answer},
			func(tx *store.Tx) error {
				return tx.AnswerQuestion(ctx, p.ID, p.Version, answer)
			})
		p.Answers = []tenancy.Answer{answer}
		return &Entity[client.Project]{etag(p.Version + 1), viewProject(ctx, p)}, err
	}
	return nil, tenancy.Errorf(tenancy.ErrNotFound, "there is no project %s", in.Project)
}

func (s *server) getDefaultAnswer(ctx context.Context, _ *struct{}) (*Entity[client.ScopeAnswer], error) {
	a, err := s.store.DefaultAnswer(ctx, tenancy.MailForTasks)
	return &Entity[client.ScopeAnswer]{Body: client.ScopeAnswer{Answer: a}}, err
}

func (s *server) setDefaultAnswer(ctx context.Context, in *struct {
	Body client.ScopeAnswer
}) (*Entity[client.ScopeAnswer], error) {
	err := s.change(ctx, "scope.default", "", tenancy.MailForTasks, in.Body, func(tx *store.Tx) error {
		return tx.SetDefaultAnswer(ctx, tenancy.MailForTasks, in.Body.Answer)
	})
	return &Entity[client.ScopeAnswer]{Body: in.Body}, err
}

// answerBatch is the number of tenants that are answered for in one transaction.
const answerBatch = 500

func (s *server) answerOpen(ctx context.Context, in *struct {
	Body struct {
		Answer tenancy.ScopeAnswer `json:"answer" enum:"yes,no"`
	}
}) (*Entity[client.Answered], error) {
	answer := tenancy.Answer{Question: tenancy.MailForTasks, Yes: in.Body.Answer == tenancy.AnsweredYes, By: actor(ctx),
		At: s.now()}
	var out client.Answered
	for {
		var tenants []string
		err := s.store.InTx(ctx, func(tx *store.Tx) (err error) {
			if tenants, err = tx.AnswerOpen(ctx, answer, answerBatch); err != nil {
				return err
			}
			events := make([]tenancy.Event, len(tenants))
			for i, name := range tenants {
				events[i] = tenancy.NewEvent(answer.At, answer.By, "scope.answered", name,
					tenancy.FirstProject+"/"+answer.Question, map[string]any{"answer": in.Body.Answer})
			}
			return tx.Audit(ctx, events...)
		})
		if err != nil {
			return nil, err
		}
		if out.Tenants += len(tenants); len(tenants) < answerBatch {
			return &Entity[client.Answered]{Body: out}, nil
		}
	}
}
