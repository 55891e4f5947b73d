package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const certificateColumns = "id, tenant_id, purpose, generation, state, serial, fingerprint, subject, not_before, " +
	"not_after, key_type, der, issuer_id, successor_id, noticed_until, warned_at, created_at, revoked_at, revoked_for, " +
	"issuer"

func scanCertificate(s row) (c tenancy.Certificate, err error) {
	err = s.Scan(&c.ID, &c.TenantID, &c.Purpose, &c.Generation, &c.State, &c.Serial, &c.Fingerprint, &c.Subject,
		instant{&c.NotBefore}, instant{&c.NotAfter},
		&c.KeyType, &c.DER, &c.IssuerID, &c.SuccessorID, instant{&c.NoticedUntil}, instant{&c.WarnedAt},
		instant{&c.CreatedAt}, instant{&c.RevokedAt}, &c.RevokedFor, &c.Issuer)
	return c, err
}

// Certificate finds one generation.
func (r Reader) Certificate(ctx context.Context, tenantID string, purpose tenancy.Purpose,
	generation int) (tenancy.Certificate, error) {
	c, err := one(ctx, r, "such generation", scanCertificate,
		"SELECT "+certificateColumns+" FROM certificates WHERE tenant_id = ? AND purpose = ? AND generation = ?", tenantID,
		purpose, generation)
	if !errors.Is(err, tenancy.ErrNotFound) {
		return c, err
	}
	newest, err := r.Newest(ctx, tenantID, purpose)
	if err == nil {
		err = tenancy.Errorf(tenancy.ErrNotFound, "there is no generation %d of the credential %s: the newest one is "+
			"generation %d", generation, purpose, newest.Generation)
	}
	return c, err
}

// Newest finds the newest generation. It returns [tenancy.ErrNotFound] if there is none.
func (r Reader) Newest(ctx context.Context, tenantID string, purpose tenancy.Purpose) (tenancy.Certificate, error) {
	return one(ctx, r, string(purpose)+" certificate", scanCertificate,
		"SELECT "+certificateColumns+
			" FROM certificates WHERE tenant_id = ? AND purpose = ? ORDER BY generation DESC LIMIT 1", tenantID, purpose)
}

// Certificates lists all generations of a tenant in the order of their creation.
func (r Reader) Certificates(ctx context.Context, tenantID, after string, limit int) ([]tenancy.Certificate, error) {
	return list(ctx, r, scanCertificate, "SELECT "+certificateColumns+" FROM certificates WHERE tenant_id = ? AND id > "+
		"? ORDER BY id LIMIT ?", tenantID, after, limit)
}

var certificateListing = listing[tenancy.Certificate]{
	query: "SELECT " + certificateColumns + " FROM certificates WHERE ",
	scan:  scanCertificate,
	id:    "id", idOf: func(c tenancy.Certificate) string { return c.ID },
	orders: map[string]order[tenancy.Certificate]{ // a tenant has few certificates
		"not-after": {column: "not_after", key: func(c tenancy.Certificate) string {
			return strconv.FormatInt(micros(c.NotAfter), 10)
		}, number: true}},
	texts: []string{"serial", "fingerprint", "subject"},
}

// SearchCertificates returns a page of the generations of a tenant, in the order of creation or of expiry. A purpose
// and a state limit it. A text is looked for in serial number, SHA-256 and subject.
func (r Reader) SearchCertificates(ctx context.Context, tenantID string, purpose tenancy.Purpose,
	state tenancy.State, p Page) ([]tenancy.Certificate, Place, error) {
	part := selection{"tenant_id = ?", []any{tenantID}}
	if purpose != "" {
		part.and("purpose = ?", purpose)
	}
	if state != "" {
		part.and("state = ?", state)
	}
	return certificateListing.read(ctx, r, p, part.condition, part.args...)
}

// CertificatesByID reads the certificates with these IDs.
func (r Reader) CertificatesByID(ctx context.Context, ids []string) (map[string]tenancy.Certificate, error) {
	return byID(ctx, r, scanCertificate, func(c tenancy.Certificate) string {
		return c.ID
	}, "SELECT "+certificateColumns+" FROM certificates WHERE id ", ids)
}

