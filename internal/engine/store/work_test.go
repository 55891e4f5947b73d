package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/tenanttest"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestNoticesTasksAndMailsReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		tenant, cert := acme(t, r.Store, "acme", now.AddDate(0, 3, 0))
		other, foreign := acme(t, r.Store, "globex", now.AddDate(0, 3, 0))
		notice := func(id string, of tenancy.Tenant, c tenancy.Certificate, n int) tenancy.Notice {
			v := filled[tenancy.Notice](n)
			v.ID, v.TenantID, v.CertificateID = id, of.ID, c.ID
			r.write(func(ctx context.Context, tx *Tx) error { return tx.AddNotices(ctx, []tenancy.Notice{v}) })
			return v
		}
		n1, n2, n3 := notice("n1", tenant, cert, 100), notice("n2", tenant, cert, 200), notice("n3", other, foreign, 300)
		byID, err := r.NoticesByID(ctx, []string{"n1", "n3"})
		r.same("by ID", err, byID, map[string]tenancy.Notice{"n1": n1, "n3": n3})
		all, err := r.Notices(ctx, tenant.ID, "", 10)
		r.same("of a tenant", err, all, []tenancy.Notice{n1, n2})
		all, err = r.Notices(ctx, tenant.ID, "n1", 10)
		r.same("after the first", err, all, []tenancy.Notice{n2})
		r.refused("the same notice again", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			again := n1
			again.ID = "n4"
			return tx.AddNotices(ctx, []tenancy.Notice{again})
		})

		users, _, err := r.KeyUsers(ctx, tenant.ID, Page{Limit: 10})
		must(t, err)
		task := func(id string, u tenancy.KeyUser, n tenancy.Notice, number int) tenancy.Task {
			v := filled[tenancy.Task](number)
			v.ID, v.TenantID, v.KeyUserID, v.KeyUser, v.NoticeID, v.Version = id, tenant.ID, u.ID, u.Name, n.ID, 1
			v.Kind, v.Subject, v.DueAt, v.CreatedAt, v.State = n.Kind, n.Subject, n.DueAt, n.CreatedAt, tenancy.TaskOpen
			v.Purpose, v.Reason, v.ClosedFor = cert.Purpose, n.Reason, ""
			r.write(func(ctx context.Context, tx *Tx) error { return tx.AddTasks(ctx, []tenancy.Task{v}) })
			return v
		}
		t1, t2, t3 := task("t1", users[0], n1, 400), task("t2", users[1], n1, 500), task("t3", users[0], n2, 600)
		got, err := r.Task(ctx, tenant.ID, "t2")
		r.same("a task", err, got, t2)
		if _, err := r.Task(ctx, other.ID, "t2"); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("a task of another tenant: %v", err)
		}
		t1.State, t1.Note, t1.CompletedAt = tenancy.TaskCompleted, "done", now.Add(time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateTask(ctx, t1) })
		t1.Version++
		for _, c := range []struct {
			user  string
			state tenancy.TaskState
			after string
			want  []tenancy.Task
		}{
			{"", "", "", []tenancy.Task{t1, t2, t3}}, {users[0].ID, "", "", []tenancy.Task{t1, t3}},
			{"", tenancy.TaskOpen, "", []tenancy.Task{t2, t3}}, {users[0].ID, tenancy.TaskOpen, "", []tenancy.Task{t3}},
			{"", "", "t1", []tenancy.Task{t2, t3}},
		} {
			of := TaskChoice{TenantID: tenant.ID, KeyUserID: c.user, State: c.state}
			list, _, err := r.Tasks(ctx, of, Page{After: Place{ID: c.after}, Limit: 10})
			r.same(fmt.Sprintf("tasks of %q in state %q after %q", c.user, c.state, c.after), err, list, c.want)
		}
		list, _, err := r.Tasks(ctx, TaskChoice{TenantID: tenant.ID}, Page{Limit: 1})
		r.same("the first task", err, list, []tenancy.Task{t1})
		topic := TaskTopic{TenantID: tenant.ID, Kinds: []tenancy.NoticeKind{n2.Kind, "x"}, CertificateIDs: []string{cert.ID}}
		for _, c := range []struct {
			topic TaskTopic
			open  int
		}{{topic, 1}, {TaskTopic{tenant.ID, []tenancy.NoticeKind{n1.Kind, n2.Kind}, []string{cert.ID, "y"}}, 2},
			{TaskTopic{tenant.ID, topic.Kinds, []string{foreign.ID}}, 0},
			{TaskTopic{other.ID, topic.Kinds, []string{cert.ID}}, 0}, {TaskTopic{tenant.ID, topic.Kinds, nil}, 0}} {
			n, err := r.CountOpenTasks(ctx, c.topic)
			r.same(fmt.Sprintf("open tasks of %+v", c.topic), err, n, c.open)
		}
		var n int64
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			n, err = tx.CloseTasks(ctx, topic, tenancy.ClosedAccepted, now.Add(2*time.Hour))
			return err
		})
		t3.State, t3.ClosedFor, t3.CompletedAt = tenancy.TaskCompleted, tenancy.ClosedAccepted, now.Add(2*time.Hour)
		t3.Version++
		r.same("closed", nil, n, int64(1))
		got, err = r.Task(ctx, tenant.ID, "t3")
		r.same("a closed task", err, got, t3)
		t3.State, t3.ClosedFor, t3.CompletedAt = tenancy.TaskOpen, "", time.Time{}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateTask(ctx, t3) })
		t3.Version++
		got, err = r.Task(ctx, tenant.ID, "t3")
		r.same("a task that a person has opened again", err, got, t3)
		notices, tasks, err := r.CountNotices(ctx)
		r.same("counts", err, []int{notices, tasks}, []int{3, 3})

		mail := func(id string, of tenancy.Tenant, n tenancy.Notice, state tenancy.MailState, number int) tenancy.Mail {
			v := filled[tenancy.Mail](number)
			v.ID, v.TenantID, v.NoticeID, v.State = id, of.ID, n.ID, state
			v.Kind, v.Subject, v.CreatedAt = n.Kind, n.Subject, n.CreatedAt
			v.KeyUserID = users[0].ID
			r.write(func(ctx context.Context, tx *Tx) error { return tx.AddMails(ctx, []tenancy.Mail{v}) })
			return v
		}
		m1, m2 := mail("m1", tenant, n1, tenancy.MailWaiting, 700), mail("m2", tenant, n2, tenancy.MailSent, 800)
		m3, m4 := mail("m3", other, n3, tenancy.MailWaiting, 900), mail("m4", tenant, n1, tenancy.MailDead, 1000)
		for _, c := range []struct {
			tenant string
			state  tenancy.MailState
			after  string
			limit  int
			want   []tenancy.Mail
		}{
			{"", "", "", 10, []tenancy.Mail{m1, m2, m3, m4}}, {tenant.ID, "", "", 10, []tenancy.Mail{m1, m2, m4}},
			{"", tenancy.MailWaiting, "", 10, []tenancy.Mail{m1, m3}}, {"", tenancy.MailSent, "", 10, []tenancy.Mail{m2}},
			{other.ID, tenancy.MailWaiting, "", 10, []tenancy.Mail{m3}}, {"", "", "m2", 1, []tenancy.Mail{m3}},
		} {
			list, err := r.Mails(ctx, c.tenant, c.state, c.after, c.limit)
			r.same(fmt.Sprintf("mails of %q in state %q after %q", c.tenant, c.state, c.after), err, list, c.want)
		}
		one, err := r.Mail(ctx, "m4")
		r.same("a mail", err, one, m4)
		latest, err := r.MailsOf(ctx, users[0].ID, 2)
		r.same("the latest mails to a key user", err, latest, []tenancy.Mail{m4, m2})
		counts, err := r.CountMails(ctx)
		r.same("unsent mails", err, counts, map[tenancy.MailState]int{tenancy.MailWaiting: 2, tenancy.MailDead: 1})
		var queued []tenancy.Mail
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			queued, err = tx.QueueMails(ctx, tenancy.MailWaiting, 1)
			return err
		})
		r.same("queued", nil, queued, []tenancy.Mail{{ID: "m1", TenantID: m1.TenantID, AdministratorID: m1.AdministratorID}})
		m1.State = tenancy.MailQueued
		list4, err := r.QueuedMails(ctx, []string{"m1", "m2", "m3"})
		r.same("queued mails", err, list4, []tenancy.Mail{m1})
		list4, err = r.QueuedMails(ctx, nil)
		r.same("none", err, list4, []tenancy.Mail(nil))
		m1.State, m1.Attempts, m1.LastError, m1.SentAt = tenancy.MailSent, 5, "x", now.Add(time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateMail(ctx, m1) })
		one, err = r.Mail(ctx, "m1")
		r.same("a sent mail", err, one, m1)
	})
}

func TestRunsAndTheirPartsReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		day := func(n int) time.Time { return now.AddDate(0, 0, n) }
		var runs []tenancy.Run
		for n := range 3 {
			run := tenancy.Run{RunDate: day(n), Policy: fmt.Sprint("p", n), StartedAt: day(n).Add(time.Minute)}
			r.write(func(ctx context.Context, tx *Tx) error {
				_, err := tx.StartRun(ctx, run)
				return err
			})
			runs = append(runs, run)
		}
		lacks, err := r.LacksParts(ctx, day(0))
		r.same("lacks parts", err, lacks, true)
		parts := []Part{{RunDate: day(0), Number: 1, Until: Position{day(9), "c9"}, BeginsAt: day(0)},
			{RunDate: day(0), Number: 2, After: Position{day(9), "c9"}, Until: End(day(20)), BeginsAt: day(1)}}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.AddParts(ctx, parts) })
		r.refused("the same parts again", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			return tx.AddParts(ctx, parts)
		})
		lacks, err = r.LacksParts(ctx, day(0))
		r.same("lacks no parts", err, lacks, false)
		got, err := r.Parts(ctx, day(0))
		r.same("parts", err, got, parts)
		one, err := r.Part(ctx, day(0), 2)
		r.same("a part", err, one, parts[1])

		claim := func(number int, at time.Time) (p Part, err error) {
			err = write(t, r.Store, func(ctx context.Context, tx *Tx) (err error) {
				p, err = tx.ClaimPart(ctx, day(0), number, at, time.Hour)
				return err
			})
			return p, err
		}
		if _, err := claim(2, day(0)); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("a part that begins later: %v", err)
		}
		parts[0].ClaimedUntil = day(0).Add(time.Hour)
		held, err := claim(1, day(0))
		r.same("claimed", err, held, parts[0])
		if _, err := claim(1, day(0).Add(time.Minute)); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("a part that another worker holds: %v", err)
		}
		if _, err := claim(1, day(0).Add(-2*time.Hour)); err == nil {
			t.Error("a part is claimed before it begins")
		}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ReleasePart(ctx, held, 3, "the CA is down") })
		runs[0].Failed, runs[0].LastError = 3, "the CA is down"
		run, err := r.Run(ctx, day(0))
		r.same("a run that failed", err, run, runs[0])
		held, err = claim(1, day(0).Add(time.Hour))
		must(t, err)
		stale := held
		stale.ClaimedUntil = day(0)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ReleasePart(ctx, stale, 3, "late") })
		if one, err := r.Part(ctx, day(0), 1); err != nil || !one.ClaimedUntil.Equal(held.ClaimedUntil) {
			t.Errorf("a worker that lost its claim has released another one: %v, %v", one.ClaimedUntil, err)
		}
		done := func(number int) (last bool) {
			r.write(func(ctx context.Context, tx *Tx) (err error) {
				last, err = tx.DonePart(ctx, Part{RunDate: day(0), Number: number})
				return err
			})
			return last
		}
		if first, again, last, late := done(1), done(1), done(2), done(2); first || again || !last || late {
			t.Error("the last part of a run is another one")
		}
		runs[1].Warned, runs[1].Renewed, runs[1].Late = 2, 4, 6
		runs[1].FinishedAt = day(1).Add(time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error {
			if err := tx.CountRun(ctx, day(1), 1, 3, 6); err != nil {
				return err
			}
			if err := tx.CountRun(ctx, day(1), 1, 1, 0); err != nil {
				return err
			}
			return tx.FinishRun(ctx, day(1), runs[1].FinishedAt)
		})
		runs[0].LastError = "late"
		all, err := r.Runs(ctx, time.Time{}, 10)
		r.same("runs, the latest first", err, all, []tenancy.Run{runs[2], runs[1], runs[0]})
		all, err = r.Runs(ctx, day(2), 1)
		r.same("the run before", err, all, []tenancy.Run{runs[1]})
		all, err = r.UnfinishedRuns(ctx)
		r.same("unfinished", err, all, []tenancy.Run{runs[0], runs[2]})
		run, err = r.LatestRun(ctx)
		r.same("the latest", err, run, runs[2])
		r.refused("a run that does not exist", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.FinishRun(ctx, day(7), now)
		})
	})
}

