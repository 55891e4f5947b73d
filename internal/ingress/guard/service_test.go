package guard

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	core "github.com/perennial-pki/perennial/guard"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/acmetest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// A running is a guard that serves, with its clock and its log.
type running struct {
	*Service
	t     testing.TB
	clock atomic.Pointer[time.Time]
	log   logged
	stop  func() error
	url   string
}

// logged is a log that a test reads while it is written.
type logged struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start starts the guard of the folder. It ends with the test, or with stop.
func (f *folder) start(config string, now time.Time) *running {
	f.t.Helper()
	if _, err := os.Stat(filepath.Join(f.dir, "server.pem")); err != nil {
		pair := f.ca.Server(f.t, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
		f.write("server.pem", testenv.PairPEM(f.t, pair))
	}
	f.write("guard.yaml", []byte(config))
	r := &running{t: f.t}
	r.clock.Store(&now)
	var err error
	r.Service, err = Open(f.t.Context(), filepath.Join(f.dir, "guard.yaml"), Options{Policies: policies,
		Now: func() time.Time { return *r.clock.Load() }, Log: slog.New(slog.NewTextHandler(&r.log, nil))})
	testenv.Check(f.t, err)
	r.url, _, _ = r.Addresses()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- r.Run(ctx, func() { close(ready) }) }()
	<-ready
	r.stop = sync.OnceValue(func() error {
		cancel()
		err := <-ended
		return errors.Join(err, r.Close())
	})
	f.t.Cleanup(func() { r.stop() })
	return r
}

// client returns a certificate of a name for a year.
func (f *folder) client(name string, from time.Time) tls.Certificate {
	f.t.Helper()
	pair, err := tls.LoadX509KeyPair(f.ca.Client(f.t, name, from, from.AddDate(1, 0, 0)))
	testenv.Check(f.t, err)
	return pair
}

