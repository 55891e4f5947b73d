package watching

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func date(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t
}

// A world has a tenant with two key users, and a CA elsewhere that issues the certificates of its partner.
type world struct {
	*Watching
	t     *testing.T
	store *store.Store
	acme  tenancy.Tenant
	ca    *testca.CA
}

func each(t *testing.T, test func(w *world)) {
	testenv.EachEngine(t, func(t *testing.T, url string) { test(newWorld(t, url)) })
}

func newWorld(t *testing.T, url string) *world {
	now := date("2026-01-15")
	engine, _ := enginetest.New(t, url, now)
	w := &world{New(engine.Store, engine, slog.New(slog.DiscardHandler)), t, engine.Store,
		engine.Tenant(t, "acme", now), testca.New(t, "Passport", now)}
	testenv.Check(t, w.store.InTx(t.Context(), func(tx *store.Tx) error {
		var users []tenancy.KeyUser
		for _, name := range []string{"alice", "bob"} {
			users = append(users, tenancy.KeyUser{ID: name, TenantID: w.acme.ID, Name: name, Email: name + "@x.example",
				UnsubscribeToken: name, CreatedAt: now, Version: 1})
		}
		return tx.CreateKeyUsers(t.Context(), users...)
	}))
	return w
}

// issue returns a certificate of a year, with the CA above it. change may change it before it is signed.
func (w *world) issue(from string, change func(*x509.Certificate)) [][]byte {
	w.t.Helper()
	return issueFrom(w.t, w.ca, from, change)
}

func issueFrom(t *testing.T, ca *testca.CA, from string, change func(*x509.Certificate)) [][]byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject: pkix.Name{CommonName: "acme", Organization: []string{"SAP"}}, NotBefore: date(from),
		NotAfter: date(from).Add(365 * policy.Day), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Issuing, key.Public(), ca.Key)
	testenv.Check(t, err)
	return [][]byte{der, ca.Issuing.Raw}
}

func policyFile(t *testing.T, name string) string {
	t.Helper()
	p, err := policy.Preset(name)
	testenv.Check(t, err)
	return p.YAML()
}

// add watches a certificate that expires on 25 December 2026, under the policy sap-c4c: the run on 1 November renews
// it.
func (w *world) add(change func(*tenancy.Watched)) [][]byte {
	w.t.Helper()
	chain := w.issue("2025-12-25", nil)
	v := tenancy.Watched{Name: "acme-c4c", Owner: "SAP", Policy: policyFile(w.t, "sap-c4c"),
		Systems: []tenancy.WatchedSystem{{Name: "erp", IdentifiesBy: []tenancy.Identifier{tenancy.ByCertificate}}}}
	if change != nil {
		change(&v)
	}
	_, err := w.Add(w.t.Context(), w.acme, v, chain, "test", date("2026-01-20"))
	testenv.Check(w.t, err)
	return chain
}

func (w *world) watched() tenancy.Watched {
	w.t.Helper()
	v, err := w.store.Watched(w.t.Context(), w.acme.ID, "acme-c4c")
	testenv.Check(w.t, err)
	return v
}

// tick does what a tick of the jobs does for certificates without a source.
func (w *world) tick(now time.Time) {
	w.t.Helper()
	due, err := w.store.DueWatched(w.t.Context(), now, 10)
	testenv.Check(w.t, err)
	for _, v := range due {
		testenv.Check(w.t, w.Advance(w.t.Context(), w.acme, v, now))
	}
}

// subjects lists the subjects of all tasks of alice, and fails unless bob has the same.
func (w *world) subjects() (all []string) {
	w.t.Helper()
	of := map[string][]string{}
	tasks, _, err := w.store.Tasks(w.t.Context(), store.TaskChoice{TenantID: w.acme.ID}, store.Page{Limit: 1000})
	testenv.Check(w.t, err)
	for _, task := range tasks {
		if task.Kind == tenancy.WatchExpected || task.Kind == tenancy.WatchRenewed || task.Kind == tenancy.WatchAlarmed {
			of[task.KeyUser] = append(of[task.KeyUser], string(task.Kind)+": "+task.Subject)
		}
	}
	if !slices.Equal(of["alice"], of["bob"]) {
		w.t.Errorf("alice has the tasks %q, bob %q", of["alice"], of["bob"])
	}
	return of["alice"]
}

