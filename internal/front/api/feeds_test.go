package api

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

const feedOf = "/tenants/acme/arrangements/crm-to-erp/feed"

// feed creates the feed of the arrangement and returns its path.
func (f *fixture) feed() string {
	f.t.Helper()
	return pathOf(f.ok("acme/alice", "POST", feedOf, 201, ""))
}

func pathOf(made map[string]any) string {
	url := made["url"].(string)
	return url[strings.Index(url, feedsPath):]
}

func (f *fixture) arrangement() tenancy.Arrangement {
	f.t.Helper()
	acme, err := f.store.Tenant(f.t.Context(), "acme")
	check(f.t, err)
	a, err := f.store.Arrangement(f.t.Context(), acme.ID, "crm-to-erp")
	check(f.t, err)
	return a
}

func (f *fixture) standing() standing.Standing {
	f.t.Helper()
	acme, a, err := f.store.OwnedArrangement(f.t.Context(), f.arrangement().ID)
	check(f.t, err)
	s, err := f.engine.Standing(f.t.Context(), f.store.Reader, acme, a)
	check(f.t, err)
	return s
}

func (f *fixture) reissue() {
	f.t.Helper()
	f.ok("operator", "POST", "/tenants/acme/certificates/tenant/renew", 201, `{"reason":"reissue"}`)
}

func TestAReceiverFetchesEveryFormOfAFeed(t *testing.T) {
	f := setUp(t)
	address := f.feed()
	for _, form := range append(publish.FeedFiles(), publish.FeedIndex) {
		a := f.call("", "GET", address+form.Name, "")
		tag := a.header.Get("ETag")
		if a.status != 200 || a.raw == "" || a.header.Get("Content-Type") != form.ContentType ||
			a.header.Get("Cache-Control") != "private, max-age=3600" || len(tag) != 66 || tag[0] != '"' {
			t.Errorf("%q: %d %v %s", form.Name, a.status, a.header, a.raw)
		}
		if head := f.call("", "HEAD", address+form.Name, ""); head.status != 200 || head.raw != "" ||
			head.header.Get("ETag") != tag {
			t.Errorf("HEAD %q: %d %v %s", form.Name, head.status, head.header, head.raw)
		}
		if same := f.call("", "GET", address+form.Name, "", "If-None-Match: "+tag); same.status != 304 || same.raw != "" ||
			same.header.Get("ETag") != tag {
			t.Errorf("%q again: %d %s", form.Name, same.status, same.raw)
		}
	}
	d, err := feed.Verify(f.call("", "GET", address+"certificates.jws", "").raw, path.Base(path.Dir(path.Clean(address))),
		path.Base(address))
	if err != nil || len(d.Certificates) != 1 || d.Certificates[0].State != feed.Active || d.Arrangement != "crm-to-erp" {
		t.Errorf("%+v, %v", d, err)
	}
	var set jose.JSONWebKeySet
	check(t, json.Unmarshal([]byte(f.call("", "GET", address+"jwks.json", "").raw), &set))
	if len(set.Keys) != 1 || string(set.Keys[0].Certificates[0].Raw) != string(d.Certificates[0].DER) {
		t.Errorf("%+v", set)
	}
}

// A receiver that fetches every hour gets the content once, until it changes.
func TestTheETagOfAFeedChangesWithItsContentOnly(t *testing.T) {
	f := setUp(t)
	address := f.feed()
	tags := func() (all []string) {
		for _, form := range publish.FeedFiles() {
			all = append(all, f.call("", "GET", address+form.Name, "").header.Get("ETag"))
		}
		return all
	}
	first := tags()
	f.now = f.now.Add(59 * time.Minute)
	if same := tags(); !slices.Equal(same, first) {
		t.Errorf("within the hour %q, want %q", same, first)
	}
	f.now = f.now.Add(time.Hour)
	later := tags()
	if later[0] == first[0] || !slices.Equal(later[1:], first[1:]) {
		t.Errorf("after an hour %q, want %q but the first", later, first)
	}
	f.reissue()
	for i, tag := range tags() {
		if changed := tag != later[i]; changed != (publish.FeedFiles()[i].Name != "cas.pem") {
			t.Errorf("after a renewal, %s has changed: %v", publish.FeedFiles()[i].Name, changed)
		}
	}
}

