package guard

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/filelock"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
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

// ByPerson reports whether a person has decided.
func (s Sighting) ByPerson() bool { return s.By != byRule && s.By != byFeed }

// schema is that of version 1.
const schema = `
CREATE TABLE sightings (
	partner    TEXT NOT NULL,
	sha256     TEXT NOT NULL, -- of the certificate
	der        BLOB NOT NULL,
	was        BLOB NOT NULL, -- the certificate before it; empty for none
	standing   TEXT NOT NULL CHECK (standing IN ('accepted', 'held', 'declined')),
	code       TEXT NOT NULL,
	reason     TEXT NOT NULL,
	decided_by TEXT NOT NULL,
	seen_at    INTEGER NOT NULL, -- microseconds since 1970
	not_after  INTEGER NOT NULL,
	mail       TEXT NOT NULL CHECK (mail IN ('due', 'sent', 'none')),
	PRIMARY KEY (partner, sha256)
) STRICT;
CREATE INDEX sightings_mail ON sightings (seen_at) WHERE mail = 'due';
CREATE TABLE mailed ( -- who has got the mail about a certificate for which others still wait
	partner TEXT NOT NULL,
	sha256  TEXT NOT NULL,
	address TEXT NOT NULL,
	PRIMARY KEY (partner, sha256, address),
	FOREIGN KEY (partner, sha256) REFERENCES sightings ON DELETE CASCADE
) STRICT;
CREATE TABLE decisions ( -- of the rule, of feeds and of persons, in their order
	id         INTEGER PRIMARY KEY,
	partner    TEXT NOT NULL,
	sha256     TEXT NOT NULL,
	standing   TEXT NOT NULL,
	decided_by TEXT NOT NULL,
	decided_at INTEGER NOT NULL
) STRICT;
CREATE TABLE feeds (
	partner    TEXT NOT NULL PRIMARY KEY,
	sequence   INTEGER NOT NULL,
	fetched_at INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 1;
`

// State stores what a guard remembers, in an SQLite file that the commands for people open too.
type State struct {
	path   string
	handle atomic.Pointer[handle] // replaced if the file is restored
	opened os.FileInfo            // the file
	saved  string                 // the copy of [State.saveCopy]; empty if there is none
}

func (s *State) db() *sql.DB { return s.handle.Load().db }

// OpenState opens the file, or creates it for its owner alone.
func OpenState(ctx context.Context, path string) (*State, error) {
	path = filelock.RealPath(path) // a link to the file stays a link if the file is restored
	if err := checkFile(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		f.Close()
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open the state of the guard: %w", err)
	}
	h, err := openHandle(path, stateOptions)
	if err != nil {
		return nil, err
	}
	s := &State{path: path}
	s.handle.Store(h)
	if err := s.migrate(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("the state of the guard, %s: %w", path, err)
	}
	if s.opened, err = os.Stat(path); err != nil {
		s.Close()
		return nil, fmt.Errorf("the state of the guard: %w", err)
	}
	return s, nil
}

// ReadSightings reads the file without creating or changing it. There are none if it does not exist.
func ReadSightings(ctx context.Context, path string) ([]Sighting, error) {
	path = filelock.RealPath(path)
	if err := checkComplete(path); err != nil {
		return nil, err
	}
	if err := checkFile(path); err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	h, err := openHandle(path, "&mode=ro")
	if err != nil {
		return nil, err
	}
	defer h.db.Close()
	all, err := list(ctx, h.db, everySighting)
	if err != nil {
		return nil, fmt.Errorf("the state of the guard, %s: %w", path, err)
	}
	return all, nil
}

