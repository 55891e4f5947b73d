package lifecycle

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// Announced returns the authority that is announced to sign next; ok is false if none is.
func (e *Engine) Announced(now time.Time) (a tenancy.Authority, ok bool) {
	if e.authorities == nil {
		return a, false
	}
	return e.authorities.Announced(now)
}

// Signing returns the authority that signs at now; ok is false if the issuer has its hierarchy elsewhere.
func (e *Engine) Signing(now time.Time) (a tenancy.Authority, ok bool) {
	if e.authorities == nil {
		return a, false
	}
	return e.authorities.Signing(now), true
}

// Ephemeral issues a certificate of an authority that is presented once and never stored, to ask a receiver whether it
// trusts the authority. It has the names of the credential's next certificate, because the receiver may map them.
func (e *Engine) Ephemeral(ctx context.Context, t tenancy.Tenant, name tenancy.Purpose, authorityID string,
	validity time.Duration, now time.Time) (c tls.Certificate, err error) {
	key, err := keyring.Generate(tenancy.P256)
	if err != nil {
		return c, err
	}
	newest, err := e.store.Newest(ctx, t.ID, name)
	if err != nil {
		return c, err
	}
	issued, err := e.issuer.Issue(ctx, issuer.Request{Tenant: t.Name, Purpose: name, Key: key, At: now,
		Validity: validity, Authority: authorityID, Replaces: namesOf(newest)})
	if err != nil {
		return c, err
	}
	return tls.Certificate{Certificate: append([][]byte{issued.DER}, issued.Chain...), PrivateKey: key}, nil
}

// Announce notifies the key users of every tenant that presents certificates about an authority that will sign them. It
// does so once, page by page. The authority begins to sign as soon as every receiver is known to trust it and the
// notice has passed. If no authority is announced, it costs two small queries.
func (e *Engine) Announce(ctx context.Context, now time.Time) error {
	if e.authorities == nil {
		return nil
	}
	missing := e.authorities.Refresh(ctx, now)
	if missing != nil && !errors.Is(missing, issuer.ErrNoSuccessor) {
		return missing
	}
	return errors.Join(missing, e.announce(ctx, now))
}

func (e *Engine) announce(ctx context.Context, now time.Time) error {
	if err := e.noteSigning(ctx, e.authorities.Signing(now), now); err != nil {
		return err
	}
	if err := e.askForAuthority(ctx, now); err != nil {
		return err
	}
	a, ok := e.authorities.Announced(now)
	if !ok {
		return nil
	}
	for {
		if last, err := e.announcePage(ctx, a, now); err != nil {
			return fmt.Errorf("announce the issuing CA %s: %w", a.ID, err)
		} else if last {
			break
		}
	}
	if now.Before(a.NotBefore.Add(standardNotice)) {
		return nil
	}
	waiting, err := e.store.NotTrusting(ctx, a.ID, "", 1)
	if err != nil || len(waiting) > 0 {
		return err
	}
	err = e.SignFrom(ctx, a.ID, "announcement", now)
	if errors.Is(err, tenancy.ErrStale) { // another replica was faster
		return nil
	}
	return err
}

// SignFrom makes an announced authority sign from now on.
func (e *Engine) SignFrom(ctx context.Context, id, actor string, now time.Time) error {
	if e.authorities == nil {
		return tenancy.Errorf(tenancy.ErrRefused, "the issuer manages its authorities itself: make %s sign there", id)
	}
	err := e.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.SignFrom(ctx, id, now); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, "authority.brought-forward", "", id, nil))
	})
	if err == nil {
		err = issuer.Refreshed(ctx, e.authorities, now)
	}
	return err
}

// noteSigning records in the audit log that an authority has begun to sign.
func (e *Engine) noteSigning(ctx context.Context, a tenancy.Authority, now time.Time) error {
	_, err := e.store.Once(ctx, store.ClaimSigns, a.ID, now, func(tx *store.Tx) error {
		return tx.Audit(ctx, tenancy.NewEvent(now, "issuer", "authority.signs", "", a.ID,
			map[string]any{"not_after": a.NotAfter}))
	})
	return err
}

