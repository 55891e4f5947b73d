// Package rollovers reads and moves the roll-overs of arrangements, opens the certificates that they present, and keeps
// the messages that wait for delivery. It is the part of the engine that a gateway needs: it renews nothing, and has
// neither an issuer nor a policy.
//
// It promises that evidence about a receiver and the cut-over that it causes are one transaction, which locks the
// arrangement: two replicas never move the same roll-over at once. Time is an argument everywhere.
package rollovers

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// Rollovers is safe for concurrent use, even by several replicas.
type Rollovers struct {
	store  *store.Store
	seal   *keyring.Keyring
	tokens keyring.Tokens // may be nil
	log    *slog.Logger
}

// New returns the roll-overs in a database whose private keys are sealed with seal, or are in tokens. Each argument is
// required but the tokens: without them, a key in a token does not sign.
func New(s *store.Store, seal *keyring.Keyring, tokens keyring.Tokens, log *slog.Logger) (*Rollovers, error) {
	switch {
	case s == nil:
		return nil, errors.New("roll-overs: no store is given")
	case seal == nil:
		return nil, errors.New("roll-overs: no keyring is given")
	case log == nil:
		return nil, errors.New("roll-overs: no logger is given")
	}
	return &Rollovers{s, seal, tokens, log}, nil
}

// Standings reads the state of those of a tenant's arrangements that present a certificate.
func (o *Rollovers) Standings(ctx context.Context, r store.Reader, t tenancy.Tenant,
	arrangements []tenancy.Arrangement) ([]standing.Standing, error) {
	all, _, err := o.StandingsInReach(ctx, r, t, arrangements)
	return all, err
}

// StandingsInReach is [Rollovers.Standings]. It also returns the generations of all credentials that are not retired,
// oldest first.
func (o *Rollovers) StandingsInReach(ctx context.Context, r store.Reader, t tenancy.Tenant,
	arrangements []tenancy.Arrangement) ([]standing.Standing, []tenancy.Certificate, error) {
	var presenting []tenancy.Arrangement
	var ids []string
	for _, a := range arrangements {
		if a.Authentication == tenancy.ClientCertificate {
			presenting, ids = append(presenting, a), append(ids, a.ID)
		}
	}
	certs, err1 := r.InReachOf(ctx, []string{t.ID})
	evidence, err2 := r.EvidenceOf(ctx, ids)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	all := make([]standing.Standing, len(presenting))
	for i, a := range presenting {
		all[i] = standing.Assemble(t, a, certs[t.ID], evidence[a.ID])
	}
	return all, certs[t.ID], nil
}

// Standing reads the state of one arrangement. It returns [tenancy.ErrRefused] if the arrangement presents no
// certificate.
func (o *Rollovers) Standing(ctx context.Context, r store.Reader, t tenancy.Tenant,
	a tenancy.Arrangement) (s standing.Standing, err error) {
	all, err := o.Standings(ctx, r, t, []tenancy.Arrangement{a})
	switch {
	case err != nil:
		return s, err
	case len(all) == 0:
		return s, tenancy.Errorf(tenancy.ErrRefused, "arrangement %s/%s presents no client certificate", t.Name, a.Name)
	case len(all[0].Certificates) == 0 && len(all[0].Rollover.Generations) > 0:
		return s, tenancy.Errorf(tenancy.ErrRefused, "the certificate of the credential %s of tenant %s is revoked, and "+
			"no message can be sent until its CA issues the next one", a.Presents(), t.Name)
	case len(all[0].Certificates) == 0:
		return s, tenancy.Errorf(tenancy.ErrRefused, "tenant %s has no certificate of the credential %s that could be "+
			"presented", t.Name, a.Presents())
	}
	return all[0], nil
}

// Named reads the state of the arrangement with these names. An arrangement that presents no certificate is returned
// without a roll-over.
func (o *Rollovers) Named(ctx context.Context, tenant, arrangement string) (s standing.Standing, err error) {
	t, err := o.store.Tenant(ctx, tenant)
	if err != nil {
		return s, err
	}
	a, err := o.store.Arrangement(ctx, t.ID, arrangement)
	if err != nil {
		return s, err
	}
	if a.Authentication != tenancy.ClientCertificate {
		return standing.Standing{Tenant: t, Arrangement: a}, nil
	}
	return o.Standing(ctx, o.store.Reader, t, a)
}

// Choose cuts an arrangement over, or back, on the decision of a user.
func (o *Rollovers) Choose(ctx context.Context, arrangementID string, generation int, actor string,
	now time.Time) (standing.Standing, error) {
	choose := func(_ *store.Tx, s *standing.Standing) (move *rollover.Move, err error) {
		s.Rollover, move, err = s.Rollover.Choose(generation, now)
		return move, err
	}
	return o.step(ctx, arrangementID, actor, now, choose)
}

