package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// An audience is a tenant with the people who are notified about its certificates, as of one instant.
type audience struct {
	rollovers.Fleet                      // without roll-overs if only a notice is sent
	credentials     []tenancy.Credential // with settings of their own
	keyUsers        []tenancy.KeyUser
	itContacts      []tenancy.ITContact
	inScope         bool
	reach           *reach // nil unless the administrators of the tenant's receivers are mailed
}

// owner returns the tenant with its credentials.
func (a audience) owner() owner { return owner{a.Tenant, a.credentials} }

// owner reads a tenant with its credentials.
func (e *Engine) owner(ctx context.Context, tenantID string) (o owner, err error) {
	tenants, err1 := e.store.TenantsByID(ctx, []string{tenantID})
	credentials, err2 := e.store.CredentialsOf(ctx, []string{tenantID})
	return owner{tenants[tenantID], credentials[tenantID]}, errors.Join(err1, err2)
}

// owners returns the IDs of the tenants of certificates, each once.
func owners(certs []tenancy.Certificate) (ids []string) {
	seen := make(map[string]bool, len(certs))
	for _, c := range certs {
		if !seen[c.TenantID] {
			seen[c.TenantID] = true
			ids = append(ids, c.TenantID)
		}
	}
	return ids
}

// audiences reads the tenants of certificates with their people and roll-overs. It uses one query per table.
func (e *Engine) audiences(ctx context.Context, r store.Reader, certs []tenancy.Certificate) (map[string]audience,
	error) {
	ids := owners(certs)
	tenants, err1 := r.TenantsByID(ctx, ids)
	all, err2 := e.notified(ctx, r, tenants)
	arrangements, err3 := r.ArrangementsOf(ctx, ids)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	var presenting, arrangementIDs []string
	for id, list := range arrangements {
		presenting = append(presenting, id)
		for _, a := range list {
			arrangementIDs = append(arrangementIDs, a.ID)
		}
	}
	inReach, err1 := r.InReachOf(ctx, presenting)
	evidence, err2 := r.EvidenceOf(ctx, arrangementIDs)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	for id, p := range all {
		p.Arrangements, p.InReach, p.Evidence = arrangements[id], inReach[id], evidence
		all[id] = p
	}
	return all, e.reachOf(ctx, r, all)
}

// notified reads the audiences of tenants without their roll-overs.
func (e *Engine) notified(ctx context.Context, r store.Reader, tenants map[string]tenancy.Tenant) (map[string]audience,
	error) {
	ids := slices.Collect(maps.Keys(tenants))
	users, err1 := r.KeyUsersOf(ctx, ids)
	contacts, err2 := r.ITContactsOf(ctx, ids)
	inScope, err3 := r.InScope(ctx, tenancy.MailForTasks, ids)
	credentials, err4 := r.CredentialsOf(ctx, ids)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	all := make(map[string]audience, len(tenants))
	for id, t := range tenants {
		all[id] = audience{Fleet: rollovers.Fleet{Tenant: t}, credentials: credentials[id], keyUsers: users[id],
			itContacts: contacts[id], inScope: inScope[id]}
	}
	return all, nil
}

// A batch holds everything that one transaction writes.
type batch struct {
	runDate    time.Time // zero if no run writes it
	warned     []string  // certificate IDs
	replaced   []tenancy.Certificate
	successors []store.SealedCertificate
	cutOvers   []rollovers.CutOver
	notices    []tenancy.Notice
	tasks      []tenancy.Task
	mails      []tenancy.Mail
	events     []tenancy.Event
	held       []held
	// These are for the administrators of receivers.
	administrators []tenancy.Administrator
	links          []newLink
	extended       []string // the IDs of links that stay valid for longer
	news           []tenancy.CounterpartyNews
	warns, renew   int
	late           int
}

// batchFor returns an empty batch. It has room for the effects of n certificates, if their tenants have a few people
// each.
func batchFor(n int) *batch {
	return &batch{
		replaced: make([]tenancy.Certificate, 0, n), successors: make([]store.SealedCertificate, 0, n),
		notices: make([]tenancy.Notice, 0, n),
		tasks:   make([]tenancy.Task, 0, 3*n), mails: make([]tenancy.Mail, 0, n), events: make([]tenancy.Event, 0, n+1),
	}
}

// A cause is the reason of a notice: a run or a user.
type cause struct {
	actor   string
	runDate time.Time // zero for a user
	reason  string    // of a user; may be empty
	request string    // ID of the request that is answered; empty if the CA answered at once
	single  bool      // the reason is about the generation that is renewed only, not about earlier ones
}