// askForAuthority mails the hosting team that a root whose key is elsewhere must sign an issuing CA: every month, in
// the last month every week, and every day once it is late.
func (e *Engine) askForAuthority(ctx context.Context, now time.Time) error {
	subordinate, ok := issuer.As[issuer.Subordinate](e.issuer)
	if !ok || len(e.operators) == 0 {
		return nil
	}
	by, due := subordinate.Awaited(now)
	if !due {
		return nil
	}
	left := by.Sub(now)
	stage := fmt.Sprint("month/", left/(30*policy.Day))
	switch {
	case left < 0:
		stage = "day/" + now.UTC().Format(time.DateOnly)
	case left < 30*policy.Day:
		stage = fmt.Sprint("week/", left/(7*policy.Day))
	}
	subject := e.authorities.Signing(now).ID + "/" + stage
	_, err := e.store.Once(ctx, store.ClaimAuthorityAwaited, subject, now, func(tx *store.Tx) error {
		n := tenancy.Notice{ID: store.NewID(), Kind: tenancy.AuthorityAwaited, CreatedAt: now, DueAt: by,
			Reason:   tenancy.Moment(e.authorities.Signing(now).NotAfter),
			DedupKey: "authority-awaited/" + subject,
			Subject:  "Perennial: your root must sign the next issuing CA by " + tenancy.Moment(by)}
		return e.write(ctx, tx, e.toOperators(n), now)
	})
	return err
}

// announcePage notifies one page of tenants and stores the progress, in one transaction. last reports whether that was
// the last page.
func (e *Engine) announcePage(ctx context.Context, a tenancy.Authority, now time.Time) (last bool, err error) {
	err = e.store.InTx(ctx, func(tx *store.Tx) error {
		after, err := tx.Announcement(ctx, a.ID)
		if last = after == store.AnnouncedToAll; err != nil || last {
			return err
		}
		ids, err := tx.Presenting(ctx, after, rollPage)
		if err != nil {
			return err
		}
		next := store.AnnouncedToAll
		if len(ids) == rollPage {
			next = ids[len(ids)-1]
		}
		ok, err := tx.AdvanceAnnouncement(ctx, a.ID, after, next)
		if err != nil || !ok { // another replica notifies this page
			return err
		}
		last = next == store.AnnouncedToAll
		b := batchFor(0)
		if after == "" {
			b.events = append(b.events, tenancy.NewEvent(now, "issuer", "authority.announced", "", a.ID,
				map[string]any{"signs_from": a.SignsFrom, "not_after": a.NotAfter}))
		}
		newest, err := tx.InReachOf(ctx, ids)
		if err != nil {
			return err
		}
		var certs []tenancy.Certificate
		for _, id := range ids {
			if c, ok := issuedHere(newest[id]); ok {
				certs = append(certs, c)
			}
		}
		people, err := e.audiences(ctx, tx.Reader, certs)
		if err != nil {
			return err
		}
		for _, c := range certs {
			e.notify(b, people[c.TenantID], c, tenancy.Notice{
				Kind: tenancy.NewAuthority, CertificateID: c.ID, SuccessorID: a.ID, DueAt: a.SignsFrom,
				Subject:  "A new CA will issue your certificates from " + tenancy.Moment(a.SignsFrom),
				DedupKey: "authority/" + a.ID,
			}, cause{actor: "issuer"}, now)
		}
		return e.write(ctx, tx, b, now)
	})
	return last, err
}

// issuedHere returns the newest certificate of the local CA among those of a tenant, oldest first; the tenant
// certificate if that is one.
func issuedHere(certs []tenancy.Certificate) (newest tenancy.Certificate, ok bool) {
	for _, c := range certs {
		if c.Issuer == "" && (c.Purpose == tenancy.ForTenant || newest.Purpose != tenancy.ForTenant) {
			newest, ok = c, true
		}
	}
	return newest, ok
}

// RecordTrust records whether the receiver of an arrangement trusts an authority.
func (e *Engine) RecordTrust(ctx context.Context, authorityID, arrangementID, actor string, verdict tenancy.Trust,
	by rollover.Source, detail string, now time.Time) (v store.ReceiverTrust, err error) {
	err = e.store.InTx(ctx, func(tx *store.Tx) error {
		before, err := tx.TrustOf(ctx, authorityID, arrangementID)
		if err != nil {
			return err
		}
		v = before
		v.Verdict, v.At, v.Source, v.Detail = verdict, now, by, detail
		if err := tx.SetTrust(ctx, authorityID, v); err != nil || v.Verdict == before.Verdict {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, "authority."+string(verdict), v.Tenant, v.Tenant+"/"+v.Arrangement,
			map[string]any{"authority": authorityID, "source": by,
				"detail": tenancy.ReadText(detail).String()}))
	})
	return v, err
}
