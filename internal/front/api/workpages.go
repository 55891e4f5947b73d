package api

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// A WorkChoice chooses tenants of the work list, and their order.
type WorkChoice struct {
	Filter string   `query:"filter" enum:"at-risk,unwarned" doc:"Only tenants with a receiver at risk, or without a key user."`
	Query  string   `query:"q" maxLength:"200" doc:"Only tenants whose name begins with it, or whose display name has its words. At most one page."`
	Names  []string `query:"tenant,explode" maxItems:"100" doc:"Only these tenants, in any order. At most one page."`
	Sort   string   `query:"sort" enum:"created,-created,name,-name,not-after,-not-after,deadline,-deadline" doc:"Order: by creation (the default), name, expiry of the newest tenant certificate, or deadline, which lists those at risk first (the default of these). A minus sign reverses it. An order by expiry leaves out tenants without a certificate. Tenants without a key user are sorted by creation, name or expiry, and all tenants by deadline only forwards."`
}

// A workPlace is a tenant with its place in an order.
type workPlace struct {
	tenant tenancy.Tenant
	key    string
	id     string // orders equal keys
}

func (p workPlace) compare(key, id string) int {
	return cmp.Or(cmp.Compare(p.key, key), cmp.Compare(p.id, id))
}

// placed sorts tenants by a key. It sorts their numbers, because a place is several times as large.
func placed(tenants []tenancy.Tenant, key func(tenancy.Tenant) string) []workPlace {
	type place struct {
		key string
		i   int
	}
	order := make([]place, len(tenants))
	for i, t := range tenants {
		order[i] = place{key(t), i}
	}
	slices.SortFunc(order, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(tenants[a.i].ID, tenants[b.i].ID))
	})
	all := make([]workPlace, len(tenants))
	for at, p := range order {
		all[at] = workPlace{tenants[p.i], p.key, tenants[p.i].ID}
	}
	return all
}

// after returns at most limit places behind a cursor, in one of both directions.
func after(all []workPlace, c cursor, descending bool, limit int) []workPlace {
	begin := c == cursor{Count: c.Count}
	at, found := slices.BinarySearchFunc(all, c, func(p workPlace, c cursor) int { return p.compare(c.Key, c.ID) })
	if descending {
		if begin {
			at = len(all)
		}
		part := slices.Clone(all[max(0, at-limit):at])
		slices.Reverse(part)
		return part
	}
	if found {
		at++
	}
	return all[at:min(at+limit, len(all))]
}

// A workOrders keeps the orders of the tenants with a receiver at risk, which are those of one survey.
type workOrders struct {
	mu        sync.Mutex // guards the fields below
	of        *standing.Standing
	at        time.Time
	tenants   []tenancy.Tenant
	deadlines map[string]string // keys of the deadlines, by tenant ID; readers have it, so it is not changed
	sorted    map[string][]workPlace
}

// deadlineKey sorts as the instant does.
func deadlineKey(t time.Time) string {
	const digits = "00000000000000000000"
	micros := strconv.FormatInt(max(0, t.UnixMicro()), 10)
	return digits[len(micros):] + micros
}

// read returns the tenants of a survey in an order, and the keys of their deadlines by ID.
func (o *workOrders) read(risk []standing.Standing, at, now time.Time, sort string) ([]workPlace, map[string]string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(risk) == 0 {
		return nil, nil
	}
	if o.of != &risk[0] || !o.at.Equal(at) {
		o.of, o.at, o.sorted = &risk[0], at, map[string][]workPlace{}
		o.tenants, o.deadlines = tenantsOf(risk, now)
	}
	if _, known := o.sorted[sort]; !known {
		o.sorted[sort] = placed(o.tenants, func(t tenancy.Tenant) string {
			switch sort {
			case client.WorkByName:
				return t.Name
			case client.WorkByDeadline:
				return o.deadlines[t.ID]
			}
			return t.ID
		})
	}
	return o.sorted[sort], o.deadlines
}

