package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func registerAttention(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: "/attention", summary: "List what needs attention, the worst first",
		access: operators,
	}, (*server).listAttention)
}

const (
	// mostHosts limits the hosts with receivers at risk that are listed.
	mostHosts = 20
	// urgentWithin is the time before a deadline from which receivers at risk are urgent.
	urgentWithin = 7 * policy.Day
)

func (s *server) listAttention(ctx context.Context, _ *struct{}) (*Entity[client.AttentionList], error) {
	o, err := s.getOverview(ctx, nil)
	if err != nil {
		return nil, err
	}
	risk, asOf, err := s.fleetRollovers.get(ctx)
	var counting huma.StatusError
	if err != nil && !errors.As(err, &counting) {
		return nil, err
	}
	counts, _, err := s.fleetCounts.get(ctx)
	if err != nil && !errors.As(err, &counting) {
		return nil, err
	}
	proposals, err := s.store.CountProposals(ctx)
	if err != nil {
		return nil, err
	}
	out := client.AttentionList{Items: s.causesOf(ctx, o.Body, counts.WorkCounts, proposals)}
	if !asOf.IsZero() {
		out.AsOf = asOf.UTC()
	}
	hosts, _ := s.riskHosts.read(risk, asOf, s.clock())
	out.More = max(0, len(hosts)-mostHosts)
	for _, h := range hosts[:min(len(hosts), mostHosts)] {
		h.Title = words.Say(ctx, hostTitle(h))
		out.Items = append(out.Items, h)
	}
	slices.SortStableFunc(out.Items, moreUrgent)
	return &Entity[client.AttentionList]{Body: out}, nil
}

// moreUrgent compares causes: those for which no message can be sent come first, then urgent ones, then those with the
// earliest deadline.
func moreUrgent(a, b client.Attention) int {
	late := func(t time.Time) int64 {
		if t.IsZero() {
			return 1<<63 - 1
		}
		return t.UnixMicro()
	}
	urgent := map[bool]int{true: 0, false: 1}
	return cmp.Or(urgent[a.Stopped > 0]-urgent[b.Stopped > 0], urgent[a.Urgent]-urgent[b.Urgent],
		cmp.Compare(late(a.Deadline), late(b.Deadline)))
}

// causesOf returns the causes besides receivers at risk.
func (s *server) causesOf(ctx context.Context, o client.Overview, counts client.WorkCounts,
	proposals int) []client.Attention {
	all := []client.Attention{}
	add := func(v client.Attention, title tenancy.Text) {
		if v.Count > 0 {
			v.Title = words.Say(ctx, title)
			all = append(all, v)
		}
	}
	if o.MailsHeld != nil {
		add(client.Attention{Cause: client.AttentionMailHeld, Urgent: true, Turn: "operator", Count: 1,
			Since: o.MailsHeld.Since}, tenancy.Say("no mail is sent, because the mail server refuses this installation: %s",
			o.MailsHeld.Reason))
	}
	if run := o.LastRun; run != nil && run.FinishedAt.IsZero() && run.Failed > 0 {
		add(client.Attention{Cause: client.AttentionRun, Urgent: true, Turn: "operator", Count: run.Failed,
			Since: run.RunDate}, tenancy.Say("%d certificates of the last run are not renewed yet: %s", run.Failed,
			run.LastError))
	}
	if !o.CAAwaited.IsZero() {
		add(client.Attention{Cause: client.AttentionAuthority, Urgent: o.CAAwaited.Sub(s.clock()) < 30*policy.Day,
			Turn: "operator", Count: 1, Deadline: o.CAAwaited}, tenancy.Say("the root must sign the next issuing CA"))
	}
	add(client.Attention{Cause: client.AttentionTokens, Urgent: o.TokensFrom.Sub(s.clock()) < urgentWithin,
		Turn: "operator", Count: o.Tokens, Deadline: o.TokensFrom},
		tenancy.Say("tokens of senders and gateways that expire: %d", o.Tokens))
	add(client.Attention{Cause: client.AttentionGuard, Turn: "operator", Count: o.GuardHeld},
		tenancy.Say("certificates of partners that need your decision: %d", o.GuardHeld))
	add(client.Attention{Cause: client.AttentionMailDead, Turn: "operator", Count: o.MailsDead},
		tenancy.Say("mails that failed for good: %d", o.MailsDead))
	add(client.Attention{Cause: client.AttentionFeeds, Turn: "receiver", Count: o.FeedsSilent},
		tenancy.Say("feeds that are no longer fetched: %d", o.FeedsSilent))
	add(client.Attention{Cause: client.AttentionProposals, Turn: "operator", Count: proposals},
		tenancy.Say("hosts that several tenants name, which may be one counterparty: %d", proposals))
	add(client.Attention{Cause: client.AttentionUnwarned, Turn: "owner", Count: counts.Unwarned, Tenants: counts.Unwarned},
		tenancy.Say("tenants without a key user, so that no person is warned: %d", counts.Unwarned))
	return all
}

