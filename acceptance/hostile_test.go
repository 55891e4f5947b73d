package acceptance_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	. "github.com/perennial-pki/perennial/acceptance"
)

// A hostile certificate deviates from a successor.
type deviation struct {
	name string
	// leaf changes what is issued, and key is the key that it is issued for.
	leaf func(*x509.Certificate)
	key  crypto.PublicKey
	// by is the CA that issues it, and above the certificates beside it, without by.
	by    *ca
	above []*x509.Certificate
	// forge changes the certificate after it was issued.
	forge func(*testing.T, *ca, *x509.Certificate) *x509.Certificate
	// starts is set if leaf changes the start, and lax if the rule authority accepts it.
	starts, lax bool
}

// withSHA1 signs a certificate again with a hash that can be forged.
func withSHA1(t *testing.T, by *ca, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	sha1WithECDSA := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}}
	var parts []asn1.RawValue
	_, err := asn1.Unmarshal(c.RawTBSCertificate, &parts)
	check(t, err)
	parts[2].FullBytes, err = asn1.Marshal(sha1WithECDSA)
	check(t, err)
	tbs, err := asn1.Marshal(parts)
	check(t, err)
	hash := sha1.Sum(tbs)
	signature, err := ecdsa.SignASN1(rand.Reader, by.key.(*ecdsa.PrivateKey), hash[:])
	check(t, err)
	der, err := asn1.Marshal(struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, sha1WithECDSA, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
	check(t, err)
	forged, err := x509.ParseCertificate(der)
	check(t, err)
	return forged
}

// altered changes a byte of the signature.
func altered(t *testing.T, _ *ca, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	der := append([]byte(nil), c.Raw...)
	der[len(der)-1] ^= 1
	forged, err := x509.ParseCertificate(der)
	check(t, err)
	return forged
}

// deviations lists everything that makes a certificate another one than a successor.
func (f *fixture) deviations(t *testing.T) (all []deviation) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	check(t, err)
	smaller, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	leaf := func(name string, change func(*x509.Certificate)) {
		all = append(all, deviation{name: name, leaf: change})
	}
	// Names.
	for _, n := range []pkix.Name{{}, {CommonName: "acme"}, {CommonName: "globex", Organization: []string{"Acme Corp"}},
		{CommonName: "acme\x00", Organization: []string{"Acme Corp"}},
		{CommonName: "аcme", Organization: []string{"Acme Corp"}},
		{CommonName: "acme", Organization: []string{"Acme Corp", "Globex"}},
		{CommonName: "acme", Organization: []string{"Acme Соrp"}}, {CommonName: "acme.", Organization: []string{"Acme Corp"}},
		{CommonName: "acme", OrganizationalUnit: []string{"Acme Corp"}}} {
		leaf(fmt.Sprintf("subject %q", n), subject(n))
	}
	// Times.
	for name, start := range map[string]time.Time{"older": begin.Add(-time.Hour), "issued at the same time": begin,
		"outside the window": begin.AddDate(0, 3, 0)} {
		all = append(all, deviation{name: name, leaf: func(c *x509.Certificate) { c.NotBefore = start }, starts: true,
			lax: true})
	}
	all = append(all, deviation{name: "not yet valid", starts: true,
		leaf: func(c *x509.Certificate) { c.NotBefore = inWindow.AddDate(0, 0, 10) }})
	leaf("expired", func(c *x509.Certificate) { c.NotAfter = inWindow.Add(time.Second) })
	// Usages.
	for _, u := range [][]x509.ExtKeyUsage{nil, {x509.ExtKeyUsageServerAuth}, {x509.ExtKeyUsageCodeSigning,
		x509.ExtKeyUsageEmailProtection}, {x509.ExtKeyUsageOCSPSigning}} {
		leaf(fmt.Sprintf("extended key usages %v", u), func(c *x509.Certificate) { c.ExtKeyUsage = u })
	}
	leaf("unknown extended key usage", func(c *x509.Certificate) {
		c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, []asn1.ObjectIdentifier{{1, 2, 3, 4}}
	})
	leaf("for encryption", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })
	leaf("a CA", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })
	leaf("an unknown critical extension", func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 5}, Critical: true, Value: []byte{5, 0}}}
	})
	// Keys.
	all = append(all, deviation{name: "a weak key", key: weak.Public()},
		deviation{name: "a weaker key", key: smaller.Public(), lax: true})
	// CAs.
	other := authority(t, "Passport CA", keys()[2], nil)
	otherRoot := authority(t, "Passport Root", keys()[2], nil)
	for name, by := range map[string]*ca{
		"another CA with the same name": other,
		"another root":                  authority(t, "Passport CA", keys()[2], otherRoot),
		"a CA with a weak key":          authority(t, "Weak CA", weak, f.root),
		"a CA for servers": authority(t, "Server CA", keys()[2], f.root, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}),
		"an expired CA": authority(t, "Expired CA", keys()[2], f.root, func(c *x509.Certificate) { c.NotAfter = begin }),
		"a CA that may not sign": authority(t, "Mute CA", keys()[2], f.root, func(c *x509.Certificate) {
			c.KeyUsage = x509.KeyUsageCRLSign
		}),
		"not a CA": {t, keys()[2], f.ca.issueFor(keys()[2].Public(), begin)},
	} {
		all = append(all, deviation{name: name, by: by})
	}
	short := authority(t, "Short CA", keys()[2], f.root, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	all = append(all, deviation{name: "a path that is too long", by: authority(t, "Below", keys()[0], short),
		above: []*x509.Certificate{short.cert}})
	limited := authority(t, "Limited CA", keys()[2], f.root, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"acme.example"}
		c.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}}
	})
	all = append(all, deviation{name: "a name outside the CA's constraint", by: limited, leaf: func(c *x509.Certificate) {
		c.DNSNames = append(c.DNSNames, "globex.example")
	}}, deviation{name: "10,000 names outside the CA's constraint", by: limited, leaf: func(c *x509.Certificate) {
		for i := range 10_000 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("%d.acme.example", i))
		}
		c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)}
	}})
	a := authority(t, "A", keys()[2], nil)
	b := authority(t, "B", keys()[0], a)
	all = append(all, deviation{name: "a cycle of CAs", by: b,
		above: []*x509.Certificate{authority(t, "A", keys()[2], b).cert, b.cert}})
	// Signatures.
	all = append(all, deviation{name: "a hash that can be forged", forge: withSHA1},
		deviation{name: "an altered signature", forge: altered})
	return all
}

