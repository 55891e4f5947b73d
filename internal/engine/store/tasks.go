package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

var insertTasks = bulkInsert("tasks", "id text", "tenant_id text", "key_user_id text", "notice_id text", "state text",
	"note text", "completed_at bigint", "version bigint")

// AddTasks stores the tasks of notices that the same transaction stores.
func (t *Tx) AddTasks(ctx context.Context, tasks []tenancy.Task) error {
	_, err := insertTasks.write(ctx, t, len(tasks), func(i int) []any {
		v := &tasks[i]
		return []any{v.ID, v.TenantID, v.KeyUserID, v.NoticeID, string(v.State), v.Note, micros(v.CompletedAt), v.Version}
	})
	return err
}

const taskColumns = "t.id, t.tenant_id, t.key_user_id, u.name, t.notice_id, n.kind, n.subject, " +
	"COALESCE(c.purpose, ''), n.reason, t.state, t.note, t.closed_for, n.due_at, n.created_at, t.completed_at, t.version"

const taskTables = " FROM tasks t JOIN notices n ON n.id = t.notice_id JOIN key_users u ON u.id = t.key_user_id " +
	"LEFT JOIN certificates c ON c.id = n.certificate_id "

func scanTask(s row) (t tenancy.Task, err error) {
	err = s.Scan(&t.ID, &t.TenantID, &t.KeyUserID, &t.KeyUser, &t.NoticeID, &t.Kind, &t.Subject, &t.Purpose, &t.Reason,
		&t.State, &t.Note, &t.ClosedFor, instant{&t.DueAt}, instant{&t.CreatedAt}, instant{&t.CompletedAt}, &t.Version)
	return t, err
}

// Task finds a task of a tenant.
func (r Reader) Task(ctx context.Context, tenantID, id string) (tenancy.Task, error) {
	return one(ctx, r, "task "+id, scanTask, "SELECT "+taskColumns+taskTables+"WHERE t.tenant_id = ? AND t.id = ?",
		tenantID, id)
}

var taskListing = listing[tenancy.Task]{
	query: "SELECT " + taskColumns + taskTables + "WHERE ",
	scan:  scanTask,
	id:    "t.id", idOf: func(t tenancy.Task) string { return t.ID },
	texts: []string{"u.name", "u.display_name", "n.subject", "t.note"},
}

// A TaskChoice selects tasks of a tenant. A key user and a state are optional.
type TaskChoice struct {
	TenantID  string
	KeyUserID string
	State     tenancy.TaskState
}

// Tasks returns a page of tasks, in the order of creation. A text is looked for in the names of the key user, the
// English title, and the note.
func (r Reader) Tasks(ctx context.Context, c TaskChoice, p Page) ([]tenancy.Task, Place, error) {
	return taskListing.read(ctx, r, p, "t.tenant_id = ? AND (? = '' OR t.key_user_id = ?) AND (? = '' OR t.state = ?)",
		c.TenantID, c.KeyUserID, c.KeyUserID, string(c.State), string(c.State))
}

// UpdateTask stores a new state and note.
func (t *Tx) UpdateTask(ctx context.Context, v tenancy.Task) error {
	return t.execOne(ctx, "UPDATE tasks SET state = ?, note = ?, completed_at = ?, closed_for = '', version = "+
		"version + 1 WHERE tenant_id = ? AND id = ? AND version = ?", v.State, v.Note, micros(v.CompletedAt), v.TenantID,
		v.ID, v.Version)
}

// A TaskTopic selects the tasks of a tenant about certificates.
type TaskTopic struct {
	TenantID       string
	Kinds          []tenancy.NoticeKind
	CertificateIDs []string // of their notices
}

// open returns the condition that a task is open and of the topic, with its arguments.
func (q TaskTopic) open(r Reader) (string, []any) {
	kinds := make([]string, len(q.Kinds))
	for i, kind := range q.Kinds {
		kinds[i] = string(kind)
	}
	ids, args := r.among(q.CertificateIDs)
	of, more := r.among(kinds)
	return "tenant_id = ? AND state <> 'completed' AND notice_id IN (SELECT id FROM notices WHERE certificate_id " + ids +
		" AND kind " + of + ")", append(append([]any{q.TenantID}, args...), more...)
}

// TenantsWithOpenTask returns those of some tenants that have an open task of a kind of notice.
func (r Reader) TenantsWithOpenTask(ctx context.Context, tenantIDs []string,
	kind tenancy.NoticeKind) (map[string]bool, error) {
	among, args := r.among(tenantIDs)
	ids, err := list(ctx, r, scanOne[string], "SELECT DISTINCT t.tenant_id FROM tasks t JOIN notices n ON n.id = "+
		"t.notice_id WHERE t.tenant_id "+among+" AND t.state <> 'completed' AND n.kind = ?", append(args, string(kind))...)
	found := map[string]bool{}
	for _, id := range ids {
		found[id] = true
	}
	return found, err
}

// CountOpenTasks counts the open tasks of a topic.
func (r Reader) CountOpenTasks(ctx context.Context, q TaskTopic) (int, error) {
	if len(q.CertificateIDs) == 0 {
		return 0, nil
	}
	where, args := q.open(r)
	return one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM tasks WHERE "+where, args...)
}

// CloseTasks completes the open tasks of a topic, because their reason is gone. It returns their number.
func (t *Tx) CloseTasks(ctx context.Context, q TaskTopic, why tenancy.TaskClosing, now time.Time) (int64, error) {
	if len(q.CertificateIDs) == 0 {
		return 0, nil
	}
	where, args := q.open(t.Reader)
	return t.exec(ctx, "UPDATE tasks SET state = 'completed', closed_for = ?, completed_at = ?, version = version + 1 "+
		"WHERE "+where, append([]any{string(why), micros(now)}, args...)...)
}
