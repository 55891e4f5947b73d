package store

import (
	"context"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestRoundsOfTestsReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		acme, _ := r.tenants()
		for _, id := range []string{"a", "b", "c"} {
			r.sends(acme, id, "https://bank.example/"+id)
		}
		round := tenancy.TestRound{ID: "2", Choice: tenancy.TestChoice{Filter: "at-risk", Host: "bank.example"},
			CreatedBy: "operator olga", CreatedAt: now}
		items := []tenancy.TestItem{{RoundID: "2", ArrangementID: "a", Host: "bank.example", Generation: 2},
			{RoundID: "2", ArrangementID: "b", Host: "bank.example", Generation: 2, DoneAt: now,
				Result: tenancy.TestSkipped, Detail: tenancy.SkippedRecent}}
		old := tenancy.TestRound{ID: "1", CreatedBy: "operator olga", CreatedAt: now.Add(-time.Hour)}
		r.write(func(ctx context.Context, tx *Tx) error {
			if err := tx.CreateTestRound(ctx, old, nil, time.Time{}); err != nil {
				return err
			}
			return tx.CreateTestRound(ctx, round, items, time.Time{})
		})
		got, err := r.TestRound(ctx, "2")
		r.same("a round", err, got, round)
		all, _, err := r.TestRounds(ctx, Page{Limit: 10, Sort: "-created"})
		r.same("all", err, all, []tenancy.TestRound{round, old})
		all, _, err = r.TestRounds(ctx, Page{After: Place{ID: "2"}, Limit: 10, Sort: "-created"})
		r.same("before the latest", err, all, []tenancy.TestRound{old})
		tests, _, err := r.TestItems(ctx, "2", "", Page{Limit: 10})
		r.same("the tests", err, tests, items)
		tests, _, err = r.TestItems(ctx, "2", tenancy.TestSkipped, Page{After: Place{ID: "a"}, Limit: 10})
		r.same("those with a result", err, tests, items[1:])
		tests, _, err = r.TestItems(ctx, "2", tenancy.TestWaiting, Page{Limit: 10})
		r.same("those without one", err, tests, items[:1])
		counts, err := r.CountTests(ctx, []string{"2"})
		r.same("the counts", err, counts["2"], []TestCount{{"2", "", 1}, {"2", tenancy.TestSkipped, 1}})
		recent, err := r.TestedSince(ctx, []string{"a", "b", "c"}, now)
		r.same("those that wait", err, len(recent), 1)
		r.endTests(ctx, items[0], round, old)
	})
}

// endTests takes and ends a test, with which its round ends.
func (r rows) endTests(ctx context.Context, item tenancy.TestItem, round, old tenancy.TestRound) {
	r.t.Helper()
	var taken, again, early, ended, twice bool
	done := item
	done.DoneAt, done.Result, done.Detail = now.Add(time.Second), tenancy.TestRefused, "401 Unauthorized"
	r.write(func(ctx context.Context, tx *Tx) (err error) {
		if taken, err = tx.TakeTest(ctx, item, now, now.Add(time.Minute)); err != nil {
			return err
		}
		if again, err = tx.TakeTest(ctx, item, now, now.Add(time.Minute)); err != nil {
			return err
		}
		if early, err = tx.FinishTestRound(ctx, round.ID, now); err != nil {
			return err
		}
		return tx.EndTest(ctx, done)
	})
	waiting, err := r.WaitingTests(ctx, round.ID, now.Add(time.Hour), 10)
	r.same("none waits", err, len(waiting), 0)
	r.write(func(ctx context.Context, tx *Tx) (err error) {
		if ended, err = tx.FinishTestRound(ctx, round.ID, now); err != nil {
			return err
		}
		twice, err = tx.FinishTestRound(ctx, round.ID, now)
		return err
	})
	if !taken || again || early || !ended || twice {
		r.t.Errorf("taken %v, again %v; ended %v, early %v, twice %v", taken, again, ended, early, twice)
	}
	tests, _, err := r.TestItems(ctx, round.ID, tenancy.TestRefused, Page{Limit: 10})
	r.same("the result", err, tests, []tenancy.TestItem{done})
	r.write(func(ctx context.Context, tx *Tx) error {
		return tx.CreateTestRound(ctx, tenancy.TestRound{ID: "3", CreatedAt: now}, nil, now.Add(-time.Minute))
	})
	all, _, err := r.TestRounds(ctx, Page{Limit: 10, Sort: "-created"})
	r.same("without the old ones", err, len(all), 2)
	if all[1].ID != round.ID || all[1].FinishedAt.IsZero() {
		r.t.Errorf("%+v was deleted instead of %s", all, old.ID)
	}
}
