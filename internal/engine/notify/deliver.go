package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/policy"
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
	// Policy states when a certificate is renewed. Optional: without it, the mail about a new CA does not state when it
	// issues the reader's next certificate.
	Policy *policy.Policy
	// Platform describes the sender. Optional: without a name, it is Perennial.
	Platform Platform
	// Issuer issues the next generations. Optional: without it, a warning does not state what changes for an imported
	// certificate.
	Issuer issuer.Issuer
	// LinkKey derives the secrets of links to the pages of receivers. Optional: without it, mails to their administrators
	// have no links.
	LinkKey links.Key
	// Say returns a stored text in the language of the reader. Optional: without it, such texts are in English.
	Say func(language string, text tenancy.Text) string
	// Gone is called if a mail server refuses the address of an administrator of receivers for good. Optional.
	Gone func(ctx context.Context, administratorID string, now time.Time) error
	Log  *slog.Logger
}

// A Deliverer composes queued mails, hands them to a mail server, and stores its answers.
type Deliverer struct {
	store    *store.Store
	sender   Sender
	baseURL  string
	platform Platform
	policy   *policy.Policy                                                         // may be nil
	issuer   issuer.Issuer                                                          // may be nil
	linkKey  links.Key                                                              // may be nil
	gone     func(ctx context.Context, administratorID string, now time.Time) error // may be nil
	say      func(language string, text tenancy.Text) string
	log      *slog.Logger
	ledger   ledger
	doubt    doubt
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
	if c.Say == nil {
		c.Say = func(_ string, text tenancy.Text) string { return text.String() }
	}
	return &Deliverer{say: c.Say, store: c.Store, sender: c.Sender, baseURL: c.BaseURL, platform: c.Platform,
		policy: c.Policy, issuer: c.Issuer, linkKey: c.LinkKey, gone: c.Gone, log: c.Log}, nil
}

// An answered mail is stored with its audit events.
type answered struct {
	mail   tenancy.Mail
	events []tenancy.Event
	gone   bool // the address of the administrator does not exist
}

// A ledger stores the answers of several conversations with one commit. While one commit is written, the others gather.
// Each conversation waits until its own answers are stored.
type ledger struct {
	commit  sync.Mutex
	mu      sync.Mutex
	waiting []entry
}

type entry struct {
	answers []answered
	stored  chan error
}

func (l *ledger) store(ctx context.Context, s *store.Store, answers ...answered) error {
	if len(answers) == 0 {
		return nil
	}
	e := entry{answers, make(chan error, 1)}
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
	var together []answered
	for _, e := range all {
		together = append(together, e.answers...)
	}
	err := write(ctx, s, together...)
	for _, e := range all {
		if errors.Is(err, tenancy.ErrStale) { // one mail is gone: the others must not be sent again for it
			e.stored <- writeEach(ctx, s, e.answers)
		} else {
			e.stored <- err
		}
	}
	return <-e.stored
}

// write stores answers in one transaction.
func write(ctx context.Context, s *store.Store, all ...answered) error {
	return s.InTx(ctx, func(tx *store.Tx) error {
		var events []tenancy.Event
		for _, a := range all {
			if err := tx.UpdateMail(ctx, a.mail); err != nil {
				return err
			}
			events = append(events, a.events...)
		}
		return tx.Audit(ctx, events...)
	})
}

// writeEach stores each answer in a transaction of its own.
func writeEach(ctx context.Context, s *store.Store, all []answered) (errs error) {
	for _, a := range all {
		errs = errors.Join(errs, write(ctx, s, a))
	}
	return errs
}

