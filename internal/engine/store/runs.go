package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const runColumns = "run_date, policy, started_at, finished_at, warned, renewed, late, failed, last_error"

func scanRun(s row) (r tenancy.Run, err error) {
	return r, s.Scan(instant{&r.RunDate}, &r.Policy, instant{&r.StartedAt}, instant{&r.FinishedAt}, &r.Warned, &r.Renewed,
		&r.Late, &r.Failed, &r.LastError)
}

// Run finds the run of a run date.
func (r Reader) Run(ctx context.Context, runDate time.Time) (tenancy.Run, error) {
	return one(ctx, r, "run for "+runDate.UTC().Format(time.RFC3339), scanRun,
		"SELECT "+runColumns+" FROM runs WHERE run_date = ?", micros(runDate))
}

// LatestRun finds the run with the latest run date; [tenancy.ErrNotFound] where there was none.
func (r Reader) LatestRun(ctx context.Context) (tenancy.Run, error) {
	return one(ctx, r, "run yet", scanRun, "SELECT "+runColumns+" FROM runs ORDER BY run_date DESC LIMIT 1")
}

// Runs lists runs, the latest first, before the given run date (zero: from the latest on).
func (r Reader) Runs(ctx context.Context, before time.Time, limit int) ([]tenancy.Run, error) {
	end := micros(before)
	if end == 0 {
		end = 1 << 62
	}
	return list(ctx, r, scanRun, "SELECT "+runColumns+" FROM runs WHERE run_date < ? ORDER BY run_date DESC LIMIT ?", end,
		limit)
}

// UnfinishedRuns lists the runs that have not dealt with every due certificate, the earliest first.
func (r Reader) UnfinishedRuns(ctx context.Context) ([]tenancy.Run, error) {
	return list(ctx, r, scanRun, "SELECT "+runColumns+" FROM runs WHERE finished_at = 0 ORDER BY run_date")
}

// StartRun enters a run date in the ledger; started is false where it is there already.
func (t *Tx) StartRun(ctx context.Context, run tenancy.Run) (started bool, err error) {
	n, err := t.exec(ctx, "INSERT INTO runs ("+runColumns+") VALUES (?, ?, ?, 0, 0, 0, 0, 0, '') ON CONFLICT (run_date) "+
		"DO NOTHING", micros(run.RunDate), run.Policy, micros(run.StartedAt))
	return n == 1, err
}

// CountRun adds to what a run did.
func (t *Tx) CountRun(ctx context.Context, runDate time.Time, warned, renewed, late int) error {
	return t.execOne(ctx, "UPDATE runs SET warned = warned + ?, renewed = renewed + ?, late = late + ? WHERE run_date = ?",
		warned, renewed, late, micros(runDate))
}

// EndRun notes how a try of a run ended: finished, or with failures that another try must mend.
func (t *Tx) EndRun(ctx context.Context, runDate, finishedAt time.Time, failed int, lastError string) error {
	return t.execOne(ctx, "UPDATE runs SET finished_at = ?, failed = ?, last_error = ? WHERE run_date = ?",
		micros(finishedAt), failed, lastError, micros(runDate))
}

var insertNotices = bulkInsert("notices", "id text", "tenant_id text", "certificate_id text", "successor_id text",
	"kind text", "subject text", "run_date bigint", "due_at bigint", "reason text", "created_at bigint")

// AddNotices stores notices; [tenancy.ErrConflict] where a certificate has one for the same run already.
func (t *Tx) AddNotices(ctx context.Context, notices []tenancy.Notice) error {
	_, err := insertNotices.write(ctx, t, len(notices), func(i int) []any {
		n := &notices[i]
		// A renewal by hand has no run date; its instant keeps it apart from every run.
		runDate := micros(n.RunDate)
		if runDate == 0 {
			runDate = -micros(n.CreatedAt)
		}
		return []any{n.ID, n.TenantID, n.CertificateID, n.SuccessorID, string(n.Kind), n.Subject, runDate, micros(n.DueAt),
			n.Reason, micros(n.CreatedAt)}
	})
	return err
}

const noticeColumns = "id, tenant_id, certificate_id, successor_id, kind, subject, CASE WHEN run_date < 0 THEN 0 " +
	"ELSE run_date END, due_at, reason, created_at"

func scanNotice(s row) (n tenancy.Notice, err error) {
	return n, s.Scan(&n.ID, &n.TenantID, &n.CertificateID, &n.SuccessorID, &n.Kind, &n.Subject, instant{&n.RunDate},
		instant{&n.DueAt}, &n.Reason, instant{&n.CreatedAt})
}

