package feeds

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// The limits of one feed. Together they are the certificates that a follower reads from one document.
const (
	mostGenerations = 32
	mostCAs         = feed.MaxCertificates - mostGenerations
)

// leavingSoon is the time before its expiry from which a certificate is marked as about to be removed. It is as long as
// a document is fresh: a follower with any fresh document has the mark before the certificate is gone.
const leavingSoon = tenancy.FeedSilence

// document returns the content of a feed, without its ID, sequence number and times. left is the number of certificates
// and CAs that do not fit into it.
func (f *Feeds) document(ctx context.Context, r store.Reader, s standing.Standing,
	now time.Time) (d feed.Document, left int, err error) {
	generations, err := r.Published(ctx, s.Tenant.ID, s.Arrangement.Presents(), presented(s, now), now, mostGenerations)
	if err != nil {
		return d, 0, err
	}
	return f.assemble(ctx, s, generations, chainsOf(r), now)
}

// assemble returns the document of some generations, the oldest first.
func (f *Feeds) assemble(ctx context.Context, s standing.Standing, generations []tenancy.Certificate, chains chains,
	now time.Time) (d feed.Document, left int, err error) {
	presents := presented(s, now)
	d.Tenant, d.Arrangement = s.Tenant.Name, s.Arrangement.Name
	settled := s.Rollover.State(now) == rollover.Settled
	var issuers []string
	for _, c := range generations {
		if _, err := x509.ParseCertificate(c.DER); err != nil {
			f.log.WarnContext(ctx, "a certificate is left out of a feed, because followers cannot read it", "arrangement",
				s.Name(), "generation", c.Generation, "error", err)
			continue
		}
		published := feed.Certificate{Generation: c.Generation, State: feed.Next, DER: c.DER}
		switch {
		case c.Generation == presents:
			published.State = feed.Active
		case c.Generation < presents || c.State == tenancy.Retired:
			published.State = feed.Retired
		}
		over := published.State == feed.Retired && (settled || c.State == tenancy.Retired)
		if until := c.NotAfter.UTC(); over || until.Sub(now) <= leavingSoon {
			published.RemoveAfter = &until
		}
		d.Certificates = append(d.Certificates, published)
		if c.IssuerID != "" && !slices.Contains(issuers, c.IssuerID) {
			issuers = append(issuers, c.IssuerID)
		}
	}
	if len(d.Certificates) == 0 {
		return d, 0, tenancy.Errorf(tenancy.ErrRefused, "arrangement %s has no valid certificate to publish: renew the "+
			"certificate of %s", s.Name(), s.Tenant.Name)
	}
	if d.CAs, err = chains.above(ctx, issuers); err != nil {
		return d, 0, err
	}
	if left = fit(&d); d.Content() > feed.MaxContent {
		return d, left, tenancy.Errorf(tenancy.ErrRefused, "the certificates of arrangement %s are larger than followers "+
			"read: ask the CA for smaller ones", s.Name())
	}
	return d, left, nil
}

// fit leaves out what makes a document larger than followers read, and returns the number of certificates and CAs that
// are left out: retired generations first, then those that are not presented yet, then CAs, and of each the oldest
// first. The presented generation and the newest stay.
func fit(d *feed.Document) (left int) {
	left = max(0, len(d.CAs)-mostCAs)
	d.CAs = d.CAs[left:]
	excess, newest := d.Content()-feed.MaxContent, d.Certificates[len(d.Certificates)-1].Generation
	for _, state := range []feed.State{feed.Retired, feed.Next} {
		d.Certificates = slices.DeleteFunc(d.Certificates, func(c feed.Certificate) bool {
			if excess <= 0 || c.State != state || c.Generation == newest {
				return false
			}
			excess -= len(c.DER)
			left++
			return true
		})
	}
	for excess > 0 && len(d.CAs) > 0 {
		excess -= len(d.CAs[0])
		d.CAs = d.CAs[1:]
		left++
	}
	return left
}

// presented returns the generation that messages present: the one that the arrangement is set to, or if that is expired
// or revoked, the one that is tried first in its place.
func presented(s standing.Standing, now time.Time) int {
	order := s.Rollover.Order(now)
	if len(order) == 0 || slices.Contains(order, s.Rollover.Presents) {
		return s.Rollover.Presents
	}
	return order[0]
}

// publishedOf returns what [store.Reader.Published] lists, from the generations of all credentials of the tenant, the
// oldest first. An index reads those of many tenants at once.
func publishedOf(s standing.Standing, all []tenancy.Certificate, now time.Time) []tenancy.Certificate {
	presents := presented(s, now)
	rank := func(c tenancy.Certificate) int {
		switch {
		case c.Generation == presents:
			return 0
		case c.State != tenancy.Retired:
			return 1
		}
		return 2
	}
	var valid []tenancy.Certificate
	for _, c := range all {
		if c.Purpose == s.Arrangement.Presents() && c.State != tenancy.Revoked && c.NotAfter.After(now) {
			valid = append(valid, c)
		}
	}
	if len(valid) <= mostGenerations {
		return valid
	}
	slices.SortFunc(valid, func(a, b tenancy.Certificate) int {
		return cmp.Or(rank(a)-rank(b), b.Generation-a.Generation)
	})
	valid = valid[:mostGenerations]
	slices.SortFunc(valid, func(a, b tenancy.Certificate) int { return a.Generation - b.Generation })
	return valid
}

// chains reads the CAs above issuers, each issuer once.
type chains struct {
	reader store.Reader
	known  map[string][][]byte // by the ID of the issuer; only what crypto/x509 can read
}

func chainsOf(r store.Reader) chains { return chains{r, map[string][][]byte{}} }

// above returns the certificates of the CAs above some issuers, each once. Those of the newest issuers come last.
func (c chains) above(ctx context.Context, issuers []string) (cas [][]byte, err error) {
	for _, id := range issuers {
		chain, err := c.of(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, der := range chain {
			if !slices.ContainsFunc(cas, func(ca []byte) bool { return bytes.Equal(ca, der) }) {
				cas = append(cas, der)
			}
		}
	}
	return cas, nil
}

func (c chains) of(ctx context.Context, id string) (readable [][]byte, err error) {
	if chain, known := c.known[id]; known {
		return chain, nil
	}
	chain, err := c.reader.TrustChain(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, der := range chain {
		if _, err := x509.ParseCertificate(der); err == nil {
			readable = append(readable, der)
		}
	}
	c.known[id] = readable
	return readable, nil
}
