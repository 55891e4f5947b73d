package guard

import (
	"bytes"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestADeletedStateFileComesBackWithWhatTheGuardKnows(t *testing.T) {
	for name, files := range map[string][]string{"the file alone": {""}, "the file with its log": {"", "-wal", "-shm"},
		"the index of the log alone": {"-shm"}} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			f.tenant()
			config := frontConfig(upstream(t))
			g := f.start(config, inWindow)
			next := f.client("acme", inWindow)
			get(t, caller(t, next), g.url)
			testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "accepted as successor") })
			file := filepath.Join(f.dir, "guard.db")
			for _, end := range files {
				testenv.Check(t, os.Remove(file+end))
			}
			testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "it was written again") })
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the file: %v, %v", info, err)
			}
			c, err := Load(filepath.Join(f.dir, "guard.yaml"), policies)
			testenv.Check(t, err)
			// The command of a person is another process, and writes to the new file.
			_, err = StoreDecision(t.Context(), c, "", certfile.Fingerprint(next.Leaf.Raw), "olga", Declined, inWindow)
			testenv.Check(t, err)
			testenv.Eventually(t, func() bool { status, _ := get(t, caller(t, next), g.url); return status == 403 })
			testenv.Check(t, g.stop())
			g = f.start(config, inWindow)
			g.calls("declined", next)
			if left, _ := filepath.Glob(filepath.Join(f.dir, ".guard-*")); len(left) > 0 {
				t.Errorf("%q is left", left)
			}
		})
	}
}

// idle is a guard whose state changes only when a test says so, with the successor that it has accepted.
type idle struct {
	*Service
	f    *folder
	log  *logged
	next *x509.Certificate
	file string
}

func newIdle(t *testing.T) idle {
	t.Helper()
	f := newFolder(t)
	f.tenant()
	f.write("guard.yaml", []byte(decideConfig("nginx")))
	log := &logged{}
	s, err := Open(t.Context(), filepath.Join(f.dir, "guard.yaml"), Options{Policies: policies,
		Now: func() time.Time { return inWindow }, Log: slog.New(slog.NewTextHandler(log, nil))})
	testenv.Check(t, err)
	t.Cleanup(func() { s.Close() })
	next := f.client("acme", inWindow).Leaf
	s.queue(sighted(inWindow, next, acceptance.Decision{Outcome: acceptance.Accept, Partner: "acme-c4c",
		Code: acceptance.IsSuccessor}))
	s.store(t.Context())
	testenv.Check(t, s.Reload(t.Context()))
	return idle{s, f, log, next, filepath.Join(f.dir, "guard.db")}
}

// decide stores the decision of a person about the successor, as the command does.
func (g idle) decide(t *testing.T, standing Standing) error {
	t.Helper()
	c, err := Load(filepath.Join(g.f.dir, "guard.yaml"), policies)
	testenv.Check(t, err)
	_, err = StoreDecision(t.Context(), c, "", certfile.Fingerprint(g.next.Raw), "olga", standing, inWindow)
	return err
}

// obeys checks that the guard follows a decision.
func (g idle) obeys(t *testing.T) {
	t.Helper()
	if d, _ := g.guard.Decide([]*x509.Certificate{g.next}); d.Outcome != acceptance.Accept {
		t.Errorf("before: %+v", d)
	}
	testenv.Check(t, g.decide(t, Declined))
	testenv.Check(t, g.applyState(t.Context()))
	if d, _ := g.guard.Decide([]*x509.Certificate{g.next}); d.Code != acceptance.Declined {
		t.Errorf("the guard does not obey the decision: %+v", d)
	}
}

// The connection to the new file counts changes from the start, as the one to the deleted file has done.
func TestADecisionThatFollowsTheRestorationOfTheFileAtOnceIsObeyed(t *testing.T) {
	g := newIdle(t)
	testenv.Check(t, g.decide(t, Accepted))
	testenv.Check(t, g.applyState(t.Context()))
	testenv.Check(t, os.Remove(g.file))
	g.keepState(t.Context())
	g.obeys(t)
}

// Otherwise, the command would create a file or a log that the guard does not use.
func TestNoDecisionIsStoredWhileAFileOfARunningGuardIsMissing(t *testing.T) {
	g := newIdle(t)
	for _, ends := range [][]string{{""}, {"-wal", "-shm"}, {"-shm"}, {"", "-wal", "-shm"}} {
		for _, end := range ends {
			testenv.Check(t, os.Remove(g.file+end))
		}
		if err := g.decide(t, Declined); err == nil || !strings.Contains(err.Error(), "Repeat the command") {
			t.Errorf("without %q: %v", ends, err)
		}
		for _, end := range ends {
			if _, err := os.Stat(g.file + end); err == nil {
				t.Errorf("without %q: the command has created %s", ends, g.file+end)
			}
		}
		g.keepState(t.Context())
	}
	g.obeys(t)
}

