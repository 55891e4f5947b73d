package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// ReportSilentFeeds records feeds that receivers have stopped fetching in the audit log, each silence once.
func (e *Engine) ReportSilentFeeds(ctx context.Context, now time.Time) error {
	failures := []error{e.reportSilentParties(ctx, now)}
	for after := ""; ; {
		silent, err := e.store.SilentFeeds(ctx, "", now.Add(-tenancy.FeedSilence), after, rollPage)
		if err != nil || len(silent) == 0 {
			return errors.Join(append(failures, err)...)
		}
		ids := make([]string, len(silent))
		for i, f := range silent {
			ids[i] = f.ArrangementID
		}
		names, err := e.store.ArrangementNames(ctx, ids)
		if err != nil {
			return err
		}
		for _, f := range silent {
			after = f.ArrangementID
			failures = append(failures, e.reportSilent(ctx, f, names[f.ArrangementID], now))
		}
	}
}

// reportSilent records that the feed of an arrangement is silent. The name is TENANT/ARRANGEMENT.
func (e *Engine) reportSilent(ctx context.Context, f tenancy.Feed, name string, now time.Time) error {
	tenant, _, _ := strings.Cut(name, "/")
	subject := fmt.Sprintf("%s/%d", f.ArrangementID, f.Fetched.At.Unix())
	_, err := e.store.Once(ctx, store.ClaimFeedSilent, subject, now, func(tx *store.Tx) error {
		return tx.Audit(ctx, tenancy.NewEvent(now, "feeds", "feed.silent", tenant, name,
			map[string]any{"fetched_at": f.Fetched.At, "fetched_by": f.Fetched.Program}))
	})
	return err
}

// reportSilentParties is [Engine.ReportSilentFeeds] for the feeds of counterparties, of which there are few.
func (e *Engine) reportSilentParties(ctx context.Context, now time.Time) error {
	silent, err := e.store.SilentCounterpartyFeeds(ctx, now.Add(-tenancy.FeedSilence))
	if err != nil || len(silent) == 0 {
		return err
	}
	ids := make([]string, len(silent))
	for i, f := range silent {
		ids[i] = f.CounterpartyID
	}
	names, err := e.store.CounterpartiesByID(ctx, ids)
	if err != nil {
		return err
	}
	var failures []error
	for _, f := range silent {
		subject := fmt.Sprintf("%s/%d", f.CounterpartyID, f.FetchedAt.Unix())
		_, err := e.store.Once(ctx, store.ClaimFeedSilent, subject, now, func(tx *store.Tx) error {
			return tx.Audit(ctx, tenancy.NewEvent(now, "feeds", "counterparty.feed-silent", "", names[f.CounterpartyID].Name,
				map[string]any{"fetched_at": f.FetchedAt, "fetched_by": f.FetchedBy}))
		})
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}
