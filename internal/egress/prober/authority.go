package prober

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// questionLifetime is the validity of the certificates that are issued for a question.
const questionLifetime = time.Hour

// ProbeAuthority asks the receiver of an arrangement whether it accepts certificates of an announced authority, before
// the authority issues any other. It compares three answers: without a certificate, with the generation that messages
// present, and with a certificate of the announced authority that is issued for this question and discarded after it.
//
// A certificate of an authority that the receiver knows is never presented for a question, because a receiver that
// accepts only the newest certificate would then refuse the tenant's certificates. So the receiver is not asked if it
// names the announced authority in TLS, which is already an answer, or if it is known to accept only the newest
// certificate.
func (p *Prober) ProbeAuthority(ctx context.Context, s standing.Standing, announced tenancy.Authority,
	actor string) (v store.ReceiverTrust, results []outbound.Result, err error) {
	trust, why, results, err := p.askAuthority(ctx, s, announced)
	if err != nil {
		return v, results, err
	}
	if trust == tenancy.TrustUnknown {
		return store.ReceiverTrust{ArrangementID: s.Arrangement.ID, Tenant: s.Tenant.Name, Arrangement: s.Arrangement.Name,
			At: p.now(), Source: rollover.Probe, Detail: why.Stored()}, results, nil
	}
	v, err = p.engine.RecordTrust(ctx, announced.ID, s.Arrangement.ID, actor, trust, rollover.Probe, why.Stored(), p.now())
	return v, results, err
}

func (p *Prober) askAuthority(ctx context.Context, s standing.Standing,
	announced tenancy.Authority) (trust tenancy.Trust,
	why tenancy.Text, results []outbound.Result, err error) {
	endpoint, err := outbound.Endpoint(s.Arrangement.Endpoint)
	if err != nil {
		return trust, why, nil, err
	}
	identities, err := p.engine.Identities(ctx, s)
	if err != nil {
		return trust, why, nil, err
	}
	ask := func(id *standing.Identity) outbound.Result {
		r := outbound.Ask(ctx, p.network.For(s.Tenant.Name), endpoint, s.Arrangement.Egress, id)
		results = append(results, r)
		return r
	}
	presented := slices.IndexFunc(identities, func(id standing.Identity) bool {
		return id.Generation == s.Rollover.Presents
	})
	if presented < 0 {
		return tenancy.TrustUnknown, tenancy.Say("the tenant has no certificate to compare with"), nil, nil
	}
	control := ask(nil)
	switch {
	case control.Names(announced.DER, identities[presented].Certificate.Certificate[0]):
		return tenancy.Trusted, tenancy.Say("the receiver names the new CA among those that it accepts"), results, nil
	case s.Rollover.NewestOnly:
		return tenancy.TrustUnknown, tenancy.Say("the receiver accepts only the newest certificate, so testing it would " +
			"lock out the present one"), results, nil
	}
	c, err := p.engine.Ephemeral(ctx, s.Tenant, s.Arrangement.Presents(), announced.ID, questionLifetime, p.now())
	if err != nil {
		return trust, why, results, err
	}
	current, next := ask(&identities[presented]), ask(&standing.Identity{Certificate: c})
	trust, why = outbound.Trusts(control, current, next, s.Arrangement.Egress.IdentifiesBy)
	return trust, why, results, nil
}

const (
	// receiversAtOnce limits the receivers that are asked at the same time, and trustPage those that are read at once.
	receiversAtOnce = 16
	trustPage       = 500
)

// ProbeAnnounced asks, once a day, the receivers that do not trust an announced authority yet, if the arrangement has a
// probe of its own. Bare handshakes are made on request only.
func (p *Prober) ProbeAnnounced(ctx context.Context) error {
	now := p.now()
	a, ok := p.engine.Announced(now)
	if !ok {
		return nil
	}
	claimed, err := p.store.Once(ctx, store.ClaimTrustQuestions, a.ID+"/"+now.UTC().Format(time.DateOnly), now,
		func(*store.Tx) error { return nil })
	if err != nil || !claimed {
		return err
	}
	var failures []error
	for after := ""; ; {
		page, err := p.store.NotTrusting(ctx, a.ID, after, trustPage)
		if err != nil || len(page) == 0 {
			return errors.Join(append(failures, err)...)
		}
		after = page[len(page)-1].ArrangementID
		failures = append(failures, together(page, receiversAtOnce, func(one store.ReceiverTrust) error {
			if err := p.askAnnounced(ctx, one.ArrangementID, a); err != nil {
				return fmt.Errorf("arrangement %s/%s: %w", one.Tenant, one.Arrangement, err)
			}
			return nil
		}))
	}
}

func (p *Prober) askAnnounced(ctx context.Context, arrangementID string, announced tenancy.Authority) error {
	t, a, err := p.store.OwnedArrangement(ctx, arrangementID)
	if err != nil || a.Egress.Probe.Method == "" {
		return err
	}
	s, err := p.engine.Standing(ctx, p.store.Reader, t, a)
	if err != nil {
		return err
	}
	_, _, err = p.ProbeAuthority(ctx, s, announced, "probe")
	return err
}
