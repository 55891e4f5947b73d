package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/prober"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/tenancy"
)

const bankFeed = "/counterparties/bank/feed"

// bankFeed creates the bank with its feed, and returns the path of the feed and of the bank's page.
func (f *fixture) bankFeed() (address, page string) {
	f.t.Helper()
	page = f.bank()
	return pathOf(f.ok("operator", "POST", bankFeed, 201, "")), page
}

// indexed returns the entries of the index at the path of a feed, by tenant.
func (f *fixture) indexed(address string) map[string]feed.Entry {
	f.t.Helper()
	index, err := feed.VerifyIndex(f.call("", "GET", address+"certificates.jws", "").raw,
		path.Base(path.Dir(path.Clean(address))), path.Base(address))
	check(f.t, err)
	all := map[string]feed.Entry{}
	for n, digest := range index.Pages {
		entries, err := feed.ReadPage([]byte(f.call("", "GET", fmt.Sprint(address, "pages/", n), "").raw), digest)
		check(f.t, err)
		for _, e := range entries {
			all[e.Tenant] = e
		}
	}
	return all
}

func TestABankFetchesTheDocumentsOfItsTenants(t *testing.T) {
	f := setUp(t)
	address, _ := f.bankFeed()
	secret := path.Base(path.Dir(path.Clean(address)))
	entries := f.indexed(address)
	if len(entries) != 2 || entries["acme"].Arrangement != "crm-to-erp" || entries["globex"].Digest == "" {
		t.Fatalf("the index has %+v", entries)
	}
	const own = "/tenants/acme/arrangements/crm-to-erp/counterparty-feed"
	documents := address + "documents?id=" + entries["acme"].ID + "&id=" + entries["globex"].ID + "&id=nothing"
	f.call("", "HEAD", documents, "")
	if v := f.ok("acme/alice", "GET", own, 200, ""); v["fetched_generation"] != nil {
		t.Errorf("HEAD counts as a fetch: %v", v)
	}
	var got feed.SignedDocuments
	a := f.call("", "GET", documents, "")
	check(t, json.Unmarshal([]byte(a.raw), &got))
	if len(got.Documents) != 2 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	for _, signed := range got.Documents {
		d, err := feed.Verify(signed.Document, feed.EntrySecret(secret, signed.ID), path.Base(address))
		check(t, err)
		digest, err := d.Digest()
		check(t, err)
		if entries[d.Tenant].Digest != digest || entries[d.Tenant].ID != signed.ID {
			t.Errorf("the document of %s has the digest %s", d.Tenant, digest)
		}
	}
	// Each tenant sees what was fetched of its own arrangement.
	if v := f.ok("acme/alice", "GET", own, 200, ""); v["counterparty"] != "House Bank" || v["fetched_generation"] != 1. ||
		v["url"] != nil {
		t.Errorf("acme sees %v", v)
	}
	f.ok("globex/alice", "GET", own, 404, "")
	// Each entry has the forms of an arrangement's feed.
	for _, form := range append(publish.FeedFiles(), publish.FeedIndex) {
		a := f.call("", "GET", address+"entries/"+entries["acme"].ID+"/"+form.Name, "")
		if a.status != 200 || a.header.Get("Content-Type") != form.ContentType {
			t.Errorf("%q: %d %s", form.Name, a.status, a.raw)
		}
	}
	text := f.call("", "GET", address, "")
	if !strings.HasPrefix(text.raw, "Client certificates of 2 arrangements for House Bank, now and next. Sequence") {
		t.Errorf("the page is %s", text.raw)
	}
	tag := f.call("", "GET", address+"certificates.jws", "").header.Get("ETag")
	if same := f.call("", "GET", address+"certificates.jws", "", "If-None-Match: "+tag); same.status != 304 {
		t.Errorf("again: %d", same.status)
	}
	for what, want := range map[string]int{"pages/1": 404, "pages/x": 404, "documents": 400, "jwks.json": 404,
		"documents?" + strings.Repeat("id=x&", 101): 400, "entries/nothing/list.txt": 404} {
		if a := f.call("", "GET", address+what, ""); a.status != want {
			t.Errorf("%.40s: %d, want %d", what, a.status, want)
		}
	}
	v := f.ok("operator", "GET", bankFeed, 200, "")
	if v["fetched_by"] != "Go-http-client/1.1" || v["counterparty"] != "bank" || v["url"] != nil {
		t.Errorf("the feed is %v", v)
	}
}

