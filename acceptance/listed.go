package acceptance

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// MostListed limits the certificates of a partner that the feed of a counterparty lists.
const MostListed = 256

// NewListed returns an index of partners, as [New] does, together with those that feeds of counterparties list. The
// latter have the rule [Pin] and a [Source].
//
// Whoever publishes a feed cannot take over the calls of another partner. A certificate is left out if a partner before
// it has it, or if it has the names of a partner in all and one of its issuers. A partner that is not valid, or
// of which nothing remains, is left out too. Each reason is in leftOut, and none of them keeps the others out.
func NewListed(all, listed []Partner) (ps *Partners, leftOut []error, err error) {
	if ps, err = New(all); err != nil {
		return nil, nil, err
	}
	for _, p := range listed {
		err := ps.addListed(p)
		if err != nil {
			leftOut = append(leftOut, fmt.Errorf("partner %q: %w", printable(p.Name), err))
		}
	}
	return ps, leftOut, nil
}

// addListed adds a partner with those of its certificates that belong to no other one.
func (ps *Partners) addListed(p Partner) error {
	var problems []error
	if len(p.Known) > MostListed {
		problems = append(problems, fmt.Errorf("more than %d certificates are listed, and the first ones count",
			MostListed))
	}
	var known []Known
	for _, k := range p.Known[:min(len(p.Known), MostListed)] {
		if err := ps.claimed(k); err != nil {
			problems = append(problems, err)
			continue
		}
		known = append(known, k)
	}
	if len(known) == 0 && len(problems) > 0 {
		return errors.Join(problems...)
	}
	p.Known = known
	switch err := p.check(); {
	case err != nil:
		return err
	case p.Rule != Pin || p.Source.Feed == "":
		return fmt.Errorf("a partner of a feed has the rule %s and names its feed", Pin)
	case ps.byName.get(p.Name) != nil:
		return errors.New("there is a partner with this name already")
	}
	ps.insert(&partner{p}, few)
	return errors.Join(problems...)
}

// few adds a partner to a list of those with the same names, or of the same CA. The names only explain why a
// certificate is refused that is not listed, so a few partners are enough. All others are before it in the list.
func few(all []*partner, p *partner) []*partner {
	if n := len(all); n >= mostAlike || n > 0 && all[n-1] == p {
		return all
	}
	return append(all, p)
}

// claimed returns an error if a certificate belongs to a partner already.
func (ps *Partners) claimed(k Known) error {
	if other := ps.byFingerprint.get(k.Fingerprint); other != nil {
		return fmt.Errorf("the certificate with the SHA-256 %s is known as one of %q", k.Fingerprint, other.Name)
	}
	for _, other := range ps.alike(k) {
		if other.Source == (Source{}) && other.couldHave(k) {
			return fmt.Errorf("the certificate with the SHA-256 %s has the names of %q from one of its CAs, so its rule "+
				"decides: remove that partner if the feed replaces it", k.Fingerprint, other.Name)
		}
	}
	return nil
}

// couldHave reports whether a certificate could be the partner's own: it has the names of one of its certificates, and
// is of their issuer or of a trust anchor.
func (p *partner) couldHave(k Known) bool {
	trusted := slices.ContainsFunc(p.Trust, func(ca *x509.Certificate) bool { return nameKey(ca.RawSubject) == k.issuer })
	return slices.ContainsFunc(p.Known, func(o Known) bool {
		return (trusted || o.issuer == k.issuer) && (o.names(k) || k.names(o))
	})
}

// Holder returns the partner that a certificate is known as one of.
func (ps *Partners) Holder(f Fingerprint) (p Partner, ok bool) {
	if found := ps.byFingerprint.get(f); found != nil {
		return found.Partner, true
	}
	return p, false
}
