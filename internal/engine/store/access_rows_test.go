package store

import (
	"context"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestFailedSignInsAreCountedForEachNameAndNetwork(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		lock := func(failures int) time.Duration { return time.Duration(failures/2) * time.Minute }
		type counted struct {
			failures int
			until    time.Time
		}
		count := func(name, network string, at time.Time) (c counted) {
			t.Helper()
			r.write(func(ctx context.Context, tx *Tx) (err error) {
				c.failures, c.until, err = tx.CountSignIn(ctx, name, network, at, lock)
				return err
			})
			return c
		}
		unlocked := now.Add(time.Minute)
		for _, c := range []struct {
			name, network string
			after         time.Duration
			want          counted
		}{
			{"olga", "a", 0, counted{1, time.Time{}}}, {"olga", "b", 0, counted{1, time.Time{}}},
			{"eve", "a", 0, counted{1, time.Time{}}}, {"olga", "a", 0, counted{2, time.Time{}}},
			{"olga", "a", time.Minute - time.Microsecond, counted{0, unlocked}},
			{"olga", "a", time.Minute, counted{3, time.Time{}}},
			{"olga", "a", time.Minute, counted{0, now.Add(2 * time.Minute)}},
		} {
			if got := count(c.name, c.network, now.Add(c.after)); got != c.want {
				t.Errorf("%s from %s after %v: %v, want %v", c.name, c.network, c.after, got, c.want)
			}
		}
		uncount := func(locks int) {
			r.write(func(ctx context.Context, tx *Tx) error { return tx.UncountSignIn(ctx, "olga", "a", locks) })
		}
		uncount(2) // three failures stay locked
		if got := count("olga", "a", unlocked); got.until.IsZero() {
			t.Error("a pair with more failures than lock it is not locked any more")
		}
		uncount(2)
		if got := count("olga", "a", unlocked); got != (counted{2, time.Time{}}) {
			t.Errorf("after attempts that were taken back: %v", got)
		}
		uncount(0)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ForgetSignIns(ctx, "olga", "a") })
		uncount(0) // of a pair that is not known
		if got := count("olga", "a", unlocked); got != (counted{1, time.Time{}}) {
			t.Errorf("after the right password: %v", got)
		}
		if got := count("olga", "b", now); got != (counted{2, time.Time{}}) {
			t.Errorf("from another network: %v", got)
		}
		if got := count("eve", "a", now.Add(24*time.Hour)); got != (counted{2, time.Time{}}) {
			t.Errorf("after a day: %v", got)
		}
		if got := count("eve", "a", now.Add(48*time.Hour+time.Microsecond)); got != (counted{1, time.Time{}}) {
			t.Errorf("after more than a day: %v", got)
		}
	})
}

func TestTokensOfSendersThatEndAreListed(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		n := 0
		token := func(id, name string, role tenancy.Role, of tenancy.Tenant, expires time.Time) tenancy.Token {
			n += 100
			v := filled[tenancy.Token](n)
			v.ID, v.Name, v.Role, v.TenantID, v.Tenant, v.ExpiresAt = id, name, role, of.ID, of.Name, expires
			v.KeyUserID, v.KeyUser, v.LastUsedAt, v.RevokedAt = "", "", time.Time{}, time.Time{}
			r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateToken(ctx, v, "hash of "+id) })
			return v
		}
		until := now.Add(time.Hour)
		last := token("t1", "crm", tenancy.RoleSender, a, until)
		first := token("t2", "edge", tenancy.RoleGateway, tenancy.Tenant{}, now)
		token("t3", "crm", tenancy.RoleSender, b, until.Add(time.Microsecond)) // ends later, of another tenant
		token("t4", "edge-2", tenancy.RoleGateway, tenancy.Tenant{}, now.Add(-time.Microsecond))
		token("t5", "olga", tenancy.RoleOperator, tenancy.Tenant{}, now)
		token("t6", "revoked", tenancy.RoleSender, a, now)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.RevokeToken(ctx, "t6", now) })
		token("t7", "replaced", tenancy.RoleSender, a, now)
		token("t8", "replaced", tenancy.RoleSender, a, until.AddDate(1, 0, 0))
		token("t9", "twice", tenancy.RoleSender, b, now)
		twice := token("ta", "twice", tenancy.RoleSender, b, now)
		got, err := r.ExpiringTokens(ctx, now, until)
		r.same("tokens that end", err, got, []tenancy.Token{first, twice, last})
	})
}