func (w *world) expect(when string, want ...string) {
	w.t.Helper()
	if got := w.subjects(); !slices.Equal(got, want) {
		w.t.Errorf("%s: the tasks are\n%q, want\n%q", when, got, want)
	}
}

func (w *world) report(kind tenancy.NoticeKind) (r tenancy.WatchReport) {
	w.t.Helper()
	tasks, _, err := w.store.Tasks(w.t.Context(), store.TaskChoice{TenantID: w.acme.ID}, store.Page{Limit: 1000})
	testenv.Check(w.t, err)
	for _, task := range tasks {
		if task.Kind == kind {
			notices, err := w.store.NoticesByID(w.t.Context(), []string{task.NoticeID})
			testenv.Check(w.t, err)
			testenv.Check(w.t, json.Unmarshal([]byte(notices[task.NoticeID].Reason), &r))
		}
	}
	return r
}

func (w *world) seen(chain [][]byte, by Witness, at time.Time) Sighting {
	w.t.Helper()
	s, err := w.Seen(w.t.Context(), w.acme, "acme-c4c", chain, by, at)
	testenv.Check(w.t, err)
	return s
}

const (
	warned  = "watch-expected: The certificate acme-c4c is going to be renewed"
	renewed = "watch-renewed: The certificate acme-c4c has been renewed"
	overdue = "watch-alarm: The certificate acme-c4c has not been renewed as expected"
	lapsed  = "watch-alarm: The certificate acme-c4c has expired, and no new one was seen"
	strange = "watch-alarm: An unexpected certificate was seen for acme-c4c"
)

var (
	person = Witness{By: "operator", Person: true}
	probe  = Witness{By: "watch", Looked: true}
	proved = Witness{By: "guard", Verified: true}
)

func TestKeyUsersAreWarnedBeforeTheOwnerRenewsAndToldWhenItHas(t *testing.T) {
	each(t, func(w *world) {
		old := w.add(nil)
		w.tick(date("2026-09-30"))
		w.expect("a month before the warning")
		if due := w.watched().DueAt; !due.Equal(date("2026-10-01")) {
			t.Errorf("it is due on %s", due)
		}
		w.tick(date("2026-10-01"))
		w.tick(date("2026-10-02"))
		w.expect("on the day of the owner's warning", warned)
		r := w.report(tenancy.WatchExpected)
		if r.Owner != "SAP" || !r.RenewsAt.Equal(date("2026-11-01")) || len(r.Systems) != 1 || r.New != nil ||
			certfile.Fingerprint(r.Old) != certfile.Fingerprint(old[0]) {
			t.Errorf("the warning states %+v", r)
		}

		next := w.issue("2026-11-01", nil)
		s := w.seen(next, person, date("2026-11-02"))
		if !s.New || len(s.Seen.Surprises) > 0 || s.Changes == nil || *s.Changes != (tenancy.Changes{Key: true}) {
			t.Errorf("the successor: %+v", s)
		}
		w.expect("after the renewal", warned, renewed)
		if r := w.report(tenancy.WatchRenewed); r.Changes == nil || !r.Changes.Key || r.Alarm != "" ||
			certfile.Fingerprint(r.New) != certfile.Fingerprint(next[0]) {
			t.Errorf("the notice states %+v", r)
		}
		if again := w.seen(next, person, date("2026-11-03")); again.New || again.Changes != nil {
			t.Errorf("the same certificate again: %+v", again)
		}
		w.seen(old, Witness{By: "guard"}, date("2026-11-03"))
		for now := date("2026-11-04"); now.Before(date("2027-08-01")); now = now.Add(7 * policy.Day) {
			w.tick(now)
		}
		w.expect("until the next renewal is near", warned, renewed)
		w.tick(date("2027-08-04")) // the owner's runs do not warn of the renewal on 1 September
		w.expect("in the year after", warned, renewed, warned)
	})
}

