package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/perennial-pki/perennial/tenancy"
)

var insertEvents = bulkInsert("events", "seq bigint", "at bigint", "actor text", "action text", "tenant text",
	"object text", "detail text", "prev bytea", "hash bytea")

// Audit appends events to the audit log, in this order, and calls the function of [Store.OnAudit]. It locks the log
// until the transaction ends, so call it last.
func (t *Tx) Audit(ctx context.Context, events ...tenancy.Event) error {
	if len(events) == 0 {
		return nil
	}
	head, err := one(ctx, t.Reader, "audit log", scanHead, "UPDATE event_head SET seq = seq + ? WHERE id = 1 RETURNING "+
		"seq, hash", len(events))
	if err != nil {
		return err
	}
	seq, prev := head.Seq-int64(len(events)), head.Hash
	for i := range events {
		seq++
		events[i].Seq, events[i].Prev = seq, prev
		events[i].Hash = events[i].Sum()
		prev = events[i].Hash
	}
	if _, err := insertEvents.write(ctx, t, len(events), func(i int) []any {
		e := &events[i]
		return []any{e.Seq, micros(e.At), e.Actor, e.Action, e.Tenant, e.Object, e.Detail, e.Prev, e.Hash}
	}); err != nil {
		return err
	}
	if err := t.execOne(ctx, "UPDATE event_head SET hash = ? WHERE id = 1", prev); err != nil || t.follow == nil {
		return err
	}
	return (*t.follow)(ctx, t, events)
}

func scanHead(s row) (c tenancy.Chain, err error) {
	err = s.Scan(&c.Seq, &c.Hash)
	return c, err
}

// EventHead returns the number and hash of the last event.
func (r Reader) EventHead(ctx context.Context) (tenancy.Chain, error) {
	return one(ctx, r, "audit log", scanHead, "SELECT seq, hash FROM event_head WHERE id = 1")
}

const eventColumns = "seq, at, actor, action, tenant, object, detail, prev, hash"

func scanEvent(s row) (e tenancy.Event, err error) {
	err = s.Scan(&e.Seq, instant{&e.At}, &e.Actor, &e.Action, &e.Tenant, &e.Object, &e.Detail, &e.Prev, &e.Hash)
	return e, err
}

// Events lists events in their order. If a tenant is given (by name), it lists only the tenant's events.
func (r Reader) Events(ctx context.Context, tenant string, after int64, limit int) ([]tenancy.Event, error) {
	if tenant == "" {
		return r.events(ctx, "seq > ? ORDER BY seq LIMIT ?", after, limit)
	}
	return r.events(ctx, "tenant = ? AND seq > ? ORDER BY seq LIMIT ?", tenant, after, limit)
}

func (r Reader) events(ctx context.Context, where string, args ...any) ([]tenancy.Event, error) {
	return list(ctx, r, scanEvent, "SELECT "+eventColumns+" FROM events WHERE "+where, args...)
}

// An EventChoice selects entries of the audit log. Its zero value selects all.
type EventChoice struct {
	Tenant string // its name; entries of this tenant only
	Own    bool   // entries of the installation only, which belong to no tenant
	Object string
	Actor  string
	Texts  []string // entries that contain one of these, in upper or lower case
}

// owner returns the condition that an index finds, with its arguments, and whether there is one.
func (c EventChoice) owner() (condition string, args []any, limited bool) {
	if c.Tenant != "" || c.Own {
		return "tenant = ? AND ", []any{c.Tenant}, true
	}
	return "", nil, false
}

// matches returns the condition that is tested for each entry, with its arguments.
func (c EventChoice) matches() (condition string, args []any) {
	var all []string
	if c.Object != "" {
		all, args = append(all, "object = ?"), append(args, c.Object)
	}
	if c.Actor != "" {
		all, args = append(all, "actor = ?"), append(args, c.Actor)
	}
	var texts []string
	for _, text := range c.Texts {
		contains, pattern := containingInJSON("actor || ' ' || action || ' ' || object || ' ' || detail", text)
		texts, args = append(texts, contains), append(args, pattern...)
	}
	if len(texts) > 0 {
		all = append(all, "("+strings.Join(texts, " OR ")+")")
	}
	if len(all) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(all, " AND "), args
}

