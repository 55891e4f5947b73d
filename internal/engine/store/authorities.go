package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

const authorityColumns = "id, kind, parent_id, der, sealed_key, not_before, not_after, position, signs_from"

func scanAuthority(s row) (a tenancy.Authority, err error) {
	return a, s.Scan(&a.ID, &a.Kind, &a.ParentID, &a.DER, &a.SealedKey, instant{&a.NotBefore}, instant{&a.NotAfter},
		&a.Position, instant{&a.SignsFrom})
}

// Authorities lists the authorities of the local CA, oldest first.
func (r Reader) Authorities(ctx context.Context) ([]tenancy.Authority, error) {
	return list(ctx, r, scanAuthority, "SELECT "+authorityColumns+" FROM authorities ORDER BY kind DESC, position")
}

// Chain returns the certificates (DER) of an authority and of those above it, without the root.
func (r Reader) Chain(ctx context.Context, id string) ([][]byte, error) {
	joined, err := one(ctx, r, "authority "+id, scanOne[[]byte], "SELECT der FROM authorities WHERE id = ? UNION ALL "+
		"SELECT der FROM foreign_issuers WHERE id = ?", id, id)
	if err != nil {
		return nil, err
	}
	return issuer.SplitChain(joined)
}

// AddAuthority stores a new authority; [tenancy.ErrConflict] where its position is taken.
func (s *Store) AddAuthority(ctx context.Context, a tenancy.Authority) error {
	return s.InTx(ctx, func(t *Tx) error {
		_, err := t.exec(ctx, "INSERT INTO authorities ("+authorityColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", a.ID,
			a.Kind, a.ParentID, a.DER, a.SealedKey, micros(a.NotBefore), micros(a.NotAfter), a.Position, micros(a.SignsFrom))
		return err
	})
}

// SignFrom lets an announced authority sign from an instant on, which is sooner than was announced; [tenancy.ErrStale]
// where it signs by then already.
func (t *Tx) SignFrom(ctx context.Context, id string, at time.Time) error {
	n, err := t.exec(ctx, "UPDATE authorities SET signs_from = ? WHERE id = ? AND signs_from > ?", micros(at), id,
		micros(at))
	if err == nil && n == 0 {
		err = tenancy.Errorf(tenancy.ErrStale, "this authority signs by then already")
	}
	return err
}

// ResealAuthority replaces the sealed key of an authority.
func (t *Tx) ResealAuthority(ctx context.Context, id string, sealed []byte) error {
	return t.execOne(ctx, "UPDATE authorities SET sealed_key = ? WHERE id = ?", sealed, id)
}

// A Trust is what is known of one receiver about an authority that was announced.
type Trust struct {
	ArrangementID string
	Tenant        string // name
	Arrangement   string // name
	Verdict       tenancy.Trust
	At            time.Time // zero while nothing is known
	Source        rollover.Source
	Detail        string // what the receiver answered
}

// SetTrust stores what is known of a receiver about an authority.
func (t *Tx) SetTrust(ctx context.Context, authorityID string, v Trust) error {
	_, err := t.exec(ctx, `INSERT INTO trust (authority_id, arrangement_id, verdict, at, source, detail) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (authority_id, arrangement_id)
		DO UPDATE SET verdict = excluded.verdict, at = excluded.at, source = excluded.source, detail = excluded.detail`,
		authorityID, v.ArrangementID, string(v.Verdict), micros(v.At), string(v.Source), v.Detail)
	return err
}

const trustColumns = `SELECT a.id, n.name, a.name, COALESCE(t.verdict, ''), COALESCE(t.at, 0), COALESCE(t.source, ''), COALESCE(t.detail, '')
	FROM arrangements a JOIN tenants n ON n.id = a.tenant_id LEFT JOIN trust t ON t.authority_id = ? AND t.arrangement_id = a.id `

func scanTrust(s row) (v Trust, err error) {
	return v, s.Scan(&v.ArrangementID, &v.Tenant, &v.Arrangement, &v.Verdict, instant{&v.At}, &v.Source, &v.Detail)
}

// TrustOf is what is known of the receiver of an arrangement about an authority; the zero verdict where nothing is.
func (r Reader) TrustOf(ctx context.Context, authorityID, arrangementID string) (Trust, error) {
	return one(ctx, r, "such arrangement", scanTrust, trustColumns+"WHERE a.id = ?", authorityID, arrangementID)
}

// NotTrusting lists the arrangements that present a certificate and whose receivers are not known to trust an
// authority, from an arrangement ID on.
func (r Reader) NotTrusting(ctx context.Context, authorityID, after string, limit int) ([]Trust, error) {
	return list(ctx, r, scanTrust, trustColumns+"WHERE a.authentication = 'client-certificate' AND a.id > ? AND "+
		"COALESCE(t.verdict, '') <> 'trusted' ORDER BY a.id LIMIT ?", authorityID, after, limit)
}

// Presenting lists the tenants with an arrangement that presents a certificate, from an ID on.
func (r Reader) Presenting(ctx context.Context, after string, limit int) ([]string, error) {
	return list(ctx, r, scanOne[string], "SELECT DISTINCT tenant_id FROM arrangements WHERE authentication = "+
		"'client-certificate' AND tenant_id > ? ORDER BY tenant_id LIMIT ?", after, limit)
}
