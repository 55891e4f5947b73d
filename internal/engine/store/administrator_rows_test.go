package store

import (
	"context"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestAnAdministratorIsStoredOnceForEachTenantAndStopsOnce(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		ada := tenancy.Administrator{ID: "1", TenantID: a.ID, Address: "ada@bank.example", CreatedAt: now}
		elsewhere := tenancy.Administrator{ID: "2", TenantID: b.ID, Address: ada.Address, CreatedAt: now}
		again := ada
		again.ID = "3"
		for _, one := range []tenancy.Administrator{ada, elsewhere, again} {
			r.write(func(ctx context.Context, tx *Tx) error {
				stored, err := tx.EnsureAdministrator(ctx, one)
				if err == nil && stored.ID == "3" {
					t.Error("the address is stored twice")
				}
				return err
			})
		}
		var stopped, stoppedAgain bool
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			if stopped, err = tx.StopAdministrator(ctx, "1", tenancy.Bounced, now.Add(time.Hour)); err != nil {
				return err
			}
			stoppedAgain, err = tx.StopAdministrator(ctx, "1", tenancy.StopAskedFor, now.Add(2*time.Hour))
			return err
		})
		if !stopped || stoppedAgain {
			t.Errorf("the first stop is new: %v, the second one: %v", stopped, stoppedAgain)
		}
		ada.StoppedAt, ada.StoppedFor = now.Add(time.Hour), tenancy.Bounced
		all, err := r.Administrators(ctx, a.ID, "")
		r.same("the administrators of a tenant", err, all, []tenancy.Administrator{ada})
		found, err := r.AdministratorsByID(ctx, []string{"1", "2", "3"})
		r.same("administrators by ID", err, found, map[string]tenancy.Administrator{"1": ada, "2": elsewhere})
		r.write(func(ctx context.Context, tx *Tx) error {
			_, err := tx.ResumeAdministrator(ctx, "1")
			return err
		})
		ada.StoppedAt, ada.StoppedFor = time.Time{}, ""
		one, err := r.Administrator(ctx, "1")
		r.same("an administrator", err, one, ada)
	})
}

func TestNewsOfACounterpartyAreTakenOnce(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, _ := r.tenants()
		r.party("bank")
		news := func(kind tenancy.NoticeKind, certificate string, stage int, after time.Duration) tenancy.CounterpartyNews {
			return tenancy.CounterpartyNews{CounterpartyID: "bank", Kind: kind, CertificateID: certificate, Stage: stage,
				TenantID: a.ID, CreatedAt: now.Add(after)}
		}
		for range 2 { // the second time changes nothing
			r.write(func(ctx context.Context, tx *Tx) error {
				return tx.AddNews(ctx, []tenancy.CounterpartyNews{news("here", "c1", 0, 0), news("here", "c2", 0, time.Hour),
					news("reminder", "c1", 7, 0), news("reminder", "c2", 3, 0)})
			})
		}
		waiting, err := r.WaitingNews(ctx)
		r.same("waiting news", err, waiting, []tenancy.NewsBatch{
			{CounterpartyID: "bank", Kind: "here", First: now, Last: now.Add(time.Hour)},
			{CounterpartyID: "bank", Kind: "reminder", First: now, Last: now, Stage: 3}})
		taken := 0
		for range 2 {
			check := func(ctx context.Context, tx *Tx) error {
				ids, err := tx.TakeNews(ctx, "bank", "here", now.Add(2*time.Hour))
				taken += len(ids)
				return err
			}
			must(t, write(t, r.Store, check))
		}
		if taken != 2 {
			t.Errorf("%d news were taken", taken)
		}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ForgetNews(ctx, now.Add(3*time.Hour)) })
		r.write(func(ctx context.Context, tx *Tx) error {
			return tx.AddNews(ctx, []tenancy.CounterpartyNews{news("here", "c1", 0, 4*time.Hour)})
		})
		waiting, err = r.WaitingNews(ctx)
		r.same("news after the old ones were deleted", err, waiting[:1], []tenancy.NewsBatch{{CounterpartyID: "bank",
			Kind: "here", First: now.Add(4 * time.Hour), Last: now.Add(4 * time.Hour)}})
	})
}
