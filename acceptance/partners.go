package acceptance

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Partners is an index of partners, so that a decision costs the same for one and for ten thousand. It is never changed
// in place, and is safe for concurrent use.
type Partners struct {
	byName        layered[string, *partner]
	byFingerprint layered[Fingerprint, *partner]
	byIdentity    layered[string, []*partner] // by the keys of [Known.names]
	byCA          layered[string, []*partner] // by the name of a trust anchor, or of the issuer of a known certificate
}

// A partner is a [Partner] in an index.
type partner struct{ Partner }

// MostHeld limits the certificates of a partner that are held.
const MostHeld = 16

const (
	// mostAlike limits the partners with which a certificate is compared, and mostExplained those whose CAs are tried
	// to explain a refusal: a stranger can present any number of certificates.
	mostAlike, mostExplained = 16, 4
	mostName                 = 100 // bytes
	// mostBytes limits a certificate, and mostCertificates a chain. The largest certificates in use have 10 KiB.
	mostBytes, mostCertificates = 64 << 10, 16
	// mostBits limits a key, because verifying takes time that grows with it. It is the limit of crypto/tls.
	mostBits = 8192
)

// New returns an index. The error names the partner that is not valid.
func New(all []Partner) (*Partners, error) {
	ps := &Partners{newLayered[string, *partner](), newLayered[Fingerprint, *partner](),
		newLayered[string, []*partner](), newLayered[string, []*partner]()}
	var problems []error
	for _, p := range all {
		if err := ps.add(p); err != nil {
			problems = append(problems, fmt.Errorf("partner %q: %w", p.Name, err))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return ps, nil
}

func (ps *Partners) add(p Partner) error {
	if err := p.check(); err != nil {
		return err
	}
	if ps.byName.get(p.Name) != nil {
		return errors.New("two partners have this name")
	}
	for _, crl := range p.CRLs {
		if !slices.ContainsFunc(slices.Concat(p.Trust, p.CAs), crl.isOf) {
			return fmt.Errorf("the revocation list of %s is not signed by a CA that it trusts: add that CA to trust",
				crl.list.Issuer)
		}
	}
	if err := ps.compare(p); err != nil {
		return err
	}
	ps.insert(&partner{p}, func(all []*partner, p *partner) []*partner {
		if n := len(all); n > 0 && all[n-1] == p {
			return all
		}
		return append(all, p)
	})
	return nil
}

func (p Partner) check() error {
	switch {
	case p.Name == "":
		return errors.New("it has no name")
	case len(p.Name) > mostName || strings.ContainsFunc(p.Name, func(r rune) bool { return r < ' ' || r > '~' }):
		return fmt.Errorf("a name has at most %d letters, digits and signs of ASCII, because it is sent in a header",
			mostName)
	case p.Rule != Pin && p.Rule != Successor && p.Rule != Authority:
		return fmt.Errorf("invalid rule %q: use %s, %s or %s", p.Rule, Pin, Successor, Authority)
	case len(p.Known) == 0:
		return errors.New("no certificate is known: list at least one")
	case p.Rule == Successor && p.Window.Of(time.Hour) <= 0:
		return errors.New("there is no window in which it renews: name its policy, or set the window")
	case len(p.Trust) > 0 && !slices.ContainsFunc(p.Trust, func(c *x509.Certificate) bool { return c.IsCA }):
		return errors.New("no certificate of trust is that of a CA")
	case p.OnHold < 0:
		return errors.New("the time for which held certificates are accepted is negative")
	}
	return nil
}

// compare refuses a partner that cannot be told from another one.
func (ps *Partners) compare(p Partner) error {
	for _, k := range p.Known {
		if other := ps.byFingerprint.get(k.Fingerprint); other != nil && other.Name != p.Name {
			return fmt.Errorf("partner %q is known by the same certificate (SHA-256 %s)", other.Name, k.Fingerprint)
		}
		for _, other := range ps.alike(k) {
			for _, o := range other.Known {
				if other.Name == p.Name {
					break
				}
				if p.Rule != Pin && other.Rule != Pin && (o.names(k) || k.names(o)) &&
					(o.issuer == k.issuer || shareAnchor(p, other.Partner)) {
					return fmt.Errorf("partner %q is known by a certificate with the same names of the same CA: use the rule %s for "+
						"both, or make them one partner", other.Name, Pin)
				}
			}
		}
	}
	return nil
}

// shareAnchor reports whether two partners trust the same CA.
func shareAnchor(p, o Partner) bool {
	return slices.ContainsFunc(p.Trust, func(a *x509.Certificate) bool {
		return slices.ContainsFunc(o.Trust, func(b *x509.Certificate) bool {
			return nameKey(a.RawSubject) == nameKey(b.RawSubject) &&
				bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
		})
	})
}

// insert adds a partner to the index. put adds it to a list.
func (ps *Partners) insert(p *partner, put func(all []*partner, p *partner) []*partner) {
	ps.byName.set(p.Name, p)
	for _, k := range p.Known {
		ps.byFingerprint.set(k.Fingerprint, p)
		for _, key := range k.ownKeys() {
			ps.byIdentity.set(key, put(ps.byIdentity.get(key), p))
		}
		ps.byCA.set(k.issuer, put(ps.byCA.get(k.issuer), p))
	}
	for _, ca := range slices.Concat(p.Trust, p.CAs) {
		name := nameKey(ca.RawSubject)
		ps.byCA.set(name, put(ps.byCA.get(name), p))
	}
}

// with returns a list in which a partner replaces its earlier value.
func with(all []*partner, p *partner) []*partner {
	all = slices.DeleteFunc(slices.Clone(all), func(o *partner) bool { return o.Name == p.Name })
	return append(all, p)
}

// alike returns the partners with a certificate that names the same as another one.
func (ps *Partners) alike(k Known) (all []*partner) {
	found := map[*partner]bool{}
	for _, key := range k.keys() {
		for _, p := range ps.byIdentity.get(key) {
			if !found[p] {
				found[p] = true
				all = append(all, p)
			}
		}
	}
	return all
}

// Partner returns a partner by its name.
func (ps *Partners) Partner(name string) (p Partner, ok bool) {
	if found := ps.byName.get(name); found != nil {
		return found.Partner, true
	}
	return p, false
}

// Names returns the names of the partners, sorted.
func (ps *Partners) Names() []string { return slices.Sorted(slices.Values(ps.byName.keys())) }

// WithKnown returns the partners with one more known certificate of one of them. It is no longer held.
func (ps *Partners) WithKnown(name string, k Known) (*Partners, error) {
	return ps.change(name, func(p *Partner) error {
		if other := ps.byFingerprint.get(k.Fingerprint); other != nil && other.Name == name {
			return errors.New("the certificate is known already")
		}
		p.Known = append(slices.Clone(p.Known), k)
		p.Held = slices.DeleteFunc(slices.Clone(p.Held), func(h Held) bool { return h.Body == k.Body })
		return nil
	})
}

// WithHeld returns the partners after a certificate of one was held. Only its first time counts. If as many are held as
// may be, nothing changes.
func (ps *Partners) WithHeld(name string, h Held) (*Partners, error) {
	return ps.change(name, func(p *Partner) error {
		if len(p.Held) < MostHeld && !p.holds(h.Body) {
			p.Held = append(slices.Clone(p.Held), h)
		}
		return nil
	})
}

// Knows reports whether a certificate is known as one of a partner, or was refused by a person.
func (ps *Partners) Knows(name string, k Known) bool {
	p := ps.byName.get(name)
	return p != nil && (slices.Contains(p.Declined, k.Body) ||
		slices.ContainsFunc(p.Known, func(o Known) bool { return o.Body == k.Body }))
}

// MayHold reports whether [Partners.WithHeld] would change anything.
func (ps *Partners) MayHold(name string, k Known) bool {
	p := ps.byName.get(name)
	return p != nil && len(p.Held) < MostHeld && !p.holds(k.Body)
}

func (p Partner) holds(body Fingerprint) bool {
	return slices.ContainsFunc(p.Held, func(h Held) bool { return h.Body == body })
}

func (ps *Partners) change(name string, change func(*Partner) error) (*Partners, error) {
	before := ps.byName.get(name)
	if before == nil {
		return nil, fmt.Errorf("there is no partner %q", name)
	}
	after := *before
	if err := change(&after.Partner); err != nil {
		return nil, fmt.Errorf("partner %q: %w", name, err)
	}
	if err := ps.compare(after.Partner); err != nil {
		return nil, fmt.Errorf("partner %q: %w", name, err)
	}
	changed := &Partners{ps.byName.copied(), ps.byFingerprint.copied(), ps.byIdentity.copied(), ps.byCA.copied()}
	changed.insert(&after, with)
	return changed, nil
}

// Decide decides about a certificate that a caller has presented and whose key it has proved. The chain begins with the
// certificate. The others are in any order.
func (ps *Partners) Decide(chain []*x509.Certificate, now time.Time) Decision {
	if len(chain) == 0 {
		return Decision{Outcome: Refuse, Code: Malformed, Reason: "there is no certificate"}
	}
	for _, c := range chain {
		if len(chain) > mostCertificates || len(c.Raw) > mostBytes || strengthOf(c).bits > mostBits {
			return Decision{Outcome: Refuse, Code: Malformed, Reason: fmt.Sprintf("a chain has at most %d certificates of at "+
				"most %d KiB, with keys of at most %d bits", mostCertificates, mostBytes>>10, mostBits)}
		}
	}
	c := NewKnown(chain[0])
	if p := ps.byFingerprint.get(c.Fingerprint); p != nil {
		return p.decideKnown(c, chain, now)
	}
	var best Decision
	alike := ps.alike(c)
	slices.SortStableFunc(alike, func(a, b *partner) int { return cmp.Compare(b.likely(chain), a.likely(chain)) })
	for _, p := range alike[:min(len(alike), mostAlike)] {
		best = better(best, p.decideNew(c, chain, now))
	}
	if best.Outcome != "" {
		return best
	}
	return ps.decideStranger(c, chain, now)
}

// likely ranks a partner among those with the same names: those that a CA of the chain could have issued for come
// first.
func (p *partner) likely(chain []*x509.Certificate) int {
	if p.Rule == Pin {
		return 0
	}
	for _, c := range chain {
		issuer := nameKey(c.RawIssuer)
		if slices.ContainsFunc(p.Known, func(k Known) bool { return k.issuer == issuer }) ||
			slices.ContainsFunc(p.Trust, func(ca *x509.Certificate) bool { return nameKey(ca.RawSubject) == issuer }) {
			return 2
		}
	}
	return 1
}

// better returns the more favourable of two decisions, or the first one if they are equal.
func better(a, b Decision) Decision {
	rank := func(d Decision) int { return slices.Index([]Outcome{"", Refuse, Hold, Accept}, d.Outcome) }
	if cmp.Compare(rank(a), rank(b)) >= 0 {
		return a
	}
	return b
}

// decideStranger explains why a certificate without a partner's name is refused.
func (ps *Partners) decideStranger(c Known, chain []*x509.Certificate, now time.Time) Decision {
	refused := func(code Code, reason string) Decision { return Decision{Outcome: Refuse, Code: code, Reason: reason} }
	if reason := isExpired(nil, candidate{Known: c}, now); reason != "" {
		return refused(Expired, reason)
	}
	if reason := isNotYetValid(nil, candidate{Known: c}, now); reason != "" {
		return refused(NotYetValid, reason)
	}
	tried := 0
	for _, ca := range chain {
		for _, p := range ps.byCA.get(nameKey(ca.RawIssuer)) {
			if tried++; tried > mostExplained {
				break
			}
			if p.verify(chain, now).result == trusted {
				d := refused(OtherSubject, "no partner has its subject or its alternative names, although its CA is known")
				if len(ps.byCA.get(nameKey(ca.RawIssuer))) == 1 {
					d.Partner = p.Name
				}
				return d
			}
		}
	}
	return refused(OtherCA, "no partner has its subject or its alternative names, and no partner's CA has issued it")
}