func TestAPartKnowsItsNameAndWhenItIsFree(t *testing.T) {
	whole := Part{RunDate: now, Number: 1, Until: End(now.AddDate(0, 1, 0))}
	divided := Part{RunDate: now, Number: 2, After: Position{now, "x"}, Until: End(now.AddDate(0, 1, 0))}
	if !whole.Whole() || divided.Whole() || whole.String() != "run 2026-11-01T00:00:00Z" ||
		divided.String() != "run 2026-11-01T00:00:00Z, part 2" {
		t.Errorf("%s, %s", whole, divided)
	}
	for _, c := range []struct {
		name            string
		begins, claimed time.Duration // from now on
		want            time.Duration // 0: now
	}{
		{"never claimed", -time.Hour, -time.Hour, 0}, {"begins later", time.Hour, 0, time.Hour},
		{"held", -time.Hour, time.Minute, time.Minute}, {"held for the whole lease", -time.Hour, time.Hour, time.Hour},
		{"held by a clock that is ahead", -time.Hour, time.Hour + 1, 0}, {"begins now", 0, -time.Hour, 0},
		{"held until now", -time.Hour, 0, 0}, {"begins after the claim", 2 * time.Hour, time.Minute, 2 * time.Hour},
	} {
		p := Part{BeginsAt: now.Add(c.begins), ClaimedUntil: now.Add(c.claimed)}
		got := p.FreeAt(now, time.Hour)
		if c.want == 0 && !got.IsZero() || c.want > 0 && !got.Equal(now.Add(c.want)) {
			t.Errorf("%s: free at %v", c.name, got)
		}
	}
}

