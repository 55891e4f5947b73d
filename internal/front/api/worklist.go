package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func registerWorkList(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/worklist",
		summary: "List tenants with what is to be done for each of them", access: operators,
	}, (*server).listWork)
	register(r, endpoint{
		method: http.MethodGet, path: "/worklist/counts",
		summary: "Count the tenants of each filter of the work list. In a large fleet, up to a minute old", access: operators,
	}, (*server).countWork)
}

func (s *server) listWork(ctx context.Context, in *struct {
	Paged
	WorkChoice
}) (*Entity[client.WorkPage], error) {
	page, err := s.workTenants(ctx, in.WorkChoice, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	items, err := s.viewWork(ctx, page.tenants)
	if len(in.Names) > 0 || in.Query != "" {
		sortWork(items, in.Sort)
	}
	return &Entity[client.WorkPage]{Body: client.WorkPage{Items: items, Next: page.next, First: page.first,
		Total: page.total}}, err
}

// sortWork sorts the only page of a search. Without an order, it stays as it was found.
func sortWork(items []client.TenantWork, order string) {
	sort, descending := strings.CutPrefix(order, "-")
	slices.SortStableFunc(items, func(a, b client.TenantWork) int {
		if descending {
			a, b = b, a
		}
		switch sort {
		case client.WorkByName:
			return cmp.Compare(a.Tenant, b.Tenant)
		case client.WorkByExpiry:
			return a.NotAfter.Compare(b.NotAfter)
		case client.WorkByDeadline:
			return cmp.Compare(deadlineOf(a), deadlineOf(b))
		}
		return 0
	})
}

// deadlineOf returns the key of a deadline. Tenants without one come last.
func deadlineOf(t client.TenantWork) string {
	if t.Deadline.IsZero() {
		return restKey
	}
	return deadlineKey(t.Deadline)
}

// foundTenants returns the tenants that a search finds, in its order.
func (s *server) foundTenants(ctx context.Context, query string, limit int) (rows []tenancy.Tenant, err error) {
	found, err := s.store.FindTenants(ctx, store.Search{Text: query, Limit: limit})
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(found))
	for i, f := range found {
		ids[i] = f.TenantID
	}
	byID, err := s.store.TenantsByID(ctx, ids)
	for _, id := range ids {
		if t, ok := byID[id]; ok {
			rows = append(rows, t)
		}
	}
	return rows, err
}

// viewWork reads what is to be done for tenants, with one query per table.
func (s *server) viewWork(ctx context.Context, rows []tenancy.Tenant) ([]client.TenantWork, error) {
	ids := make([]string, len(rows))
	for i, t := range rows {
		ids[i] = t.ID
	}
	arrangements, err := s.store.ArrangementsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	var arrangementIDs []string
	for _, of := range arrangements {
		for _, a := range of {
			arrangementIDs = append(arrangementIDs, a.ID)
		}
	}
	evidence, err := s.store.EvidenceOf(ctx, arrangementIDs)
	if err != nil {
		return nil, err
	}
	inReach, err := s.store.InReachOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	users, err := s.store.KeyUsersOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	items := make([]client.TenantWork, len(rows))
	for i, t := range rows {
		items[i] = s.workOf(t, arrangements[t.ID], inReach[t.ID], evidence)
		items[i].KeyUsers = len(users[t.ID])
		for _, u := range users[t.ID] {
			if !u.SubscribedAt.IsZero() {
				items[i].Subscribed++
			}
		}
	}
	return items, nil
}

// workOf states what is to be done for a tenant.
func (s *server) workOf(t tenancy.Tenant, arrangements []tenancy.Arrangement, inReach []tenancy.Certificate,
	evidence map[string][]standing.Evidence) client.TenantWork {
	now := s.clock()
	v := client.TenantWork{Tenant: t.Name, DisplayName: t.DisplayName, State: client.WorkSettled}
	for _, a := range arrangements {
		if a.Authentication != tenancy.ClientCertificate {
			continue
		}
		v.Arrangements++
		r := standing.Assemble(t, a, inReach, evidence[a.ID]).Rollover
		risk, at := r.Risk(now)
		switch {
		case at:
			v.AtRisk++
			v.State = client.WorkAtRisk
			if v.Deadline.IsZero() || risk.Deadline.Before(v.Deadline) {
				v.Deadline = risk.Deadline
			}
		case len(r.Generations) > 0 && r.Open(now) && v.State == client.WorkSettled:
			v.State = client.WorkRolling
		}
	}
	i := slices.IndexFunc(inReach, func(c tenancy.Certificate) bool {
		return c.Purpose == tenancy.ForTenant && c.SuccessorID == ""
	})
	if i < 0 {
		return v
	}
	c := inReach[i]
	v.NotAfter = c.NotAfter
	validity := policy.Validity{NotBefore: c.NotBefore, NotAfter: c.NotAfter}
	for _, e := range s.engine.Policy().Forecast(validity, now).Events {
		if e.Action != policy.Wait {
			v.NextAction, v.NextAt = string(e.Action), e.At
			break
		}
	}
	return v
}

func (s *server) countWork(ctx context.Context, _ *struct{}) (*Entity[client.WorkCounts], error) {
	risk, _, err := s.tenantsAtRisk(ctx, client.WorkByAge)
	if err != nil {
		return nil, err
	}
	counts, at, err := s.fleetCounts.get(ctx)
	out := counts.WorkCounts
	out.AtRisk, out.AsOf = len(risk), at.UTC()
	return &Entity[client.WorkCounts]{Body: out}, err
}

// mostUnwarned limits the tenants without a key user that a survey keeps.
const mostUnwarned = 20_000

// A workSurvey holds what is counted of the whole fleet.
type workSurvey struct {
	client.WorkCounts
	unwarned map[store.TenantSort][]workPlace // without a key user, in each order, if they are few
	few      bool
}

// surveyCounts counts the tenants of the filters that the database can count.
func (s *server) surveyCounts(ctx context.Context) (out workSurvey, size int, err error) {
	if out.All, out.Unwarned, err = s.store.CountTenants(ctx); err != nil {
		return out, 0, err
	}
	if out.few = out.Unwarned <= mostUnwarned; out.few {
		tenants, err := s.store.UnwarnedTenants(ctx, mostUnwarned)
		if err != nil {
			return out, 0, err
		}
		out.unwarned = map[store.TenantSort][]workPlace{}
		for _, sort := range []store.TenantSort{store.TenantsByAge, store.TenantsByName, store.TenantsByExpiry} {
			out.unwarned[sort] = unwarnedPlaces(tenants, sort)
		}
	}
	return out, out.All, nil
}
