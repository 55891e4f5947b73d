package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

var insertMails = bulkInsert("mails", "id text", "tenant_id text", "notice_id text", "key_user_id text", "name text",
	"address text", "designated bigint", "message_id text", "state text",
	"attempts bigint", "last_error text", "sent_at bigint", "administrator_id text")

// AddMails stores mails for delivery.
func (t *Tx) AddMails(ctx context.Context, mails []tenancy.Mail) error {
	_, err := insertMails.write(ctx, t, len(mails), func(i int) []any {
		m := &mails[i]
		return []any{m.ID, m.TenantID, m.NoticeID, m.KeyUserID, m.Name, m.Address, bit(m.Designated), m.MessageID,
			string(m.State), int64(m.Attempts), m.LastError, micros(m.SentAt), m.AdministratorID}
	})
	return err
}

const mailColumns = "m.id, m.tenant_id, m.notice_id, n.subject, m.key_user_id, m.name, m.address, m.designated, " +
	"m.message_id, m.state, m.attempts, m.last_error, n.created_at, m.sent_at, m.administrator_id, n.kind"

const mailTables = " FROM mails m JOIN notices n ON n.id = m.notice_id "

func scanMail(s row) (m tenancy.Mail, err error) {
	var designated int64
	err = s.Scan(&m.ID, &m.TenantID, &m.NoticeID, &m.Subject, &m.KeyUserID, &m.Name, &m.Address, &designated, &m.MessageID,
		&m.State, &m.Attempts, &m.LastError, instant{&m.CreatedAt}, instant{&m.SentAt},
		&m.AdministratorID, &m.Kind)
	m.Designated = designated == 1
	return m, err
}

// Mail finds a mail by its ID.
func (r Reader) Mail(ctx context.Context, id string) (tenancy.Mail, error) {
	return one(ctx, r, "delivery "+id, scanMail, "SELECT "+mailColumns+mailTables+"WHERE m.id = ?", id)
}

// QueuedMails reads those of the mails with these IDs that have not been sent yet.
func (r Reader) QueuedMails(ctx context.Context, ids []string) ([]tenancy.Mail, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	in, args := r.among(ids)
	return list(ctx, r, scanMail,
		"SELECT "+mailColumns+mailTables+"WHERE m.state = 'queued' AND m.id "+in+" ORDER BY m.id", args...)
}

// selectMails selects mails. A tenant and a state are optional. Each combination has its own statement, so that each
// uses its index.
func selectMails(tenantID string, state tenancy.MailState) selection {
	part := selection{condition: "m.id <> ''"}
	if tenantID != "" {
		part.and("m.tenant_id = ?", tenantID)
	}
	if state != "" {
		part.and("m.state = ?", state)
	}
	if state != "" && state != tenancy.MailSent {
		part.and("m.state <> 'sent'") // so that the partial index can be used
	}
	return part
}

// Mails lists mails in the order of their creation, after one of them. A tenant and a state are optional.
func (r Reader) Mails(ctx context.Context, tenantID string, state tenancy.MailState, after string,
	limit int) ([]tenancy.Mail, error) {
	mails, _, err := r.SearchMails(ctx, tenantID, state, Page{After: Place{ID: after}, Limit: limit})
	return mails, err
}

var mailListing = listing[tenancy.Mail]{
	query: "SELECT " + mailColumns + mailTables + "WHERE ",
	scan:  scanMail,
	id:    "m.id", idOf: func(m tenancy.Mail) string { return m.ID },
	texts: []string{"m.name", "m.address", "m.message_id", "n.subject"},
	ids:   "SELECT m.id FROM mails m WHERE ",
}

// SearchMails returns a page of [Reader.Mails]. A text is looked for in recipient, subject and Message-ID.
func (r Reader) SearchMails(ctx context.Context, tenantID string, state tenancy.MailState, p Page) ([]tenancy.Mail,
	Place, error) {
	part := selectMails(tenantID, state)
	return mailListing.read(ctx, r, p, part.condition, part.args...)
}

// MailsOf lists the latest mails to a key user, the latest first.
func (r Reader) MailsOf(ctx context.Context, keyUserID string, limit int) ([]tenancy.Mail, error) {
	return list(ctx, r, scanMail, "SELECT "+mailColumns+mailTables+"WHERE m.tenant_id = (SELECT tenant_id FROM "+
		"key_users WHERE id = ?) AND m.key_user_id = ? ORDER BY m.id DESC LIMIT ?", keyUserID, keyUserID, limit)
}

// MailsToAdministrators lists the mails to each of some administrators, the latest first, by the ID of the
// administrator.
func (r Reader) MailsToAdministrators(ctx context.Context, administratorIDs []string) (map[string][]tenancy.Mail,
	error) {
	return groupBy(ctx, r, scanMail, func(m tenancy.Mail) string { return m.AdministratorID },
		"SELECT "+mailColumns+mailTables+"WHERE m.administrator_id <> '' AND m.administrator_id ", administratorIDs,
		" ORDER BY m.id DESC")
}