func TestDueParkedMessagesOfEveryTenantComeFirst(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		r.write(func(ctx context.Context, tx *Tx) error {
			for i := range 5 {
				p := filled[tenancy.Parked](100)
				p.ID, p.ArrangementID, p.TenantID, p.State = fmt.Sprint("p", i), fmt.Sprint("x", i), a.ID, tenancy.ParkedWaiting
				if i == 4 {
					p.TenantID = b.ID
				}
				p.IdempotencyKey, p.EndedAt = p.ID, time.Time{}
				if _, err := tx.Park(ctx, p, nil); err != nil {
					return err
				}
			}
			return nil
		})
		due, err := r.DueParked(ctx, filled[tenancy.Parked](100).NextAt, 3)
		var ids []string
		for _, p := range due {
			ids = append(ids, p.ID)
		}
		r.same("due", err, ids, []string{"p0", "p4", "p1"})
	})
}

func TestWhatTenantsParkIsCounted(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		total, largest, err := r.ParkedTotals(ctx)
		r.same("nothing", err, []any{total, largest}, []any{tenancy.ParkedUsage{}, tenancy.ParkedUsage{}})
		var all []tenancy.Parked
		park := func(id, tenant string, bytes, body int64) {
			p := filled[tenancy.Parked](100)
			p.ID, p.IdempotencyKey, p.TenantID, p.State, p.Bytes = id, id, tenant, tenancy.ParkedWaiting, bytes
			all = append(all, p)
			r.write(func(ctx context.Context, tx *Tx) error {
				if _, err := tx.LockParked(ctx, tenant); err != nil {
					return err
				}
				if body > 0 {
					if err := tx.ReserveParkedBody(ctx, id, tenant, body, now); err != nil {
						return err
					}
				}
				_, err := tx.Park(ctx, p, nil)
				return err
			})
		}
		park("p1", a.ID, 1, 0)
		park("p2", a.ID, 2, 0)
		park("p3", b.ID, 10, 1000)
		usages := []tenancy.ParkedUsage{{TenantID: a.ID, Messages: 2, Bytes: 3},
			{TenantID: b.ID, Messages: 1, Bytes: 1010}}
		slices.SortFunc(usages, func(a, b tenancy.ParkedUsage) int { return cmp.Compare(a.TenantID, b.TenantID) })
		got, _, err := r.ParkedUsages(ctx, Page{Limit: 10})
		r.same("usages", err, got, usages)
		got, _, err = r.ParkedUsages(ctx, Page{After: Place{ID: usages[0].TenantID}, Limit: 10})
		r.same("the next page", err, got, usages[1:])
		total, largest, err = r.ParkedTotals(ctx)
		r.same("totals", err, []any{total, largest},
			[]any{tenancy.ParkedUsage{Messages: 3, Bytes: 1013}, tenancy.ParkedUsage{Messages: 2, Bytes: 1010}})
		sizes, err := r.ParkedSizes(ctx, all)
		r.same("sizes", err, sizes, map[string]int64{"p1": 1, "p2": 2, "p3": 1010})
	})
}

func TestParkedMessagesReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		for _, id := range []string{"x", "y"} {
			r.write(func(ctx context.Context, tx *Tx) error {
				_, err := tenanttest.Arrangement(ctx, tx, tenancy.Arrangement{ID: id, TenantID: a.ID, Name: id})
				return err
			})
		}
		park := func(id, arrangement string, n int) tenancy.Parked {
			p := filled[tenancy.Parked](n)
			p.ID, p.ArrangementID, p.TenantID, p.State, p.EndedAt = id, arrangement, a.ID, tenancy.ParkedWaiting, time.Time{}
			p.Attempts, p.Status, p.LastError = 0, 0, ""
			r.write(func(ctx context.Context, tx *Tx) error {
				got, err := tx.Park(ctx, p, []byte("request of "+id))
				r.same("parked", err, got, p)
				return err
			})
			return p
		}
		p1, p2, p3 := park("p1", "x", 100), park("p2", "x", 200), park("p3", "y", 300)
		r.write(func(ctx context.Context, tx *Tx) error {
			again := p2
			again.ID, again.Method, again.IdempotencyKey = "p4", "OTHER", p1.IdempotencyKey
			got, err := tx.Park(ctx, again, []byte("other"))
			r.same("under a key that is used", err, got, p1)
			return err
		})
		request, err := r.ParkedRequest(ctx, "p1")
		r.same("a request", err, string(request), "request of p1")
		due, err := r.DueParked(ctx, p3.NextAt, 10)
		r.same("due: the first of each arrangement", err, due, []tenancy.Parked{p1, p3})
		due, err = r.DueParked(ctx, p1.NextAt.Add(-1000), 10)
		r.same("not due yet", err, due, []tenancy.Parked(nil))
		var first, second bool
		until := now.Add(48 * time.Hour)
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			if first, err = tx.ClaimParked(ctx, p1, until); err != nil {
				return err
			}
			second, err = tx.ClaimParked(ctx, p1, until)
			return err
		})
		p1.NextAt, p1.Attempts = until, 1
		got, err := r.Parked(ctx, "x", "p1")
		r.same("claimed", err, []any{first, second, got}, []any{true, false, p1})
		waiting, _, err := r.WaitingParked(ctx, Page{After: Place{ID: "p1"}, Limit: 10})
		r.same("waiting", err, waiting, []tenancy.Parked{p2, p3})
		n, err := r.CountParked(ctx)
		r.same("count", err, n, 3)
		p1.LastError, p1.Status, p1.NextAt = "502", 502, now
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateParked(ctx, p1) })
		request, err = r.ParkedRequest(ctx, "p1")
		r.same("a request that waits", err, string(request), "request of p1")
		p1.State, p1.EndedAt = tenancy.ParkedDelivered, now.Add(time.Hour)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateParked(ctx, p1) })
		got, err = r.Parked(ctx, "x", "p1")
		r.same("delivered", err, got, p1)
		request, err = r.ParkedRequest(ctx, "p1")
		r.same("the request of a delivered message", err, request, []byte(nil))
	})
}