// Due lists the certificates without a successor, by expiry, after one position and up to another, that the run has not
// processed yet. Its cost is proportional to the size of the result, not to that of the fleet.
func (r Reader) Due(ctx context.Context, runDate time.Time, after, until Position, limit int) ([]tenancy.Certificate,
	error) {
	return list(ctx, r, scanCertificate, "SELECT "+certificateColumns+` FROM certificates
		WHERE successor_id = '' AND (not_after, id) <= (?, ?) AND (not_after, id) > (?, ?) AND noticed_run <> ?
		ORDER BY not_after, id LIMIT ?`,
		micros(until.NotAfter), until.ID, micros(after.NotAfter), after.ID, micros(runDate), limit)
}

// Unhinted lists certificates of an issuer that have no successor and are not revoked, and whose CA has not been asked
// when to renew them ([ClaimHint]), by ID after one of them.
func (r Reader) Unhinted(ctx context.Context, issuer, after string, now time.Time, limit int) ([]tenancy.Certificate,
	error) {
	return list(ctx, r, scanCertificate, "SELECT "+certificateColumns+` FROM certificates
		WHERE issuer = ? AND id > ? AND successor_id = '' AND revoked_at = 0 AND not_after > ? AND NOT EXISTS (
			SELECT 1 FROM claims WHERE kind = ? AND subject = certificates.id)
		ORDER BY id LIMIT ?`, issuer, after, micros(now), string(ClaimHint), limit)
}

// A ValidityCount is the validity of Count certificates.
type ValidityCount struct {
	NotBefore, NotAfter time.Time
	Count               int
}

// CountByValidity groups all certificates without a successor by their validity, and counts each group.
func (r Reader) CountByValidity(ctx context.Context) ([]ValidityCount, error) {
	return list(ctx, r, func(s row) (v ValidityCount, err error) {
		err = s.Scan(instant{&v.NotBefore}, instant{&v.NotAfter}, &v.Count)
		return v, err
	},
		"SELECT not_before, not_after, COUNT(*) FROM certificates WHERE successor_id = '' GROUP BY not_before, not_after")
}

// A Revocation is the entry of a certificate in a revocation list.
type Revocation struct {
	Serial string // lowercase hexadecimal
	At     time.Time
	For    string // the reason
}

// RevokedBy lists the revocations of certificates that an authority issued and that have not expired at now.
func (r Reader) RevokedBy(ctx context.Context, issuerID string, now time.Time) ([]Revocation, error) {
	return list(ctx, r, func(s row) (v Revocation, err error) {
		err = s.Scan(&v.Serial, instant{&v.At}, &v.For)
		return v, err
	},
		"SELECT serial, revoked_at, revoked_for FROM certificates WHERE state = 'revoked' AND issuer_id = ? AND "+
			"not_after > ? ORDER BY id", issuerID, micros(now))
}

// UnderRevoked lists the certificates that a revoked authority issued and that can still be presented at now.
func (r Reader) UnderRevoked(ctx context.Context, issuerID string, now time.Time, after string,
	limit int) ([]tenancy.Certificate, error) {
	return list(ctx, r, scanCertificate, "SELECT "+certificateColumns+" FROM certificates WHERE issuer_id = ? AND state "+
		"IN ('standby', 'active') AND not_after > ? AND id > ? ORDER BY id LIMIT ?", issuerID, micros(now), after, limit)
}

// KeyOf returns the private key of a certificate. It is empty if the key was destroyed.
func (r Reader) KeyOf(ctx context.Context, id string) (Key, error) {
	return one(ctx, r, "such certificate", scanKey, "SELECT sealed_key, key_uri FROM certificates WHERE id = ?", id)
}

// SealedKey returns the sealed private key of a certificate. It is empty if the key was destroyed, or is in a token.
func (r Reader) SealedKey(ctx context.Context, id string) ([]byte, error) {
	return one(ctx, r, "such certificate", scanOne[[]byte], "SELECT sealed_key FROM certificates WHERE id = ?", id)
}

// A Sealed is a sealed secret with the ID of its owner.
type Sealed struct {
	ID  string
	Key []byte
}

