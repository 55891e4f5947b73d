package store

import (
	"context"
	"errors"
)

// These tables keep the rows of an erased tenant, because sent notices and mails stay on record.
var keptOfATenant = []string{"notices", "tasks", "mails"}

// erasures delete the rows of a tenant, those that refer to others first. Each query takes the tenant's ID.
var erasures = []string{
	"DELETE FROM evidence WHERE arrangement_id IN (SELECT id FROM arrangements WHERE tenant_id = ?)",
	"DELETE FROM message_log WHERE arrangement_id IN (SELECT id FROM arrangements WHERE tenant_id = ?)",
	"DELETE FROM messages WHERE arrangement_id IN (SELECT id FROM arrangements WHERE tenant_id = ?)",
	"DELETE FROM links WHERE arrangement_id IN (SELECT id FROM arrangements WHERE tenant_id = ?)",
	"DELETE FROM counterparty_questions WHERE arrangement_id IN (SELECT id FROM arrangements WHERE tenant_id = ?)",
	"DELETE FROM test_items WHERE arrangement_id IN (SELECT id FROM arrangements WHERE tenant_id = ?)",
	"DELETE FROM counterparty_feed_entries WHERE arrangement_id IN (SELECT id FROM arrangements WHERE tenant_id = ?)",
	"DELETE FROM feeds WHERE arrangement_id IN (SELECT id FROM arrangements WHERE tenant_id = ?)",
	"DELETE FROM parked WHERE tenant_id = ?",
	"DELETE FROM parked_bodies WHERE tenant_id = ?",
	"DELETE FROM trust WHERE arrangement_id IN (SELECT id FROM arrangements WHERE tenant_id = ?)",
	"DELETE FROM arrangements WHERE tenant_id = ?",
	"DELETE FROM receivers WHERE tenant_id = ?",
	"DELETE FROM scoping_answers WHERE project_id IN (SELECT id FROM scoping_projects WHERE tenant_id = ?)",
	"DELETE FROM scoping_projects WHERE tenant_id = ?",
	"DELETE FROM sessions WHERE account_id IN (SELECT id FROM accounts WHERE tenant_id = ?)",
	"DELETE FROM passkeys WHERE account_id IN (SELECT id FROM accounts WHERE tenant_id = ?)",
	"DELETE FROM accounts WHERE tenant_id = ?",
	"DELETE FROM idempotency_keys WHERE token_id IN (SELECT id FROM tokens WHERE tenant_id = ?)",
	"DELETE FROM tokens WHERE tenant_id = ?",
	"DELETE FROM key_users WHERE tenant_id = ?",
	"DELETE FROM it_contacts WHERE tenant_id = ?",
	"DELETE FROM kept_names WHERE tenant_id = ?",
	"DELETE FROM certificates WHERE tenant_id = ?",
	"DELETE FROM requests WHERE tenant_id = ?",
	"DELETE FROM credentials WHERE tenant_id = ?",
	"DELETE FROM watched_links WHERE tenant_id = ?",
	"DELETE FROM watched_certificates WHERE tenant_id = ?",
	"DELETE FROM watched WHERE tenant_id = ?",
	"DELETE FROM administrators WHERE tenant_id = ?",
	"DELETE FROM counterparty_news WHERE tenant_id = ?",
	"DELETE FROM tenant_words WHERE tenant_id = ?",
	"DELETE FROM webhook_deliveries WHERE tenant_id = ?",
	"DELETE FROM webhooks WHERE tenant_id = ?",
	"DELETE FROM tenants WHERE id = ?",
}

// EraseTenant deletes a tenant with everything that belongs to it, except its notices, tasks and mails and its part of
// the audit log. It is for undoing an import. Its keys in a token must then be destroyed.
func (t *Tx) EraseTenant(ctx context.Context, id string) error {
	if err := errors.Join(t.doomCertificateKeys(ctx, "tenant_id = ?", id),
		t.doomRequestKeys(ctx, "tenant_id = ?", id)); err != nil {
		return err
	}
	for _, query := range erasures {
		if _, err := t.exec(ctx, query, id); err != nil {
			return err
		}
	}
	return nil
}
