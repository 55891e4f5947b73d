package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/egress/diagnose"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/prober"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

func viewRollover(ctx context.Context, s standing.Standing, now time.Time) client.Rollover {
	risk, at := s.Rollover.Risk(now)
	v := client.Rollover{
		Arrangement: s.Name(), Host: hostOf(s.Arrangement), Strategy: s.Arrangement.Strategy, State: s.Rollover.State(now),
		Credential: string(s.Arrangement.Presents()), Presents: s.Rollover.Presents, Tries: s.Rollover.Order(now),
		AtRisk: at, UnaskedAt: s.Rollover.UnaskedAt, NewestOnly: s.Rollover.NewestOnly,
		QuietUntil: s.Rollover.QuietUntil(),
	}
	if at {
		v.Deadline, v.DaysLeft, v.Exposed, v.Wanted = risk.Deadline, float64(risk.Days(now)), risk.Exposed, risk.Wanted
		v.Stopped = risk.Stopped()
	}
	for _, g := range s.Rollover.Generations {
		k := client.RolloverKnowledge{
			Generation: g.Number, NotAfter: g.NotAfter, LeaveAt: g.LeaveAt(),
			NoticedUntil: g.NoticedUntil, PresentedAt: g.PresentedAt, Verdict: g.Verdict,
			VerdictAt: g.VerdictAt, Revoked: g.Revoked, Source: g.By,
		}
		for _, c := range slices.Concat(s.Certificates, s.Revoked) {
			if c.Generation == g.Number {
				k.Fingerprint = c.Fingerprint
			}
		}
		_, move, err := s.Rollover.Choose(g.Number, now)
		k.Choosable = move != nil && err == nil
		if g.Verdict != rollover.Accepted && g.ClaimedAt.After(g.VerdictAt) { // an older claim is refuted
			k.ClaimedAt, k.ClaimedBy = g.ClaimedAt, g.ClaimedBy
		}
		for _, e := range s.Evidence {
			if e.Generation == g.Number {
				k.Answer = said(ctx, e.Detail)
			}
		}
		v.Generations = append(v.Generations, k)
	}
	return v
}

// compared returns the newest generation, and the one that the receiver has: the one that messages rely on, else the
// last one that it accepted, which may be revoked, else the previous one. several is false if there is only one.
func compared(of standing.Standing, now time.Time) (old, next tenancy.Certificate, several bool) {
	n := len(of.Certificates)
	if n == 0 {
		return old, next, false
	}
	next = of.Certificates[n-1]
	if risk, at := of.Rollover.Risk(now); at && !risk.Exposed {
		if c, known := of.Certificate(risk.Last); known {
			return c, next, true
		}
	}
	older := slices.DeleteFunc(slices.Concat(of.Revoked, of.Certificates), func(c tenancy.Certificate) bool {
		return c.Generation >= next.Generation
	})
	if len(older) == 0 {
		return old, next, false
	}
	slices.SortFunc(older, func(a, b tenancy.Certificate) int { return b.Generation - a.Generation })
	had := slices.IndexFunc(older, func(c tenancy.Certificate) bool { return of.Rollover.Proved(c.Generation) })
	return older[max(had, 0)], next, true
}

// renewal compares the newest generation with the one that [compared] returns. It is nil if there is only one.
func (s *server) renewal(ctx context.Context, of standing.Standing) *client.Renewal {
	old, next, several := compared(of, s.clock())
	if !several {
		return nil
	}
	changes, comparable := s.changes(ctx, store.Chains{}, of.Tenant.Name, old, next)
	if !comparable {
		return nil
	}
	by := of.Arrangement.Egress.IdentifiesBy
	return &client.Renewal{Old: viewCertificate(old), New: viewCertificate(next), Changes: changes, IdentifiesBy: by,
		Survival: changes.Survival(by)}
}