// Another program, such as sqlite3, creates a log if it finds none.
func TestADecisionIsObeyedAfterAnotherProcessHasReplacedTheLog(t *testing.T) {
	g := newIdle(t)
	for _, end := range []string{"-wal", "-shm"} {
		testenv.Check(t, os.Remove(g.file+end))
	}
	testenv.Check(t, os.WriteFile(g.file+"-wal", nil, 0o600))
	g.keepState(t.Context())
	for _, want := range []string{"it was written again", "Repeat decisions"} {
		if text := g.log.String(); !strings.Contains(text, want) {
			t.Errorf("the log does not name the problem, %q: %s", want, text)
		}
	}
	g.obeys(t)
}

// When database/sql closes the last connection, SQLite removes the log. The next connection creates another one.
func TestAConnectionThatIsOpenedAgainIsNotTakenForADeletedFile(t *testing.T) {
	g := newIdle(t)
	testenv.Check(t, g.decide(t, Accepted))
	testenv.Check(t, g.applyState(t.Context()))
	before, err := os.Stat(g.file)
	testenv.Check(t, err)
	g.state.db().SetMaxIdleConns(-1)
	g.state.db().SetMaxIdleConns(1)
	if _, err := os.Stat(g.file + "-wal"); err == nil {
		t.Fatal("the connection is still open")
	}
	g.keepState(t.Context())
	if after, err := os.Stat(g.file); err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was written again: %v", err)
	}
	if text := g.log.String(); strings.Contains(text, "state") {
		t.Errorf("the guard warns: %s", text)
	}
	g.obeys(t)
}

func TestSQLiteDoesNotCreateAFileInThePlaceOfADeletedOne(t *testing.T) {
	g := newIdle(t)
	g.state.db().SetMaxIdleConns(-1) // each statement opens a connection
	testenv.Check(t, os.Remove(g.file))
	if _, err := g.state.version(t.Context()); err == nil {
		t.Error("there is a state without a file")
	}
	if _, err := os.Stat(g.file); err == nil {
		t.Error("an empty file was created")
	}
}

// "rm guard.db*" removes one file after the other, and the guard may restore the state in between.
func TestAStateFileWhoseLogWasDeletedIsWrittenAgain(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	g := f.start(frontConfig(upstream(t)), inWindow)
	next := f.client("acme", inWindow)
	get(t, caller(t, next), g.url)
	testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "accepted as successor") })
	for _, end := range []string{"-wal", "-shm"} {
		testenv.Check(t, os.Remove(filepath.Join(f.dir, "guard.db"+end)))
	}
	testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "it was written again") })
	c, err := Load(filepath.Join(f.dir, "guard.yaml"), policies)
	testenv.Check(t, err)
	_, err = StoreDecision(t.Context(), c, "", certfile.Fingerprint(next.Leaf.Raw), "olga", Declined, inWindow)
	testenv.Check(t, err)
	testenv.Eventually(t, func() bool { status, _ := get(t, caller(t, next), g.url); return status == 403 })
}

func TestAStateFileThatWasReplacedIsNotUsedByARunningGuard(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	g := f.start(frontConfig(upstream(t)), inWindow)
	other := filepath.Join(f.dir, "other.db")
	state, err := OpenState(t.Context(), other)
	testenv.Check(t, err)
	testenv.Check(t, state.Close())
	testenv.Check(t, os.Rename(other, filepath.Join(f.dir, "guard.db")))
	testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "restart the guard") })
	next := f.client("acme", inWindow)
	g.calls("200 acme-c4c", next)
	testenv.Check(t, g.stop())
	if left, _ := filepath.Glob(filepath.Join(f.dir, "guard.db-*")); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
	// What the guard has learned since then is beside it. Its log would be applied to the other file.
	for name, want := range map[string]int{"guard.db": 0, "guard.db.saved": 1} {
		seen, err := ReadSightings(t.Context(), filepath.Join(f.dir, name))
		if err != nil || len(seen) != want {
			t.Errorf("%s: %d certificates, %v", name, len(seen), err)
		}
	}
}

func TestAStateFileThatIsDeletedJustBeforeTheEndIsWrittenAgain(t *testing.T) {
	g := newIdle(t)
	testenv.Check(t, os.Remove(g.file))
	testenv.Check(t, g.Close())
	if seen, err := ReadSightings(t.Context(), g.file); err != nil || len(seen) != 1 {
		t.Errorf("%d certificates, %v", len(seen), err)
	}
}

