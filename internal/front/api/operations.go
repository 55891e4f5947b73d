package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/principal"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/redact"
	"github.com/perennial-pki/perennial/tenancy"
)

func viewRun(r tenancy.Run) client.Run {
	return client.Run{
		RunDate: r.RunDate, Policy: r.Policy, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
		Warned: r.Warned, Renewed: r.Renewed, Late: r.Late, Failed: r.Failed, LastError: r.LastError,
	}
}

func viewEvent(ctx context.Context, e tenancy.Event) client.Event {
	return client.Event{
		Seq: e.Seq, At: e.At, Actor: e.Actor, Action: e.Action, Title: words.Action(words.Of(ctx), e.Action),
		Tenant: e.Tenant, Object: e.Object,
		Detail: json.RawMessage(e.Detail), Hash: hex.EncodeToString(e.Hash),
	}
}

func viewDelivery(ctx context.Context, m tenancy.Mail, tenant string) client.Delivery {
	return client.Delivery{
		ID: m.ID, Tenant: tenant, Subject: m.Subject, Name: m.Name, Address: m.Address, MessageID: m.MessageID,
		State: m.State, Attempts: m.Attempts, LastError: mailFailure(ctx, m), CreatedAt: m.CreatedAt, SentAt: m.SentAt,
	}
}

// earlier finds the name of the mail server at the beginning of an error that an earlier release has stored.
var earlier = regexp.MustCompile(`^mail server \S+: `)

// mailFailure returns why a mail was not sent, in the language of the reader. Errors that an earlier release has stored
// name the mail server, which only operators may know.
func mailFailure(ctx context.Context, m tenancy.Mail) string {
	if principal.Of(ctx).Role == tenancy.RoleOperator {
		return said(ctx, m.LastError)
	}
	return redact.Addresses(earlier.ReplaceAllString(said(ctx, m.LastError), ""))
}

func viewToken(t tenancy.Token) client.Token {
	var bound *client.Workload
	if t.Subject != "" {
		bound = &client.Workload{Issuer: t.Issuer, Subject: t.Subject}
	}
	return client.Token{ID: t.ID, Name: t.Name, Role: t.Role, Tenant: t.Tenant, User: t.KeyUser,
		Workload: bound, ExpiresAt: t.ExpiresAt,
		CreatedAt: t.CreatedAt, LastUsedAt: t.LastUsedAt, RevokedAt: t.RevokedAt}
}

