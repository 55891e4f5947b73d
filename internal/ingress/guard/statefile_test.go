package guard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestADeletedStateFileComesBackWithWhatTheGuardKnows(t *testing.T) {
	for name, files := range map[string][]string{"the file alone": {""}, "the file with its log": {"", "-wal", "-shm"}} {
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

// The connection to the new file does not know which changes were made before it was opened.
func TestADecisionThatFollowsTheRestorationOfTheFileAtOnceIsObeyed(t *testing.T) {
	f := newFolder(t)
	f.tenant()
	g := f.start(frontConfig(upstream(t)), inWindow)
	next := f.client("acme", inWindow)
	get(t, caller(t, next), g.url)
	testenv.Eventually(t, func() bool { return strings.Contains(g.log.String(), "accepted as successor") })
	testenv.Check(t, g.stop())
	s, err := Open(t.Context(), filepath.Join(f.dir, "guard.yaml"), Options{Policies: policies, Log: g.Service.log,
		Now: func() time.Time { return inWindow }})
	testenv.Check(t, err)
	t.Cleanup(func() { s.Close() })
	testenv.Check(t, s.applyState(t.Context()))
	before := s.decision
	testenv.Check(t, os.Remove(filepath.Join(f.dir, "guard.db")))
	s.keepState(t.Context())
	c, err := Load(filepath.Join(f.dir, "guard.yaml"), policies)
	testenv.Check(t, err)
	_, err = StoreDecision(t.Context(), c, "", certfile.Fingerprint(next.Leaf.Raw), "olga", Declined, inWindow)
	testenv.Check(t, err)
	testenv.Check(t, s.applyState(t.Context()))
	if s.decision == before {
		t.Error("the guard does not obey the decision")
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
}
