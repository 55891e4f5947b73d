package feeds

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// smallIndex is the number of entries up to which an index is read for every follower, so that it is always current.
	// It is a number and not a time, so that slow and fast machines show the same result.
	smallIndex = 200
	// indexAge is the age at which a larger index is read again. A follower fetches its pages within this time.
	indexAge = 15 * time.Second
	// mostIndexes limits the indexes that are kept in memory: at most twice as many.
	mostIndexes = 16
	// indexPage is the number of tenants that are read at once.
	indexPage = 500
	// indexTries limits the attempts to publish an index while other replicas publish it too.
	indexTries = 5
)

// A PartyIndex is the index of a counterparty's feed at one time.
type PartyIndex struct {
	Party tenancy.Counterparty // without its hosts
	Feed  tenancy.CounterpartyFeed
	Index feed.Index
	Pages [][]byte

	signer signer
}

// Sign returns the index as a JWS. The result is the same until the index changes.
func (p PartyIndex) Sign() (string, error) { return feed.SignIndex(p.Index, p.signer.key) }

// Actor names the feed in the audit log.
func (p PartyIndex) Actor() string { return PartyActor(p.Party) }

// An index is the content of one.
type index struct {
	entries int
	pages   [][]byte
	digests []string // of the pages
	digest  string   // of the index
	at      time.Time
}

// keptIndex is the index of one counterparty. Its lock is held while the index is read, so that it is read once.
type keptIndex struct {
	mu    sync.Mutex
	index index
}

// ReadIndex returns the index at the address of a counterparty's feed. It returns [tenancy.ErrNotFound] if the address
// is not valid, and [tenancy.ErrRefused] if no arrangement is linked to the counterparty.
func (f *Feeds) ReadIndex(ctx context.Context, a Address, now time.Time) (p PartyIndex, err error) {
	if p.Feed, p.Party, p.signer, err = f.party(ctx, a); err != nil {
		return p, err
	}
	k := f.indexes.GetOrPut(p.Party.ID, &keptIndex{})
	k.mu.Lock()
	defer k.mu.Unlock()
	// Another request may have published it in the meantime.
	if p.Feed, err = f.store.CounterpartyFeedByHash(ctx, tenancy.HashSecret(a.Secret)); err != nil {
		return p, unknown(err)
	}
	if age := now.Sub(k.index.at); k.index.entries <= smallIndex || age < 0 || age >= indexAge ||
		k.index.digest != p.Feed.Digest {
		if k.index, err = f.currentIndex(ctx, a, &p, now); err != nil {
			return p, err
		}
	}
	p.Pages = k.index.pages
	p.Index = feed.Index{Feed: feed.ID(a.Secret), Name: p.Party.DisplayName, Sequence: uint64(p.Feed.Sequence),
		Entries: k.index.entries, Pages: k.index.digests, RefreshHint: int(RefreshHint / time.Second)}
	p.Index.PublishedAt, p.Index.ValidUntil = freshness(now)
	return p, nil
}

// currentIndex reads the index and publishes it if it has changed. It is read again if another replica has published
// one in the meantime, so that an older one does not replace a newer one.
func (f *Feeds) currentIndex(ctx context.Context, a Address, p *PartyIndex, now time.Time) (index, error) {
	for range indexTries {
		read, err := f.readIndex(ctx, p.Party, now)
		if err != nil || read.digest == p.Feed.Digest {
			return read, err
		}
		published := false
		err = f.store.InTx(ctx, func(tx *store.Tx) error {
			current, err := tx.LockCounterpartyFeed(ctx, tenancy.HashSecret(a.Secret))
			if err != nil {
				return unknown(err)
			}
			published = current.Sequence == p.Feed.Sequence
			if p.Feed = current; !published {
				return nil
			}
			// The time keeps the number growing if the feed was created again, or the database comes from a backup.
			p.Feed.Sequence, p.Feed.Digest = max(p.Feed.Sequence+1, now.Unix()), read.digest
			return tx.PublishCounterpartyIndex(ctx, p.Feed)
		})
		if err != nil || published {
			return read, err
		}
	}
	return index{}, tenancy.Errorf(tenancy.ErrRefused, "the feed of the counterparty %s changes faster than it can be "+
		"read: try again later", p.Party.Name)
}

// readIndex reads the entries of all arrangements with a counterparty.
func (f *Feeds) readIndex(ctx context.Context, c tenancy.Counterparty, now time.Time) (index, error) {
	var entries []feed.Entry
	chains := chainsOf(f.store.Reader)
	for after := ""; ; {
		tenants, err := f.store.CounterpartyTenants(ctx, c.ID, after, indexPage)
		if err != nil {
			return index{}, err
		}
		if len(tenants) == 0 {
			break
		}
		more, err := f.entriesOf(ctx, c, tenants, chains, now)
		if err != nil {
			return index{}, err
		}
		entries, after = append(entries, more...), tenants[len(tenants)-1]
	}
	if len(entries) == 0 {
		return index{}, tenancy.Errorf(tenancy.ErrRefused, "no arrangement with a client certificate is linked to the "+
			"counterparty %s: link a receiver first", c.Name)
	}
	if len(entries) > feed.MaxEntries {
		return index{}, tenancy.Errorf(tenancy.ErrRefused, "%d arrangements are linked to the counterparty %s: a feed has "+
			"at most %d", len(entries), c.Name, feed.MaxEntries)
	}
	pages, digests, err := feed.Paginate(entries)
	if err != nil {
		return index{}, err
	}
	sum := sha256.Sum256([]byte(c.DisplayName + "\n" + strings.Join(digests, "\n")))
	return index{len(entries), pages, digests, hex.EncodeToString(sum[:]), now}, nil
}

// entriesOf returns the entries of some tenants.
func (f *Feeds) entriesOf(ctx context.Context, c tenancy.Counterparty, tenantIDs []string, chains chains,
	now time.Time) (entries []feed.Entry, err error) {
	tenants, err1 := f.store.TenantsByID(ctx, tenantIDs)
	certs, err2 := f.store.InReachOrValid(ctx, tenantIDs, now)
	arrangements, err3 := f.store.CounterpartyArrangements(ctx, c.ID, tenantIDs)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	var ids []string
	for _, of := range arrangements {
		for _, a := range of {
			ids = append(ids, a.ID)
		}
	}
	evidence, err := f.store.EvidenceOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range tenantIDs {
		var inReach []tenancy.Certificate
		for _, c := range certs[id] {
			if c.State != tenancy.Retired {
				inReach = append(inReach, c)
			}
		}
		for _, a := range arrangements[id] {
			s := standing.Assemble(tenants[id], a, inReach, evidence[a.ID])
			entry := feed.Entry{ID: a.ID, Tenant: s.Tenant.Name, Arrangement: a.Name}
			if entry.Digest, err = f.digestOf(ctx, s, certs[id], chains, now); err != nil {
				return nil, err
			}
			entries = append(entries, entry)
		}
	}
	return entries, nil
}

// digestOf returns the digest of the document of an arrangement; empty if there is nothing to publish.
func (f *Feeds) digestOf(ctx context.Context, s standing.Standing, certs []tenancy.Certificate, chains chains,
	now time.Time) (string, error) {
	if len(s.Certificates) == 0 { // as in rollovers.Standing
		return "", nil
	}
	d, _, err := f.assemble(ctx, s, publishedOf(s, certs, now), chains, now)
	if errors.Is(err, tenancy.ErrRefused) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return d.Digest()
}