func TestARenewalThatDoesNotComeIsAnAlarm(t *testing.T) {
	each(t, func(w *world) {
		w.add(nil)
		for now := date("2026-01-21"); now.Before(date("2027-02-01")); now = now.Add(policy.Day) {
			w.tick(now)
			switch {
			case now.Before(date("2026-10-01")):
				w.expect(now.String())
			case now.Before(date("2026-11-04")):
				w.expect(now.String(), warned)
			case !now.After(date("2026-12-25")):
				w.expect(now.String(), warned, overdue)
			default:
				w.expect(now.String(), warned, overdue, lapsed)
			}
			if t.Failed() {
				return
			}
		}
		if r := w.report(tenancy.WatchAlarmed); r.Alarm != tenancy.AlarmExpired {
			t.Errorf("the alarm: %+v", r)
		}
		w.seen(w.issue("2026-11-01", nil), person, date("2027-02-02"))
		w.expect("after it came late", warned, overdue, lapsed, renewed)
	})
}

func TestOneThatIsAddedLateIsReportedAtOnce(t *testing.T) {
	w := newWorld(t, sqlite(t))
	w.add(func(v *tenancy.Watched) { v.Window = "93d"; v.Policy = "" })
	old := w.issue("2025-01-01", nil)
	_, err := w.Add(t.Context(), w.acme, tenancy.Watched{Name: "old", Policy: policyFile(t, "sap-c4c")}, old, "test",
		date("2026-01-20"))
	testenv.Check(t, err)
	w.expect("an expired one", "watch-alarm: The certificate old has expired, and no new one was seen")
}

func TestACertificateThatIsNotTheExpectedOneIsAnAlarmWithTheReasons(t *testing.T) {
	for name, c := range map[string]struct {
		from    string
		change  func(*x509.Certificate)
		want    tenancy.WatchSurprise
		adopted bool // if the partner has proved that it is its own
	}{
		"early": {"2026-08-01", nil, tenancy.SurpriseEarly, true},
		"older": {"2025-12-01", nil, tenancy.SurpriseOlder, true},
		"subject": {"2026-11-01", func(c *x509.Certificate) { c.Subject.CommonName = "globex" },
			tenancy.SurpriseSubject, true},
		"SAN":   {"2026-11-01", func(c *x509.Certificate) { c.DNSNames = []string{"x.example"} }, tenancy.SurpriseSAN, true},
		"usage": {"2026-11-01", func(c *x509.Certificate) { c.ExtKeyUsage = nil }, tenancy.SurpriseUsage, true},
		"expired": {"2026-11-01", func(c *x509.Certificate) { c.NotAfter = date("2026-11-02") },
			tenancy.SurpriseExpired, false},
		"future":           {"2026-11-05", nil, tenancy.SurpriseFuture, true},
		"another CA":       {"2026-11-01", nil, tenancy.SurpriseIssuer, true},
		"the CA in a name": {"2026-11-01", nil, tenancy.SurpriseIssuer, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sqlite(t))
			w.add(nil)
			switch name {
			case "another CA":
				w.ca = testca.New(t, "Other", date("2026-01-15"))
			case "the CA in a name":
				w.ca = forgedCA(t, w.ca)
			}
			chain, at := w.issue(c.from, c.change), date("2026-11-03")
			s := w.seen(chain, probe, at)
			if !s.New || !slices.Equal(s.Seen.Surprises, []tenancy.WatchSurprise{c.want}) || s.Seen.Adopted {
				t.Errorf("surprises %v, adopted %v", s.Seen.Surprises, s.Seen.Adopted)
			}
			if got := w.subjects(); !slices.Contains(got, strange) || slices.Contains(got, renewed) {
				t.Errorf("the tasks are %q", got)
			}
			if r := w.report(tenancy.WatchAlarmed); r.Alarm != tenancy.AlarmUnexpected ||
				!slices.Equal(r.Surprises, s.Seen.Surprises) {
				t.Errorf("the alarm states %+v", r)
			}
			s = w.seen(chain, proved, at)
			if s.Seen.Adopted != c.adopted || s.New != c.adopted || (s.Changes != nil) != c.adopted ||
				w.seen(chain, proved, at).New {
				t.Errorf("verified: %+v", s)
			}
			newest, _ := Newest(w.certificates())
			if succeeds := newest.Fingerprint == s.Seen.Fingerprint; succeeds != (c.adopted && name != "older") {
				t.Errorf("the newest one is %+v", newest)
			}
		})
	}
}

// forgedCA returns a CA with the name and the key identifier of another one.
func forgedCA(t *testing.T, of *testca.CA) *testca.CA {
	t.Helper()
	ca := testca.New(t, "Forged", date("2026-01-15"))
	ca.Issuing.RawSubject, ca.Issuing.Subject, ca.Issuing.SubjectKeyId = of.Issuing.RawSubject, of.Issuing.Subject,
		of.Issuing.SubjectKeyId
	return ca
}