// Its address reads nothing of other counterparties and of tenants that are not linked, and nothing after its end.
func TestTheFeedOfABankIsIsolatedAndEnds(t *testing.T) {
	f := setUp(t)
	address, page := f.bankFeed()
	entry := f.indexed(address)["globex"].ID
	f.ok("operator", "POST", "/counterparties/bank/unlink", 204, `{"tenant":"globex","receiver":"erp"}`)
	f.call("", "GET", address+"entries/"+entry+"/list.txt", "").refused(t, 404)
	f.ok("globex/alice", "GET", "/tenants/globex/arrangements/crm-to-erp/counterparty-feed", 404, "")
	if left := f.indexed(address); len(left) != 1 || left["acme"].ID == "" {
		t.Errorf("the index has %+v", left)
	}
	f.ok("operator", "POST", bankFeed, 409, "")
	f.ok("", "POST", page+"/feed", 409, "")
	f.ok("acme/alice", "GET", bankFeed, 403, "")
	second := pathOf(f.ok("operator", "POST", bankFeed+"/address", 200, ""))
	before := f.call("", "GET", "/feeds/nothing/nothing/certificates.jws", "")
	gone := func(address string) {
		t.Helper()
		for method, names := range map[string][]string{"GET": {"", "certificates.jws", "pages/0", "documents?id=x",
			"entries/" + entry + "/list.txt"}, "POST": {"installed", "entries/" + entry + "/installed"}} {
			for _, name := range names {
				if a := f.call("", method, address+name, "{}"); a.status != 404 || a.raw != before.raw {
					t.Errorf("%s %q: %d %s", method, name, a.status, a.raw)
				}
			}
		}
	}
	gone(address)
	if len(f.indexed(second)) != 1 {
		t.Error("the new address does not work")
	}
	f.ok("operator", "DELETE", bankFeed, 204, "")
	gone(second)
	f.ok("operator", "GET", bankFeed, 404, "")
	// The administrators create one themselves, and cannot replace it.
	made := f.ok("", "POST", page+"/feed", 201, "")
	if made["created_by"] != "page of bank" || len(f.indexed(pathOf(made))) != 1 {
		t.Errorf("created by the page: %v", made)
	}
	shown := f.ok("", "GET", page, 200, "")["feed"].(map[string]any)
	if shown["url"] != nil || shown["created_by"] != nil || shown["created_at"] == nil {
		t.Errorf("the page shows %v", shown)
	}
	f.ok("", "POST", page+"/feed", 409, "")
}

// refused fails unless an answer has a status.
func (a answer) refused(t *testing.T, status int) {
	t.Helper()
	if a.status != status {
		t.Errorf("got %d %s, want %d", a.status, a.raw, status)
	}
}