// Deliver sends those of the mails that are still queued. It stores the answers page by page, so that a crash repeats
// at most a page. If some mails must be tried again, the error states the reason. On the last attempt, they become dead
// instead.
//
// If the mail server refuses this installation, not a recipient, all mails are held, and the error is a [*HeldError].
// It does not count as an attempt. Until its time, Deliver sends nothing. Then it sends one mail, and the others follow
// if the server accepts it.
func (d *Deliverer) Deliver(ctx context.Context, mailIDs []string, lastTry bool, now time.Time) error {
	mails, err := d.store.QueuedMails(ctx, mailIDs)
	if err != nil || len(mails) == 0 {
		return err
	}
	hold, err := d.mayTry(ctx, mails, now)
	if err != nil {
		return err
	}
	// A mail that failed before is tried after those that did not, so that it cannot hold them up.
	slices.SortStableFunc(mails, func(a, b tenancy.Mail) int { return cmp.Compare(a.Attempts, b.Attempts) })
	if hold.Domain != "" { // a mail to another domain shows more
		slices.SortStableFunc(mails, func(a, b tenancy.Mail) int {
			return cmp.Compare(inDomain(a, hold.Domain), inDomain(b, hold.Domain))
		})
	}
	letters, tenants, err := d.letters(ctx, mails, now)
	if err != nil {
		return err
	}
	r := &round{d: d, mails: mails, tenants: tenants, lastTry: lastTry, hold: hold, now: now}
	err = d.sender.Send(ctx, letters, func(i int, answer error) error { return r.answered(ctx, i, answer) })
	if errors.Is(err, errTestFailed) {
		err = nil
	}
	if err := errors.Join(err, r.store(ctx)); err != nil {
		return err
	}
	return r.end(context.WithoutCancel(ctx))
}

// letters collects the content of each mail, as of now, and stores the links to pass on. It also returns the names of
// the tenants by ID.
func (d *Deliverer) letters(ctx context.Context, mails []tenancy.Mail, now time.Time) ([]Addressed, map[string]string,
	error) {
	all, err := d.read(ctx, mails, now)
	if err != nil {
		return nil, nil, err
	}
	names := map[string]string{}
	letters := make([]Addressed, len(mails))
	for i, m := range mails {
		l, err := d.letter(ctx, all, m, now)
		if err != nil {
			return nil, nil, err
		}
		names[m.TenantID] = l.Tenant
		letters[i] = Addressed{Kind: all.notices[m.NoticeID].Kind, Letter: l}
	}
	return letters, names, d.addPagesToPassOn(ctx, letters, all.links, now)
}

// read reads the data of the letters, with one query per table.
func (d *Deliverer) read(ctx context.Context, mails []tenancy.Mail, now time.Time) (all records, err error) {
	var noticeIDs, tenantIDs, certificateIDs []string
	for _, m := range mails {
		noticeIDs, tenantIDs = append(noticeIDs, m.NoticeID), append(tenantIDs, m.TenantID)
	}
	if all.notices, err = d.store.NoticesByID(ctx, noticeIDs); err != nil {
		return all, err
	}
	for _, n := range all.notices { // the successor may also be an authority, or none: no certificate has its ID
		certificateIDs = append(certificateIDs, n.CertificateID, n.SuccessorID)
	}
	for _, n := range all.notices {
		report, _, err := reportOf(n)
		if err != nil {
			return all, err
		}
		for _, line := range report.Lines {
			certificateIDs = append(certificateIDs, line.CertificateID)
		}
	}
	all.chains = store.Chains{}
	var errs [14]error
	all.certs, errs[0] = d.store.CertificatesByID(ctx, certificateIDs)
	all.tenants, errs[1] = d.store.TenantsByID(ctx, tenantIDs)
	all.arrangements, errs[2] = d.store.ArrangementsOf(ctx, tenantIDs)
	all.receivers, errs[3] = d.store.ReceiversOf(ctx, tenantIDs)
	all.users, errs[4] = d.store.KeyUsersOf(ctx, tenantIDs)
	all.inReach, errs[5] = d.store.InReachOf(ctx, tenantIDs)
	all.evidence, errs[6] = d.evidence(ctx, all.arrangements)
	all.authorities, errs[7] = d.store.Authorities(ctx)
	all.contacts, errs[8] = d.store.ITContactsOf(ctx, tenantIDs)
	all.preferences, errs[9] = d.store.PreferencesOf(ctx, tenantIDs)
	all.threads, errs[10] = d.store.FirstMails(ctx, certificateIDs)
	all.links, errs[11] = d.links(ctx, all, now)
	errs[12] = d.readAdministrators(ctx, &all, mails)
	all.mailed, errs[13] = d.readMailed(ctx, all)
	return all, errors.Join(errs[:]...)
}