func caller(t testing.TB, pairs ...tls.Certificate) *http.Client {
	transport := &http.Transport{ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: pairs}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func get(t testing.TB, c *http.Client, url string) (status int, text string) {
	t.Helper()
	answer, err := c.Get(url)
	testenv.Check(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	testenv.Check(t, err)
	return answer.StatusCode, string(body)
}

// upstream is a system that answers with the partner, the path, the host, the tenant and the arrangements of a call.
func upstream(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s %s %s", r.Header.Get("Perennial-Partner"), r.URL.Path, r.Host,
			r.Header.Get("Perennial-Tenant"), r.Header.Get("Perennial-Arrangement"))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// renewal is the report of the first renewal.
const renewal = "acme-c4c has renewed its certificate (valid until 20 November 2027, 00:00 UTC): accepted as successor"

const partnerLines = `
partners:
  - name: acme-c4c
    known: [tenant.pem]
    trust: [root.pem]
    policy: sap-c4c
`

func frontConfig(upstream string) string {
	return "listen: 127.0.0.1:0\nserver: {cert: server.pem, key: server.pem}\nupstream: " + upstream + partnerLines
}

// tenant returns the certificate that the partner is known by, with its key.
func (f *folder) tenant() tls.Certificate {
	f.t.Helper()
	pair := f.client("acme", begin)
	f.write("tenant.pem", testca.PEM(pair.Certificate...))
	return pair
}

func TestASystemBehindTheGuardNeverSeesARenewal(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	g := f.start(frontConfig(upstream(t)), inWindow)
	second := f.client("acme", inWindow)
	for name, c := range map[string]struct {
		pairs  []tls.Certificate
		status int
		text   string
	}{
		"known":         {[]tls.Certificate{first}, 200, "acme-c4c /orders "},
		"its successor": {[]tls.Certificate{second}, 200, "acme-c4c /orders "},
		"a stranger":    {[]tls.Certificate{f.client("globex", inWindow)}, 403, `"code":"other-subject"`},
		"nobody":        {nil, 403, `"code":"no-certificate"`},
	} {
		if status, text := get(t, caller(t, c.pairs...), g.url+"/orders"); status != c.status ||
			!strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	testenv.Check(t, g.stop())
	for _, want := range []string{renewal,
		certfile.Fingerprint(second.Leaf.Raw), "code=other-subject", "code=no-certificate", "CN=globex", "MIIB"} {
		if !strings.Contains(g.log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, g.log.String())
		}
	}
	// A year later the first one is forgotten, and the third one succeeds the second one, which only the state knows.
	g = f.start(frontConfig(upstream(t)), inWindow.AddDate(1, 0, -30))
	third := f.client("acme", inWindow.AddDate(1, 0, -31))
	for i, want := range []int{403, 200, 200} {
		if status, text := get(t, caller(t, []tls.Certificate{first, second, third}[i]), g.url+"/orders"); status != want {
			t.Errorf("certificate %d: %d %s", i+1, status, text)
		}
	}
}

func TestAHeldCertificateWaitsForAPerson(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	now := begin.AddDate(0, 3, 0)
	g := f.start(frontConfig(upstream(t)), now)
	early := f.client("acme", begin.AddDate(0, 2, 0))
	if status, text := get(t, caller(t, early), g.url); status != 403 || !strings.Contains(text, "outside-window") {
		t.Fatalf("%d %s", status, text)
	}
	fingerprint := certfile.Fingerprint(early.Leaf.Raw)
	var all []Status
	testenv.Eventually(t, func() bool {
		var err error
		seen, err := g.state.Sightings(t.Context())
		testenv.Check(t, err)
		all, err = StatusOf(g.settings(), g.guard.Partners(), seen, now)
		testenv.Check(t, err)
		return len(all) == 2
	})
	if all[1].Standing != Held || all[1].Fingerprint.String() != fingerprint ||
		!strings.Contains(all[1].Reason, "renewed between") {
		t.Errorf("%+v", all)
	}
	// The command of the person is another process.
	person, err := OpenState(t.Context(), filepath.Join(f.dir, "guard.db"))
	testenv.Check(t, err)
	defer person.Close()
	for _, c := range []struct {
		sha256, want string
	}{{"12345", "at least the first 8 digits"}, {"zz345678", "invalid fingerprint"}, {"0000000000", "not seen"}} {
		if _, err := person.Decide(t.Context(), "", c.sha256, "olga", Accepted, now); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.sha256, err)
		}
	}
	for _, step := range []struct {
		standing Standing
		status   int
	}{{Accepted, 200}, {Declined, 403}, {Accepted, 200}} {
		v, err := person.Decide(t.Context(), "", strings.ToUpper(fingerprint[:8]), "olga", step.standing, now)
		if err != nil || v.Partner != "acme-c4c" {
			t.Fatalf("%+v, %v", v, err)
		}
		testenv.Eventually(
			t,
			func() bool { status, _ := get(t, caller(t, early), g.url); return status == step.status },
		)
	}
}

func TestAMailTellsWhatHasHappenedAndWhatToDo(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	mailpit := testenv.StartMailpit(t)
	f.write("password", []byte("s3cret\n"))
	g := f.start(frontConfig(upstream(t))+fmt.Sprintf("    on_hold: {accept: 24h}\n"+
		"mail:\n  server: %s\n  password_file: password\n  ca: %s\n"+
		"  from: Guard <guard@example.com>\n  to: [ada@example.com]\n",
		strings.Replace(mailpit.URL, ":s3cret@", "@", 1), mailpit.CA), inWindow)
	second := f.client("acme", inWindow)
	get(t, caller(t, second), g.url)
	seen := func(n int) {
		testenv.Eventually(t, func() bool {
			all, err := g.state.Sightings(t.Context())
			testenv.Check(t, err)
			return len(all) == n
		})
		for range 2 { // the second time there is nothing to send
			testenv.Check(t, g.mailDue(t.Context()))
		}
	}
	seen(1)
	another := f.client("acme", inWindow.AddDate(0, 0, 1))
	later := inWindow.AddDate(0, 0, 2)
	g.clock.Store(&later)
	get(t, caller(t, another), g.url)
	seen(2)
	all := mailpit.Messages()
	if len(all) != 2 {
		t.Fatalf("%d mails", len(all))
	}
	held, renewed := all[0], all[1]
	if renewed.Subject != "acme-c4c has renewed its certificate: accepted, nothing to do" ||
		held.Subject != "Action needed: decide about a new certificate of acme-c4c" {
		t.Errorf("%q, %q", renewed.Subject, held.Subject)
	}
	for text, wants := range map[string][]string{
		renewed.Text: {renewal + ".",
			"You have nothing to do", "The known certificate:", "- SHA-256: " +
				certfile.InGroups(certfile.Fingerprint(second.Leaf.Raw)),
			"perennial guard refuse " + certfile.Fingerprint(second.Leaf.Raw)[:16]},
		held.Text: {"acme-c4c presents a certificate that needs your decision", "Please ask acme-c4c",
			"calls with it are accepted, but not after " + tenancy.Moment(later.Add(24*time.Hour)) + ".",
			"perennial guard accept " + certfile.Fingerprint(another.Leaf.Raw)[:16]},
	} {
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("a mail lacks %q:\n%s", want, text)
			}
		}
	}
}

