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

// TakeNews marks the news of a kind as told, and returns the IDs of the certificates. It is empty if another replica was
// faster.
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
