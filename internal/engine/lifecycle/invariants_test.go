package lifecycle

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// A history is one installation over two renewals, in a drawn order: ticks early and late, outages of the service and
// of the CA, a clock that jumps, users who come, go, subscribe and press Renew. The notes that the invariants need are
// kept on the way.
type history struct {
	*fixture
	now        time.Time
	tenant     tenancy.Tenant
	steps      []string
	subscribed map[string]bool
	inScope    bool
	renewedBy  map[string]bool // certificate IDs that a user replaced
	late       bool            // the service or the CA was down: warnings may have been missed
	// mailed holds the key users who must get a mail about each notice. It is filled when the notice is first seen.
	mailed map[string]map[string]bool
}

// A kind of history limits what is drawn.
type kind struct {
	presets []string
	steps   []string
}

// quiet steps keep the service and the CA up.
var quiet = []string{"hours", "hours", "hours", "days", "days", "clock back", "subscribe", "unsubscribe", "scope",
	"renew", "revoke"}

var (
	// anything may happen.
	anything = kind{[]string{"perennial", "sap-c4c-92", "short-lived"}, append(quiet[:len(quiet):len(quiet)], "outage",
		"CA down", "CA up")}
	// undisturbed histories have policies without surprises, and nothing that could cause one.
	undisturbed = kind{[]string{"perennial", "short-lived"}, quiet}
)

func newHistory(t *testing.T, r *rapid.T, dir string, k kind) *history {
	start := date("2026-01-01").Add(time.Duration(rapid.IntRange(0, 364*24).Draw(r, "hour of installation")) * time.Hour)
	preset := rapid.SampledFrom(k.presets).Draw(r, "policy")
	h := &history{fixture: setUp(t, "sqlite:"+filepath.Join(dir, "p.db"), preset, start), now: start, steps: k.steps,
		mailed: map[string]map[string]bool{}, renewedBy: map[string]bool{}, inScope: true}
	h.tenant = h.fixture.tenant("acme", start)
	h.subscribed = map[string]bool{"alice": true}
	check(t, h.Tick(t.Context(), start))
	return h
}

// step performs one drawn step.
func (h *history) step(r *rapid.T) {
	ctx := h.t.Context()
	switch rapid.SampledFrom(h.steps).Draw(r, "step") {
	case "hours":
		h.pass(time.Duration(rapid.IntRange(1, 72).Draw(r, "hours")) * time.Hour)
	case "days":
		h.pass(time.Duration(rapid.IntRange(1, 20).Draw(r, "days")) * policy.Day)
	case "outage":
		h.late = true
		h.now = h.now.Add(time.Duration(rapid.IntRange(1, 100).Draw(r, "days down")) * policy.Day)
		h.tick()
	case "clock back":
		back := time.Duration(rapid.IntRange(1, 48).Draw(r, "hours back")) * time.Hour
		if err := h.Tick(ctx, h.now.Add(-back)); err != nil && !h.fixture.down["acme"] {
			h.t.Fatal(err)
		}
	case "CA down":
		h.fixture.down["acme"] = true
	case "CA up":
		h.fixture.down["acme"] = false
		h.tick()
	case "subscribe", "unsubscribe":
		name := rapid.SampledFrom([]string{"alice", "bob", "carol"}).Draw(r, "user")
		u, err := h.store.KeyUser(ctx, h.tenant.ID, name)
		check(h.t, err)
		u.SubscribedAt = time.Time{}
		if rapid.Bool().Draw(r, "on") {
			u.SubscribedAt = h.now
		}
		check(h.t, h.store.InTx(ctx, func(tx *store.Tx) error { return tx.UpdateKeyUser(ctx, u) }))
		h.subscribed[name] = !u.SubscribedAt.IsZero()
	case "scope":
		projects, err := h.store.ScopingProjects(ctx, h.tenant.ID)
		check(h.t, err)
		h.inScope = rapid.Bool().Draw(r, "yes")
		check(h.t, h.store.InTx(ctx, func(tx *store.Tx) error {
			return tx.AnswerQuestion(ctx, projects[0].ID, projects[0].Version,
				tenancy.Answer{Question: tenancy.MailForTasks, Yes: h.inScope, By: "test", At: h.now})
		}))
	case "renew":
		if h.fixture.down["acme"] {
			return
		}
		old := h.newest(h.tenant, tenancy.ForTenant)
		reason := rapid.SampledFrom([]string{"", Lost, Compromised, Reissue}).Draw(r, "reason")
		_, err := h.RenewByHand(ctx, "acme", tenancy.ForTenant, reason, "test", h.now)
		if err != nil && !(reason == "" && errors.Is(err, tenancy.ErrRefused)) {
			h.t.Fatal(err)
		}
		if err == nil {
			h.renewedBy[old.ID] = true
		}
	case "revoke":
		if h.fixture.down["acme"] {
			return
		}
		newest := h.newest(h.tenant, tenancy.ForTenant)
		generation := rapid.IntRange(max(1, newest.Generation-2), newest.Generation).Draw(r, "generation")
		_, err := h.RevokeGeneration(ctx, "acme", tenancy.ForTenant, generation, Lost, "test", h.now)
		if err != nil && !errors.Is(err, tenancy.ErrRefused) {
			h.t.Fatal(err)
		}
		if err == nil && generation == newest.Generation {
			h.renewedBy[newest.ID] = true
		}
	}
}

