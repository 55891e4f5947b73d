package local

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// Refresh implements [issuer.Hierarchy].
func (ca *CA) Refresh(ctx context.Context, now time.Time) error {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if err := ca.reload(ctx, now); err != nil {
		return err
	}
	if len(ca.roots) == 0 {
		if err := ca.addRoot(ctx, now); err != nil {
			return err
		}
	}
	if len(ca.issuing) == 0 {
		key, err := ca.newKey(ctx, "")
		if err != nil {
			return err
		}
		return ca.add(ctx, key, ca.roots[len(ca.roots)-1], now, time.Time{})
	}
	if err := ca.succeed(ctx, now); err != nil {
		return fmt.Errorf("%w: %w", issuer.ErrNoSuccessor, err)
	}
	return nil
}

// succeed announces the next issuing CA, or requests it, if that is due.
func (ca *CA) succeed(ctx context.Context, now time.Time) error {
	last := ca.last()
	if last.SignsFrom.After(now) || now.Before(ca.announceAt(last)) {
		return nil
	}
	from := ca.lastMoment(last).Add(-signsBefore)
	// The service may have been down in the meantime, or the validity is longer now.
	if soonest := now.Add(Notice); from.Before(soonest) {
		from = soonest
	}
	if last.root.key == nil { // the request waits for the root, which is elsewhere
		_, err := ca.request(ctx, "", now)
		return err
	}
	from, err := ca.begin(from, now)
	if err != nil {
		return err
	}
	return ca.announce(ctx, now, issuer.Succession{SignsFrom: from,
		NewRoot: last.root.cert.NotAfter.Before(now.Add(issuingLifetime / 2))})
}

// Announce implements [issuer.Announcer]. Without a date the successor signs after [Notice].
func (ca *CA) Announce(ctx context.Context, now time.Time, s issuer.Succession) (tenancy.Authority, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if err := ca.reload(ctx, now); err != nil {
		return tenancy.Authority{}, err
	}
	last, err := ca.onlyOne(now)
	if err != nil {
		return last.Authority, err
	}
	if s.SignsFrom, err = ca.begin(s.SignsFrom, now); err != nil {
		return tenancy.Authority{}, err
	}
	if !s.NewRoot && last.root.key == nil {
		return tenancy.Authority{}, tenancy.Errorf(tenancy.ErrRefused, "the key of the root %s is not in this service: "+
			"have the root sign the request of \"perennial authority csr\", and install the signed chain with \"perennial "+
			"authority install\", or announce an authority below a new root of the service (--new-root)",
			certfile.Name(last.root.cert.RawSubject))
	}
	err = ca.announce(ctx, now, s)
	return ca.last().Authority, err
}

// onlyOne returns the newest issuing CA, and an error if it is announced already.
func (ca *CA) onlyOne(now time.Time) (*authority, error) {
	last := ca.last()
	if last.SignsFrom.After(now) {
		return last, tenancy.Errorf(tenancy.ErrRefused, "the issuing CA %s is already announced and signs from %s on",
			last.ID, last.SignsFrom.Format("2006-01-02 15:04 MST"))
	}
	return last, nil
}

// begin returns the time from which a successor signs. Whatever was requested, it signs before a certificate could
// outlive the present CA.
func (ca *CA) begin(requested, now time.Time) (from time.Time, err error) {
	switch from = requested; {
	case from.IsZero():
		from = now.Add(Notice)
	case from.Before(now):
		return from, tenancy.Invalid("signs_from", "is in the past")
	}
	if last := ca.lastMoment(ca.last()); last.Before(from) {
		from = last
	}
	if from.Before(now) {
		from = now
	}
	return from.UTC().Truncate(time.Microsecond), nil
}