func TestStrangersCauseFewMailsAndCrowdOutNoPartner(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	g := f.start(frontConfig(upstream(t))+awayMail, inWindow)
	for range 2 * acceptance.MostHeld {
		forger := &folder{t: t, dir: f.dir, ca: testca.New(t, "Passport", begin)}
		if status, text := get(t, caller(t, forger.client("acme", inWindow)), g.url); !strings.Contains(text, "other-ca") {
			t.Fatalf("%d %s", status, text)
		}
	}
	get(t, caller(t, f.client("acme", inWindow)), g.url)
	second := f.client("acme", inWindow.AddDate(0, 0, -1))
	get(t, caller(t, second), g.url) // older than the successor: refused, not held
	held := f.client("acme", inWindow.AddDate(0, 0, 1))
	later := inWindow.AddDate(0, 0, 2)
	g.clock.Store(&later)
	get(t, caller(t, held), g.url)
	testenv.Check(t, g.stop())
	state, err := OpenState(t.Context(), filepath.Join(f.dir, "guard.db"))
	testenv.Check(t, err)
	defer state.Close()
	all, err := state.Sightings(t.Context())
	testenv.Check(t, err)
	due, err := state.due(t.Context(), "ada@example.com", 100)
	testenv.Check(t, err)
	count := map[acceptance.Code]int{}
	for _, v := range all {
		count[v.Code]++
	}
	if count[acceptance.OtherCA] != mostForeign || count[acceptance.IsSuccessor] != 1 ||
		count[acceptance.SecondSuccessor] != 1 || len(all) != mostForeign+2 {
		t.Errorf("stored: %v", count)
	}
	if n := len(due); n < 2 || n > 3 { // the one mail about other CAs may be about one that has given way
		t.Errorf("%d mails are due", n)
	}
}

func TestALogHasFewLinesWhateverStrangersDo(t *testing.T) {
	log := logged{}
	calls := newCallLog(slog.New(slog.NewTextHandler(&log, nil)), newMetrics())
	for i := range 10 * mostLogged {
		calls.once(inWindow, fmt.Sprint(i), slog.LevelWarn, "refused")
	}
	calls.once(inWindow.Add(time.Minute), "0", slog.LevelWarn, "refused")
	if n := strings.Count(log.String(), "msg=refused"); n != mostLogged+1 ||
		!strings.Contains(log.String(), fmt.Sprintf("calls=%d", 9*mostLogged)) {
		t.Errorf("%d lines", n)
	}
}

// awayMail is a mail server that does not answer.
const awayMail = "mail: {server: 'smtp://127.0.0.1:1?tls=none', from: guard@example.com, to: [ada@example.com]}\n"