// An address that is replaced or revoked is answered like one that never was.
func TestAFeedIsWorthlessAfterItsAddressIsReplacedOrRevoked(t *testing.T) {
	f := setUp(t)
	f.ok("acme/alice", "GET", feedOf, 404, "")
	f.ok("acme/alice", "POST", feedOf+"/address", 404, "")
	before := f.call("", "GET", "/feeds/nothing/nothing/jwks.json", "")
	made := f.call("acme/alice", "POST", feedOf, "")
	first := pathOf(made.body)
	if made.header.Get("Location") != "/api/v1"+feedOf || made.body["created_by"] != "key user acme/alice" {
		t.Errorf("%v %s", made.header, made.raw)
	}
	f.ok("acme/alice", "POST", feedOf, 409, "")
	if a := f.call("acme/alice", "GET", feedOf, ""); a.status != 200 || strings.Contains(a.raw, "url") {
		t.Errorf("the address is shown again: %d %s", a.status, a.raw)
	}
	gone := func(what, address string) {
		t.Helper()
		for _, r := range [][2]string{{"GET", "jwks.json"}, {"GET", ""}, {"POST", "installed"}} {
			a := f.call("", r[0], address+r[1], `{"generations":[1]}`)
			if a.status != 404 || a.raw != before.raw || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %d %s", r[0], what, a.status, a.raw)
			}
		}
	}
	gone("another secret", "/feeds/x"+strings.TrimPrefix(first, feedsPath))
	gone("another key", path.Dir(path.Clean(first))+"/x/")
	second := pathOf(f.ok("acme/bob", "POST", feedOf+"/address", 200, ""))
	gone("a replaced address", first)
	if a := f.call("", "GET", second+"jwks.json", ""); a.status != 200 || second == first {
		t.Errorf("the new address %s: %d", second, a.status)
	}
	f.ok("acme/bob", "DELETE", feedOf, 204, "")
	gone("a revoked address", second)
	f.ok("acme/bob", "DELETE", feedOf, 404, "")
	f.ok("", "GET", "/feeds/x/y/nothing.pem", 404, "")
}

func TestAFeedWithoutAValidCertificateSaysSo(t *testing.T) {
	f := setUp(t)
	address := f.feed()
	f.now = f.now.AddDate(5, 0, 0)
	if a := f.call("", "GET", address+"jwks.json", ""); a.status != 503 || a.header.Get("Retry-After") != "3600" ||
		!strings.Contains(a.raw, "has no valid certificate to publish") {
		t.Errorf("%d %s", a.status, a.raw)
	}
	check(t, f.store.Close())
	if a := f.call("", "GET", address+"jwks.json", ""); a.status != 500 || strings.Contains(a.raw, "database") {
		t.Errorf("without a database: %d %s", a.status, a.raw)
	}
}

func TestAFetchIsShownAsAClaim(t *testing.T) {
	f := setUp(t)
	address := f.feed()
	shown := func() map[string]any { t.Helper(); return f.ok("acme/alice", "GET", feedOf, 200, "") }
	f.call("", "HEAD", address+"jwks.json", "")
	f.call("", "GET", address, "")
	if got := shown(); got["fetched_at"] != nil {
		t.Errorf("a look at the address counts as a fetch: %v", got)
	}
	for _, cas := range []string{"cas.pem", "spiffe.json"} { // they contain no certificate that could be accepted
		if a := f.call("", "GET", address+cas, ""); a.status != 200 {
			t.Errorf("%s: %d", cas, a.status)
		}
	}
	if got := shown(); got["fetched_at"] != nil || !f.arrangement().Learned.FollowedAt.IsZero() {
		t.Errorf("reading the CAs counts as a fetch of the certificates: %v", got)
	}
	tag := f.call("", "GET", address+"jwks.json", "", "User-Agent: follow/1").header.Get("ETag")
	if got := shown(); got["fetched_generation"] != 1. || got["fetched_by"] != "follow/1" || got["sequence"] == nil {
		t.Errorf("%v", got)
	}
	f.reissue()
	f.call("", "GET", address+"list.txt", "", "User-Agent: curl")
	if got := shown(); got["fetched_generation"] != 2. || got["fetched_by"] != "curl" {
		t.Errorf("%v", got)
	}
	f.now = f.now.Add(time.Hour)
	if a := f.call("", "GET", address+"jwks.json", "", "User-Agent: follow", "If-None-Match: "+tag); a.status != 200 {
		t.Errorf("with an old ETag: %d", a.status)
	}
	if got := shown(); got["fetched_by"] != "follow" || got["fetched_at"] != f.now.Format(time.RFC3339) {
		t.Errorf("%v", got)
	}
	if got := f.ok("acme/alice", "GET", "/tenants/acme/arrangements/crm-to-erp/rollover", 200, ""); got["state"] !=
		"announced" {
		t.Errorf("the roll-over is %v after a fetch", got["state"])
	}
}