// pass lets time pass. The service ticks every six hours, or, over more than three days, at every run date and once a
// day.
func (h *history) pass(d time.Duration) {
	every := 6 * time.Hour
	if d > 3*policy.Day {
		every = policy.Day
	}
	for end := h.now.Add(d); h.now.Before(end); {
		next := h.now.Add(every)
		if run := h.policy.Schedule.Next(h.now); run.Before(next) {
			next = run
		}
		h.now = next
		h.tick()
		h.note()
	}
}

func (h *history) tick() {
	if err := h.Tick(h.t.Context(), h.now); err != nil && !h.fixture.down["acme"] {
		h.t.Fatal(err)
	}
	if h.fixture.down["acme"] {
		h.late = true
	}
}

// note records who must get a mail about new notices.
func (h *history) note() {
	notices, err := h.store.Notices(h.t.Context(), h.tenant.ID, "", 10000)
	check(h.t, err)
	for _, n := range notices {
		if _, seen := h.mailed[n.ID]; seen {
			continue
		}
		who := map[string]bool{}
		for _, user := range []string{"alice", "bob", "carol"} {
			who[user] = h.inScope && h.subscribed[user]
		}
		h.mailed[n.ID] = who
	}
}

// everything reads the rows that the invariants are about.
func (h *history) everything() (certs []tenancy.Certificate, notices []tenancy.Notice, tasks []tenancy.Task,
	mails []tenancy.Mail) {
	ctx := h.t.Context()
	certs, err1 := h.store.Certificates(ctx, h.tenant.ID, "", 1000)
	notices, err2 := h.store.Notices(ctx, h.tenant.ID, "", 10000)
	tasks, _, err3 := h.store.Tasks(ctx, store.TaskChoice{TenantID: h.tenant.ID}, store.Page{Limit: 10000})
	mails, err4 := h.store.Mails(ctx, h.tenant.ID, "", "", 10000)
	check(h.t, errors.Join(err1, err2, err3, err4))
	return certs, notices, tasks, mails
}