func TestWhatWasHeldAndIsAcceptedNowIsStoredAndAnnounced(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	other := &folder{t: t, dir: f.dir, ca: testca.New(t, "New", begin)}
	next := other.client("acme", inWindow)
	g := f.start(frontConfig(upstream(t)), inWindow)
	if status, text := get(t, caller(t, next), g.url); status != 403 || !strings.Contains(text, "other-ca") {
		t.Fatalf("%d %s", status, text)
	}
	testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "needs your decision") })
	f.write("new.pem", other.ca.RootPEM())
	f.write("guard.yaml", []byte(strings.Replace(frontConfig(upstream(t)), "[root.pem]", "[root.pem, new.pem]", 1)))
	testenv.Check(t, g.Reload(t.Context()))
	if status, text := get(t, caller(t, next), g.url); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	testenv.Check(t, g.stop())
	if !strings.Contains(g.log.String(), "accepted as successor") {
		t.Error("the log lacks that it is accepted")
	}
	seen, err := ReadSightings(t.Context(), filepath.Join(f.dir, "guard.db"))
	testenv.Check(t, err)
	if len(seen) != 1 || seen[0].Standing != Accepted || seen[0].Code != acceptance.IsSuccessor {
		t.Errorf("%+v", seen)
	}
}

// A person decides by what is the case now.
func TestTheStatusHasTheLatestReasonForWhichACertificateIsHeld(t *testing.T) {
	g := newIdle(t)
	c := g.f.client("acme", inWindow.Add(time.Hour)).Leaf
	call := func(code acceptance.Code, reason string) {
		g.decided(core.Call{At: inWindow, Chain: []*x509.Certificate{c}, Decision: acceptance.Decision{
			Outcome: acceptance.Hold, Partner: "acme-c4c", Code: code, Reason: reason}})
		g.store(t.Context())
	}
	for _, step := range []struct {
		code   acceptance.Code
		reason string
	}{{acceptance.OtherCA, "first"}, {acceptance.OutsideWindow, "then"}, {acceptance.OutsideWindow, "later"},
		{acceptance.OutsideWindow, "later"}} {
		call(step.code, step.reason)
		config, err := Load(filepath.Join(g.f.dir, "guard.yaml"), policies)
		testenv.Check(t, err)
		all, err := ReadStatus(t.Context(), config, inWindow)
		testenv.Check(t, err)
		last := all[len(all)-1]
		if last.Standing != Held || last.Code != step.code || last.Reason != step.reason {
			t.Errorf("after %q: %+v", step.reason, last)
		}
	}
	if said := strings.Count(g.log.String(), "needs your decision"); said != 1 {
		t.Errorf("%d announcements: %s", said, g.log.String())
	}
	testenv.Check(t, g.decide(t, Declined))
}

// The configuration would accept it again.
func TestACertificateOfTheConfigurationIsNotRefusedByACommand(t *testing.T) {
	g := newIdle(t)
	config, err := Load(filepath.Join(g.f.dir, "guard.yaml"), policies)
	testenv.Check(t, err)
	k := config.Partners[0].Known[0]
	for standing, want := range map[Standing]string{Declined: "remove it there to refuse it",
		Accepted: "is accepted already"} {
		for _, sha256 := range []string{k.Fingerprint.String(), k.Fingerprint.String()[:8]} {
			_, err = StoreDecision(t.Context(), config, "", sha256, "olga", standing, inWindow)
			if !errors.Is(err, tenancy.ErrConflict) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: %v", standing, sha256, err)
			}
		}
		_, err = StoreDecision(t.Context(), config, "globex", k.Fingerprint.String(), "olga", standing, inWindow)
		if !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("of another partner: %v", err)
		}
	}
}

func TestAPersonDecidesAlsoWhileTheConfigurationIsBroken(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	g := f.start(frontConfig(upstream(t)), inWindow)
	next := f.client("acme", inWindow)
	get(t, caller(t, next), g.url)
	testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "accepted as successor") })
	f.write("guard.yaml", []byte("partners: ["))
	person, err := OpenState(t.Context(), filepath.Join(f.dir, "guard.db"))
	testenv.Check(t, err)
	defer person.Close()
	_, err = person.Decide(t.Context(), "acme-c4c", certfile.Fingerprint(next.Leaf.Raw), "olga", Declined, inWindow)
	testenv.Check(t, err)
	testenv.Eventually(t, func() bool { status, _ := get(t, caller(t, next), g.url); return status == 403 })
}