// A source is not verified, so whoever controls it can show any certificate.
func TestAForgedSightingHidesNeitherTheRenewalNorThatItIsLate(t *testing.T) {
	each(t, func(w *world) {
		old := w.add(nil)
		genuine := w.issue("2026-11-06", nil)
		own := w.ca
		w.ca = testca.New(w.t, "Attacker", date("2026-01-15"))
		forged := w.issue("2026-10-30", func(c *x509.Certificate) { c.NotAfter = date("2126-01-01") })
		w.ca = own
		if s := w.seen(forged, probe, date("2026-10-30")); s.Seen.Adopted {
			w.t.Errorf("adopted with %v", s.Seen.Surprises)
		}
		w.tick(date("2026-11-05"))
		w.expect("without the genuine one", strange, warned, overdue)
		if s := w.seen(genuine, probe, date("2026-11-06")); !s.Seen.Adopted || len(s.Seen.Surprises) > 0 ||
			s.Before.Fingerprint != certfile.Fingerprint(old[0]) {
			w.t.Errorf("the genuine one: %+v", s)
		}
		w.expect("with the genuine one", strange, warned, overdue, renewed)
		if s := w.seen(forged, probe, date("2026-11-07")); s.New || s.Seen.Adopted {
			w.t.Errorf("again: %+v", s)
		}
	})
}

func TestAPersonAdoptsWhatASourceHasShown(t *testing.T) {
	w := newWorld(t, sqlite(t))
	w.add(nil)
	early := w.issue("2026-08-01", nil)
	w.seen(early, probe, date("2026-08-02"))
	if s := w.seen(early, person, date("2026-08-03")); !s.New || !s.Seen.Adopted {
		t.Errorf("uploaded: %+v", s)
	}
	w.expect("after the upload", strange)
}

func sqlite(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "perennial.db") }

func (w *world) certificates() []tenancy.WatchedCertificate {
	w.t.Helper()
	v := w.watched()
	all, err := w.store.WatchedCertificates(w.t.Context(), []string{v.ID})
	testenv.Check(w.t, err)
	return all[v.ID]
}

func TestAPersonMustConfirmACertificateWithOtherNames(t *testing.T) {
	w := newWorld(t, sqlite(t))
	w.add(nil)
	w.tick(date("2026-10-01"))
	other := w.issue("2026-11-01", func(c *x509.Certificate) { c.Subject.CommonName = "globex" })
	at := date("2026-11-02")
	_, err := w.Seen(t.Context(), w.acme, "acme-c4c", other, person, at)
	if !errors.Is(err, tenancy.ErrRefused) || !strings.Contains(err.Error(), "globex") {
		t.Errorf("without a confirmation: %v", err)
	}
	if n := len(w.certificates()); n != 1 {
		t.Errorf("%d certificates are stored", n)
	}
	// The source shows it before it is confirmed.
	w.seen(other, probe, at)
	accepting := person
	accepting.Accepts = true
	if s := w.seen(other, accepting, at); !s.New || !s.Seen.Adopted {
		t.Errorf("confirmed: %+v", s)
	}
	events, err := w.store.Events(t.Context(), "acme", 0, 100)
	testenv.Check(t, err)
	if !slices.ContainsFunc(events, func(e tenancy.Event) bool {
		return e.Action == "watched.seen" && e.Actor == person.By && e.Object == "acme/watched/acme-c4c"
	}) {
		t.Errorf("the audit log does not name who confirmed it: %+v", events)
	}
	expired := w.issue("2026-11-01", func(c *x509.Certificate) {
		c.Subject.CommonName, c.NotAfter = "globex", date("2026-11-02")
	})
	for _, by := range []Witness{person, accepting} {
		if _, err := w.Seen(t.Context(), w.acme, "acme-c4c", expired, by, date("2026-11-03")); !errors.Is(err,
			tenancy.ErrRefused) || !strings.Contains(err.Error(), "expired on 2 November 2026") {
			t.Errorf("an expired one, accepted %v: %v", by.Accepts, err)
		}
	}
	if newest, _ := Newest(w.certificates()); newest.Fingerprint != certfile.Fingerprint(other[0]) {
		t.Errorf("the newest one is %s", newest.Fingerprint)
	}
	w.expect("in all", warned, strange)
}