// step does one step of a roll-over in a transaction that locks the arrangement.
func (o *Rollovers) step(ctx context.Context, arrangementID, actor string, now time.Time,
	do func(*store.Tx, *standing.Standing) (*rollover.Move, error)) (s standing.Standing, err error) {
	var move *rollover.Move
	err = o.store.InTx(ctx, func(tx *store.Tx) error {
		a, err := tx.LockArrangement(ctx, arrangementID)
		if err != nil {
			return err
		}
		tenants, err := tx.TenantsByID(ctx, []string{a.TenantID})
		if err != nil {
			return err
		}
		if s, err = o.Standing(ctx, tx.Reader, tenants[a.TenantID], a); err != nil {
			return err
		}
		if move, err = do(tx, &s); err != nil || move == nil {
			tx.Changed(a.TenantID) // new evidence may change the order in which a gateway tries the generations
			return err
		}
		return storeMove(ctx, tx, &s, *move, actor, now)
	})
	if err == nil && move != nil {
		o.LogCutOvers(ctx, []CutOver{{s.Name(), s.Arrangement, *move}})
	}
	return s, err
}

// storeMove stores a move with its audit event.
func storeMove(ctx context.Context, tx *store.Tx, s *standing.Standing, m rollover.Move, actor string,
	now time.Time) error {
	s.Arrangement.Generation = m.To
	if err := tx.CutOver(ctx, []tenancy.Arrangement{s.Arrangement}, now); err != nil {
		return err
	}
	s.Arrangement.Version++ // as CutOver does
	if err := tx.Activate(ctx, s.Tenant.ID, s.Arrangement.Presents(), m.To); err != nil {
		return err
	}
	tx.Changed(s.Tenant.ID)
	return tx.Audit(ctx, CutOver{s.Name(), s.Arrangement, m}.Event(now, actor, s.Tenant.Name))
}

// A CutOver is an arrangement that presents another generation from now on.
type CutOver struct {
	Name        string // TENANT/ARRANGEMENT
	Arrangement tenancy.Arrangement
	Move        rollover.Move
}

// Event returns the audit event of a cut-over.
func (c CutOver) Event(now time.Time, actor, tenant string) tenancy.Event {
	detail := map[string]any{"from": c.Move.From, "generation": c.Move.To, "strategy": c.Arrangement.Strategy,
		"why": c.Move.Why}
	if c.Move.Forced {
		detail["may_break_delivery"] = true
	}
	return tenancy.NewEvent(now, actor, "arrangement.cut-over", tenant, c.Name, detail)
}

// LogCutOvers logs cut-overs that are committed. One that may break delivery is logged as an error.
func (o *Rollovers) LogCutOvers(ctx context.Context, all []CutOver) {
	for _, c := range all {
		if c.Move.Forced {
			o.log.ErrorContext(ctx, "a revoked certificate was abandoned at once: messages fail until the receiver accepts "+
				"the new one",
				"arrangement", c.Name, "from", c.Move.From, "to", c.Move.To, "why", c.Move.Why)
		} else {
			o.log.InfoContext(ctx, "cut over", "arrangement", c.Name, "from", c.Move.From, "to", c.Move.To, "why", c.Move.Why)
		}
	}
}

// A Fleet is a tenant with everything on which the roll-overs of its arrangements depend.
type Fleet struct {
	Tenant       tenancy.Tenant
	Arrangements []tenancy.Arrangement
	InReach      []tenancy.Certificate          // generations of all credentials, oldest first
	Evidence     map[string][]standing.Evidence // by arrangement ID
}

// AfterRenewal returns the cut-overs that a renewal causes at once. old is the replaced generation in its new state,
// next its successor.
func (f Fleet) AfterRenewal(old, next tenancy.Certificate, now time.Time) (moved []CutOver) {
	certs := slices.Clone(f.InReach)
	for i, c := range certs {
		if c.ID == old.ID {
			certs[i] = old // it may be revoked
		}
	}
	certs = append(certs, next)
	for _, a := range f.Arrangements {
		if a.Authentication != tenancy.ClientCertificate || a.Presents() != next.Purpose {
			continue
		}
		if _, move := standing.Assemble(f.Tenant, a, certs, f.Evidence[a.ID]).Rollover.At(now); move != nil {
			a.Generation = move.To
			moved = append(moved, CutOver{f.Tenant.Name + "/" + a.Name, a, *move})
		}
	}
	return moved
}
