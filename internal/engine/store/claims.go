package store

import (
	"context"
	"time"
)

// A ClaimKind is a kind of work that one replica does once per subject.
type ClaimKind string

// The kinds of claims.
const (
	// ClaimFirstToken is the creation of the first operator's token. It has no subject.
	ClaimFirstToken ClaimKind = "first token"
	// ClaimSigns is the audit event about an authority that has begun to sign. The subject is its ID.
	ClaimSigns ClaimKind = "authority signs"
	// ClaimReminder is the reminder about receivers that have not acted. The subject is the old certificate's ID with the
	// stage.
	ClaimReminder ClaimKind = "reminder"
	// ClaimTrustQuestions is the daily question to receivers whether they trust an announced authority. The subject is its
	// ID with the date.
	ClaimTrustQuestions ClaimKind = "trust questions"
	// ClaimHead is the head of the audit log that is copied out of the database. The subject is its destination with the
	// date.
	ClaimHead ClaimKind = "audit head"
	// ClaimTokenEnd is the mail about a token that expires. The subject is the token's ID with the stage.
	ClaimTokenEnd ClaimKind = "token end"
	// ClaimAuthorityAwaited is the mail that a root elsewhere must sign. The subject is the signing authority's ID with
	// the stage.
	ClaimAuthorityAwaited ClaimKind = "authority awaited"
	// ClaimRunFailed is the audit event about a run that failed. The subject is its date with the present date.
	ClaimRunFailed ClaimKind = "run failed"
	// ClaimFeedSilent is the audit event about a feed that is not fetched any longer. The subject is the ID of its
	// arrangement with the time of the latest request.
	ClaimFeedSilent ClaimKind = "feed silent"
	// ClaimHeld is a certificate that is held back until the time of the claim. The subject is its ID.
	ClaimHeld ClaimKind = "held"
	// ClaimHint is the answer of a CA about the renewal of a certificate, whose ID is the subject. The CA is asked again
	// after the time of the claim.
	ClaimHint ClaimKind = "hint"
	// ClaimNews is the mail to a counterparty about its tenants. The subject is its ID with the kind and the date.
	ClaimNews ClaimKind = "news"
	// ClaimResumed is the undoing of a stop by an administrator. The subject is their ID with the date.
	ClaimResumed ClaimKind = "administrator resumed"
)

// inSettings is the prefix of the setting by which a replica of a release without the table of claims claims the same
// work. Such a replica may run beside this one during a rolling upgrade.
var inSettings = map[ClaimKind]string{
	ClaimFirstToken: "first_token", ClaimSigns: "signs/", ClaimReminder: "reminded/",
	ClaimTrustQuestions: "authority-asked/",
}

// Claim stores a claim and reports whether it is the first for its kind and subject. If not, another replica did the
// work, or is doing it in a transaction that commits first.
func (t *Tx) Claim(ctx context.Context, kind ClaimKind, subject string, at time.Time) (first bool, err error) {
	n, err := t.exec(ctx, "INSERT INTO claims (kind, subject, at) VALUES (?, ?, ?) ON CONFLICT (kind, subject) DO NOTHING",
		string(kind), subject, micros(at))
	if err != nil || n == 0 {
		return false, err
	}
	if _, had := inSettings[kind]; !had {
		return true, nil
	}
	return t.claimSetting(ctx, inSettings[kind]+subject, at)
}

// Once does work in the transaction that claims it, unless it is claimed already. It reports whether this call did it.
func (s *Store) Once(ctx context.Context, kind ClaimKind, subject string, at time.Time,
	work func(*Tx) error) (did bool, err error) {
	if claimed, err := s.Claimed(ctx, kind, subject); err != nil || claimed {
		return false, err
	}
	err = s.InTx(ctx, func(tx *Tx) error {
		first, err := tx.Claim(ctx, kind, subject, at)
		if did = first; err != nil || !first {
			return err
		}
		return work(tx)
	})
	return did && err == nil, err
}

// Claimed reports whether a claim is stored.
func (r Reader) Claimed(ctx context.Context, kind ClaimKind, subject string) (bool, error) {
	n, err := one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM claims WHERE kind = ? AND subject = ?",
		string(kind), subject)
	return n > 0, err
}

// CountHeld counts the certificates that are held back at now.
func (r Reader) CountHeld(ctx context.Context, now time.Time) (int, error) {
	return one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM claims WHERE kind = ? AND at > ?", string(ClaimHeld),
		micros(now))
}

// PruneClaims deletes the claims of a kind from before an instant.
func (t *Tx) PruneClaims(ctx context.Context, kind ClaimKind, before time.Time) error {
	if _, err := t.exec(ctx, "DELETE FROM claims WHERE kind = ? AND at < ?", string(kind), micros(before)); err != nil {
		return err
	}
	if _, had := inSettings[kind]; !had {
		return nil
	}
	return t.pruneSettings(ctx, inSettings[kind], before)
}