// One report covers many tenants. Their receivers are tested in the background, and what they do not refuse is claimed.
func TestAReportOfABankMovesTheRollOversOfItsTenants(t *testing.T) {
	f := setUp(t)
	peer := f.receiver(tenancy.Probe{Method: "GET", Path: "/health"})
	f.reissue()
	peer.Accept(f.engine.Generation(t, f.arrangement().TenantID, 1), f.engine.Generation(t, f.arrangement().TenantID, 2))
	address, _ := f.bankFeed()
	// The address of a test's receiver belongs to no counterparty.
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		erp, err := tx.Receiver(t.Context(), f.arrangement().TenantID, "erp")
		if err != nil {
			return err
		}
		bank, err := tx.Counterparty(t.Context(), "bank")
		erp.CounterpartyID = bank.ID
		return errors.Join(err, tx.UpdateReceiver(t.Context(), erp))
	}))
	entries := f.indexed(address)
	if entries["acme"].ID == "" || entries["globex"].ID == "" {
		t.Fatalf("the index has %+v", entries)
	}
	body := `{"program":"perennial follow/nginx","entries":[{"id":"` + entries["acme"].ID +
		`","sequence":1,"generations":[1,2]},{"id":"` + entries["globex"].ID +
		`","sequence":1,"generations":[1]},{"id":"nothing","generations":[1]}]}`
	report := func(want float64) {
		t.Helper()
		if got := f.ok("", "POST", address+"installed", 200, body)["tests"]; got != want {
			t.Errorf("%v tests, want %v", got, want)
		}
	}
	report(1) // globex has no new certificate
	report(0)
	if fmt.Sprint(f.asked) == "[]" {
		t.Fatal("no test is queued")
	}
	asker := prober.New(f.engine.Engine, f.store,
		&outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, func() time.Time { return f.now })
	_, err := asker.AskCounterparty(t.Context(), f.asked[0])
	check(t, err)
	newest, _ := f.standing().Rollover.Generation(2)
	if newest.Verdict != "accepted" || peer.Asked() == 0 {
		t.Errorf("after the test: %+v", newest)
	}
	f.now = f.now.Add(2 * time.Hour)
	report(0)
	v := f.ok("operator", "GET", bankFeed, 200, "")
	if v["installed_by"] != "perennial follow/nginx" || v["installed_at"] != f.now.Format(time.RFC3339) {
		t.Errorf("the feed is %v", v)
	}
	events, err := f.store.Events(t.Context(), "acme", 0, 1000)
	check(t, err)
	text, err := json.Marshal(events)
	check(t, err)
	if !strings.Contains(string(text), "feed.installed") ||
		!strings.Contains(string(text), "feed of the counterparty bank") ||
		strings.Contains(string(text), path.Base(path.Dir(path.Clean(address)))) {
		t.Errorf("the audit log has %s", text)
	}
	for what, body := range map[string]string{"no entry": `{"entries":[]}`, "no JSON": "x",
		"many entries": `{"entries":[{}` + strings.Repeat(",{}", 500) + `]}`} {
		if a := f.call("", "POST", address+"installed", body); a.status != 400 {
			t.Errorf("%s: %d %s", what, a.status, a.raw)
		}
	}
}

// A feed that is created and never fetched is not silent, and one that was fetched before is after a week.
func TestTheFeedOfABankBecomesSilent(t *testing.T) {
	f := setUp(t)
	address, _ := f.bankFeed()
	silent := func(want bool) {
		t.Helper()
		check(t, f.engine.ReportSilentFeeds(t.Context(), f.now))
		if got := f.ok("operator", "GET", bankFeed, 200, "")["silent"] == true; got != want {
			t.Errorf("silent: %v, want %v", got, want)
		}
		all, err := f.store.SilentCounterpartyFeeds(t.Context(), f.now.Add(-tenancy.FeedSilence))
		if err != nil || (len(all) == 1) != want {
			t.Errorf("%d silent feeds, %v", len(all), err)
		}
		listed := items(f.ok("operator", "GET", "/silent-counterparty-feeds", 200, ""))
		if (len(listed) == 1 && listed[0].(map[string]any)["counterparty"] == "bank") != want {
			t.Errorf("listed: %v, want %v", listed, want)
		}
		shown := f.ok("operator", "GET", "/overview", 200, "")["feeds_silent"] == 1.
		attention := strings.Contains(f.call("operator", "GET", "/attention", "").raw, "no longer fetched: 1")
		if shown != want || attention != want {
			t.Errorf("on the overview: %v, needs attention: %v, want %v", shown, attention, want)
		}
	}
	f.now = f.now.AddDate(0, 0, 30)
	silent(false)
	f.call("", "GET", address+"certificates.jws", "")
	f.now = f.now.Add(tenancy.FeedSilence + time.Second)
	silent(true)
	silent(true)
	var events []tenancy.Event
	check(t, f.store.InTx(t.Context(), func(tx *store.Tx) (err error) {
		events, err = tx.Events(t.Context(), "", 0, 1000)
		return err
	}))
	n := 0
	for _, e := range events {
		if e.Action == "counterparty.feed-silent" && e.Object == "bank" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d events about one silence", n)
	}
}