func (s *State) migrate(ctx context.Context) error {
	tx, err := s.db().BeginTx(ctx, nil)
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

// A version changes when another process has changed the file. Each connection counts the changes by itself.
type version struct {
	of      *connection
	changes int64
}

func (s *State) version(ctx context.Context) (v version, err error) {
	h := s.handle.Load()
	v.of = h.connections.last.Load() // before the query, which may open another connection: that counts as a change
	err = h.db.QueryRowContext(ctx, "PRAGMA data_version").Scan(&v.changes)
	return v, err
}

// mostForeign limits the held certificates of a partner that are of another CA, beside [acceptance.MostHeld] for the
// others: strangers can create them. The oldest one gives way.
const mostForeign = 4

// add stores a sighting. A certificate that was held and is accepted now is changed, unless a person has decided. So is
// the reason of one that is held for another one now.
// changed reports whether anything was stored. mail is true if a mail is due.
func (s *State) add(ctx context.Context, v Sighting, mail bool) (changed bool, err error) {
	c, err := v.certificate()
	if err != nil {
		return false, err
	}
	key := acceptance.NewKnown(c).Fingerprint.String()
	err = s.within(ctx, func(tx *sql.Tx) error {
		changed = false
		if v.Standing == Held {
			if _, err := tx.ExecContext(ctx, "UPDATE sightings SET code = ?, reason = ? WHERE partner = ? AND sha256 = ? AND "+
				"standing = 'held'", v.Code, v.Reason, v.Partner, key); err != nil {
				return err
			}
		}
		room, mayMail, err := s.room(ctx, tx, v, key)
		if err != nil || !room {
			return err
		}
		notice := "none"
		if mail && mayMail {
			notice = "due"
		}
		result, err := tx.ExecContext(ctx, "INSERT INTO sightings (partner, sha256, der, was, standing, code, reason, "+
			"decided_by, seen_at, not_after, mail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "+
			"was = excluded.was, standing = excluded.standing, code = excluded.code, reason = excluded.reason, "+
			"decided_by = excluded.decided_by, seen_at = excluded.seen_at, mail = excluded.mail "+
			"WHERE sightings.standing = 'held' AND excluded.standing = 'accepted'",
			v.Partner, key, v.DER, append([]byte{}, v.Was...), v.Standing, v.Code, v.Reason, v.By, v.At.UnixMicro(),
			c.NotAfter.UnixMicro(), notice)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if changed = n == 1; err != nil || !changed {
			return err
		}
		return decided(ctx, tx, v.Partner, key, v.Standing, v.By, v.At)
	})
	return changed && err == nil, err
}

// room reports whether a held certificate can be stored, and whether a mail about it may be sent: strangers must not
// cause one mail after another.
func (s *State) room(ctx context.Context, tx *sql.Tx, v Sighting, key string) (room, mail bool, err error) {
	if v.Standing != Held {
		return true, true, nil
	}
	count := func(where string, args ...any) (n int) {
		if err == nil {
			err = tx.QueryRowContext(ctx, "SELECT count(*) FROM sightings WHERE partner = ? AND "+where,
				append([]any{v.Partner}, args...)...).Scan(&n)
		}
		return n
	}
	if v.Code != acceptance.OtherCA {
		held := count("standing = 'held' AND code <> ? AND not_after >= ?", acceptance.OtherCA, v.At.UnixMicro())
		return held < acceptance.MostHeld, true, err
	}
	known := count("sha256 = ?", key)
	recent := count("code = ? AND seen_at > ?", acceptance.OtherCA, v.At.Add(-24*time.Hour).UnixMicro())
	held := count("standing = 'held' AND code = ?", acceptance.OtherCA)
	if err == nil && known == 0 && held >= mostForeign {
		_, err = tx.ExecContext(ctx, "DELETE FROM sightings WHERE (partner, sha256) IN (SELECT partner, sha256 FROM "+
			"sightings WHERE partner = ? AND standing = 'held' AND code = ? ORDER BY seen_at LIMIT 1)", v.Partner,
			acceptance.OtherCA)
	}
	return true, recent == 0, err
}

// decided records a decision.
func decided(ctx context.Context, tx *sql.Tx, partner, sha256 string, standing Standing, by string,
	at time.Time) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO decisions (partner, sha256, standing, decided_by, decided_at) "+
		"VALUES (?, ?, ?, ?, ?)", partner, sha256, standing, by, at.UnixMicro())
	return err
}

// held returns the number of held certificates that have not expired.
func (s *State) held(ctx context.Context, now time.Time) (n int, err error) {
	err = s.db().QueryRowContext(ctx, "SELECT count(*) FROM sightings WHERE standing = 'held' AND not_after > ?",
		now.UnixMicro()).Scan(&n)
	return n, err
}

// everySighting is the condition for all of them, the oldest first.
const everySighting = "1 = 1 ORDER BY seen_at"