// SearchEvents lists events backwards, starting before an entry (0: at the last one). It reads a bounded part of the
// log. next is the entry to continue before, or 0 at the beginning of the log.
func (r Reader) SearchEvents(ctx context.Context, c EventChoice, before int64, limit int) (found []tenancy.Event,
	next int64, err error) {
	return r.searchEvents(ctx, c, before, limit, searchWindow)
}

func (r Reader) searchEvents(ctx context.Context, c EventChoice, before int64, limit, window int) (
	found []tenancy.Event, next int64, err error) {
	if before == 0 {
		before = math.MaxInt64
	}
	owner, args, limited := c.owner()
	where, args := owner+"seq < ?", append(args, before)
	part, args := " FROM events WHERE "+where+" ORDER BY seq DESC LIMIT ?", append(args, window)
	last, err := one(ctx, r, "audit log", scanOne[int64], "SELECT COALESCE(MIN(seq), 0) FROM (SELECT seq"+part+") AS w",
		args...)
	if err != nil {
		return nil, 0, err
	}
	matches, more := c.matches()
	found, err = list(ctx, r, scanEvent, "SELECT * FROM (SELECT "+eventColumns+part+") AS w"+matches+
		" ORDER BY seq DESC LIMIT ?", append(append(args, more...), limit)...)
	switch {
	case err != nil:
		return nil, 0, err
	case len(found) == limit:
		next = found[limit-1].Seq
	case last > 1:
		next = last
	}
	if limited && next == last { // others' entries may be all that come before
		more, err := r.events(ctx, owner+"seq < ? ORDER BY seq DESC LIMIT 1", c.Tenant, last)
		if err != nil {
			return nil, 0, err
		}
		if len(more) == 0 {
			next = 0
		}
	}
	return found, next, nil
}

// VerifyEvents reads the whole audit log and returns its end. The error is a [*tenancy.ChainError] if an entry was
// changed, removed or moved. The head is read first, so entries that are added in the meantime are not considered.
func (r Reader) VerifyEvents(ctx context.Context) (tenancy.Chain, error) {
	const page = 1000
	var chain tenancy.Chain
	head, err := r.EventHead(ctx)
	if err != nil {
		return chain, err
	}
	for {
		events, err := r.Events(ctx, "", chain.Seq, page)
		if err != nil {
			return chain, err
		}
		for _, e := range events {
			if chain.Seq == head.Seq {
				return chain, chain.End(head.Seq, head.Hash)
			}
			if err := chain.Add(e); err != nil {
				return chain, err
			}
		}
		if len(events) < page {
			return chain, chain.End(head.Seq, head.Hash)
		}
	}
}

// VerifyHeads compares the audit log with heads that were kept outside the database. The error is a
// [*tenancy.ChainError] if the log differs from one of them, although its own hashes may fit.
func (r Reader) VerifyHeads(ctx context.Context, heads []tenancy.Chain) error {
	for _, kept := range heads {
		if kept.Seq == 0 { // a hash alone
			if found, err := r.HasEvent(ctx, hex.EncodeToString(kept.Hash)); err != nil || !found {
				return errors.Join(err, fmt.Errorf("audit log: no entry has the hash %x: the log was rewritten", kept.Hash))
			}
			continue
		}
		has, err := one(ctx, r, "event", scanOne[[]byte], "SELECT hash FROM events WHERE seq = ?", kept.Seq)
		switch {
		case errors.Is(err, tenancy.ErrNotFound):
			return &tenancy.ChainError{Seq: kept.Seq, Reason: "missing, although its hash was kept outside the database: the " +
				"log was rewritten, or restored from an older backup"}
		case err != nil:
			return err
		case !bytes.Equal(has, kept.Hash):
			return &tenancy.ChainError{Seq: kept.Seq, Reason: "does not have the hash that was kept outside the database: the " +
				"log was rewritten"}
		}
	}
	return nil
}

// HasEvent reports whether an event has the hash, in hexadecimal.
func (r Reader) HasEvent(ctx context.Context, hash string) (bool, error) {
	sum, err := hex.DecodeString(hash)
	if err != nil {
		return false, tenancy.Invalid("hash", "%q is not hexadecimal", hash)
	}
	n, err := one(ctx, r, "event", scanOne[int], "SELECT COUNT(*) FROM events WHERE hash = ?", sum)
	return n > 0, err
}
