package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// AddNews stores what a counterparty is to be mailed about, unless that is stored already.
func (t *Tx) AddNews(ctx context.Context, all []tenancy.CounterpartyNews) error {
	for _, n := range all {
		if _, err := t.exec(ctx, "INSERT INTO counterparty_news (counterparty_id, kind, certificate_id, stage, tenant_id, "+
			"created_at, told_at) VALUES (?, ?, ?, ?, ?, ?, 0) ON CONFLICT (counterparty_id, kind, certificate_id, stage) DO "+
			"NOTHING", n.CounterpartyID, string(n.Kind), n.CertificateID, n.Stage, n.TenantID, micros(n.CreatedAt)); err != nil {
			return err
		}
	}
	return nil
}

// WaitingNews lists the kinds of news that counterparties are not mailed about yet.
func (r Reader) WaitingNews(ctx context.Context) ([]tenancy.NewsBatch, error) {
	return list(ctx, r, func(s row) (b tenancy.NewsBatch, err error) {
		err = s.Scan(&b.CounterpartyID, &b.Kind, instant{&b.First}, instant{&b.Last}, &b.Stage)
		return b, err
	}, "SELECT counterparty_id, kind, min(created_at), max(created_at), min(stage) FROM counterparty_news WHERE "+
		"told_at = 0 GROUP BY counterparty_id, kind ORDER BY counterparty_id, kind")
}

// TakeNews marks the news of a kind as told, and returns the IDs of the certificates. It is empty if another replica
// was faster.
func (t *Tx) TakeNews(ctx context.Context, counterpartyID string, kind tenancy.NoticeKind,
	now time.Time) (certificateIDs []string, err error) {
	return list(ctx, t.Reader, scanOne[string], "UPDATE counterparty_news SET told_at = ? WHERE counterparty_id = ? AND "+
		"kind = ? AND told_at = 0 RETURNING certificate_id", micros(now), counterpartyID, string(kind))
}

// ForgetNews deletes news that were told before an instant.
func (t *Tx) ForgetNews(ctx context.Context, before time.Time) error {
	_, err := t.exec(ctx, "DELETE FROM counterparty_news WHERE told_at > 0 AND told_at < ?", micros(before))
	return err
}

// ToldNews reads when counterparties were last mailed about a tenant, by the ID of the counterparty and the kind.
func (r Reader) ToldNews(ctx context.Context, tenantID string) (map[string]map[tenancy.NoticeKind]time.Time, error) {
	all := map[string]map[tenancy.NoticeKind]time.Time{}
	type told struct {
		party string
		kind  tenancy.NoticeKind
		at    time.Time
	}
	err := forEach(ctx, r, func(s row) (v told, err error) {
		err = s.Scan(&v.party, &v.kind, instant{&v.at})
		return v, err
	}, func(v told) {
		if all[v.party] == nil {
			all[v.party] = map[tenancy.NoticeKind]time.Time{}
		}
		all[v.party][v.kind] = v.at
	}, "SELECT counterparty_id, kind, max(told_at) FROM counterparty_news WHERE tenant_id = ? AND told_at > 0 GROUP BY "+
		"counterparty_id, kind", tenantID)
	return all, err
}
