package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// mostSelected limits the arrangements of one action. What it does for each is small, and a page without an end
	// helps no one.
	mostSelected = 5000
	// selectedPerWrite limits the arrangements in one transaction.
	selectedPerWrite = 500
	// roundLife is the time for which a round of tests is kept.
	roundLife = 90 * policy.Day
)

func registerTestRounds(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/worklist/scope", access: operators,
		summary: "Count the receivers at risk of chosen tenants, before an action on them",
	}, (*server).scopeWork)
	register(r, endpoint{
		method: http.MethodPost, path: "/worklist/links", access: operators, status: http.StatusCreated,
		summary: "Create a link for the administrator of each receiver at risk of chosen tenants. Shown only once",
	}, (*server).linkWork)
	register(r, endpoint{
		method: http.MethodPost, path: "/test-rounds", access: operators, status: http.StatusCreated,
		summary: "Test the receivers at risk of chosen tenants, in the background",
	}, (*server).startTestRound)
	register(r, endpoint{
		method: http.MethodGet, path: "/test-rounds", access: operators,
		summary: "List rounds of tests, the latest first. They are kept for 90 days",
	}, (*server).listTestRounds)
	register(r, endpoint{
		method: http.MethodGet, path: "/test-rounds/{round}", access: operators, summary: "Get a round of tests",
	}, (*server).getTestRound)
	register(r, endpoint{
		method: http.MethodGet, path: "/test-rounds/{round}/results", access: operators,
		summary: "List the tests of a round, all or those with a result",
	}, (*server).listTestResults)
}

// OneTestRound holds the path parameter of a round of tests.
type OneTestRound struct {
	ID string `path:"round" maxLength:"36"`
}

// selected returns the arrangements at risk of a selection, most urgent first, and the number of tenants that were
// named and have none. Those without a certificate that could be tested or installed are left out.
func (s *server) selected(ctx context.Context, in client.WorkSelection) (all []standing.Standing, idle int, err error) {
	risk, at, err := s.fleetRollovers.get(ctx)
	if err != nil {
		return nil, 0, err
	}
	if in.Host != "" {
		_, ofHost := s.riskHosts.read(risk, at, s.clock())
		risk = ofHost[in.Host]
	}
	risk = slices.DeleteFunc(slices.Clone(risk), func(a standing.Standing) bool { return len(a.Certificates) == 0 })
	chosen := map[string]bool{}
	if named := len(in.Tenants) > 0; named || in.Query != "" {
		tenants, err := s.chosenTenants(ctx, WorkChoice{Query: in.Query, Names: in.Tenants}, mostSelected)
		if err != nil {
			return nil, 0, err
		}
		for _, t := range tenants {
			chosen[t.ID] = true
		}
		risk = slices.DeleteFunc(risk, func(a standing.Standing) bool { return !chosen[a.Tenant.ID] })
	}
	if in.Filter == client.WorkFilterUnwarned {
		if risk, err = s.withoutKeyUsers(ctx, risk); err != nil {
			return nil, 0, err
		}
	}
	if len(risk) > mostSelected {
		return nil, 0, tenancy.Errorf(tenancy.ErrRefused, "the selection has %d arrangements at risk, and an action "+
			"takes at most %d: choose a host, or tenants by name", len(risk), mostSelected)
	}
	if len(in.Tenants) > 0 {
		for _, a := range risk {
			delete(chosen, a.Tenant.ID)
		}
		idle = len(chosen)
	}
	return risk, idle, nil
}