// A feed that is fetched is watched: it is an alarm if that ends.
func TestAFeedThatIsNoLongerFetchedIsAnAlarm(t *testing.T) {
	f := setUp(t)
	address := f.feed()
	f.ok("globex/alice", "POST", strings.Replace(feedOf, "acme", "globex", 1), 201, "")
	alarms := func(want int) {
		t.Helper()
		const metric = "perennial_feeds_silent "
		if got := f.scrape(metric); len(got) != 1 || got[0] != fmt.Sprint(metric, want) {
			t.Errorf("the metric is %q, want %d", got, want)
		}
		if got := f.ok("operator", "GET", "/overview", 200, "")["feeds_silent"]; got != float64(want) {
			t.Errorf("the overview has %v, want %d", got, want)
		}
		if got := f.ok("acme/alice", "GET", feedOf, 200, "")["silent"] == true; got != (want > 0) {
			t.Errorf("the feed is silent: %v", got)
		}
		for who, at := range map[string]string{"operator": "/silent-feeds", "acme/alice": "/tenants/acme/silent-feeds"} {
			all := items(f.ok(who, "GET", at, 200, ""))
			if len(all) != want || want > 0 && all[0].(map[string]any)["arrangement"] != "acme/crm-to-erp" {
				t.Errorf("%s: %v", at, all)
			}
		}
		if all := items(f.ok("globex/alice", "GET", "/tenants/globex/silent-feeds", 200, "")); len(all) != 0 {
			t.Errorf("globex has %v", all)
		}
	}
	f.now = f.now.AddDate(0, 0, 30)
	alarms(0) // it was never fetched
	f.call("", "GET", address+"jwks.json", "")
	f.now = f.now.Add(tenancy.FeedSilence)
	alarms(0)
	f.now = f.now.Add(time.Second)
	alarms(1)
	f.call("", "GET", address+"jwks.json", "")
	alarms(0)
	f.now = f.now.AddDate(0, 0, 8)
	alarms(1)
	f.ok("acme/alice", "DELETE", feedOf, 204, "")
	f.ok("acme/alice", "POST", feedOf, 201, "")
	alarms(0)
}

// A follower's report is a claim like that of an administrator. The receiver's answer proves or contradicts it.
func TestAFollowersReportIsAClaimThatAQuestionProves(t *testing.T) {
	type result = map[string]any
	for _, c := range []struct {
		name    string
		probe   tenancy.Probe
		accepts []int
		report  string
		want    []result
		state   rollover.State
		asked   int
		// installed is the generation of the recorded report; 0 for none.
		installed int
	}{
		{"no question", tenancy.Probe{}, []int{1, 2}, `[1,2]`,
			[]result{{"generation": 2., "result": "claimed"}, {"generation": 1., "result": "claimed"}}, rollover.Claimed, 0, 2},
		{"the receiver accepts it", tenancy.Probe{Method: "GET", Path: "/health"}, []int{1, 2}, `[2,1,7]`,
			[]result{{"generation": 2., "result": "accepted"}, {"generation": 1., "result": "accepted"}},
			rollover.Trusted, 3, 2},
		{"the receiver refuses it", tenancy.Probe{Method: "GET", Path: "/health"}, []int{1}, `[2]`,
			[]result{{"generation": 2., "result": "refused", "answer": "401 Unauthorized"}}, rollover.RefusedBy, 2, 0},
		{"the receiver refuses one of two", tenancy.Probe{Method: "GET", Path: "/health"}, []int{1}, `[1,2]`,
			[]result{{"generation": 2., "result": "refused", "answer": "401 Unauthorized"},
				{"generation": 1., "result": "accepted"}}, rollover.RefusedBy, 2, 1},
		{"an unknown generation", tenancy.Probe{Method: "GET", Path: "/health"}, []int{1, 2}, `[9]`, []result{},
			rollover.Announced, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := setUp(t)
			peer := f.receiver(c.probe)
			f.reissue()
			var known []*x509.Certificate
			for _, n := range c.accepts {
				known = append(known, f.engine.Generation(t, f.arrangement().TenantID, n))
			}
			peer.Accept(known...)
			address := f.feed()
			report := func() answer {
				return f.call("", "POST", address+"installed",
					`{"sequence":1,"generations":`+c.report+`,"program":"perennial follow/nginx","more":true}`)
			}
			a := report()
			var got struct{ Generations []result }
			check(t, json.Unmarshal([]byte(a.raw), &got))
			if a.status != 200 || fmt.Sprint(got.Generations) != fmt.Sprint(c.want) {
				t.Errorf("%d %s", a.status, a.raw)
			}
			s := f.standing()
			if state := s.Rollover.State(f.now); state != c.state || peer.Asked() != c.asked {
				t.Errorf("the roll-over is %s after %d questions, want %s after %d", state, peer.Asked(), c.state, c.asked)
			}
			newest, _ := s.Rollover.Generation(2)
			if claimed := newest.ClaimedBy == rollover.Person; claimed != (c.state == rollover.Claimed) &&
				newest.Verdict != rollover.Accepted {
				t.Errorf("%+v", newest)
			}
			stored, err := f.store.Feed(t.Context(), f.arrangement().ID)
			check(t, err)
			events, err := f.store.Events(t.Context(), "acme", 0, 1000)
			check(t, err)
			recorded := slices.ContainsFunc(events, func(e tenancy.Event) bool { return e.Action == "feed.installed" })
			if stored.Installed.Generation != c.installed || recorded != (c.installed > 0) {
				t.Errorf("the report %+v is stored, want generation %d; there is an event: %v", stored.Installed, c.installed,
					recorded)
			}
			before := peer.Asked()
			if c.state != rollover.RefusedBy { // what is known is neither asked nor claimed again
				report()
				after, err := f.store.Events(t.Context(), "acme", 0, 1000)
				check(t, err)
				if peer.Asked() != before || len(after) != len(events) {
					t.Errorf("the same report again: %d questions, %d events", peer.Asked()-before, len(after)-len(events))
				}
			}
		})
	}
}

