package api

import (
	"context"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/feeds"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

func viewFeed(f tenancy.Feed, arrangement string, now time.Time) client.Feed {
	return client.Feed{
		Arrangement: arrangement, CreatedBy: f.CreatedBy, CreatedAt: f.CreatedAt, Sequence: f.Sequence,
		FetchedAt: f.Fetched.At, FetchedGeneration: f.Fetched.Generation, FetchedBy: f.Fetched.Program,
		InstalledAt: f.Installed.At, InstalledGeneration: f.Installed.Generation, InstalledBy: f.Installed.Program,
		Silent: f.Silent(now),
	}
}

func registerFeeds(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: arrangementPath + "/feed",
		summary: "Get the feed of an arrangement, without its address", access: members,
	}, (*server).getFeed)
	register(r, endpoint{
		method: http.MethodGet, path: arrangementPath + "/counterparty-feed", access: members,
		summary: "Get what the feed of the receiver's counterparty has published of an arrangement",
	}, (*server).getPartyFeedOfArrangement)
	register(r, endpoint{
		method: http.MethodPost, path: arrangementPath + "/feed",
		summary: "Create the feed of an arrangement. Its address is shown only once", status: http.StatusCreated,
		access: members,
	}, (*server).createFeed)
	register(r, endpoint{
		method: http.MethodPost, path: arrangementPath + "/feed/address",
		summary: "Give the feed of an arrangement a new address. The former one ends at once", access: members,
	}, (*server).readdressFeed)
	register(r, endpoint{
		method: http.MethodDelete, path: arrangementPath + "/feed", summary: "Revoke the feed of an arrangement",
		status: http.StatusNoContent, access: members,
	}, (*server).revokeFeed)
	register(r, endpoint{
		method: http.MethodGet, path: "/silent-feeds",
		summary: "List the feeds of arrangements that were fetched before, but not within the last 7 days",
		access:  operators,
	}, (*server).listSilentFeeds)
	register(r, endpoint{
		method: http.MethodGet, path: "/silent-counterparty-feeds",
		summary: "List the feeds of counterparties that were fetched before, but not within the last 7 days",
		access:  operators,
	}, (*server).listSilentCounterpartyFeeds)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/silent-feeds",
		summary: "List the feeds of a tenant that were fetched before, but not within the last 7 days", access: members,
	}, (*server).listTenantSilentFeeds)
}

func (s *server) getFeed(ctx context.Context, in *OneArrangement) (*Entity[client.Feed], error) {
	t, a, err := s.arrangement(ctx, *in)
	if err != nil {
		return nil, err
	}
	f, err := s.store.Feed(ctx, a.ID)
	return &Entity[client.Feed]{Body: viewFeed(f, t.Name+"/"+a.Name, s.clock())}, err
}

func (s *server) createFeed(ctx context.Context, in *OneArrangement) (*Created[client.Feed], error) {
	view, err := s.addressFeed(ctx, *in, s.feeds.Create)
	location := prefix + client.TenantPath(in.Tenant, "arrangements", in.Name) + "/feed"
	return &Created[client.Feed]{Location: location, Body: view}, err
}

func (s *server) readdressFeed(ctx context.Context, in *OneArrangement) (*Entity[client.Feed], error) {
	view, err := s.addressFeed(ctx, *in, s.feeds.Readdress)
	return &Entity[client.Feed]{Body: view}, err
}

// addressFeed creates an address for a feed and returns the feed with it.
func (s *server) addressFeed(ctx context.Context, in OneArrangement, address func(ctx context.Context,
	of standing.Standing, actor string, now time.Time) (feeds.Address, error)) (client.Feed, error) {
	of, err := s.standing(ctx, in)
	if err != nil {
		return client.Feed{}, err
	}
	made, err := address(ctx, of, actor(ctx), s.now())
	if err != nil {
		return client.Feed{}, err
	}
	f, err := s.store.Feed(ctx, of.Arrangement.ID)
	view := viewFeed(f, of.Name(), s.clock())
	view.URL = s.baseURL + feedsPath + made.Secret + "/" + made.Thumbprint + "/"
	return view, err
}

func (s *server) revokeFeed(ctx context.Context, in *OneArrangement) (*struct{}, error) {
	t, a, err := s.arrangement(ctx, *in)
	if err != nil {
		return nil, err
	}
	return nil, s.feeds.Revoke(ctx, t, a, actor(ctx), s.now())
}

func (s *server) listSilentFeeds(ctx context.Context, in *Grown) (*List[client.Feed], error) {
	return s.silentFeeds(ctx, "", *in)
}

func (s *server) listTenantSilentFeeds(ctx context.Context, in *struct {
	InTenant
	Grown
}) (*List[client.Feed], error) {
	t, err := s.tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	return s.silentFeeds(ctx, t.ID, in.Grown)
}

// silentFeeds returns a page of the silent feeds of a tenant; of all tenants if its ID is empty.
func (s *server) silentFeeds(ctx context.Context, tenantID string, in Grown) (*List[client.Feed], error) {
	page, err := in.page("", in.Query)
	if err != nil {
		return nil, err
	}
	now := s.clock()
	rows, next, err := s.store.SearchSilentFeeds(ctx, tenantID, now.Add(-tenancy.FeedSilence), page)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i, f := range rows {
		ids[i] = f.ArrangementID
	}
	names, err := s.store.ArrangementNames(ctx, ids)
	return listed(rows, next, "", func(f tenancy.Feed) client.Feed {
		return viewFeed(f, names[f.ArrangementID], now)
	}), err
}
