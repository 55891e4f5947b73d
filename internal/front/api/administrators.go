package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/notify"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

func registerAdministrators(r *router) {
	const link = "/links/{secret}/administrator"
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/administrators", access: members,
		summary: "List the administrators of the tenant's receivers, and what they were mailed",
	}, (*server).listAdministrators)
	register(r, endpoint{
		method: http.MethodPost, path: "/tenants/{tenant}/receivers/{receiver}/administrator/resume", access: members,
		status:  http.StatusNoContent,
		summary: "Mail the administrator of a receiver again after the address was reported as not existing",
	}, (*server).resumeAdministrator)
	register(r, endpoint{
		method: http.MethodGet, path: link, access: public,
		summary: "Get the content of the link by which an administrator stops mails. Needs no token",
	}, (*server).getStopLink)
	register(r, endpoint{
		method: http.MethodPost, path: link + "/stop", access: public, status: http.StatusNoContent,
		summary: "Stop the mails to the reader of a link, and name another person. Needs no token",
	}, (*server).stopByLink)
	register(r, endpoint{
		method: http.MethodPost, path: link + "/resume", access: public, status: http.StatusNoContent,
		summary: "Undo that the mails to the reader of a link were stopped. Needs no token",
	}, (*server).resumeByLink)
	register(r, endpoint{
		method: http.MethodPost, path: "/deliveries/bounces", access: operators,
		summary: "Report a bounced mail (RFC 3464). If the address does not exist, it gets no more mails",
	}, (*server).reportBounce)
}

// listAdministrators lists one entry for each receiver.
func (s *server) listAdministrators(ctx context.Context, in *struct {
	InTenant
	Searched
	ByName
	Receiver string `query:"receiver" maxLength:"63" doc:"Lists only the administrator of this receiver."`
}) (*List[client.Administrator], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	var receivers []tenancy.Receiver
	var next store.Place
	if in.Receiver != "" {
		r, err := s.store.Receiver(ctx, t.ID, in.Receiver)
		if err != nil {
			return nil, err
		}
		receivers = []tenancy.Receiver{r}
	} else if receivers, next, err = s.store.Receivers(ctx, t.ID, page); err != nil {
		return nil, err
	}
	known, err := s.mailedTo(ctx, t)
	if err != nil {
		return nil, err
	}
	view := func(r tenancy.Receiver) client.Administrator { return known.view(ctx, r) }
	return listed(receivers, next, in.Sort, view), nil
}

// mailedTo holds the rows about the administrators of a tenant's receivers.
type mailedTo struct {
	administrators map[string]tenancy.Administrator // by address
	mails          map[string][]tenancy.Mail        // by the ID of the administrator, the latest first
	links          map[string][]tenancy.Link        // by the ID of the receiver
	parties        map[string]tenancy.Counterparty
	told           map[string]map[tenancy.NoticeKind]time.Time // by the ID of the counterparty
	contacts       map[string][]tenancy.CounterpartyContact    // by the ID of the counterparty
	stopped        map[string]map[string]tenancy.Administrator // by the ID of the counterparty, and by address
}

func (s *server) mailedTo(ctx context.Context, t tenancy.Tenant) (known mailedTo, err error) {
	all, err1 := s.store.Administrators(ctx, t.ID, "")
	receivers, err2 := s.store.ReceiversOf(ctx, []string{t.ID})
	arrangements, err3 := s.store.ArrangementsOf(ctx, []string{t.ID})
	told, err4 := s.store.ToldNews(ctx, t.ID)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return known, err
	}
	known = mailedTo{administrators: map[string]tenancy.Administrator{}, links: map[string][]tenancy.Link{}, told: told}
	var ids, arrangementIDs, partyIDs []string
	for _, a := range all {
		known.administrators[a.Address] = a
		ids = append(ids, a.ID)
	}
	for _, a := range arrangements[t.ID] {
		arrangementIDs = append(arrangementIDs, a.ID)
	}
	for _, r := range receivers[t.ID] {
		if r.CounterpartyID != "" && !slices.Contains(partyIDs, r.CounterpartyID) {
			partyIDs = append(partyIDs, r.CounterpartyID)
		}
	}
	links, err1 := s.store.LinksOf(ctx, arrangementIDs, s.clock())
	mails, err2 := s.store.MailsToAdministrators(ctx, ids)
	parties, err3 := s.store.CounterpartiesByID(ctx, partyIDs)
	for _, a := range arrangements[t.ID] {
		known.links[a.ReceiverID] = append(known.links[a.ReceiverID], links[a.ID]...)
	}
	known.mails, known.parties = mails, parties
	var err5 error
	known.contacts, err4 = s.store.CounterpartyContacts(ctx, partyIDs)
	known.stopped, err5 = s.stoppedContacts(ctx, partyIDs)
	return known, errors.Join(err1, err2, err3, err4, err5)
}