// withoutKeyUsers returns the arrangements of tenants without a key user.
func (s *server) withoutKeyUsers(ctx context.Context, risk []standing.Standing) (all []standing.Standing, err error) {
	for part := range slices.Chunk(risk, selectedPerWrite) {
		var ids []string
		for _, a := range part {
			ids = append(ids, a.Tenant.ID)
		}
		users, err := s.store.KeyUsersOf(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, a := range part {
			if len(users[a.Tenant.ID]) == 0 {
				all = append(all, a)
			}
		}
	}
	return all, nil
}

// receiversOf reads the receivers of arrangements, by ID.
func (s *server) receiversOf(ctx context.Context, all []standing.Standing) (map[string]tenancy.Receiver, error) {
	byID := map[string]tenancy.Receiver{}
	for part := range slices.Chunk(all, selectedPerWrite) {
		var ids []string
		for _, a := range part {
			ids = append(ids, a.Tenant.ID)
		}
		receivers, err := s.store.ReceiversOf(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, of := range receivers {
			for _, r := range of {
				byID[r.ID] = r
			}
		}
	}
	return byID, nil
}

func (s *server) scopeWork(ctx context.Context, in *struct {
	Tenants []string `query:"tenant,explode" maxItems:"500" doc:"Only these tenants. Default: all that fit the other fields."`
	Filter  string   `query:"filter" enum:"at-risk,unwarned" doc:"As in the work list."`
	Query   string   `query:"q" maxLength:"200" doc:"As in the work list."`
	Host    string   `query:"host" maxLength:"253" doc:"Only receivers at this host."`
}) (*Entity[client.WorkScope], error) {
	all, idle, err := s.selected(ctx, client.WorkSelection{Tenants: in.Tenants, Filter: in.Filter, Query: in.Query,
		Host: in.Host})
	if err != nil {
		return nil, err
	}
	receivers, err := s.receiversOf(ctx, all)
	if err != nil {
		return nil, err
	}
	tenants, hosts := map[string]bool{}, map[string]bool{}
	out := client.WorkScope{Arrangements: len(all), Idle: idle}
	for _, a := range all {
		tenants[a.Tenant.ID], hosts[hostOf(a.Arrangement)] = true, true
		if risk, _ := a.Rollover.Risk(s.clock()); !a.Rollover.MayAsk(risk.Wanted) {
			out.NewestOnly++
		}
		if receivers[a.Arrangement.ReceiverID].ContactEmail != "" {
			out.Contacts++
		}
	}
	out.Tenants, out.Hosts = len(tenants), len(hosts)
	return &Entity[client.WorkScope]{Body: out}, nil
}

// linkWork creates links. If a part of a large selection fails, its links and those after it are missing, and the
// created ones are unknown to the caller: they expire unused.
func (s *server) linkWork(ctx context.Context,
	in *struct{ Body client.WorkSelection }) (*Created[client.WorkLinks], error) {
	all, _, err := s.selected(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	receivers, err := s.receiversOf(ctx, all)
	if err != nil {
		return nil, err
	}
	out := client.WorkLinks{Items: []client.WorkLink{}}
	for part := range slices.Chunk(all, selectedPerWrite) {
		now := s.now()
		err := s.store.InTx(ctx, func(tx *store.Tx) error {
			var events []tenancy.Event
			for _, a := range part {
				secret := rand.Text()
				l := newLink(a, actor(ctx), now)
				if err := tx.CreateLink(ctx, l, tenancy.HashSecret(secret)); err != nil {
					return err
				}
				events = append(events, tenancy.NewEvent(now, actor(ctx), "link.created", a.Tenant.Name, a.Name(),
					map[string]any{"link": l.ID, "generation": l.Generation, "expires_at": l.ExpiresAt}))
				r := receivers[a.Arrangement.ReceiverID]
				out.Items = append(out.Items, client.WorkLink{Arrangement: a.Name(), Tenant: a.Tenant.DisplayName,
					Receiver: r.DisplayName, Contact: r.ContactName, Email: r.ContactEmail,
					URL: s.baseURL + "/rollover/" + secret, ExpiresAt: l.ExpiresAt})
			}
			return tx.Audit(ctx, events...)
		})
		if err != nil {
			return nil, err
		}
	}
	return &Created[client.WorkLinks]{Location: prefix + "/worklist", Body: out}, nil
}

func (s *server) startTestRound(ctx context.Context,
	in *struct{ Body client.WorkSelection }) (*Created[client.TestRound], error) {
	if s.questions == nil {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "this service tests no receivers: try again at its main address")
	}
	all, _, err := s.selected(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "none of the chosen tenants has a receiver at risk: there is nothing "+
			"to test")
	}
	now := s.now()
	round := tenancy.TestRound{ID: store.NewID(), CreatedBy: actor(ctx), CreatedAt: now, Choice: tenancy.TestChoice{
		Tenants: in.Body.Tenants, Filter: in.Body.Filter, Query: in.Body.Query, Host: in.Body.Host}}
	items, err := s.newTestItems(ctx, round, all)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, "tests.started", "", round.ID, map[string]any{"round": round.ID, "tests": len(items),
		"choice": round.Choice}, func(tx *store.Tx) error {
		if err := tx.CreateTestRound(ctx, round, items, now.Add(-roundLife)); err != nil {
			return err
		}
		return s.questions.EnqueueRound(ctx, tx.SQL(), round.ID)
	})
	if err != nil {
		return nil, err
	}
	views, err := s.viewTestRounds(ctx, round)
	return &Created[client.TestRound]{Location: prefix + "/test-rounds/" + round.ID, Body: views[0]}, err
}

