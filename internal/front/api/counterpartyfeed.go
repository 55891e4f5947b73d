package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/feeds"
	"github.com/perennial-pki/perennial/tenancy"
)

func registerCounterpartyFeed(r *router) {
	const feed = "/counterparties/{counterparty}/feed"
	register(r, endpoint{
		method: http.MethodGet, path: feed, access: operators,
		summary: "Get the feed of a counterparty, without its address",
	}, (*server).getCounterpartyFeed)
	register(r, endpoint{
		method: http.MethodPost, path: feed, access: operators, status: http.StatusCreated,
		summary: "Create the feed of a counterparty. Its address is shown only once",
	}, (*server).createCounterpartyFeed)
	register(r, endpoint{
		method: http.MethodPost, path: feed + "/address", access: operators,
		summary: "Give the feed of a counterparty a new address. The former one ends at once",
	}, (*server).readdressCounterpartyFeed)
	register(r, endpoint{
		method: http.MethodDelete, path: feed, access: operators, status: http.StatusNoContent,
		summary: "Revoke the feed of a counterparty",
	}, (*server).revokeCounterpartyFeed)
	register(r, endpoint{
		method: http.MethodPost, path: "/links/{secret}/counterparty/feed", access: public, status: http.StatusCreated,
		summary: "Create the feed of a counterparty from its page, if it has none. Needs no token",
	}, (*server).createFeedByPage)
}

func viewPartyFeed(f tenancy.CounterpartyFeed, c tenancy.Counterparty, now time.Time) client.CounterpartyFeed {
	return client.CounterpartyFeed{Counterparty: c.Name, CreatedBy: f.CreatedBy, CreatedAt: f.CreatedAt,
		Sequence: f.Sequence, FetchedAt: f.FetchedAt, FetchedBy: f.FetchedBy, InstalledAt: f.InstalledAt,
		InstalledBy: f.InstalledBy, Silent: f.Silent(now)}
}

// listSilentCounterpartyFeeds lists all of them, because there are few.
func (s *server) listSilentCounterpartyFeeds(ctx context.Context, in *struct {
	Query string `query:"q" maxLength:"200" doc:"Only those of counterparties whose name contains this text, in upper or lower case."`
}) (*List[client.CounterpartyFeed], error) {
	now := s.clock()
	rows, err := s.store.SilentCounterpartyFeeds(ctx, now.Add(-tenancy.FeedSilence))
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i, f := range rows {
		ids[i] = f.CounterpartyID
	}
	parties, err := s.store.CounterpartiesByID(ctx, ids)
	rows = matching(rows, in.Query, func(f tenancy.CounterpartyFeed) []string {
		party := parties[f.CounterpartyID]
		return []string{party.Name, party.DisplayName}
	})
	return pageOf(rows, len(rows), func(tenancy.CounterpartyFeed) string { return "" },
		func(f tenancy.CounterpartyFeed) client.CounterpartyFeed {
			return viewPartyFeed(f, parties[f.CounterpartyID], now)
		}), err
}

// counterpartyFeed returns the feed of a counterparty; nil if there is none.
func (s *server) counterpartyFeed(ctx context.Context, c tenancy.Counterparty) (*client.CounterpartyFeed, error) {
	f, err := s.store.CounterpartyFeed(ctx, c.ID)
	if errors.Is(err, tenancy.ErrNotFound) {
		return nil, nil
	}
	view := viewPartyFeed(f, c, s.clock())
	return &view, err
}

func (s *server) getCounterpartyFeed(ctx context.Context, in *OneCounterparty) (*Entity[client.CounterpartyFeed],
	error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	f, err := s.store.CounterpartyFeed(ctx, c.ID)
	return &Entity[client.CounterpartyFeed]{Body: viewPartyFeed(f, c, s.clock())}, err
}

func (s *server) createCounterpartyFeed(ctx context.Context, in *OneCounterparty) (*Created[client.CounterpartyFeed],
	error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	view, err := s.addressPartyFeed(ctx, c, actor(ctx), s.feeds.CreateParty)
	return &Created[client.CounterpartyFeed]{Location: prefix + "/counterparties/" + c.Name + "/feed", Body: view}, err
}

func (s *server) readdressCounterpartyFeed(ctx context.Context, in *OneCounterparty) (*Entity[client.CounterpartyFeed],
	error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	view, err := s.addressPartyFeed(ctx, c, actor(ctx), s.feeds.ReaddressParty)
	return &Entity[client.CounterpartyFeed]{Body: view}, err
}

// addressPartyFeed creates an address for the feed of a counterparty and returns the feed with it.
func (s *server) addressPartyFeed(ctx context.Context, c tenancy.Counterparty, by string, address func(
	ctx context.Context, c tenancy.Counterparty, actor string, now time.Time) (feeds.Address, error)) (
	client.CounterpartyFeed, error) {
	made, err := address(ctx, c, by, s.now())
	if err != nil {
		return client.CounterpartyFeed{}, err
	}
	f, err := s.store.CounterpartyFeed(ctx, c.ID)
	view := viewPartyFeed(f, c, s.clock())
	view.URL = s.baseURL + feedsPath + made.Secret + "/" + made.Thumbprint + "/"
	return view, err
}

func (s *server) revokeCounterpartyFeed(ctx context.Context, in *OneCounterparty) (*struct{}, error) {
	c, err := s.store.Counterparty(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return nil, s.feeds.RevokeParty(ctx, c, actor(ctx), s.now())
}

// createFeedByPage creates the feed for the administrators of a counterparty. It never replaces an address: whoever has
// found the address of the page could otherwise stop the program that follows the feed.
func (s *server) createFeedByPage(ctx context.Context, in *OneLink) (*Created[client.CounterpartyFeed], error) {
	c, err := s.pageOwner(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	view, err := s.addressPartyFeed(ctx, c, pageActor(c), s.feeds.CreateParty)
	return &Created[client.CounterpartyFeed]{Location: prefix + "/links/" + in.Secret + "/counterparty", Body: view}, err
}

// getPartyFeedOfArrangement shows a tenant whether the counterparty of a receiver follows the arrangement through its
// feed.
func (s *server) getPartyFeedOfArrangement(ctx context.Context, in *OneArrangement) (*Entity[client.Feed], error) {
	t, a, err := s.arrangement(ctx, *in)
	if err != nil {
		return nil, err
	}
	none := tenancy.Errorf(tenancy.ErrNotFound, "there is no feed of a counterparty with this arrangement")
	receivers, err := s.store.ReceiversOf(ctx, []string{t.ID})
	if err != nil {
		return nil, err
	}
	party := ""
	for _, r := range receivers[t.ID] {
		if r.ID == a.ReceiverID {
			party = r.CounterpartyID
		}
	}
	if party == "" || a.Authentication != tenancy.ClientCertificate {
		return nil, none
	}
	whole, err := s.store.CounterpartyFeed(ctx, party)
	if errors.Is(err, tenancy.ErrNotFound) {
		return nil, none
	} else if err != nil {
		return nil, err
	}
	names, err1 := s.store.CounterpartiesByID(ctx, []string{party})
	entries, err2 := s.store.FeedEntries(ctx, party, []string{a.ID})
	view := viewFeed(entries[a.ID], t.Name+"/"+a.Name, s.clock())
	view.Counterparty, view.CreatedAt, view.Silent = names[party].DisplayName, whole.CreatedAt, whole.Silent(s.clock())
	return &Entity[client.Feed]{Body: view}, errors.Join(err1, err2)
}
