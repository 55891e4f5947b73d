package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// before opens a database with the schema as of a version, and writes rows into it.
func before(t *testing.T, url string, version int64, rows ...string) {
	t.Helper()
	s, err := connect(t.Context(), url)
	must(t, err)
	defer s.Close()
	p, err := s.migrator()
	must(t, err)
	_, err = p.UpTo(t.Context(), version)
	must(t, err)
	for _, row := range rows {
		if _, err := s.writer.ExecContext(t.Context(), row); err != nil {
			t.Fatalf("%s: %v", row, err)
		}
	}
}

func TestClaimsAreKeptWhenTheyMoveOutOfTheSettings(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		at := time.Date(2026, 10, 31, 12, 30, 15, 0, time.UTC)
		setting := func(name, value string) string {
			return fmt.Sprintf("INSERT INTO settings (name, value) VALUES ('%s', '%s')", name, value)
		}
		text := at.Format(time.RFC3339)
		before(t, url, 7, setting("first_token", text), setting("signs/ca-1", text), setting("reminded/cert-1/30", text),
			setting("authority-asked/ca-2/2026-10-31", text), setting("announced/ca-2", "tenant-9"),
			setting("announced/ca-1", "~"), setting("key_check", "sealed"), setting("installed_at", text))
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		must(t, s.InTx(t.Context(), func(tx *Tx) error {
			for kind, subject := range map[ClaimKind]string{ClaimFirstToken: "", ClaimSigns: "ca-1",
				ClaimReminder: "cert-1/30", ClaimTrustQuestions: "ca-2/2026-10-31"} {
				if first, err := tx.Claim(t.Context(), kind, subject, now); err != nil || first {
					t.Errorf("%s of %q: first %v, %v", kind, subject, first, err)
				}
				if first, err := tx.Claim(t.Context(), kind, subject+"-other", now); err != nil || !first {
					t.Errorf("%s of another subject: first %v, %v", kind, first, err)
				}
			}
			for id, want := range map[string]string{"ca-1": AnnouncedToAll, "ca-2": "tenant-9", "ca-3": ""} {
				if got, err := tx.Announcement(t.Context(), id); err != nil || got != want {
					t.Errorf("announcement of %s: %q, %v", id, got, err)
				}
			}
			return nil
		}))
		// The instant of a claim moves with it.
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error { return tx.PruneClaims(ctx, ClaimReminder, at) }))
		if kept, err := s.Claimed(t.Context(), ClaimReminder, "cert-1/30"); err != nil || !kept {
			t.Errorf("a claim that is not older than %s is gone, %v", at, err)
		}
		must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
			return tx.PruneClaims(ctx, ClaimReminder, at.Add(time.Microsecond))
		}))
		if kept, err := s.Claimed(t.Context(), ClaimReminder, "cert-1/30"); err != nil || kept {
			t.Errorf("a claim from before is kept, %v", err)
		}
		if kept, err := s.Claimed(t.Context(), ClaimSigns, "ca-1"); err != nil || !kept {
			t.Errorf("a claim of another kind is gone, %v", err)
		}
		for name, want := range map[string]string{"key_check": "sealed", "installed_at": text} {
			if got, err := s.Setting(t.Context(), name); err != nil || got != want {
				t.Errorf("setting %s: %q, %v", name, got, err)
			}
		}
	})
}

func TestNoticesAreKeptWhenTheirUniquenessGetsAKey(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		notice := func(id, certificate string, runDate int64) string {
			return fmt.Sprintf("INSERT INTO notices (id, tenant_id, certificate_id, successor_id, kind, subject, run_date, "+
				"due_at, reason, created_at) VALUES ('%s', 't', '%s', '', 'expiring', 's', %d, 7, 'lost', %d)", id, certificate,
				runDate, now.UnixMicro())
		}
		before(t, url, 7, notice("n1", "c1", now.UnixMicro()), notice("n2", "c1", -now.UnixMicro()),
			notice("n3", "c2", now.UnixMicro()))
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		got, err := s.NoticesByID(t.Context(), []string{"n1", "n2", "n3"})
		must(t, err)
		if len(got) != 3 {
			t.Fatalf("%d notices are left", len(got))
		}
		for id, want := range map[string]time.Time{"n1": now, "n2": {}, "n3": now} {
			n := got[id]
			if !n.RunDate.Equal(want) || n.Reason != "lost" || !n.CreatedAt.Equal(now) || n.DueAt.UnixMicro() != 7 ||
				n.Kind != tenancy.Expiring || n.Subject != "s" || n.TenantID != "t" {
				t.Errorf("%s: %+v", id, n)
			}
		}
		add := func(certificate, key string) error {
			return write(t, s, func(ctx context.Context, tx *Tx) error {
				return tx.AddNotices(ctx, []tenancy.Notice{{ID: certificate + key, TenantID: "t", CertificateID: certificate,
					Kind: tenancy.Expiring, RunDate: now, CreatedAt: now, DedupKey: key}})
			})
		}
		run := fmt.Sprintf("run/%d", now.UnixMicro())
		wants(t, add("c1", run), tenancy.ErrConflict) // the run of the previous release has warned
		must(t, add("c1", "renewed"))
		must(t, add("c1", "unready/30")) // two notices without a run do not conflict
		wants(t, add("c1", "renewed"), tenancy.ErrConflict)
		if err := add("c3", ""); err == nil || errors.Is(err, tenancy.ErrConflict) {
			t.Errorf("a notice without a key: %v", err)
		}
		// A replica of the previous release writes until it is replaced.
		for i := range 2 {
			_, err := s.writer.ExecContext(t.Context(), notice(fmt.Sprint("old-", i), "c9", -1-int64(i)))
			must(t, err)
		}
		if n, err := s.NoticesByID(t.Context(), []string{"old-0"}); err != nil || !n["old-0"].RunDate.IsZero() {
			t.Errorf("%+v, %v", n, err)
		}
	})
}