// changes compares two certificates of a tenant. A page without the comparison is better than none.
func (s *server) changes(ctx context.Context, known store.Chains, tenant string,
	old, next tenancy.Certificate) (c tenancy.Changes, comparable bool) {
	c, err := s.store.Changes(ctx, known, old, next)
	if err != nil {
		s.log.WarnContext(ctx, "two certificates cannot be compared", "tenant", tenant, "generation", old.Generation,
			"next", next.Generation, "error", err)
	}
	return c, err == nil
}

func viewProbe(ctx context.Context, r outbound.Result) client.ProbeResult {
	verdict, answer := r.Outcome()
	return client.ProbeResult{
		Generation: r.Generation, Result: string(verdict), Answer: words.Say(ctx, answer), HandshakeOnly: r.Handshake,
		AcceptableCAs: r.AcceptableCAs, Milliseconds: r.Took.Milliseconds(),
	}
}

// viewAnswers lists the answers with each generation, and the one without a certificate at the end.
func viewAnswers(ctx context.Context, a outbound.Answers) (all []client.ProbeResult) {
	for _, r := range append(slices.Clone(a.Results), a.Control) {
		all = append(all, viewProbe(ctx, r))
	}
	return all
}

func viewMessage(ctx context.Context, m tenancy.Message) client.Message {
	return client.Message{
		ID: m.ID, At: m.At, Method: m.Method, Path: m.Path, Status: m.Status, Generation: m.Generation,
		Attempts: m.Attempts, Milliseconds: float64(m.Duration.Microseconds()) / 1000, Outcome: said(ctx, m.Outcome),
		Count: m.Count,
	}
}

func viewLink(l tenancy.Link) client.Link {
	return client.Link{
		ID: l.ID, URL: "", Generation: l.Generation, Address: l.Address, CreatedBy: l.CreatedBy, CreatedAt: l.CreatedAt,
		ExpiresAt: l.ExpiresAt, RevokedAt: l.RevokedAt, OpenedAt: l.OpenedAt, TestedAt: l.TestedAt, UsedAt: l.UsedAt,
	}
}

func (s *server) prober() *prober.Prober {
	return prober.New(s.engine, s.store, s.network, s.clock)
}

func (s *server) standing(ctx context.Context, in OneArrangement) (standing.Standing, error) {
	t, a, err := s.arrangement(ctx, in)
	if err != nil {
		return standing.Standing{}, err
	}
	return s.engine.Standing(ctx, s.store.Reader, t, a)
}

func registerRollovers(r *router) {
	register(r, endpoint{
		method: http.MethodGet, path: arrangementPath + "/rollover", summary: "Get the state of the roll-over",
		access: members,
	}, (*server).getRollover)
	register(r, endpoint{
		method: http.MethodPost, path: arrangementPath + "/rollover/choose", summary: "Present a generation from now on",
		access: members,
	}, (*server).chooseGeneration)
	register(r, endpoint{
		method: http.MethodPost, path: arrangementPath + "/rollover/confirm",
		summary: "Report that the receiver has installed a generation", access: members,
	}, (*server).confirmGeneration)
	register(r, endpoint{
		method: http.MethodPost, path: arrangementPath + "/rollover/probe",
		summary: "Test which generations the receiver accepts", access: members,
	}, (*server).probeReceiver)
	register(r, endpoint{
		method: http.MethodPost, path: arrangementPath + "/diagnosis", summary: "Find out why messages fail", access: members,
	}, (*server).diagnoseArrangement)
	register(r, endpoint{
		method: http.MethodGet, path: arrangementPath + "/messages", summary: "List the messages in the log, latest first",
		access: members,
	}, (*server).listMessages)
	register(r, endpoint{
		method: http.MethodGet, path: "/at-risk",
		summary: "List roll-overs at risk by days left. In a large fleet, up to a minute old",
		access:  operators,
	}, (*server).listAtRisk)
	register(r, endpoint{
		method: http.MethodGet, path: "/tenants/{tenant}/at-risk",
		summary: "List the roll-overs of a tenant that are at risk by days left", access: members,
	}, (*server).listTenantAtRisk)
}