func TestAnIdempotencyKeyIsForgotten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		remember := func(token, name string, at time.Time) (known bool) {
			r.write(func(ctx context.Context, tx *Tx) error {
				found, err := tx.Remember(ctx, token, name, "hash", at)
				known = found != nil
				return err
			})
			return known
		}
		for token, at := range map[string]time.Time{"old": now.Add(-time.Microsecond), "now": now, "failed": now} {
			if remember(token, "key", at) {
				t.Errorf("the key of %s is known", token)
			}
		}
		remember("failed", "other", now)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.Forget(ctx, "failed", "key", now) })
		for _, c := range []struct {
			token, name string
			known       bool
		}{{"old", "key", false}, {"now", "key", true}, {"failed", "key", false}, {"failed", "other", true}} {
			if known := remember(c.token, c.name, now); known != c.known {
				t.Errorf("%s %s: known %v", c.token, c.name, known)
			}
		}
		r.refused("the answer to an unknown key", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.RememberAnswer(ctx, "nobody", "key", Remembered{})
		})
	})
}

func TestCeremoniesThatHaveExpiredAreDeleted(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		begin := func(hash string, now, until time.Time) {
			r.write(func(ctx context.Context, tx *Tx) error { return tx.BeginCeremony(ctx, hash, "oidc", "{}", now, until) })
		}
		begin("one", now, now.Add(time.Minute))
		begin("two", now, now.Add(2*time.Minute))
		begin("three", now.Add(2*time.Minute), now.Add(time.Hour))
		hashes, err := list(ctx, r.Reader, scanOne[string], "SELECT hash FROM ceremonies ORDER BY hash")
		r.same("kept", err, hashes, []string{"three", "two"})
		r.write(func(ctx context.Context, tx *Tx) error {
			_, err := tx.RedeemCeremony(ctx, "two", "oidc", now.Add(2*time.Minute))
			return err
		})
	})
}

func TestAnswersOfNewTenantsAreStored(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		got, err := r.DefaultAnswer(ctx, "q")
		r.same("not stored", err, got, tenancy.Unanswered)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.SetDefaultAnswer(ctx, "q", tenancy.AnsweredNo) })
		got, err = r.DefaultAnswer(ctx, "q")
		r.same("stored", err, got, tenancy.AnsweredNo)
		got, err = r.DefaultAnswer(ctx, "other")
		r.same("another question", err, got, tenancy.Unanswered)
	})
}

func TestAQuestionIsAnsweredForTenantsThatHaveNoAnswer(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		project := func(id, name string, of tenancy.Tenant, answers ...tenancy.Answer) tenancy.ScopingProject {
			p := tenancy.ScopingProject{ID: id, TenantID: of.ID, Name: name, CreatedAt: now, Version: 1, Answers: answers}
			r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateScopingProjects(ctx, p) })
			return p
		}
		no := tenancy.Answer{Question: "q", By: "bob", At: now}
		first := project("p1", tenancy.FirstProject, a)
		second := project("p2", "second", a)
		other := project("p3", tenancy.FirstProject, b)
		answered := filled[tenancy.Tenant](300)
		answered.ID, answered.Version = "c", 1
		r.write(func(ctx context.Context, tx *Tx) error { return tx.CreateTenants(ctx, answered) })
		project("p4", tenancy.FirstProject, answered)
		project("p5", "second", answered, no) // an answer in any project counts
		yes := tenancy.Answer{Question: "q", Yes: true, By: "olga", At: now.Add(time.Hour)}
		answer := func(limit int) (names []string) {
			r.write(func(ctx context.Context, tx *Tx) (err error) {
				names, err = tx.AnswerOpen(ctx, yes, limit)
				return err
			})
			return names
		}
		r.same("the first", nil, answer(1), []string{a.Name})
		r.same("the others", nil, answer(10), []string{b.Name})
		r.same("nothing is left", nil, answer(10), []string(nil))
		first.Version, first.Answers, other.Version, other.Answers = 2, []tenancy.Answer{yes}, 2, []tenancy.Answer{yes}
		projects, err := r.ScopingProjectsOf(ctx, []string{"a", "b"})
		r.same("projects", err, projects, map[string][]tenancy.ScopingProject{"a": {first, second}, "b": {other}})
		r.reads(func(ctx context.Context, tx *Tx) error {
			_, err := tx.ScopingProjects(ctx, "a")
			return err
		})
	})
}