// EventsPage holds the parameters of a page of the audit log.
type EventsPage struct {
	Cursor int64  `query:"cursor" minimum:"0" doc:"next of the previous page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
	Order  string `query:"order" enum:"oldest,latest" default:"oldest"`
	Query  string `query:"q" maxLength:"200" doc:"Only entries that contain this text or, if it is a serial number, the number in another notation, latest first. A page covers a limited part of the log, so it may be empty and still have a next page. The same holds for object and actor."`
	Text   string `query:"text" maxLength:"200" doc:"As q, for earlier clients." deprecated:"true"`
	Object string `query:"object" maxLength:"400" doc:"Only entries about this object, as entries name it, latest first."`
	Actor  string `query:"actor" maxLength:"400" doc:"Only entries by this actor, as entries name it, latest first."`
}

// choice returns the entries of a tenant, or of all tenants, that a page is limited to.
func (p EventsPage) choice(tenant string) store.EventChoice {
	c := store.EventChoice{Tenant: tenant, Object: p.Object, Actor: p.Actor}
	if text := cmp.Or(p.Query, p.Text); text != "" { // the log has serial numbers in one notation
		c.Texts = append(certfile.ParseSerial(text), text)
	}
	return c
}

// TokenMaxLifetime is the longest life that a token can be created with.
const TokenMaxLifetime = 366 * 24 * time.Hour

// tokenLifetime is the life of a token that is created without one.
const tokenLifetime = 90 * 24 * time.Hour

// NewSecret returns the secret of a new token: 130 random bits with a prefix that scanners for leaked secrets
// recognize.
func NewSecret() string { return tenancy.TokenPrefix + rand.Text() }

func registerOperations(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/runs", summary: "List runs, latest first", access: operators,
	}, (*server).listRuns)
	register(r, endpoint{
		method: http.MethodGet, path: "/runs/{run_date}", summary: "Get a run", access: operators,
	}, (*server).getRun)
	register(r, endpoint{
		method: http.MethodPost, path: "/runs",
		summary: "Run the background job now for a run date. A run date is executed once",
		access:  operators,
	}, (*server).runNow)
	register(r, endpoint{
		method: http.MethodGet, path: "/events", summary: "Read the audit log", access: operators,
	}, (*server).listEvents)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/events", summary: "Read the audit log of a tenant",
		access: members,
	}, (*server).listTenantEvents)
	register(r, endpoint{
		method: http.MethodPost, path: "/events/verify",
		summary: "Verify the whole audit log", access: operators,
	}, (*server).verifyEvents)
}

func (s *server) listRuns(ctx context.Context, in *struct {
	Searched
	Sort string `query:"sort" enum:"date,-date" default:"-date" doc:"Order: the earliest or the latest run date first."`
}) (*List[client.Run], error) {
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.SearchRuns(ctx, page)
	return listed(rows, next, in.Sort, viewRun), err
}

func (s *server) getRun(ctx context.Context, in *struct {
	RunDate time.Time `path:"run_date"`
}) (*Entity[client.Run], error) {
	r, err := s.store.Run(ctx, in.RunDate)
	return &Entity[client.Run]{Body: viewRun(r)}, err
}

func (s *server) runNow(ctx context.Context, in *struct {
	Body struct {
		RunDate time.Time `json:"run_date" doc:"Run date of the policy. Must not be in the future."`
	}
}) (*Entity[client.Run], error) {
	if in.Body.RunDate.UnixMicro() <= 0 {
		return nil, tenancy.Invalid("run_date", "is before 1970")
	}
	date, p := in.Body.RunDate.UTC(), s.engine.Policy()
	if before := p.Schedule.Latest(date); !before.Equal(date) {
		return nil, tenancy.Invalid("run_date", "%s is not a run date of the policy %s: the run dates before and after it "+
			"are %s and %s", date.Format(time.RFC3339), p.Name, before.Format(time.RFC3339),
			p.Schedule.Next(date).Format(time.RFC3339))
	}
	r, err := s.engine.Run(ctx, date, s.now())
	return &Entity[client.Run]{Body: viewRun(r)}, err
}

func (s *server) listEvents(ctx context.Context, in *struct {
	EventsPage
	Own bool `query:"own" doc:"Only entries of the installation, which belong to no tenant, latest first."`
}) (*List[client.Event], error) {
	c := in.choice("")
	c.Own = in.Own
	return s.events(ctx, c, in.EventsPage)
}

func (s *server) listTenantEvents(ctx context.Context, in *struct {
	InTenant
	EventsPage
}) (*List[client.Event], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	return s.events(ctx, in.choice(t.Name), in.EventsPage)
}

func (s *server) verifyEvents(ctx context.Context, _ *struct{}) (*Entity[client.Verified], error) {
	chain, err := s.store.VerifyEvents(ctx)
	out := client.Verified{Unbroken: err == nil, Seq: chain.Seq, Hash: hex.EncodeToString(chain.Hash), At: s.now()}
	if broken := new(tenancy.ChainError); errors.As(err, &broken) {
		out.Problem = broken.Error()
	} else if err != nil {
		return nil, err
	}
	return &Entity[client.Verified]{Body: out}, nil
}

func (s *server) events(ctx context.Context, c store.EventChoice, in EventsPage) (*List[client.Event], error) {
	view := func(e tenancy.Event) client.Event { return viewEvent(ctx, e) }
	if in.Order == "latest" || c.Own || c.Object != "" || c.Actor != "" || len(c.Texts) > 0 {
		rows, next, err := s.store.SearchEvents(ctx, c, in.Cursor, in.Limit)
		out := pageOf(rows, in.Limit, func(tenancy.Event) string { return "" }, view)
		if next > 0 {
			out.Body.Next = strconv.FormatInt(next, 10)
		}
		return out, err
	}
	rows, err := s.store.Events(ctx, c.Tenant, in.Cursor, in.Limit+1)
	return pageOf(rows, in.Limit, func(e tenancy.Event) string { return strconv.FormatInt(e.Seq, 10) }, view), err
}

func registerDeliveries(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/deliveries", summary: "List mails and their states", access: operators,
	}, (*server).listDeliveries)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/deliveries",
		summary: "List the mails of a tenant and their states", access: members,
	}, (*server).listTenantDeliveries)
	register(r, endpoint{
		method: http.MethodPost, path: "/deliveries/{delivery}/requeue", summary: "Requeue a failed mail",
		access: operators,
	}, (*server).requeueDelivery)
	register(r, endpoint{
		method: http.MethodPost, path: "/deliveries/requeue",
		summary: "Requeue all failed mails, and try the waiting ones now", access: operators,
	}, (*server).requeueDeliveries)
}

// MailPage holds the parameters of a page of mails.
type MailPage struct {
	Paged
	Query string            `query:"q" maxLength:"200" doc:"Only mails whose recipient, address, subject or Message-ID contains this text, in upper or lower case. A page then covers a limited part of the list, so it may be empty and still have a next page."`
	State tenancy.MailState `query:"state" enum:"waiting,queued,sent,dead" doc:"Only mails in this state."`
	ByAge
}

func (s *server) listDeliveries(ctx context.Context, in *MailPage) (*List[client.Delivery], error) {
	return s.mails(ctx, "", *in)
}

func (s *server) listTenantDeliveries(ctx context.Context, in *struct {
	InTenant
	MailPage
}) (*List[client.Delivery], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	return s.mails(ctx, t.ID, in.MailPage)
}

// mails lists the mails of a tenant, or of all tenants if the ID is empty.
func (s *server) mails(ctx context.Context, tenantID string, in MailPage) (*List[client.Delivery], error) {
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.SearchMails(ctx, tenantID, in.State, page)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i, m := range rows {
		ids[i] = m.TenantID
	}
	tenants, err := s.store.TenantsByID(ctx, ids)
	return listed(rows, next, in.Sort, func(m tenancy.Mail) client.Delivery {
		return viewDelivery(ctx, m, tenants[m.TenantID].Name)
	}), err
}

func (s *server) requeueDelivery(ctx context.Context, in *struct {
	ID string `path:"delivery" maxLength:"64"`
}) (*Entity[client.Delivery], error) {
	m, err := s.store.Mail(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if m.State != tenancy.MailDead {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "this mail is %s: only a dead mail can be queued again", m.State)
	}
	tenants, err := s.store.TenantsByID(ctx, []string{m.TenantID})
	if err != nil {
		return nil, err
	}
	m.State = tenancy.MailWaiting
	if s.outbox != nil {
		m.State = tenancy.MailQueued
	}
	name := tenants[m.TenantID].Name
	err = s.change(ctx, "mail.requeued", name, m.ID, nil, func(tx *store.Tx) error {
		if err := tx.UpdateMail(ctx, m); err != nil || s.outbox == nil {
			return err
		}
		return s.outbox.Enqueue(ctx, tx.SQL(), []tenancy.Mail{m})
	})
	return &Entity[client.Delivery]{Body: viewDelivery(ctx, m, name)}, err
}

// requeueBatch is the number of mails that are queued again in one transaction.
const requeueBatch = 1000

func (s *server) requeueDeliveries(ctx context.Context, _ *struct{}) (*Entity[client.Requeued], error) {
	if s.outbox == nil {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "no mail server is configured: start the service with --smtp first")
	}
	var out client.Requeued
	for {
		var mails []tenancy.Mail
		err := s.store.InTx(ctx, func(tx *store.Tx) (err error) {
			if mails, err = tx.QueueMails(ctx, tenancy.MailDead, requeueBatch); err != nil {
				return err
			}
			if len(mails) > 0 { // mails that are held are queued already
				if err := s.outbox.Enqueue(ctx, tx.SQL(), mails); err != nil {
					return err
				}
			}
			if err := tx.RetryMails(ctx, s.clock()); err != nil {
				return err
			}
			return tx.Audit(ctx, tenancy.NewEvent(s.clock(), actor(ctx), "mails.requeued", "", "mails",
				map[string]any{"mails": len(mails)}))
		})
		if err != nil {
			return nil, err
		}
		if out.Mails += len(mails); len(mails) < requeueBatch {
			return &Entity[client.Requeued]{Body: out}, nil
		}
	}
}