// The command explains what the running guard would decide, with what it has seen.
func TestAnExplanationKnowsWhatTheGuardHasSeen(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	next := f.client("acme", inWindow)
	explain := func() acceptance.Decision {
		c, err := Load(filepath.Join(f.dir, "guard.yaml"), policies)
		testenv.Check(t, err)
		partners, err := Remembered(t.Context(), c)
		testenv.Check(t, err)
		return explained(partners, testca.PEM(next.Certificate...), inWindow)[0]
	}
	f.write("guard.yaml", []byte(frontConfig("http://127.0.0.1:1")))
	if d := explain(); d.Code != acceptance.IsSuccessor {
		t.Errorf("before: %+v", d)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "guard.db")); err == nil {
		t.Error("an explanation has created the state")
	}
	g := f.start(frontConfig(upstream(t)), inWindow)
	get(t, caller(t, next), g.url)
	testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "accepted as successor") })
	if d := explain(); d.Code != acceptance.Pinned {
		t.Errorf("after the first call: %+v", d)
	}
	_, err := g.state.Decide(t.Context(), "", certfile.Fingerprint(next.Leaf.Raw), "olga", Declined, inWindow)
	testenv.Check(t, err)
	if d := explain(); d.Code != acceptance.Declined {
		t.Errorf("after a person has refused it: %+v", d)
	}
}

func TestEachAddressGetsItsMailOnceAlthoughAnotherOneFails(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	mailpit := testenv.StartMailpit(t)
	config := frontConfig(upstream(t)) + fmt.Sprintf("mail: {server: '%s', ca: %s, from: guard@example.com, "+
		"to: [ada@example.com, bob@example.com]}\n", mailpit.URL, mailpit.CA)
	g := f.start(config, inWindow)
	g.mu.Lock()
	g.config.Mail.To = []string{"ada@example.com", "grün@example.com", "bob@example.com"}
	g.mu.Unlock()
	get(t, caller(t, f.client("acme", inWindow)), g.url)
	testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "accepted as successor") })
	for range 3 {
		testenv.Check(t, g.mailDue(t.Context())) // the address with a letter outside ASCII is refused for good
	}
	to := map[string]int{}
	for _, m := range mailpit.Messages() {
		to[m.To[0].Address]++
	}
	if len(to) != 2 || to["ada@example.com"] != 1 || to["bob@example.com"] != 1 {
		t.Errorf("%v", to)
	}
	if due, err := g.state.due(t.Context(), "new@example.com", 10); err != nil || len(due) != 0 {
		t.Errorf("still due: %d, %v", len(due), err)
	}
}

func TestTheGuardFollowsItsFiles(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	g := f.start(frontConfig(upstream(t)), inWindow)
	c := caller(t, first)
	if status, _ := get(t, c, g.url); status != 200 {
		t.Fatal(status)
	}
	if g.settings().Changed() {
		t.Error("nothing has changed")
	}
	f.write("guard.yaml", []byte("partners: ["))
	if !g.settings().Changed() || g.Reload(t.Context()) == nil {
		t.Error("a broken file is not noticed")
	}
	if status, _ := get(t, c, g.url); status != 200 {
		t.Errorf("with a broken file: %d", status)
	}
	crl, err := x509.CreateRevocationList(
		rand.Reader,
		&x509.RevocationList{Number: first.Leaf.SerialNumber, ThisUpdate: begin,
			NextUpdate: inWindow.AddDate(1, 0, 0), RevokedCertificateEntries: []x509.RevocationListEntry{
				{SerialNumber: first.Leaf.SerialNumber, RevocationTime: begin}}},
		f.ca.Issuing,
		f.ca.Key,
	)
	testenv.Check(t, err)
	f.write("passport.crl", crl)
	f.write("issuing.pem", testca.PEM(f.ca.Issuing.Raw))
	f.write("guard.yaml", []byte(strings.Replace(frontConfig(upstream(t)), "trust: [root.pem]",
		"trust: [root.pem, issuing.pem]\n    crl: [passport.crl]", 1)))
	testenv.Check(t, g.Reload(t.Context()))
	if status, text := get(t, c, g.url); status != 403 || !strings.Contains(text, "revoked") {
		t.Errorf("after the revocation: %d %s", status, text)
	}
	if !strings.Contains(g.log.String(), "the guard continues with the one before") {
		t.Error("the broken file is not in the log")
	}
}

