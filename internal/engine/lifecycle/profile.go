package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

// keyTypeDiffers is a difference that is also in the certificate's record.
const keyTypeDiffers certfile.Difference = "key type"

// watch holds back a successor if receivers could refuse it because of a change that no notice announced: it stays
// standby until the key users have had a notice of the usual length, which names the differences. The fall-back still
// tries it if the receiver refuses the old one. A successor that is needed at once is not held back.
func (e *Engine) watch(b *batch, p audience, old tenancy.Certificate, next *store.SealedCertificate, why cause,
	now time.Time) {
	if revokes(why.reason) {
		return
	}
	differ, err := compare(old, next.Certificate)
	if err != nil {
		e.log.Warn("a certificate cannot be compared with its successor", "certificate", object(p.Tenant, old), "error", err)
		return
	}
	if len(differ) == 0 || slices.ContainsFunc(p.InReach, func(c tenancy.Certificate) bool {
		same, err := compare(c, next.Certificate)
		return c.Purpose == old.Purpose && c.ID != old.ID && err == nil && len(same) == 0
	}) { // or it is like an older one, which receivers know
		return
	}
	notice := NoticeUnder(e.policy)
	if at := p.owner().credential(old.Purpose).AnnouncedAt; at.After(old.CreatedAt) {
		next.NoticedUntil = latest(next.NoticedUntil, at.Add(notice))
		differ = slices.DeleteFunc(differ, func(d certfile.Difference) bool {
			return d == certfile.IssuerDiffers || d == keyTypeDiffers
		})
	}
	if e.announces(old, next.Certificate, now) {
		differ = slices.DeleteFunc(differ, func(d certfile.Difference) bool {
			return d == certfile.IssuerDiffers || d == certfile.SubjectDiffers || d == certfile.SANDiffers
		})
	}
	if len(differ) == 0 {
		return
	}
	next.NoticedUntil = latest(next.NoticedUntil, now.Add(notice))
	text := differences(differ)
	b.held = append(b.held, held{next.ID, object(p.Tenant, next.Certificate) + ": " + text, next.NoticedUntil})
	e.notify(b, p, old, tenancy.Notice{Kind: tenancy.Differs, CertificateID: old.ID, SuccessorID: next.ID,
		DueAt: next.NoticedUntil, Subject: old.Purpose.Noun() + " has changed: " + text,
		DedupKey: "differs/" + next.ID}, cause{actor: why.actor, reason: text}, now)
	b.events = append(b.events, tenancy.NewEvent(now, why.actor, "certificate.held", p.Tenant.Name,
		object(p.Tenant, next.Certificate), map[string]any{"differs": differ, "until": next.NoticedUntil}))
}

// compare lists the differences between two generations that receivers may check.
func compare(old, next tenancy.Certificate) ([]certfile.Difference, error) {
	differ, err := certfile.Differences(old.DER, next.DER)
	if err == nil && old.KeyType != next.KeyType {
		differ = append(differ, keyTypeDiffers)
	}
	return differ, err
}

// A held certificate is a successor that is held back.
type held struct {
	id    string
	text  string // the certificate, and what differs
	until time.Time
}

// log logs the effects of a batch, after it has been stored. A certificate that is held back needs an operator.
func (b *batch) log(ctx context.Context, e *Engine) {
	e.LogCutOvers(ctx, b.cutOvers)
	if len(b.held) > 0 {
		e.log.ErrorContext(ctx, "renewed certificates differ from those that they replace, without an earlier notice: "+
			"until the notice period has passed, they are presented only if receivers refuse the old ones",
			"certificates", len(b.held), "first", b.held[0].text, "until", b.held[0].until)
	}
}

// announces reports whether the local CA announced what it changed: the notice about a new authority, or the warning
// about a certificate of another CA, names it.
func (e *Engine) announces(old, next tenancy.Certificate, now time.Time) bool {
	if next.Issuer != "" || e.authorities == nil {
		return false
	}
	if !old.WarnedAt.IsZero() {
		return true
	}
	for _, a := range e.authorities.Plans(now) {
		if a.ID == old.IssuerID {
			return true
		}
	}
	return false
}

// differences joins differences to a text: "issuer and key type".
func differences(all []certfile.Difference) string {
	texts := make([]string, len(all))
	for i, d := range all {
		texts[i] = string(d)
	}
	if n := len(texts) - 1; n > 0 {
		return strings.Join(texts[:n], ", ") + " and " + texts[n]
	}
	return texts[0]
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// announceChange notifies the key users that the next certificate of a credential has another CA or another key type,
// and returns the time of the announcement: now, or an earlier time if neither changes.
func (e *Engine) announceChange(ctx context.Context, tx *store.Tx, b *batch, o owner, c tenancy.Credential,
	actor string, now time.Time) (time.Time, error) {
	before := o.credential(c.Name)
	var differ []certfile.Difference
	if e.resolved(before.Issuer) != e.resolved(c.Issuer) {
		differ = append(differ, certfile.IssuerDiffers)
	}
	if cmp.Or(c.KeyType, o.KeyType) != before.KeyType {
		differ = append(differ, keyTypeDiffers)
	}
	newest, err := tx.Newest(ctx, o.ID, c.Name)
	if len(differ) == 0 || errors.Is(err, tenancy.ErrNotFound) {
		return before.AnnouncedAt, nil
	} else if err != nil {
		return before.AnnouncedAt, err
	}
	people, err := e.notified(ctx, tx.Reader, map[string]tenancy.Tenant{o.ID: o.Tenant})
	if err != nil {
		return before.AnnouncedAt, err
	}
	text := differences(differ)
	e.notify(b, people[o.ID], newest, tenancy.Notice{Kind: tenancy.Differs, CertificateID: newest.ID,
		DueAt: e.renewsAfter(newest, now), Subject: c.Name.Noun() + " will change: " + text,
		DedupKey: "differs/" + store.NewID()}, cause{actor: actor, reason: text}, now)
	return now, nil
}
