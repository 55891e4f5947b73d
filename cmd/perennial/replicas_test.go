package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// replica starts a service that stops with the test.
func replica(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("perennial", append([]string{"serve", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0",
		"--job-lease", "4s", "--log-level", "error"}, args...)...)
	cmd.Stderr = os.Stderr
	check(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// settled waits until every run has finished and every mail has been sent.
func settled(t *testing.T, s *store.Store) {
	t.Helper()
	testenv.Eventually(t, func() bool {
		// In this order, because a run that starts between two queries must not look like one that has finished.
		runs, err := s.Runs(t.Context(), time.Time{}, 1)
		if err != nil {
			return false
		}
		unfinished, err1 := s.UnfinishedRuns(t.Context())
		counts, err2 := s.CountMails(t.Context())
		return err1 == nil && err2 == nil && len(runs) > 0 && len(unfinished) == 0 && len(counts) == 0
	})
}

// command runs a command in this process and returns its output.
func command(args ...string) (code int, out string) {
	var b bytes.Buffer
	code = run(args, env{in: strings.NewReader(""), out: &b, err: &b, now: time.Now})
	return code, b.String()
}

func TestEverythingMovesFromSQLiteToPostgreSQL(t *testing.T) {
	t.Parallel()
	mails, smtpURL := startSink(t)
	dir := t.TempDir()
	lite, key := "sqlite:"+filepath.Join(dir, "p.db"), filepath.Join(dir, "key")
	addDue(t, lite, 0, 15)
	first := replica(t, "--database", lite, "--key-file", key, "--smtp", smtpURL)
	s, err := store.Open(t.Context(), lite)
	check(t, err)
	settled(t, s)
	postgres := testenv.Postgres(t)
	if code, out := command("migrate", "--from", lite, "--to", postgres); code == 0 ||
		!strings.Contains(out, "another perennial") {
		t.Errorf("while the service runs: %d, %s", code, out)
	}
	check(t, first.Process.Kill())
	first.Wait()
	check(t, s.Close())
	addDue(t, lite, 15, 10) // and these are due when the service continues

	code, out := command("migrate", "--from", lite, "--to", postgres)
	if code != 0 || !strings.Contains(out, "tenants                    25 rows  SHA-256 ") ||
		!strings.Contains(out, "each table with its count and hash verified") {
		t.Fatalf("%d\n%s", code, out)
	}
	if code, again := command("migrate", "--from", lite, "--to", postgres); code == 0 ||
		!strings.Contains(again, "not empty") {
		t.Errorf("a second time: %d, %s", code, again)
	}
	if code, back := command("migrate", "--from", postgres, "--to", lite); code == 0 ||
		!strings.Contains(back, "from SQLite to PostgreSQL") {
		t.Errorf("backwards: %d, %s", code, back)
	}
	replica(t, "--database", postgres, "--key-file", key, "--smtp", smtpURL)
	p, err := store.Open(t.Context(), postgres)
	check(t, err)
	defer p.Close()
	settled(t, p)
	verify(t, p, mails, 25)
}

func pgbouncer(t *testing.T, mode, target string) string {
	t.Helper()
	dir := t.TempDir()
	host, name, _ := strings.Cut(strings.TrimPrefix(target, "postgres://postgres@"), "/")
	address, port, _ := strings.Cut(host, ":")
	listen := testenv.Port(t)
	config := filepath.Join(dir, "pgbouncer.ini")
	check(t, os.WriteFile(config, fmt.Appendf(nil, "[databases]\n%s = host=%s port=%s "+
		"user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nauth_type = any\nunix_socket_dir "+
		"=\npool_mode = %s\nlogfile = %s\n",
		name, address, port, listen, mode, filepath.Join(dir, "log")), 0o644))
	check(t, os.Chmod(dir, 0o777))
	check(t, os.Chmod(filepath.Dir(dir), 0o777))
	args := []string{"-q", config}
	if os.Getuid() == 0 {
		args = []string{"-q", "-u", "postgres", config}
	}
	cmd := exec.Command("/usr/sbin/pgbouncer", args...)
	testenv.Start(t, cmd)
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s", listen, name)
}

func TestAPoolerWorksInSessionModeAndIsRefusedInTransactionMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transaction", "session"} {
		target := testenv.Postgres(t)
		url := pgbouncer(t, mode, target)
		var s *store.Store
		var err error
		testenv.Eventually(t, func() bool {
			s, err = store.Open(t.Context(), url)
			return err == nil || !strings.Contains(err.Error(), "connection refused")
		})
		switch {
		case mode == "transaction" && (err == nil || !strings.Contains(err.Error(),
			"a connection pooler in transaction mode is in between")):
			t.Errorf("transaction mode: %v", err)
		case mode == "session" && err != nil:
			t.Errorf("session mode: %v", err)
		}
		if err != nil {
			continue
		}
		check(t, s.Close())
		// A whole renewal, with its jobs, through the pooler.
		mails, smtpURL := startSink(t)
		addDue(t, url, 0, 3)
		replica(t, "--database", url, "--key-file", filepath.Join(t.TempDir(), "key"), "--smtp", smtpURL)
		s, err = store.Open(t.Context(), target)
		check(t, err)
		settled(t, s)
		verify(t, s, mails, 3)
		check(t, s.Close())
	}
}