// warn announces the renewal of a certificate. With monthly runs, the next run renews it; with more frequent runs, a
// later one.
func (e *Engine) warn(b *batch, p audience, c tenancy.Certificate, why cause, now time.Time) {
	b.warns++
	b.warned = append(b.warned, c.ID)
	renewal := e.renewsAfter(c, why.runDate)
	e.notify(b, p, c, tenancy.Notice{Kind: tenancy.Expiring, CertificateID: c.ID, DueAt: renewal}, why, now)
	if c.WarnedAt.IsZero() {
		e.toAdministrators(b, p, c, tenancy.Notice{Kind: tenancy.AdministratorExpiring, CertificateID: c.ID, DueAt: renewal},
			everyone, now)
	}
	detail := certificateDetail(c)
	detail.RunDate = runDateText(why.runDate)
	b.events = append(b.events, tenancy.NewEvent(now, why.actor, "certificate.warned", p.Tenant.Name,
		object(p.Tenant, c), detail))
}

// renewsAfter returns the first run after the given one that renews a certificate.
func (e *Engine) renewsAfter(c tenancy.Certificate, run time.Time) time.Time {
	v := policy.Validity{NotBefore: c.NotBefore, NotAfter: c.NotAfter}
	for {
		run = e.policy.Schedule.Next(run)
		if a := e.policy.Decide(v, run); a == policy.Renew || a == policy.Expired {
			return run
		}
	}
}

// slowClock is the allowance for receivers whose clock is behind. Most CAs set the start of a certificate back by that
// or more; the certificate of another one is presented later.
const slowClock = time.Minute

// replace adds the successor of a certificate to a batch, with the cut-overs that it causes at once and the notices
// about it.
func (e *Engine) replace(b *batch, p audience, old tenancy.Certificate, next store.SealedCertificate, why cause,
	now time.Time) (err error) {
	b.renew++
	if old.NotAfter.Before(now) {
		b.late++
	}
	if next.NoticedUntil, err = e.noticedUntil(old, why, now); err != nil {
		return err
	}
	if from := next.NotBefore.Add(slowClock); from.After(now) && !revokes(why.reason) {
		next.NoticedUntil = latest(next.NoticedUntil, from)
	}
	e.watch(b, p, old, &next, why, now)
	moved := p.AfterRenewal(old, next.Certificate, now)
	if !slices.ContainsFunc(p.Arrangements, func(a tenancy.Arrangement) bool {
		return a.Authentication == tenancy.ClientCertificate && a.Presents() == old.Purpose
	}) {
		// No arrangement rolls over, so the old one is not needed any more.
		next.State = tenancy.Active
		if old.State != tenancy.Revoked {
			old.State = tenancy.Retired
		}
	} else if slices.ContainsFunc(moved, func(c rollovers.CutOver) bool { return c.Move.To == next.Generation }) {
		next.State = tenancy.Active
	}
	old.SuccessorID = next.ID
	b.replaced, b.successors = append(b.replaced, old), append(b.successors, next)
	b.cutOvers = append(b.cutOvers, moved...)

	// If an arrangement was cut over, its receiver needs the new certificate at once. A revoked one must be removed there.
	due := old.NotAfter
	if len(moved) > 0 || due.Before(now) || revokes(why.reason) {
		due = now
	}
	e.notify(b, p, old, tenancy.Notice{Kind: tenancy.Renewed, CertificateID: old.ID, SuccessorID: next.ID, DueAt: due},
		why, now)
	e.toAdministrators(b, p, old, tenancy.Notice{Kind: tenancy.AdministratorRenewed, CertificateID: old.ID,
		SuccessorID: next.ID, DueAt: due, Reason: why.reason}, everyone, now)
	detail := certificateDetail(next.Certificate)
	detail.RunDate, detail.Reason, detail.Replaces = runDateText(why.runDate), why.reason, old.Serial
	detail.Key = next.KeyURI
	b.events = append(b.events, tenancy.NewEvent(now, why.actor, "certificate.renewed", p.Tenant.Name,
		object(p.Tenant, next.Certificate), detail))
	for _, c := range moved {
		b.events = append(b.events, c.Event(now, why.actor, p.Tenant.Name))
	}
	return nil
}