// A limit is shared by all replicas, and a clock that is wrong blocks it for an hour at most.
func TestALimitIsReservedAndWaitedFor(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		reserve := func(n int, at time.Time) time.Duration {
			t.Helper()
			wait, err := r.Reserve(ctx, "issuer", n, 10, at)
			must(t, err)
			return wait
		}
		if wait := reserve(20, now); wait != 0 { // two seconds
			t.Errorf("the first waits %v", wait)
		}
		if wait := reserve(10, now.Add(500*time.Millisecond)); wait != 1500*time.Millisecond {
			t.Errorf("waits %v", wait)
		}
		if wait := reserve(10, now.Add(2*time.Second)); wait != 0 {
			t.Errorf("after the others it waits %v", wait)
		}
		if wait := reserve(1, now.AddDate(0, 0, 1)); wait != 0 { // another replica's clock
			t.Errorf("waits %v", wait)
		}
		if wait := reserve(10, now.Add(4*time.Second)); wait != 0 {
			t.Errorf("a clock that was wrong makes it wait %v", wait)
		}
		if wait := reserve(10, now.Add(4*time.Second)); wait != time.Second {
			t.Errorf("after the wrong clock was overruled it waits %v", wait)
		}
	})
}

func TestScopingAnswersClaimsAndSettingsReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		p, q := filled[tenancy.ScopingProject](300), filled[tenancy.ScopingProject](400)
		p.ID, p.TenantID, p.Version, p.Answers = "p", a.ID, 1, nil
		q.ID, q.TenantID, q.Version, q.Answers = "q", b.ID, 1, nil
		no := tenancy.Answer{Question: "q1", Yes: false, By: "bob", At: now.Add(time.Hour)}
		yes := tenancy.Answer{Question: "q2", Yes: true, By: "eve", At: now.Add(2 * time.Hour)}
		r.write(func(ctx context.Context, tx *Tx) error {
			for _, one := range []tenancy.ScopingProject{p, q} {
				if err := tx.CreateScopingProjects(ctx, one); err != nil {
					return err
				}
			}
			if err := tx.AnswerQuestion(ctx, "p", 1, no); err != nil {
				return err
			}
			return tx.AnswerQuestion(ctx, "p", 2, yes)
		})
		r.refused("an old version", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.AnswerQuestion(ctx, "p", 2, yes)
		})
		p.Version, p.Answers = 3, []tenancy.Answer{no, yes}
		of, err := r.ScopingProjectsOf(ctx, []string{a.ID, b.ID})
		r.same("projects", err, of, map[string][]tenancy.ScopingProject{"a": {p}, "b": {q}})
		for question, want := range map[string]map[string]bool{"q1": {}, "q2": {"a": true}} {
			in, err := r.InScope(ctx, question, []string{"a", "b"})
			r.same("in scope of "+question, err, in, want)
		}

		claim := func(subject string, at time.Time) (first bool) {
			r.write(func(ctx context.Context, tx *Tx) (err error) {
				first, err = tx.Claim(ctx, ClaimReminder, subject, at)
				return err
			})
			return first
		}
		if !claim("s", now) || claim("s", now) || !claim("other", now.Add(time.Hour)) {
			t.Error("a claim is not the first once")
		}
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.PruneClaims(ctx, ClaimReminder, now.Add(time.Minute))
		})
		for subject, want := range map[string]bool{"s": false, "other": true} {
			known, err := r.Claimed(ctx, ClaimReminder, subject)
			r.same("the claim of "+subject, err, known, want)
		}
		if !claim("s", now) {
			t.Error("a claim that was pruned cannot be made again")
		}

		works := 0
		once := func(err error) (bool, error) {
			return r.Once(ctx, ClaimSigns, "ca", now, func(*Tx) error {
				works++
				return err
			})
		}
		fails := errors.New("the work fails")
		if did, err := once(fails); did || !errors.Is(err, fails) || works != 1 {
			t.Errorf("work that fails: done %v, %d times, %v", did, works, err)
		}
		for i, want := range []bool{true, false} { // what failed is not claimed
			if did, err := once(nil); did != want || err != nil || works != 2 {
				t.Errorf("call %d: done %v, %d times, %v", i, did, works, err)
			}
		}

		var stored []string
		r.write(func(ctx context.Context, tx *Tx) error {
			stored = nil
			for _, value := range []string{"first", "second"} {
				v, err := tx.SetOnce(ctx, "once", value)
				if err != nil {
					return err
				}
				stored = append(stored, v)
			}
			if err := tx.SetSetting(ctx, "often", "1"); err != nil {
				return err
			}
			return tx.SetSetting(ctx, "often", "2")
		})
		often, err := r.Setting(ctx, "often")
		r.same("settings", err, append(stored, often), []string{"first", "first", "2"})
		for name, read := range map[string]func() error{
			"installed_at":  func() error { _, err := r.InstalledAt(ctx, now); return err },
			longestLifetime: func() error { _, err := r.LongestValidity(ctx, time.Hour); return err },
		} {
			r.write(func(ctx context.Context, tx *Tx) error { return tx.SetSetting(ctx, name, "x") })
			if err := read(); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("a setting %s that cannot be read: %v", name, err)
			}
		}

		var progress []string
		var moved []bool
		r.write(func(ctx context.Context, tx *Tx) error {
			progress, moved = nil, nil
			for _, step := range [][2]string{{"", "a"}, {"", "b"}, {"a", AnnouncedToAll}} {
				at, err := tx.Announcement(ctx, "ca")
				if err != nil {
					return err
				}
				ok, err := tx.AdvanceAnnouncement(ctx, "ca", step[0], step[1])
				if err != nil {
					return err
				}
				progress, moved = append(progress, at), append(moved, ok)
			}
			return nil
		})
		r.write(func(ctx context.Context, tx *Tx) error { // without what the release before has stored
			if _, err := tx.exec(ctx, "DELETE FROM settings"); err != nil {
				return err
			}
			at, err := tx.Announcement(ctx, "ca")
			r.same("the progress", err, at, AnnouncedToAll)
			return err
		})
		if !slices.Equal(progress, []string{"", "a", "a"}) || !slices.Equal(moved, []bool{true, false, true}) {
			t.Errorf("an announcement went through %q, advanced %v", progress, moved)
		}
	})
}

func TestAColumnOfAnotherTypeIsNotWrittenInBulk(t *testing.T) {
	arrays, err := columns(2, 2, func(i int) []any { return []any{fmt.Sprint("s", i), int64(i)} })
	if err != nil || len(arrays) != 2 || !slices.Equal(arrays[0].([]string), []string{"s0", "s1"}) ||
		!slices.Equal(arrays[1].([]int64), []int64{0, 1}) {
		t.Errorf("%v, %v", arrays, err)
	}
	if arrays, err := columns(1, 1, func(int) []any { return []any{1.5} }); err == nil || arrays != nil ||
		!strings.Contains(err.Error(), "float64") {
		t.Errorf("%v, %v", arrays, err)
	}
	err = write(t, postgres(t), func(ctx context.Context, tx *Tx) error {
		_, err := bulkInsert("settings", "name text").write(ctx, tx, 1, func(int) []any { return []any{1.5} })
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "cannot be written in bulk") {
		t.Errorf("on PostgreSQL: %v", err)
	}
}