func scanSealed(s row) (v Sealed, err error) {
	err = s.Scan(&v.ID, &v.Key)
	return v, err
}

// SealedKeys lists the sealed keys of certificates, by ID.
func (r Reader) SealedKeys(ctx context.Context, after string, limit int) ([]Sealed, error) {
	return list(ctx, r, scanSealed, "SELECT id, sealed_key FROM certificates WHERE sealed_key IS NOT NULL AND id > ? "+
		"ORDER BY id LIMIT ?", after, limit)
}

// resealing returns the statement that replaces the sealed keys of a table.
func resealing(table string) bulk {
	return bulk{
		each: "UPDATE " + table + " SET sealed_key = ? WHERE id = ? AND sealed_key = ?",
		all: "UPDATE " + table + " SET sealed_key = v.new FROM unnest($1::bytea[], $2::text[], $3::bytea[]) AS v (new, " +
			"id, old) WHERE " + table + ".id = v.id AND sealed_key = v.old",
		columns: 3,
	}
}

var reseal = resealing("certificates")

// Reseal replaces sealed keys. A key that has been changed in the meantime stays as it is.
func (t *Tx) Reseal(ctx context.Context, before, after []Sealed) error {
	return t.reseal(ctx, reseal, before, after)
}

func (t *Tx) reseal(ctx context.Context, statement bulk, before, after []Sealed) error {
	_, err := statement.write(ctx, t, len(before), func(i int) []any {
		return []any{after[i].Key, before[i].ID, before[i].Key}
	})
	return err
}

var insertCertificates = bulkInsert("certificates", "id text", "tenant_id text", "purpose text", "generation bigint",
	"state text", "serial text", "fingerprint text", "subject text",
	"not_before bigint", "not_after bigint", "key_type text", "der bytea", "issuer_id text", "sealed_key bytea",
	"successor_id text", "noticed_until bigint", "warned_at bigint", "noticed_run bigint",
	"created_at bigint", "revoked_at bigint", "revoked_for text", "issuer text", "key_uri text")

// A SealedCertificate is a certificate with its sealed key, as it is stored. If its key is in a token, it has the URI
// instead.
type SealedCertificate struct {
	tenancy.Certificate
	SealedKey []byte
	KeyURI    string
}

// AddCertificates stores new generations. It returns [tenancy.ErrConflict] if one of them exists, or has a key in a
// token that is destroyed.
func (t *Tx) AddCertificates(ctx context.Context, certs []SealedCertificate) error {
	if err := t.learnLifetimes(ctx, certs); err != nil {
		return err
	}
	var uris []string
	for i := range certs {
		if uri := certs[i].KeyURI; uri != "" {
			uris = append(uris, uri)
		}
	}
	if err := t.useTokenKeys(ctx, uris...); err != nil {
		return err
	}
	_, err := insertCertificates.write(ctx, t, len(certs), func(i int) []any {
		c := &certs[i]
		return []any{c.ID, c.TenantID, string(c.Purpose), int64(c.Generation), string(c.State), c.Serial, c.Fingerprint,
			c.Subject,
			micros(c.NotBefore), micros(c.NotAfter), string(c.KeyType), c.DER, c.IssuerID, c.SealedKey, c.SuccessorID,
			micros(c.NoticedUntil), micros(c.WarnedAt), micros(c.WarnedAt),
			micros(c.CreatedAt), micros(c.RevokedAt), c.RevokedFor, c.Issuer, c.KeyURI}
	})
	return err
}

var succeed = bulk{
	each: "UPDATE certificates SET successor_id = ?1, state = ?2, sealed_key = CASE WHEN ?2 = 'retired' THEN NULL ELSE " +
		"sealed_key END, key_uri = CASE WHEN ?2 = 'retired' THEN '' ELSE key_uri END WHERE id = ?3 AND successor_id = ''",
	all: `UPDATE certificates SET successor_id = v.successor_id, state = v.state,
		sealed_key = CASE WHEN v.state = 'retired' THEN NULL ELSE sealed_key END,
		key_uri = CASE WHEN v.state = 'retired' THEN '' ELSE key_uri END
		FROM unnest($1::text[], $2::text[], $3::text[]) AS v (successor_id, state, id)
		WHERE certificates.id = v.id AND certificates.successor_id = ''`,
	columns: 3,
}

