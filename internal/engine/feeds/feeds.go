// Package feeds publishes the certificates of arrangements, each at an address with a secret.
//
// It promises: a feed lists every generation that the arrangement presents, presented or will present and that is
// neither expired nor revoked, from the moment it is stored. The sequence number grows with every change, on all
// replicas and after a restored backup. An address that was replaced or revoked reads nothing. What is fetched or
// reported through an address is recorded as a claim, and never proves anything. A fetch writes to the database at most
// once an hour and once for each generation, so that the holder of an address cannot load it. Many entries of a
// counterparty's feed are read for one request at a time on a replica. Time is an argument everywhere.
//
// The feed of a counterparty is an index with one entry for each arrangement that presents a client certificate to a
// receiver linked to it. It promises: the index names the digest of the document that the entry publishes at that time,
// and no other arrangement. An index of many entries is read every 15 seconds on a replica at most, and may be as old.
//
// A certificate that crypto/x509 cannot read is left out, because followers cannot read it either. So are the oldest
// certificates and CAs if a document would be larger than followers read.
package feeds

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/rollovers"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/recent"
	"github.com/perennial-pki/perennial/tenancy"
)

// RefreshHint is the time between two fetches of a follower.
const RefreshHint = time.Hour

// secretSize is the size of the secret in an address, in bytes.
const secretSize = 32

// errFeed is the same for an unknown address and for one that was replaced or revoked.
var errFeed = tenancy.Errorf(tenancy.ErrNotFound, "there is no such feed: its address is incomplete, or it was "+
	"replaced or revoked")

// A Sealer encrypts data for a context. It can only be decrypted with the same context.
type Sealer interface {
	Seal(plain []byte, context string) ([]byte, error)
	Open(sealed []byte, context string) ([]byte, error)
}

// Feeds is safe for concurrent use, even by several replicas.
type Feeds struct {
	store     *store.Store
	rollovers *rollovers.Rollovers
	seal      Sealer
	log       *slog.Logger

	indexes *recent.Cache[string, *keptIndex] // by the ID of the counterparty

	mu     sync.Mutex               // guards the fields below
	signer signer                   // the zero value until it is read
	turns  map[string]chan struct{} // by the ID of the counterparty; full while a request has its turn
}

// New returns the feeds in a database. Each argument is required.
func New(s *store.Store, r *rollovers.Rollovers, seal Sealer, log *slog.Logger) (*Feeds, error) {
	if s == nil || r == nil || seal == nil || log == nil {
		return nil, errors.New("feeds: a store, the roll-overs, a sealer or a logger is missing")
	}
	return &Feeds{store: s, rollovers: r, seal: seal, log: log, indexes: recent.New[string, *keptIndex](mostIndexes),
		turns: map[string]chan struct{}{}}, nil
}

// An Address is the variable part of a feed's address. It is known only when it is created.
type Address struct {
	Secret     string // 256 bits, base64url
	Thumbprint string // of the key that signs
}

// Create creates the feed of an arrangement. It returns [tenancy.ErrConflict] if the arrangement has one.
func (f *Feeds) Create(ctx context.Context, s standing.Standing, actor string, now time.Time) (Address, error) {
	event := tenancy.NewEvent(now, actor, "feed.created", s.Tenant.Name, s.Name(), nil)
	return f.address(ctx, event, func(tx *store.Tx, hash string) error {
		err := tx.CreateFeed(ctx, tenancy.Feed{ArrangementID: s.Arrangement.ID, CreatedBy: actor, CreatedAt: now}, hash)
		if errors.Is(err, tenancy.ErrConflict) {
			err = tenancy.Errorf(tenancy.ErrConflict, "arrangement %s has a feed already: give it a new address if the "+
				"present one is lost", s.Name())
		}
		return err
	})
}

// Readdress gives the feed of an arrangement a new address. The former one ends at once.
func (f *Feeds) Readdress(ctx context.Context, s standing.Standing, actor string, now time.Time) (Address, error) {
	event := tenancy.NewEvent(now, actor, "feed.readdressed", s.Tenant.Name, s.Name(), nil)
	return f.address(ctx, event, func(tx *store.Tx, hash string) error {
		return tx.ReplaceFeedSecret(ctx, s.Arrangement.ID, hash, actor, now)
	})
}

// address creates an address and stores it with its audit event.
func (f *Feeds) address(ctx context.Context, event tenancy.Event, write func(tx *store.Tx, hash string) error) (Address,
	error) {
	a, err := f.newAddress(ctx)
	if err != nil {
		return Address{}, err
	}
	return a, f.store.InTx(ctx, func(tx *store.Tx) error {
		if err := write(tx, tenancy.HashSecret(a.Secret)); err != nil {
			return err
		}
		return tx.Audit(ctx, event)
	})
}

// newAddress returns an address with a new secret.
func (f *Feeds) newAddress(ctx context.Context) (Address, error) {
	signer, err := f.ensureSigner(ctx)
	if err != nil {
		return Address{}, err
	}
	secret := make([]byte, secretSize)
	rand.Read(secret) // it never fails
	return Address{base64.RawURLEncoding.EncodeToString(secret), signer.thumbprint}, nil
}