// During a rolling upgrade a replica of the release before the table of claims works beside this one.
func TestReplicasOfTwoReleasesDoTheSameWorkOnce(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		old := func(query string) (changed bool) {
			t.Helper()
			r, err := s.writer.ExecContext(t.Context(), query)
			if err != nil { // it takes a conflict as work that is done
				return false
			}
			n, err := r.RowsAffected()
			must(t, err)
			return n == 1
		}
		claim := func(kind ClaimKind, subject string) (first bool) {
			t.Helper()
			must(t, write(t, s, func(ctx context.Context, tx *Tx) (err error) {
				first, err = tx.Claim(ctx, kind, subject, now)
				return err
			}))
			return first
		}
		for kind, name := range map[ClaimKind]string{ClaimFirstToken: "first_token", ClaimSigns: "signs/ca-1",
			ClaimReminder: "reminded/c1/30", ClaimTrustQuestions: "authority-asked/ca-1/2026-11-01"} {
			subject := strings.TrimPrefix(name, inSettings[kind])
			oldClaims := func(name string) bool {
				return old("INSERT INTO settings (name, value) VALUES ('" + name + "', '2026-11-01T00:00:00Z') " +
					"ON CONFLICT (name) DO NOTHING")
			}
			if !claim(kind, subject) || oldClaims(name) {
				t.Errorf("%s: the other release claims it too", name)
			}
			if !oldClaims(name+"x") || claim(kind, subject+"x") {
				t.Errorf("%s: this release claims what the other one has claimed", name)
			}
		}

		progress := func(want string) {
			t.Helper()
			must(t, write(t, s, func(ctx context.Context, tx *Tx) error {
				if got, err := tx.Announcement(ctx, "ca-1"); err != nil || got != want {
					t.Errorf("the announcement has got to %q, %v; want %q", got, err, want)
				}
				return nil
			}))
		}
		advance := func(from, to string) (ok bool) {
			t.Helper()
			must(t, write(t, s, func(ctx context.Context, tx *Tx) (err error) {
				ok, err = tx.AdvanceAnnouncement(ctx, "ca-1", from, to)
				return err
			}))
			return ok
		}
		progress("")
		oldAdvances := func(from, to string) bool {
			return old(fmt.Sprintf("UPDATE settings SET value = '%s' WHERE name = 'announced/ca-1' AND value = '%s'", to, from))
		}
		if !advance("", "tenant-1") || oldAdvances("", "tenant-1") {
			t.Error("both releases notify the first page")
		}
		if !oldAdvances("tenant-1", "tenant-2") || advance("tenant-1", "tenant-2") {
			t.Error("both releases notify the second page")
		}
		progress("tenant-2")

		notice := func(id string, runDate int64, key string) string {
			return fmt.Sprintf("INSERT INTO notices (id, tenant_id, certificate_id, successor_id, kind, subject, run_date, "+
				"due_at, reason, created_at, dedup_key) VALUES ('%s', 't', 'c1', '', 'expiring', 's', %d, 7, '', 7, '%s')", id,
				runDate, key)
		}
		run := fmt.Sprintf("run/%d", now.UnixMicro())
		if !old(notice("new", now.UnixMicro(), run)) || old(notice("old", now.UnixMicro(), "")) {
			t.Error("a run warns twice, in replicas of two releases")
		}
	})
}

func TestEveryMigrationCanBeRevertedAndAppliedAgain(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		s, err := Open(t.Context(), url)
		must(t, err)
		defer s.Close()
		acme(t, s, "acme", now)
		p, err := s.migrator()
		must(t, err)
		reverted, err := p.DownTo(t.Context(), 7)
		must(t, err)
		applied, err := p.Up(t.Context())
		must(t, err)
		if len(applied) != len(reverted) || len(applied) < 20 {
			t.Errorf("%d migrations were reverted, and %d were applied again", len(reverted), len(applied))
		}
		if _, err := s.Tenant(t.Context(), "acme"); err != nil {
			t.Error(err)
		}
	})
}
