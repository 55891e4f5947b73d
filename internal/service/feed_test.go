package service

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/ingress/follow"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A following is a receiver that accepts the certificates in a file, and the follower that writes the file.
type following struct {
	caller
	tenant, arrangement string
	file                string
	address             string
	receiver            *receiver.Server
	follower            *follow.Follower
	reloads             int
}

// startFollowing creates an arrangement with a feed, and starts its receiver. The follower fetches the feed through a
// proxy.
func startFollowing(api caller, c *calendar, tenant string, probe tenancy.Probe, proxy string) *following {
	f := &following{caller: api, tenant: tenant, arrangement: "to-erp" + strings.ToLower(probe.Method),
		file: filepath.Join(api.t.TempDir(), "accepted")}
	web := testca.New(api.t, "Web", time.Now())
	var err error
	f.receiver, err = receiver.Start(receiver.Options{Refuse: http.StatusUnauthorized, Clock: c.now,
		Certificate: receiver.Fixed(web.Server(api.t, time.Now().Add(-time.Hour), time.Now().Add(day))),
		Decide: func(_ *http.Request, leaf *x509.Certificate) bool {
			return leaf != nil && strings.Contains(f.written(), certfile.Fingerprint(leaf.Raw))
		}})
	testenv.Check(api.t, err)
	api.t.Cleanup(f.receiver.Close)
	api.call("POST", "/tenants/"+tenant+"/receivers", client.Receiver{Name: f.arrangement}, nil)
	api.call("POST", "/tenants/"+tenant+"/arrangements", client.Arrangement{Name: f.arrangement,
		Receiver: f.arrangement, Endpoint: f.receiver.URL,
		Egress: tenancy.Egress{ServerCA: string(web.RootPEM()), Probe: probe}}, nil)
	var made client.Feed
	api.call("POST", f.path("feed"), nil, &made)
	f.address = made.URL
	list, err := follow.ReadFormat("list")
	testenv.Check(api.t, err)
	f.follower, err = follow.New(follow.Config{Address: strings.Replace(f.address, api.url, proxy, 1),
		Outputs: []follow.Output{{Format: list, Target: follow.Target{Path: f.file}}}, Then: "reload",
		Client: http.DefaultClient, Now: c.now, Log: slog.New(slog.DiscardHandler),
		Run: func(context.Context, string) (string, error) {
			f.reloads++
			return "", nil
		}})
	testenv.Check(api.t, err)
	return f
}

func (f *following) path(of string) string {
	return "/tenants/" + f.tenant + "/arrangements/" + f.arrangement + "/" + of
}

// written returns the file; "" before the first round.
func (f *following) written() string {
	data, _ := os.ReadFile(f.file)
	return string(data)
}

// reported fails unless a round has reloaded the receiver, and the service shows what it fetched and reported, and what
// that means for the roll-over.
func (f *following) reported(generation, reloads int, state rollover.State) {
	f.t.Helper()
	testenv.Check(f.t, f.follower.Once(f.t.Context()))
	var shown client.Feed
	f.call("GET", f.path("feed"), nil, &shown)
	if shown.FetchedGeneration != generation || shown.FetchedBy != "perennial-follow" || f.reloads != reloads ||
		shown.InstalledGeneration != generation || shown.InstalledBy != "perennial follow/list" {
		f.t.Errorf("%s, after %d reloads: %+v", f.arrangement, f.reloads, shown)
	}
	f.is(state)
}

func (f *following) is(want rollover.State) {
	f.t.Helper()
	var shown client.Rollover
	f.call("GET", f.path("rollover"), nil, &shown)
	if shown.State != want {
		f.t.Errorf("the roll-over of %s is %s, want %s: %+v", f.arrangement, shown.State, want, shown)
	}
}

// silent returns the feeds that are no longer fetched.
func (f *following) silent() (all []string) {
	f.t.Helper()
	var page client.Page[client.Feed]
	f.call("GET", "/silent-feeds", nil, &page)
	for _, one := range page.Items {
		all = append(all, one.Arrangement)
	}
	return all
}

