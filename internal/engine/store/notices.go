package store

import (
	"context"
	"fmt"

	"github.com/perennial-pki/perennial/tenancy"
)

var insertNotices = bulkInsert("notices", "id text", "tenant_id text", "certificate_id text", "successor_id text",
	"kind text", "subject text", "run_date bigint", "due_at bigint", "reason text", "created_at bigint", "dedup_key text")

// AddNotices stores notices. Each needs a DedupKey. It returns [tenancy.ErrConflict] if a certificate has a notice with
// the same key already.
func (t *Tx) AddNotices(ctx context.Context, notices []tenancy.Notice) error {
	for _, n := range notices {
		if n.DedupKey == "" {
			return fmt.Errorf("the notice %q of certificate %s has no deduplication key", n.Kind, n.CertificateID)
		}
	}
	_, err := insertNotices.write(ctx, t, len(notices), func(i int) []any {
		n := &notices[i]
		return []any{n.ID, n.TenantID, n.CertificateID, n.SuccessorID, string(n.Kind), n.Subject, micros(n.RunDate),
			micros(n.DueAt), n.Reason, micros(n.CreatedAt), n.DedupKey}
	})
	return err
}

// A replica of an earlier release writes negative run dates while an upgrade replaces it.
const noticeColumns = "id, tenant_id, certificate_id, successor_id, kind, subject, CASE WHEN run_date > 0 THEN " +
	"run_date ELSE 0 END, due_at, reason, created_at, dedup_key"

func scanNotice(s row) (n tenancy.Notice, err error) {
	err = s.Scan(&n.ID, &n.TenantID, &n.CertificateID, &n.SuccessorID, &n.Kind, &n.Subject, instant{&n.RunDate},
		instant{&n.DueAt}, &n.Reason, instant{&n.CreatedAt}, &n.DedupKey)
	return n, err
}

// NoticesByID reads the notices with these IDs.
func (r Reader) NoticesByID(ctx context.Context, ids []string) (map[string]tenancy.Notice, error) {
	return byID(ctx, r, scanNotice, func(n tenancy.Notice) string {
		return n.ID
	}, "SELECT "+noticeColumns+" FROM notices WHERE id ", ids)
}

// Notices lists the notices of a tenant.
func (r Reader) Notices(ctx context.Context, tenantID, after string, limit int) ([]tenancy.Notice, error) {
	return list(ctx, r, scanNotice, "SELECT "+noticeColumns+" FROM notices WHERE certificate_id IN (SELECT id FROM "+
		"certificates WHERE tenant_id = ?) AND id > ? ORDER BY id LIMIT ?", tenantID, after, limit)
}

// CountNotices counts all notices and the tasks that they caused.
func (r Reader) CountNotices(ctx context.Context) (notices, tasks int, err error) {
	err = r.explain(r.q.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM notices), (SELECT count(*) "+
		"FROM tasks)").Scan(&notices, &tasks))
	return notices, tasks, err
}
