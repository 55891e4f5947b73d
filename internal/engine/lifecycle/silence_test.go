package lifecycle

import (
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestASilentFeedIsReportedOnce(t *testing.T) {
	begin := date("2026-01-15")
	f := sqlite(t, "perennial", begin)
	acme := f.tenant("acme", begin)
	bank := f.arrangement(acme, "bank", tenancy.Confirmed)
	shop := f.arrangement(acme, "shop", tenancy.Confirmed)
	fetch := func(a tenancy.Arrangement, at time.Time) {
		t.Helper()
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.RecordFeedFetch(t.Context(), a.ID, tenancy.FeedReport{At: at, Program: "perennial"})
		}))
	}
	for _, a := range []tenancy.Arrangement{bank, shop} {
		check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.CreateFeed(t.Context(), tenancy.Feed{ArrangementID: a.ID, CreatedAt: begin}, "hash of "+a.Name)
		}))
	}
	fetch(bank, begin) // the other one was never fetched
	reported := func(days int) (n int) {
		t.Helper()
		now := begin.AddDate(0, 0, days)
		check(t, f.ReportSilentFeeds(t.Context(), now))
		check(t, f.ReportSilentFeeds(t.Context(), now))
		for _, action := range append(f.actions("acme", "acme/crm-to-bank"), f.actions("acme", "acme/crm-to-shop")...) {
			if action == "feed.silent" {
				n++
			}
		}
		return n
	}
	for _, c := range []struct{ days, want int }{{7, 0}, {8, 1}, {9, 1}} {
		if got := reported(c.days); got != c.want {
			t.Errorf("after %d days: %d reports, want %d", c.days, got, c.want)
		}
	}
	fetch(bank, begin.AddDate(0, 0, 10))
	if got := reported(12); got != 1 {
		t.Errorf("a feed that is fetched again: %d reports", got)
	}
	if got := reported(18); got != 2 {
		t.Errorf("the next silence: %d reports", got)
	}
}