func TestWhatCannotBeStoredIsAcceptedAllTheSame(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	g := f.start(frontConfig(upstream(t)), inWindow)
	_, err := g.state.db().ExecContext(t.Context(), "ALTER TABLE sightings RENAME TO away")
	testenv.Check(t, err)
	second := f.client("acme", inWindow)
	for range 3 {
		if status, text := get(t, caller(t, second), g.url); status != 200 {
			t.Errorf("%d %s", status, text)
		}
	}
	testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "kept in memory until that works") })
	_, err = g.state.db().ExecContext(t.Context(), "ALTER TABLE away RENAME TO sightings")
	testenv.Check(t, err)
	testenv.Eventually(t, func() bool {
		all, err := g.state.Sightings(t.Context())
		testenv.Check(t, err)
		return len(all) == 1
	})
}

func TestEachHostHasItsSystemItsCertificateAndItsPartners(t *testing.T) {
	f := newFolder(t)
	acme, globex := f.tenant(), f.client("globex", begin)
	f.write("globex.pem", testca.PEM(globex.Certificate...))
	other := testca.New(t, "Other", begin)
	f.write("other.pem", testenv.PairPEM(t, other.Server(t, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))))
	one, two := upstream(t), upstream(t)
	g := f.start(frontConfig(one)+fmt.Sprintf(`  - name: globex
    known: [globex.pem]
    rule: pin
hosts:
  - host: Erp.example.com
    server: {cert: other.pem, key: other.pem}
    upstream: %s
    partners: [globex]
`, two), inWindow)
	for _, c := range []struct {
		pair   tls.Certificate
		host   string
		status int
		ca     string
	}{{acme, "api.example.com", 200, "Passport Issuing"}, {acme, "erp.example.com", 403, "Other Issuing"},
		{globex, "erp.example.com", 200, "Other Issuing"}, {globex, "api.example.com", 200, "Passport Issuing"}} {
		client := caller(t, c.pair)
		transport := client.Transport.(*http.Transport)
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, strings.TrimPrefix(g.url, "https://"))
		}
		answer, err := client.Get("https://" + c.host + "/")
		testenv.Check(t, err)
		answer.Body.Close()
		if ca := answer.TLS.PeerCertificates[0].Issuer.CommonName; answer.StatusCode != c.status || ca != c.ca {
			t.Errorf("%s: %d, %s", c.host, answer.StatusCode, ca)
		}
	}
}

func TestMessagesOfEveryKindPass(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	behind := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/upgrade":
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			rw.Flush()
			line, _ := rw.ReadString('\n')
			io.WriteString(rw, "echo "+line)
			rw.Flush()
		case "/stream": // answers while it reads
			http.NewResponseController(w).EnableFullDuplex()
			in := bufio.NewReader(r.Body)
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				io.WriteString(w, "echo "+line)
				http.NewResponseController(w).Flush()
			}
		default:
			io.Copy(w, r.Body)
		}
	}))
	behind.Start()
	t.Cleanup(behind.Close)
	g := f.start(frontConfig(behind.URL), inWindow)

	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	for _, h2 := range []bool{false, true} {
		c := caller(t, first)
		c.Transport.(*http.Transport).ForceAttemptHTTP2 = h2
		answer, err := c.Post(g.url+"/echo", "text/plain", bytes.NewReader(large))
		testenv.Check(t, err)
		got, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !bytes.Equal(got, large) || (answer.ProtoMajor == 2) != h2 {
			t.Errorf("HTTP/2 %v: %d bytes, %v, %s", h2, len(got), err, answer.Proto)
		}
		in, out := io.Pipe()
		go io.WriteString(out, "one\n")
		answer, err = c.Post(g.url+"/stream", "text/plain", in)
		testenv.Check(t, err)
		lines := bufio.NewReader(answer.Body)
		for _, next := range []string{"two\n", ""} {
			line, err := lines.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "echo ") {
				t.Fatalf("HTTP/2 %v: %q, %v", h2, line, err)
			}
			if next != "" {
				io.WriteString(out, next)
			}
		}
		out.Close()
		answer.Body.Close()
	}

	conn, err := tls.Dial("tcp", strings.TrimPrefix(g.url, "https://"), &tls.Config{InsecureSkipVerify: true,
		Certificates: []tls.Certificate{first}})
	testenv.Check(t, err)
	defer conn.Close()
	io.WriteString(conn, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("an upgrade: %v, %v", answer, err)
	}
	io.WriteString(conn, "hello\n")
	if line, err := in.ReadString('\n'); line != "echo hello\n" {
		t.Errorf("an upgraded connection: %q, %v", line, err)
	}
}