// newTestItems returns the tests of a round. A receiver that another round asks, or has just asked, is skipped.
func (s *server) newTestItems(ctx context.Context, round tenancy.TestRound,
	all []standing.Standing) (items []tenancy.TestItem, err error) {
	for part := range slices.Chunk(all, selectedPerWrite) {
		var ids []string
		for _, a := range part {
			ids = append(ids, a.Arrangement.ID)
		}
		recent, err := s.store.TestedSince(ctx, ids, round.CreatedAt.Add(-testAgain))
		if err != nil {
			return nil, err
		}
		for _, a := range part {
			risk, _ := a.Rollover.Risk(round.CreatedAt)
			item := tenancy.TestItem{RoundID: round.ID, ArrangementID: a.Arrangement.ID, Host: hostOf(a.Arrangement),
				Generation: risk.Wanted}
			if len(recent[item.ArrangementID]) > 0 {
				item.DoneAt, item.Result, item.Detail = round.CreatedAt, tenancy.TestSkipped, tenancy.SkippedRecent
			}
			items = append(items, item)
		}
	}
	return items, nil
}

// viewTestRounds shows rounds with the numbers of their tests.
func (s *server) viewTestRounds(ctx context.Context, rounds ...tenancy.TestRound) ([]client.TestRound, error) {
	ids, views := make([]string, len(rounds)), make([]client.TestRound, len(rounds))
	for i, r := range rounds {
		ids[i] = r.ID
	}
	counts, err := s.store.CountTests(ctx, ids)
	for i, r := range rounds {
		v := client.TestRound{ID: r.ID, CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt, FinishedAt: r.FinishedAt,
			Choice: client.WorkSelection{Tenants: r.Choice.Tenants, Filter: r.Choice.Filter, Query: r.Choice.Query,
				Host: r.Choice.Host}}
		for _, c := range counts[r.ID] {
			v.Total += c.Tests
			switch c.Result {
			case "":
				v.Waiting = c.Tests
			case tenancy.TestAccepted:
				v.Accepted = c.Tests
			case tenancy.TestRefused:
				v.Refused = c.Tests
			case tenancy.TestSkipped:
				v.Skipped = c.Tests
			default:
				v.Unclear += c.Tests
			}
		}
		views[i] = v
	}
	return views, err
}

func (s *server) listTestRounds(ctx context.Context, in *struct {
	Searched
	Sort string `query:"sort" enum:"created,-created" default:"-created" doc:"Order: the earliest or the latest first."`
}) (*List[client.TestRound], error) {
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.TestRounds(ctx, page)
	if err != nil {
		return nil, err
	}
	views, err := s.viewTestRounds(ctx, rows...)
	return listed(views, next, in.Sort, func(v client.TestRound) client.TestRound { return v }), err
}

func (s *server) getTestRound(ctx context.Context, in *OneTestRound) (*Entity[client.TestRound], error) {
	round, err := s.store.TestRound(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	views, err := s.viewTestRounds(ctx, round)
	return &Entity[client.TestRound]{Body: views[0]}, err
}

func (s *server) listTestResults(ctx context.Context, in *struct {
	OneTestRound
	Grown
	Result string `query:"result" enum:"accepted,refused,unclear,skipped,waiting" doc:"Only the tests with this result, or waiting for one."`
}) (*List[client.TestResult], error) {
	page, err1 := in.page("", in.Query)
	_, err2 := s.store.TestRound(ctx, in.ID)
	rows, next, err3 := s.store.TestItems(ctx, in.ID, in.Result, page)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ArrangementID
	}
	names, err := s.store.ArrangementNames(ctx, ids)
	return listed(rows, next, "", func(i tenancy.TestItem) client.TestResult {
		v := client.TestResult{Arrangement: names[i.ArrangementID], Host: i.Host, Generation: i.Generation,
			Result: i.Result, DoneAt: i.DoneAt, Answer: said(ctx, i.Detail)}
		if i.Result == tenancy.TestSkipped {
			v.Answer, v.Reason = "", i.Detail
		}
		return v
	}), err
}

// newLink returns a link for the administrator of a receiver.
func newLink(of standing.Standing, by string, now time.Time) tenancy.Link {
	newest := of.Certificates[len(of.Certificates)-1]
	return tenancy.Link{ID: store.NewID(), ArrangementID: of.Arrangement.ID, Generation: newest.Generation,
		CreatedBy: by, CreatedAt: now, ExpiresAt: now.Add(tenancy.LinkKept)}
}
