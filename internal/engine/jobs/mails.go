package jobs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/riverqueue/river"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// One job carries a page of mails, which is one conversation with the mail server.
	mailsPerJob = 100
	// 18 attempts with River's pauses (n⁴ seconds) take almost four days, so a mail server may be down over a weekend. RFC
	// 5321, section 4.5.4.1, asks for four to five days.
	deliveryTries = 18
	deliveryQueue = "mail"
	// yieldFor is the time for which a page of mails leaves the rate limit to more urgent ones.
	yieldFor = 5 * time.Second
)

type deliverArgs struct {
	MailIDs []string `json:"mail_ids"`
}

func (deliverArgs) Kind() string { return "deliver_mails" }

type deliverWorker struct {
	river.WorkerDefaults[deliverArgs]
	config *Config
}

// Timeout is half the lease, so that a running delivery is never considered lost.
func (w *deliverWorker) Timeout(*river.Job[deliverArgs]) time.Duration { return w.config.Lease / 2 }

func (w *deliverWorker) Work(ctx context.Context, job *river.Job[deliverArgs]) error {
	if w.config.Deliverer == nil {
		return errors.New("no mail server is configured any longer: configure one; the mails are kept")
	}
	if w.config.MailRate > 0 {
		if urgent, err := w.config.Store.MailsBefore(ctx, job.Priority); err != nil {
			return err
		} else if urgent {
			return river.JobSnooze(yieldFor)
		}
		wait, err := w.config.Store.Reserve(ctx, "mail", len(job.Args.MailIDs), w.config.MailRate, w.config.Now())
		if err != nil {
			return err
		}
		if wait > 0 {
			return river.JobSnooze(wait) // this does not count as a try
		}
	}
	now := w.config.Now()
	return snoozed(w.config.Deliverer.Deliver(ctx, job.Args.MailIDs, job.Attempt >= job.MaxAttempts, now), now)
}

// Outbox inserts delivery jobs and processes none. It is for commands that write but do not serve.
type Outbox struct{ client *river.Client[*sql.Tx] }

// NewOutbox returns an outbox on a migrated database.
func NewOutbox(s *store.Store, log *slog.Logger) (*Outbox, error) {
	client, err := inserting(s, log)
	return &Outbox{client}, err
}

// urgency returns the priority of a mail of a tenant that has so many mails before it in the same transaction; 1 comes
// first, and River knows 4. The first mails of every tenant are delivered before the rest of a tenant with many.
func urgency(before int) int {
	switch {
	case before < 10:
		return 1
	case before < 100:
		return 2
	case before < 1000:
		return 3
	}
	return 4
}

// pages divides mails into pages of the same urgency. Each tenant's mails stay in their order.
func pages(mails []tenancy.Mail) (jobs []river.InsertManyParams) {
	type place struct {
		id            string
		urgency, page int // the second is that of the tenant's mails
	}
	places, before := make([]place, len(mails)), map[string]int{}
	for i, m := range mails {
		owner := cmp.Or(m.TenantID, m.AdministratorID) // a counterparty is mailed about several tenants
		n := before[owner]
		before[owner]++
		places[i] = place{m.ID, urgency(n), n / mailsPerJob}
	}
	slices.SortStableFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.urgency, b.urgency), cmp.Compare(a.page, b.page))
	})
	var page []string
	for i, p := range places {
		page = append(page, p.id)
		if len(page) == mailsPerJob || i == len(places)-1 || places[i+1].urgency != p.urgency {
			jobs = append(jobs, river.InsertManyParams{Args: deliverArgs{page}, InsertOpts: &river.InsertOpts{
				Queue: deliveryQueue, MaxAttempts: deliveryTries, Priority: p.urgency}})
			page = nil
		}
	}
	return jobs
}

// Enqueue queues the delivery of mails, in the transaction.
func (o *Outbox) Enqueue(ctx context.Context, tx *sql.Tx, mails []tenancy.Mail) error {
	_, err := o.client.InsertManyFastTx(ctx, tx, pages(mails))
	return err
}

func (j *Jobs) queueWaiting(ctx context.Context) error {
	outbox := &Outbox{j.client}
	for {
		var mails []tenancy.Mail
		err := j.config.Store.InTx(ctx, func(tx *store.Tx) (err error) {
			if mails, err = tx.QueueMails(ctx, tenancy.MailWaiting, 1000); err != nil || len(mails) == 0 {
				return err
			}
			return outbox.Enqueue(ctx, tx.SQL(), mails)
		})
		if err != nil || len(mails) == 0 {
			return err
		}
	}
}
