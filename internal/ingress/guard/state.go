package guard

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/perennial-pki/perennial/acceptance"
)

// A Standing is what was decided about a certificate that the configuration does not list.
type Standing string

// The standings.
const (
	Accepted Standing = "accepted" // by the rule, by a feed, or by a person
	Held     Standing = "held"     // a person is asked
	Declined Standing = "declined" // by a person
)

// A Sighting is a certificate that a partner has presented, or that its feed has announced.
type Sighting struct {
	Partner  string
	DER      []byte
	Standing Standing
	Code     acceptance.Code
	Reason   string
	// Was is the certificate before it (DER); empty if there is none.
	Was []byte
	At  time.Time
	// By names what has decided: the rule, the feed, or a person.
	By string
}

// certificate parses the certificate.
func (s Sighting) certificate() (*x509.Certificate, error) { return x509.ParseCertificate(s.DER) }

// schema is that of version 1.
const schema = `
CREATE TABLE sightings (
	partner   TEXT NOT NULL,
	sha256    TEXT NOT NULL, -- of the certificate
	der       BLOB NOT NULL,
	was       BLOB NOT NULL, -- the certificate before it; empty for none
	standing  TEXT NOT NULL CHECK (standing IN ('accepted', 'held', 'declined')),
	code      TEXT NOT NULL,
	reason    TEXT NOT NULL,
	decided_by TEXT NOT NULL,
	seen_at   INTEGER NOT NULL, -- microseconds since 1970
	not_after INTEGER NOT NULL,
	mail      TEXT NOT NULL CHECK (mail IN ('due', 'sent', 'none')),
	PRIMARY KEY (partner, sha256)
) STRICT;
CREATE INDEX sightings_mail ON sightings (seen_at) WHERE mail = 'due';
CREATE TABLE feeds (
	partner    TEXT NOT NULL PRIMARY KEY,
	sequence   INTEGER NOT NULL,
	fetched_at INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 1;
`

// State stores what a guard remembers, in an SQLite file that the commands for people open too.
type State struct {
	path string
	db   *sql.DB
}

// OpenState opens the file, or creates it for its owner alone.
func OpenState(ctx context.Context, path string) (*State, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		f.Close()
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open the state of the guard: %w", err)
	}
	name := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
	db, err := sql.Open("sqlite", name+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s := &State{path, db}
	if err := s.migrate(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("the state of the guard, %s: %w", path, err)
	}
	return s, nil
}

func (s *State) migrate(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch version {
	case 0:
		if _, err := tx.ExecContext(ctx, schema); err != nil {
			return err
		}
		return tx.Commit()
	case 1:
		return nil
	}
	return fmt.Errorf("it is of a newer version (%d): update perennial", version)
}

// Close closes the file.
func (s *State) Close() error { return s.db.Close() }

// version changes when another process has changed the file.
func (s *State) version(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRowContext(ctx, "PRAGMA data_version").Scan(&n)
	return n, err
}

// mostHeld limits the sightings of a partner that are held, because strangers can create some of them.
const mostHeld = 16

