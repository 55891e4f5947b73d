package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func registerBoard(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/rollovers",
		summary: "List roll-overs that are not settled, the earliest deadline first. In a large fleet, up to a minute old",
		access:  operators,
	}, (*server).listFleetRollovers)
	register(r, endpoint{
		method: http.MethodGet, path: "/rollovers/board",
		summary: "Count roll-overs by state and by days left. In a large fleet, up to a minute old", access: operators,
	}, (*server).fleetBoard)
	register(r, endpoint{
		method: http.MethodGet, path: "/rollovers/hosts",
		summary: "Count roll-overs that are not settled by host. In a large fleet, up to a minute old", access: operators,
	}, (*server).fleetHosts)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/rollovers",
		summary: "List the roll-overs of a tenant", access: members,
	}, (*server).listRollovers)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/rollovers/board",
		summary: "Count the roll-overs of a tenant by state and by days left", access: members,
	}, (*server).tenantBoard)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/rollovers/hosts",
		summary: "Count the roll-overs of a tenant that are not settled by host", access: members,
	}, (*server).tenantHosts)
}

// boardStates lists the columns of the board.
var boardStates = []rollover.State{rollover.Announced, rollover.RefusedBy, rollover.Claimed, rollover.Trusted,
	rollover.Regressed, rollover.CutOver, rollover.Settled}

// boardFirst is the number of roll-overs that a column shows.
const boardFirst = 5

// A BoardFilter limits a list of roll-overs.
type BoardFilter struct {
	State string `query:"state" enum:"announced,refused,claimed,trusted,regressed,cut-over,settled" doc:"Only those in this state."`
	Host  string `query:"host" maxLength:"253" doc:"Only those whose receiver is at this host."`
	Left  string `query:"left" enum:"now,7,14,30,60,more" doc:"Only those at risk with this number of days left."`
}

func (f BoardFilter) fits(r boardRollover) bool {
	return (f.State == "" || f.State == string(r.column)) && (f.Host == "" || f.Host == r.host) &&
		(f.Left == "" || f.Left == r.left)
}

// A boardRollover is what the board keeps of a roll-over, in about 170 bytes. A fleet can have a million of them.
type boardRollover struct {
	tenant, arrangement string // IDs
	name, host          string // of the arrangement
	column              rollover.State
	deadline            time.Time // zero unless at risk
	left                string    // as in client.BoardLeft; empty unless at risk
}

func boardRolloverOf(s standing.Standing, now time.Time) boardRollover {
	r := boardRollover{tenant: s.Tenant.ID, arrangement: s.Arrangement.ID, name: s.Arrangement.Name,
		host: hostOf(s.Arrangement), column: s.Rollover.State(now)}
	if risk, at := s.Rollover.Risk(now); at {
		r.deadline, r.left = risk.Deadline, leftOf(risk, now)
	}
	return r
}

// leftBounds lists the days left that roll-overs at risk are counted by.
var leftBounds = []struct {
	name string
	most time.Duration
}{{"now", 0}, {"7", 7 * policy.Day}, {"14", 14 * policy.Day}, {"30", 30 * policy.Day}, {"60", 60 * policy.Day}}

// leftMore is the name of more days than the last of leftBounds.
const leftMore = "more"

func leftOf(risk rollover.Risk, now time.Time) string {
	left := risk.Left(now)
	if risk.Exposed {
		left = 0
	}
	for _, b := range leftBounds {
		if left <= b.most {
			return b.name
		}
	}
	return leftMore
}

// soonest compares roll-overs: those with the earliest deadline come first, and those without one last.
func soonest(a, b boardRollover) int { return compareDeadlines(a.deadline, b.deadline) }

func compareDeadlines(a, b time.Time) int {
	if a.IsZero() || b.IsZero() {
		return -a.Compare(b) // the one that is not zero is first
	}
	return a.Compare(b)
}

