package guard

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A published is a feed of a partner.
type published struct {
	t   *testing.T
	key ed25519.PrivateKey
	url string

	mu       sync.Mutex // guards the following
	document feed.Document
	away     bool
	reports  []string
}

var feedSecret = strings.Repeat("s", 43)

func publish(t *testing.T, first ...[]byte) *published {
	_, key, err := ed25519.GenerateKey(nil)
	testenv.Check(t, err)
	p := &published{t: t, key: key}
	thumbprint, err := feed.Thumbprint(key.Public().(ed25519.PublicKey))
	testenv.Check(t, err)
	path := "/feeds/" + feedSecret + "/" + thumbprint + "/"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case p.away:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == path+"installed":
			var report struct {
				Generations []int
				Program     string
			}
			json.NewDecoder(r.Body).Decode(&report)
			text, _ := json.Marshal(report)
			p.reports = append(p.reports, string(text))
		case r.URL.Path == path+"certificates.jws":
			signed, err := feed.Sign(p.document, p.key)
			testenv.Check(t, err)
			w.Write([]byte(signed))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	p.url = server.URL + path
	p.set(1, first...)
	return p
}

// set publishes certificates as the generations from 1 on.
func (p *published) set(sequence uint64, certificates ...[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.document = feed.Document{Feed: feed.ID(feedSecret), Tenant: "acme", Arrangement: "crm-to-erp",
		Sequence: sequence, PublishedAt: inWindow,
		ValidUntil: inWindow.AddDate(0, 0, 7), RefreshHint: 3600}
	for i, der := range certificates {
		p.document.Certificates = append(p.document.Certificates,
			feed.Certificate{Generation: i + 1, State: feed.Active, DER: der})
	}
}

// A certificate that the rule would hold is accepted because the partner's feed lists it, and ends with the feed.
func TestTheGuardFollowsTheFeedOfAPartner(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	other := &folder{t: t, dir: f.dir, ca: testca.New(t, "Another", begin)}
	next, third := other.client("acme", inWindow), other.client("acme", inWindow.AddDate(0, 0, 1))
	p := publish(t, first.Certificate[0], next.Certificate[0])
	g := f.start(frontConfig(upstream(t))+"    feed: "+p.url+"\n", inWindow.AddDate(0, 0, 2))
	testenv.Eventually(t, func() bool { status, _ := get(t, caller(t, next), g.url); return status == 200 })
	known := map[string]*reading{}
	read := func() {
		for _, r := range known {
			r.due = time.Time{}
		}
		g.fetchDue(t.Context(), known)
	}
	for _, step := range []struct {
		name         string
		change       func()
		first, third int
	}{
		{"a third one", func() { p.set(2, first.Certificate[0], next.Certificate[0], third.Certificate[0]) }, 200, 200},
		{"the first one is revoked", func() { p.set(3, next.Certificate[0], third.Certificate[0]) }, 403, 200},
		{"an old document again", func() { p.set(2, first.Certificate[0]) }, 403, 200},
		{"the feed is away", func() { p.mu.Lock(); p.away = true; p.mu.Unlock() }, 403, 200},
		{"the first one returns", func() {
			p.set(4, first.Certificate[0], next.Certificate[0], third.Certificate[0])
			p.mu.Lock()
			p.away = false
			p.mu.Unlock()
		}, 200, 200},
	} {
		step.change()
		now := g.clock.Load().Add(2 * time.Minute)
		g.clock.Store(&now)
		read()
		for _, c := range []struct {
			name string
			http *http.Client
			want int
		}{{"the first", caller(t, first), step.first}, {"the second", caller(t, next), 200},
			{"the third", caller(t, third), step.third}} {
			if status, text := get(t, c.http, g.url); status != c.want {
				t.Errorf("%s, %s: %d %s", step.name, c.name, status, text)
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.reports) < 3 || p.reports[len(p.reports)-1] != `{"Generations":[1,2,3],"Program":"perennial guard"}` {
		t.Errorf("reports: %v", p.reports)
	}
	for _, want := range []string{"has announced a new certificate in its feed", "returned to sequence 2", "status 503"} {
		if !strings.Contains(g.log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}
