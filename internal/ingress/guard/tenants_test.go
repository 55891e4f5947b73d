package guard

import (
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// reads makes the guard read its feeds until a call has an answer with a text.
func (g *running) reads(want string, pair tls.Certificate) {
	g.t.Helper()
	last := ""
	testenv.Eventually(g.t, func() bool {
		g.readAgain()
		status, text := get(g.t, caller(g.t, pair), g.url+"/orders")
		last = fmt.Sprint(status, " ", text)
		return strings.Contains(last, want)
	})
	if !strings.Contains(last, want) {
		g.t.Fatalf("a call gets %q, want %q: %s", last, want, g.log.String())
	}
}

func (g *running) calls(want string, pair tls.Certificate) {
	g.t.Helper()
	status, text := get(g.t, caller(g.t, pair), g.url+"/orders")
	if got := fmt.Sprint(status, " ", text); !strings.Contains(got, want) {
		g.t.Errorf("a call gets %q, want %q", got, want)
	}
}

func TestOneFeedOfACounterpartyHasAPartnerForEachTenant(t *testing.T) {
	f := newFolder(t)
	local := f.tenant()
	globex, initech, next := f.client("globex", begin), f.client("initech", begin), f.client("initech", inWindow)
	orders := f.client("globex", inWindow)
	p := newPlatform(t)
	p.list("globex/crm-to-erp", globex.Certificate[0])
	p.list("globex/payments", globex.Certificate[0])
	p.list("initech/crm-to-erp", initech.Certificate[0])
	config := frontConfig(upstream(t)) + p.line()
	g := f.start(config, inWindow)
	host := strings.TrimPrefix(g.url, "https://")
	g.reads("200 platform/globex /orders "+host+" globex crm-to-erp, payments", globex)
	g.calls("200 platform/initech /orders "+host+" initech crm-to-erp", initech)
	g.calls("200 acme-c4c /orders "+host+"  ", local)
	g.calls(`"code":"not-listed"`, next)

	p.list("initech/crm-to-erp", initech.Certificate[0], next.Certificate[0]) // a renewal
	g.reads("200 platform/initech", next)
	g.calls("200 platform/initech", initech)
	p.list("initech/crm-to-erp", next.Certificate[0]) // the first one is revoked
	g.reads(`"code":"not-listed"`, initech)
	g.calls("200 platform/initech", next)
	p.list("globex/orders", orders.Certificate[0]) // another arrangement, with its own certificate
	p.end("globex/payments")
	g.reads("globex orders", orders)
	g.calls("globex crm-to-erp", globex)
	p.end("globex/crm-to-erp") // the end of a link
	g.reads(`"code":"not-listed"`, globex)
	p.end("globex/orders") // the end of the last one
	g.reads(`"code":"other-subject"`, orders)
	g.calls("200 platform/initech", next)
	g.calls("200 acme-c4c", local)
	testenv.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		last := p.reports[len(p.reports)-1]
		return last.Program == "perennial guard" && slices.Equal(last.Entries[0].Generations, []int{1})
	})

	// Nothing of that needs the sender after a restart.
	testenv.Check(t, g.stop())
	p.answers(away)
	g = f.start(config, inWindow)
	g.calls("200 platform/initech", next)
	g.calls(`"code":"other-subject"`, globex)
	testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "status 502") })
	g.calls("200 platform/initech", next)
	if strings.Contains(g.log.String(), feedSecret) {
		t.Error("the log contains the secret of the feed")
	}
}