// openRollovers are the roll-overs of the fleet that are not settled.
type openRollovers struct {
	risk       []standing.Standing // those at risk, the most urgent first
	all        []boardRollover     // the earliest deadline first
	hosts      []client.RolloverHost
	presenting int // arrangements that present a certificate, settled ones included
}

// A rollSurvey keeps the roll-overs of the fleet that are not settled.
type rollSurvey struct{ survey[openRollovers] }

// get returns the arrangements at risk, the most urgent first.
func (r *rollSurvey) get(ctx context.Context) ([]standing.Standing, time.Time, error) {
	all, at, err := r.survey.get(ctx)
	return all.risk, at, err
}

// surveyRollovers walks over the open roll-overs of the fleet, and counts them.
func (s *server) surveyRollovers(ctx context.Context) (out openRollovers, size int, err error) {
	now, kept := s.clock(), map[string]string{}
	once := func(text string) string { // a part of what was read, which need not be kept
		if kept[text] == "" {
			kept[text] = strings.Clone(text)
		}
		return kept[text]
	}
	err1 := s.engine.Open(ctx, now, func(of standing.Standing) {
		size++
		if len(of.Rollover.Generations) == 0 {
			return
		}
		r := boardRolloverOf(of, now)
		if !r.deadline.IsZero() {
			out.risk = append(out.risk, of)
		}
		if r.column != rollover.Settled {
			r.name, r.host = once(r.name), once(r.host)
			out.all = append(out.all, r)
		}
	})
	out.presenting, err = s.store.CountPresenting(ctx)
	byUrgency(out.risk, now)
	out.hosts = hostsOf(out.all)
	slices.SortStableFunc(out.all, soonest)
	return out, size, errors.Join(err1, err)
}

// hostsOf counts roll-overs by host, the earliest deadline first. Those of a tenant must be next to each other.
func hostsOf(all []boardRollover) []client.RolloverHost {
	at, last := map[string]int{}, map[string]string{}
	hosts := []client.RolloverHost{}
	for _, r := range all {
		i, found := at[r.host]
		if !found {
			i = len(hosts)
			at[r.host] = i
			hosts = append(hosts, client.RolloverHost{Host: r.host, States: map[rollover.State]int{}})
		}
		h := &hosts[i]
		h.Count++
		h.States[r.column]++
		if last[r.host] != r.tenant {
			last[r.host] = r.tenant
			h.Tenants++
		}
		if !r.deadline.IsZero() {
			h.AtRisk++
			if h.Deadline.IsZero() || r.deadline.Before(h.Deadline) {
				h.Deadline = r.deadline
			}
		}
	}
	slices.SortFunc(hosts, func(a, b client.RolloverHost) int {
		return cmp.Or(compareDeadlines(a.Deadline, b.Deadline), b.Count-a.Count, strings.Compare(a.Host, b.Host))
	})
	return hosts
}

// tenantRollovers returns the roll-overs of a tenant with those that are settled, the earliest deadline first.
func (s *server) tenantRollovers(ctx context.Context, tenant string) (out openRollovers, err error) {
	all, err := s.standings(ctx, tenant)
	if err != nil {
		return out, err
	}
	var open []boardRollover
	for _, of := range all {
		if len(of.Rollover.Generations) == 0 {
			continue
		}
		r := boardRolloverOf(of, s.clock())
		out.all = append(out.all, r)
		if r.column != rollover.Settled {
			open = append(open, r)
		}
	}
	out.presenting, out.hosts = len(out.all), hostsOf(open)
	slices.SortStableFunc(out.all, soonest)
	return out, nil
}

// A viewedRollover is a roll-over in its column.
type viewedRollover struct {
	column rollover.State
	view   client.Rollover
}

