package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// webhooks stores one webhook of the installation and one of each of two tenants.
func (r rows) webhooks() (whole, ofA, ofB tenancy.Webhook) {
	r.t.Helper()
	a, b := r.tenants()
	whole, ofA, ofB = filled[tenancy.Webhook](300), filled[tenancy.Webhook](400), filled[tenancy.Webhook](500)
	whole.ID, ofA.ID, ofB.ID = "w1", "w2", "w3"
	for _, w := range []*tenancy.Webhook{&whole, &ofA, &ofB} {
		w.CounterpartyID, w.Counterparty = "", ""
	}
	whole.TenantID, whole.Tenant, ofA.TenantID, ofA.Tenant, ofB.TenantID, ofB.Tenant = "", "", a.ID, a.Name, b.ID, b.Name
	r.write(func(ctx context.Context, tx *Tx) error {
		for _, w := range []tenancy.Webhook{whole, ofA, ofB} {
			if err := tx.CreateWebhook(ctx, w); err != nil {
				return err
			}
		}
		return nil
	})
	return whole, ofA, ofB
}

func TestWebhooksReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		whole, ofA, ofB := r.webhooks()
		got, err := r.Webhook(ctx, ofA.TenantID, ofA.Name)
		r.same("by name", err, got, ofA)
		if _, err := r.Webhook(ctx, ofB.TenantID, ofA.Name); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("of another tenant: %v", err)
		}
		all, _, err := r.Webhooks(ctx, "", Page{Limit: 10})
		r.same("of the installation", err, all, []tenancy.Webhook{whole})
		all, _, err = r.Webhooks(ctx, ofA.TenantID, Page{After: Place{ID: ofA.ID}, Limit: 10})
		r.same("after the last", err, len(all), 0)
		all, err = r.AllWebhooks(ctx, "w1", 10)
		r.same("all", err, all, []tenancy.Webhook{ofA, ofB})
		n, err := r.CountWebhooks(ctx, ofA.TenantID)
		r.same("number", err, n, 1)
		listening, err := r.ListeningWebhooks(ctx, []string{"", ofA.Tenant, "x"})
		r.same("listening", err, listening, map[string][]tenancy.Webhook{"": {whole}, ofA.Tenant: {ofA}})
		r.refused("a taken name", tenancy.ErrConflict, func(ctx context.Context, tx *Tx) error {
			again := ofA
			again.ID = "w4"
			return tx.CreateWebhook(ctx, again)
		})
		changed := ofA
		changed.Enabled, changed.Types, changed.Host, changed.Template, changed.Sealed = false, nil, "h", "t", []byte("s")
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateWebhook(ctx, changed) })
		changed.Version++
		got, err = r.Webhook(ctx, ofA.TenantID, ofA.Name)
		r.same("changed", err, got, changed)
		listening, err = r.ListeningWebhooks(ctx, []string{ofA.Tenant})
		r.same("disabled", err, len(listening), 0)
		r.refused("an old version", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.UpdateWebhook(ctx, ofA)
		})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DropEvents(ctx, ofB.ID, 7) })
		ofB.Health = tenancy.WebhookHealth{Failures: 3, FailingSince: now, RetryAt: now.Add(time.Hour),
			LastError: "it failed", DeliveredAt: now.Add(-time.Hour), Dropped: ofB.Health.Dropped + 7}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.SetWebhookHealth(ctx, ofB.ID, ofB.Health) })
		got, err = r.Webhook(ctx, ofB.TenantID, ofB.Name)
		r.same("health", err, got, ofB)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DisableWebhook(ctx, ofB.ID) })
		ofB.Enabled, ofB.Version = false, ofB.Version+1
		r.write(func(ctx context.Context, tx *Tx) error {
			_, err := tx.ResealWebhook(ctx, ofB.ID, ofB.Sealed, []byte("fresh"))
			return err
		})
		ofB.Sealed = []byte("fresh")
		got, err = r.Webhook(ctx, ofB.TenantID, ofB.Name)
		r.same("disabled and sealed again", err, got, ofB)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeleteWebhook(ctx, ofB) })
		if _, err := r.Webhook(ctx, ofB.TenantID, ofB.Name); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("deleted: %v", err)
		}
	})
}

