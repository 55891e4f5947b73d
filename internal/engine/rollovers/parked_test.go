package rollovers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/tenancy"
)

// message returns a message of acme that is about to be parked.
func (w *world) message(id string) tenancy.Parked {
	return tenancy.Parked{ID: id, ArrangementID: w.arrangement.ID, TenantID: w.acme.ID, IdempotencyKey: id,
		Digest: []byte(id), Method: "POST", Path: "/in", State: tenancy.ParkedWaiting, NextAt: now, CreatedAt: now}
}

// park parks a message whose chunks are full but the last one, which has one byte.
func (w *world) park(p tenancy.Parked, chunks int, quota tenancy.ParkedQuota) (tenancy.Parked, error) {
	ctx := context.Background()
	if _, err := w.ReserveParked(ctx, p, quota, now); err != nil {
		return p, err
	}
	for n := range chunks {
		part := tenancy.ParkedPart{N: n, Last: n == chunks-1, Data: bytes.Repeat([]byte{byte('a' + n)}, tenancy.ParkedChunk)}
		if part.Last {
			part.Data = part.Data[:1]
		}
		if err := w.AddParkedChunk(ctx, p, part, quota, now); err != nil {
			return p, err
		}
	}
	p.Chunks = chunks
	return w.Park(ctx, p, []byte("the head"), quota)
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	_, err := w.Store.DB().ExecContext(w.t.Context(), query, args...)
	check(w.t, err)
}

func TestChunksOfAParkedBodyOpenOnlyInTheirPlace(t *testing.T) {
	w := newWorld(t, tenancy.ClientCertificate)
	ctx := t.Context()
	p, err := w.park(w.message("m1"), 3, tenancy.ParkedQuota{})
	check(t, err)
	_, err = w.park(w.message("m2"), 3, tenancy.ParkedQuota{})
	check(t, err)
	if used, err := w.Store.ParkedUsage(ctx, w.acme.ID); err != nil || used.Messages != 2 ||
		used.Bytes != 2*(2*tenancy.ParkedChunk+1+int64(len("the head"))) {
		t.Errorf("used %+v, %v", used, err)
	}
	for n, want := range []int{tenancy.ParkedChunk, tenancy.ParkedChunk, 1} {
		chunk, err := w.ParkedChunk(ctx, p, n)
		if err != nil || !bytes.Equal(chunk, bytes.Repeat([]byte{byte('a' + n)}, want)) {
			t.Errorf("chunk %d has %d bytes, %v", n, len(chunk), err)
		}
		sealed, err := w.Store.ParkedChunk(ctx, p.ID, n)
		if err != nil || bytes.Contains(sealed, []byte("aaaaaaaa")) || bytes.Contains(sealed, []byte("bbbbbbbb")) {
			t.Errorf("chunk %d is readable in the database, %v", n, err)
		}
	}
	refused := func(what string, p tenancy.Parked, n int) {
		t.Helper()
		if chunk, err := w.ParkedChunk(ctx, p, n); err == nil {
			t.Errorf("%s: chunk %d opens: %.8q", what, n, chunk)
		}
	}
	cut := p
	cut.Chunks = 2
	refused("cut off", cut, 1)
	longer := p
	longer.Chunks = 4
	refused("with a chunk more", longer, 2)
	refused("with a chunk more", longer, 3)
	w.exec("UPDATE parked_chunks SET n = 10 - n WHERE body_id = 'm1' AND n < 2")
	w.exec("UPDATE parked_chunks SET n = 10 - n - 9 WHERE body_id = 'm1' AND n > 2")
	refused("swapped", p, 0)
	refused("swapped", p, 1)
	w.exec("DELETE FROM parked_chunks WHERE body_id = 'm1'")
	w.exec("UPDATE parked_chunks SET body_id = 'm1' WHERE body_id = 'm2'")
	refused("of another message", p, 0)
	refused("of another message", p, 2)
}