// viewRollovers reads roll-overs as they are now, with one query per table. Those that are in another column
// by now, or that are gone, are left out.
func (s *server) viewRollovers(ctx context.Context, all []boardRollover) (views []viewedRollover, err error) {
	var tenantIDs, ids []string
	for _, r := range all {
		tenantIDs, ids = append(tenantIDs, r.tenant), append(ids, r.arrangement)
	}
	slices.Sort(tenantIDs)
	tenantIDs = slices.Compact(tenantIDs)
	tenants, err1 := s.store.TenantsByID(ctx, tenantIDs)
	arrangements, err2 := s.store.ArrangementsByID(ctx, ids)
	certificates, err3 := s.store.InReachOf(ctx, tenantIDs)
	evidence, err4 := s.store.EvidenceOf(ctx, ids)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	now, view := s.clock(), s.listView(ctx)
	for _, r := range all {
		a, found := arrangements[r.arrangement]
		of := standing.Assemble(tenants[r.tenant], a, certificates[r.tenant], evidence[r.arrangement])
		if found && len(of.Rollover.Generations) > 0 && boardRolloverOf(of, now).column == r.column {
			views = append(views, viewedRollover{r.column, view(of, now)})
		}
	}
	return views, nil
}

func (s *server) listFleetRollovers(ctx context.Context, in *struct {
	Paged
	BoardFilter
	Query string `query:"q" maxLength:"200" doc:"Only those whose arrangement or host contains this text, in upper or lower case, and those of the first 500 tenants that a search finds by it. TENANT/ARRANGEMENT limits it to the tenant."`
}) (*List[client.Rollover], error) {
	if in.State == string(rollover.Settled) {
		return nil, tenancy.Invalid("state", "settled roll-overs are listed for one tenant only, at "+
			"/tenants/TENANT/rollovers")
	}
	open, _, err := s.fleetRollovers.survey.get(ctx)
	if err != nil {
		return nil, err
	}
	start, err := in.offset()
	if err != nil {
		return nil, err
	}
	found, err := s.boardSearch(ctx, in.Query)
	if err != nil {
		return nil, err
	}
	var rows []boardRollover
	for fit, i := 0, 0; i < len(open.all) && len(rows) <= in.Limit; i++ {
		if !in.fits(open.all[i]) || !found(open.all[i]) {
			continue
		}
		if fit++; fit > start {
			rows = append(rows, open.all[i])
		}
	}
	out := &List[client.Rollover]{client.Page[client.Rollover]{Items: []client.Rollover{}}}
	if len(rows) > in.Limit {
		out.Body.Next, rows = strconv.Itoa(start+in.Limit), rows[:in.Limit]
	}
	views, err := s.viewRollovers(ctx, rows)
	for _, v := range views {
		out.Body.Items = append(out.Body.Items, v.view)
	}
	return out, err
}

// mostSearchedTenants limits the tenants whose roll-overs a search finds by the tenant.
const mostSearchedTenants = 500

// boardSearch returns a function that reports whether a search finds a roll-over.
func (s *server) boardSearch(ctx context.Context, query string) (func(boardRollover) bool, error) {
	text := strings.ToLower(strings.TrimSpace(query))
	if text == "" {
		return func(boardRollover) bool { return true }, nil
	}
	if tenant, arrangement, both := strings.Cut(text, "/"); both {
		t, err := s.store.Tenant(ctx, tenant)
		if errors.Is(err, tenancy.ErrNotFound) {
			return func(boardRollover) bool { return false }, nil
		}
		return func(r boardRollover) bool { return r.tenant == t.ID && contains(arrangement, r.name) }, err
	}
	tenants, err := s.foundTenants(ctx, text, mostSearchedTenants)
	ids := map[string]bool{}
	for _, t := range tenants {
		ids[t.ID] = true
	}
	return func(r boardRollover) bool { return ids[r.tenant] || contains(text, r.name, r.host) }, err
}