// A riskHosts keeps the arrangements at risk of one survey by the host of their receiver.
type riskHosts struct {
	mu     sync.Mutex // guards the fields below
	of     *standing.Standing
	at     time.Time
	groups []client.Attention
	ofHost map[string][]standing.Standing
}

// read returns the groups of a survey, the most urgent first, and the arrangements at risk of each host. The caller
// must not change them.
func (h *riskHosts) read(risk []standing.Standing, at, now time.Time) ([]client.Attention,
	map[string][]standing.Standing) {
	if len(risk) == 0 {
		return nil, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of != &risk[0] || !h.at.Equal(at) {
		h.of, h.at, h.groups, h.ofHost = &risk[0], at, byHost(risk, now), map[string][]standing.Standing{}
		for _, s := range risk {
			host := hostOf(s.Arrangement)
			h.ofHost[host] = append(h.ofHost[host], s)
		}
	}
	return h.groups, h.ofHost
}

// byHost groups arrangements at risk by the host of their receiver, the most urgent first.
func byHost(risk []standing.Standing, now time.Time) (all []client.Attention) {
	at := map[string]int{}
	tenants := map[string]map[string]bool{}
	for _, s := range risk {
		host := hostOf(s.Arrangement)
		i, found := at[host]
		if !found {
			i = len(all)
			at[host], tenants[host] = i, map[string]bool{}
			all = append(all, client.Attention{Cause: client.AttentionReceivers, Turn: "receiver", Host: host})
		}
		v := &all[i]
		v.Count++
		tenants[host][s.Tenant.ID] = true
		v.Tenants = len(tenants[host])
		risk, _ := s.Rollover.Risk(now)
		if known, _ := s.Rollover.Generation(risk.Wanted); known.Verdict == rollover.Refused {
			v.Refused++
		}
		if risk.Stopped() {
			v.Stopped++
			v.Turn = client.TurnOperator
		}
		if v.Deadline.IsZero() || risk.Deadline.Before(v.Deadline) {
			v.Deadline = risk.Deadline
		}
		v.Urgent = v.Urgent || risk.Exposed || risk.Deadline.Sub(now) < urgentWithin
	}
	slices.SortStableFunc(all, moreUrgent)
	return all
}

// hostOf returns the host of an arrangement's receiver.
func hostOf(a tenancy.Arrangement) string {
	u, err := url.Parse(a.Endpoint)
	if err != nil {
		return a.Endpoint
	}
	return u.Hostname()
}

// hostTitle states what is open at a host.
func hostTitle(v client.Attention) tenancy.Text {
	switch {
	case v.Stopped > 0:
		return tenancy.Say("%s: no message can be sent in %d of %d arrangements, because the certificate is revoked and "+
			"the CA has not issued the next one", v.Host, v.Stopped, v.Count)
	case v.Refused > 0 && v.Count == 1:
		return tenancy.Say("%s refuses the new certificate", v.Host)
	case v.Refused > 0:
		return tenancy.Say("%s refuses the new certificate in %d of %d arrangements", v.Host, v.Refused, v.Count)
	case v.Tenants > 1:
		return tenancy.Say("%s: %d tenants wait for the same administrator", v.Host, v.Tenants)
	}
	return tenancy.Say("%s is not known to accept the new certificate", v.Host)
}
