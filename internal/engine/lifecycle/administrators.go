package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// mostMailed limits the administrators that one event of a tenant mails, because a key user enters their addresses.
const mostMailed = 500

// reach holds the rows for the mails to the administrators of a tenant's receivers. known and links also have what the
// current batch adds.
type reach struct {
	arrangements []tenancy.Arrangement
	receivers    map[string]tenancy.Receiver // by ID
	mailed       map[string]bool             // the IDs of the counterparties that are mailed
	known        map[string]tenancy.Administrator
	links        map[string][]tenancy.Link // by the ID of the arrangement, those that are not revoked
}

// A concern selects the arrangements that a notice to administrators is about.
type concern struct {
	names []string // of the arrangements; nil for all
	stage int      // of a reminder, in days, or stageRevoked; 0 for another notice
	owner string   // whom the receivers belong to, if there is a notice for each of them
	// generation is the one to install; 0 for the successor of the certificate.
	generation int
}

// stageRevoked distinguishes the news that a replaced certificate was revoked from that of its renewal.
const stageRevoked = -1

// everyone is the concern of all arrangements.
var everyone = concern{}

func (c concern) has(a tenancy.Arrangement) bool {
	return c.names == nil || slices.Contains(c.names, a.Name)
}

// newLink is a link of a batch, with the hash of its secret.
type newLink struct {
	tenancy.Link
	hash string
}