// and combines two deviations; ok is false if both change the same thing, such as the CA.
func (d deviation) and(o deviation) (both deviation, ok bool) {
	if d.starts && o.starts || d.by != nil && o.by != nil || d.key != nil && o.key != nil ||
		d.forge != nil && (o.forge != nil || o.by != nil) || o.forge != nil && d.by != nil {
		return both, false
	}
	both = d
	both.name += ", and " + o.name
	both.starts, both.lax = d.starts || o.starts, d.lax && o.lax
	both.leaf = func(c *x509.Certificate) {
		for _, change := range []func(*x509.Certificate){d.leaf, o.leaf} {
			if change != nil {
				change(c)
			}
		}
	}
	if o.by != nil {
		both.by, both.above = o.by, o.above
	}
	if o.key != nil {
		both.key = o.key
	}
	if o.forge != nil {
		both.forge = o.forge
	}
	return both, true
}

func (f *fixture) chain(t *testing.T, d deviation) []*x509.Certificate {
	t.Helper()
	by, key := f.ca, keys()[3].Public()
	if d.by != nil {
		by = d.by
	}
	if d.key != nil {
		key = d.key
	}
	change := d.leaf
	if change == nil {
		change = func(*x509.Certificate) {}
	}
	leaf := by.issueFor(key, inWindow, change)
	if d.forge != nil {
		leaf = d.forge(t, by, leaf)
	}
	return append([]*x509.Certificate{leaf, by.cert}, d.above...)
}

func TestNothingOutsideTheRuleIsAccepted(t *testing.T) {
	f := setUp(t)
	all := f.deviations(t)
	for i, d := range all {
		for _, o := range all[:i] {
			if both, ok := d.and(o); ok {
				all = append(all, both)
			}
		}
	}
	now := inWindow.Add(time.Hour)
	var rules []*Partners
	for _, rule := range []Rule{Pin, Successor, Authority} {
		for _, trust := range [][]*x509.Certificate{{f.root.cert}, nil} {
			p := f.acme
			p.Rule, p.Trust = rule, trust
			ps, err := New([]Partner{p})
			check(t, err)
			rules = append(rules, ps)
		}
	}
	tried, codes := 0, map[Code]int{}
	for _, d := range all {
		chain := f.chain(t, d)
		for _, ps := range rules {
			p, _ := ps.Partner("acme-c4c")
			if p.Rule == Authority && d.lax {
				continue
			}
			tried++
			got := ps.Decide(chain, now)
			codes[got.Code]++
			if got.Outcome == Accept || got.Accepts(now) || got.Reason == "" {
				t.Errorf("%s, rule %s: %+v", d.name, p.Rule, got)
			}
		}
	}
	if len(all) < 300 || len(codes) < 10 {
		t.Errorf("%d certificates, with the codes %v", len(all), codes)
	}
	wants(t, "a successor without a deviation", f.decide(f.ca.issue(inWindow), now), Accept, IsSuccessor)
	t.Logf("%d certificates, %d decisions: %v", len(all), tried, codes)
}

func FuzzDecide(f *testing.F) {
	fix := setUp(f)
	second := fix.ca.issue(inWindow)
	f.Add(second.Raw, fix.ca.cert.Raw)
	f.Add(fix.first.Raw, fix.root.cert.Raw)
	f.Add(fix.ca.issue(inWindow, func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "a", Path: "/b"}}
		c.SerialNumber = big.NewInt(1)
	}).Raw, []byte{})
	genuine := map[Fingerprint]bool{NewKnown(second).Fingerprint: true, NewKnown(fix.first).Fingerprint: true}
	ps := fix.partners()
	f.Fuzz(func(t *testing.T, leaf, above []byte) {
		c, err := x509.ParseCertificate(leaf)
		if err != nil {
			return
		}
		chain := []*x509.Certificate{c}
		if ca, err := x509.ParseCertificate(above); err == nil {
			chain = append(chain, ca)
		}
		d := ps.Decide(chain, inWindow)
		if d.Outcome == Accept && !genuine[NewKnown(c).Fingerprint] || d.Reason == "" {
			t.Errorf("%+v", d)
		}
	})
}