// The sender chooses everything in a feed.
func TestAHostileFeedChangesNoOtherPartner(t *testing.T) {
	f := newFolder(t)
	local := f.tenant()
	globex, evil := f.client("globex", begin), f.client("evil", begin)
	p := newPlatform(t)
	p.list("globex/crm-to-erp", globex.Certificate[0])
	g := f.start(frontConfig(upstream(t))+p.line(), inWindow)
	g.reads("200 platform/globex", globex)
	of := func(path, content string) func(http.ResponseWriter, string) bool {
		return func(w http.ResponseWriter, below string) bool {
			if below == path {
				fmt.Fprint(w, content)
			}
			return below == path
		}
	}
	_, other, err := ed25519.GenerateKey(nil)
	testenv.Check(t, err)
	signedBy := func(key ed25519.PrivateKey, change func(*feed.Index)) string {
		_, pages, err := feed.Paginate(nil)
		testenv.Check(t, err)
		i := feed.Index{Feed: feed.ID(feedSecret), Sequence: 1 << 40, Entries: 1, Pages: pages}
		change(&i)
		return unchecked(t, i, key)
	}
	signed := func(path string, key ed25519.PrivateKey, change func(*feed.Index)) func(http.ResponseWriter, string) bool {
		return of(path, signedBy(key, change))
	}
	const index = "certificates.jws"
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, string) bool
		want   string
	}{
		"another key":     {signed(index, other, func(*feed.Index) {}), "signed by another key"},
		"another address": {signed(index, p.key, func(i *feed.Index) { i.Feed = "x" }), "that of another feed"},
		"more entries":    {signed(index, p.key, func(i *feed.Index) { i.Entries = 1 << 30 }), "from 1 to 100000"},
		"other pages":     {signed(index, p.key, func(i *feed.Index) { i.Entries = 7 }), "changes faster"},
		"a login page":    {of(index, "<html>"), "not a signed feed"},
		"a redirect":      {redirect, "redirects to another host"},
		"another entry": {of("documents", `{"documents":[{"id":"x","document":"x"}]}`),
			"1 of 2 documents are not up to date"},
	} {
		p.list("evil/x", evil.Certificate[0])
		p.answers(c.answer)
		before := strings.Count(g.log.String(), c.want)
		t.Log(name)
		testenv.Eventually(t, func() bool {
			later := g.clock.Load().Add(feedsEvery) // each cause is logged once in a minute
			g.clock.Store(&later)
			g.readAgain()
			return strings.Count(g.log.String(), c.want) > before
		})
		g.calls("200 platform/globex", globex)
		g.calls("200 acme-c4c", local)
		g.calls("403", evil)
	}
	p.answers(nil)
	p.list("evil/x", local.Certificate[0], f.client("acme", inWindow.AddDate(0, 0, -1)).Certificate[0])
	p.list("evil/globex", globex.Certificate[0], evil.Certificate[0])
	p.list("EVIL\r\nPerennial-Partner: acme-c4c/x", f.client("evil2", begin).Certificate[0])
	g.reads("200 platform/evil", evil)
	g.calls("200 acme-c4c", local)
	g.calls("200 acme-c4c", f.client("acme", inWindow)) // its successor
	for _, want := range []string{"entries have invalid names", "left out"} {
		if !strings.Contains(g.log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

func redirect(w http.ResponseWriter, _ string) bool {
	w.Header().Set("Location", "https://example.com/feeds/")
	w.WriteHeader(http.StatusFound)
	return true
}

func TestAHostAdmitsTheTenantsOfAFeedOrSomeOfThem(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	globex, initech := f.client("globex", begin), f.client("initech", begin)
	p := newPlatform(t)
	p.list("globex/crm-to-erp", globex.Certificate[0])
	p.list("initech/crm-to-erp", initech.Certificate[0])
	g := f.start(decideConfig("caddy")+p.line()+"hosts:\n  - {host: all.example.com, partners: [platform]}\n"+
		"  - {host: one.example.com, partners: [platform/globex]}\n"+
		"  - {host: none.example.com, partners: [acme-c4c]}\n", inWindow)
	_, address, _ := g.Addresses()
	asked := func(host string, pair tls.Certificate) string {
		r, err := http.NewRequest(http.MethodGet, address, nil)
		testenv.Check(t, err)
		r.Header.Set("X-Forwarded-Host", host)
		r.Header.Set("Ssl-Client-Cert", base64.StdEncoding.EncodeToString(pair.Certificate[0]))
		answer, err := http.DefaultClient.Do(r)
		testenv.Check(t, err)
		answer.Body.Close()
		h := answer.Header
		return fmt.Sprint(h.Get("Perennial-Code"), h["Perennial-Partner"], h["Perennial-Tenant"], h["Perennial-Arrangement"])
	}
	const accepted = "pinned[platform/%s] [%[1]s] [crm-to-erp]"
	testenv.Eventually(t, func() bool {
		return asked("all.example.com", globex) == fmt.Sprintf(accepted, "globex")
	})
	for _, c := range []struct {
		host string
		pair tls.Certificate
		want string
	}{{"all.example.com", globex, fmt.Sprintf(accepted, "globex")},
		{"all.example.com", initech, fmt.Sprintf(accepted, "initech")},
		{"one.example.com", globex, fmt.Sprintf(accepted, "globex")}, {"one.example.com", initech, "other-host[] [] []"},
		{"none.example.com", globex, "other-host[] [] []"}} {
		if got := asked(c.host, c.pair); got != c.want {
			t.Errorf("%s: %s, want %s", c.host, got, c.want)
		}
	}
}

// A person can refuse what a feed lists. An acceptance does not outlive the feed.
func TestAPersonRefusesACertificateThatAFeedLists(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	globex := f.client("globex", begin)
	p := newPlatform(t)
	p.list("globex/crm-to-erp", globex.Certificate[0])
	p.list("initech/crm-to-erp", f.client("initech", begin).Certificate[0])
	g := f.start(frontConfig(upstream(t))+p.line(), inWindow)
	g.reads("200 platform/globex", globex)
	fingerprint := certfile.Fingerprint(globex.Certificate[0])
	c, err := Load(filepath.Join(f.dir, "guard.yaml"), policies)
	testenv.Check(t, err)
	for _, step := range []struct {
		standing Standing
		by, want string
	}{{Declined, "olga", `"code":"declined"`}, {Accepted, byFeed, "200 platform/globex"}, {Declined, "olga", "declined"}} {
		if _, err := StoreDecision(t.Context(), c, "", fingerprint[:8], "olga", step.standing, inWindow); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, func() bool {
			_, text := get(t, caller(t, globex), g.url+"/orders")
			return strings.Contains("200 "+text, step.want)
		})
		g.calls(step.want, globex)
		all, err := ReadStatus(t.Context(), c, inWindow)
		testenv.Check(t, err)
		of := all[len(all)-2] // before initech
		if len(all) != 3 || of.Fingerprint.String() != fingerprint || of.Standing != step.standing || of.By != step.by ||
			of.Source != (acceptance.Source{Feed: "platform", Tenant: "globex"}) || of.Arrangements != "crm-to-erp" {
			t.Errorf("%d certificates, %+v", len(all), of)
		}
	}
	partners, err := Remembered(t.Context(), c)
	testenv.Check(t, err)
	if d := explained(partners, testca.PEM(globex.Certificate...), inWindow)[0]; d.Code != acceptance.Declined {
		t.Errorf("explained as %+v", d)
	}
	if _, err := StoreDecision(t.Context(), c, "platform/globex", "00000000", "olga", Declined, inWindow); err == nil {
		t.Error("a certificate that no feed lists is refused")
	}
	if _, err := g.Decide(t.Context(), "platform/globex", fingerprint, "ada", Accepted); err != nil {
		t.Error(err)
	}
	g.calls("200 platform/globex", globex)
	p.end("globex/crm-to-erp")
	g.reads("403", globex)
}

func TestAFeedOfACounterpartyIsCheckedWhenTheFileIsRead(t *testing.T) {
	f := newFolder(t)
	const address = "https://example.com/feeds/s/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/"
	partner := "partners:\n  - {name: platform/acme, known: [tenant.pem]}\n"
	line := func(name, address string) string {
		return "feeds:\n  - {name: " + name + ", address: '" + address + "'}\n"
	}
	for config, want := range map[string]string{
		line("Platform", address):                                `feed "Platform": name: invalid name "Platform"`,
		line(strings.Repeat("p", 37), address):                   "more than 36 characters",
		line("platform", "https://example.com/feeds"):            `feed "platform": address: invalid address`,
		line("p", address) + "  - {name: p, address: x}\n":       `feed "p": it appears twice`,
		partner + line("platform", address):                      `partner "platform/acme" has a name that is reserved`,
		line("p", address) + "hosts: [{host: x, partners: [q]}]": `there is no partner "q"`,
	} {
		if _, err := f.load(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", config, err, want)
		} else if strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%q: the error contains the address: %v", config, err)
		}
	}
	if _, err := f.load(line("platform", address) + "hosts: [{host: x, partners: [platform/acme]}]\n"); err != nil {
		t.Errorf("a file with a feed alone: %v", err)
	}
}