func TestOneJobIsQueuedForTheWorkOnAWebhook(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		w, _, _ := r.webhooks()
		wake := func(at time.Time) (needsJob bool) {
			t.Helper()
			must(t, write(t, r.Store, func(ctx context.Context, tx *Tx) (err error) {
				needsJob, err = tx.WakeWebhook(ctx, w.ID, at)
				return err
			}))
			return needsJob
		}
		claim := func(at time.Time) (ok bool) {
			t.Helper()
			must(t, write(t, r.Store, func(ctx context.Context, tx *Tx) (err error) {
				_, ok, err = tx.ClaimWebhook(ctx, w.ID, at, at.Add(time.Minute))
				return err
			}))
			return ok
		}
		release := func(next time.Time) (needsJob bool) {
			t.Helper()
			must(t, write(t, r.Store, func(ctx context.Context, tx *Tx) (err error) {
				needsJob, err = tx.ReleaseWebhook(ctx, w.ID, next)
				return err
			}))
			return needsJob
		}
		expect := func(what string, got, want bool) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %v", what, got)
			}
		}
		expect("the first event needs a job", wake(now), true)
		expect("the second one has it", wake(now), false)
		expect("a later one too", wake(now.Add(time.Minute)), false)
		expect("an earlier one needs another job", wake(now.Add(-time.Minute)), true)
		expect("a job that has not run is lost", wake(now.Add(JobLostAfter)), true)
		expect("a worker claims it", claim(now.Add(JobLostAfter)), true)
		expect("no other worker does", claim(now.Add(JobLostAfter)), false)
		expect("an event during the work needs a job", wake(now.Add(JobLostAfter)), true)
		expect("the next attempt needs a job", release(now.Add(time.Hour)), true)
		expect("it is claimed for the event", claim(now.Add(JobLostAfter)), true)
		expect("the job of the next attempt is there", release(now.Add(2*time.Hour)), false)
		expect("nothing is left to do", release(time.Time{}), false)
		expect("it is claimed at the next attempt", claim(now.Add(time.Hour)), true)
		expect("the attempt after it needs a job again", release(now.Add(2*time.Hour)), true)
		if err := write(t, r.Store, func(ctx context.Context, tx *Tx) error {
			_, _, err := tx.ClaimWebhook(ctx, "x", now, now)
			return err
		}); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("a webhook that was deleted: %v", err)
		}
	})
}

// deliveries stores three deliveries to a webhook.
func (r rows) deliveries(w tenancy.Webhook) (queued, delivered, dead tenancy.WebhookDelivery) {
	r.t.Helper()
	queued, delivered, dead = filled[tenancy.WebhookDelivery](600), filled[tenancy.WebhookDelivery](700),
		filled[tenancy.WebhookDelivery](800)
	for i, d := range []*tenancy.WebhookDelivery{&queued, &delivered, &dead} {
		d.ID, d.WebhookID, d.TenantID = []string{"d1", "d2", "d3"}[i], w.ID, w.TenantID
	}
	queued.State, delivered.State, dead.State = tenancy.WebhookQueued, tenancy.WebhookDelivered, tenancy.WebhookDead
	queued.EndedAt = time.Time{}
	r.write(func(ctx context.Context, tx *Tx) error {
		return tx.AddDeliveries(ctx, []tenancy.WebhookDelivery{queued, delivered, dead})
	})
	return queued, delivered, dead
}

func TestDeliveriesToWebhooksReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		whole, w, _ := r.webhooks()
		queued, delivered, dead := r.deliveries(w)
		got, err := r.WebhookDelivery(ctx, w.ID, "d2")
		r.same("one", err, got, delivered)
		if _, err := r.WebhookDelivery(ctx, whole.ID, "d2"); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("of another webhook: %v", err)
		}
		all, _, err := r.WebhookDeliveries(ctx, w.ID, "", Page{Limit: 10, Sort: "-created"})
		r.same("all", err, all, []tenancy.WebhookDelivery{dead, delivered, queued})
		all, _, err = r.WebhookDeliveries(ctx, w.ID, "", Page{After: Place{ID: "d3"}, Limit: 1, Sort: "-created"})
		r.same("the second page", err, all, []tenancy.WebhookDelivery{delivered})
		all, _, err = r.WebhookDeliveries(ctx, w.ID, tenancy.WebhookDead, Page{Limit: 10, Sort: "-created"})
		r.same("dead ones", err, all, []tenancy.WebhookDelivery{dead})
		all, err = r.DueDeliveries(ctx, w.ID, queued.NextAt, 10)
		r.same("due", err, all, []tenancy.WebhookDelivery{queued})
		all, err = r.DueDeliveries(ctx, w.ID, queued.NextAt.Add(-time.Microsecond), 10)
		r.same("not due", err, len(all), 0)
		next, err := r.NextDelivery(ctx, w.ID)
		r.same("the next attempt", err, next, queued.NextAt)
		next, err = r.NextDelivery(ctx, whole.ID)
		r.same("no attempt", err, next, time.Time{})
		counts, err := r.CountDeliveries(ctx, []string{w.ID, whole.ID})
		r.same("numbers", err, counts, map[string]DeliveryCount{w.ID: {w.ID, 1, 1}})
		waiting, err := r.CountQueued(ctx, []string{w.ID, whole.ID})
		r.same("queued", err, waiting, map[string]int{w.ID: 1})
		total, err := r.TotalDeliveries(ctx)
		r.same("totals", err, total, DeliveryTotals{Queued: 1, Dead: 1, Oldest: queued.QueuedAt})
		idle, err := r.IdleWebhooks(ctx, now.Add(24*time.Hour), 10)
		r.same("idle", err, idle, []string{w.ID})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.RetryWebhook(ctx, w.ID, now) })
		queued.NextAt = now
		got, err = r.WebhookDelivery(ctx, w.ID, "d1")
		r.same("made due", err, got, queued)
		queued.State, queued.Attempts, queued.Status, queued.LastError, queued.EndedAt = tenancy.WebhookDelivered, 9, 204, "",
			now
		r.write(func(ctx context.Context, tx *Tx) error { return tx.RecordDelivery(ctx, queued) })
		got, err = r.WebhookDelivery(ctx, w.ID, "d1")
		r.same("recorded", err, got, queued)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeleteWebhook(ctx, w) })
		all, _, err = r.WebhookDeliveries(ctx, w.ID, "", Page{Limit: 10, Sort: "-created"})
		r.same("of a deleted webhook", err, len(all), 0)
	})
}

func TestEndedDeliveriesAreReplayedAndForgotten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		_, w, _ := r.webhooks()
		queued, delivered, dead := r.deliveries(w)
		r.refused("a queued one", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.Replay(ctx, w.ID, queued.ID, now)
		})
		replayed := func(d tenancy.WebhookDelivery) tenancy.WebhookDelivery {
			d.State, d.Attempts, d.NextAt, d.QueuedAt, d.EndedAt = tenancy.WebhookQueued, 0, now, now, time.Time{}
			return d
		}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.Replay(ctx, w.ID, delivered.ID, now) })
		got, err := r.WebhookDelivery(ctx, w.ID, delivered.ID)
		r.same("replayed", err, got, replayed(delivered))
		r.write(func(ctx context.Context, tx *Tx) error {
			_, err := tx.ReplayDead(ctx, w.ID, 10, now)
			return err
		})
		got, err = r.WebhookDelivery(ctx, w.ID, dead.ID)
		r.same("a dead one", err, got, replayed(dead))
		later := now.Add(1000 * time.Hour)
		var expired, forgotten int64
		r.write(func(ctx context.Context, tx *Tx) (err error) { // the others have no attempt since they were replayed
			expired, err = tx.ExpireDeliveries(ctx, later, 1<<30, "too late", later)
			return err
		})
		got, err = r.WebhookDelivery(ctx, w.ID, queued.ID)
		queued.State, queued.EndedAt = tenancy.WebhookDead, later
		r.same("given up", err, got, queued)
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			forgotten, err = tx.ForgetDeliveries(ctx, tenancy.WebhookDead, later.Add(time.Second), 10)
			return err
		})
		if expired != 1 || forgotten != 1 {
			t.Errorf("%d expired, %d forgotten", expired, forgotten)
		}
	})
}

