package notify

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// Sender hands letters to a mail server, as [Server.Send] does.
type Sender interface {
	Send(ctx context.Context, letters []Addressed, answered func(i int, answer error) error) error
}

// DelivererConfig holds what a deliverer depends on. Fields without a note are required.
type DelivererConfig struct {
	Store  *store.Store
	Sender Sender
	// BaseURL is the address of the service, for links. Optional: without it, mails have none.
	BaseURL string
	Log     *slog.Logger
}

// A Deliverer composes the mails that are queued, hands them to a mail server, and stores its answers.
type Deliverer struct {
	store   *store.Store
	sender  Sender
	baseURL string
	log     *slog.Logger
	ledger  ledger
}

// NewDeliverer returns a deliverer. It returns an error that names a required dependency that is missing.
func NewDeliverer(c DelivererConfig) (*Deliverer, error) {
	switch {
	case c.Store == nil:
		return nil, errors.New("the delivery of mails needs a Store")
	case c.Sender == nil:
		return nil, errors.New("the delivery of mails needs a Sender")
	case c.Log == nil:
		return nil, errors.New("the delivery of mails needs a Log")
	}
	return &Deliverer{store: c.Store, sender: c.Sender, baseURL: c.BaseURL, log: c.Log}, nil
}

// An answered mail is stored with its audit events.
type answered struct {
	mail   tenancy.Mail
	events []tenancy.Event
}

// A ledger stores the answers of several conversations with one commit. While one commit is written, the others gather.
// Each conversation waits until its own answer is stored.
type ledger struct {
	commit  sync.Mutex
	mu      sync.Mutex
	waiting []entry
}

type entry struct {
	answered
	stored chan error
}

func (l *ledger) store(ctx context.Context, s *store.Store, v answered) error {
	e := entry{v, make(chan error, 1)}
	l.mu.Lock()
	l.waiting = append(l.waiting, e)
	l.mu.Unlock()
	l.commit.Lock()
	defer l.commit.Unlock()
	select {
	case err := <-e.stored: // the previous commit has stored it
		return err
	default:
	}
	l.mu.Lock()
	all := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	err := write(ctx, s, all...)
	for _, e := range all {
		if err != nil && len(all) > 1 { // perhaps because of one of them: the others must not be sent again for it
			e.stored <- write(ctx, s, e)
		} else {
			e.stored <- err
		}
	}
	return <-e.stored
}

// write stores answers in one transaction.
func write(ctx context.Context, s *store.Store, all ...entry) error {
	return s.InTx(ctx, func(tx *store.Tx) error {
		var events []tenancy.Event
		for _, e := range all {
			if err := tx.UpdateMail(ctx, e.mail); err != nil {
				return err
			}
			events = append(events, e.events...)
		}
		return tx.Audit(ctx, events...)
	})
}

// Deliver sends those of the mails that are still queued. It stores each answer before it sends the next mail, so that
// a crash repeats at most one mail. If some mails must be tried again, the error tells why. On the last try they become
// dead instead.
func (d *Deliverer) Deliver(ctx context.Context, mailIDs []string, lastTry bool, now time.Time) error {
	mails, err := d.store.QueuedMails(ctx, mailIDs)
	if err != nil || len(mails) == 0 {
		return err
	}
	letters, tenants, err := d.letters(ctx, mails)
	if err != nil {
		return err
	}
	var again error
	left := 0
	err = d.sender.Send(ctx, letters, func(i int, answer error) error {
		m := &mails[i]
		var events []tenancy.Event
		m.Attempts++
		switch {
		case answer == nil:
			m.State, m.SentAt, m.LastError = tenancy.MailSent, now, ""
			events = append(events, tenancy.NewEvent(now, "mail", "mail.sent", tenants[m.TenantID], m.ID,
				map[string]any{"message_id": m.MessageID, "attempts": m.Attempts}))
		case errors.Is(answer, ErrRejected) || lastTry:
			m.State, m.LastError = tenancy.MailDead, answer.Error()
			events = append(events, tenancy.NewEvent(now, "mail", "mail.dead", tenants[m.TenantID], m.ID,
				map[string]any{"message_id": m.MessageID, "attempts": m.Attempts, "error": m.LastError}))
			d.log.ErrorContext(ctx, "mail is dead: an operator can requeue it", "mail", m.ID, "tenant", tenants[m.TenantID],
				"error", m.LastError)
		default:
			m.LastError = answer.Error()
			again = answer
			left++
		}
		// An answer of the server is stored even if this process is asked to stop.
		return d.ledger.store(context.WithoutCancel(ctx), d.store, answered{*m, events})
	})
	if err == nil && left > 0 {
		err = fmt.Errorf("%d of %d mails are left to send: %w", left, len(mails), again)
	}
	return err
}

