package store

import (
	"context"

	"github.com/perennial-pki/perennial/tenancy"
)

var insertTenantWords = bulkInsert("tenant_words", "word text", "tenant_id text").oncePer("word, tenant_id")

// indexTenants stores the words of display names.
func (t *Tx) indexTenants(ctx context.Context, tenants ...tenancy.Tenant) error {
	type pair struct{ word, tenantID string }
	var all []pair
	for _, v := range tenants {
		for _, word := range wordsOf(v.DisplayName) {
			all = append(all, pair{storable(word), v.ID})
		}
	}
	_, err := insertTenantWords.write(ctx, t, len(all), func(i int) []any { return []any{all[i].word, all[i].tenantID} })
	return err
}

// reindexTenant replaces the words of a display name.
func (t *Tx) reindexTenant(ctx context.Context, v tenancy.Tenant) error {
	if _, err := t.exec(ctx, "DELETE FROM tenant_words WHERE tenant_id = ?", v.ID); err != nil {
		return err
	}
	return t.indexTenants(ctx, v)
}

const (
	// indexedSetting holds the ID of the last tenant that [Store.IndexTenants] has indexed. Its number is that of the
	// rules of [wordsOf].
	indexedSetting = "find/indexed/2"
	indexPage      = 1000
)

// IndexTenants indexes the tenants that a program without this index has created: before an upgrade, or during it. It
// continues where it ended, also after a crash.
func (s *Store) IndexTenants(ctx context.Context) error {
	after, err := s.Setting(ctx, indexedSetting)
	for err == nil {
		var page []tenancy.Tenant
		if page, err = s.Tenants(ctx, after, indexPage); err != nil || len(page) == 0 {
			break
		}
		after = page[len(page)-1].ID
		err = s.InTx(ctx, func(tx *Tx) error {
			if err := tx.indexTenants(ctx, page...); err != nil {
				return err
			}
			return tx.SetSetting(ctx, indexedSetting, after)
		})
	}
	return err
}
