package notify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// mailsLinks reports whether mails can have links to the pages of receivers.
func (d *Deliverer) mailsLinks() bool { return d.baseURL != "" && d.linkKey != nil }

// receiverPage returns the address of the page of a receiver.
func (d *Deliverer) receiverPage(secret string) string { return d.baseURL + "/rollover/" + secret }

// A passedOn page is one that a key user passes on to the administrator of a receiver.
type passedOn struct {
	secret              string
	link                tenancy.Link
	tenant, arrangement string
}

// addPagesToPassOn gives each listed system that needs something the page that a key user passes on to its
// administrator. The secret follows from the arrangement and the generation, so that every reader of a renewal and of
// its reminders gets the same one, from any replica. The links are stored before the mails are sent. A link that was
// revoked is left out.
func (d *Deliverer) addPagesToPassOn(ctx context.Context, letters []Addressed, known map[string][]tenancy.Link,
	now time.Time) error {
	if !d.mailsLinks() {
		return nil
	}
	var missing []passedOn
	valid, asked := map[string]bool{}, map[string]bool{} // by secret
	for i := range letters {
		l := &letters[i].Letter
		for a := range l.systemsToPassOn() {
			p := d.passedOn(l, *a, now)
			a.PageToPassOn = p.secret
			switch {
			case asked[p.secret]:
			case isValid(known[a.id], l.New.Generation):
				valid[p.secret] = true
			default:
				missing = append(missing, p)
			}
			asked[p.secret] = true
		}
	}
	if err := d.storePages(ctx, missing, valid, now); err != nil {
		return err
	}
	for i := range letters {
		for j := range letters[i].Arrangements {
			if a := &letters[i].Arrangements[j]; valid[a.PageToPassOn] {
				a.PageToPassOn = d.receiverPage(a.PageToPassOn)
			} else {
				a.PageToPassOn = ""
			}
		}
	}
	return nil
}

func (d *Deliverer) passedOn(l *Letter, a Affected, now time.Time) passedOn {
	generation := l.New.Generation
	return passedOn{
		secret: d.linkKey.Secret(links.PassedOn, a.id, strconv.Itoa(generation)),
		tenant: l.Tenant, arrangement: a.Arrangement,
		link: tenancy.Link{ID: store.NewID(), ArrangementID: a.id, Generation: generation, CreatedBy: links.ToKeyUsers,
			CreatedAt: now, ExpiresAt: now.Add(tenancy.LinkKept)},
	}
}

// isValid reports whether the valid links of an arrangement have that which key users pass on for a generation.
func isValid(all []tenancy.Link, generation int) bool {
	return slices.ContainsFunc(all, func(l tenancy.Link) bool {
		return l.CreatedBy == links.ToKeyUsers && l.Generation == generation
	})
}

// storePages stores the links of pages that do not exist yet, and notes which of the pages are valid.
func (d *Deliverer) storePages(ctx context.Context, pages []passedOn, valid map[string]bool, now time.Time) error {
	if len(pages) == 0 {
		return nil
	}
	stored := map[string]bool{}
	err := d.store.InTx(ctx, func(tx *store.Tx) error {
		clear(stored)
		var events []tenancy.Event
		for _, p := range pages {
			created, err := tx.EnsureLink(ctx, p.link, tenancy.HashSecret(p.secret))
			if err != nil {
				return fmt.Errorf("create the link to pass on for %s/%s: %w", p.tenant, p.arrangement, err)
			}
			if created {
				events = append(events, tenancy.NewEvent(now, "mail", "link.created", p.tenant, p.tenant+"/"+p.arrangement,
					map[string]any{"link": p.link.ID, "generation": p.link.Generation, "expires_at": p.link.ExpiresAt}))
				stored[p.secret] = true
				continue
			}
			existing, err := tx.LinksOf(ctx, []string{p.link.ArrangementID}, now)
			if err != nil {
				return err
			}
			stored[p.secret] = isValid(existing[p.link.ArrangementID], p.link.Generation)
		}
		return tx.Audit(ctx, events...)
	})
	maps.Copy(valid, stored)
	return err
}

// systemsToPassOn yields the listed systems that have a page to pass on. After a renewal, the administrators whom the
// service mails need none from the key user. A reminder has it for all.
func (l *Letter) systemsToPassOn() func(yield func(*Affected) bool) {
	return func(yield func(*Affected) bool) {
		if l.Administered != nil || l.ITContact || l.New == nil ||
			l.Kind != tenancy.Renewed && l.Kind != tenancy.Unready && l.Kind != tenancy.Over {
			return
		}
		listed := map[string]bool{}
		for _, g := range l.Groups() {
			for _, a := range g.systems[:min(len(g.systems), mostSystems)] {
				listed[a.id] = !(l.Kind == tenancy.Renewed && (a.Mailed || a.Unaffected && !a.Exposed))
			}
		}
		for i := range l.Arrangements {
			if listed[l.Arrangements[i].id] && !yield(&l.Arrangements[i]) {
				return
			}
		}
	}
}
