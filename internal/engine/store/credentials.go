package store

import (
	"context"
	"errors"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const credentialColumns = "tenant_id, name, issuer, key_type, subject, san, validity, announced_at, created_at, " +
	"version"

func scanCredential(s row) (c tenancy.Credential, err error) {
	var micros int64
	err = s.Scan(
		&c.TenantID,
		&c.Name,
		&c.Issuer,
		&c.KeyType,
		&c.Subject,
		&c.SAN,
		&micros,
		instant{&c.AnnouncedAt},
		instant{&c.CreatedAt},
		&c.Version,
	)
	c.Validity = time.Duration(micros) * time.Microsecond
	return c, err
}

// Credential finds a credential that has settings of its own.
func (r Reader) Credential(ctx context.Context, tenantID string, name tenancy.Purpose) (tenancy.Credential, error) {
	return one(ctx, r, "credential "+string(name), scanCredential, "SELECT "+credentialColumns+" FROM credentials WHERE "+
		"tenant_id = ? AND name = ?", tenantID, name)
}

// CredentialsOf reads the credentials that have settings of their own, by tenant ID, sorted by name.
func (r Reader) CredentialsOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.Credential, error) {
	return groupBy(ctx, r, scanCredential, func(c tenancy.Credential) string { return c.TenantID },
		"SELECT "+credentialColumns+" FROM credentials WHERE tenant_id ", tenantIDs, " ORDER BY name")
}

var insertCredentials = bulkInsert("credentials", "tenant_id text", "name text", "issuer text", "key_type text",
	"subject text", "san text", "validity bigint", "announced_at bigint", "created_at bigint", "version bigint")

// CreateCredentials stores credentials. It returns [tenancy.ErrConflict] if a tenant has one of this name.
func (t *Tx) CreateCredentials(ctx context.Context, credentials ...tenancy.Credential) error {
	_, err := insertCredentials.write(ctx, t, len(credentials), func(i int) []any {
		c := &credentials[i]
		return []any{c.TenantID, string(c.Name), c.Issuer, string(c.KeyType), c.Subject, c.SAN, c.Validity.Microseconds(),
			micros(c.AnnouncedAt), micros(c.CreatedAt), c.Version}
	})
	return err
}

// UpdateCredential stores a change of everything except the name.
func (t *Tx) UpdateCredential(ctx context.Context, c tenancy.Credential) error {
	return t.execOne(ctx, "UPDATE credentials SET issuer = ?, key_type = ?, subject = ?, san = ?, validity = ?, "+
		"announced_at = ?, "+
		"version = version + 1 WHERE tenant_id = ? AND name = ? AND version = ?", c.Issuer, c.KeyType, c.Subject, c.SAN,
		c.Validity.Microseconds(), micros(c.AnnouncedAt), c.TenantID, c.Name, c.Version)
}

// EmptyCredentials lists credentials with settings of their own that have neither a certificate nor an open request.
func (r Reader) EmptyCredentials(ctx context.Context, limit int) ([]tenancy.Credential, error) {
	return list(ctx, r, scanCredential, "SELECT "+credentialColumns+" FROM credentials AS c WHERE "+
		"NOT EXISTS (SELECT 1 FROM certificates WHERE tenant_id = c.tenant_id AND purpose = c.name) AND NOT "+
		"EXISTS (SELECT 1 FROM requests WHERE tenant_id = c.tenant_id AND purpose = c.name) ORDER BY tenant_id, name "+
		"LIMIT ?", limit)
}

// CountByIssuer counts the credentials with settings of their own, and the open requests, by the name of the issuer.
func (r Reader) CountByIssuer(ctx context.Context) (credentials, requests map[string]int, err error) {
	type count struct {
		issuer string
		n      int
	}
	by := func(table string) (map[string]int, error) {
		counts, err := list(ctx, r, func(s row) (c count, err error) {
			err = s.Scan(&c.issuer, &c.n)
			return c, err
		},
			"SELECT issuer, COUNT(*) FROM "+table+" GROUP BY issuer")
		all := map[string]int{}
		for _, c := range counts {
			all[c.issuer] = c.n
		}
		return all, err
	}
	credentials, err1 := by("credentials")
	requests, err2 := by("requests")
	return credentials, requests, errors.Join(err1, err2)
}
