package store

import (
	"context"
	"time"

	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A ReceiverTrust is the latest evidence on whether one receiver trusts an announced authority.
type ReceiverTrust struct {
	ArrangementID string
	Tenant        string // name
	Arrangement   string // name
	Verdict       tenancy.Trust
	At            time.Time // zero if there is no evidence
	Source        rollover.Source
	Detail        string // the receiver's answer
}

// SetTrust stores the evidence on whether a receiver trusts an authority.
func (t *Tx) SetTrust(ctx context.Context, authorityID string, v ReceiverTrust) error {
	_, err := t.exec(ctx, `INSERT INTO trust (authority_id, arrangement_id, verdict, at, source, detail) VALUES
		(?, ?, ?, ?, ?, ?) ON CONFLICT (authority_id, arrangement_id)
		DO UPDATE SET verdict = excluded.verdict, at = excluded.at, source = excluded.source, detail = excluded.detail`,
		authorityID, v.ArrangementID, string(v.Verdict), micros(v.At), string(v.Source), v.Detail)
	return err
}

const trustColumns = `SELECT a.id, n.name, a.name, COALESCE(t.verdict, ''), COALESCE(t.at, 0),
	COALESCE(t.source, ''), COALESCE(t.detail, '')` + trustTables

const trustTables = ` FROM arrangements a JOIN tenants n ON n.id = a.tenant_id LEFT JOIN trust t ON t.authority_id = ?
	AND t.arrangement_id = a.id `

func scanTrust(s row) (v ReceiverTrust, err error) {
	err = s.Scan(&v.ArrangementID, &v.Tenant, &v.Arrangement, &v.Verdict, instant{&v.At}, &v.Source, &v.Detail)
	return v, err
}

// TrustOf returns the evidence on whether the receiver of an arrangement trusts an authority. Its verdict is empty if
// there is none.
func (r Reader) TrustOf(ctx context.Context, authorityID, arrangementID string) (ReceiverTrust, error) {
	return one(ctx, r, "such arrangement", scanTrust, trustColumns+"WHERE a.id = ?", authorityID, arrangementID)
}

// NotTrusting lists the arrangements with a client certificate of the default issuer whose receivers are not known to
// trust an authority, after the given arrangement ID.
func (r Reader) NotTrusting(ctx context.Context, authorityID, after string, limit int) ([]ReceiverTrust, error) {
	waiting, _, err := r.SearchNotTrusting(ctx, authorityID, Page{After: Place{ID: after}, Limit: limit})
	return waiting, err
}

var trustListing = listing[ReceiverTrust]{
	query: trustColumns + "WHERE ",
	scan:  scanTrust,
	id:    "a.id", idOf: func(v ReceiverTrust) string { return v.ArrangementID },
	texts: []string{"n.name || '/' || a.name", "a.host"},
	ids:   "SELECT a.id" + trustTables + "WHERE ",
}

// SearchNotTrusting returns a page of [Reader.NotTrusting]. A text is looked for in the name of the arrangement and in
// its host.
func (r Reader) SearchNotTrusting(ctx context.Context, authorityID string, p Page) ([]ReceiverTrust, Place, error) {
	return trustListing.read(ctx, r, p, "a.authentication = 'client-certificate' AND COALESCE(t.verdict, '') <> "+
		"'trusted' AND NOT EXISTS (SELECT 1 FROM credentials AS c WHERE c.tenant_id = a.tenant_id AND c.name = "+
		"a.credential AND c.issuer <> '')", authorityID)
}