// reachOf reads how the administrators of the receivers of some tenants are mailed. A tenant that does not allow that
// has none.
func (e *Engine) reachOf(ctx context.Context, r store.Reader, all map[string]audience) error {
	var ids []string
	for id, p := range all {
		if p.Tenant.MailsAdministrators && e.linkKey != nil {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	receivers, err1 := r.ReceiversOf(ctx, ids)
	arrangements, err2 := r.ArrangementsOf(ctx, ids)
	known, err3 := r.AdministratorsOf(ctx, ids)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	var arrangementIDs, partyIDs []string
	for _, id := range ids {
		for _, a := range arrangements[id] {
			arrangementIDs = append(arrangementIDs, a.ID)
		}
		for _, v := range receivers[id] {
			if v.CounterpartyID != "" && !slices.Contains(partyIDs, v.CounterpartyID) {
				partyIDs = append(partyIDs, v.CounterpartyID)
			}
		}
	}
	valid, err1 := r.LinksOf(ctx, arrangementIDs, time.Time{}) // even expired ones, which are extended
	mailed, err2 := mailedParties(ctx, r, partyIDs)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for _, id := range ids {
		of := &reach{arrangements: arrangements[id], receivers: map[string]tenancy.Receiver{}, mailed: mailed,
			known: map[string]tenancy.Administrator{}, links: valid}
		for _, v := range receivers[id] {
			of.receivers[v.ID] = v
		}
		for _, a := range known[id] {
			of.known[a.Address] = a
		}
		p := all[id]
		p.reach = of
		all[id] = p
	}
	return nil
}

// mailedParties returns the counterparties that have a page and a contact. The receivers of another one are reached
// through their own contacts.
func mailedParties(ctx context.Context, r store.Reader, ids []string) (map[string]bool, error) {
	parties, err1 := r.CounterpartiesByID(ctx, ids)
	contacts, err2 := r.CounterpartyContacts(ctx, ids)
	mailed := map[string]bool{}
	for id, c := range parties {
		mailed[id] = !c.LinkedAt.IsZero() && len(accepted(contacts[id])) > 0
	}
	return mailed, errors.Join(err1, err2)
}

// accepted returns the contacts that were not only proposed.
func accepted(all []tenancy.CounterpartyContact) (some []tenancy.CounterpartyContact) {
	for _, c := range all {
		if c.IsAccepted() {
			some = append(some, c)
		}
	}
	return some
}

// toAdministrators adds the mails to the administrators of those receivers that get a certificate and are concerned,
// each with the links of their pages. A counterparty is mailed later, about all its tenants at once.
func (e *Engine) toAdministrators(b *batch, p audience, c tenancy.Certificate, n tenancy.Notice, of concern,
	now time.Time) {
	if p.reach == nil {
		return
	}
	n.ID, n.TenantID, n.CreatedAt, n.Subject = store.NewID(), p.Tenant.ID, now, subjects[n.Kind]
	n.DedupKey = fmt.Sprintf("%s/%d/%s", n.Kind, of.stage, of.owner)
	newest := c.Generation
	switch {
	case of.generation != 0:
		newest = of.generation
	case n.SuccessorID != "":
		newest++
	}
	mailed, left := map[string]bool{}, map[string]bool{} // by address
	for _, a := range p.reach.arrangements {
		v := p.reach.receivers[a.ReceiverID]
		address := tenancy.MailKey(v.ContactEmail)
		switch {
		case a.Authentication != tenancy.ClientCertificate || a.Presents() != c.Purpose || !of.has(a):
			continue
		case p.reach.mailed[v.CounterpartyID]:
			b.news = append(b.news, tenancy.CounterpartyNews{CounterpartyID: v.CounterpartyID, Kind: n.Kind,
				CertificateID: c.ID, Stage: of.stage, TenantID: p.Tenant.ID, CreatedAt: now})
			continue
		case address == "":
			continue
		case !mailed[address] && len(mailed) == mostMailed:
			left[address] = true
			continue
		}
		to := p.reach.administrator(b, p.Tenant.ID, v.ContactEmail, now)
		if !to.StoppedAt.IsZero() {
			continue
		}
		e.linkFor(b, p.reach, a, newest, to, now)
		if !mailed[address] {
			mailed[address] = true
			b.mails = append(b.mails, e.mailOf(n, tenancy.Mail{AdministratorID: to.ID, Name: v.ContactName,
				Address: v.ContactEmail}))
		}
	}
	if len(mailed) > 0 {
		b.notices = append(b.notices, n)
	}
	if len(left) > 0 {
		e.log.Warn("a tenant has too many administrators of receivers, and some were not mailed: create links for them",
			"tenant", p.Tenant.Name, "mailed", len(mailed), "not_mailed", len(left))
	}
}

// subjects are the subjects of notices to administrators in lists. A mail has its own, in the language of its reader.
var subjects = map[tenancy.NoticeKind]string{
	tenancy.AdministratorExpiring: "Administrators of receivers: the certificate will change",
	tenancy.AdministratorRenewed:  "Administrators of receivers: the new certificate",
	tenancy.AdministratorUnready:  "Administrators of receivers: the new certificate is not accepted yet",
	tenancy.AdministratorDone:     "Administrators of receivers: the new certificate is accepted",
	tenancy.AdministratorRetired:  "Administrators of receivers: the old certificate can be removed",
}

// administrator returns the administrator with an address, who is new if they were never mailed for this tenant.
func (r *reach) administrator(b *batch, tenantID, address string, now time.Time) tenancy.Administrator {
	key := tenancy.MailKey(address)
	a, known := r.known[key]
	if !known {
		a = tenancy.Administrator{ID: store.NewID(), TenantID: tenantID, Address: key, CreatedAt: now}
		r.known[key] = a
		b.administrators = append(b.administrators, a)
	}
	return a
}

// linkFor makes sure that an administrator has a link to the page of an arrangement, which is valid beyond the next
// renewal. Its secret follows from its ID, so that a mail can contain it later.
func (e *Engine) linkFor(b *batch, r *reach, a tenancy.Arrangement, generation int, to tenancy.Administrator,
	now time.Time) {
	until := now.Add(tenancy.LinkKept)
	for _, l := range r.links[a.ID] {
		if l.Address == to.Address {
			b.extended = append(b.extended, l.ID)
			return
		}
	}
	l := tenancy.Link{ID: store.NewID(), ArrangementID: a.ID, Generation: generation, Address: to.Address,
		CreatedBy: links.ToAdministrator, CreatedAt: now, ExpiresAt: until}
	r.links[a.ID] = append(r.links[a.ID], l)
	b.links = append(b.links, newLink{l, tenancy.HashSecret(e.linkKey.Secret(links.Page, l.ID))})
}

// writeReach stores the administrators and links of a batch. If a replica stored an administrator first, the mails of
// the batch get its ID.
func writeReach(ctx context.Context, tx *store.Tx, b *batch, now time.Time) error {
	for _, a := range b.administrators {
		stored, err := tx.EnsureAdministrator(ctx, a)
		if err != nil {
			return err
		}
		for i := range b.mails {
			if b.mails[i].AdministratorID == a.ID {
				b.mails[i].AdministratorID = stored.ID
			}
		}
	}
	for _, l := range b.links {
		if err := tx.CreateLink(ctx, l.Link, l.hash); err != nil {
			return err
		}
	}
	for _, id := range b.extended {
		if err := tx.ExtendLink(ctx, id, now.Add(tenancy.LinkKept)); err != nil {
			return err
		}
	}
	return tx.AddNews(ctx, b.news)
}

// concludeAdministrators mails each administrator once when all of their receivers accept the newest generation.
func (e *Engine) concludeAdministrators(ctx context.Context, t tenancy.Tenant, all []standing.Standing,
	inReach []tenancy.Certificate, now time.Time) error {
	if !t.MailsAdministrators || e.linkKey == nil {
		return nil
	}
	receivers, err := e.store.ReceiversOf(ctx, []string{t.ID})
	if err != nil {
		return err
	}
	owners := map[string]string{} // whom a receiver belongs to, by its ID
	for _, v := range receivers[t.ID] {
		owners[v.ID] = v.CounterpartyID + "/" + tenancy.MailKey(v.ContactEmail)
		if v.CounterpartyID != "" {
			owners[v.ID] = v.CounterpartyID
		}
	}
	var failures []error
	for name, certs := range byCredential(inReach) {
		newest := certs[len(certs)-1]
		i := slices.IndexFunc(certs, func(c tenancy.Certificate) bool { return c.SuccessorID == newest.ID })
		if i < 0 || newest.State == tenancy.Revoked {
			continue
		}
		groups := map[string][]standing.Standing{}
		for _, s := range all {
			if owner := owners[s.Arrangement.ReceiverID]; s.Arrangement.Presents() == name && owner != "/" {
				groups[owner] = append(groups[owner], s)
			}
		}
		for owner, theirs := range groups {
			if len(unproved(theirs, newest.Generation)) == 0 && acceptsOne(theirs, newest.Generation) {
				failures = append(failures, e.administratorDone(ctx, t, certs[i], newest, owner, theirs, now))
			}
		}
	}
	return errors.Join(failures...)
}

func (e *Engine) administratorDone(ctx context.Context, t tenancy.Tenant, old, newest tenancy.Certificate,
	owner string, theirs []standing.Standing, now time.Time) error {
	return e.concludeOnce(ctx, t, "administrator-done/"+newest.ID+"/"+owner, now, func(b *batch, p audience) {
		e.toAdministrators(b, p, old, tenancy.Notice{Kind: tenancy.AdministratorDone, CertificateID: old.ID,
			SuccessorID: newest.ID, DueAt: now}, concern{names: namesOfAll(theirs), owner: owner}, now)
	})
}

func namesOfAll(some []standing.Standing) (names []string) {
	for _, s := range some {
		names = append(names, s.Arrangement.Name)
	}
	return names
}

// tellRetired mails the administrators whose receivers accept the newest generation that an older one is not used any
// more.
func (e *Engine) tellRetired(ctx context.Context, tx *store.Tx, t tenancy.Tenant, old, newest tenancy.Certificate,
	all []standing.Standing, now time.Time) error {
	if !t.MailsAdministrators || e.linkKey == nil {
		return nil
	}
	ready := slices.DeleteFunc(slices.Clone(all), func(s standing.Standing) bool {
		known, _ := s.Rollover.Generation(newest.Generation)
		return known.Verdict != rollover.Accepted
	})
	people, err := e.reached(ctx, tx.Reader, t)
	if err != nil || len(ready) == 0 {
		return err
	}
	b := batchFor(0)
	e.toAdministrators(b, people, old, tenancy.Notice{Kind: tenancy.AdministratorRetired, CertificateID: old.ID,
		SuccessorID: newest.ID, DueAt: now}, concern{names: namesOfAll(ready)}, now)
	return e.write(ctx, tx, b, now)
}

// reached reads the audience of one tenant with the administrators of its receivers.
func (e *Engine) reached(ctx context.Context, r store.Reader, t tenancy.Tenant) (audience, error) {
	all, err := e.notified(ctx, r, map[string]tenancy.Tenant{t.ID: t})
	if err != nil {
		return audience{}, err
	}
	err = e.reachOf(ctx, r, all)
	return all[t.ID], err
}
