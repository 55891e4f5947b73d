package sim

import (
	"context"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/engine/feeds"
	"github.com/perennial-pki/perennial/tenancy"
)

// A kind is how a receiver recognises the certificate of a sender.
type kind int

const (
	byName  kind = iota // by the CA or the subject, which renewals keep
	pinned              // by the generations that its administrator has installed
	follows             // by the generations of the feed that it fetched last
	guarded             // by the rule successor of package acceptance
)

// A receiver checks the certificate of a sender.
type receiver struct {
	kind      kind
	replaces  bool         // an installation removes the previous generation
	installed map[int]bool // of the kinds pinned and follows

	address feeds.Address // of the feed of the kind follows
	minute  time.Duration // after each full hour at which it fetches the feed

	partners *acceptance.Partners // of the kind guarded
}

// partner is the name of the tenant at a guard.
const partner = "sender"

// newReceiver draws a receiver that accepts generation 1.
func (c Config) newReceiver(r *rand.Rand) receiver {
	v := receiver{kind: pinned, installed: map[int]bool{1: true}}
	share := r.Float64()
	for _, of := range []struct {
		kind  kind
		share float64
	}{{byName, c.Receivers.CA + c.Receivers.Subject}, {follows, c.Receivers.Follow}, {guarded, c.Receivers.Guard}} {
		if share < of.share {
			v.kind = of.kind
			break
		}
		share -= of.share
	}
	v.replaces = r.Float64() >= c.Orders.Add
	return v
}

// guard gives a guarded receiver the partner whose first certificate it knows.
func (v *receiver) guard(c Config, first, root *x509.Certificate) (err error) {
	v.partners, err = acceptance.New([]acceptance.Partner{{Name: partner, Rule: acceptance.Successor,
		Known: []acceptance.Known{acceptance.NewKnown(first)}, Trust: []*x509.Certificate{root},
		Window: c.Policy.RenewWithin}})
	return err
}

// decide returns the decision of a guard about a generation.
func (v *receiver) decide(g generation, now time.Time) acceptance.Decision {
	return v.partners.Decide([]*x509.Certificate{g.certificate}, now)
}

// accepts reports whether a message with a generation would be accepted. It changes nothing.
func (v *receiver) accepts(g generation, now time.Time) bool {
	switch v.kind {
	case byName:
		return true
	case guarded:
		return v.decide(g, now).Accepts(now)
	default:
		return v.installed[g.number]
	}
}

// isNews reports whether a message with a generation changes what the receiver knows. That of a guard changes with the
// first message of a successor, and of a certificate that it holds.
func (v *receiver) isNews(g generation, now time.Time) bool {
	if v.kind != guarded {
		return false
	}
	d := v.decide(g, now)
	return d.Code == acceptance.IsSuccessor ||
		d.Outcome == acceptance.Hold && v.partners.MayHold(partner, acceptance.NewKnown(g.certificate))
}

// learn stores what a message with a generation tells a guard. It reports whether a person is asked about it.
func (v *receiver) learn(g generation, now time.Time) (asks bool, err error) {
	k := acceptance.NewKnown(g.certificate)
	if v.decide(g, now).Outcome == acceptance.Accept {
		v.partners, err = v.partners.WithKnown(partner, k)
		return false, err
	}
	v.partners, err = v.partners.WithHeld(partner, acceptance.Held{Body: k.Body, Since: now})
	return true, err
}

// holds reports whether a person is asked about a certificate.
func (v *receiver) holds(k acceptance.Known) bool {
	p, _ := v.partners.Partner(partner)
	return slices.ContainsFunc(p.Held, func(h acceptance.Held) bool { return h.Body == k.Body })
}

// act makes the receiver accept what its administrator decides: the newest generation, or all that a guard holds.
func (v *receiver) act(all []generation) (err error) {
	if v.kind == guarded {
		for _, g := range all {
			if k := acceptance.NewKnown(g.certificate); err == nil && v.holds(k) {
				v.partners, err = v.partners.WithKnown(partner, k)
			}
		}
		return err
	}
	if v.replaces && v.kind == pinned {
		clear(v.installed)
	}
	v.installed[all[len(all)-1].number] = true
	return nil
}

// publish gives each receiver of a tenant that follows a feed its address.
func (w *world) publish(ctx context.Context, t *tenant) error {
	for _, a := range t.arrangements {
		if a.kind != follows {
			continue
		}
		row, err := w.store.ArrangementByID(ctx, a.id)
		if err != nil {
			return err
		}
		s, err := w.engine.Standings(ctx, w.store.Reader, t.Tenant, []tenancy.Arrangement{row})
		if err != nil {
			return err
		}
		if a.address, err = w.feeds.Create(ctx, s[0], "sim", w.now); err != nil {
			return err
		}
		w.follow(a)
	}
	return nil
}

// follow plans the next fetch of a feed. A follower fetches every hour. Only the first fetch and those that find a new
// generation have an effect, so the others are left out.
func (w *world) follow(a *arrangement) {
	at := w.now.Truncate(time.Hour).Add(a.minute)
	if !at.After(w.now) {
		at = at.Add(feeds.RefreshHint)
	}
	a.pending++
	w.schedule(at, fetches, func(ctx context.Context) error {
		w.count(a)
		a.pending--
		p, err := w.feeds.Read(ctx, a.address, w.now)
		if err != nil {
			return fmt.Errorf("the feed of tenant %s: %w", a.tenant.Name, err)
		}
		if err := w.feeds.RecordFetch(ctx, p, "simulate", w.now); err != nil {
			return err
		}
		clear(a.installed)
		var all []int
		for _, c := range p.Document.Certificates {
			a.installed[c.Generation] = true
			all = append(all, c.Generation)
		}
		if err := w.feeds.RecordInstalled(ctx, p, tenancy.FeedReport{At: w.now, Sequence: p.Feed.Sequence,
			Program: "simulate"}, all); err != nil {
			return err
		}
		w.look(a)
		return nil
	})
}