// A swapping proxy lies between followers and a service. It can answer with the document of another feed.
type swapping struct {
	*httptest.Server
	with atomic.Pointer[url.URL] // the address of the other feed; nil for none
}

func startSwapping(t *testing.T, service string) *swapping {
	t.Helper()
	target, err := url.Parse(service)
	testenv.Check(t, err)
	p := &swapping{}
	p.Server = httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		if other := p.with.Load(); other != nil && strings.HasSuffix(r.In.URL.Path, "/certificates.jws") {
			r.Out.URL.Path = other.Path + "certificates.jws"
		}
	}})
	t.Cleanup(p.Close)
	return p
}

// Two receivers follow their feeds across a renewal, and no person does anything. One has a question, which proves what
// its follower reports.
func TestFollowersInstallARenewalFromTheFeedsOfAService(t *testing.T) {
	c := &calendar{}
	s, err := Open(t.Context(), Config{Settings: settings(t, "--m-user", "off", "--allow-target", "127.0.0.0/8"),
		Version: "test", Now: c.now, Log: slog.New(slog.DiscardHandler)})
	testenv.Check(t, err)
	t.Cleanup(func() { testenv.Check(t, s.Close()) })
	stop := run(t, s)
	api := caller{t, s.BaseURL(), s.FirstToken()}
	proxy := startSwapping(t, s.BaseURL())
	for _, tenant := range []string{"acme", "globex"} {
		api.call("POST", "/tenants", client.Tenant{Name: tenant}, nil)
	}
	claims := startFollowing(api, c, "acme", tenancy.Probe{}, proxy.URL)
	proves := startFollowing(api, c, "acme", tenancy.Probe{Method: http.MethodGet, Path: "/health"}, proxy.URL)
	stranger := startFollowing(api, c, "globex", tenancy.Probe{}, proxy.URL)
	all := []*following{claims, proves, stranger}
	for _, f := range all {
		f.reported(1, 1, rollover.Settled)
	}
	asked := proves.receiver.Asked()

	api.call("POST", "/tenants/acme/certificates/tenant/renew", map[string]string{"reason": "reissue"}, nil)
	claims.is(rollover.Announced)
	claims.reported(2, 2, rollover.Claimed)
	proves.reported(2, 2, rollover.Trusted)
	if proves.receiver.Asked() == asked || claims.receiver.Asked() != 0 {
		t.Errorf("%d and %d questions", proves.receiver.Asked()-asked, claims.receiver.Asked())
	}
	for _, f := range all {
		f.unchanged()
	}

	// The same key signs all feeds. The document of another tenant must not replace the certificates.
	other, err := url.Parse(stranger.address)
	testenv.Check(t, err)
	api.call("POST", "/tenants/globex/certificates/tenant/renew", map[string]string{"reason": "reissue"}, nil)
	proxy.with.Store(other)
	before := claims.written()
	if err := claims.follower.Once(t.Context()); err == nil || !strings.Contains(err.Error(), "that of another feed") ||
		claims.written() != before || strings.Count(before, "\n") != 2 {
		t.Errorf("with the document of another feed: %v, and the file is\n%s", err, claims.written())
	}
	proxy.with.Store(nil)

	for range 7 {
		c.nextDay()
	}
	testenv.Check(t, proves.follower.Once(t.Context()))
	c.passed.Add(int64(time.Hour))
	if got := claims.silent(); !slices.Equal(got, []string{"acme/to-erp", "globex/to-erp"}) {
		t.Errorf("silent after a week: %q", got)
	}
	testenv.Check(t, claims.follower.Once(t.Context()))
	testenv.Check(t, stranger.follower.Once(t.Context()))
	if got := claims.silent(); len(got) != 0 {
		t.Errorf("silent although they are fetched: %q", got)
	}
	testenv.Check(t, stop())
}

// unchanged fails if a round without news reloads the receiver.
func (f *following) unchanged() {
	f.t.Helper()
	before := f.reloads
	if err := f.follower.Once(f.t.Context()); err != nil || f.reloads != before {
		f.t.Errorf("a round without news: %d reloads, %v", f.reloads-before, err)
	}
}
