package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// page is the number of mails of a conversation that a crash repeats at most.
	page = 10
	// batch is the number of answers that are stored together. While one batch is written, the conversation continues
	// with the next one, so that it does not wait for the disk.
	batch = page / 2
)

// A round is one conversation with the mail server.
type round struct {
	d       *Deliverer
	mails   []tenancy.Mail
	tenants map[string]string // names, by ID
	lastTry bool
	hold    tenancy.MailHold // if all mails are held, the first one shows whether they can continue
	now     time.Time

	unstored       []answered
	storing        chan error // gets the result of the batch that is being stored; nil if there is none
	accepted, dead int
	ours           []refused // answers about this installation
	session        bool      // the server refused the session
	again          error     // the latest reason why a mail is left
}

// A refused mail is one of a round, with the server's answer.
type refused struct {
	mail   int
	answer error
}

// errTestFailed ends a round that only tests the mail server.
var errTestFailed = errors.New("the mail server still refuses this installation")

// answered records an answer of the server, and begins to store the batch that it completes.
func (r *round) answered(ctx context.Context, i int, answer error) error {
	m := &r.mails[i]
	refusal := faultOf(answer)
	var events []tenancy.Event
	switch {
	case answer == nil:
		m.Attempts++
		m.State, m.SentAt, m.LastError = tenancy.MailSent, r.now, ""
		events = append(events, tenancy.NewEvent(r.now, "mail", "mail.sent", r.tenants[m.TenantID], m.ID,
			map[string]any{"message_id": m.MessageID, "attempts": m.Attempts}))
		r.accepted++
	case refusal.Fault == Ours: // whether this counts is known at the end of the round
		m.LastError = tenancy.Stored(toldOf(answer))
		r.ours, r.session, r.again = append(r.ours, refused{i, answer}), r.session || refusal.Session, answer
	case refusal.Final || r.lastTry:
		events = append(events, r.dies(ctx, m, answer))
	default:
		m.Attempts++
		m.LastError, r.again = tenancy.Stored(toldOf(answer)), answer
	}
	r.unstored = append(r.unstored, answered{*m, events, refusal.Final && m.AdministratorID != ""})
	if r.hold.Since.IsZero() {
		if len(r.unstored) < batch {
			return nil
		}
		return r.storeNext(ctx)
	}
	if err := r.store(ctx); err != nil {
		return err
	}
	switch {
	case answer == nil:
		r.hold = tenancy.MailHold{}
		return r.d.release(context.WithoutCancel(ctx), r.now)
	case refusal.Fault == Ours:
		return errTestFailed
	}
	return nil
}

// storeNext waits until the last batch is stored, and begins to store the next one.
func (r *round) storeNext(ctx context.Context) error {
	if err := r.stored(); err != nil {
		return err
	}
	next, done := r.unstored, make(chan error, 1)
	r.unstored, r.storing = nil, done
	go func() { done <- r.d.storeAnswers(ctx, next, r.now) }()
	return nil
}

// stored waits until the batch that is being stored is stored.
func (r *round) stored() error {
	if r.storing == nil {
		return nil
	}
	err := <-r.storing
	r.storing = nil
	return err
}

// store stores the answers that are not stored yet.
func (r *round) store(ctx context.Context) error {
	err := r.stored()
	unstored := r.unstored
	r.unstored = nil
	return errors.Join(err, r.d.storeAnswers(ctx, unstored, r.now))
}

// storeAnswers stores answers, even if this process is asked to stop.
func (d *Deliverer) storeAnswers(ctx context.Context, answers []answered, now time.Time) error {
	ctx = context.WithoutCancel(ctx)
	if err := d.ledger.store(ctx, d.store, answers...); err != nil || d.gone == nil {
		return err
	}
	for _, a := range answers {
		if !a.gone {
			continue
		}
		if err := d.gone(ctx, a.mail.AdministratorID, now); err != nil {
			d.log.ErrorContext(ctx, "an administrator whose address does not exist is still mailed: report the bounce with "+
				"perennial delivery bounced", "administrator", a.mail.AdministratorID, "error", err)
		}
	}
	return nil
}

// end holds all mails if the server refuses this installation, or counts what this round left.
func (r *round) end(ctx context.Context) error {
	if !r.hold.Since.IsZero() && len(r.ours) > 0 {
		return r.d.stillHeld(ctx, r.hold, r.mails[r.ours[0].mail], r.now, r.again)
	}
	hold, domain, err := r.d.suspect(ctx, r)
	if err != nil {
		return err
	}
	if hold {
		return r.d.hold(ctx, r.again, domain, r.now)
	}
	for _, of := range r.ours { // it was about these recipients after all
		m := &r.mails[of.mail]
		var events []tenancy.Event
		if r.lastTry {
			events = append(events, r.dies(ctx, m, of.answer))
		} else {
			m.Attempts++
		}
		r.unstored = append(r.unstored, answered{mail: *m, events: events})
	}
	if err := r.store(ctx); err != nil {
		return err
	}
	left := len(r.mails) - r.accepted - r.dead
	switch {
	case left == 0:
		return nil
	case r.again == nil:
		r.again = errors.New("the mail server ended the conversation")
	}
	err = fmt.Errorf("%d of %d mails are left to send: %w", left, len(r.mails), r.again)
	if r.lastTry { // these were not tried
		return &HeldError{r.now.Add(heldPause), err}
	}
	return err
}
