package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

func registerOverview(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/overview",
		summary: "Get the last run, the next run and the figures that need attention", access: operators,
	}, (*server).getOverview)
}

func (s *server) getOverview(ctx context.Context, _ *struct{}) (*Entity[client.Overview], error) {
	now := s.clock()
	out := client.Overview{Policy: s.engine.Policy().Name, NextRun: s.engine.Policy().Schedule.Next(now)}
	run, err := s.store.LatestRun(ctx)
	if err == nil {
		view := viewRun(run)
		out.LastRun = &view
	} else if !errors.Is(err, tenancy.ErrNotFound) {
		return nil, err
	}
	mails, err1 := s.store.CountMails(ctx)
	parked, err2 := s.store.CountParked(ctx)
	tokens, err3 := s.expiringTokens(ctx)
	hold, err4 := s.store.MailHold(ctx)
	silent, err5 := s.store.CountSilentFeeds(ctx, now.Add(-tenancy.FeedSilence))
	parties, err6 := s.store.SilentCounterpartyFeeds(ctx, now.Add(-tenancy.FeedSilence))
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, err
	}
	if !hold.Since.IsZero() {
		out.MailsHeld = &client.MailHold{Since: hold.Since, RetryAt: hold.RetryAt, Reason: hold.Reason}
	}
	out.MailsDead, out.MailsQueue, out.MailsWait, out.Parked = mails[tenancy.MailDead], mails[tenancy.MailQueued],
		mails[tenancy.MailWaiting], parked
	out.FeedsSilent = silent + len(parties)
	if out.Tokens = len(tokens); out.Tokens > 0 {
		out.TokensFrom = tokens[0].ExpiresAt
	}
	if s.guard != nil {
		if out.GuardHeld, err = s.guard.Held(ctx); err != nil {
			return nil, err
		}
	}
	risk, asOf, err := s.fleetRollovers.get(ctx)
	var counting huma.StatusError
	if err != nil && !errors.As(err, &counting) {
		return nil, err
	}
	if out.AtRisk = len(risk); !asOf.IsZero() {
		out.AsOf = asOf.UTC()
	}
	if a, ok := client.AnnouncedAuthority(s.viewAuthorities()); ok {
		out.Announced = &a
	}
	if ca, err := s.subordinate(); err == nil {
		out.CAAwaited, _ = ca.Awaited(now)
	}
	return &Entity[client.Overview]{Body: out}, nil
}

func registerParked(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/parked", summary: "List messages that wait for delivery, oldest first",
		access: operators,
	}, (*server).listParked)
	register(r, endpoint{
		method: http.MethodGet, path: "/parked/usage",
		summary: "List the tenants with waiting messages, and their quotas", access: operators,
	}, (*server).listParkedUsage)
}

func (s *server) listParked(ctx context.Context, in *Grown) (*List[client.Parked], error) {
	page, err := in.page("", in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.WaitingParked(ctx, page)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i, p := range rows {
		ids[i] = p.ArrangementID
	}
	names, err1 := s.store.ArrangementNames(ctx, ids)
	sizes, err2 := s.store.ParkedSizes(ctx, rows)
	err = errors.Join(err1, err2)
	return listed(rows, next, "", func(p tenancy.Parked) client.Parked {
		return client.Parked{
			ID: p.ID, Arrangement: names[p.ArrangementID], Method: p.Method, Path: p.Path,
			Since: p.CreatedAt, Bytes: sizes[p.ID], Attempts: p.Attempts, NextAt: p.NextAt,
			LastError: said(ctx, p.LastError),
		}
	}), err
}

func (s *server) listParkedUsage(ctx context.Context, in *Searched) (*List[client.ParkedUsage], error) {
	page, err := in.page("", in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.ParkedUsages(ctx, page)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i, u := range rows {
		ids[i] = u.TenantID
	}
	tenants, err := s.store.TenantsByID(ctx, ids)
	return listed(rows, next, "", func(u tenancy.ParkedUsage) client.ParkedUsage {
		return client.ParkedUsage{Tenant: tenants[u.TenantID].Name, Messages: u.Messages, Bytes: u.Bytes,
			MessagesLimit: s.quota.Messages, BytesLimit: s.quota.Bytes}
	}), err
}