func TestAReadReplicaIsRefusedAndAFailoverToItIsFollowed(t *testing.T) {
	t.Parallel()
	primary := testenv.NewServer(t)
	standby := primary.Standby(t)
	if _, err := store.Open(t.Context(), standby.URL("postgres")); err == nil ||
		!strings.Contains(err.Error(), "it is a read replica") {
		t.Errorf("%v", err)
	}
	url := "postgres://postgres@" + primary.Addr + "," + standby.Addr + "/postgres?target_session_attrs=read-write"
	mails, smtpURL := startSink(t)
	addDue(t, url, 0, 5)
	key := filepath.Join(t.TempDir(), "key")
	replica(t, "--database", url, "--key-file", key, "--smtp", smtpURL)
	s, err := store.Open(t.Context(), url)
	check(t, err)
	defer s.Close()
	settled(t, s)

	addDue(t, url, 5, 5)
	inSync(t, primary, standby)
	primary.Kill()
	standby.Promote(t)
	// The first service continues on the new primary, and another one renews what is due.
	replica(t, "--database", url, "--key-file", key, "--smtp", smtpURL)
	settled(t, s)
	verify(t, s, mails, 10)
}

// inSync waits until the standby has everything that the primary wrote.
func inSync(t *testing.T, primary, standby *testenv.Server) {
	t.Helper()
	var at string
	check(t, query(t, primary.URL("postgres"), "SELECT pg_current_wal_lsn()::text", &at))
	testenv.Eventually(t, func() bool {
		var there bool
		err := query(t, standby.URL("postgres"), "SELECT pg_last_wal_replay_lsn() >= '"+at+"'::pg_lsn", &there)
		return err == nil && there
	})
}

func query(t *testing.T, url, text string, to any) error {
	t.Helper()
	db, err := sql.Open("pgx", url)
	check(t, err)
	defer db.Close()
	return db.QueryRowContext(t.Context(), text).Scan(to)
}

// A backup taken while the service runs works elsewhere with the same key file.
func TestABackupOfARunningServiceWorksAfterRestore(t *testing.T) {
	testenv.EachEngine(t, func(t *testing.T, url string) {
		t.Parallel()
		mails, smtpURL := startSink(t)
		dir := t.TempDir()
		key := filepath.Join(dir, "key")
		addDue(t, url, 0, 10)
		replica(t, "--database", url, "--key-file", key, "--smtp", smtpURL)
		s, err := store.Open(t.Context(), url)
		check(t, err)
		defer s.Close()
		settled(t, s)

		var restored string
		if s.Engine() == store.SQLite {
			copied := filepath.Join(dir, "copy.db")
			if code, out := command("backup", "--database", url, copied); code != 0 ||
				!strings.Contains(out, "an unbroken chain") {
				t.Fatal(out)
			}
			if code, out := command("backup", "--database", url, copied); code == 0 || !strings.Contains(out, "already exists") {
				t.Error(out)
			}
			if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			restored = "sqlite:" + copied
		} else {
			if code, out := command("backup", "--database", url, filepath.Join(dir, "copy")); code == 0 ||
				!strings.Contains(out, "pg_dump") {
				t.Error(out)
			}
			restored = testenv.Postgres(t)
			dump := filepath.Join(dir, "dump.sql")
			for _, cmd := range []*exec.Cmd{exec.Command("pg_dump", "--file", dump, url),
				exec.Command("psql", "-q", "-v", "ON_ERROR_STOP=1", "--file", dump, restored)} {
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", cmd, err, out)
				}
			}
		}
		addDue(t, restored, 10, 5)
		replica(t, "--database", restored, "--key-file", key, "--smtp", smtpURL)
		r, err := store.Open(t.Context(), restored)
		check(t, err)
		defer r.Close()
		settled(t, r)
		verify(t, r, mails, 15)
		// With another key it is refused.
		if code, out := command("serve", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--database", url,
			"--key-file", filepath.Join(dir, "other")); code == 0 || s.Engine() == store.Postgres &&
			!strings.Contains(out, "restore it from its backup") {
			t.Errorf("%d: %s", code, out)
		}
	})
}