func (s *server) listRollovers(ctx context.Context, in *struct {
	InTenant
	BoardFilter
	Query string `query:"q" maxLength:"200" doc:"Only those whose arrangement or host contains this text, in upper or lower case."`
}) (*List[client.Rollover], error) {
	all, err := s.standings(ctx, in.Tenant)
	view := s.listView(ctx)
	out := &List[client.Rollover]{client.Page[client.Rollover]{Items: []client.Rollover{}}}
	for _, of := range matching(all, in.Query, wordsOfOwn) {
		if len(of.Rollover.Generations) > 0 && in.fits(boardRolloverOf(of, s.clock())) {
			out.Body.Items = append(out.Body.Items, view(of, s.clock()))
		}
	}
	return out, err
}

// countBoard counts roll-overs. It also returns those that the columns show.
func countBoard(of openRollovers, at time.Time) (out client.RolloverBoard, first []boardRollover) {
	out = client.RolloverBoard{Hosts: len(of.hosts), AsOf: at.UTC()}
	columns, left, open := map[rollover.State]int{}, map[string]int{}, 0
	for i, state := range boardStates {
		columns[state] = i
		out.States = append(out.States, client.BoardState{State: state, First: []client.Rollover{}})
	}
	for i := range of.all {
		r := &of.all[i]
		column := &out.States[columns[r.column]]
		if column.Count++; column.Count <= boardFirst {
			first = append(first, *r)
		}
		if r.left != "" {
			column.AtRisk++
			left[r.left]++
		}
		if r.column != rollover.Settled {
			open++
		}
	}
	out.States[columns[rollover.Settled]].Count = max(of.presenting-open, 0)
	for _, b := range leftBounds {
		out.Left = append(out.Left, client.BoardLeft{Left: b.name, Count: left[b.name]})
	}
	out.Left = append(out.Left, client.BoardLeft{Left: leftMore, Count: left[leftMore]})
	return out, first
}

// board counts roll-overs, and reads the first ones of each column.
func (s *server) board(ctx context.Context, of openRollovers, at time.Time) (*Entity[client.RolloverBoard], error) {
	out, first := countBoard(of, at)
	views, err := s.viewRollovers(ctx, first)
	for _, v := range views {
		column := &out.States[slices.Index(boardStates, v.column)]
		column.First = append(column.First, v.view)
	}
	return &Entity[client.RolloverBoard]{Body: out}, err
}

func (s *server) fleetBoard(ctx context.Context, _ *struct{}) (*Entity[client.RolloverBoard], error) {
	open, at, err := s.fleetRollovers.survey.get(ctx)
	if err != nil {
		return nil, err
	}
	return s.board(ctx, open, at)
}

func (s *server) tenantBoard(ctx context.Context, in *InTenant) (*Entity[client.RolloverBoard], error) {
	of, err := s.tenantRollovers(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	return s.board(ctx, of, s.clock())
}

func hostWords(h client.RolloverHost) []string { return []string{h.Host} }

func (s *server) fleetHosts(ctx context.Context, in *Searched) (*List[client.RolloverHost], error) {
	open, _, err := s.fleetRollovers.survey.get(ctx)
	if err != nil {
		return nil, err
	}
	found := matching(open.hosts, in.Query, hostWords)
	out, err := pageAt(found, in.Paged, func(h client.RolloverHost) client.RolloverHost { return h })
	if err != nil {
		return nil, err
	}
	hosts := make([]string, len(out.Body.Items))
	for i, h := range out.Body.Items {
		hosts[i] = h.Host
	}
	parties, err := s.store.CounterpartiesOfHosts(ctx, hosts)
	for i, host := range hosts {
		out.Body.Items[i].Counterparty, out.Body.Items[i].CounterpartyName = parties[host].Name, parties[host].DisplayName
	}
	return out, err
}

func (s *server) tenantHosts(ctx context.Context, in *struct {
	InTenant
	Searched
}) (*List[client.RolloverHost], error) {
	of, err := s.tenantRollovers(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	hosts := matching(of.hosts, in.Query, hostWords)
	return pageAt(hosts, in.Paged, func(h client.RolloverHost) client.RolloverHost { return h })
}