// FirstMails reads the first mail to each reader of the notices about certificates, by the ID of the certificate. Only
// the reader and the Message-ID of a mail are filled in.
func (r Reader) FirstMails(ctx context.Context, certificateIDs []string) (map[string][]tenancy.Mail, error) {
	type first struct {
		certificate string
		mail        tenancy.Mail
	}
	all, err := groupBy(ctx, r, func(s row) (f first, err error) {
		err = s.Scan(&f.certificate, &f.mail.KeyUserID, &f.mail.Address, &f.mail.MessageID)
		return f, err
	}, func(f first) string { return f.certificate },
		"SELECT n.certificate_id, m.key_user_id, m.address, m.message_id FROM notices n JOIN mails m ON "+
			"m.tenant_id = n.tenant_id AND m.notice_id = n.id WHERE n.certificate_id <> '' AND n.certificate_id ",
		certificateIDs, " ORDER BY m.id")
	mails := map[string][]tenancy.Mail{}
	type reader struct{ certificate, user, address string }
	seen := map[reader]bool{}
	for id, list := range all {
		for _, f := range list {
			key := reader{id, f.mail.KeyUserID, f.mail.Address}
			if f.mail.KeyUserID != "" { // the address of a key user may change
				key.address = ""
			}
			if !seen[key] {
				seen[key] = true
				mails[id] = append(mails[id], f.mail)
			}
		}
	}
	return mails, err
}

// UpdateMail stores the result of an attempt to deliver a mail.
func (t *Tx) UpdateMail(ctx context.Context, m tenancy.Mail) error {
	return t.execOne(ctx, "UPDATE mails SET state = ?, attempts = ?, last_error = ?, sent_at = ? WHERE id = ?", m.State,
		m.Attempts, m.LastError, micros(m.SentAt), m.ID)
}

// QueueMails changes the state of mails to queued, at most limit of them, and returns them with ID,
// tenant and administrator only.
func (t *Tx) QueueMails(ctx context.Context, from tenancy.MailState, limit int) ([]tenancy.Mail, error) {
	return list(ctx, t.Reader, func(s row) (m tenancy.Mail, err error) {
		err = s.Scan(&m.ID, &m.TenantID, &m.AdministratorID)
		return m, err
	}, "UPDATE mails SET state = 'queued' WHERE id IN (SELECT id FROM mails "+
		"WHERE state = ? AND state <> 'sent' ORDER BY id LIMIT ?) RETURNING id, tenant_id, "+
		"administrator_id", from, limit)
}

// CountMails counts the mails that are not sent, by state.
func (r Reader) CountMails(ctx context.Context) (map[tenancy.MailState]int, error) {
	type count struct {
		state tenancy.MailState
		n     int
	}
	rows, err := list(ctx, r, func(s row) (c count, err error) {
		err = s.Scan(&c.state, &c.n)
		return c, err
	}, "SELECT state, COUNT(*) FROM mails WHERE state <> 'sent' GROUP BY state")
	counts := map[tenancy.MailState]int{}
	for _, c := range rows {
		counts[c.state] = c.n
	}
	return counts, err
}

// QueuedElsewhere reports whether a mail to an address outside a domain, in lower case, is queued.
func (r Reader) QueuedElsewhere(ctx context.Context, domain string) (bool, error) {
	escaped := strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(domain)
	n, err := one(ctx, r, "queued mails", scanOne[int], "SELECT COUNT(*) FROM (SELECT 1 FROM mails "+
		`WHERE state = 'queued' AND state <> 'sent' AND LOWER(address) NOT LIKE ? ESCAPE '\' LIMIT 1) AS elsewhere`,
		"%@"+escaped)
	return n > 0, err
}

// mailHold is the setting that holds a [tenancy.MailHold]; empty while mails are sent.
const mailHold = "mail/held"

func encodeMailHold(hold tenancy.MailHold) (string, error) {
	if hold.Since.IsZero() {
		return "", nil
	}
	hold.Since, hold.RetryAt = hold.Since.UTC().Truncate(time.Second), hold.RetryAt.UTC().Truncate(time.Second)
	data, err := json.Marshal(hold)
	return string(data), err
}

// MailHold returns the reason and the beginning of a hold. Since is zero while mails are sent.
func (r Reader) MailHold(ctx context.Context) (hold tenancy.MailHold, err error) {
	text, err := r.Setting(ctx, mailHold)
	if err != nil || text == "" {
		return tenancy.MailHold{}, err
	}
	if err := json.Unmarshal([]byte(text), &hold); err != nil {
		return hold, fmt.Errorf("the setting %s: %w", mailHold, err)
	}
	return hold, nil
}

// HoldMails records that no mail is sent. first is false if that was recorded before.
func (t *Tx) HoldMails(ctx context.Context, hold tenancy.MailHold) (first bool, err error) {
	text, err := encodeMailHold(hold)
	if err != nil {
		return false, err
	}
	if _, err := t.SetOnce(ctx, mailHold, ""); err != nil {
		return false, err
	}
	return t.advanceSetting(ctx, mailHold, "", text)
}

// PostponeHold changes a recorded hold. ok is false if another worker did so before.
func (t *Tx) PostponeHold(ctx context.Context, from, to tenancy.MailHold) (ok bool, err error) {
	was, err := encodeMailHold(from)
	if err != nil {
		return false, err
	}
	is, err := encodeMailHold(to)
	if err != nil {
		return false, err
	}
	return t.advanceSetting(ctx, mailHold, was, is)
}

// ReleaseMails records that mails are sent again, and makes waiting deliveries due now.
func (t *Tx) ReleaseMails(ctx context.Context) error {
	if err := t.SetSetting(ctx, mailHold, ""); err != nil {
		return err
	}
	return t.hurryDeliveries(ctx)
}

// RetryMails makes waiting deliveries due now. If mails are held, one of them is tried first.
func (t *Tx) RetryMails(ctx context.Context, now time.Time) error {
	hold, err := t.MailHold(ctx)
	if err == nil && !hold.Since.IsZero() {
		next := hold
		next.RetryAt = now
		_, err = t.PostponeHold(ctx, hold, next)
	}
	if err != nil {
		return err
	}
	return t.hurryDeliveries(ctx)
}
