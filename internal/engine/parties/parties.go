// Package parties reads the state of a counterparty: the certificates of all tenants that its receivers must accept,
// with the worst first, and their numbers.
//
// It promises that a certificate is in the state that the roll-overs of its arrangements give it, as everywhere else,
// and that the numbers count the same list. The list of a counterparty with more than [Small] certificates may be up to
// [Age] old, because it is read for everyone who opens the page. Time is an argument everywhere.
package parties

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/recent"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// Small is the number of certificates up to which a list is read for every reader, so that it is always current. It
	// is a number and not a time, so that slow and fast machines show the same result.
	Small = 200
	// Age is the age at which a longer list is read again.
	Age = 15 * time.Second
	// mostLists limits the lists that are kept in memory: at most twice as many.
	mostLists = 16
	// pageSize is the number of tenants that are read at once.
	pageSize = 500
)

// State names the next step of the receivers that a certificate is presented to.
type State string

// The states, the worst first.
const (
	Exposed State = "exposed" // messages are sent with the new certificate only, and it is not proved to be accepted
	Refused State = "refused" // a receiver refuses the new certificate, and messages use the old one
	Needed  State = "needed"  // the new certificate must be accepted before the deadline
	Claimed State = "claimed" // the new certificate was reported as installed, and nothing proves it yet
	Done    State = "done"    // the new certificate is proved to be accepted
	Quiet   State = "quiet"   // there is no new certificate
)

// States lists the states, the worst first.
func States() []State { return []State{Exposed, Refused, Needed, Claimed, Done, Quiet} }

// rank returns the position of a state in a list, from 0 for the worst.
func rank(s State) int { return slices.Index(States(), s) }

// Open reports whether something is left to do.
func (s State) Open() bool { return s == Exposed || s == Refused || s == Needed || s == Claimed }

// A Line is one certificate of a tenant, with the arrangements that present it to the counterparty.
type Line struct {
	Tenant      string // name
	DisplayName string // of the tenant
	Credential  tenancy.Purpose
	// State is the worst of the arrangements.
	State State
	// Deadline is the earliest of the arrangements, as [rollover.Risk] defines it; zero unless the state is open.
	Deadline time.Time
	// New is the certificate to accept, the newest one that can be presented. Old is the one before it that a receiver is
	// known to accept, or the last one; it is the zero value if there is none.
	New, Old Certificate
	Revoked  []string // IDs of earlier certificates that are revoked and have not expired
	Members  []Member // the worst first
}

// A Certificate is what a list keeps of a certificate, so that a list of 100,000 tenants fits into memory.
type Certificate struct {
	ID          string
	Generation  int
	Fingerprint string
	NotAfter    time.Time
}

func certificate(c tenancy.Certificate) Certificate {
	return Certificate{ID: c.ID, Generation: c.Generation, Fingerprint: c.Fingerprint, NotAfter: c.NotAfter}
}

// A Member is one arrangement of a line.
type Member struct {
	ID       string
	Name     string
	Endpoint string
	// Asks is true if the arrangement has a question of its own, so that a test can prove an acceptance.
	Asks   bool
	State  State
	Wanted int // generation to accept
}

// Key identifies a line in a list: TENANT/CREDENTIAL.
func (l Line) Key() string { return l.Tenant + "/" + string(l.Credential) }

// A List has the lines of a counterparty, the worst first, then by deadline and by name.
type List struct {
	Lines []Line
	// Counts has the number of lines in each state.
	Counts map[State]int
	// First is the earliest deadline of an open line; zero if none is open.
	First time.Time
	At    time.Time // when it was read
}

// OpenLines returns the number of lines that need something.
func (l List) OpenLines() (n int) {
	for state, count := range l.Counts {
		if state.Open() {
			n += count
		}
	}
	return n
}

// Position returns the index of the first line after the one with a key; 0 for an empty key. A key that is not in the
// list any more begins it again.
func (l List) Position(key string) int {
	return slices.IndexFunc(l.Lines, func(line Line) bool { return key != "" && line.Key() == key }) + 1
}

// Parties is safe for concurrent use.
type Parties struct {
	store *store.Store
	kept  *recent.Cache[string, *kept] // by the ID of the counterparty
}

// kept is the list of one counterparty. Its lock is held while the list is read, so that it is read once.
type kept struct {
	mu   sync.Mutex
	list List
}

// New returns the counterparties in a database.
func New(s *store.Store) (*Parties, error) {
	if s == nil {
		return nil, errors.New("counterparties: no store is given")
	}
	return &Parties{store: s, kept: recent.New[string, *kept](mostLists)}, nil
}

// Read returns the list of a counterparty. The caller must not change it.
func (p *Parties) Read(ctx context.Context, counterpartyID string, now time.Time) (List, error) {
	k := p.kept.GetOrPut(counterpartyID, &kept{})
	k.mu.Lock()
	defer k.mu.Unlock()
	if age := now.Sub(k.list.At); len(k.list.Lines) > Small && age >= 0 && age < Age {
		return k.list, nil
	}
	list, err := p.read(ctx, counterpartyID, now)
	if err == nil {
		k.list = list
	}
	return list, err
}