// histories draws histories of a kind and hands each to the invariant, which returns how many things it checked. It
// fails if these are fewer than floor for each history: an invariant that finds nothing to check proves nothing.
func histories(t *testing.T, k kind, floor int, invariant func(r *rapid.T, h *history) (checked int)) {
	t.Helper()
	t.Parallel()
	n, checked := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		dir, err := os.MkdirTemp(t.TempDir(), fmt.Sprint(n))
		check(t, err)
		h := newHistory(t, r, dir, k)
		defer h.store.Close()
		end := h.now.Add(2 * h.policy.Validity)
		for range rapid.IntRange(5, 25).Draw(r, "steps") {
			h.step(r)
			h.note()
		}
		h.fixture.down["acme"] = false
		h.tick()
		h.note()
		if left := end.Sub(h.now); left > 0 { // two renewals come, whatever happened before
			h.pass(left/2 + 32*policy.Day)
			h.step(r)
			h.fixture.down["acme"] = false
			h.tick()
			h.note()
			h.pass(left/2 + 32*policy.Day)
		}
		checked += invariant(r, h)
	})
	t.Logf("%d checked in %d histories", checked, n)
	if checked < floor*n {
		t.Errorf("%d checked in %d histories: at least %d are expected", checked, n, floor*n)
	}
}

func TestInvariantNoSurprise(t *testing.T) {
	// The M-user certificate is renewed by runs alone: twice in every history.
	histories(t, undisturbed, 2, func(r *rapid.T, h *history) (checked int) {
		certs, notices, _, _ := h.everything()
		for _, c := range certs {
			if c.SuccessorID == "" || h.renewedBy[c.ID] {
				continue
			}
			var warned, renewed time.Time
			for _, n := range notices {
				if n.CertificateID == c.ID && n.Kind == tenancy.Expiring && (warned.IsZero() || n.RunDate.Before(warned)) {
					warned = n.RunDate
				}
				if n.CertificateID == c.ID && isRenewal(n) {
					renewed = n.RunDate
				}
			}
			notice := 28 * policy.Day
			if h.policy.Name == "short-lived" {
				notice = 6 * policy.Day // of 47 days
			}
			if warned.IsZero() || renewed.Sub(warned) < notice {
				r.Fatalf("generation %d of %s was renewed at %s and warned about at %s", c.Generation, c.Purpose, renewed, warned)
			}
			checked++
		}
		return checked
	})
}

func TestInvariantNeverExpired(t *testing.T) {
	// Each of the two certificates was renewed at least once.
	histories(t, anything, 2, func(r *rapid.T, h *history) (renewed int) {
		for _, p := range []tenancy.Purpose{tenancy.ForTenant, tenancy.ForMUser} {
			c := h.newest(h.tenant, p)
			if c.NotAfter.Before(h.now) || c.State != tenancy.Active {
				r.Fatalf("at %s the newest generation is %+v", h.now, c)
			}
			if c.Generation > 1 {
				renewed++
			}
		}
		return renewed
	})
}

func TestInvariantOnce(t *testing.T) {
	histories(t, anything, 3, func(r *rapid.T, h *history) (replacements int) {
		certs, notices, _, _ := h.everything()
		generation := map[tenancy.Purpose]int{}
		byID := map[string]tenancy.Certificate{}
		for _, c := range certs {
			generation[c.Purpose]++
			if c.Generation != generation[c.Purpose] {
				r.Fatalf("generation %d of %s is number %d", c.Generation, c.Purpose, generation[c.Purpose])
			}
			byID[c.ID] = c
		}
		renewals := map[string]int{}
		runs := map[string]bool{}
		for _, n := range notices {
			if isRenewal(n) {
				renewals[n.CertificateID]++
			}
			if key := n.CertificateID + n.RunDate.String(); !n.RunDate.IsZero() && runs[key] {
				r.Fatalf("two notices of one run about one certificate: %+v", n)
			} else {
				runs[key] = true
			}
		}
		for _, c := range certs {
			next, replaced := byID[c.SuccessorID]
			if replaced != (c.State != tenancy.Active) || replaced && next.Generation != c.Generation+1 ||
				renewals[c.ID] != number(replaced) {
				r.Fatalf("%+v has the successor %+v and %d renewals", c, next, renewals[c.ID])
			}
			replacements += number(replaced)
		}
		return replacements
	})
}

