package store

import (
	"context"
	"strings"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

const evidenceColumns = "arrangement_id, generation, presented_at, verdict, verdict_at, source, detail, " +
	"claimed_at, claimed_by, latest, turned_at, kinds"

func scanEvidence(s row) (e standing.Evidence, err error) {
	var kinds string
	err = s.Scan(&e.ArrangementID, &e.Generation, instant{&e.PresentedAt}, &e.Verdict, instant{&e.VerdictAt},
		&e.Source, &e.Detail, instant{&e.ClaimedAt}, &e.ClaimedBy, &e.Latest, instant{&e.TurnedAt}, &kinds)
	if kinds != "" {
		e.Kinds = strings.Split(kinds, "\n")
	}
	return e, err
}

// EvidenceOf reads the evidence about the receivers of arrangements, by arrangement ID.
func (r Reader) EvidenceOf(ctx context.Context, arrangementIDs []string) (map[string][]standing.Evidence, error) {
	return groupBy(ctx, r, scanEvidence, func(e standing.Evidence) string {
		return e.ArrangementID
	}, "SELECT "+evidenceColumns+" FROM evidence WHERE arrangement_id ", arrangementIDs, " ORDER BY generation")
}

// SetEvidence stores the evidence about one generation.
func (t *Tx) SetEvidence(ctx context.Context, e standing.Evidence) error {
	_, err := t.exec(ctx, "INSERT INTO evidence ("+
		evidenceColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (arrangement_id, generation) DO UPDATE SET
		presented_at = excluded.presented_at, verdict = excluded.verdict, verdict_at = excluded.verdict_at,
		source = excluded.source, detail = excluded.detail, claimed_at = excluded.claimed_at,
		claimed_by = excluded.claimed_by, latest = excluded.latest, turned_at = excluded.turned_at,
		kinds = excluded.kinds`,
		e.ArrangementID, e.Generation, micros(e.PresentedAt), string(e.Verdict), micros(e.VerdictAt), string(e.Source),
		storable(e.Detail), micros(e.ClaimedAt), string(e.ClaimedBy), string(e.Latest), micros(e.TurnedAt),
		strings.Join(e.Kinds, "\n"))
	return err
}

// ForgetEvidence deletes the evidence about, and what was learned of, the receiver of an arrangement. It is for an
// arrangement that gets another receiver.
func (t *Tx) ForgetEvidence(ctx context.Context, arrangementID string) error {
	if _, err := t.exec(ctx, "DELETE FROM evidence WHERE arrangement_id = ?", arrangementID); err != nil {
		return err
	}
	return t.SetLearned(ctx, arrangementID, tenancy.Learned{})
}