func (s *server) getRollover(ctx context.Context, in *OneArrangement) (*Entity[client.Rollover], error) {
	t, a, err := s.arrangement(ctx, *in)
	if err != nil {
		return nil, err
	}
	all, err := s.engine.Standings(ctx, s.store.Reader, t, []tenancy.Arrangement{a})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 || len(all[0].Rollover.Generations) == 0 {
		_, err := s.engine.Standing(ctx, s.store.Reader, t, a) // it states the reason
		return nil, err
	}
	return s.entity(ctx, all[0])
}

// entity is the answer about one roll-over.
func (s *server) entity(ctx context.Context, of standing.Standing) (*Entity[client.Rollover], error) {
	view, err := s.viewOne(ctx, of)
	return &Entity[client.Rollover]{etag(of.Arrangement.Version), view}, err
}

// viewOne is the view of one roll-over, with its revoked certificates, its renewal and its next step.
func (s *server) viewOne(ctx context.Context, of standing.Standing) (view client.Rollover, err error) {
	view = viewRollover(ctx, of, s.clock())
	view.Revoked = serials(of.ToRemove(s.clock()))
	view.Renewal = s.renewal(ctx, of)
	view.Next = nextStep(view, of.Arrangement.Egress.Probe, s.clock())
	return view, err
}

// listView returns a function that views roll-overs of a list, each with its next step. It compares two certificates
// only if the step depends on it, and then once.
func (s *server) listView(ctx context.Context) func(of standing.Standing, now time.Time) client.Rollover {
	type pair struct{ old, next string }
	known := map[pair]*client.Renewal{}
	return func(of standing.Standing, now time.Time) client.Rollover {
		view := viewRollover(ctx, of, now)
		with := view
		old, next, several := compared(of, now)
		if by := of.Arrangement.Egress.IdentifiesBy; view.AtRisk && several && len(by) > 0 {
			key := pair{old.ID, next.ID}
			if _, found := known[key]; !found {
				known[key] = s.renewal(ctx, of)
			}
			if r := known[key]; r != nil {
				with.Renewal = &client.Renewal{Survival: r.Changes.Survival(by)}
			}
		}
		view.Next = nextStep(with, of.Arrangement.Egress.Probe, now)
		return view
	}
}

func (s *server) chooseGeneration(ctx context.Context, in *struct {
	OneArrangement
	Body struct {
		Generation int `json:"generation" minimum:"1"`
	}
}) (*Entity[client.Rollover], error) {
	standing, err := s.standing(ctx, in.OneArrangement)
	if err != nil {
		return nil, err
	}
	if standing, err = s.engine.Choose(ctx, standing.Arrangement.ID, in.Body.Generation, actor(ctx),
		s.now()); err != nil {
		return nil, err
	}
	return s.entity(ctx, standing)
}

func (s *server) confirmGeneration(ctx context.Context, in *struct {
	OneArrangement
	Body struct {
		Generation int `json:"generation" minimum:"1"`
	}
}) (*Entity[client.Rollover], error) {
	current, err := s.standing(ctx, in.OneArrangement)
	if err != nil {
		return nil, err
	}
	if _, ok := current.Certificate(in.Body.Generation); !ok {
		usable := current.Rollover.Usable(s.clock())
		if usable == "" {
			return nil, tenancy.Errorf(tenancy.ErrRefused, "generation %d is not available to %s", in.Body.Generation,
				current.Name())
		}
		return nil, tenancy.Errorf(tenancy.ErrRefused, "generation %d is not available to %s: usable generations: %s",
			in.Body.Generation, current.Name(), usable)
	}
	claim, current, err := s.prober().Confirm(ctx, current, in.Body.Generation, actor(ctx),
		actor(ctx)+" reports it as installed")
	if err != nil {
		return nil, err
	}
	if claim.Contradicted {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "you report generation %d as installed at the receiver of %s, but "+
			"it still answers %s: check the installation there, and confirm again", in.Body.Generation, current.Name(),
			claim.Detail)
	}
	return s.entity(ctx, current)
}