// Revoke ends the feed of an arrangement.
func (f *Feeds) Revoke(ctx context.Context, t tenancy.Tenant, a tenancy.Arrangement, actor string,
	now time.Time) error {
	return f.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.DeleteFeed(ctx, a.ID); err != nil {
			return err
		}
		elsewhere, err := tx.InCounterpartyFeed(ctx, a.ID)
		if err != nil {
			return err
		}
		if !elsewhere {
			if err := follow(ctx, tx, a.ID, time.Time{}); err != nil {
				return err
			}
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, "feed.revoked", t.Name, t.Name+"/"+a.Name, nil))
	})
}

// A Publication is the content of a feed at one time.
type Publication struct {
	Feed     tenancy.Feed
	Standing standing.Standing
	Document feed.Document

	place  place
	actor  string // of what is claimed through the address
	signer signer
	left   int // number of certificates and CAs that do not fit into the document
}

// Newest returns the newest generation of the publication.
func (p Publication) Newest() int {
	return p.Document.Certificates[len(p.Document.Certificates)-1].Generation
}

// Sign returns the document as a JWS. The result is the same until the document changes.
func (p Publication) Sign(d feed.Document) (string, error) { return feed.Sign(d, p.signer.key) }

// Actor names the feed in the audit log.
func (p Publication) Actor() string {
	if p.actor != "" {
		return p.actor
	}
	return "feed of " + p.Standing.Name()
}

// Read returns what is published at an address. It returns [tenancy.ErrNotFound] if the address is not valid, and
// [tenancy.ErrRefused] if the arrangement has no certificate to publish at the moment.
func (f *Feeds) Read(ctx context.Context, a Address, now time.Time) (p Publication, err error) {
	if p.signer, err = f.knownSigner(ctx); err != nil {
		return p, err
	}
	if p.signer.key == nil || a.Thumbprint != p.signer.thumbprint {
		return p, errFeed
	}
	own := ownPlace{tenancy.HashSecret(a.Secret)}
	if p.Feed, err = f.store.FeedByHash(ctx, own.hash); err != nil {
		return p, unknown(err)
	}
	p.place = own
	err = f.publish(ctx, &p, a.Secret, now)
	return p, err
}

// publish completes a publication whose feed and place are set. secret is that of its address.
func (f *Feeds) publish(ctx context.Context, p *Publication, secret string, now time.Time) error {
	digest, err := p.compose(ctx, f, f.store.Reader, now)
	if err == nil && digest != p.Feed.Digest {
		err = f.advance(ctx, p, now)
	}
	if err != nil {
		return err
	}
	p.Document.Feed, p.Document.Sequence = feed.ID(secret), uint64(p.Feed.Sequence)
	p.Document.PublishedAt, p.Document.ValidUntil = freshness(now)
	p.Document.RefreshHint = int(RefreshHint / time.Second)
	return nil
}

// freshness returns the times of a document that is signed at now. A coarse time leaves the signature the same between
// two changes for an hour, so that caches can compare it.
func freshness(now time.Time) (publishedAt, validUntil time.Time) {
	publishedAt = now.UTC().Truncate(time.Hour)
	return publishedAt, publishedAt.Add(tenancy.FeedSilence)
}

// unknown turns the error about a missing row into the answer to an address that is not valid.
func unknown(err error) error {
	if errors.Is(err, tenancy.ErrNotFound) {
		return errFeed
	}
	return err
}

// advance gives content that differs from the last one its sequence number. The content is read again under a lock, so
// that a replica that has read older content does not publish it again.
func (f *Feeds) advance(ctx context.Context, p *Publication, now time.Time) error {
	return f.store.InTx(ctx, func(tx *store.Tx) (err error) {
		if p.Feed, err = p.place.lock(ctx, tx); err != nil {
			return unknown(err)
		}
		digest, err := p.compose(ctx, f, tx.Reader, now)
		if err != nil || digest == p.Feed.Digest {
			return err
		}
		// The time keeps the number growing if the feed was created again, or the database comes from a backup.
		p.Feed.Sequence, p.Feed.Digest = max(p.Feed.Sequence+1, now.Unix()), digest
		if p.left > 0 {
			f.log.WarnContext(ctx, "certificates are left out of a feed, because followers do not read a larger document",
				"arrangement", p.Standing.Name(), "left_out", p.left)
		}
		return p.place.publish(ctx, tx, p.Feed)
	})
}

// compose reads the content of the feed, without its ID, sequence number and times, and returns its digest.
func (p *Publication) compose(ctx context.Context, f *Feeds, r store.Reader, now time.Time) (digest string,
	err error) {
	t, a, err := r.OwnedArrangement(ctx, p.Feed.ArrangementID)
	if err != nil {
		return "", unknown(err)
	}
	if p.Standing, err = f.rollovers.Standing(ctx, r, t, a); err != nil {
		return "", err
	}
	if p.Document, p.left, err = f.document(ctx, r, p.Standing, now); err != nil {
		return "", err
	}
	return p.Document.Digest()
}