// NoticesByID reads the notices with these IDs.
func (r Reader) NoticesByID(ctx context.Context, ids []string) (map[string]tenancy.Notice, error) {
	return byID(ctx, r, scanNotice, func(n tenancy.Notice) string {
		return n.ID
	}, "SELECT "+noticeColumns+" FROM notices WHERE id ", ids)
}

// Notices lists the notices of a tenant.
func (r Reader) Notices(ctx context.Context, tenantID, after string, limit int) ([]tenancy.Notice, error) {
	return list(ctx, r, scanNotice, "SELECT "+noticeColumns+" FROM notices WHERE certificate_id IN (SELECT id FROM "+
		"certificates WHERE tenant_id = ?) AND id > ? ORDER BY id LIMIT ?", tenantID, after, limit)
}

var insertTasks = bulkInsert("tasks", "id text", "tenant_id text", "key_user_id text", "notice_id text", "state text",
	"note text", "completed_at bigint", "version bigint")

// CountNotices counts all notices and the tasks that they caused.
func (r Reader) CountNotices(ctx context.Context) (notices, tasks int, err error) {
	return notices, tasks, r.explain(r.q.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM notices), (SELECT count(*) "+
		"FROM tasks)").Scan(&notices, &tasks))
}

// AddTasks stores the tasks of notices that the same transaction stores.
func (t *Tx) AddTasks(ctx context.Context, tasks []tenancy.Task) error {
	_, err := insertTasks.write(ctx, t, len(tasks), func(i int) []any {
		v := &tasks[i]
		return []any{v.ID, v.TenantID, v.KeyUserID, v.NoticeID, string(v.State), v.Note, micros(v.CompletedAt), v.Version}
	})
	return err
}

const taskColumns = "t.id, t.tenant_id, t.key_user_id, u.name, t.notice_id, n.kind, n.subject, t.state, t.note, " +
	"n.due_at, n.created_at, t.completed_at, t.version"

const taskTables = " FROM tasks t JOIN notices n ON n.id = t.notice_id JOIN key_users u ON u.id = t.key_user_id "

func scanTask(s row) (t tenancy.Task, err error) {
	return t, s.Scan(&t.ID, &t.TenantID, &t.KeyUserID, &t.KeyUser, &t.NoticeID, &t.Kind, &t.Subject, &t.State, &t.Note,
		instant{&t.DueAt}, instant{&t.CreatedAt}, instant{&t.CompletedAt}, &t.Version)
}

// Task finds a task of a tenant.
func (r Reader) Task(ctx context.Context, tenantID, id string) (tenancy.Task, error) {
	return one(ctx, r, "task "+id, scanTask, "SELECT "+taskColumns+taskTables+"WHERE t.tenant_id = ? AND t.id = ?",
		tenantID, id)
}

// Tasks lists the tasks of a tenant, of one key user and in one state where these are given.
func (r Reader) Tasks(ctx context.Context, tenantID, keyUserID string, state tenancy.TaskState, after string,
	limit int) ([]tenancy.Task, error) {
	return list(ctx, r, scanTask, "SELECT "+taskColumns+taskTables+"WHERE t.tenant_id = ? AND (? = '' OR t.key_user_id "+
		"= ?) AND (? = '' OR t.state = ?) AND t.id > ? ORDER BY t.id LIMIT ?",
		tenantID, keyUserID, keyUserID, string(state), string(state), after, limit)
}

// UpdateTask stores a change of state and note.
func (t *Tx) UpdateTask(ctx context.Context, v tenancy.Task) error {
	return t.execOne(ctx, "UPDATE tasks SET state = ?, note = ?, completed_at = ?, version = version + 1 WHERE "+
		"tenant_id = ? AND id = ? AND version = ?", v.State, v.Note, micros(v.CompletedAt), v.TenantID, v.ID, v.Version)
}

var insertMails = bulkInsert("mails", "id text", "tenant_id text", "notice_id text", "key_user_id text", "name text",
	"address text", "designated bigint", "message_id text", "state text",
	"attempts bigint", "last_error text", "sent_at bigint")