// tenantsOf returns the tenants with a receiver at risk, and the key of the earliest deadline of each by ID.
func tenantsOf(risk []standing.Standing, now time.Time) (tenants []tenancy.Tenant, deadlines map[string]string) {
	tenants, deadlines = make([]tenancy.Tenant, 0, len(risk)), make(map[string]string, len(risk))
	for i := range risk {
		s := &risk[i]
		r, _ := s.Rollover.Risk(now)
		key := deadlineKey(r.Deadline)
		before, known := deadlines[s.Tenant.ID]
		if !known {
			tenants = append(tenants, s.Tenant)
		}
		if !known || key < before {
			deadlines[s.Tenant.ID] = key
		}
	}
	return tenants, deadlines
}

// A workPage is a page of tenants.
type workPage struct {
	tenants []tenancy.Tenant
	next    string
	first   int
	total   int
}

// pageOfPlaces returns the page after a cursor. places has one more than the page, if there is one.
func pageOfPlaces(places []workPlace, c cursor, total, limit int) (p workPage) {
	p.total = max(total, c.Count+min(len(places), limit))
	if len(places) > limit {
		places = places[:limit]
		last := places[limit-1]
		p.next = cursor{Key: last.key, ID: last.id, Count: c.Count + limit}.String()
	}
	for _, at := range places {
		p.tenants = append(p.tenants, at.tenant)
	}
	if len(places) > 0 {
		p.first = c.Count + 1
	}
	return p
}

// restKey is the key of the tenants behind those at risk. It is behind every deadline.
const restKey = "~"

// workTenants returns a page of the tenants that a caller chooses.
func (s *server) workTenants(ctx context.Context, in WorkChoice, at string, limit int) (p workPage, err error) {
	c, err := parseCursor(at)
	if err != nil {
		return p, err
	}
	sort, descending := strings.CutPrefix(in.Sort, "-")
	switch {
	case in.Query != "" || len(in.Names) > 0:
		p.tenants, err = s.chosenTenants(ctx, in, limit)
		p.total, p.first = len(p.tenants), min(1, len(p.tenants))
		return p, err
	case in.Filter == client.WorkFilterAtRisk:
		if sort == client.WorkByExpiry {
			return p, tenancy.Invalid("sort", "tenants at risk are sorted by deadline, name or created")
		}
		all, _, err := s.tenantsAtRisk(ctx, cmp.Or(sort, client.WorkByDeadline))
		return pageOfPlaces(after(all, c, descending, limit+1), c, len(all), limit), err
	}
	counts, _, err := s.fleetCounts.get(ctx)
	var counting huma.StatusError
	if err != nil && !errors.As(err, &counting) {
		return p, err
	}
	unwarned := in.Filter == client.WorkFilterUnwarned
	total := counts.All
	if unwarned {
		total = counts.Unwarned
	}
	if sort == client.WorkByDeadline {
		if unwarned || descending {
			return p, tenancy.Invalid("sort", "only tenants at risk have a deadline: use the filter at-risk")
		}
		places, err := s.worstFirst(ctx, c, limit+1)
		return pageOfPlaces(places, c, total, limit), err
	}
	places, err := s.indexed(ctx, c, store.TenantPage{Sort: store.TenantSort(cmp.Or(sort, client.WorkByAge)),
		Descending: descending, Unwarned: unwarned, Limit: limit + 1})
	return pageOfPlaces(places, c, total, limit), err
}