func TestASourceThatFailsForThreeDaysIsOneAlarm(t *testing.T) {
	each(t, func(w *world) {
		w.add(func(v *tenancy.Watched) {
			v.Source = tenancy.WatchSource{Kind: tenancy.WatchServer, Address: "erp.example.com:443"}
		})
		const unseen = "watch-alarm: The source of the certificate acme-c4c cannot be read"
		begin := date("2026-02-01")
		for hours := range 100 {
			now := begin.Add(time.Duration(hours) * time.Hour)
			v := w.watched()
			if !Looks(v, w.certificates()[0], now) {
				w.t.Fatalf("after %d hours, it waits until %s", hours, v.DueAt)
			}
			testenv.Check(w.t, w.Missed(w.t.Context(), w.acme, v, fmt.Errorf("refused %s", strings.Repeat("x", 600)), now))
			testenv.Check(w.t, w.Missed(w.t.Context(), w.acme, v, errors.New("another replica"), now))
			if hours < 72 {
				w.expect("before the alarm")
			} else {
				w.expect("after the alarm", unseen)
			}
		}
		v := w.watched()
		if !v.FailingSince.Equal(begin) || len(v.LookError) != longestError || !strings.HasPrefix(v.LookError, "refused") {
			w.t.Errorf("since %s: %s", v.FailingSince, v.LookError)
		}
		now := begin.Add(100 * time.Hour)
		w.seen([][]byte{w.certificates()[0].DER}, probe, now)
		if v := w.watched(); !v.FailingSince.IsZero() || v.LookError != "" || !v.LookedAt.Equal(now) ||
			Looks(v, w.certificates()[0], now.Add(22*time.Hour)) || !Looks(v, w.certificates()[0], now.Add(23*time.Hour)) {
			w.t.Errorf("after it worked again: %+v", v)
		}
		w.expect("after it worked again", unseen)
	})
}

// A URL often has a token in its query.
func TestTheSecretOfASourceIsInNoNoticeAndNotInTheAuditLog(t *testing.T) {
	w := newWorld(t, sqlite(t))
	w.add(func(v *tenancy.Watched) {
		v.Source = tenancy.WatchSource{Kind: tenancy.WatchURL, Address: "https://x.example/a.cer?token=secret"}
	})
	if _, err := w.Change(t.Context(), w.acme, w.watched(), "test", date("2026-01-21")); err != nil {
		t.Error(err)
	}
	w.tick(date("2026-10-01"))
	if r := w.report(tenancy.WatchExpected); r.Source.Address != "https://x.example/a.cer" {
		t.Errorf("the notice has the source %q", r.Source.Address)
	}
	events, err := w.store.Events(t.Context(), "acme", 0, 100)
	testenv.Check(t, err)
	for _, e := range events {
		if text := fmt.Sprintf("%+v %s", e, e.Detail); strings.Contains(text, "secret") {
			t.Errorf("the audit log has %s", text)
		}
	}
	if got := w.watched().Source.Address; !strings.Contains(got, "token=secret") {
		t.Errorf("the source is stored as %q", got)
	}
}

func TestASourceIsReadEveryHourWhileARenewalIsAwaited(t *testing.T) {
	w := newWorld(t, sqlite(t))
	chain := w.add(func(v *tenancy.Watched) {
		v.Source = tenancy.WatchSource{Kind: tenancy.WatchServer, Address: "erp.example.com:443"}
	})
	for day, hourly := range map[string]bool{"2026-06-01": false, "2026-10-15": false, "2026-11-01": true,
		"2026-12-01": true, "2026-12-26": true, "2027-01-07": true, "2027-01-08": false} {
		at := date(day)
		w.seen(chain, probe, at)
		if got := Looks(w.watched(), w.certificates()[0], at.Add(time.Hour)); got != hourly {
			t.Errorf("%s: a look after an hour: %v", day, got)
		}
	}
}

