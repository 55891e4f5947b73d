package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const administratorColumns = "id, tenant_id, counterparty_id, address, created_at, stopped_at, stopped_for"

func scanAdministrator(s row) (a tenancy.Administrator, err error) {
	err = s.Scan(&a.ID, &a.TenantID, &a.CounterpartyID, &a.Address, instant{&a.CreatedAt}, instant{&a.StoppedAt},
		&a.StoppedFor)
	return a, err
}

// Administrator finds the administrator with an ID.
func (r Reader) Administrator(ctx context.Context, id string) (tenancy.Administrator, error) {
	return one(ctx, r, "such administrator", scanAdministrator, "SELECT "+administratorColumns+" FROM administrators "+
		"WHERE id = ?", id)
}

// AdministratorsByID reads the administrators with these IDs.
func (r Reader) AdministratorsByID(ctx context.Context, ids []string) (map[string]tenancy.Administrator, error) {
	return byID(ctx, r, scanAdministrator, func(a tenancy.Administrator) string { return a.ID },
		"SELECT "+administratorColumns+" FROM administrators WHERE id ", ids)
}

// Administrators lists everyone who was mailed as an administrator of a tenant's receivers, or for a counterparty. The
// other ID is empty.
func (r Reader) Administrators(ctx context.Context, tenantID, counterpartyID string) ([]tenancy.Administrator, error) {
	return list(ctx, r, scanAdministrator, "SELECT "+administratorColumns+" FROM administrators WHERE tenant_id = ? AND "+
		"counterparty_id = ? ORDER BY address", tenantID, counterpartyID)
}

// AdministratorsOf reads everyone who was mailed as an administrator of the receivers of some tenants, by tenant ID.
func (r Reader) AdministratorsOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.Administrator, error) {
	return groupBy(ctx, r, scanAdministrator, func(a tenancy.Administrator) string { return a.TenantID },
		"SELECT "+administratorColumns+" FROM administrators WHERE counterparty_id = '' AND tenant_id ", tenantIDs,
		" ORDER BY address")
}

// AdministratorsOfCounterparties reads everyone who was mailed for some counterparties, by the ID of the counterparty.
func (r Reader) AdministratorsOfCounterparties(ctx context.Context, ids []string) (map[string][]tenancy.Administrator,
	error) {
	return groupBy(ctx, r, scanAdministrator, func(a tenancy.Administrator) string { return a.CounterpartyID },
		"SELECT "+administratorColumns+" FROM administrators WHERE tenant_id = '' AND counterparty_id ", ids,
		" ORDER BY address")
}

// EnsureAdministrator stores an administrator who is mailed, unless the address is known already, and returns what is
// stored.
func (t *Tx) EnsureAdministrator(ctx context.Context, a tenancy.Administrator) (tenancy.Administrator, error) {
	if _, err := t.exec(ctx, "INSERT INTO administrators ("+administratorColumns+") VALUES (?, ?, ?, ?, ?, 0, '') ON "+
		"CONFLICT (tenant_id, counterparty_id, address) DO NOTHING", a.ID, a.TenantID, a.CounterpartyID, a.Address,
		micros(a.CreatedAt)); err != nil {
		return a, err
	}
	return one(ctx, t.Reader, "such administrator", scanAdministrator, "SELECT "+administratorColumns+" FROM "+
		"administrators WHERE tenant_id = ? AND counterparty_id = ? AND address = ?", a.TenantID, a.CounterpartyID,
		a.Address)
}

// StopAdministrator records that an address gets no more mails. It reports false if that was recorded before.
func (t *Tx) StopAdministrator(ctx context.Context, id string, why tenancy.StopReason, now time.Time) (bool, error) {
	n, err := t.exec(ctx, "UPDATE administrators SET stopped_at = ?, stopped_for = ? WHERE id = ? AND stopped_at = 0",
		micros(now), string(why), id)
	return n > 0, err
}

// ResumeAdministrator records that an address gets mails again. It reports false if it did before.
func (t *Tx) ResumeAdministrator(ctx context.Context, id string) (bool, error) {
	n, err := t.exec(ctx, "UPDATE administrators SET stopped_at = 0, stopped_for = '' WHERE id = ? AND "+
		"stopped_at <> 0", id)
	return n > 0, err
}

// deleteAdministrators deletes those of a counterparty that is deleted.
func (t *Tx) deleteAdministrators(ctx context.Context, counterpartyID string) error {
	_, err := t.exec(ctx, "DELETE FROM administrators WHERE counterparty_id = ? AND counterparty_id <> ''", counterpartyID)
	return err
}

// CountAdministratorMails counts the notices to administrators, and their mails.
func (r Reader) CountAdministratorMails(ctx context.Context) (notices, mails int, err error) {
	err = r.explain(r.q.QueryRowContext(ctx, "SELECT COUNT(DISTINCT notice_id), COUNT(*) FROM mails WHERE "+
		"administrator_id <> ''").Scan(&notices, &mails))
	return notices, mails, err
}
