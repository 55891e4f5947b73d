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

// A history is what happened to one installation in a drawn order: ticks early and late, outages of the service and of
// the CA, a clock that jumps, people who come, go, subscribe and press Renew. What the invariants need is noted on the
// way.
type history struct {
	*fixture
	now        time.Time
	tenant     tenancy.Tenant
	subscribed map[string]bool
	inScope    bool
	renewedBy  map[string]bool // certificate IDs that a person replaced
	down       bool            // at some point: warnings may have been missed
	// mailed says, for every notice to the tenant's key users, who must get a mail: noted when the notice is first seen.
	mailed map[string]map[string]bool
}

func newHistory(t *testing.T, r *rapid.T, dir string) *history {
	start := date("2026-01-01").Add(time.Duration(rapid.IntRange(0, 364*24).Draw(r, "hour of installation")) * time.Hour)
	preset := rapid.SampledFrom([]string{"perennial", "sap-c4c-92", "short-lived"}).Draw(r, "policy")
	h := &history{fixture: setUp(t, "sqlite:"+filepath.Join(dir, "p.db"), preset, start), now: start,
		mailed: map[string]map[string]bool{}, renewedBy: map[string]bool{}, inScope: true}
	h.tenant = h.fixture.tenant("acme", start)
	h.subscribed = map[string]bool{"alice": true}
	check(t, h.Tick(t.Context(), start))
	return h
}

// step does one drawn thing.
func (h *history) step(r *rapid.T) {
	ctx := h.t.Context()
	switch rapid.SampledFrom([]string{"hours", "hours", "hours", "days", "days", "outage", "clock back", "CA down",
		"CA up", "subscribe", "unsubscribe", "scope", "renew"}).Draw(r, "step") {
	case "hours":
		h.pass(time.Duration(rapid.IntRange(1, 72).Draw(r, "hours")) * time.Hour)
	case "days":
		h.pass(time.Duration(rapid.IntRange(1, 20).Draw(r, "days")) * policy.Day)
	case "outage":
		h.down = true
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
	}
}

// pass lets time pass, with a tick every six hours as the service would do.
func (h *history) pass(d time.Duration) {
	for end := h.now.Add(d); h.now.Before(end); {
		h.now = h.now.Add(6 * time.Hour)
		h.tick()
	}
}

func (h *history) tick() {
	if err := h.Tick(h.t.Context(), h.now); err != nil && !h.fixture.down["acme"] {
		h.t.Fatal(err)
	}
	if h.fixture.down["acme"] {
		h.down = true
	}
}

// note remembers who must be mailed about notices that are new.
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

// everything reads what the invariants speak of.
func (h *history) everything() (certs []tenancy.Certificate, notices []tenancy.Notice, tasks []tenancy.Task,
	mails []tenancy.Mail) {
	ctx := h.t.Context()
	certs, err1 := h.store.Certificates(ctx, h.tenant.ID, "", 1000)
	notices, err2 := h.store.Notices(ctx, h.tenant.ID, "", 10000)
	tasks, err3 := h.store.Tasks(ctx, h.tenant.ID, "", "", "", 10000)
	mails, err4 := h.store.Mails(ctx, h.tenant.ID, "", "", 10000)
	check(h.t, errors.Join(err1, err2, err3, err4))
	return certs, notices, tasks, mails
}

// histories draws histories and hands each to the invariant.
func histories(t *testing.T, invariant func(r *rapid.T, h *history)) {
	t.Helper()
	t.Parallel()
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		dir, err := os.MkdirTemp(t.TempDir(), fmt.Sprint(n))
		check(t, err)
		h := newHistory(t, r, dir)
		defer h.store.Close()
		for range rapid.IntRange(5, 25).Draw(r, "steps") {
			h.step(r)
			h.note()
		}
		h.fixture.down["acme"] = false
		h.tick()
		h.note()
		invariant(r, h)
	})
}

func TestInvariantNoSurprise(t *testing.T) {
	histories(t, func(r *rapid.T, h *history) {
		if h.down || h.policy.Name == "sap-c4c-92" { // that one is known for surprises
			return
		}
		certs, notices, _, _ := h.everything()
		notice := 28 * policy.Day
		if h.policy.Name == "short-lived" {
			notice = 6 * policy.Day // of 47 days
		}
		for _, c := range certs {
			if c.SuccessorID == "" || h.renewedBy[c.ID] {
				continue
			}
			var warned, renewed time.Time
			for _, n := range notices {
				if n.CertificateID == c.ID && n.Kind == tenancy.Expiring && (warned.IsZero() || n.RunDate.Before(warned)) {
					warned = n.RunDate
				}
				if n.CertificateID == c.ID && n.Kind == tenancy.Renewed {
					renewed = n.RunDate
				}
			}
			if warned.IsZero() || renewed.Sub(warned) < notice {
				r.Fatalf("generation %d of %s was renewed at %s and warned about at %s", c.Generation, c.Purpose, renewed, warned)
			}
		}
	})
}

func TestInvariantNeverExpired(t *testing.T) {
	histories(t, func(r *rapid.T, h *history) {
		for _, p := range []tenancy.Purpose{tenancy.ForTenant, tenancy.ForMUser} {
			if c := h.newest(h.tenant, p); c.NotAfter.Before(h.now) || c.State != tenancy.Active {
				r.Fatalf("at %s the newest generation is %+v", h.now, c)
			}
		}
	})
}

func TestInvariantOnce(t *testing.T) {
	histories(t, func(r *rapid.T, h *history) {
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
			if n.Kind == tenancy.Renewed {
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
		}
	})
}

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func TestInvariantEverybodyOnce(t *testing.T) {
	histories(t, func(r *rapid.T, h *history) {
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
	})
}

func TestInvariantTraceable(t *testing.T) {
	histories(t, func(r *rapid.T, h *history) {
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
	})
}

// Sealed: not one private key can be found in the database's files, in any form that would be readable.
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
	for _, c := range certs {
		key, err := f.PrivateKey(t.Context(), c)
		check(t, err)
		d, err := key.(*ecdsa.PrivateKey).Bytes()
		check(t, err)
		if bytes.Contains(all, d) || bytes.Contains(all, []byte(fmt.Sprintf("%x", d))) {
			t.Errorf("the private key of %s can be read in the database", certfile.Fingerprint(c.DER))
		}
	}
}