func (k mailedTo) view(ctx context.Context, r tenancy.Receiver) client.Administrator {
	v := client.Administrator{Receiver: r.Name, ReceiverDisplayName: r.DisplayName, Name: r.ContactName,
		Email: r.ContactEmail, Language: r.Contact.Language, Zone: r.Contact.Zone}
	for _, l := range k.links[r.ID] {
		v.OpenedAt, v.TestedAt = later(v.OpenedAt, l.OpenedAt), later(v.TestedAt, l.TestedAt)
	}
	party, found := k.parties[r.CounterpartyID]
	if found && !party.LinkedAt.IsZero() && slices.ContainsFunc(k.contacts[party.ID],
		tenancy.CounterpartyContact.IsAccepted) {
		v.Counterparty, v.Name, v.Email = party.DisplayName, "", ""
		v.OpenedAt = later(v.OpenedAt, party.VisitedAt)
		for kind, at := range k.told[party.ID] {
			mailed(&v, kind, at)
		}
		if last, none := unreached(k.contacts[party.ID], k.stopped[party.ID]); none {
			v.StoppedAt, v.StoppedFor = last.StoppedAt, string(last.StoppedFor)
		}
		return v
	}
	a, known := k.administrators[tenancy.MailKey(r.ContactEmail)]
	if !known {
		return v
	}
	v.StoppedAt, v.StoppedFor = a.StoppedAt, string(a.StoppedFor)
	for i, m := range k.mails[a.ID] {
		mailed(&v, m.Kind, m.SentAt)
		if i == 0 && m.State == tenancy.MailDead {
			v.Failure = mailFailure(ctx, m)
		}
	}
	return v
}

// mailed records the time of a mail.
func mailed(v *client.Administrator, kind tenancy.NoticeKind, at time.Time) {
	for of, to := range map[tenancy.NoticeKind]*time.Time{tenancy.AdministratorExpiring: &v.AnnouncedAt,
		tenancy.AdministratorRenewed: &v.SentAt, tenancy.AdministratorUnready: &v.RemindedAt,
		tenancy.AdministratorDone: &v.DoneAt} {
		if of == kind {
			*to = later(*to, at)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// resumeAdministrator is for an address that exists after all. Whoever asked for no mails can only undo that
// themselves.
func (s *server) resumeAdministrator(ctx context.Context, in *OneReceiver) (*struct{}, error) {
	t, r, err := s.receiver(ctx, *in)
	if err != nil {
		return nil, err
	}
	all, err := s.store.Administrators(ctx, t.ID, "")
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(a tenancy.Administrator) bool { return a.Address == tenancy.MailKey(r.ContactEmail) })
	switch {
	case i < 0 || all[i].StoppedAt.IsZero():
		return nil, tenancy.Errorf(tenancy.ErrRefused, "mails to the administrator of %s are not stopped", r.Name)
	case all[i].StoppedFor != tenancy.Bounced:
		return nil, tenancy.Errorf(tenancy.ErrRefused, "%s wants no more mails, and can undo that with the link in the last "+
			"mail: name another administrator of %s", all[i].Address, r.Name)
	}
	return nil, s.engine.ResumeAdministrator(ctx, all[i].ID, actor(ctx), s.clock())
}

// stopLink finds the administrator of a link that stops mails.
func (s *server) stopLink(ctx context.Context, secret string) (a tenancy.Administrator, about string, err error) {
	i := strings.LastIndex(secret, "-")
	if i < 0 || !s.engine.OpensStop(secret[i+1:], secret[:i]) {
		return a, "", errLink
	}
	if a, err = s.store.Administrator(ctx, secret[:i]); errors.Is(err, tenancy.ErrNotFound) {
		return a, "", errLink
	} else if err != nil {
		return a, "", err
	}
	tenants, err1 := s.store.TenantsByID(ctx, []string{a.TenantID})
	parties, err2 := s.store.CounterpartiesByID(ctx, []string{a.CounterpartyID})
	if about = tenants[a.TenantID].DisplayName; a.TenantID == "" {
		about = parties[a.CounterpartyID].DisplayName
	}
	return a, about, errors.Join(err1, err2)
}

func (s *server) getStopLink(ctx context.Context, in *OneLink) (*Entity[client.StopLink], error) {
	a, about, err := s.stopLink(ctx, in.Secret)
	return &Entity[client.StopLink]{Body: client.StopLink{Address: a.Address, About: about, StoppedAt: a.StoppedAt,
		StoppedFor: string(a.StoppedFor)}}, err
}

// stopActor names the holder of a link in the audit log.
const stopActor = "link in a mail to "

func (s *server) stopByLink(ctx context.Context, in *struct {
	OneLink
	Body client.StopMails
}) (*struct{}, error) {
	a, _, err := s.stopLink(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	why, other := tenancy.StopAskedFor, strings.TrimSpace(in.Body.Other)
	if other != "" {
		if err := tenancy.CheckText("other", other); err != nil {
			return nil, err
		}
		why = tenancy.PassedOn
	}
	return nil, s.engine.StopAdministrator(ctx, a.ID, why, other, stopActor+a.Address, s.clock())
}

func (s *server) resumeByLink(ctx context.Context, in *OneLink) (*struct{}, error) {
	a, _, err := s.stopLink(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	return nil, s.engine.ResumeAdministrator(ctx, a.ID, stopActor+a.Address, s.clock())
}

// reportBounce stops the mails to an address that does not exist. Whoever sends the report is not known, so only the
// mail that it names counts, whose ID is not published.
func (s *server) reportBounce(ctx context.Context, in *struct{ Body client.Bounce }) (*Entity[client.Bounced], error) {
	bounce, err := notify.ReadBounce([]byte(in.Body.Message))
	if err != nil {
		return nil, tenancy.Invalid("message", "is not a report about a mail (RFC 3464): %v", err)
	}
	out := &Entity[client.Bounced]{Body: client.Bounced{Stopped: []string{}}}
	if !bounce.Final {
		return out, nil
	}
	m, err := s.store.Mail(ctx, bounce.MailID())
	if errors.Is(err, tenancy.ErrNotFound) || err == nil && (m.MessageID != bounce.MessageID || m.AdministratorID == "") {
		return out, nil
	} else if err != nil {
		return nil, err
	}
	out.Body.Stopped = append(out.Body.Stopped, m.Address)
	return out, s.engine.StopAdministrator(ctx, m.AdministratorID, tenancy.Bounced, "", actor(ctx), s.clock())
}