// receiver gives the arrangement a receiver on this machine, and the API a network that reaches it.
func (f *fixture) receiver(probe tenancy.Probe) *receiver.Server {
	f.t.Helper()
	ca := f.issuer.(*local.CA)
	peer, err := receiver.Start(receiver.Options{Refuse: http.StatusUnauthorized,
		Certificate: receiver.Fixed(enginetest.ServerCertificate(f.t, ca))})
	check(f.t, err)
	f.t.Cleanup(peer.Close)
	a := f.arrangement()
	a.Endpoint, a.Egress.ServerCA, a.Egress.Probe = peer.URL, string(ca.Bundle()), probe
	check(f.t, f.store.InTx(f.t.Context(), func(tx *store.Tx) error { return tx.UpdateArrangement(f.t.Context(), a) }))
	f.http.Config.Handler = handler(f.t, Config{Store: f.store, Engine: f.engine.Engine, Issuer: f.issuer,
		Seal: f.engine.Seal, Now: func() time.Time { return f.now }, Log: slog.New(slog.DiscardHandler), Questions: f,
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	return peer
}

// A generation that the feed does not list any more cannot have been installed from it.
func TestAReportAboutAnExpiredGenerationIsIgnored(t *testing.T) {
	f := setUp(t)
	first := f.engine.Generation(t, f.arrangement().TenantID, 1)
	f.reissue()
	address := f.feed()
	f.now = first.NotAfter.Add(time.Minute)
	if a := f.call("", "POST", address+"installed", `{"generations":[1]}`); a.status != 200 ||
		strings.TrimSpace(a.raw) != `{"generations":[]}` {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if g, known := f.standing().Rollover.Generation(1); !known || !g.ClaimedAt.IsZero() {
		t.Errorf("%+v", g)
	}
}

func TestAReportThatCannotBeReadChangesNothing(t *testing.T) {
	f := setUp(t)
	address := f.feed()
	for _, body := range []string{"", "x", `{}`, `{"generations":[]}`, `{"generations":"1"}`,
		`{"generations":[` + strings.Repeat("1,", 4<<10) + `1]}`} {
		if a := f.call("", "POST", address+"installed", body); a.status != 400 || !strings.Contains(a.raw, "send JSON") {
			t.Errorf("%.20q: %d %s", body, a.status, a.raw)
		}
	}
	if got := f.ok("acme/alice", "GET", feedOf, 200, ""); got["installed_at"] != nil {
		t.Errorf("%v", got)
	}
	f.ok("", "POST", address+"installed", 200, `{"sequence":18446744073709551615,"generations":[1]}`)
	if got := f.ok("acme/alice", "GET", feedOf, 200, ""); got["installed_generation"] != 1. ||
		got["installed_by"] != "a program without a name" {
		t.Errorf("%v", got)
	}
}
