package api

import (
	"context"
	"net/http"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// Authority is a certificate authority of the local CA.
type Authority struct {
	ID         string                `json:"id"`
	Kind       tenancy.AuthorityKind `json:"kind" enum:"root,issuing"`
	Subject    string                `json:"subject"`
	Stage      local.Stage           `json:"stage" enum:"announced,signs,replaced"`
	NotBefore  time.Time             `json:"not_before"`
	NotAfter   time.Time             `json:"not_after"`
	SignsFrom  time.Time             `json:"signs_from,omitzero" doc:"Of an issuing CA that was announced: when it begins to sign, at the latest."`
	AnnounceAt time.Time             `json:"announce_at" doc:"When its successor is made and announced."`
}

// AnnouncedAuthority finds the issuing CA in a list that does not sign yet, if there is one.
func AnnouncedAuthority(all []Authority) (a Authority, ok bool) {
	for _, a := range all {
		if a.Stage == local.Announced && a.Kind == tenancy.IssuingAuthority {
			return a, true
		}
	}
	return a, false
}

// Trust is whether a receiver accepts certificates of an announced authority.
type Trust struct {
	Tenant      string          `json:"tenant"`
	Arrangement string          `json:"arrangement"`
	Trust       tenancy.Trust   `json:"trust" enum:",trusted,untrusted" doc:"Empty while nothing is known."`
	At          time.Time       `json:"at,omitzero"`
	By          rollover.Source `json:"by,omitempty" enum:"probe,person"`
	Answer      string          `json:"answer,omitempty" doc:"What the receiver answered."`
}

func viewTrust(t store.Trust) Trust {
	return Trust{t.Tenant, t.Arrangement, t.Verdict, t.At, t.Source, t.Detail}
}

// AskedTrust is what a probe found about an announced authority.
type AskedTrust struct {
	Trust
	Authority string        `json:"authority"`
	Results   []ProbeResult `json:"results" doc:"First with a certificate of the announced authority, then with one of the present one."`
}

func (s *server) viewAuthorities() []Authority {
	all := []Authority{}
	for _, p := range s.CA.Plans(s.Now()) {
		all = append(all, Authority{p.ID, p.Kind, p.Subject, p.Stage, p.NotBefore, p.NotAfter, p.SignsFrom, p.AnnounceAt})
	}
	return all
}

// announced is the authority that does not sign yet.
func (s *server) announced(ctx context.Context) (tenancy.Authority, error) {
	now := s.Now()
	if err := s.CA.Refresh(ctx, now); err != nil { // another replica may have made it
		return tenancy.Authority{}, err
	}
	a, ok := s.CA.Announced(now)
	if !ok {
		return a, tenancy.Errorf(tenancy.ErrRefused, "no new CA is announced: there is nothing to trust yet")
	}
	return a, nil
}

func (s *server) authorities() {
	register(s, http.MethodGet, "/authorities", "List the authorities of the local CA and when their successors are "+
		"announced", 200, func(ctx context.Context, _ *struct{}) (*List[Authority], error) {
		if err := operator(ctx); err != nil {
			return nil, err
		}
		return &List[Authority]{Page[Authority]{Items: s.viewAuthorities()}}, nil
	})
	register(s, http.MethodPost, "/authorities", "Make and announce a new issuing CA", 201,
		func(ctx context.Context, in *struct {
			Body struct {
				SignsFrom time.Time `json:"signs_from,omitzero" doc:"When it begins to sign, at the latest: 93 days from now where left out."`
				NewRoot   bool      `json:"new_root,omitempty" doc:"Below a new root, which every receiver that trusts a CA must trust."`
			}
		}) (*Entity[Authority], error) {
			if err := operator(ctx); err != nil {
				return nil, err
			}
			made, err := s.CA.Announce(ctx, s.now(), in.Body.SignsFrom, in.Body.NewRoot)
			if err != nil {
				return nil, err
			}
			err = s.change(ctx, "authority.made", "", made.ID,
				map[string]any{"signs_from": made.SignsFrom, "new_root": in.Body.NewRoot}, func(*store.Tx) error {
					return nil
				})
			if err != nil {
				return nil, err
			}
			return s.authority(made.ID)
		})
	register(s, http.MethodPost, "/authorities/{authority}/sign", "Let an announced authority sign from now on", 200,
		func(ctx context.Context, in *struct {
			ID string `path:"authority" maxLength:"36"`
		}) (*Entity[Authority], error) {
			if err := operator(ctx); err != nil {
				return nil, err
			}
			if a, err := s.announced(ctx); err != nil || a.ID != in.ID {
				return nil, tenancy.Errorf(tenancy.ErrRefused, "%s is not announced: see perennial authority list", in.ID)
			}
			if err := s.Engine.SignFrom(ctx, in.ID, actor(ctx), s.now()); err != nil {
				return nil, err
			}
			return s.authority(in.ID)
		})
	register(s, http.MethodGet, "/authorities/{authority}/waiting", "List the arrangements whose receivers are not "+
		"known to trust an authority", 200, func(ctx context.Context, in *struct {
		ID string `path:"authority" maxLength:"36"`
		Paged
	}) (*List[Trust], error) {
		if err := operator(ctx); err != nil {
			return nil, err
		}
		if _, err := s.authority(in.ID); err != nil {
			return nil, err
		}
		rows, err := s.Store.NotTrusting(ctx, in.ID, in.Cursor, in.Limit+1)
		return pageOf(rows, in.Limit, func(t store.Trust) string { return t.ArrangementID }, viewTrust), err
	})
	register(s, http.MethodPost, "/tenants/{tenant}/arrangements/{arrangement}/authority",
		"Ask the receiver whether it trusts the announced CA, or say that it does", 200,
		func(ctx context.Context, in *struct {
			OneArrangement
			Body struct {
				Installed bool `json:"installed,omitempty" doc:"Its administrator says so: nobody is asked."`
			}
		}) (*Entity[AskedTrust], error) {
			standing, err := s.standing(ctx, in.OneArrangement)
			if err != nil {
				return nil, err
			}
			a, err := s.announced(ctx)
			if err != nil {
				return nil, err
			}
			var trust store.Trust
			var results []outbound.Result
			if in.Body.Installed {
				trust, err = s.Engine.Trust(ctx, a.ID, standing.Arrangement.ID, actor(ctx), tenancy.Trusted, rollover.Person, "",
					s.now())
			} else {
				trust, results, err = s.prober().ProbeAuthority(ctx, standing, a, actor(ctx))
			}
			out := AskedTrust{Trust: viewTrust(trust), Authority: a.ID, Results: []ProbeResult{}}
			for _, r := range results {
				out.Results = append(out.Results, viewProbe(r))
			}
			return &Entity[AskedTrust]{Body: out}, err
		})
}

func (s *server) authority(id string) (*Entity[Authority], error) {
	for _, a := range s.viewAuthorities() {
		if a.ID == id {
			return &Entity[Authority]{Body: a}, nil
		}
	}
	return nil, tenancy.Errorf(tenancy.ErrNotFound, "there is no authority %s", id)
}
