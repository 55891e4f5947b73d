package acceptance_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
)

// listed returns a tenant of the feed "platform" with certificates for an arrangement.
func listed(tenant, arrangement string, all ...*x509.Certificate) acceptance.Partner {
	p := acceptance.Partner{Name: "platform/" + tenant, Rule: acceptance.Pin,
		Source: acceptance.Source{Feed: "platform", Tenant: tenant}}
	for _, c := range all {
		k := acceptance.NewKnown(c)
		k.Arrangements = arrangement
		p.Known = append(p.Known, k)
	}
	return p
}

func named(name string) func(*x509.Certificate) { return subject(pkix.Name{CommonName: name}) }

func TestADecisionAboutATenantOfAFeedNamesItsSource(t *testing.T) {
	f := setUp(t)
	first, second := f.ca.issue(begin, named("globex")), f.ca.issue(begin, named("globex"))
	globex := listed("globex", "orders", first)
	globex.Known = append(globex.Known, listed("globex", "orders, payments", second).Known...)
	ps, leftOut, err := acceptance.NewListed([]acceptance.Partner{f.acme}, []acceptance.Partner{globex})
	check(t, err)
	if len(leftOut) != 0 {
		t.Errorf("left out: %v", leftOut)
	}
	for c, arrangements := range map[*x509.Certificate]string{first: "orders", second: "orders, payments"} {
		d := ps.Decide([]*x509.Certificate{c}, inWindow)
		wants(t, arrangements, d, acceptance.Accept, acceptance.Pinned)
		if d.Source != globex.Source || d.Arrangements != arrangements || d.Partner != "platform/globex" {
			t.Errorf("%s: %+v", arrangements, d)
		}
	}
	d := ps.Decide([]*x509.Certificate{f.ca.issue(inWindow, named("globex")), f.ca.cert}, inWindow)
	wants(t, "a successor that the feed does not list", d, acceptance.Refuse, acceptance.NotListed)
	if !strings.Contains(d.Reason, "the feed platform") {
		t.Errorf("the reason %q does not name the feed", d.Reason)
	}
	if d := ps.Decide([]*x509.Certificate{f.first}, inWindow); d.Source != (acceptance.Source{}) || d.Arrangements != "" {
		t.Errorf("a partner without a feed: %+v", d)
	}
}

// Whoever publishes a feed chooses the certificates and the names in it.
func TestAFeedCannotTakeOverTheCallsOfAnotherPartner(t *testing.T) {
	f := setUp(t)
	globex := f.ca.issue(begin, named("globex"))
	next := f.ca.issue(inWindow)
	many := slices.Repeat([]*x509.Certificate{globex}, 300)
	invalid := listed("invalid\nname", "orders", f.ca.issue(begin, named("invalid")))
	wrong := listed("wrong", "orders", f.ca.issue(begin, named("wrong")))
	wrong.Rule = acceptance.Authority
	alias := listed("alias", "orders", f.ca.issue(begin, named("alias")))
	alias.Name = "acme-c4c"
	for name, c := range map[string]struct {
		listed acceptance.Partner
		want   string
	}{
		"a known certificate":          {listed("evil", "x", f.first), `is known as one of "acme-c4c"`},
		"a successor":                  {listed("evil", "x", next), `has the names of "acme-c4c" from one of its CAs`},
		"a certificate of an anchor":   {listed("evil", "x", f.root.issue(inWindow)), `has the names of "acme-c4c"`},
		"the certificate of a tenant":  {listed("evil", "x", globex), `is known as one of "platform/globex"`},
		"the name of another partner":  {alias, "there is a partner with this name already"},
		"a name for no header":         {invalid, "letters, digits and signs of ASCII"},
		"a rule that accepts more":     {wrong, "has the rule pin"},
		"no certificate":               {listed("empty", "x"), "no certificate is known"},
		"the tenant a second time":     {listed("globex", "x", f.ca.issue(begin, named("x"))), "with this name already"},
		"more than any tenant can use": {listed("evil", "x", many...), "more than 256"},
	} {
		ps, leftOut, err := acceptance.NewListed([]acceptance.Partner{f.acme},
			[]acceptance.Partner{listed("globex", "orders", globex), c.listed})
		check(t, err)
		if text := fmt.Sprint(leftOut); !strings.Contains(text, c.want) || strings.Contains(text, "\n") &&
			!strings.Contains(text, "more than 256") {
			t.Errorf("%s: %s, want %q", name, text, c.want)
		}
		for of, d := range map[string]acceptance.Decision{
			"acme-c4c":        ps.Decide([]*x509.Certificate{f.first}, inWindow),
			"acme-c4c, later": ps.Decide([]*x509.Certificate{next, f.ca.cert}, inWindow),
			"platform/globex": ps.Decide([]*x509.Certificate{globex}, inWindow),
		} {
			if d.Outcome != acceptance.Accept || !strings.HasPrefix(of, d.Partner) {
				t.Errorf("%s: the call of %s is decided as %+v", name, of, d)
			}
		}
	}
	ps, _, err := acceptance.NewListed([]acceptance.Partner{f.acme},
		[]acceptance.Partner{listed("evil", "x", next, globex)})
	check(t, err)
	if evil, _ := ps.Partner("platform/evil"); len(evil.Known) != 1 {
		t.Errorf("%d certificates of the tenant remain, want the other one", len(evil.Known))
	}
	for c, want := range map[*x509.Certificate]string{globex: "platform/evil", f.first: "acme-c4c", next: ""} {
		if holder, known := ps.Holder(acceptance.NewKnown(c).Fingerprint); holder.Name != want || known != (want != "") {
			t.Errorf("a certificate is known as one of %q, want %q", holder.Name, want)
		}
	}
}

// Many tenants with the same names of the same CA cost neither the index nor a decision about a stranger more.
func TestTenantsWithTheSameNamesStayCheap(t *testing.T) {
	f := setUp(t)
	const tenants = 3000
	all := make([]acceptance.Partner, tenants)
	k := acceptance.NewKnown(f.ca.issue(begin, named("alike")))
	for i := range all {
		one := k
		one.Fingerprint[0], one.Fingerprint[1] = byte(i), byte(i>>8)
		all[i] = acceptance.Partner{Name: fmt.Sprint("platform/", i), Rule: acceptance.Pin, Known: []acceptance.Known{one},
			Source: acceptance.Source{Feed: "platform", Tenant: fmt.Sprint(i)}}
	}
	began := time.Now()
	ps, leftOut, err := acceptance.NewListed([]acceptance.Partner{f.acme}, all)
	check(t, err)
	if len(ps.Names()) != tenants+1 || len(leftOut) != 0 {
		t.Fatalf("%d partners, left out: %v", len(ps.Names()), leftOut)
	}
	stranger := []*x509.Certificate{f.ca.issue(begin, named("alike")), f.ca.cert}
	if allocated := testing.AllocsPerRun(10, func() { ps.Decide(stranger, inWindow) }); allocated > 300 {
		t.Errorf("a decision makes %v allocations", allocated)
	}
	t.Logf("%v", time.Since(began))
	wants(t, "a stranger", ps.Decide(stranger, inWindow), acceptance.Refuse, acceptance.NotListed)
	next := []*x509.Certificate{f.ca.issue(inWindow), f.ca.cert}
	wants(t, "a successor", ps.Decide(next, inWindow), acceptance.Accept, acceptance.IsSuccessor)
}
