package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"

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

// listWork lists tenants. Those at risk are sorted by their deadlines, the others by their age.
func (s *server) listWork(ctx context.Context, in *struct {
	Paged
	Filter string `query:"filter" enum:"at-risk,unwarned" doc:"Only tenants with a receiver at risk, or without a key user."`
	Query  string `query:"q" maxLength:"200" doc:"Only tenants whose name begins with it, or whose display name has its words. At most one page."`
}) (*List[client.TenantWork], error) {
	rows, next, err := s.workRows(ctx, in.Filter, in.Query, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	items, err := s.viewWork(ctx, rows)
	return &List[client.TenantWork]{client.Page[client.TenantWork]{Items: items, Next: next}}, err
}

// workRows returns the tenants of a page of the work list, and the cursor of the next page.
func (s *server) workRows(ctx context.Context, filter, query, cursor string, limit int) (rows []tenancy.Tenant,
	next string, err error) {
	switch {
	case query != "":
		rows, err = s.foundTenants(ctx, query, limit)
		return rows, "", err
	case filter == "at-risk":
		return s.tenantsAtRisk(ctx, cursor, limit)
	case filter == "unwarned":
		rows, err = s.store.UnwarnedTenants(ctx, cursor, limit+1)
	default:
		rows, err = s.store.Tenants(ctx, cursor, limit+1)
	}
	if len(rows) > limit {
		rows, next = rows[:limit], rows[limit-1].ID
	}
	return rows, next, err
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

// tenantsAtRisk returns a page of the tenants with a receiver at risk, the most urgent first.
func (s *server) tenantsAtRisk(ctx context.Context, cursor string, limit int) (rows []tenancy.Tenant, next string,
	err error) {
	risk, _, err := s.fleetAtRisk.get(ctx)
	if err != nil {
		return nil, "", err
	}
	start := 0
	if cursor != "" {
		if start, err = strconv.Atoi(cursor); err != nil || start < 0 {
			return nil, "", tenancy.Invalid("cursor", "is not a cursor of this service")
		}
	}
	all := distinctTenants(risk)
	end := min(start+limit, len(all))
	if end < len(all) {
		next = strconv.Itoa(end)
	}
	return all[min(start, len(all)):end], next, nil
}

// distinctTenants returns the tenants of arrangements, each once, in the order of their first one.
func distinctTenants(all []standing.Standing) (tenants []tenancy.Tenant) {
	seen := map[string]bool{}
	for _, s := range all {
		if !seen[s.Tenant.ID] {
			seen[s.Tenant.ID] = true
			tenants = append(tenants, s.Tenant)
		}
	}
	return tenants
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
	risk, _, err := s.fleetAtRisk.get(ctx)
	if err != nil {
		return nil, err
	}
	counts, at, err := s.fleetCounts.get(ctx)
	counts.AtRisk, counts.AsOf = len(distinctTenants(risk)), at.UTC()
	return &Entity[client.WorkCounts]{Body: counts}, err
}

// surveyCounts counts the tenants of the filters that the database can count.
func (s *server) surveyCounts(ctx context.Context) (out client.WorkCounts, size int, err error) {
	out.All, out.Unwarned, err = s.store.CountTenants(ctx)
	return out, out.All, err
}