func (s *server) probeReceiver(ctx context.Context, in *OneArrangement) (*Entity[client.Probed], error) {
	standing, err := s.standing(ctx, *in)
	if err != nil {
		return nil, err
	}
	answers, standing, err := s.prober().Probe(ctx, standing, actor(ctx))
	if err != nil {
		return nil, err
	}
	out := client.Probed{Results: viewAnswers(ctx, answers)}
	out.Rollover, err = s.viewOne(ctx, standing)
	return &Entity[client.Probed]{Body: out}, err
}

func (s *server) diagnoseArrangement(ctx context.Context, in *OneArrangement) (*Entity[client.Diagnosis], error) {
	standing, err := s.standing(ctx, *in)
	if err != nil {
		return nil, err
	}
	identities, err1 := s.engine.Identities(ctx, standing)
	recent, err2 := s.store.Messages(ctx, standing.Arrangement.ID, "", 50)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	asked := s.now()
	d := diagnose.Run(ctx, s.network.For(standing.Tenant.Name), standing, identities, recent, s.clock())
	if _, err := s.prober().Record(ctx, standing, actor(ctx), d.Answers, asked); err != nil {
		return nil, err
	}
	out := client.Diagnosis{Cause: string(d.Cause), Summary: words.Say(ctx, d.Summary),
		NextStep: words.Say(ctx, d.NextStep), Action: string(d.Action), Command: d.Command, Rule: d.Rule,
		Results: viewAnswers(ctx, d.Answers)}
	for _, e := range d.Evidence {
		out.Evidence = append(out.Evidence, words.Say(ctx, e))
	}
	return &Entity[client.Diagnosis]{Body: out}, nil
}

func (s *server) listMessages(ctx context.Context, in *struct {
	OneArrangement
	Grown
	Failed bool `query:"failed" doc:"Only messages that failed, without those that their sender cancelled. A page is limited as with q."`
}) (*List[client.Message], error) {
	_, a, err := s.arrangement(ctx, in.OneArrangement)
	if err != nil {
		return nil, err
	}
	shown := func(m tenancy.Message) client.Message { return viewMessage(ctx, m) }
	choice := store.MessageChoice{Failed: in.Failed, Text: strings.TrimSpace(in.Query)}
	if choice == (store.MessageChoice{}) {
		rows, err := s.store.Messages(ctx, a.ID, in.Cursor, in.Limit+1)
		return pageOf(rows, in.Limit, func(m tenancy.Message) string { return m.ID }, shown), err
	}
	rows, next, err := s.store.SearchMessages(ctx, a.ID, choice, in.Cursor, in.Limit)
	return listed(rows, store.Place{ID: next}, "", shown), err
}

func (s *server) listAtRisk(ctx context.Context, in *struct {
	Searched
	Host string `query:"host" maxLength:"253" doc:"Only those whose receiver is at this host."`
}) (*List[client.Rollover], error) {
	all, at, err := s.fleetRollovers.get(ctx)
	if err != nil {
		return nil, err
	}
	if in.Host != "" {
		_, ofHost := s.riskHosts.read(all, at, s.clock())
		all = ofHost[in.Host]
	}
	all = matching(all, in.Query, wordsOf)
	view := s.listView(ctx)
	return pageAt(all, in.Paged, func(standing standing.Standing) client.Rollover { return view(standing, s.clock()) })
}

// wordsOf returns the texts by which a roll-over is found.
func wordsOf(of standing.Standing) []string {
	return []string{of.Name(), of.Tenant.DisplayName, hostOf(of.Arrangement)}
}

func (s *server) listTenantAtRisk(ctx context.Context, in *struct {
	InTenant
	Query string `query:"q" maxLength:"200" doc:"Only those whose arrangement or host contains this text, in upper or lower case."`
}) (*List[client.Rollover], error) {
	all, err := s.standings(ctx, in.Tenant)
	all = matching(all, in.Query, wordsOfOwn)
	now := s.clock()
	all = slices.DeleteFunc(all, func(standing standing.Standing) bool {
		_, at := standing.Rollover.Risk(now)
		return !at
	})
	byUrgency(all, now)
	view := s.listView(ctx)
	return pageOf(all, len(all), nil, func(standing standing.Standing) client.Rollover { return view(standing, now) }), err
}