func TestTheSystemSeesOneStableCertificateOfTheGuard(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	own := f.client("guard", time.Now().Add(-time.Hour))
	f.write("own.pem", append(testca.PEM(own.Certificate...), testca.KeyPEM(t, own.PrivateKey.(crypto.Signer))...))
	behind := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.TLS.PeerCertificates[0].Subject.CommonName, r.Header.Get("Perennial-Partner"))
	}))
	roots := x509.NewCertPool()
	roots.AddCert(f.ca.Root)
	behind.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
		Certificates: []tls.Certificate{f.ca.Server(t, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))}}
	behind.StartTLS()
	t.Cleanup(behind.Close)
	g := f.start(frontConfig(behind.URL)+"upstream_tls: {cert: own.pem, key: own.pem, ca: root.pem}\n", inWindow)
	for _, pair := range []tls.Certificate{first, f.client("acme", inWindow)} {
		if status, text := get(t, caller(t, pair), g.url); status != 200 || text != "guard acme-c4c" {
			t.Errorf("%d %s: %s", status, text, g.log.String())
		}
	}
	behind.Close()
	if status, text := get(t, caller(t, first), g.url); status != 502 || !strings.Contains(text, "did not answer") {
		t.Errorf("without the system: %d %s", status, text)
	}
}

func TestAFailedHandshakeIsLoggedWithAHint(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	g := f.start(frontConfig(upstream(t)), inWindow)
	c := caller(t, first)
	c.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = false
	if _, err := c.Get(g.url); err == nil {
		t.Fatal("the certificate of an unknown CA was accepted")
	}
	stolen := tls.Certificate{Certificate: first.Certificate, PrivateKey: f.client("acme", begin).PrivateKey}
	if _, err := caller(t, stolen).Get(g.url); err == nil {
		t.Error("a certificate without its key was accepted")
	}
	old, err := tls.Dial("tcp", strings.TrimPrefix(g.url, "https://"), &tls.Config{MaxVersion: tls.VersionTLS11,
		MinVersion: tls.VersionTLS10, InsecureSkipVerify: true})
	if err == nil {
		old.Close()
		t.Error("TLS 1.1 is accepted")
	}
	plain, err := http.Get("http://" + strings.TrimPrefix(g.url, "https://"))
	if err == nil {
		plain.Body.Close()
	}
	for _, want := range []string{"does not accept this guard's server certificate", "does not have the key",
		"neither TLS 1.2 nor TLS 1.3", "speaks HTTP without TLS"} {
		testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), want) })
	}
}

func TestWhatStandsInAQueryPasses(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	var got string
	behind := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RequestURI }))
	t.Cleanup(behind.Close)
	g := f.start(frontConfig(behind.URL), inWindow)
	for _, uri := range []string{"/orders?filter=a;b&x=%zz", "/a%2Fb/%20?q=1+2", "/?", "//double"} {
		if status, _ := get(t, caller(t, first), g.url+uri); status != 200 || got != uri {
			t.Errorf("%s arrives as %s (%d)", uri, got, status)
		}
	}
}