func TestWebhooksOfACounterpartyReadBackAsWrittenAndEndWithIt(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		whole, _, _ := r.webhooks()
		bank := r.party("bank", "bank.example")
		h := filled[tenancy.Webhook](600)
		h.ID, h.TenantID, h.Tenant, h.CounterpartyID, h.Counterparty, h.Name = "w4", "", "", bank.ID, "bank", whole.Name
		h.Enabled = true
		d := filled[tenancy.WebhookDelivery](700)
		d.WebhookID, d.TenantID = h.ID, bank.ID
		r.write(func(ctx context.Context, tx *Tx) error {
			return errors.Join(tx.CreateWebhook(ctx, h), tx.AddDeliveries(ctx, []tenancy.WebhookDelivery{d}))
		})
		got, err := r.Webhook(ctx, bank.ID, h.Name)
		r.same("by name", err, got, h)
		all, _, err := r.Webhooks(ctx, bank.ID, Page{Limit: 10})
		r.same("of the counterparty", err, all, []tenancy.Webhook{h})
		n, err := r.CountWebhooks(ctx, bank.ID)
		r.same("their number", err, n, 1)
		listening, err := r.ListeningWebhooks(ctx, []string{""})
		r.same("listening", err, listening[""][len(listening[""])-1], h)
		all, _, err = r.Webhooks(ctx, "", Page{Limit: 10})
		r.same("of the installation", err, all, []tenancy.Webhook{whole})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.DeleteCounterparty(ctx, bank) })
		all, err = r.AllWebhooks(ctx, "w3", 10)
		r.same("after the counterparty was deleted", err, all, []tenancy.Webhook(nil))
		deliveries, _, err := r.WebhookDeliveries(ctx, h.ID, "", Page{Limit: 10, Sort: "-created"})
		r.same("its deliveries", err, deliveries, []tenancy.WebhookDelivery(nil))
	})
}

func TestLinkedArrangementsAreThoseOfACounterpartyNow(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		r.party("bank", "bank.example")
		r.party("post", "post.example")
		r.sends(a, "x", "https://bank.example/")
		r.sends(a, "y", "https://post.example/")
		r.sends(b, "z", "https://bank.example/")
		link := func(host, id string) {
			r.write(func(ctx context.Context, tx *Tx) error {
				_, err := tx.LinkReceivers(ctx, id, host)
				return err
			})
		}
		link("bank.example", "bank")
		link("post.example", "post")
		got, err := r.LinkedTo(ctx, []string{"bank"}, []string{a.Name, b.Name})
		r.same("of the bank", err, got, []LinkedArrangement{{"bank", a.Name, "x", "tenant"}, {"bank", b.Name, "z", "tenant"}})
		got, err = r.LinkedTo(ctx, []string{"bank", "post"}, []string{a.Name})
		r.same("of both", err, got, []LinkedArrangement{{"bank", a.Name, "x", "tenant"}, {"post", a.Name, "y", "tenant"}})
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UnlinkReceiver(ctx, "x") })
		got, err = r.LinkedTo(ctx, []string{"bank"}, []string{a.Name})
		r.same("after the end of the link", err, got, []LinkedArrangement(nil))
	})
}