// letters collects the content of each mail. It also returns the names of the tenants by ID.
func (d *Deliverer) letters(ctx context.Context, mails []tenancy.Mail) ([]Addressed, map[string]string, error) {
	var noticeIDs, tenantIDs, certificateIDs []string
	for _, m := range mails {
		noticeIDs, tenantIDs = append(noticeIDs, m.NoticeID), append(tenantIDs, m.TenantID)
	}
	notices, err := d.store.NoticesByID(ctx, noticeIDs)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range notices {
		certificateIDs = append(certificateIDs, n.CertificateID)
		if n.SuccessorID != "" && n.Kind != tenancy.NewAuthority {
			certificateIDs = append(certificateIDs, n.SuccessorID)
		}
	}
	certs, err1 := d.store.CertificatesByID(ctx, certificateIDs)
	tenants, err2 := d.store.TenantsByID(ctx, tenantIDs)
	arrangements, err3 := d.store.ArrangementsOf(ctx, tenantIDs)
	receivers, err4 := d.store.ReceiversOf(ctx, tenantIDs)
	users, err5 := d.store.KeyUsersOf(ctx, tenantIDs)
	evidence, err6 := d.evidence(ctx, arrangements)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, nil, err
	}
	authorities, err := d.authorities(ctx, notices)
	if err != nil {
		return nil, nil, err
	}
	names := map[string]string{}
	letters := make([]Addressed, len(mails))
	for i, m := range mails {
		n, t := notices[m.NoticeID], tenants[m.TenantID]
		names[t.ID] = t.Name
		old := certs[n.CertificateID]
		l := Letter{
			MessageID: m.MessageID, Subject: n.Subject, Date: n.CreatedAt, Name: m.Name, Address: m.Address,
			Tenant: t.Name, TenantTitle: t.DisplayName, Certificate: old.Purpose.Noun(), ITContact: m.KeyUserID == "",
			Designated: m.Designated, Reason: n.Reason,
			Old: DetailsOf(old), RenewalOn: n.DueAt, ServiceURL: d.baseURL,
		}
		presented := old.Generation
		switch {
		case n.Kind == tenancy.NewAuthority:
			if l.Authority, l.NewRoot, err = announced(authorities, n.SuccessorID); err != nil {
				return nil, nil, err
			}
		case n.SuccessorID != "":
			next := DetailsOf(certs[n.SuccessorID])
			l.New, presented = &next, next.Generation
		}
		if old.Purpose == tenancy.ForTenant {
			concerned := arrangements[t.ID]
			if n.Kind == tenancy.Unready {
				concerned = slices.DeleteFunc(slices.Clone(concerned), func(a tenancy.Arrangement) bool {
					return slices.ContainsFunc(evidence[a.ID], func(e standing.Evidence) bool {
						return e.Generation == presented && e.Verdict == rollover.Accepted
					})
				})
			}
			l.Arrangements = affected(concerned, receivers[t.ID], presented)
		}
		if m.KeyUserID != "" && d.baseURL != "" {
			for _, u := range users[t.ID] {
				if u.ID == m.KeyUserID {
					l.Unsubscribe = d.baseURL + "/unsubscribe/" + u.UnsubscribeToken
				}
			}
		}
		letters[i] = Addressed{Kind: n.Kind, Letter: l}
	}
	return letters, names, nil
}

// authorities reads the CA's authorities if one of the notices announces one.
func (d *Deliverer) authorities(ctx context.Context, notices map[string]tenancy.Notice) ([]tenancy.Authority, error) {
	for _, n := range notices {
		if n.Kind == tenancy.NewAuthority {
			return d.store.Authorities(ctx)
		}
	}
	return nil, nil
}

// announced describes an announced authority, and its root if that was created with it.
func announced(all []tenancy.Authority, id string) (authority, newRoot *Details, err error) {
	for _, a := range all {
		if a.ID != id {
			continue
		}
		if authority, err = authorityDetails(a); err != nil {
			return nil, nil, err
		}
		for _, root := range all {
			if root.ID == a.ParentID && root.NotBefore.Equal(a.NotBefore) {
				newRoot, err = authorityDetails(root)
			}
		}
		return authority, newRoot, err
	}
	return nil, nil, tenancy.Errorf(tenancy.ErrNotFound, "there is no authority %s", id)
}

func authorityDetails(a tenancy.Authority) (*Details, error) {
	c, err := x509.ParseCertificate(a.DER)
	if err != nil {
		return nil, err
	}
	return &Details{Subject: c.Subject.String(), Serial: c.SerialNumber.Text(16),
		Fingerprint: certfile.Fingerprint(a.DER), NotBefore: a.NotBefore, NotAfter: a.NotAfter, DER: a.DER}, nil
}

// evidence reads the evidence about the receivers of arrangements.
func (d *Deliverer) evidence(ctx context.Context,
	arrangements map[string][]tenancy.Arrangement) (map[string][]standing.Evidence, error) {
	var ids []string
	for _, all := range arrangements {
		for _, a := range all {
			ids = append(ids, a.ID)
		}
	}
	return d.store.EvidenceOf(ctx, ids)
}

func affected(arrangements []tenancy.Arrangement, receivers []tenancy.Receiver, presented int) []Affected {
	byID := map[string]tenancy.Receiver{}
	for _, r := range receivers {
		byID[r.ID] = r
	}
	var all []Affected
	for _, a := range arrangements {
		if a.Authentication != tenancy.ClientCertificate {
			continue
		}
		r := byID[a.ReceiverID]
		contact := r.ContactName
		if r.ContactEmail != "" {
			if contact != "" {
				contact += ", "
			}
			contact += r.ContactEmail
		}
		all = append(all, Affected{Arrangement: a.Name, Scenario: a.Scenario, Receiver: r.DisplayName,
			Endpoint: a.Endpoint, Contact: contact, Switched: a.Generation >= presented})
	}
	return all
}
