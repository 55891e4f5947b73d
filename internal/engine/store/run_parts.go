package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Position is a place among the certificates by expiry and ID.
type Position struct {
	NotAfter time.Time
	ID       string
}

// End returns the position after all certificates that expire at t or before.
func End(t time.Time) Position { return Position{t, "~"} } // IDs are hexadecimal

// A Part of a run covers the certificates after one position and up to another.
type Part struct {
	RunDate      time.Time
	Number       int
	After, Until Position
	BeginsAt     time.Time
	ClaimedUntil time.Time
}

// Whole reports whether the part is a run of one part.
func (p Part) Whole() bool { return p.After == (Position{}) && p.Until == End(p.Until.NotAfter) }

// String names the run, and the part if the run has several.
func (p Part) String() string {
	name := "run " + p.RunDate.UTC().Format(time.RFC3339)
	if !p.Whole() {
		name += fmt.Sprintf(", part %d", p.Number)
	}
	return name
}

// FreeAt returns the instant from which the part can be claimed, for claims that last for lease; zero if that is now. A
// claim that lasts longer was made by a clock that was ahead, and is ignored.
func (p Part) FreeAt(now time.Time, lease time.Duration) time.Time {
	free := p.BeginsAt
	if p.ClaimedUntil.After(free) && !p.ClaimedUntil.After(now.Add(lease)) {
		free = p.ClaimedUntil
	}
	if !free.After(now) {
		return time.Time{}
	}
	return free
}

const partColumns = "run_date, part, after_not_after, after_id, until_not_after, until_id, begins_at, claimed_until"

func scanPart(s row) (p Part, err error) {
	err = s.Scan(instant{&p.RunDate}, &p.Number, instant{&p.After.NotAfter}, &p.After.ID, instant{&p.Until.NotAfter},
		&p.Until.ID, instant{&p.BeginsAt}, instant{&p.ClaimedUntil})
	return p, err
}

// DueMarks returns the position of every n-th certificate that [Reader.Due] lists. Its cost is proportional to the
// number of due certificates.
func (r Reader) DueMarks(ctx context.Context, runDate, until time.Time, n int) ([]Position, error) {
	return list(ctx, r, func(s row) (p Position, err error) {
		err = s.Scan(instant{&p.NotAfter}, &p.ID)
		return p, err
	},
		`SELECT not_after, id FROM (SELECT not_after, id, ROW_NUMBER() OVER (ORDER BY not_after, id) AS place
			FROM certificates
		WHERE successor_id = '' AND not_after <= ? AND noticed_run <> ?) AS due WHERE place % ? = 0 ORDER BY
		not_after, id`, micros(until), micros(runDate), n)
}

// AddParts stores the parts of a run.
func (t *Tx) AddParts(ctx context.Context, parts []Part) error {
	for _, p := range parts {
		_, err := t.exec(ctx, "INSERT INTO run_parts ("+partColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
			micros(p.RunDate), p.Number, micros(p.After.NotAfter), p.After.ID, micros(p.Until.NotAfter), p.Until.ID,
			micros(p.BeginsAt))
		if err != nil {
			return err
		}
	}
	return nil
}

// Part finds a part of a run that is not done.
func (r Reader) Part(ctx context.Context, runDate time.Time, number int) (Part, error) {
	return one(ctx, r, fmt.Sprintf("part %d", number), scanPart,
		"SELECT "+partColumns+" FROM run_parts WHERE run_date = ? AND part = ?", micros(runDate), number)
}

// Parts lists the parts of a run that are not done.
func (r Reader) Parts(ctx context.Context, runDate time.Time) ([]Part, error) {
	return list(ctx, r, scanPart, "SELECT "+partColumns+" FROM run_parts WHERE run_date = ? ORDER BY part",
		micros(runDate))
}

// ClaimPart claims a part for a lease. It returns [tenancy.ErrNotFound] if the part is done or cannot be claimed yet
// ([Part.FreeAt]).
func (t *Tx) ClaimPart(ctx context.Context, runDate time.Time, number int, now time.Time, lease time.Duration) (Part,
	error) {
	until := now.Add(lease)
	return one(ctx, t.Reader, fmt.Sprintf("part %d to be done", number), scanPart,
		"UPDATE run_parts SET claimed_until = ? WHERE run_date = ? AND part = ? AND begins_at <= ? AND (claimed_until <= ? "+
			"OR claimed_until > ?) RETURNING "+partColumns,
		micros(until), micros(runDate), number, micros(now), micros(now), micros(until))
}

// HoldPart prolongs the claim of a part until an instant. It returns [tenancy.ErrStale] if another worker has claimed
// the part.
func (t *Tx) HoldPart(ctx context.Context, p Part, until time.Time) error {
	err := t.execOne(ctx, "UPDATE run_parts SET claimed_until = ? WHERE run_date = ? AND part = ? AND claimed_until = ?",
		micros(until), micros(p.RunDate), p.Number, micros(p.ClaimedUntil))
	if errors.Is(err, tenancy.ErrStale) {
		err = tenancy.Errorf(tenancy.ErrStale, "another worker has claimed the part")
	}
	return err
}

// ReleasePart ends the claim of a part whose work failed, and records the failure in the run.
func (t *Tx) ReleasePart(ctx context.Context, p Part, failed int, lastError string) error {
	if _, err := t.exec(ctx,
		"UPDATE run_parts SET claimed_until = 0 WHERE run_date = ? AND part = ? AND claimed_until = ?", micros(p.RunDate),
		p.Number, micros(p.ClaimedUntil)); err != nil {
		return err
	}
	return t.execOne(ctx, "UPDATE runs SET failed = ?, last_error = ? WHERE run_date = ?", failed, lastError,
		micros(p.RunDate))
}

// DonePart deletes a part that is done. last reports whether it was the last one of its run.
func (t *Tx) DonePart(ctx context.Context, p Part) (last bool, err error) {
	// Two parts that are done at the same moment would each still see the other one. The lock of the run's row makes one
	// of them wait.
	if err := t.execOne(ctx, "UPDATE runs SET failed = failed WHERE run_date = ?", micros(p.RunDate)); err != nil {
		return false, err
	}
	n, err := t.exec(ctx, "DELETE FROM run_parts WHERE run_date = ? AND part = ?", micros(p.RunDate), p.Number)
	if err != nil || n == 0 { // another replica has done it
		return false, err
	}
	left, err := t.Parts(ctx, p.RunDate)
	return len(left) == 0, err
}

// LacksParts reports whether a run is neither finished nor divided into parts.
func (r Reader) LacksParts(ctx context.Context, runDate time.Time) (bool, error) {
	n, err := one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM runs WHERE run_date = ? AND finished_at = 0 AND "+
		"NOT EXISTS (SELECT 1 FROM run_parts WHERE run_parts.run_date = runs.run_date)", micros(runDate))
	return n > 0, err
}
