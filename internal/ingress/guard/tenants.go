package guard

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/ingress/follow"
	"github.com/perennial-pki/perennial/tenancy"
)

// documentFeed is the form of a [PartyFeed] in a configuration file.
type documentFeed struct {
	Name    string `yaml:"name"`
	Address string `yaml:"address"`
	Shrink  bool   `yaml:"shrink"`
}

// A PartyFeed is the feed of a counterparty. Each tenant in it is a partner with the name FEED/TENANT.
type PartyFeed struct {
	Name    string
	Address string
	Shrink  bool // accepts that most entries leave at once
}

// mostFeedName limits the name of a feed, so that FEED/TENANT has at most 100 bytes, as the name of a partner.
const mostFeedName = 36

// addParty adds the feed of a counterparty. The names of its partners begin with its name, so no partner of the file
// can have such a name.
func (c *Config) addParty(f PartyFeed) error {
	switch err := tenancy.CheckName("name", f.Name); {
	case err != nil:
		return err
	case len(f.Name) > mostFeedName:
		return fmt.Errorf("its name has more than %d characters", mostFeedName)
	case slices.ContainsFunc(c.Parties, func(o PartyFeed) bool { return o.Name == f.Name }):
		return errors.New("it appears twice")
	}
	for _, p := range c.Partners {
		if p.Name == f.Name || strings.HasPrefix(p.Name, f.Name+"/") {
			return fmt.Errorf("partner %q has a name that is reserved for this feed: rename one of them", p.Name)
		}
	}
	if err := follow.CheckParty(f.Address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	c.Parties = append(c.Parties, f)
	return nil
}

// mostArrangements limits the arrangements that are named for a certificate: they are sent in a header.
const mostArrangements = 32

// A parsing keeps the certificates of a feed that were parsed, by their fingerprints, so that a round parses only the
// new ones.
type parsing map[acceptance.Fingerprint]acceptance.Known

// tenants returns the tenants in the documents of a feed as partners, sorted by name, and the parsed certificates. The
// sender chooses all names, and they are sent in headers, so entries whose names are not valid are left out.
func (before parsing) tenants(of string, documents map[string]feed.Document) (all []acceptance.Partner, after parsing,
	leftOut error) {
	ids := slices.SortedFunc(maps.Keys(documents), func(a, b string) int {
		d, o := documents[a], documents[b]
		return cmp.Or(strings.Compare(d.Tenant, o.Tenant), strings.Compare(d.Arrangement, o.Arrangement),
			strings.Compare(a, b))
	})
	after = parsing{}
	invalid := 0
	for _, id := range ids {
		d := documents[id]
		err := errors.Join(tenancy.CheckName("tenant", d.Tenant), tenancy.CheckName("arrangement", d.Arrangement))
		if err != nil {
			invalid++
			leftOut = fmt.Errorf("%d entries have invalid names, such as: %w", invalid, err)
			continue
		}
		if n := len(all); n == 0 || all[n-1].Source.Tenant != d.Tenant {
			all = append(all, acceptance.Partner{Name: of + "/" + d.Tenant, Rule: acceptance.Pin,
				Source: acceptance.Source{Feed: of, Tenant: d.Tenant}})
		}
		p := &all[len(all)-1]
		for _, c := range d.Certificates {
			k, err := before.known(c)
			if err != nil { // a document was verified, so this is a damaged state file
				return nil, nil, fmt.Errorf("the entry %s of %s: %w", d.Arrangement, d.Tenant, err)
			}
			after[k.Fingerprint] = k
			p.Known = listing(p.Known, k, d.Arrangement)
		}
	}
	return all, after, leftOut
}

// known parses a certificate, unless it was parsed before.
func (before parsing) known(c feed.Certificate) (acceptance.Known, error) {
	if k, ok := before[sha256.Sum256(c.DER)]; ok {
		return k, nil
	}
	parsed, err := c.Parsed()
	if err != nil {
		return acceptance.Known{}, err
	}
	return acceptance.NewKnown(parsed), nil
}

// listing adds a certificate for an arrangement. Several arrangements of a tenant can present the same one.
func listing(all []acceptance.Known, k acceptance.Known, arrangement string) []acceptance.Known {
	i := slices.IndexFunc(all, func(o acceptance.Known) bool { return o.Fingerprint == k.Fingerprint })
	switch {
	case i < 0 && len(all) > acceptance.MostListed: // one more is enough to report that there are too many
		return all
	case i < 0:
		k.Arrangements = arrangement
		return append(all, k)
	}
	named := strings.Split(all[i].Arrangements, ", ")
	if len(named) < mostArrangements && !slices.Contains(named, arrangement) {
		all[i].Arrangements += ", " + arrangement
	}
	return all
}

// StoreDecision stores the decision of a person for the guard of a configuration, which may be another process, as
// [State.Decide] does. The certificate can also be one that the feed of a counterparty lists.
func StoreDecision(ctx context.Context, c Config, partner, sha256, by string, standing Standing,
	now time.Time) (v Sighting, err error) {
	current, err := Remembered(ctx, c)
	if err != nil {
		return v, err
	}
	state, err := OpenState(ctx, c.State)
	if err != nil {
		return v, err
	}
	defer state.Close()
	return state.decide(ctx, current, partner, sha256, by, standing, now)
}

// decide is [State.Decide] for the certificates that the feeds of counterparties list, too. Those are not stored until
// a person decides about them.
func (s *State) decide(ctx context.Context, current *acceptance.Partners, partner, sha256, by string, standing Standing,
	now time.Time) (v Sighting, err error) {
	prefix, err := beginning(sha256)
	if err != nil {
		return v, err
	}
	for _, name := range current.Names() {
		p, _ := current.Partner(name)
		if p.Source.Feed == "" || partner != "" && partner != name {
			continue
		}
		for _, k := range p.Known {
			if !strings.HasPrefix(k.Fingerprint.String(), prefix) {
				continue
			}
			if _, err := s.add(ctx, listedSighting(p, k, now), false); err != nil {
				return v, err
			}
		}
	}
	v, err = s.Decide(ctx, partner, sha256, by, standing, now)
	if !errors.Is(err, tenancy.ErrNotFound) {
		return v, err
	}
	for _, name := range current.Names() {
		p, _ := current.Partner(name)
		i := slices.IndexFunc(p.Known, func(k acceptance.Known) bool {
			return strings.HasPrefix(k.Fingerprint.String(), prefix)
		})
		if i < 0 || partner != "" && partner != name {
			continue
		}
		if standing == Accepted {
			return v, tenancy.Errorf(tenancy.ErrConflict, "the certificate %s of %s is accepted already: the configuration of "+
				"the guard lists it", p.Known[i].Fingerprint, name)
		}
		return v, tenancy.Errorf(tenancy.ErrConflict, "the configuration of the guard lists the certificate %s as known of "+
			"%s: remove it there to refuse it. A running guard follows within ten seconds", p.Known[i].Fingerprint, name)
	}
	return v, err
}

// listedSighting returns a certificate that the feed of a counterparty lists as a sighting.
func listedSighting(p acceptance.Partner, k acceptance.Known, now time.Time) Sighting {
	return Sighting{Partner: p.Name, DER: k.DER, Standing: Accepted, Code: acceptance.Pinned, By: byFeed, At: now,
		Reason: "the feed " + p.Source.Feed + " lists it"}
}