// announce creates the next issuing CA, below a new root or that of the present one.
func (ca *CA) announce(ctx context.Context, now time.Time, s issuer.Succession) error {
	root := ca.last().root
	key, err := ca.newKey(ctx, ca.keyOf(s.Key)) // before a root is made for it
	if err != nil {
		return err
	}
	if s.NewRoot {
		if err := ca.addRoot(ctx, now); err != nil {
			return err
		}
		root = ca.roots[len(ca.roots)-1]
	}
	return ca.add(ctx, key, root, now, s.SignsFrom)
}

// lastMoment returns the last time at which an issuing CA can sign a certificate of the longest validity.
func (ca *CA) lastMoment(a *authority) time.Time {
	return a.cert.NotAfter.Add(-ca.config.LongestValidity)
}

func (ca *CA) announceAt(a *authority) time.Time { return ca.lastMoment(a).Add(-announcedFor) }

// last returns the newest issuing CA that is not revoked. There always is one, because another one signs before the
// present one is revoked.
func (ca *CA) last() *authority {
	for _, a := range slices.Backward(ca.issuing) {
		if a.RevokedAt.IsZero() {
			return a
		}
	}
	return ca.issuing[len(ca.issuing)-1]
}

// signer returns the index of the issuing CA that signs at an instant: the last one whose date has come and that is not
// revoked.
func (ca *CA) signer(at time.Time) int {
	for i, a := range slices.Backward(ca.issuing) {
		if !a.SignsFrom.After(at) && a.RevokedAt.IsZero() {
			return i
		}
	}
	return 0
}

// signerOf returns the issuing CA for a request: the requested one, or the one that signs now. If the certificate would
// outlive that one, it returns the next.
func (ca *CA) signerOf(r issuer.Request, notAfter time.Time) (*authority, error) {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	signing := ca.signer(r.At)
	for i, a := range ca.issuing {
		switch {
		case r.Authority != "" && a.ID != r.Authority, r.Authority == "" && i < signing, !a.RevokedAt.IsZero():
		case !notAfter.After(a.cert.NotAfter):
			return a, nil
		}
	}
	return nil, fmt.Errorf("a certificate until %s would outlive its issuing CA (until %s)", notAfter.Format(time.RFC3339),
		ca.issuing[signing].cert.NotAfter.Format(time.RFC3339))
}

// Signing implements [issuer.Hierarchy].
func (ca *CA) Signing(now time.Time) tenancy.Authority {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	return ca.issuing[ca.signer(now)].Authority
}

// Announced implements [issuer.Hierarchy].
func (ca *CA) Announced(now time.Time) (a tenancy.Authority, ok bool) {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	last := ca.last()
	return last.Authority, last.SignsFrom.After(now)
}

// Plans implements [issuer.Hierarchy].
func (ca *CA) Plans(now time.Time) []issuer.Plan {
	ca.mu.RLock()
	defer ca.mu.RUnlock()
	signing := ca.signer(now)
	stage := func(i, current int) issuer.Stage {
		switch {
		case i < current:
			return issuer.Replaced
		case i > current:
			return issuer.Announced
		}
		return issuer.Signs
	}
	var plans []issuer.Plan
	for i, a := range ca.roots {
		p := issuer.Plan{Authority: a.Authority, Subject: certfile.Name(a.cert.RawSubject),
			Stage:      stage(i, ca.issuing[signing].root.Position-1),
			AnnounceAt: a.cert.NotAfter.Add(-issuingLifetime / 2)}
		for _, below := range ca.issuing {
			if a.key == nil && below.root == a { // this root signs a request for the successor of the last one below it
				p.AnnounceAt = ca.announceAt(below)
			}
		}
		plans = append(plans, p)
	}
	for i, a := range ca.issuing {
		p := issuer.Plan{Authority: a.Authority, Subject: certfile.Name(a.cert.RawSubject), Stage: stage(i, signing),
			AnnounceAt: ca.announceAt(a)}
		if !a.RevokedAt.IsZero() {
			p.Stage = issuer.Revoked
		}
		if i+1 < len(ca.issuing) {
			p.AnnounceAt = ca.issuing[i+1].NotBefore.Add(Backdate)
		}
		plans = append(plans, p)
	}
	return plans
}
