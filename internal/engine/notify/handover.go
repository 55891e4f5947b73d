package notify

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/links"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// handoverExtended is the least time for which a link in a mail is valid after it was mailed.
const handoverExtended = tenancy.LinkKept - 30*24*time.Hour

// handOver gives each system that needs something the page that a key user passes on to its administrator. The links
// are stored before the mails are sent. An arrangement keeps its link, so that a mail that is sent again, and the
// reminders after it, contain the same one.
func (d *Deliverer) handOver(ctx context.Context, letters []Addressed, known map[string][]tenancy.Link,
	now time.Time) error {
	if d.baseURL == "" || d.linkKey == nil {
		return nil
	}
	var created []tenancy.Link
	extended := map[string]bool{}
	for i := range letters {
		l := &letters[i].Letter
		for j := range l.Arrangements {
			a := &l.Arrangements[j]
			if !l.handsOver(*a) {
				continue
			}
			link, found := handover(known[a.id])
			switch {
			case !found:
				link = tenancy.Link{ID: store.NewID(), ArrangementID: a.id, Generation: l.New.Generation,
					CreatedBy: links.ToKeyUsers, CreatedAt: now, ExpiresAt: now.Add(tenancy.LinkKept)}
				known[a.id] = append(known[a.id], link)
				created = append(created, link)
			case link.ExpiresAt.Before(now.Add(handoverExtended)):
				extended[link.ID] = true
			}
			a.Handover = d.baseURL + "/rollover/" + d.linkKey.Secret(links.Page, link.ID)
		}
	}
	if len(created)+len(extended) == 0 {
		return nil
	}
	return d.store.InTx(ctx, func(tx *store.Tx) (err error) {
		for _, link := range created {
			err = errors.Join(err, tx.CreateLink(ctx, link, tenancy.HashSecret(d.linkKey.Secret(links.Page, link.ID))))
		}
		for id := range extended {
			err = errors.Join(err, tx.ExtendLink(ctx, id, now.Add(tenancy.LinkKept)))
		}
		return err
	})
}

// handsOver reports whether a mail has the page of a system to pass on. After a renewal, the administrators whom the
// service mails need none from the key user. A reminder repeats it for all.
func (l Letter) handsOver(a Affected) bool {
	switch {
	case l.Administered != nil || l.ITContact || l.New == nil || a.Idle:
		return false
	case l.Kind == tenancy.Renewed:
		return !a.Mailed
	}
	return l.Kind == tenancy.Unready || l.Kind == tenancy.Over
}

// handover returns the link of an arrangement that key users pass on.
func handover(all []tenancy.Link) (tenancy.Link, bool) {
	i := slices.IndexFunc(all, func(l tenancy.Link) bool { return l.CreatedBy == links.ToKeyUsers })
	if i < 0 {
		return tenancy.Link{}, false
	}
	return all[i], true
}
