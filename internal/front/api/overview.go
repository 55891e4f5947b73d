package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/perennial-pki/perennial/tenancy"
)

// Overview is what the hosting team looks at first.
type Overview struct {
	Policy     string     `json:"policy"`
	LastRun    *Run       `json:"last_run,omitempty"`
	NextRun    time.Time  `json:"next_run"`
	MailsDead  int        `json:"mails_dead" doc:"Mails that will not be tried again unless somebody requeues them."`
	MailsQueue int        `json:"mails_queued"`
	MailsWait  int        `json:"mails_waiting" doc:"Mails that wait for a mail server to be configured."`
	Parked     int        `json:"messages_parked" doc:"Messages that wait for delivery."`
	AtRisk     int        `json:"at_risk" doc:"Arrangements whose receiver has not acted."`
	AsOf       time.Time  `json:"at_risk_as_of,omitzero" doc:"When they were counted: of a large fleet a minute ago; absent while they are counted for the first time since the start."`
	Announced  *Authority `json:"announced_authority,omitempty" doc:"A new CA that does not sign yet."`
}

func (s *server) overview() {
	register(s, http.MethodGet, "/overview", "What ran last, what runs next, and what needs somebody", 200,
		func(ctx context.Context, _ *struct{}) (*Entity[Overview], error) {
			if err := operator(ctx); err != nil {
				return nil, err
			}
			now := s.Now()
			out := Overview{Policy: s.Engine.Policy.Name, NextRun: s.Engine.Policy.Schedule.Next(now)}
			run, err := s.Store.LatestRun(ctx)
			if err == nil {
				view := viewRun(run)
				out.LastRun = &view
			} else if !errors.Is(err, tenancy.ErrNotFound) {
				return nil, err
			}
			mails, err1 := s.Store.CountMails(ctx)
			parked, err2 := s.Store.CountParked(ctx)
			if err := errors.Join(err1, err2); err != nil {
				return nil, err
			}
			out.MailsDead, out.MailsQueue, out.MailsWait, out.Parked = mails[tenancy.MailDead], mails[tenancy.MailQueued],
				mails[tenancy.MailWaiting], parked
			risk, asOf, err := s.fleetAtRisk.get(ctx)
			var counting huma.StatusError
			if err != nil && !errors.As(err, &counting) {
				return nil, err
			}
			if out.AtRisk = len(risk); !asOf.IsZero() {
				out.AsOf = asOf.UTC()
			}
			if a, ok := s.CA.Announced(now); ok {
				if view, err := s.authority(a.ID); err == nil {
					out.Announced = &view.Body
				}
			}
			return &Entity[Overview]{Body: out}, nil
		})
}

// Parked is a message that waits for delivery.
type Parked struct {
	ID          string    `json:"id"`
	Arrangement string    `json:"arrangement" doc:"With its tenant: acme/crm-to-erp."`
	Method      string    `json:"method"`
	Path        string    `json:"path"`
	Since       time.Time `json:"since"`
	Attempts    int       `json:"attempts"`
	NextAt      time.Time `json:"next_at"`
	LastError   string    `json:"last_error,omitempty"`
}

func (s *server) parked() {
	register(s, http.MethodGet, "/parked", "List messages that wait for delivery, the oldest first", 200,
		func(ctx context.Context, in *Paged) (*List[Parked], error) {
			if err := operator(ctx); err != nil {
				return nil, err
			}
			rows, err := s.Store.WaitingParked(ctx, in.Cursor, in.Limit+1)
			if err != nil {
				return nil, err
			}
			ids := make([]string, len(rows))
			for i, p := range rows {
				ids[i] = p.ArrangementID
			}
			names, err := s.Store.ArrangementNames(ctx, ids)
			return pageOf(rows, in.Limit, func(p tenancy.Parked) string { return p.ID }, func(p tenancy.Parked) Parked {
				return Parked{p.ID, names[p.ArrangementID], p.Method, p.Path, p.CreatedAt, p.Attempts, p.NextAt, p.LastError}
			}), err
		})
}
