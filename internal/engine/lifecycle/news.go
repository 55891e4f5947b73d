package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// newsPause is the time without further news after which a counterparty is mailed, so that one mail is about all
	// tenants of a run.
	newsPause = time.Hour
	// newsLongest is the longest time that news wait for others.
	newsLongest = 6 * time.Hour
	// newsKept is the time after which news that were told are deleted. It exceeds the lifetime of a certificate, during
	// which they can come again.
	newsKept = 400 * policy.Day
	// toAllFrom is the stage from which on a reminder goes to every contact of a counterparty, in days. Other mails go to
	// the first contact who gets mails.
	toAllFrom = 7
)

// TellCounterparties mails counterparties about their tenants: at most one mail of each kind a day. Call it as often as
// [Engine.Tick].
func (e *Engine) TellCounterparties(ctx context.Context, now time.Time) error {
	if e.linkKey == nil {
		return nil
	}
	waiting, err := e.store.WaitingNews(ctx)
	failures := []error{err}
	for _, b := range waiting {
		if now.Sub(b.Last) < newsPause && now.Sub(b.First) < newsLongest {
			continue
		}
		subject := fmt.Sprintf("%s/%s/%s", b.CounterpartyID, b.Kind, now.UTC().Format(time.DateOnly))
		_, err := e.store.Once(ctx, store.ClaimNews, subject, now, func(tx *store.Tx) error {
			return e.tellCounterparty(ctx, tx, b, now)
		})
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

func (e *Engine) tellCounterparty(ctx context.Context, tx *store.Tx, news tenancy.NewsBatch, now time.Time) error {
	ids, err := tx.TakeNews(ctx, news.CounterpartyID, news.Kind, now)
	if err != nil || len(ids) == 0 {
		return err
	}
	found, err1 := tx.CounterpartiesByID(ctx, []string{news.CounterpartyID})
	contacts, err2 := tx.CounterpartyContacts(ctx, []string{news.CounterpartyID})
	report, err3 := e.report(ctx, tx.Reader, news.Kind, ids)
	if err := errors.Join(err1, err2, err3); err != nil || report.Total == 0 {
		return err
	}
	c := found[news.CounterpartyID]
	report.CounterpartyID, report.DisplayName = c.ID, c.DisplayName
	n := tenancy.Notice{ID: store.NewID(), Kind: news.Kind, Subject: subjects[news.Kind], DueAt: report.First,
		Reason: report.Text(), CreatedAt: now, DedupKey: fmt.Sprintf("news/%s/%s/%d", c.ID, news.Kind, now.UnixMicro())}
	b := batchFor(0)
	if !c.LinkedAt.IsZero() { // the page may have been closed since
		if err := e.toContacts(ctx, tx, b, n, accepted(contacts[c.ID]), news.Stage, now); err != nil {
			return err
		}
	}
	if len(b.mails) > 0 {
		b.notices = append(b.notices, n)
	}
	b.events = append(b.events, tenancy.NewEvent(now, "roll-over", "counterparty.mailed", "", c.Name,
		map[string]any{"about": news.Kind, "certificates": report.Total, "mails": len(b.mails)}))
	return e.write(ctx, tx, b, now)
}

// toContacts adds the mails to the contacts of a counterparty, each with an address of its page.
func (e *Engine) toContacts(ctx context.Context, tx *store.Tx, b *batch, n tenancy.Notice,
	contacts []tenancy.CounterpartyContact, stage int, now time.Time) error {
	for _, c := range contacts {
		to, err := tx.EnsureAdministrator(ctx, tenancy.Administrator{ID: store.NewID(), CounterpartyID: c.CounterpartyID,
			Address: tenancy.MailKey(c.Email), CreatedAt: now})
		if err != nil {
			return err
		}
		if !to.StoppedAt.IsZero() {
			continue
		}
		hash := tenancy.HashSecret(e.linkKey.Secret(links.Counterparty, n.ID, to.ID))
		if err := tx.LinkContact(ctx, c, hash, links.ToAdministrator, now); err != nil {
			return err
		}
		b.mails = append(b.mails, e.mailOf(n, tenancy.Mail{AdministratorID: to.ID, Name: c.Name, Address: c.Email}))
		if stage == 0 || stage > toAllFrom {
			return nil
		}
	}
	return nil
}

// report describes certificates of tenants that allow mails, those with the earliest dates first. ids name the
// certificates that are replaced.
func (e *Engine) report(ctx context.Context, r store.Reader, kind tenancy.NoticeKind,
	ids []string) (out tenancy.CounterpartyReport, err error) {
	for part := range slices.Chunk(ids, pageSize) {
		certs, err := r.CertificatesByID(ctx, part)
		if err != nil {
			return out, err
		}
		var tenantIDs, successorIDs []string
		for _, c := range certs {
			tenantIDs, successorIDs = append(tenantIDs, c.TenantID), append(successorIDs, c.SuccessorID)
		}
		tenants, err1 := r.TenantsByID(ctx, tenantIDs)
		successors, err2 := r.CertificatesByID(ctx, successorIDs)
		if err := errors.Join(err1, err2); err != nil {
			return out, err
		}
		for _, old := range certs {
			t, shown, at := tenants[old.TenantID], successors[old.SuccessorID], old.NotAfter
			if kind == tenancy.AdministratorExpiring {
				shown, at = old, e.renewsAfter(old, old.WarnedAt)
			}
			if !t.MailsAdministrators || shown.ID == "" {
				continue
			}
			out.Total++
			out.Lines = append(out.Lines, tenancy.ReportedCertificate{Tenant: t.Name, DisplayName: t.DisplayName,
				Fingerprint: shown.Fingerprint, CertificateID: shown.ID, At: at})
		}
		slices.SortFunc(out.Lines, func(a, b tenancy.ReportedCertificate) int { return a.At.Compare(b.At) })
		out.Lines = out.Lines[:min(len(out.Lines), tenancy.MostReported)]
	}
	if len(out.Lines) > 0 {
		out.First = out.Lines[0].At
	}
	return out, nil
}