// isRenewal reports whether a notice is about the renewal of its certificate, and not about its revocation later.
func isRenewal(n tenancy.Notice) bool { return n.Kind == tenancy.Renewed && n.DedupKey != keyRevoked }

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func TestInvariantEverybodyOnce(t *testing.T) {
	// Two renewals of the tenant certificate make at least two tasks for each of the three key users.
	histories(t, anything, 6, func(r *rapid.T, h *history) int {
		certs, notices, tasks, mails := h.everything()
		purpose := map[string]tenancy.Purpose{}
		for _, c := range certs {
			purpose[c.ID] = c.Purpose
		}
		count := map[string]int{}
		for _, task := range tasks {
			count[task.NoticeID+" "+task.KeyUser]++
		}
		ids := map[string]bool{}
		for _, m := range mails {
			if ids[m.MessageID] {
				r.Fatalf("two mails with the Message-ID %s", m.MessageID)
			}
			ids[m.MessageID] = true
			count[m.NoticeID+" mail "+m.Name]++
			if count[m.NoticeID+" mail "+m.Name] > 1 || h.mails.queued[m.ID] != 1 {
				r.Fatalf("a mail too many: %+v, queued %d times", m, h.mails.queued[m.ID])
			}
		}
		for _, n := range notices {
			for _, user := range []string{"alice", "bob", "carol"} {
				forTenant := purpose[n.CertificateID] == tenancy.ForTenant
				if got := count[n.ID+" "+user]; got != number(forTenant) {
					r.Fatalf("%s has %d tasks for %+v", user, got, n)
				}
				if got := count[n.ID+" mail "+user]; got != number(forTenant && h.mailed[n.ID][user]) {
					r.Fatalf("%s got %d mails about %+v", user, got, n)
				}
			}
		}
		return len(tasks)
	})
}

func TestInvariantTraceable(t *testing.T) {
	histories(t, anything, 5, func(r *rapid.T, h *history) int {
		if _, err := h.store.VerifyEvents(h.t.Context()); err != nil {
			r.Fatal(err)
		}
		events, err := h.store.Events(h.t.Context(), "acme", 0, 100000)
		check(h.t, err)
		count := map[string]int{}
		for _, e := range events {
			count[e.Action]++
		}
		certs, notices, _, _ := h.everything()
		warnings := 0
		for _, n := range notices {
			if n.Kind == tenancy.Expiring {
				warnings++
			}
		}
		if count["certificate.issued"]+count["certificate.renewed"] != len(certs) || count["certificate.warned"] != warnings {
			r.Fatalf("%d certificates and %d warnings, but the events are %v", len(certs), warnings, count)
		}
		return len(events)
	})
}

// No private key can be found in the database's files, in any readable form.
func TestInvariantSealed(t *testing.T) {
	dir := t.TempDir()
	f := setUp(t, "sqlite:"+filepath.Join(dir, "p.db"), "perennial", date("2026-01-15"))
	acme := f.tenant("acme", date("2026-01-15"))
	_, err := f.Run(t.Context(), date("2026-12-01"), date("2026-12-01"))
	check(t, err)
	certs, err := f.store.Certificates(t.Context(), acme.ID, "", 10)
	check(t, err)
	files, err := filepath.Glob(filepath.Join(dir, "p.db*"))
	check(t, err)
	var all []byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		check(t, err)
		all = append(all, data...)
	}
	if !bytes.Contains(all, certs[0].DER) || strings.Contains(string(all), "PRIVATE KEY") {
		t.Fatal("the certificate itself is not in the files, or a PEM key is")
	}
	readable := 0
	for _, c := range certs {
		key, err := f.PrivateKey(t.Context(), c)
		if c.State == tenancy.Retired {
			if !errors.Is(err, tenancy.ErrNotFound) {
				t.Errorf("the key of the retired generation %d of %s is there: %v", c.Generation, c.Purpose, err)
			}
			continue
		}
		check(t, err)
		readable++
		d, err := key.(*ecdsa.PrivateKey).Bytes()
		check(t, err)
		if bytes.Contains(all, d) || bytes.Contains(all, []byte(fmt.Sprintf("%x", d))) {
			t.Errorf("the private key of %s can be read in the database", certfile.Fingerprint(c.DER))
		}
	}
	if readable < 2 {
		t.Errorf("only %d keys were looked for", readable)
	}
}