func TestOtherRulesAreAnnouncedAgain(t *testing.T) {
	w := newWorld(t, sqlite(t))
	w.add(nil)
	w.tick(date("2026-11-05"))
	w.expect("under the first rules", overdue)
	for i, file := range []string{"short-lived", "sap-c4c", "short-lived"} {
		v := w.watched()
		v.Policy, v.Owner = policyFile(t, file), "Globex"
		changed, err := w.Change(t.Context(), w.acme, v, "test", date("2026-11-06"))
		testenv.Check(t, err)
		if changed.Owner != "Globex" {
			t.Errorf("change %d: %+v", i, changed)
		}
		if _, err := w.Change(t.Context(), w.acme, v, "test", date("2026-11-06")); !errors.Is(err, tenancy.ErrStale) {
			t.Errorf("a stale change: %v", err)
		}
	}
	w.expect("under others", overdue, overdue, overdue, overdue)
}

func TestWhatCannotBeWatchedIsRefused(t *testing.T) {
	w := newWorld(t, sqlite(t))
	chain := w.add(nil)
	for name, c := range map[string]struct {
		v     tenancy.Watched
		chain [][]byte
		kind  error
		want  string
	}{
		"name":   {tenancy.Watched{Name: "X"}, chain, tenancy.ErrInvalid, "invalid name"},
		"both":   {tenancy.Watched{Name: "x", Policy: "x", Window: "93d"}, chain, tenancy.ErrInvalid, "either"},
		"window": {tenancy.Watched{Name: "x", Window: "soon"}, chain, tenancy.ErrInvalid, "window"},
		"zero":   {tenancy.Watched{Name: "x", Window: "0d"}, chain, tenancy.ErrInvalid, "not a positive"},
		"policy": {tenancy.Watched{Name: "x", Policy: "name: x"}, chain, tenancy.ErrInvalid, "policy"},
		"none":   {tenancy.Watched{Name: "x"}, nil, tenancy.ErrInvalid, "no certificate"},
		"damage": {tenancy.Watched{Name: "x"}, [][]byte{{1, 2, 3}}, tenancy.ErrInvalid, "certificate"},
		"taken":  {tenancy.Watched{Name: "acme-c4c"}, chain, tenancy.ErrConflict, "already watches"},
	} {
		if _, err := w.Add(t.Context(), w.acme, c.v, c.chain, "test", date("2026-01-20")); !errors.Is(err, c.kind) ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	v := w.watched()
	testenv.Check(t, w.Remove(t.Context(), w.acme, v, "test", date("2026-01-21")))
	if _, err := w.Seen(t.Context(), w.acme, "acme-c4c", chain, person, date("2026-01-22")); !errors.Is(err,
		tenancy.ErrNotFound) {
		t.Errorf("one that was removed: %v", err)
	}
	testenv.Check(t, w.Advance(t.Context(), w.acme, v, date("2026-11-05")))
	w.expect("after the removal")
}

// Replicas that see a new certificate together notify once.
func TestACertificateThatIsSeenTogetherIsReportedOnce(t *testing.T) {
	each(t, func(w *world) {
		w.add(nil)
		w.tick(date("2026-10-01"))
		next := w.issue("2026-11-01", nil)
		const replicas = 8
		errs := make(chan error, replicas)
		for range replicas {
			go func() {
				_, err := w.Seen(w.t.Context(), w.acme, "acme-c4c", next, Witness{By: "guard"}, date("2026-11-02"))
				errs <- err
			}()
		}
		for range replicas {
			if err := <-errs; err != nil {
				w.t.Error(err)
			}
		}
		w.expect("together", warned, renewed)
	})
}

func TestTheCertificateOfThePartnerIsChosenAmongOthers(t *testing.T) {
	w := newWorld(t, sqlite(t))
	parse := func(chain [][]byte) *x509.Certificate {
		c, err := x509.ParseCertificate(chain[0])
		testenv.Check(t, err)
		return c
	}
	old, next := parse(w.issue("2025-12-25", nil)), parse(w.issue("2026-11-01", nil))
	globex := parse(w.issue("2026-12-01", func(c *x509.Certificate) { c.Subject.CommonName = "globex" }))
	hooli := parse(w.issue("2026-12-01", func(c *x509.Certificate) { c.Subject.CommonName = "hooli" }))
	all := func(c ...*x509.Certificate) []*x509.Certificate { return c }
	for name, c := range map[string]struct {
		found []*x509.Certificate
		known []byte
		want  *x509.Certificate // nil for an error
		above int
	}{
		"the newest of the partner": {all(globex, old, next, old, w.ca.Issuing, w.ca.Root), old.Raw, next, 1},
		"a single one":              {all(w.ca.Issuing, globex), old.Raw, globex, 1},
		"the first time":            {all(old, w.ca.Issuing), nil, old, 1},
		"without its CA":            {all(old), nil, old, 0},
		"self-signed":               {all(w.ca.Root), nil, w.ca.Root, 0},
		"a CA and the one above":    {all(w.ca.Root, w.ca.Issuing), nil, w.ca.Issuing, 0},
		"self-signed among others":  {all(globex, w.ca.Root, w.ca.Issuing, hooli), w.ca.Root.Raw, w.ca.Root, 0},
		"two at the first time":     {all(old, globex), nil, nil, 0},
		"two of others":             {all(hooli, globex), old.Raw, nil, 0},
		"none":                      {nil, nil, nil, 0},
	} {
		chain, err := Choose(c.found, c.known)
		switch {
		case c.want == nil:
			if !errors.Is(err, tenancy.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || len(chain) != 1+c.above || certfile.Fingerprint(chain[0]) != certfile.Fingerprint(c.want.Raw):
			t.Errorf("%s: %d certificates, %v", name, len(chain), err)
		}
	}
}

// A statement that fails leaves nothing of the renewal, and the caller gets the error.
func TestARenewalIsRecordedAsAWholeOrNotAtAll(t *testing.T) {
	statements := storetest.EachFault(t, func(t *testing.T) (*store.Store, func() error) {
		w := newWorld(t, sqlite(t))
		w.add(nil)
		next := w.issue("2026-11-01", nil)
		before := w.watched()
		return w.store, func() error {
			_, err := w.Seen(t.Context(), w.acme, "acme-c4c", next, person, date("2026-11-02"))
			w.store.BeforeStatements(nil)
			if n := len(w.certificates()); err != nil && (n != 1 || w.watched().Version != before.Version ||
				len(w.subjects()) > 0) {
				t.Errorf("after the error, %d certificates are stored", n)
			}
			return err
		}
	})
	if statements < 10 {
		t.Errorf("only %d statements were tried", statements)
	}
}

// A server that shows another certificate at every look fills neither the tasks nor the database.
func TestACertificateThatChangesAtEveryLookIsBounded(t *testing.T) {
	w := newWorld(t, sqlite(t))
	old := w.add(nil)
	now := date("2026-02-01")
	for i := range mostSeen + 20 {
		now = now.Add(time.Hour)
		w.seen(w.issue("2026-11-01", func(c *x509.Certificate) { c.Subject.CommonName = fmt.Sprint("stranger ", i) }), probe,
			now)
	}
	if n := len(w.subjects()); n != mostAlarms {
		t.Errorf("%d tasks", n)
	}
	all := w.certificates()
	if newest, _ := Newest(all); len(all) != mostSeen || newest.Fingerprint != certfile.Fingerprint(old[0]) {
		t.Errorf("%d certificates, the newest is %s", len(all), newest.Fingerprint)
	}
}

// The notices that a forger can use up are not those of certificates that count.
func TestForgedSightingsDoNotSilenceTheAlarmAboutAConfirmedOne(t *testing.T) {
	w := newWorld(t, sqlite(t))
	w.add(nil)
	now := date("2026-02-01")
	for i := range mostAlarms + 1 {
		w.seen(w.issue("2026-11-01", func(c *x509.Certificate) { c.Subject.CommonName = fmt.Sprint("stranger ", i) }), probe,
			now)
	}
	w.expect("after the forged ones", strange, strange, strange)
	w.seen(w.issue("2026-01-30", nil), proved, now)
	w.seen(w.issue("2026-01-31", nil), person, now)
	w.expect("after the confirmed ones", strange, strange, strange, strange, strange)
}

// The newest certificate and its predecessor are needed to show what the renewal changed.
func TestStrangersDoNotEvictTheRenewalFromTheHistory(t *testing.T) {
	w := newWorld(t, sqlite(t))
	old := w.add(nil)
	next := w.issue("2026-11-01", nil)
	now := date("2026-11-02")
	w.seen(next, probe, now)
	for i := range mostSeen + 5 {
		w.seen(w.issue("2026-11-02", func(c *x509.Certificate) { c.Subject.CommonName = fmt.Sprint("stranger ", i) }), probe,
			now)
	}
	all := w.certificates()
	newest, _ := Newest(all)
	before, _ := Before(all, newest)
	if len(all) != mostSeen || newest.Fingerprint != certfile.Fingerprint(next[0]) ||
		before.Fingerprint != certfile.Fingerprint(old[0]) {
		t.Errorf("%d certificates, the newest is %s, and before it %s", len(all), newest.Fingerprint, before.Fingerprint)
	}
}

func TestAFullHistoryOfRenewalsLosesTheFirst(t *testing.T) {
	var history []tenancy.WatchedCertificate
	for i := range mostSeen {
		history = append(history, tenancy.WatchedCertificate{ID: fmt.Sprint(i), Adopted: true,
			NotBefore: date("2026-01-01").Add(time.Duration(mostSeen-i) * policy.Day)}) // seen in the reverse order
	}
	newest, _ := Newest(history)
	if id, full := evicted(history, newest); id != "2" || !full {
		t.Errorf("%s is evicted", id)
	}
	if _, full := evicted(history[1:], newest); full {
		t.Error("a history with room is full")
	}
}

func TestAHugeCertificateIsNotStored(t *testing.T) {
	w := newWorld(t, sqlite(t))
	w.add(nil)
	huge := w.issue("2026-11-01", func(c *x509.Certificate) {
		for i := range 10_000 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("n%d.example.com", i))
		}
	})
	for name, chain := range map[string][][]byte{"itself": huge, "above": {w.issue("2026-11-01", nil)[0], huge[0]}} {
		if _, err := w.Seen(t.Context(), w.acme, "acme-c4c", chain, person, date("2026-11-02")); !errors.Is(err,
			tenancy.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(w.certificates()); n != 1 {
		t.Errorf("%d certificates are stored", n)
	}
}

// Certificates of one partner that only look different to a comparison of bytes.
func TestWhatIsTheSameIsNoSurprise(t *testing.T) {
	w := newWorld(t, sqlite(t))
	for name, c := range map[string]struct{ old, next [][]byte }{
		"another case": {w.issue("2025-12-25", nil), w.issue("2026-11-01", func(c *x509.Certificate) {
			c.Subject.CommonName = "ACME"
		})},
		"a self-signed one": {[][]byte{selfSigned(t, "2025-12-25").Raw}, [][]byte{selfSigned(t, "2026-11-01").Raw}},
	} {
		watched := strings.ReplaceAll(name, " ", "-")
		_, err := w.Add(t.Context(), w.acme, tenancy.Watched{Name: watched}, c.old, "test", date("2026-01-20"))
		testenv.Check(t, err)
		s, err := w.Seen(t.Context(), w.acme, watched, c.next, person, date("2026-11-02"))
		if err != nil || len(s.Seen.Surprises) > 0 || !s.Seen.Adopted {
			t.Errorf("%s: %v, adopted %v, %v", name, s.Seen.Surprises, s.Seen.Adopted, err)
		}
	}
}

// selfSigned returns a certificate of a year that is its own CA, as OpenSSL makes it.
func selfSigned(t *testing.T, from string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "acme"},
		NotBefore: date(from), NotAfter: date(from).Add(365 * policy.Day), IsCA: true, BasicConstraintsValid: true}
	template.AuthorityKeyId = []byte(from)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	testenv.Check(t, err)
	c, err := x509.ParseCertificate(der)
	testenv.Check(t, err)
	return c
}

// Key users choose the policies, and lists compute an expectation for each line.
func TestNoPolicyMakesAnExpectationExpensive(t *testing.T) {
	const file = "name: x\nschedule: {every: day}\nrenew_within: 1d\nwarn_from: 1d\nwarn_to: 3000d\nvalidity: 3650d\n"
	v := tenancy.Watched{Name: "x", Policy: file}
	testenv.Check(t, check(v))
	c := tenancy.WatchedCertificate{NotBefore: date("2026-01-01"), NotAfter: date("2126-01-01")}
	e, err := Expect(v, c)
	if err != nil || !e.RenewsAt.IsZero() || !e.From.Equal(date("2125-12-31")) {
		t.Errorf("%+v, %v", e, err)
	}
	if allocated := testing.AllocsPerRun(1, func() { Expect(v, c) }); allocated > 1000 {
		t.Errorf("%v allocations", allocated)
	}
}