// add stores a sighting, unless the certificate is stored already or too many are held. added reports whether it did.
func (s *State) add(ctx context.Context, v Sighting) (added bool, err error) {
	c, err := v.certificate()
	if err != nil {
		return false, err
	}
	mail := "due"
	if v.Code == acceptance.OtherCA {
		recent, err := s.count(ctx, "partner = ? AND code = ? AND seen_at > ?", v.Partner, v.Code,
			v.At.Add(-24*time.Hour).UnixMicro())
		if err != nil {
			return false, err
		}
		if recent > 0 { // a stranger must not cause one mail after another
			mail = "none"
		}
	}
	if v.Standing == Held {
		held, err := s.count(ctx, "partner = ? AND standing = 'held'", v.Partner)
		if err != nil || held >= mostHeld {
			return false, err
		}
	}
	result, err := s.db.ExecContext(ctx, "INSERT INTO sightings (partner, sha256, der, was, standing, code, reason, "+
		"decided_by, seen_at, not_after, mail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		v.Partner, acceptance.NewKnown(c).Fingerprint.String(), v.DER, append([]byte{}, v.Was...), v.Standing, v.Code,
		v.Reason, v.By, v.At.UnixMicro(), c.NotAfter.UnixMicro(), mail)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func (s *State) count(ctx context.Context, where string, args ...any) (n int, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT count(*) FROM sightings WHERE "+where, args...).Scan(&n)
	return n, err
}

// Sightings returns all of them, the oldest first.
func (s *State) Sightings(ctx context.Context) ([]Sighting, error) {
	return s.list(ctx, "1 = 1 ORDER BY seen_at")
}

// due returns sightings that a mail is due for.
func (s *State) due(ctx context.Context, limit int) ([]Sighting, error) {
	return s.list(ctx, "mail = 'due' ORDER BY seen_at LIMIT ?", limit)
}

func (s *State) list(ctx context.Context, where string, args ...any) (all []Sighting, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT partner, der, was, standing, code, reason, decided_by, seen_at "+
		"FROM sightings WHERE "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v Sighting
		var at int64
		if err := rows.Scan(&v.Partner, &v.DER, &v.Was, &v.Standing, &v.Code, &v.Reason, &v.By, &at); err != nil {
			return nil, err
		}
		v.At = time.UnixMicro(at).UTC()
		all = append(all, v)
	}
	return all, rows.Err()
}

// mailed records that a mail was sent.
func (s *State) mailed(ctx context.Context, all []Sighting) error {
	return s.within(ctx, func(tx *sql.Tx) error {
		for _, v := range all {
			c, err := v.certificate()
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE sightings SET mail = 'sent' WHERE partner = ? AND sha256 = ?", v.Partner,
				acceptance.NewKnown(c).Fingerprint.String()); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *State) within(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// Decide stores what a person has decided about a certificate, by the beginning of its SHA-256 in hexadecimal. partner
// may be empty if one partner has presented it.
func (s *State) Decide(ctx context.Context, partner, sha256, by string, standing Standing) (v Sighting, err error) {
	sha256 = strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(sha256))
	if len(sha256) < 8 || strings.Trim(sha256, "0123456789abcdef") != "" {
		return v, fmt.Errorf("invalid fingerprint %q: use at least the first 8 digits of the SHA-256", sha256)
	}
	const which = "sha256 LIKE ? AND (? = '' OR partner = ?)"
	pattern := sha256 + "%"
	found, err := s.list(ctx, which, pattern, partner, partner)
	switch {
	case err != nil:
		return v, err
	case len(found) == 0:
		return v, fmt.Errorf(
			"the guard has not seen a certificate with the SHA-256 %s: perennial guard status lists those "+
				"that it has seen",
			sha256,
		)
	case len(found) > 1:
		return v, fmt.Errorf(
			"%d certificates have a SHA-256 that begins with %s: give more digits, or --partner",
			len(found),
			sha256,
		)
	}
	v = found[0]
	v.Standing, v.By = standing, by
	_, err = s.db.ExecContext(
		ctx,
		"UPDATE sightings SET standing = ?, decided_by = ? WHERE "+which,
		standing,
		by,
		pattern,
		partner,
		partner,
	)
	return v, err
}

// keepExpired is the time for which an expired certificate is remembered, so that its successors are recognised.
const keepExpired = 400 * 24 * time.Hour

// prune forgets certificates that have expired long ago.
func (s *State) prune(ctx context.Context, now time.Time) error {
	_, err := s.db.ExecContext(ctx, "DELETE FROM sightings WHERE not_after < ?", now.Add(-keepExpired).UnixMicro())
	return err
}

// fetched records the sequence of a feed.
func (s *State) fetched(ctx context.Context, partner string, sequence uint64, at time.Time) error {
	_, err := s.db.ExecContext(
		ctx,
		"INSERT INTO feeds (partner, sequence, fetched_at) VALUES (?, ?, ?) ON CONFLICT (partner) "+
			"DO UPDATE SET sequence = excluded.sequence, fetched_at = excluded.fetched_at",
		partner,
		int64(sequence),
		at.UnixMicro(),
	)
	return err
}

// sequence returns the last sequence of a feed; 0 if it was not fetched.
func (s *State) sequence(ctx context.Context, partner string) (n uint64, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT sequence FROM feeds WHERE partner = ?", partner).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}