// letter composes one mail.
func (d *Deliverer) letter(ctx context.Context, all records, m tenancy.Mail, now time.Time) (l Letter, err error) {
	n, t := all.notices[m.NoticeID], all.tenants[m.TenantID]
	old := all.certs[n.CertificateID]
	l = Letter{
		MessageID: m.MessageID, Subject: n.Subject, Date: n.CreatedAt, Name: m.Name, Address: m.Address,
		Thread: all.thread(m, n), Platform: d.platform, Kind: n.Kind, Now: now, Purpose: old.Purpose,
		Tenant: t.Name, TenantTitle: t.DisplayName, Certificate: old.Purpose.Noun(), ITContact: m.KeyUserID == "",
		Designated: m.Designated, Reason: n.Reason,
		Old: DetailsOf(old), RenewalOn: n.DueAt, ServiceURL: d.baseURL, say: d.say,
	}
	l.OldRevoked = old.State == tenancy.Revoked
	for _, c := range all.inReach[t.ID] {
		if l.OldRevoked && c.State == tenancy.Revoked && c.RevokedAt.Equal(old.RevokedAt) && c.Purpose == old.Purpose &&
			c.ID != old.ID && now.Before(c.NotAfter) {
			l.AlsoRevoked = append(l.AlsoRevoked, c.Serial)
		}
	}
	if (n.Kind == tenancy.Renewed || n.Kind == tenancy.AdministratorRenewed) && l.OldRevoked && !l.Revoked() {
		l.Reason = old.RevokedFor // since the notice
	}
	d.address(&l, all, m, n)
	if err := d.fill(ctx, &l, all, n, t, old, now); err != nil {
		return l, err
	}
	if m.AdministratorID != "" {
		if err := d.administered(&l, all, m, n); err != nil {
			return l, err
		}
	}
	l.Subject = l.subject(n)
	return l, nil
}

// fill adds what a letter is about.
func (d *Deliverer) fill(ctx context.Context, l *Letter, all records, n tenancy.Notice, t tenancy.Tenant,
	old tenancy.Certificate, now time.Time) (err error) {
	if n.Kind == tenancy.ByHand {
		l.Issuer, l.Reason, l.Certificate = n.Reason, "", requested(n)
		if name, found := strings.CutPrefix(l.Certificate, tenancy.Purpose("").Noun()); found {
			l.Purpose = tenancy.Purpose(name)
		}
		if d.baseURL != "" {
			l.RequestPage = fmt.Sprintf("%s/tenants/%s/certificates", d.baseURL, t.Name)
		}
		return nil
	}
	if n.Kind.IsAboutWatched() {
		return d.watched(l, n, all.receivers[t.ID])
	}
	if n.Kind == tenancy.AdministratorStopped {
		l.Reason, l.Stopped = "", &tenancy.StopReport{}
		return json.Unmarshal([]byte(n.Reason), l.Stopped)
	}
	if n.CertificateID == "" { // it is about the subscription, the audit log or tokens
		switch n.Kind {
		case tenancy.AuditHead:
			l.Head, l.Reason = n.Reason, ""
		case tenancy.TokensEnd:
			l.Tokens, l.Reason = strings.Split(n.Reason, "\n"), ""
		}
		return nil
	}
	if n.Kind == tenancy.Differs {
		l.Differences, l.Reason = n.Reason, ""
	}
	wanted := old.Generation
	switch {
	case n.Kind == tenancy.NewAuthority:
		if l.Authority, l.NewRoot, err = announced(all.authorities, n.SuccessorID); err != nil {
			return err
		}
		l.Changes, l.ChangesKnown = tenancy.Changes{Key: true, Issuer: true, Root: l.NewRoot != nil}, true
		l.FirstOfCA = d.firstRenewal(old, n.DueAt, now)
	case n.SuccessorID != "":
		successor := latest(all.certs[n.SuccessorID], all.inReach[t.ID])
		if l.NewRevoked = successor.State == tenancy.Revoked; l.NewRevoked {
			break
		}
		next := DetailsOf(successor)
		l.New, wanted = &next, next.Generation
		if err := d.changed(ctx, l, all, old, successor); err != nil {
			return err
		}
	default:
		if err := d.expected(ctx, l, all, t, old); err != nil {
			return err
		}
	}
	concerned := map[tenancy.Purpose]bool{old.Purpose: true}
	if n.Kind == tenancy.NewAuthority {
		concerned = issuedByDefault(all.inReach[t.ID])
	}
	l.Arrangements = affected(l, all, baseKind(n, old.NotAfter, now), t, concerned, wanted, d.baseURL, now)
	if n.Kind != tenancy.Over {
		return nil
	}
	var ids []string
	for _, a := range l.Arrangements {
		ids = append(ids, a.id)
	}
	l.Failed, err = d.store.FailedSince(ctx, ids, old.NotAfter)
	return err
}