// Sightings returns all of them, the oldest first.
func (s *State) Sightings(ctx context.Context) ([]Sighting, error) {
	return list(ctx, s.db(), everySighting)
}

// due returns sightings that a mail to an address is due for.
func (s *State) due(ctx context.Context, address string, limit int) ([]Sighting, error) {
	return list(ctx, s.db(), "mail = 'due' AND NOT EXISTS (SELECT 1 FROM mailed AS m WHERE m.partner = sightings.partner "+
		"AND m.sha256 = sightings.sha256 AND m.address = ?) ORDER BY seen_at LIMIT ?", address, limit)
}

// A querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func list(ctx context.Context, q querier, where string, args ...any) (all []Sighting, err error) {
	rows, err := q.QueryContext(ctx, "SELECT partner, der, was, standing, code, reason, decided_by, seen_at "+
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

// mailed records that an address has got a mail. Those that every address has got are done.
func (s *State) mailed(ctx context.Context, address string, all []Sighting, addresses []string) error {
	return s.within(ctx, func(tx *sql.Tx) error {
		for _, v := range all {
			key := certfile.Fingerprint(v.DER)
			if _, err := tx.ExecContext(ctx, "INSERT INTO mailed (partner, sha256, address) VALUES (?, ?, ?) "+
				"ON CONFLICT DO NOTHING", v.Partner, key, address); err != nil {
				return err
			}
			rows, err := tx.QueryContext(ctx, "SELECT address FROM mailed WHERE partner = ? AND sha256 = ?", v.Partner, key)
			if err != nil {
				return err
			}
			done, err := texts(rows)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(addresses, func(a string) bool { return !slices.Contains(done, a) }) {
				continue
			}
			if _, err := tx.ExecContext(ctx, "UPDATE sightings SET mail = 'sent' WHERE partner = ? AND sha256 = ?", v.Partner,
				key); err != nil {
				return err
			}
		}
		return nil
	})
}

func texts(rows *sql.Rows) (all []string, err error) {
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

func (s *State) within(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db().BeginTx(ctx, nil)
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
func (s *State) Decide(ctx context.Context, partner, sha256, by string, standing Standing,
	now time.Time) (v Sighting, err error) {
	if by == byRule || by == byFeed { // a person can have such a name
		by = "person " + by
	}
	if sha256, err = beginning(sha256); err != nil {
		return v, err
	}
	err = s.within(ctx, func(tx *sql.Tx) error {
		found, err := list(ctx, tx, "sha256 LIKE ? AND (? = '' OR partner = ?)", sha256+"%", partner, partner)
		switch {
		case err != nil:
			return err
		case len(found) == 0:
			return tenancy.Errorf(tenancy.ErrNotFound, "the guard has not seen a certificate with the SHA-256 %s: perennial "+
				"guard status lists those that it has seen", sha256)
		case len(found) > 1:
			return tenancy.Errorf(tenancy.ErrConflict, "%d certificates have a SHA-256 that begins with %s: give more digits, "+
				"or --partner", len(found), sha256)
		}
		v = found[0]
		v.Standing, v.By = standing, by
		key := certfile.Fingerprint(v.DER)
		if _, err := tx.ExecContext(ctx, "UPDATE sightings SET standing = ?, decided_by = ?, mail = 'none' WHERE "+
			"partner = ? AND sha256 = ?", standing, by, v.Partner, key); err != nil {
			return err
		}
		return decided(ctx, tx, v.Partner, key, standing, by, now)
	})
	return v, err
}

// beginning returns the beginning of a SHA-256 in lower-case hexadecimal without separators.
func beginning(sha256 string) (string, error) {
	sha256 = strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(sha256))
	if len(sha256) < 8 || strings.Trim(sha256, "0123456789abcdef") != "" {
		return "", tenancy.Errorf(tenancy.ErrInvalid, "invalid fingerprint %q: use at least the first 8 digits of the "+
			"SHA-256", sha256)
	}
	return sha256, nil
}

// lastDecision returns the ID of the latest decision; 0 if there is none.
func (s *State) lastDecision(ctx context.Context) (id int64, err error) {
	err = s.db().QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM decisions").Scan(&id)
	return id, err
}

// byPeople returns what people have decided after a decision, the oldest first, and the ID of the latest decision.
func (s *State) byPeople(ctx context.Context, after int64) (all []Sighting, last int64, err error) {
	rows, err := s.db().QueryContext(ctx, "SELECT d.id, s.partner, s.der, s.was, d.standing, s.code, s.reason, "+
		"d.decided_by, d.decided_at FROM decisions AS d JOIN sightings AS s ON s.partner = d.partner AND "+
		"s.sha256 = d.sha256 WHERE d.id > ? AND d.decided_by NOT IN (?, ?) ORDER BY d.id", after, byRule, byFeed)
	if err != nil {
		return nil, after, err
	}
	defer rows.Close()
	last = after
	for rows.Next() {
		var v Sighting
		var at int64
		if err := rows.Scan(&last, &v.Partner, &v.DER, &v.Was, &v.Standing, &v.Code, &v.Reason, &v.By, &at); err != nil {
			return nil, after, err
		}
		v.At = time.UnixMicro(at).UTC()
		all = append(all, v)
	}
	return all, last, rows.Err()
}

// keepExpired is the time for which an expired certificate is remembered, so that its successors are recognised.
const keepExpired = 400 * 24 * time.Hour

// prune forgets certificates that have expired long ago.
func (s *State) prune(ctx context.Context, now time.Time) error {
	_, err := s.db().ExecContext(ctx, "DELETE FROM sightings WHERE not_after < ?", now.Add(-keepExpired).UnixMicro())
	return err
}

// follow records which certificates the feed of a partner lists. Those that it listed before, and does not list any
// more, are refused: they were revoked, or have expired. changed reports whether that is so.
func (s *State) follow(ctx context.Context, partner string, listed []Sighting) (changed bool, err error) {
	err = s.within(ctx, func(tx *sql.Tx) error {
		changed = false
		var keys []string
		for _, v := range listed {
			c, err := v.certificate()
			if err != nil {
				return err
			}
			key := certfile.Fingerprint(v.DER)
			keys = append(keys, key)
			again, err := tx.ExecContext(ctx, "UPDATE sightings SET standing = 'accepted' WHERE partner = ? AND sha256 = ? AND "+
				"standing = 'declined' AND decided_by = ?", partner, key, byFeed)
			if err != nil {
				return err
			}
			if n, err := again.RowsAffected(); err != nil {
				return err
			} else if n > 0 {
				changed = true
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO sightings (partner, sha256, der, was, standing, code, reason, "+
				"decided_by, seen_at, not_after, mail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'none') ON CONFLICT DO UPDATE SET "+
				"standing = 'accepted', decided_by = excluded.decided_by WHERE sightings.decided_by IN ('rule', 'feed')",
				partner, key, v.DER, []byte{}, v.Standing, v.Code, v.Reason, v.By, v.At.UnixMicro(),
				c.NotAfter.UnixMicro()); err != nil {
				return err
			}
		}
		before, err := list(ctx, tx, "partner = ? AND standing = 'accepted' AND decided_by = ?", partner, byFeed)
		if err != nil {
			return err
		}
		for _, v := range before {
			key := certfile.Fingerprint(v.DER)
			if slices.Contains(keys, key) {
				continue
			}
			changed = true
			if _, err := tx.ExecContext(ctx, "UPDATE sightings SET standing = ?, mail = 'none' WHERE partner = ? AND sha256 = ?",
				Declined, partner, key); err != nil {
				return err
			}
			if err := decided(ctx, tx, partner, key, Declined, byFeed, listed[0].At); err != nil {
				return err
			}
		}
		return nil
	})
	return changed && err == nil, err
}

// fetched records the sequence of a feed.
func (s *State) fetched(ctx context.Context, partner string, sequence uint64, at time.Time) error {
	_, err := s.db().ExecContext(ctx, "INSERT INTO feeds (partner, sequence, fetched_at) VALUES (?, ?, ?) "+
		"ON CONFLICT (partner) DO UPDATE SET sequence = excluded.sequence, fetched_at = excluded.fetched_at", partner,
		int64(sequence), at.UnixMicro())
	return err
}

// sequence returns the last sequence of a feed; 0 if it was not fetched.
func (s *State) sequence(ctx context.Context, partner string) (n uint64, err error) {
	err = s.db().QueryRowContext(ctx, "SELECT sequence FROM feeds WHERE partner = ?", partner).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}