// chosenTenants returns the tenants that a search finds, or that a caller names, in the order of the caller.
func (s *server) chosenTenants(ctx context.Context, in WorkChoice, limit int) (tenants []tenancy.Tenant, err error) {
	if in.Query != "" {
		tenants, err = s.foundTenants(ctx, in.Query, limit)
	} else {
		var named map[string]tenancy.Tenant
		named, err = s.store.TenantsNamed(ctx, in.Names)
		for _, name := range in.Names {
			if t, known := named[name]; known {
				tenants = append(tenants, t)
				delete(named, name)
			}
		}
	}
	if err != nil || in.Filter == "" {
		return tenants, err
	}
	keep := func(tenancy.Tenant) bool { return true }
	switch in.Filter {
	case client.WorkFilterAtRisk:
		_, deadlines, err := s.tenantsAtRisk(ctx, client.WorkByAge)
		if err != nil {
			return nil, err
		}
		keep = func(t tenancy.Tenant) bool { return deadlines[t.ID] != "" }
	case client.WorkFilterUnwarned:
		ids := make([]string, len(tenants))
		for i, t := range tenants {
			ids[i] = t.ID
		}
		users, err := s.store.KeyUsersOf(ctx, ids)
		if err != nil {
			return nil, err
		}
		keep = func(t tenancy.Tenant) bool { return len(users[t.ID]) == 0 }
	}
	return slices.DeleteFunc(tenants, func(t tenancy.Tenant) bool { return !keep(t) }), nil
}

// tenantsAtRisk returns the tenants with a receiver at risk in an order, and the keys of their deadlines by ID.
func (s *server) tenantsAtRisk(ctx context.Context, sort string) ([]workPlace, map[string]string, error) {
	risk, at, err := s.fleetRollovers.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, deadlines := s.workOrders.read(risk, at, s.clock(), sort)
	return all, deadlines, nil
}

// indexed returns a page in an order that an index has. The tenants of a filter that fits few are kept in memory,
// because an index would be read to its end.
func (s *server) indexed(ctx context.Context, c cursor, p store.TenantPage) (places []workPlace, err error) {
	if p.Unwarned {
		counts, _, err := s.fleetCounts.get(ctx)
		if err != nil {
			return nil, err
		}
		if counts.few {
			return after(counts.unwarned[p.Sort], c, p.Descending, p.Limit), nil
		}
	}
	p.After = store.TenantPlace{Key: c.Key, ID: c.ID}
	rows, err := s.store.TenantPage(ctx, p)
	for _, r := range rows {
		places = append(places, workPlace{r.Tenant, r.Place.Key, r.Place.ID})
	}
	return places, err
}

// unwarnedPlaces sorts the tenants without a key user.
func unwarnedPlaces(tenants []store.PlacedTenant, sort store.TenantSort) (all []workPlace) {
	for _, t := range tenants {
		switch {
		case sort == store.TenantsByName:
			all = append(all, workPlace{t.Tenant, t.Name, t.ID})
		case sort == store.TenantsByAge:
			all = append(all, workPlace{t.Tenant, t.ID, t.ID})
		case t.Place.ID != "": // without a certificate, it has no place by expiry
			all = append(all, workPlace{t.Tenant, t.Place.Key, t.Place.ID})
		}
	}
	slices.SortFunc(all, func(a, b workPlace) int { return a.compare(b.key, b.id) })
	return all
}

// mostRest limits the tenants that are read at once behind those at risk.
const mostRest = 5000

// worstFirst returns tenants at risk by their deadline, and then the others by their creation.
func (s *server) worstFirst(ctx context.Context, c cursor, limit int) (places []workPlace, err error) {
	all, deadlines, err := s.tenantsAtRisk(ctx, client.WorkByDeadline)
	var counting huma.StatusError
	if err != nil && !errors.As(err, &counting) {
		return nil, err
	}
	last := ""
	if c.Key == restKey {
		last = c.ID
	} else if places = after(all, c, false, limit); len(places) == limit {
		return places, nil
	}
	for size := limit; len(places) < limit; size = min(4*size, mostRest) {
		rows, err := s.store.Tenants(ctx, last, size)
		if err != nil {
			return nil, err
		}
		for _, t := range rows {
			if last = t.ID; deadlines[t.ID] == "" && len(places) < limit {
				places = append(places, workPlace{t, restKey, t.ID})
			}
		}
		if len(rows) < size {
			break
		}
	}
	return places, nil
}
