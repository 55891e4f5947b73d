package prober

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
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
// the authority issues any other. It asks with two certificates of the tenant that are issued for this question and
// discarded after it: one of the announced authority, and for comparison one of the authority that signs now. If the
// answers differ, the authority is the reason.
func (p *Prober) ProbeAuthority(ctx context.Context, s standing.Standing, announced tenancy.Authority,
	actor string) (v store.ReceiverTrust, results []outbound.Result, err error) {
	endpoint, err := url.Parse(s.Arrangement.Endpoint)
	if err != nil {
		return v, nil, err
	}
	signing, _ := p.engine.Signing(p.now()) // there is one, since one is announced
	for _, authority := range []string{announced.ID, signing.ID} {
		c, err := p.engine.Ephemeral(ctx, s.Tenant, authority, questionLifetime, p.now())
		if err != nil {
			return v, nil, err
		}
		id := standing.Identity{Certificate: c}
		results = append(results, outbound.Ask(ctx, p.network, endpoint, s.Arrangement.Egress, &id))
	}
	verdict, why := trusts(results[0], results[1])
	if verdict == tenancy.TrustUnknown {
		return store.ReceiverTrust{ArrangementID: s.Arrangement.ID, Tenant: s.Tenant.Name, Arrangement: s.Arrangement.Name,
			At: p.now(), Source: rollover.Probe, Detail: why}, results, nil
	}
	v, err = p.engine.RecordTrust(ctx, announced.ID, s.Arrangement.ID, actor, verdict, rollover.Probe, why, p.now())
	return v, results, err
}

// trusts decides what two answers show about an authority. next is the answer to a certificate of it, current the one
// to a certificate of the authority that signs now.
func trusts(next, current outbound.Result) (tenancy.Trust, string) {
	switch {
	case next.Proves() == outbound.Accepted:
		return tenancy.Trusted, next.Detail
	case next.Meaning == outbound.Refused && current.Meaning == outbound.Accepted:
		return tenancy.Untrusted, fmt.Sprintf("%s, and a certificate of the present CA is accepted", next.Detail)
	case next.Meaning == outbound.Refused && current.Meaning == outbound.Refused && next.Status == current.Status &&
		next.Status != 0 && next.Status != http.StatusBadRequest:
		return tenancy.Trusted, fmt.Sprintf("%s for a new certificate of either CA: the receiver knows certificates one by "+
			"one, so the CA makes no difference", next.Detail)
	case next.Meaning == outbound.Refused && current.Meaning == outbound.Refused && next.Status == current.Status:
		// TLS refused, or nginx did in its place. The reason may be the date, or something else that both certificates have.
		return tenancy.TrustUnknown, fmt.Sprintf("%s for a new certificate of either CA: that says nothing about the new one",
			next.Detail)
	case next.Meaning == outbound.Refused && current.Meaning == outbound.Refused:
		return tenancy.Untrusted, fmt.Sprintf("%s, and %s with a certificate of the present CA", next.Detail, current.Detail)
	case next.Handshake && next.Meaning == outbound.Accepted:
		return tenancy.TrustUnknown, "the TLS handshake succeeded, which proves nothing: give the arrangement a probe"
	}
	return tenancy.TrustUnknown, next.Detail
}

const (
	// receiversAtOnce limits the receivers that are asked at the same time, and trustPage those that are read.
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
	first := false
	err := p.store.InTx(ctx, func(tx *store.Tx) (err error) {
		first, err = tx.Claim(ctx, store.ClaimTrustQuestions, a.ID+"/"+now.UTC().Format(time.DateOnly), now)
		return err
	})
	if err != nil || !first {
		return err
	}
	var mu sync.Mutex
	var failures []error
	for after := ""; ; {
		page, err := p.store.NotTrusting(ctx, a.ID, after, trustPage)
		if err != nil || len(page) == 0 {
			return errors.Join(append(failures, err)...)
		}
		after = page[len(page)-1].ArrangementID
		var asked sync.WaitGroup
		places := make(chan struct{}, receiversAtOnce)
		for _, one := range page {
			places <- struct{}{}
			asked.Go(func() {
				defer func() { <-places }()
				if err := p.askAnnounced(ctx, one.ArrangementID, a); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failures = append(failures, fmt.Errorf("arrangement %s/%s: %w", one.Tenant, one.Arrangement, err))
				}
			})
		}
		asked.Wait()
	}
}

func (p *Prober) askAnnounced(ctx context.Context, arrangementID string, announced tenancy.Authority) error {
	t, a, err := p.store.OwnedArrangement(ctx, arrangementID)
	if err != nil || a.Egress.Probe.Method == "" {
		return err
	}
	_, _, err = p.ProbeAuthority(ctx, standing.Standing{Tenant: t, Arrangement: a}, announced, "probe")
	return err
}