// latest returns a certificate, or the newest of its credential if it was revoked. That may be revoked as well.
func latest(c tenancy.Certificate, inReach []tenancy.Certificate) tenancy.Certificate {
	for _, next := range inReach { // oldest first
		if c.State == tenancy.Revoked && next.Purpose == c.Purpose && next.Generation > c.Generation {
			c = next
		}
	}
	return c
}

// issuedByDefault returns the credentials whose newest generation is of the default issuer.
func issuedByDefault(inReach []tenancy.Certificate) map[tenancy.Purpose]bool {
	credentials := map[tenancy.Purpose]bool{}
	for _, c := range inReach { // oldest first
		credentials[c.Purpose] = c.Issuer == ""
	}
	return credentials
}

// link sets the links about the subscription of a key user. Mails about the subscription itself have only the link that
// they are about.
func (d *Deliverer) link(l *Letter, n tenancy.Notice, u tenancy.KeyUser) {
	to := func(p tenancy.LinkPurpose) string {
		return d.baseURL + "/unsubscribe/" + string(p) + "/" + u.LinkSecret(p, n.CreatedAt)
	}
	switch n.Kind {
	case tenancy.StopAsked:
		l.Confirm = to(tenancy.LinkConfirm)
	case tenancy.MailsStopped:
		l.Undo = to(tenancy.LinkUndo)
	default:
		l.Unsubscribe, l.OneClick = to(tenancy.LinkAsk), to(tenancy.LinkStop)
	}
}

// announced describes an announced authority, and its root if no earlier authority is below it.
func announced(all []tenancy.Authority, id string) (authority, newRoot *Details, err error) {
	for _, a := range all {
		if a.ID != id {
			continue
		}
		if authority, err = authorityDetails(a); err != nil {
			return nil, nil, err
		}
		if slices.ContainsFunc(all, func(b tenancy.Authority) bool {
			return b.ParentID == a.ParentID && b.Position < a.Position
		}) {
			return authority, nil, nil
		}
		if root, found := rootOf(all, a.ID); found {
			newRoot, err = authorityDetails(root)
		}
		return authority, newRoot, err
	}
	return nil, nil, tenancy.Errorf(tenancy.ErrNotFound, "there is no authority %s", id)
}

func authorityDetails(a tenancy.Authority) (*Details, error) {
	c, err := certfile.ParseCertificate(a.DER)
	if err != nil {
		return nil, err
	}
	return &Details{Subject: certfile.Name(c.RawSubject), Issuer: certfile.Name(c.RawIssuer),
		Serial: certfile.Serial(c), Fingerprint: certfile.Fingerprint(a.DER), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		DER: a.DER}, nil
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