// notify completes a notice and creates the tasks and mails that it causes.
func (e *Engine) notify(b *batch, p audience, c tenancy.Certificate, n tenancy.Notice, why cause, now time.Time) {
	n.ID, n.TenantID, n.RunDate, n.Reason, n.CreatedAt = store.NewID(), p.Tenant.ID, why.runDate, why.reason, now
	if n.Subject == "" {
		n.Subject = subject(n.Kind, c.Purpose)
	}
	switch {
	case n.DedupKey != "":
	case !why.runDate.IsZero(): // a run warns about a certificate or renews it, not both
		n.DedupKey = fmt.Sprintf("run/%d", why.runDate.UnixMicro())
	default: // a certificate has one successor
		n.DedupKey = "renewed"
	}
	b.notices = append(b.notices, n)
	at := why.runDate
	if at.IsZero() {
		at = now
	}
	mailContacts := e.policy.MailsITContacts(policy.Validity{NotBefore: c.NotBefore, NotAfter: c.NotAfter}, at)
	if c.Purpose == tenancy.ForMUser {
		mailContacts = e.policy.MailsMUser(at)
	} else {
		e.toKeyUsers(b, p, n, now)
	}
	if mailContacts {
		for _, contact := range p.itContacts {
			b.mails = append(b.mails, e.mailOf(n, tenancy.Mail{Name: contact.Name, Address: contact.Email,
				Designated: contact.Position == 1}))
		}
	}
}

// toKeyUsers creates the tasks of all key users for a notice, and the mails of those who subscribed. The task of
// the notice that nothing is left to do is completed.
func (e *Engine) toKeyUsers(b *batch, p audience, n tenancy.Notice, now time.Time) {
	for _, u := range p.keyUsers {
		task := tenancy.Task{ID: store.NewID(), TenantID: p.Tenant.ID, KeyUserID: u.ID, NoticeID: n.ID,
			State: tenancy.TaskOpen, Version: 1}
		if n.Kind == tenancy.Done { // it asks for nothing
			task.State, task.CompletedAt = tenancy.TaskCompleted, now
		}
		b.tasks = append(b.tasks, task)
		if p.inScope && !u.SubscribedAt.IsZero() && !u.SubscribedAt.After(now) {
			b.mails = append(b.mails, e.mailOf(n, tenancy.Mail{KeyUserID: u.ID, Name: u.Name, Address: u.Email}))
		}
	}
}

// NotifyKeyUsers stores a notice about something other than the tenant's own certificates, with the tasks of all key
// users, the mails of those who subscribed, and an audit event. The notice needs a DedupKey. The error is
// [tenancy.ErrConflict] if there is a notice of the same certificate with the same key.
func (e *Engine) NotifyKeyUsers(ctx context.Context, tx *store.Tx, t tenancy.Tenant, n tenancy.Notice,
	event tenancy.Event, now time.Time) error {
	people, err := e.notified(ctx, tx.Reader, map[string]tenancy.Tenant{t.ID: t})
	if err != nil {
		return err
	}
	n.ID, n.TenantID, n.CreatedAt = store.NewID(), t.ID, now
	b := batchFor(0)
	b.notices, b.events = append(b.notices, n), append(b.events, event)
	e.toKeyUsers(b, people[t.ID], n, now)
	return e.write(ctx, tx, b, now)
}

// write stores a batch. The audit log comes last because it stays locked until the transaction ends.
func (e *Engine) write(ctx context.Context, tx *store.Tx, b *batch, now time.Time) error {
	if err := tx.MarkWarned(ctx, b.warned, b.runDate); err != nil {
		return err
	}
	if err := tx.Succeed(ctx, b.replaced); err != nil {
		return err
	}
	if err := tx.AddCertificates(ctx, b.successors); err != nil {
		return err
	}
	arrangements := make([]tenancy.Arrangement, len(b.cutOvers))
	for i, c := range b.cutOvers {
		arrangements[i] = c.Arrangement
	}
	if err := tx.CutOver(ctx, arrangements, now); err != nil {
		return err
	}
	for _, c := range b.replaced {
		tx.Changed(c.TenantID)
	}
	if err := tx.AddNotices(ctx, b.notices); err != nil {
		return err
	}
	if err := tx.AddTasks(ctx, b.tasks); err != nil {
		return err
	}
	if err := writeReach(ctx, tx, b, now); err != nil {
		return err
	}
	if err := tx.AddMails(ctx, b.mails); err != nil {
		return err
	}
	for _, h := range b.held {
		if _, err := tx.Claim(ctx, store.ClaimHeld, h.id, h.until); err != nil {
			return err
		}
	}
	if e.outbox != nil && len(b.mails) > 0 {
		if err := e.outbox.Enqueue(ctx, tx.SQL(), b.mails); err != nil {
			return fmt.Errorf("queue mails: %w", err)
		}
	}
	return tx.Audit(ctx, b.events...)
}

func runDateText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// The reasons for which an operator may renew manually at any time.
const (
	Lost        = "lost"
	Compromised = "compromised"
	Reissue     = "reissue"
)