// A replica or gateway of an earlier release, which has no chunks, must not send a message without its body.
func TestAnEarlierReleaseNeitherClaimsNorOpensAMessageWithChunks(t *testing.T) {
	w := newWorld(t, tenancy.ClientCertificate)
	ctx := t.Context()
	p, err := w.park(w.message("m1"), 2, tenancy.ParkedQuota{})
	check(t, err)
	earlier := p
	earlier.Chunks = 0
	if claimed, request, err := w.ClaimParked(ctx, earlier, now.Add(time.Minute)); err != nil || claimed ||
		request != nil {
		t.Errorf("claimed without chunks: %v, %q, %v", claimed, request, err)
	}
	w.exec("UPDATE parked SET chunks = 0 WHERE id = 'm1'") // an earlier replica does not read the column
	if claimed, request, err := w.ClaimParked(ctx, earlier, now.Add(time.Minute)); err == nil {
		t.Errorf("it opens without chunks: %v, %q", claimed, request)
	}
}

func TestTheBodyOfAMessageIsDeletedOnceItHasEndedAndNotBefore(t *testing.T) {
	w := newWorld(t, tenancy.ClientCertificate)
	ctx := t.Context()
	count := func(id string) (n int) {
		t.Helper()
		for {
			if _, err := w.Store.ParkedChunk(ctx, id, n); errors.Is(err, tenancy.ErrNotFound) {
				return n
			} else if err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	const chunks = 20 // more than one transaction deletes
	p, err := w.park(w.message("m1"), chunks, tenancy.ParkedQuota{})
	check(t, err)
	check(t, w.DropParked(ctx, p)) // as after an answer that was lost
	if n := count("m1"); n != chunks {
		t.Errorf("%d chunks of a message that waits are left", n)
	}
	p.Attempts, p.LastError = 1, "503"
	check(t, w.UpdateParked(ctx, p))
	if n := count("m1"); n != chunks {
		t.Errorf("%d chunks are left after an attempt that failed", n)
	}
	p.State, p.EndedAt = tenancy.ParkedDelivered, now
	check(t, w.UpdateParked(ctx, p))
	if n := count("m1"); n != 0 {
		t.Errorf("%d chunks of a delivered message are left", n)
	}
	if used, err := w.Store.ParkedUsage(ctx, w.acme.ID); err != nil || used.Messages != 0 || used.Bytes != 0 {
		t.Errorf("used %+v, %v", used, err)
	}
}

func TestBodiesThatWereNotCompletedAreDeletedAfterAnHour(t *testing.T) {
	w := newWorld(t, tenancy.ClientCertificate)
	ctx := t.Context()
	unfinished := w.message("m1")
	_, err := w.ReserveParked(ctx, unfinished, tenancy.ParkedQuota{}, now)
	check(t, err)
	add := func(n int, at time.Time) error {
		return w.AddParkedChunk(ctx, unfinished,
			tenancy.ParkedPart{N: n, Data: make([]byte, tenancy.ParkedChunk)}, tenancy.ParkedQuota{}, at)
	}
	check(t, add(0, now.Add(50*time.Minute)))
	_, err = w.park(w.message("m2"), 2, tenancy.ParkedQuota{})
	check(t, err)
	check(t, w.PruneParked(ctx, now.Add(100*time.Minute))) // the sender is slow
	check(t, add(1, now.Add(100*time.Minute)))
	check(t, w.PruneParked(ctx, now.Add(161*time.Minute)))
	if err := add(2, now.Add(161*time.Minute)); !errors.Is(err, tenancy.ErrStale) {
		t.Errorf("the next chunk of a body that was deleted: %v", err)
	}
	unfinished.Chunks = 2
	if _, err := w.Park(ctx, unfinished, []byte("head"), tenancy.ParkedQuota{}); !errors.Is(err, tenancy.ErrStale) {
		t.Errorf("a message whose body was deleted: %v", err)
	}
	if _, err := w.Parked(ctx, w.arrangement.ID, "m1"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("it is stored: %v", err)
	}
	if used, err := w.Store.ParkedUsage(ctx, w.acme.ID); err != nil || used.Messages != 1 ||
		used.Bytes != tenancy.ParkedChunk+1+int64(len("the head")) {
		t.Errorf("used %+v, %v", used, err)
	}
}

func TestChunksOfTheWrongSizeAreInvalid(t *testing.T) {
	w := newWorld(t, tenancy.ClientCertificate)
	p := w.message("m1")
	_, err := w.ReserveParked(t.Context(), p, tenancy.ParkedQuota{}, now)
	check(t, err)
	for name, part := range map[string]tenancy.ParkedPart{
		"empty":                {Last: true},
		"too large":            {Last: true, Data: make([]byte, tenancy.ParkedChunk+1)},
		"short before the end": {Data: make([]byte, tenancy.ParkedChunk-1)},
		"before the beginning": {N: -1, Data: make([]byte, tenancy.ParkedChunk)},
	} {
		if err := w.AddParkedChunk(t.Context(), p, part, tenancy.ParkedQuota{}, now); !errors.Is(err, tenancy.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// However many messages arrive at the same time, a tenant has no more than its quota, and its neighbour has its own.
func TestAQuotaHoldsForMessagesThatArriveAtTheSameTime(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		w := newWorldAt(t, url, tenancy.ClientCertificate)
		quota := tenancy.ParkedQuota{Messages: 5, Bytes: 8 * tenancy.ParkedChunk}
		var all sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		for i := range 12 {
			all.Go(func() {
				var err error
				if i%2 == 0 {
					_, err = w.park(w.message(fmt.Sprint("large", i)), 2, quota)
				} else {
					_, err = w.Park(context.Background(), w.message(fmt.Sprint("small", i)), []byte("the request"), quota)
				}
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, tenancy.ErrQuota) {
					refused++
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		used, _, err := w.Store.ParkedUsages(t.Context(), store.Page{Limit: 10})
		check(t, err)
		if len(used) != 1 || used[0].Messages != 5 || used[0].Bytes > quota.Bytes || refused != 7 {
			t.Errorf("used %+v, and %d were refused", used, refused)
		}
		neighbour := w.message("of a neighbour")
		neighbour.TenantID, neighbour.ArrangementID = store.NewID(), store.NewID()
		if _, err := w.Park(t.Context(), neighbour, []byte("the request"), quota); err != nil {
			t.Errorf("the neighbour's message: %v", err)
		}
	})
}

// After a rotation, an attacker with the old key and the new database reads nothing.
func TestParkedMessagesAreSealedAgainAfterARotation(t *testing.T) {
	w := newWorld(t, tenancy.ClientCertificate)
	ctx := t.Context()
	keys, err := keyring.Create(filepath.Join(t.TempDir(), "key"), nil)
	check(t, err)
	w.Rollovers, err = rollovers.New(w.Store, keys, nil, slog.New(slog.DiscardHandler))
	check(t, err)
	large, err := w.park(w.message("large"), 3, tenancy.ParkedQuota{})
	check(t, err)
	small, err := w.Park(ctx, w.message("small"), []byte("the request"), tenancy.ParkedQuota{})
	check(t, err)
	ended, err := w.park(w.message("ended"), 2, tenancy.ParkedQuota{})
	check(t, err)
	ended.State, ended.EndedAt = tenancy.ParkedDelivered, now
	check(t, w.UpdateParked(ctx, ended))
	check(t, keys.Rotate(t.Context()))
	check(t, rollovers.ResealParked(ctx, w.Store, keys))
	stored, err := w.Store.SealedParked(ctx, "", 10)
	check(t, err)
	sealed := 0
	for _, v := range stored {
		all := [][]byte{v.Request, v.Digest}
		for n := range v.Chunks {
			chunk, err := w.Store.ParkedChunk(ctx, v.ID, n)
			check(t, err)
			all = append(all, chunk)
		}
		for _, secret := range all {
			if len(secret) == 0 {
				continue
			}
			if sealed++; !keys.Current(secret) {
				t.Errorf("%s is sealed with an old key", v.ID)
			}
		}
	}
	if sealed != 8 { // two and three chunks, two, and a digest
		t.Errorf("%d secrets are stored", sealed)
	}
	for _, p := range []tenancy.Parked{large, small} {
		if claimed, request, err := w.ClaimParked(ctx, p, now.Add(time.Minute)); err != nil || !claimed ||
			len(request) == 0 {
			t.Errorf("%s: claimed %v, %q, %v", p.ID, claimed, request, err)
		}
	}
	if chunk, err := w.ParkedChunk(ctx, large, 2); err != nil || string(chunk) != "c" {
		t.Errorf("%q, %v", chunk, err)
	}
	again, err := w.Park(ctx, w.message("ended"), []byte("x"), tenancy.ParkedQuota{})
	if err != nil || again.ID != "ended" {
		t.Errorf("the same message after it ended: %+v, %v", again, err)
	}
}