func TestAStateFileThatAnotherProgramHasEmptiedIsWrittenAgainOrRefused(t *testing.T) {
	for _, inLog := range []string{"everything", "nothing", "a part", "nothing since the start"} {
		g := newIdle(t)
		if inLog == "nothing since the start" {
			testenv.Check(t, g.Close())
			again, err := Open(t.Context(), filepath.Join(g.f.dir, "guard.yaml"), Options{Policies: policies,
				Now: func() time.Time { return inWindow }, Log: slog.New(slog.NewTextHandler(g.log, nil))})
			testenv.Check(t, err)
			g.Service = again
		}
		without := map[string]string{"nothing": "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA shrink_memory",
			"a part": "PRAGMA wal_checkpoint(TRUNCATE); UPDATE sightings SET reason = 'changed'; PRAGMA shrink_memory"}
		if change := without[inLog]; change != "" {
			_, err := g.state.db().ExecContext(t.Context(), change)
			testenv.Check(t, err)
		}
		testenv.Check(t, os.Truncate(g.file, 0))
		if err := g.decide(t, Declined); err == nil || !strings.Contains(err.Error(), "the file is empty") {
			t.Errorf("a command: %v", err)
		}
		g.keepState(t.Context())
		if inLog == "everything" {
			g.obeys(t)
			continue
		}
		if text := g.log.String(); !strings.Contains(text, "put a backup in its place") {
			t.Errorf("the log: %s", text)
		}
		log, err := os.ReadFile(g.file + "-wal")
		testenv.Check(t, err)
		if err := g.Close(); !errors.Is(err, errEmptied) {
			t.Errorf("the end with %s in the log: %v", inLog, err)
		}
		if after, err := os.ReadFile(g.file + "-wal"); err != nil || !bytes.Equal(after, log) {
			t.Errorf("%d bytes of the log became %d, %v", len(log), len(after), err)
		}
		if _, err := OpenState(t.Context(), g.file); err == nil || !strings.Contains(err.Error(), "the file is empty") {
			t.Errorf("the next start with %s in the log: %v", inLog, err)
		}
	}
}

func TestAStateFileWithTwoNamesIsRefused(t *testing.T) {
	g := newIdle(t)
	testenv.Check(t, os.Link(g.file, g.file+".link"))
	if _, err := OpenState(t.Context(), g.file+".link"); err == nil || !strings.Contains(err.Error(), "2 names") {
		t.Errorf("%v", err)
	}
}

// Otherwise, a second guard could use the same state from then on.
func TestADeletedLockOfTheStateComesBack(t *testing.T) {
	g := newIdle(t)
	second := func() error {
		s, err := Open(t.Context(), filepath.Join(g.f.dir, "guard.yaml"), Options{Policies: policies,
			Now: func() time.Time { return inWindow }, Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			t.Cleanup(func() { s.Close() })
		}
		return err
	}
	testenv.Check(t, os.Remove(g.file+".lock"))
	g.keepState(t.Context())
	if err := second(); err == nil || !strings.Contains(err.Error(), "another guard (process ") {
		t.Errorf("a second guard: %v", err)
	}
	testenv.Check(t, os.Remove(g.file+".lock"))
	testenv.Check(t, second())
	g.keepState(t.Context())
	if got := g.log.String(); !strings.Contains(got, "the lock of the state was deleted") ||
		!strings.Contains(got, "another guard (process ") {
		t.Errorf("the log: %s", got)
	}
}

func TestALinkToTheStateStaysALinkIfTheFileIsRestored(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	testenv.Check(t, os.Mkdir(filepath.Join(f.dir, "data"), 0o700))
	link, file := filepath.Join(f.dir, "guard.db"), filepath.Join(f.dir, "data", "state.db")
	testenv.Check(t, os.Symlink(filepath.Join("data", "state.db"), link))
	f.write("guard.yaml", []byte(decideConfig("nginx")))
	s, err := Open(t.Context(), filepath.Join(f.dir, "guard.yaml"), Options{Policies: policies,
		Now: func() time.Time { return inWindow }, Log: slog.New(slog.DiscardHandler)})
	testenv.Check(t, err)
	defer s.Close()
	testenv.Check(t, os.Remove(file))
	s.keepState(t.Context())
	info, err := os.Lstat(link)
	testenv.Check(t, err)
	if _, err := os.Stat(file); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link is %s, and its target: %v", info.Mode(), err)
	}
	if _, err := os.Stat(file + ".lock"); err != nil {
		t.Errorf("the lock is not beside the target: %v", err)
	}
}
