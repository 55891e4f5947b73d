package jobs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// pageLog is a deliverer that records the pages in their order.
type pageLog struct {
	mu    sync.Mutex
	pages [][]string
}

func (l *pageLog) Deliver(_ context.Context, ids []string, _ bool, _ time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pages = append(l.pages, ids)
	return nil
}

// served returns the number of pages after which so many mails of a tenant are delivered; 0 if they are not yet.
func (l *pageLog) served(tenant string, mails int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, page := range l.pages {
		for _, id := range page {
			if strings.HasPrefix(id, tenant) {
				mails--
			}
		}
		if mails == 0 {
			return i + 1
		}
	}
	return 0
}

func mailsOf(tenant string, n int) (mails []tenancy.Mail) {
	for i := range n {
		mails = append(mails, tenancy.Mail{ID: fmt.Sprint(tenant, "-", i), TenantID: tenant})
	}
	return mails
}

func TestATenantWithThousandsOfMailsDoesNotDelayTheMailsOfAnother(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		f := setUp(t, url, 0)
		outbox, err := NewOutbox(f.store, log)
		check(t, err)
		// The small tenant's turn comes last in this run, and its next mail is from a later transaction.
		for _, mails := range [][]tenancy.Mail{append(mailsOf("large", 3000), mailsOf("small", 3)...), mailsOf("small", 1)} {
			check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
				return outbox.Enqueue(t.Context(), tx.SQL(), mails)
			}))
		}
		delivered := &pageLog{}
		j, err := New(t.Context(), Config{Store: f.store, URL: f.url, Engine: f.engine.Engine, Deliverer: delivered,
			MailRate: 200, Now: time.Now, Log: log})
		check(t, err)
		check(t, j.Start(t.Context()))
		testenv.Eventually(t, func() bool { return delivered.served("small", 4) > 0 })
		check(t, j.Stop(context.WithoutCancel(t.Context())))
		if n := delivered.served("small", 4); n > 3 {
			t.Errorf("the small tenant has its mails after %d pages", n)
		}
	})
}

func TestPagesOfMailsTakeTurnsByTenant(t *testing.T) {
	var all []string
	seen := map[string][2]int{} // the first and the last page of each tenant
	mails := append(mailsOf("huge", 3000), mailsOf("large", 500)...)
	for i := range 300 {
		mails = append(mails, mailsOf(fmt.Sprintf("t%03d", i), 3)...)
	}
	for i := range 150 { // mails about several tenants belong to none
		mails = append(mails, tenancy.Mail{ID: fmt.Sprintf("to%03d-0", i), AdministratorID: fmt.Sprint(i)})
	}
	jobs := pages(mails)
	last := 0
	for n, job := range jobs {
		ids := job.Args.(deliverArgs).MailIDs
		if len(ids) == 0 || len(ids) > mailsPerJob || job.InsertOpts.Priority < last || job.InsertOpts.Priority > 4 {
			t.Errorf("page %d has %d mails and priority %d after %d", n, len(ids), job.InsertOpts.Priority, last)
		}
		last = job.InsertOpts.Priority
		for _, id := range ids {
			tenant, _, _ := strings.Cut(id, "-")
			if _, found := seen[tenant]; !found {
				seen[tenant] = [2]int{n, n}
			}
			seen[tenant] = [2]int{seen[tenant][0], n}
		}
		all = append(all, ids...)
	}
	slices.Sort(all)
	if len(all) != len(mails) || len(slices.Compact(all)) != len(mails) {
		t.Errorf("%d of %d mails are on pages", len(all), len(mails))
	}
	for tenant, at := range seen {
		if strings.HasPrefix(tenant, "t") && at[1] > 10 {
			t.Errorf("the mails of %s are on page %d", tenant, at[1])
		}
	}
	if seen["large"][1] >= 25 || seen["huge"][1] != len(jobs)-1 {
		t.Errorf("of %d pages, %v are those of the large tenant and %v those of the huge one", len(jobs), seen["large"],
			seen["huge"])
	}
}