// Forget drops the list of a counterparty, so that the next reader sees a change of this replica.
func (p *Parties) Forget(counterpartyID string) {
	p.kept.Delete(counterpartyID)
}

func (p *Parties) read(ctx context.Context, counterpartyID string, now time.Time) (List, error) {
	list := List{Counts: map[State]int{}, At: now}
	for after := ""; ; {
		ids, err := p.store.CounterpartyTenants(ctx, counterpartyID, after, pageSize)
		if err != nil {
			return list, err
		}
		if len(ids) == 0 {
			break
		}
		lines, err := p.page(ctx, counterpartyID, ids, now)
		if err != nil {
			return list, err
		}
		list.Lines = append(list.Lines, lines...)
		after = ids[len(ids)-1]
	}
	slices.SortFunc(list.Lines, compare)
	for _, l := range list.Lines {
		slices.SortStableFunc(l.Members, func(a, b Member) int { return rank(a.State) - rank(b.State) })
		list.Counts[l.State]++
		if l.State.Open() && (list.First.IsZero() || l.Deadline.Before(list.First)) {
			list.First = l.Deadline
		}
	}
	return list, nil
}

// compare orders lines: the worst state first, then the earliest deadline, then the name.
func compare(a, b Line) int {
	return cmp.Or(rank(a.State)-rank(b.State), a.Deadline.Compare(b.Deadline), strings.Compare(a.Key(), b.Key()))
}

// page reads the lines of some tenants.
func (p *Parties) page(ctx context.Context, counterpartyID string, tenantIDs []string, now time.Time) ([]Line, error) {
	tenants, err1 := p.store.TenantsByID(ctx, tenantIDs)
	certs, err2 := p.store.InReachWithoutDER(ctx, tenantIDs)
	arrangements, err3 := p.store.CounterpartyArrangements(ctx, counterpartyID, tenantIDs)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	var ids []string
	for _, all := range arrangements {
		for _, a := range all {
			ids = append(ids, a.ID)
		}
	}
	evidence, err := p.store.EvidenceOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for _, id := range tenantIDs {
		lines = append(lines, linesOf(tenants[id], arrangements[id], certs[id], evidence, now)...)
	}
	return lines, nil
}

// linesOf returns the lines of a tenant: one for each credential that its arrangements present.
func linesOf(t tenancy.Tenant, arrangements []tenancy.Arrangement, inReach []tenancy.Certificate,
	evidence map[string][]standing.Evidence, now time.Time) (lines []Line) {
	for _, a := range arrangements {
		s := standing.Assemble(t, a, inReach, evidence[a.ID])
		if len(s.Certificates) == 0 {
			continue // the CA has not issued the first certificate yet, or every one is revoked
		}
		i := slices.IndexFunc(lines, func(l Line) bool { return l.Credential == a.Presents() })
		if i < 0 {
			i = len(lines)
			lines = append(lines, Line{Tenant: t.Name, DisplayName: t.DisplayName, Credential: a.Presents(),
				State: Quiet})
		}
		lines[i].add(s, now)
	}
	return lines
}

// add adds an arrangement to a line.
func (l *Line) add(s standing.Standing, now time.Time) {
	state, risk := StateOf(s, now)
	member := Member{ID: s.Arrangement.ID, Name: s.Arrangement.Name, Endpoint: s.Arrangement.Endpoint,
		Asks: s.Arrangement.Egress.Probe.Method != "", State: state, Wanted: risk.Wanted}
	n := len(s.Certificates)
	if member.Wanted == 0 {
		member.Wanted = s.Certificates[n-1].Generation
	}
	l.Members = append(l.Members, member)
	for _, c := range s.ToRemove(now) {
		if !slices.Contains(l.Revoked, c.ID) {
			l.Revoked = append(l.Revoked, c.ID)
		}
	}
	if rank(state) <= rank(l.State) {
		l.State = state
		wanted, _ := s.Certificate(member.Wanted)
		l.New = certificate(wanted)
		if n > 1 {
			l.Old = certificate(s.Certificates[n-2])
		}
		if known, found := s.Certificate(risk.Last); found && !risk.Exposed {
			l.Old = certificate(known)
		}
	}
	if state.Open() && (l.Deadline.IsZero() || risk.Deadline.Before(l.Deadline)) {
		l.Deadline = risk.Deadline
	}
}

// StateOf returns the state of one arrangement, and the risk of an open one.
func StateOf(s standing.Standing, now time.Time) (State, rollover.Risk) {
	risk, at := s.Rollover.Risk(now)
	if !at {
		if len(s.Certificates) > 1 {
			return Done, rollover.Risk{}
		}
		return Quiet, rollover.Risk{}
	}
	wanted, _ := s.Rollover.Generation(risk.Wanted)
	switch {
	case wanted.Verdict == rollover.Refused && !wanted.ClaimedAt.After(wanted.VerdictAt):
		if risk.Exposed {
			return Exposed, risk
		}
		return Refused, risk
	case wanted.ClaimedAt.After(wanted.VerdictAt) && wanted.ClaimedBy == rollover.Person:
		return Claimed, risk
	case risk.Exposed:
		return Exposed, risk
	}
	return Needed, risk
}