// wordsOfOwn returns the texts by which a roll-over is found among those of its tenant.
func wordsOfOwn(of standing.Standing) []string {
	return []string{of.Arrangement.Name, hostOf(of.Arrangement)}
}

// standings returns the standing of every arrangement of a tenant.
func (s *server) standings(ctx context.Context, tenant string) ([]standing.Standing, error) {
	t, err := s.tenant(ctx, tenant)
	if err != nil {
		return nil, err
	}
	arrangements, err := s.store.ArrangementsOf(ctx, []string{t.ID})
	if err != nil {
		return nil, err
	}
	return s.engine.Standings(ctx, s.store.Reader, t, arrangements[t.ID])
}

// byUrgency sorts arrangements at risk, most urgent first.
func byUrgency(all []standing.Standing, now time.Time) {
	slices.SortStableFunc(all, func(a, b standing.Standing) int {
		one, _ := a.Rollover.Risk(now)
		other, _ := b.Rollover.Risk(now)
		return one.Compare(other)
	})
}

func registerLinks(r *router) {
	register(r, endpoint{
		method: http.MethodPost, path: arrangementPath + "/rollover/links",
		summary: "Create a link for the administrator of the receiver", status: http.StatusCreated, access: members,
	}, (*server).createLink)
	register(r, endpoint{
		method: http.MethodGet, path: arrangementPath + "/rollover/links",
		summary: "List the links for the administrator of the receiver", access: members,
	}, (*server).listLinks)
	register(r, endpoint{
		method: http.MethodDelete, path: arrangementPath + "/rollover/links/{link}", summary: "Revoke a link",
		status: http.StatusNoContent, access: members,
	}, (*server).revokeLink)
}

func (s *server) createLink(ctx context.Context, in *OneArrangement) (*Created[client.Link], error) {
	standing, err := s.standing(ctx, *in)
	if err != nil {
		return nil, err
	}
	secret := rand.Text()
	l := newLink(standing, actor(ctx), s.now())
	err = s.change(ctx, "link.created", standing.Tenant.Name, standing.Name(),
		map[string]any{"link": l.ID, "generation": l.Generation, "expires_at": l.ExpiresAt}, func(tx *store.Tx) error {
			if err := s.roomForLink(ctx, tx, standing.Name(), standing.Arrangement.ID); err != nil {
				return err
			}
			return tx.CreateLink(ctx, l, tenancy.HashSecret(secret))
		})
	v := viewLink(l)
	v.URL = s.baseURL + "/rollover/" + secret
	location := prefix + client.TenantPath(in.Tenant, "arrangements", in.Name) + "/rollover/links/" + l.ID
	return &Created[client.Link]{Location: location, Body: v}, err
}

func (s *server) listLinks(ctx context.Context, in *struct {
	OneArrangement
	Searched
	ByAge
}) (*List[client.Link], error) {
	_, a, err := s.arrangement(ctx, in.OneArrangement)
	if err != nil {
		return nil, err
	}
	page, err := in.page(in.Sort, in.Query)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.store.Links(ctx, a.ID, page)
	return listed(rows, next, in.Sort, viewLink), err
}

func (s *server) revokeLink(ctx context.Context, in *struct {
	OneArrangement
	Link string `path:"link" maxLength:"36"`
}) (*struct{}, error) {
	t, a, err := s.arrangement(ctx, in.OneArrangement)
	if err != nil {
		return nil, err
	}
	return nil, s.change(ctx, "link.revoked", t.Name, t.Name+"/"+a.Name, map[string]any{"link": in.Link},
		func(tx *store.Tx) error {
			return tx.RevokeLink(ctx, a.ID, in.Link, s.now())
		})
}