// RenewByHand renews a tenant's certificate now. Without a reason it is refused as long as the certificate is valid for
// longer than the policy's warning period. If it is lost or compromised, each generation that can be presented is
// revoked at once.
func (e *Engine) RenewByHand(ctx context.Context, tenantName string, purpose tenancy.Purpose, reason, actor string,
	now time.Time) (tenancy.Certificate, error) {
	var none tenancy.Certificate
	switch reason {
	case "", Lost, Compromised, Reissue:
	default:
		return none, tenancy.Invalid("reason", "%q is not allowed: use lost, compromised or reissue", reason)
	}
	t, err := e.store.Tenant(ctx, tenantName)
	if err != nil {
		return none, err
	}
	old, err := e.store.Newest(ctx, t.ID, purpose)
	if err != nil {
		return none, err
	}
	v := policy.Validity{NotBefore: old.NotBefore, NotAfter: old.NotAfter}
	if ok, from := e.policy.MayRenewByHand(v, now); reason == "" && !ok {
		return none, tenancy.Errorf(tenancy.ErrRefused, "the %s of %s is valid until %s, %.2f days from now: Renew is "+
			"possible from %s on, and the background job renews it in time anyway. Operators can renew it now with the "+
			"reason lost, compromised or reissue",
			purpose.Noun(), t.Name, old.NotAfter.Format("2006-01-02 15:04 MST"), old.NotAfter.Sub(now).Hours()/24,
			from.Format("2006-01-02 15:04 MST"))
	}
	o, err := e.owner(ctx, t.ID)
	if err != nil {
		return none, err
	}
	return e.renewNow(ctx, o, old, cause{actor: actor, reason: reason}, now)
}

// renewNow renews a certificate outside of a run. If the CA answers later, the result is in the state
// [tenancy.Requested]. A lost or compromised generation is revoked in any case, even if the CA fails. One of a revoked
// CA is not, because the next tick tries again.
func (e *Engine) renewNow(ctx context.Context, t owner, old tenancy.Certificate, why cause,
	now time.Time) (tenancy.Certificate, error) {
	next, err := e.successor(ctx, t, old, why, now)
	if later := (*issuer.RequestedError)(nil); errors.As(err, &later) {
		requested := tenancy.Certificate{TenantID: t.ID, Purpose: old.Purpose, Generation: old.Generation + 1,
			State: tenancy.Requested}
		return requested, e.revokeFirst(ctx, t, old, why, now)
	}
	if err != nil {
		err = fmt.Errorf("tenant %s: %w", t.Name, err)
		if why.reason == Lost || why.reason == Compromised {
			err = errors.Join(err, e.revokeFirst(ctx, t, old, why, now))
		}
		return tenancy.Certificate{}, err
	}
	return e.put(ctx, t, old, next, why, now)
}

// put stores the successor of a certificate, outside of a run, and ends its request.
func (e *Engine) put(ctx context.Context, t owner, old tenancy.Certificate, next store.SealedCertificate, why cause,
	now time.Time) (tenancy.Certificate, error) {
	var revoked []tenancy.Certificate
	var b batch
	err := e.store.InTx(ctx, func(tx *store.Tx) (err error) {
		b = batch{}
		replaced := old
		if revoked, err = revokedWith(ctx, tx, old, why); err != nil {
			return err
		}
		if len(revoked) > 0 {
			replaced.State = tenancy.Revoked
			if err := e.revoke(ctx, tx, t.Tenant, revoked, why, now); err != nil {
				return err
			}
			if err := e.supersede(ctx, tx, t.Tenant, revoked, why, now); err != nil {
				return err
			}
		}
		all, err := e.audiences(ctx, tx.Reader, []tenancy.Certificate{old})
		if err != nil {
			return err
		}
		if why.request != "" {
			if err := tx.EndRequest(ctx, why.request, now.Add(unusedFor)); err != nil {
				return err
			}
			answered := store.TaskTopic{TenantID: t.ID, Kinds: []tenancy.NoticeKind{tenancy.ByHand},
				CertificateIDs: []string{old.ID}}
			if _, err := tx.CloseTasks(ctx, answered, tenancy.ClosedAnswered, now); err != nil {
				return err
			}
		}
		if err := e.replace(&b, all[t.ID], replaced, next, why, now); err != nil {
			return err
		}
		next = b.successors[0]
		return e.write(ctx, tx, &b, now)
	})
	if errors.Is(err, tenancy.ErrConflict) {
		err = tenancy.Errorf(tenancy.ErrConflict, "another user or replica has just renewed the %s of %s: see the newest "+
			"generation", old.Purpose.Noun(), t.Name)
	}
	if err != nil {
		return next.Certificate, err
	}
	b.log(ctx, e)
	e.revokedNow(ctx, t.Tenant, revoked, why, now)
	e.destroySoon(ctx, now)
	return next.Certificate, nil
}