// Succeed stores the successor and the new state of renewed certificates, and destroys the keys of those that are
// retired with it. It returns [tenancy.ErrConflict] if one of them has a successor already. Then another replica was
// faster, and the caller's transaction must end.
func (t *Tx) Succeed(ctx context.Context, renewed []tenancy.Certificate) error {
	var retired []string
	for i := range renewed {
		if renewed[i].State == tenancy.Retired {
			retired = append(retired, renewed[i].ID)
		}
	}
	if len(retired) > 0 {
		in, args := t.among(retired)
		if err := t.doomCertificateKeys(ctx, "successor_id = '' AND id "+in, args...); err != nil {
			return err
		}
	}
	n, err := succeed.write(ctx, t, len(renewed), func(i int) []any {
		return []any{renewed[i].SuccessorID, string(renewed[i].State), renewed[i].ID}
	})
	if err == nil && n != int64(len(renewed)) {
		err = tenancy.Errorf(tenancy.ErrConflict, "another replica or a user has renewed a certificate in the meantime")
	}
	return err
}

var markWarned = bulk{
	each: "UPDATE certificates SET noticed_run = ?1, warned_at = CASE WHEN warned_at = 0 THEN ?1 ELSE warned_at END " +
		"WHERE id = ?2 AND noticed_run <> ?1",
	all: `UPDATE certificates SET noticed_run = v.at, warned_at = CASE WHEN warned_at = 0 THEN v.at ELSE warned_at END
		FROM unnest($1::bigint[], $2::text[]) AS v (at, id) WHERE certificates.id = v.id AND noticed_run <> v.at`,
	columns: 2,
}

// MarkWarned records that a run warned about certificates. It returns [tenancy.ErrConflict] if the run did so already.
func (t *Tx) MarkWarned(ctx context.Context, ids []string, runDate time.Time) error {
	n, err := markWarned.write(ctx, t, len(ids), func(i int) []any { return []any{micros(runDate), ids[i]} })
	if err == nil && n != int64(len(ids)) {
		err = tenancy.Errorf(tenancy.ErrConflict, "another replica has warned about a certificate in the meantime")
	}
	return err
}

// Revoke marks a certificate as revoked and destroys its key.
func (t *Tx) Revoke(ctx context.Context, id, reason string, now time.Time) error {
	if err := t.doomCertificateKeys(ctx, "id = ?", id); err != nil {
		return err
	}
	return t.execOne(ctx, "UPDATE certificates SET state = 'revoked', revoked_at = ?, revoked_for = ?, sealed_key = "+
		"NULL, key_uri = '' WHERE id = ? AND state <> 'revoked'", micros(now), reason, id)
}

// DestroyOldKeys destroys the private keys of replaced certificates that expired before now, and returns their number.
// It also destroys those that earlier releases kept when they retired a certificate.
func (t *Tx) DestroyOldKeys(ctx context.Context, now time.Time) (int64, error) {
	const old = "successor_id <> '' AND (not_after < ? OR state = 'retired')"
	if err := t.doomCertificateKeys(ctx, old, micros(now)); err != nil {
		return 0, err
	}
	return t.exec(ctx, "UPDATE certificates SET sealed_key = NULL, key_uri = '' WHERE (sealed_key IS NOT NULL OR "+
		"key_uri <> '') AND "+old, micros(now))
}

// Rolling lists the tenants with an open roll-over at now: an old generation is not retired yet, whether it was ever
// presented or not, or it was revoked and has not expired, or the newest one was revoked. Its cost is proportional to
// what it returns.
func (r Reader) Rolling(ctx context.Context, now time.Time, after string, limit int) ([]string, error) {
	return list(ctx, r, scanOne[string], "SELECT tenant_id FROM certificates WHERE purpose <> 'm-user' AND "+
		"successor_id <> '' AND state <> 'retired' AND (state <> 'revoked' OR not_after > ?) AND tenant_id > ? "+
		"UNION SELECT tenant_id FROM certificates WHERE purpose <> 'm-user' AND successor_id = '' AND state = 'revoked' AND "+
		"tenant_id > ? ORDER BY tenant_id LIMIT ?", micros(now), after, after, limit)
}

