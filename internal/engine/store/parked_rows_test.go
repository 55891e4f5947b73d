package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestBodiesOfParkedMessagesReadBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		a, b := r.tenants()
		body := func(id string, of tenancy.Tenant, at time.Time, chunks int) {
			r.write(func(ctx context.Context, tx *Tx) error {
				if err := tx.ReserveParkedBody(ctx, id, of.ID, 10, at); err != nil {
					return err
				}
				for n := range chunks {
					if err := tx.AddParkedChunk(ctx, id, n, fmt.Append(nil, id, " ", n)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		body("b1", a, now, 3)
		body("b2", b, now.Add(time.Hour), 1)
		body("b3", a, now.Add(time.Minute), 0)
		chunk, err := r.ParkedChunk(ctx, "b1", 2)
		r.same("a chunk", err, string(chunk), "b1 2")
		if _, err := r.ParkedChunk(ctx, "b1", 3); !isKind(err, tenancy.ErrNotFound) {
			t.Errorf("a chunk that does not exist: %v", err)
		}
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ResealParkedChunk(ctx, "b1", 2, []byte("new")) })
		chunk, err = r.ParkedChunk(ctx, "b1", 2)
		r.same("a chunk that was sealed again", err, string(chunk), "new")

		touch := func(id string, bytes int64, at time.Time) {
			r.write(func(ctx context.Context, tx *Tx) error { return tx.TouchParkedBody(ctx, id, bytes, at) })
		}
		touch("b1", 30, now.Add(2*time.Hour))
		touch("b1", 20, now.Add(3*time.Hour))
		r.refused("a body that was deleted", tenancy.ErrStale, func(ctx context.Context, tx *Tx) error {
			return tx.TouchParkedBody(ctx, "b9", 1, now)
		})
		usage, err := r.ParkedUsage(ctx, a.ID)
		r.same("usage", err, usage, tenancy.ParkedUsage{TenantID: a.ID, Bytes: 40})
		usage, err = r.ParkedUsage(ctx, "nobody")
		r.same("usage of nothing", err, usage, tenancy.ParkedUsage{TenantID: "nobody"})
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			usage, err = tx.LockParked(ctx, b.ID)
			return err
		})
		r.same("usage that is locked", nil, usage, tenancy.ParkedUsage{TenantID: b.ID, Bytes: 10})

		unused := func(before time.Time, limit int) (ids []string) {
			all, err := r.UnusedParkedBodies(ctx, before, limit)
			must(t, err)
			for _, v := range all {
				ids = append(ids, v.ID+" of "+v.TenantID)
			}
			return ids
		}
		later := now.Add(3*time.Hour + time.Microsecond)
		r.same("unused", nil, unused(later, 10), []string{"b3 of a", "b2 of b", "b1 of a"})
		r.same("unused for longer", nil, unused(now.Add(time.Hour), 10), []string{"b3 of a"})
		r.same("the longest unused", nil, unused(later, 1), []string{"b3 of a"})
		p := filled[tenancy.Parked](100)
		p.ID, p.TenantID, p.State = "b1", a.ID, tenancy.ParkedWaiting
		r.write(func(ctx context.Context, tx *Tx) error {
			_, err := tx.Park(ctx, p, nil)
			return err
		})
		r.same("unused while a message waits", nil, unused(later, 10), []string{"b3 of a", "b2 of b"})

		drop := func(id string, limit int) (got [2]bool) {
			r.write(func(ctx context.Context, tx *Tx) (err error) {
				got[0], got[1], err = tx.DropParkedBody(ctx, id, limit)
				return err
			})
			return got
		}
		r.same("kept, because its message waits", nil, drop("b1", 2), [2]bool{false, true})
		p.State = tenancy.ParkedDelivered
		r.write(func(ctx context.Context, tx *Tx) error { return tx.UpdateParked(ctx, p) })
		r.same("two of three chunks", nil, drop("b1", 2), [2]bool{false, false})
		for n, want := range []error{tenancy.ErrNotFound, tenancy.ErrNotFound, nil} {
			if _, err := r.ParkedChunk(ctx, "b1", n); want == nil && err != nil || want != nil && !isKind(err, want) {
				t.Errorf("chunk %d: %v", n, err)
			}
		}
		r.same("the last chunk", nil, drop("b1", 2), [2]bool{true, false})
		r.same("without chunks", nil, drop("b3", 2), [2]bool{true, false})
		r.same("what is left", nil, unused(later, 10), []string{"b2 of b"})
	})
}

func TestWhatIsSealedOfParkedMessagesReadsBackAsWritten(t *testing.T) {
	eachRows(t, func(r rows, ctx context.Context) {
		park := func(id string) tenancy.Parked {
			p := filled[tenancy.Parked](100)
			p.ID, p.IdempotencyKey, p.State, p.Chunks = id, "key of "+id, tenancy.ParkedWaiting, 2
			p.Attempts, p.Status, p.LastError, p.EndedAt = 0, 0, "", time.Time{}
			r.write(func(ctx context.Context, tx *Tx) error {
				_, err := tx.Park(ctx, p, []byte("request of "+id))
				return err
			})
			return p
		}
		one, two, three := park("p1"), park("p2"), park("p3")
		got, err := r.ParkedUnder(ctx, one.ArrangementID, "key of p2")
		r.same("under a key", err, got, two)
		two.State, two.EndedAt = tenancy.ParkedDelivered, now
		three.State, three.EndedAt = tenancy.ParkedFailed, now.Add(time.Microsecond)
		r.write(func(ctx context.Context, tx *Tx) error {
			if err := tx.UpdateParked(ctx, two); err != nil {
				return err
			}
			return tx.UpdateParked(ctx, three)
		})
		want := func(id, request, digest string, chunks int) SealedParked {
			v := SealedParked{ID: id, Digest: []byte(digest), Chunks: chunks}
			if request != "" {
				v.Request = []byte(request)
			}
			return v
		}
		digest := string(one.Digest)
		all, err := r.SealedParked(ctx, "", 10)
		r.same("sealed", err, all, []SealedParked{want("p1", "request of p1", digest, 2), want("p2", "", digest, 0),
			want("p3", "", digest, 0)})
		all, err = r.SealedParked(ctx, "p1", 1)
		r.same("after the first", err, all, []SealedParked{want("p2", "", digest, 0)})
		for _, id := range []string{"p1", "p2"} {
			r.write(func(ctx context.Context, tx *Tx) error { return tx.ResealParked(ctx, want(id, "new", "new digest", 0)) })
		}
		all, err = r.SealedParked(ctx, "", 2)
		r.same("sealed again", err, all, []SealedParked{want("p1", "new", "new digest", 2), want("p2", "", "new digest", 0)})
		one.Chunks = 0
		var claimed bool
		r.write(func(ctx context.Context, tx *Tx) (err error) {
			claimed, err = tx.ClaimParked(ctx, one, now)
			return err
		})
		r.same("claimed by a gateway that knows no chunks", nil, claimed, false)
		r.write(func(ctx context.Context, tx *Tx) error { return tx.ForgetParked(ctx, three.EndedAt) })
		all, err = r.SealedParked(ctx, "", 10)
		r.same("what is left", err, all, []SealedParked{want("p1", "new", "new digest", 2), want("p3", "", digest, 0)})
	})
}