func TestASystemNeverChangesToAProtocolThatTheGuardDoesNotSee(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	var got http.Header
	behind := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	t.Cleanup(behind.Close)
	g := f.start(frontConfig(behind.URL), inWindow)
	for _, protocol := range []string{"h2c", "H2C, websocket", "TLS/1.3"} {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(g.url, "https://"), &tls.Config{InsecureSkipVerify: true,
			Certificates: []tls.Certificate{first}})
		testenv.Check(t, err)
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "+protocol+
			"\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX_Forwarded_For: 6.6.6.6\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		testenv.Check(t, err)
		conn.Close()
		if answer.StatusCode != http.StatusOK || got.Get("Upgrade") != "" || got.Get("Http2-Settings") != "" ||
			strings.Contains(strings.ToLower(fmt.Sprint(got)), "x_forwarded_for") || got.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Errorf("%s: %d, the system got %v", protocol, answer.StatusCode, got)
		}
	}
}

func TestAnUpgradedConnectionEndsWithItsCertificate(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		rw.Flush()
		io.Copy(io.Discard, rw)
	}))
	t.Cleanup(behind.Close)
	g := f.start(frontConfig(behind.URL), inWindow)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(g.url, "https://"), &tls.Config{InsecureSkipVerify: true,
		Certificates: []tls.Certificate{first}})
	testenv.Check(t, err)
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	in := bufio.NewReader(conn)
	if answer, err := http.ReadResponse(in, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", answer, err)
	}
	expired := first.Leaf.NotAfter.Add(time.Second)
	g.clock.Store(&expired)
	conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	if _, err := in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection stays open: %v", err)
	}
}

func TestARefusedCallerHoldsNoConnection(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	g := f.start(frontConfig(upstream(t)), inWindow)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(g.url, "https://"), &tls.Config{InsecureSkipVerify: true})
	testenv.Check(t, err)
	defer conn.Close()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n") // and no body
	conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays open")
	}
	large := f.client("acme", inWindow)
	for range 100 {
		large.Certificate = append(large.Certificate, f.ca.Issuing.Raw)
	}
	if _, err := caller(t, large).Get(g.url); err == nil {
		t.Error("a chain of 40 KiB is accepted")
	}
	testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "larger than 32 KiB") })
}

func TestTwoGuardsDoNotShareAState(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	f.start(frontConfig(upstream(t)), inWindow)
	_, err := Open(t.Context(), filepath.Join(f.dir, "guard.yaml"), Options{Policies: policies, Now: time.Now,
		Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "another guard (process ") {
		t.Error(err)
	}
}

func TestOneNetworkCannotUseUpTheConnections(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	g := f.start(frontConfig(upstream(t)), inWindow)
	address := strings.TrimPrefix(g.url, "https://")
	c := caller(t, first)
	if status, _ := get(t, c, g.url); status != 200 { // its connection stays
		t.Fatal(status)
	}
	var held []net.Conn
	for range mostNewcomers {
		conn, err := net.Dial("tcp", address)
		testenv.Check(t, err)
		held = append(held, conn)
	}
	testenv.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		testenv.Check(t, err)
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err = conn.Read(make([]byte, 1))
		return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	})
	if status, _ := get(t, c, g.url); status != 200 {
		t.Errorf("a connection that is open already: %d", status)
	}
	for _, conn := range held {
		conn.Close()
	}
	testenv.Eventually(t, func() bool {
		answer, err := caller(t, first).Get(g.url)
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	})
}

func TestTheGuardGetsItsOwnCertificateByACME(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	pebble := acmetest.StartPebble(t, acmetest.StartDNS(t, t.TempDir()))
	f.write("eab", []byte(acmetest.EABKey))
	g := f.start(
		fmt.Sprintf(
			"listen: 127.0.0.1:%d\nupstream: %s\nserver:\n  acme: {directory: %s, ca: %s, hosts: [guard.test], "+
				"eab_id: %s, eab_key_file: eab}\n",
			pebble.TLSPort,
			upstream(t),
			pebble.Directory,
			pebble.TLSRoots,
			acmetest.EABKeyID,
		)+
			partnerLines,
		inWindow,
	)
	roots, err := certfile.ReadRoots(pebble.Roots)
	testenv.Check(t, err)
	c := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "guard.test",
			Certificates: []tls.Certificate{first}}},
	}
	testenv.Eventually(t, func() bool { // it gets the certificate by itself, before the first call
		answer, err := c.Get(g.url)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}