// InReachOf reads the generations that are not retired of the credentials that arrangements present, by tenant ID, the
// oldest first. Those that are revoked cannot be presented.
func (r Reader) InReachOf(ctx context.Context, tenantIDs []string) (map[string][]tenancy.Certificate, error) {
	return groupBy(ctx, r, scanCertificate, func(c tenancy.Certificate) string { return c.TenantID },
		"SELECT "+certificateColumns+" FROM certificates WHERE purpose <> 'm-user' AND state <> 'retired' AND tenant_id ",
		tenantIDs, " ORDER BY generation")
}

// InReachWithoutDER is [Reader.InReachOf] without the certificates themselves, for a walk over many tenants.
func (r Reader) InReachWithoutDER(ctx context.Context, tenantIDs []string) (map[string][]tenancy.Certificate, error) {
	return groupBy(ctx, r, func(s row) (c tenancy.Certificate, err error) {
		err = s.Scan(&c.ID, &c.TenantID, &c.Purpose, &c.Generation, &c.State, &c.Fingerprint, instant{&c.NotBefore},
			instant{&c.NotAfter}, &c.SuccessorID, instant{&c.NoticedUntil}, instant{&c.CreatedAt})
		return c, err
	}, func(c tenancy.Certificate) string { return c.TenantID },
		"SELECT id, tenant_id, purpose, generation, state, fingerprint, not_before, not_after, successor_id, "+
			"noticed_until, created_at FROM certificates WHERE purpose <> 'm-user' AND state <> 'retired' AND tenant_id ",
		tenantIDs, " ORDER BY generation")
}

// Published lists the generations of a credential that are neither expired at now nor revoked, the oldest first. If
// there are more than limit, the presented one comes before those that can be presented, then the retired ones, and the
// newer ones before the older ones.
func (r Reader) Published(ctx context.Context, tenantID string, purpose tenancy.Purpose, presents int, now time.Time,
	limit int) ([]tenancy.Certificate, error) {
	found, err := list(ctx, r, scanCertificate, "SELECT "+certificateColumns+` FROM certificates
		WHERE tenant_id = ? AND purpose = ? AND state <> 'revoked' AND not_after > ?
		ORDER BY CASE WHEN generation = ? THEN 0 WHEN state <> 'retired' THEN 1 ELSE 2 END, generation DESC LIMIT ?`,
		tenantID, purpose, micros(now), presents, limit)
	slices.SortFunc(found, func(a, b tenancy.Certificate) int { return a.Generation - b.Generation })
	return found, err
}

// InReachOrValid reads the generations of the credentials that arrangements present, by tenant ID, the oldest first:
// those that are not retired, and the retired ones that have not expired at now.
func (r Reader) InReachOrValid(ctx context.Context, tenantIDs []string,
	now time.Time) (map[string][]tenancy.Certificate, error) {
	return groupBy(ctx, r, scanCertificate, func(c tenancy.Certificate) string { return c.TenantID },
		"SELECT "+certificateColumns+" FROM certificates WHERE purpose <> 'm-user' AND (state <> 'retired' OR not_after > ?)"+
			" AND tenant_id ", tenantIDs, " ORDER BY generation", micros(now))
}

// Activate records that a standby generation is presented now.
func (t *Tx) Activate(ctx context.Context, tenantID string, purpose tenancy.Purpose, generation int) error {
	_, err := t.exec(ctx, "UPDATE certificates SET state = 'active' WHERE tenant_id = ? AND purpose = ? AND "+
		"generation = ? AND state = 'standby'", tenantID, purpose, generation)
	return err
}

// Retire ends a replaced generation and destroys its key.
func (t *Tx) Retire(ctx context.Context, id string) error {
	const replaced = "id = ? AND state IN ('standby', 'active') AND successor_id <> ''"
	if err := t.doomCertificateKeys(ctx, replaced, id); err != nil {
		return err
	}
	return t.execOne(ctx, "UPDATE certificates SET state = 'retired', sealed_key = NULL, key_uri = '' WHERE "+replaced, id)
}