// AddMails stores mails to be delivered.
func (t *Tx) AddMails(ctx context.Context, mails []tenancy.Mail) error {
	_, err := insertMails.write(ctx, t, len(mails), func(i int) []any {
		m := &mails[i]
		return []any{m.ID, m.TenantID, m.NoticeID, m.KeyUserID, m.Name, m.Address, bit(m.Designated), m.MessageID,
			string(m.State), int64(m.Attempts), m.LastError, micros(m.SentAt)}
	})
	return err
}

const mailColumns = "m.id, m.tenant_id, m.notice_id, n.subject, m.key_user_id, m.name, m.address, m.designated, " +
	"m.message_id, m.state, m.attempts, m.last_error, n.created_at, m.sent_at"

const mailTables = " FROM mails m JOIN notices n ON n.id = m.notice_id "

func scanMail(s row) (m tenancy.Mail, err error) {
	var designated int64
	err = s.Scan(&m.ID, &m.TenantID, &m.NoticeID, &m.Subject, &m.KeyUserID, &m.Name, &m.Address, &designated, &m.MessageID,
		&m.State, &m.Attempts, &m.LastError, instant{&m.CreatedAt}, instant{&m.SentAt})
	m.Designated = designated == 1
	return m, err
}

// Mail finds a mail by its ID.
func (r Reader) Mail(ctx context.Context, id string) (tenancy.Mail, error) {
	return one(ctx, r, "delivery "+id, scanMail, "SELECT "+mailColumns+mailTables+"WHERE m.id = ?", id)
}

// QueuedMails reads those of the mails with these IDs that are to be sent.
func (r Reader) QueuedMails(ctx context.Context, ids []string) ([]tenancy.Mail, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	in, args := r.among(ids)
	return list(ctx, r, scanMail,
		"SELECT "+mailColumns+mailTables+"WHERE m.state = 'queued' AND m.id "+in+" ORDER BY m.id", args...)
}

// Mails lists mails, of one tenant and in one state where these are given. Each form of the question has its own
// statement, so that each finds its index.
func (r Reader) Mails(ctx context.Context, tenantID string, state tenancy.MailState, after string,
	limit int) ([]tenancy.Mail, error) {
	where, args := "m.id > ?", []any{after}
	if tenantID != "" {
		where, args = where+" AND m.tenant_id = ?", append(args, tenantID)
	}
	if state != "" {
		where, args = where+" AND m.state = ?", append(args, state)
	}
	if state != "" && state != tenancy.MailSent {
		where += " AND m.state <> 'sent'" // so that the partial index can be used
	}
	return list(ctx, r, scanMail, "SELECT "+mailColumns+mailTables+"WHERE "+where+" ORDER BY m.id LIMIT ?",
		append(args, limit)...)
}

// MailsOf lists the latest mails to a key user, the latest first.
func (r Reader) MailsOf(ctx context.Context, keyUserID string, limit int) ([]tenancy.Mail, error) {
	return list(ctx, r, scanMail, "SELECT "+mailColumns+mailTables+"WHERE m.tenant_id = (SELECT tenant_id FROM "+
		"key_users WHERE id = ?) AND m.key_user_id = ? ORDER BY m.id DESC LIMIT ?", keyUserID, keyUserID, limit)
}

// UpdateMail stores how a try to deliver ended.
func (t *Tx) UpdateMail(ctx context.Context, m tenancy.Mail) error {
	return t.execOne(ctx, "UPDATE mails SET state = ?, attempts = ?, last_error = ?, sent_at = ? WHERE id = ?", m.State,
		m.Attempts, m.LastError, micros(m.SentAt), m.ID)
}

// QueueMails turns mails from one state to queued, at most limit of them, and returns their IDs.
func (t *Tx) QueueMails(ctx context.Context, from tenancy.MailState, limit int) ([]string, error) {
	return list(ctx, t.Reader, scanOne[string], "UPDATE mails SET state = 'queued' WHERE id IN (SELECT id FROM mails "+
		"WHERE state = ? AND state <> 'sent' ORDER BY id LIMIT ?) RETURNING id", from, limit)
}

// CountMails counts the mails that are not sent, by state.
func (r Reader) CountMails(ctx context.Context) (map[tenancy.MailState]int, error) {
	type count struct {
		state tenancy.MailState
		n     int
	}
	rows, err := list(ctx, r, func(s row) (c count, err error) {
		return c, s.Scan(&c.state, &c.n)
	}, "SELECT state, COUNT(*) FROM mails WHERE state <> 'sent' GROUP BY state")
	counts := map[tenancy.MailState]int{}
	for _, c := range rows {
		counts[c.state] = c.n
	}
	return counts, err
}