// A feed that leaves the file ends at once, and one that is renamed is read under its new name.
func TestAFeedIsAddedAndRemovedWithoutARestart(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	globex := f.client("globex", begin)
	p := newPlatform(t)
	p.list("globex/crm-to-erp", globex.Certificate[0])
	config := frontConfig(upstream(t))
	g := f.start(config, inWindow)
	g.calls("403", globex)
	for _, step := range []struct{ lines, want string }{{p.line(), "200 platform/globex"}, {"", "403"},
		{strings.Replace(p.line(), "name: platform", "name: renamed", 1), "200 renamed/globex"}} {
		f.write("guard.yaml", []byte(config+step.lines))
		testenv.Check(t, g.Reload(t.Context()))
		g.reads(step.want, globex)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "guard.db.feed-renamed")); err != nil {
		t.Error(err)
	}
}

// The feed of a partner in the file has precedence over what the feed of a counterparty lists.
func TestTheFeedOfAPartnerKeepsItsCertificates(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	other := &folder{t: t, dir: f.dir, ca: testca.New(t, "Another", begin)}
	next := other.client("acme", inWindow)
	party := newPlatform(t)
	party.list("evil/x", next.Certificate[0], other.client("evil", begin).Certificate[0])
	single := publish(t, first.Certificate[0])
	g := f.start(frontConfig(upstream(t))+"    feed: "+single.url+"\n"+party.line(), inWindow)
	g.reads("200 platform/evil", next)
	testenv.Eventually(t, func() bool { // the guard itself must not read the feed at the same time
		last, err := g.state.sequence(t.Context(), "acme-c4c")
		return err == nil && last == 1
	})
	single.set(2, first.Certificate[0], next.Certificate[0])
	known := map[string]*reading{}
	g.fetchDue(t.Context(), known)
	g.calls("200 acme-c4c", next)
	single.set(3, next.Certificate[0])
	known["acme-c4c"].due = inWindow
	g.fetchDue(t.Context(), known)
	g.calls("200 acme-c4c", next)
	g.calls("403", first)
}

