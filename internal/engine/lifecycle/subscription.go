package lifecycle

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

// AskToStop sends a key user a mail with the link that ends the subscription, at most once a day. The holder of a
// forwarded mail can ask, and only the key user gets the answer.
func (e *Engine) AskToStop(ctx context.Context, u tenancy.KeyUser, now time.Time) error {
	err := e.store.InTx(ctx, func(tx *store.Tx) error {
		tenant, err := tenantOf(ctx, tx, u)
		if err != nil {
			return err
		}
		return e.writeTo(ctx, tx, u, tenancy.Notice{Kind: tenancy.StopAsked,
			Subject:  "Please confirm: no more mails about " + tenant.DisplayName,
			DedupKey: "stop-asked/" + u.ID + "/" + now.UTC().Format(time.DateOnly)}, now)
	})
	if errors.Is(err, tenancy.ErrConflict) { // it was sent today
		return nil
	}
	return err
}

// StopMails ends the subscription of a key user through a link, and sends the user a mail with a link that undoes it.
// It does nothing if the user is not subscribed.
func (e *Engine) StopMails(ctx context.Context, userID string, now time.Time) error {
	return e.store.InTx(ctx, func(tx *store.Tx) error {
		u, err := tx.KeyUserByID(ctx, userID)
		if err != nil || u.SubscribedAt.IsZero() {
			return err
		}
		tenant, err := tenantOf(ctx, tx, u)
		if err != nil {
			return err
		}
		u.SubscribedAt = time.Time{}
		if err := tx.UpdateKeyUser(ctx, u); err != nil {
			return err
		}
		return e.writeTo(ctx, tx, u, tenancy.Notice{Kind: tenancy.MailsStopped,
			Subject: "You will no longer get mails about " + tenant.DisplayName, DedupKey: "mails-stopped/" + store.NewID()},
			now, linkEvent("key-user.unsubscribed", tenant, u, now))
	})
}

// ResumeMails subscribes a key user again through a link. All earlier links end.
func (e *Engine) ResumeMails(ctx context.Context, userID string, now time.Time) error {
	return e.store.InTx(ctx, func(tx *store.Tx) error {
		u, err := tx.KeyUserByID(ctx, userID)
		if err != nil || !u.SubscribedAt.IsZero() {
			return err
		}
		tenant, err := tenantOf(ctx, tx, u)
		if err != nil {
			return err
		}
		u.Subscribe(now.UTC().Truncate(time.Microsecond), rand.Text())
		if err := tx.UpdateKeyUser(ctx, u); err != nil {
			return err
		}
		return tx.Audit(ctx, linkEvent("key-user.subscribed", tenant, u, now))
	})
}

func tenantOf(ctx context.Context, tx *store.Tx, u tenancy.KeyUser) (tenancy.Tenant, error) {
	all, err := tx.TenantsByID(ctx, []string{u.TenantID})
	return all[u.TenantID], err
}

func linkEvent(action string, t tenancy.Tenant, u tenancy.KeyUser, now time.Time) tenancy.Event {
	object := t.Name + "/" + u.Name
	return tenancy.NewEvent(now, "link in a mail to "+object, action, t.Name, object, nil)
}

// writeTo sends one key user a mail about the subscription. It causes no task.
func (e *Engine) writeTo(ctx context.Context, tx *store.Tx, u tenancy.KeyUser, n tenancy.Notice, now time.Time,
	events ...tenancy.Event) error {
	n.ID, n.TenantID, n.CreatedAt = store.NewID(), u.TenantID, now
	b := batchFor(0)
	b.notices = append(b.notices, n)
	b.mails = append(b.mails, e.mailOf(n, tenancy.Mail{KeyUserID: u.ID, Name: u.Name, Address: u.Email}))
	b.events = events
	return e.write(ctx, tx, b, now)
}

// mailOf completes a mail about a notice. It waits if there is no mail server.
func (e *Engine) mailOf(n tenancy.Notice, m tenancy.Mail) tenancy.Mail {
	m.ID, m.TenantID, m.NoticeID, m.State = store.NewID(), n.TenantID, n.ID, tenancy.MailWaiting
	m.MessageID = m.ID + "@" + e.mailDomain
	if e.outbox != nil {
		m.State = tenancy.MailQueued
	}
	return m
}