func TestTenantsThatLeaveTogetherStayUntilTheFileAcceptsIt(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	p := newPlatform(t)
	for i := range 12 {
		p.list(fmt.Sprintf("tenant-%d/x", i), f.cheap(fmt.Sprint("tenant-", i)))
	}
	leaves := p.documents[idOf("tenant-3/x")].Certificates[0].DER
	config := decideConfig("caddy") + p.line()
	g := f.start(config, inWindow)
	_, address, _ := g.Addresses()
	status := func() int {
		status, _, _ := ask(t, address, http.Header{"Ssl-Client-Cert": {base64.StdEncoding.EncodeToString(leaves)}})
		return status
	}
	testenv.Eventually(t, func() bool { return status() == 200 })
	for i := range 11 {
		p.end(fmt.Sprintf("tenant-%d/x", i))
	}
	testenv.Eventually(t, func() bool {
		g.readAgain()
		return strings.Contains(g.log.String(), "11 of 12 entries have left the index at once")
	})
	if got := status(); got != 200 {
		t.Errorf("a tenant that has left with most others gets %d", got)
	}
	f.write("guard.yaml", []byte(strings.Replace(config, "name: platform", "name: platform, shrink: true", 1)))
	testenv.Check(t, g.Reload(t.Context()))
	testenv.Eventually(t, func() bool { return status() == 403 })
}
