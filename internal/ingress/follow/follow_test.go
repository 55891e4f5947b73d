package follow

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestBothGenerationsAreWrittenCheckedReloadedAndReported(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "haproxy")
	for n := 1; n <= 4; n++ {
		if n > 1 {
			s.renew(january)
		}
		r.ran = nil
		r.works()
		want := []string{"check", "reload"}
		if !slices.Equal(r.ran, want) {
			t.Errorf("generation %d: ran %q, want %q", n, r.ran, want)
		}
		for generation, pair := range s.pairs {
			listed := strings.Contains(r.written(), strings.ToUpper(fingerprintOf(pair)))
			if listed != (generation >= n-1) {
				t.Errorf("after renewal %d, generation %d is listed: %v", n, generation, listed)
			}
		}
		last := s.reported()[n-1]
		if last.Sequence != uint64(n) || last.Generations[len(last.Generations)-1] != n ||
			last.Program != "perennial follow/haproxy" {
			t.Errorf("report %d: %+v", n, last)
		}
	}
	if got := strings.Count(r.log.String(), "\n"); got != 4 {
		t.Errorf("%d lines were logged, want one for each change:\n%s", got, r.log)
	}
}

func TestAnUnchangedFeedCausesNoReload(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "nginx")
	r.works()
	r.ran = nil
	r.works()
	if len(r.ran) > 0 || len(s.reported()) != 1 {
		t.Errorf("ran %q, %d reports", r.ran, len(s.reported()))
	}
	if last := s.requests[len(s.requests)-1]; last.Header.Get("If-None-Match") != `"1"` {
		t.Errorf("the last request has the headers %v", last.Header)
	}
	// A new state of a generation changes no fingerprint.
	s.publish(func(d *feed.Document) { d.Certificates[0].State = feed.Retired })
	r.works()
	if len(r.ran) > 0 || len(s.reported()) != 2 {
		t.Errorf("after a change of the state: ran %q, %d reports", r.ran, len(s.reported()))
	}
}

func TestAFileThatWasChangedByHandIsWrittenAgain(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "nginx")
	r.works()
	want := r.written()
	testenv.Check(t, os.WriteFile(r.path, []byte("changed"), 0o600))
	r.works()
	if r.written() != want {
		t.Errorf("got %q", r.written())
	}
}

func TestTheLastGoodStateIsKeptIfTheFeedIsAwayOrWrong(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "pem")
	r.works()
	s.renew(january)
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	answer := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
	forged, err := feed.Sign(s.document, other)
	testenv.Check(t, err)
	stranger := newSender(t, january) // another tenant of the same installation: the same key, another address
	stranger.document.Feed, stranger.document.Sequence = feed.ID("another secret"), 9
	swapped, err := feed.Sign(stranger.document, s.secret)
	testenv.Check(t, err)
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request) bool
		want   string
	}{
		"down":             {answer(503, ""), "status 503: the sender is not available, or has no certificate"},
		"removed":          {answer(404, ""), "ask the sender for the new one"},
		"a login page":     {answer(200, "<html>"), "not a signed feed"},
		"empty":            {answer(200, ""), "not a signed feed"},
		"signed by others": {answer(200, forged), "another key than the one in its address"},
		"of another feed":  {answer(200, swapped), "that of another feed with the same key"},
		"large":            {answer(200, strings.Repeat("A", feed.MaxSize+1)), "larger than 1024 KiB"},
		"redirected": {func(w http.ResponseWriter, q *http.Request) bool {
			http.Redirect(w, q, elsewhere.URL+q.URL.Path, http.StatusFound)
			return true
		}, "it redirects to another host"},
		"redirected for ever": {func(w http.ResponseWriter, q *http.Request) bool {
			http.Redirect(w, q, q.URL.Path, http.StatusFound)
			return true
		}, "more than 3 redirects"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "x")
			return true
		}, "unexpected EOF"},
		"another status": {answer(201, ""), "status 201"},
	} {
		t.Run(name, func(t *testing.T) {
			within := *r
			within.t = t
			s.answers(c.answer)
			within.refuses(c.want)
		})
	}
	s.answers(nil)
	r.works()
	if !strings.Contains(r.written(), string(pemOfPair(s.pairs[2]))) {
		t.Error("generation 2 is missing after the feed is back")
	}
}

func TestAnOlderDocumentIsRefused(t *testing.T) {
	s := newSender(t, january)
	old, err := feed.Sign(s.document, s.secret)
	testenv.Check(t, err)
	s.renew(january)
	r := newReceiver(t, s, january, "list")
	r.works()
	s.answers(func(w http.ResponseWriter, q *http.Request) bool {
		fmt.Fprint(w, old)
		return true
	})
	r.refuses("is at sequence 1, after 2")
}

func TestADocumentThatIsNotFreshAnyMoreIsAWarning(t *testing.T) {
	s := newSender(t, january)
	s.publish(func(d *feed.Document) { d.ValidUntil = january.AddDate(0, 0, 7) })
	r := newReceiver(t, s, january, "list")
	r.works()
	if strings.Contains(r.log.String(), "stale") {
		t.Errorf("a fresh document: %s", r.log)
	}
	r.now = january.AddDate(0, 0, 8)
	r.works()
	if !strings.Contains(r.log.String(), "stale") {
		t.Errorf("a stale document: %s", r.log)
	}
}

// A document that does not change loses its certificates one after another, and never the last one.
func TestACertificateLeavesAtItsTimeButNeverTheLastOne(t *testing.T) {
	s := newSender(t, january)
	s.renew(january)
	leaves := january.AddDate(0, 1, 0)
	s.publish(func(d *feed.Document) {
		d.Certificates[0].State, d.Certificates[0].RemoveAfter = feed.Retired, &leaves
		d.Certificates[1].State = feed.Active
	})
	r := newReceiver(t, s, january, "list")
	lines := func() int { return strings.Count(r.written(), "\n") }
	r.works()
	if lines() != 2 {
		t.Errorf("before its time: %s", r.written())
	}
	r.now = leaves.Add(time.Second)
	r.works()
	if lines() != 1 || !strings.Contains(r.written(), fingerprintOf(s.pairs[2])) {
		t.Errorf("after its time: %s", r.written())
	}
	r.now = january.AddDate(1, 0, 1)
	r.refuses("the last good state is kept; check the clock")
}

func TestFilesThatTheProductDoesNotAcceptAreTakenBack(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "nginx")
	r.works()
	s.renew(january)
	r.fails = func(command string) error {
		if command == "check" && !strings.Contains(r.written(), "generation 2") {
			t.Error("the check did not see the new file")
		}
		if command == "check" {
			return errors.New("exit status 1")
		}
		return nil
	}
	r.ran = nil
	r.refuses(`the check "check" failed: exit status 1: line 7 is wrong`)
	if !slices.Equal(r.ran, []string{"check"}) || len(s.reported()) != 1 {
		t.Errorf("ran %q, %d reports", r.ran, len(s.reported()))
	}
	r.fails = nil
	r.works()
	if !strings.Contains(r.written(), "generation 2") {
		t.Errorf("the next round does not try again: %s", r.written())
	}
}

func TestTheFirstFileIsRemovedIfTheProductDoesNotAcceptIt(t *testing.T) {
	r := newReceiver(t, newSender(t, january), january, "nginx")
	r.fails = func(string) error { return errors.New("exit status 1") }
	r.refuses("the check")
	if _, err := os.Lstat(r.path); !os.IsNotExist(err) {
		t.Errorf("the file exists: %v", err)
	}
}

func TestAReloadThatFailedIsRepeatedEvenIfTheFeedIsAway(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "nginx")
	r.fails = func(command string) error {
		if command == "reload" {
			return errors.New("exit status 1")
		}
		return nil
	}
	if err := r.once(); err == nil || !strings.Contains(err.Error(), `the reload "reload" failed`) {
		t.Fatal(err)
	}
	if len(s.reported()) > 0 {
		t.Error("reported before the reload")
	}
	r.fails, r.ran = nil, nil
	s.answers(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true })
	if err := r.once(); err == nil || !strings.Contains(err.Error(), "status 500") {
		t.Errorf("while the feed is away: %v", err)
	}
	if !slices.Contains(r.ran, "reload") {
		t.Error("the reload was not repeated while the feed was away")
	}
	s.answers(nil)
	r.ran = nil
	r.works()
	if len(r.ran) > 0 || len(s.reported()) != 1 {
		t.Errorf("after the reload: ran %q, %d reports", r.ran, len(s.reported()))
	}
}

// A process that is killed in a command leaves the state file and the output as this panic does.
func TestAfterAnInterruptionTheFilesAreCheckedAndReloadedAgain(t *testing.T) {
	for _, at := range []string{"check", "reload"} {
		t.Run(at, func(t *testing.T) {
			s := newSender(t, january)
			r := newReceiver(t, s, january, "nginx")
			r.works()
			before := r.written()
			s.renew(january)
			r.fails = func(command string) error {
				if command == at {
					panic("killed")
				}
				return nil
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Error("it was not interrupted")
					}
				}()
				r.once()
			}()
			s.answers(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true })
			r.fails, r.ran = func(command string) error { return errors.New(command) }, nil
			if err := r.once(); err == nil {
				t.Error("no error")
			}
			if at == "check" && r.written() != before {
				t.Errorf("files that were never accepted stay: %s", r.written())
			}
			s.answers(nil)
			r.fails, r.ran = nil, nil
			r.works()
			if !slices.Equal(r.ran, []string{"check", "reload"}) || !strings.Contains(r.written(), "generation 2") {
				t.Errorf("ran %q, wrote %s", r.ran, r.written())
			}
		})
	}
}

func TestSeveralFilesChangeTogetherOrNotAtAll(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "nginx")
	cas := filepath.Join(r.dir, "ca.pem")
	r.config.Outputs = append(r.config.Outputs, Output{formatOf(t, "cas"), Target{Path: cas}})
	r.works()
	before, err := os.ReadFile(cas)
	testenv.Check(t, err)
	s.renew(january)
	s.publish(func(d *feed.Document) { d.CAs = d.CAs[:1] })
	r.fails = func(string) error { return errors.New("exit status 1") }
	r.refuses("the check")
	if !same(cas, before) {
		t.Error("the second file changed although the check failed")
	}
	r.fails = nil
	r.works()
	if same(cas, before) || s.reported()[1].Program != "perennial follow/nginx+cas" {
		t.Errorf("the second file did not change, or the report is %+v", s.reported()[1])
	}
}

func TestAnotherAddressBeginsAnotherCount(t *testing.T) {
	for name, c := range map[string]struct {
		secret string
		key    []byte
	}{
		"another key":    {"unguessable", make([]byte, ed25519.SeedSize)},
		"another secret": {"unguessable-too", []byte(strings.Repeat("k", ed25519.SeedSize))},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSender(t, january)
			for range 5 {
				s.renew(january)
			}
			r := newReceiver(t, s, january, "list")
			r.works()
			s.secret = ed25519.NewKeyFromSeed(c.key)
			thumbprint, err := feed.Thumbprint(s.secret.Public().(ed25519.PublicKey))
			testenv.Check(t, err)
			s.address = s.server.URL + "/feeds/" + c.secret + "/" + thumbprint + "/"
			s.publish(func(d *feed.Document) {
				d.Feed, d.Sequence, d.Certificates = feed.ID(c.secret), 1, d.Certificates[1:]
			})
			r.config.Address = s.address
			r.works()
			if strings.Count(r.written(), "\n") != 1 {
				t.Errorf("wrote %s", r.written())
			}
			s.publish(func(*feed.Document) {})
			r.works()
			s.publish(func(d *feed.Document) { d.Sequence = 1 })
			r.refuses("is at sequence 1, after 2")
		})
	}
}

// The old address may be followed by a new one after an interruption, and the old files come back all the same.
func TestAnInterruptedRoundOfAnotherAddressIsUndone(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "list")
	r.works()
	before := r.written()
	f := r.follower()
	old, err := f.load()
	testenv.Check(t, err)
	old.Thumbprint, old.Pending = strings.Repeat("A", 43), true
	other, missing := filepath.Join(r.dir, "other"), filepath.Join(r.dir, "missing")
	r.config.Outputs = append(r.config.Outputs, Output{formatOf(t, "pem"), Target{Path: missing}})
	old.Unfinished = []savedFile{{Path: r.path, Data: []byte(before)}, {Path: other, Data: []byte("x")},
		{Path: missing, Missing: true}}
	testenv.Check(t, f.save(old))
	testenv.Check(t, os.WriteFile(r.path, []byte("not checked"), 0o600))
	s.answers(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true })
	if err := r.once(); err == nil || !strings.Contains(err.Error(), "status 500") || r.written() != before {
		t.Errorf("%v, the file is %q", err, r.written())
	}
	for _, path := range []string{other, missing} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s was written: %v", path, err)
		}
	}
	if now, err := f.load(); err != nil || len(now.Unfinished) > 0 || !now.Pending {
		t.Errorf("the state is %+v, %v", now, err)
	}
}

func TestAStateFileOfAnotherKindIsRefused(t *testing.T) {
	s := newSender(t, january)
	for name, make := range map[string]func(path string) error{
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":   func(path string) error { return os.Symlink("/dev/null", path) },
		"very long": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, maxState+1))
		},
	} {
		r := newReceiver(t, s, january, "list")
		testenv.Check(t, make(beside(r.path, "json")))
		if err := r.once(); err == nil || !strings.Contains(err.Error(), "is not a regular file of a follower") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFeedThatDoesNotAnswerIsGivenUp(t *testing.T) {
	if got := guarded(&http.Client{}).Timeout; got <= 0 || got > time.Minute {
		t.Errorf("the client waits %v", got)
	}
}

func TestADamagedStateFileIsReplaced(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "list")
	r.works()
	wrong := fmt.Sprintf(`{"feed":%q,"thumbprint":%q,"signed":"a.b.c","etag":"\"1\""}`, feed.ID("unguessable"),
		r.follower().address.thumbprint)
	for _, damaged := range []string{"", "{", wrong} {
		testenv.Check(t, os.WriteFile(beside(r.path, "json"), []byte(damaged), 0o600))
		r.works()
		if last := s.requests[len(s.requests)-1]; last.Header.Get("If-None-Match") != "" && last.Method == http.MethodGet {
			t.Errorf("%q: the document was not fetched again", damaged)
		}
		if s, err := r.follower().load(); err != nil || s.Sequence != 1 {
			t.Errorf("%q: the state is %+v, %v", damaged, s, err)
		}
	}
	info, err := os.Stat(beside(r.path, "json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the state file: %v, %v", info.Mode(), err)
	}
}

func TestTwoFollowersDoNotWriteOneFile(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "list")
	r.works()
	held, err := r.follower().lock()
	testenv.Check(t, err)
	want := fmt.Sprintf("another follower (process %d) writes %s", os.Getpid(), r.path)
	r.refuses(want)
	r.config.State = filepath.Join(r.dir, "another-state")
	r.refuses(want)
	testenv.Check(t, os.Remove(beside(r.path, "lock")))
	testenv.Check(t, held.keep())
	r.refuses(want)
	testenv.Check(t, os.Remove(beside(r.path, "lock")))
	faster, err := r.follower().lock()
	testenv.Check(t, err)
	if err := held.keep(); err == nil || err.Error() != want+": stop one of the two" {
		t.Errorf("the lock was deleted, and another follower has it: %v", err)
	}
	faster.release()
	held.release()
	r.works()
}

func TestAReportThatFailsIsRepeatedAndFailsNothing(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "list")
	s.answers(func(w http.ResponseWriter, q *http.Request) bool {
		if q.Method == http.MethodPost {
			w.WriteHeader(http.StatusTooManyRequests)
		}
		return q.Method == http.MethodPost
	})
	r.works()
	s.answers(func(w http.ResponseWriter, q *http.Request) bool {
		if q.Method == http.MethodPost {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	r.works()
	if got := r.log.String(); !strings.Contains(got, "status 429") || !strings.Contains(got, "EOF") ||
		strings.Contains(got, "unguessable") {
		t.Errorf("log: %s", got)
	}
	s.answers(nil)
	r.works()
	r.works()
	if len(s.reported()) != 1 {
		t.Errorf("%d reports", len(s.reported()))
	}
}

func TestTheOldFileIsIntactIfTheNewOneCannotBeWritten(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "pem")
	r.works()
	s.renew(january)

	f := r.follower()
	f.files.sync = func(file *os.File) error {
		if strings.Contains(file.Name(), "accepted.follow.new") && !strings.Contains(file.Name(), "json") {
			return &os.PathError{Op: "sync", Path: file.Name(), Err: syscall.ENOSPC}
		}
		return nil
	}
	before := r.written()
	err := f.Once(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no space left on device: it is unchanged") || r.written() != before {
		t.Errorf("a full disk: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(r.dir, ".*.new"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}

	target := filepath.Join(r.dir, "target")
	testenv.Check(t, os.Rename(r.path, target))
	testenv.Check(t, os.Symlink(target, r.path))
	r.refuses("is a symbolic link, which would be replaced: name the file itself (" + target + ")")

	r.path = filepath.Join(r.dir, "folder", "accepted")
	r.config.Outputs[0].Target.Path = r.path
	r.refuses("no such file or directory")
	r.config.Outputs[0].Target.Path = filepath.Join(target, "accepted")
	if err := r.once(); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("below a file: %v", err)
	}
	r.config.Outputs[0].Target.Path = r.path
	testenv.Check(t, os.MkdirAll(r.path, 0o700))
	if err := r.once(); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a folder: %v", err)
	}
}

func TestTheModeOfTheOldFileIsKept(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "pem")
	mode := func() os.FileMode {
		info, err := os.Stat(r.path)
		testenv.Check(t, err)
		return info.Mode().Perm()
	}
	r.works()
	if mode() != 0o644 {
		t.Errorf("a new file has the mode %v", mode())
	}
	testenv.Check(t, os.Chmod(r.path, 0o640))
	s.renew(january)
	r.works()
	if mode() != 0o640 {
		t.Errorf("the replaced file has the mode %v", mode())
	}
	if os.Geteuid() != 0 {
		return // only root can give a file away
	}
	testenv.Check(t, os.Chown(r.path, 65534, 65534))
	s.renew(january)
	r.works()
	info, err := os.Stat(r.path)
	testenv.Check(t, err)
	if of := info.Sys().(*syscall.Stat_t); of.Uid != 65534 || of.Gid != 65534 {
		t.Errorf("the replaced file belongs to %d:%d", of.Uid, of.Gid)
	}
}

func TestAnInvalidFollowerIsNotBuilt(t *testing.T) {
	s := newSender(t, january)
	for want, change := range map[string]func(*Config){
		"nothing to write":                       func(c *Config) { c.Outputs = nil },
		"the clock or the log is missing":        func(c *Config) { c.Now = nil },
		"invalid period 1s: use 1m0s to 24h0m0s": func(c *Config) { c.Every = time.Second },
		"is written twice":                       func(c *Config) { c.Outputs = append(c.Outputs, c.Outputs[0]) },
		"is both an output and the state file":   func(c *Config) { c.State = c.Outputs[0].Target.Path },
		"there is no Kubernetes API server":      func(c *Config) { c.Outputs[0].Target = Target{ConfigMap: "a", Key: "b"} },
		"invalid address of a feed: use https ":  func(c *Config) { c.Address = "http://example.com/feeds/unguessable/x/" },
	} {
		r := newReceiver(t, s, january, "list")
		change(&r.config)
		if _, err := New(r.config); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "unguessable") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// The first rounds fail, so they are repeated sooner; then the feed's hint is the period.
func TestAFollowerThatStaysRetriesSoonerAndStopsCleanly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := newSenderWithoutServer(t, start)
		r := newReceiver(t, s, start, "list")
		var at []time.Duration
		r.config.Now = time.Now
		r.config.Client = &http.Client{Transport: roundTripper(func(q *http.Request) (*http.Response, error) {
			if q.Method == http.MethodGet {
				at = append(at, time.Since(start))
				if len(at) <= 3 {
					return nil, errors.New("no route to host")
				}
			}
			w := httptest.NewRecorder()
			s.serve(w, q)
			return w.Result(), nil
		})}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		f := r.follower()
		go func() { ended <- f.Follow(ctx) }()
		time.Sleep(150 * time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		wanted := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, time.Hour, time.Hour}
		if len(at) != len(wanted)+1 {
			t.Fatalf("rounds at %v", at)
		}
		for i, want := range wanted {
			if got := at[i+1] - at[i]; got < want*9/10 || got > want*11/10 {
				t.Errorf("pause %d lasted %v, want about %v", i, got, want)
			}
		}
		if got := strings.Count(r.log.String(), "\n"); got != 4 {
			t.Errorf("%d lines were logged:\n%s", got, r.log)
		}
	})
}

// A reload that has begun is finished, although the follower is asked to stop.
func TestAStopWaitsForTheReload(t *testing.T) {
	s := newSender(t, january)
	r := newReceiver(t, s, january, "list")
	ctx, cancel := context.WithCancel(t.Context())
	run := r.config.Run
	r.config.Run = func(ctx context.Context, command string) (string, error) {
		cancel()
		if ctx.Err() != nil {
			t.Errorf("%s: %v", command, ctx.Err())
		}
		return run(ctx, command)
	}
	if err := r.follower().Follow(ctx); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.ran, []string{"check", "reload"}) || len(s.reported()) != 1 {
		t.Errorf("ran %q, %d reports", r.ran, len(s.reported()))
	}
}

func TestPausesAreBounded(t *testing.T) {
	for _, c := range []struct {
		wanted   time.Duration
		failures int
		want     time.Duration
	}{{0, 0, time.Hour}, {time.Second, 0, time.Minute}, {-1, 0, time.Hour}, {1000 * time.Hour, 0, 24 * time.Hour},
		{time.Hour, 1, 30 * time.Second}, {time.Hour, 3, 2 * time.Minute}, {time.Hour, 1000, time.Hour}} {
		if got := Pause(c.wanted, c.failures, 0.5); got != c.want {
			t.Errorf("%v after %d failures: %v, want %v", c.wanted, c.failures, got, c.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	const thumbprint = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, text := range []string{"https://h/feeds/s/", "https://h:8443/p/feeds/s/", "http://127.0.0.1:1/feeds/s/",
		"http://[::1]/feeds/s/", "http://localhost/feeds/s/"} {
		want := text + thumbprint + "/certificates.jws"
		for _, end := range []string{"", "/", "/certificates.jws"} {
			a, err := parseAddress(text + thumbprint + end)
			if err != nil || a.below(documentName) != want || a.thumbprint != thumbprint || a.secret != "s" {
				t.Errorf("%s%s: %q, %v", text, end, a.below(documentName), err)
			}
		}
	}
	for _, text := range []string{"", thumbprint, "http://h/feeds/s/" + thumbprint, "ftp://h/feeds/s/" + thumbprint,
		"http://localhost.example/feeds/s/" + thumbprint, "https://h/feeds/s/" + thumbprint[1:],
		"https://h/feeds/s/" + thumbprint + "?a", "https://h/feeds/s/" + thumbprint + "#a",
		"https://a@h/feeds/s/" + thumbprint, "https:///feeds/s/" + thumbprint, "https:h/" + thumbprint,
		"https://h/" + thumbprint,
		"https://h/feeds/s/" + thumbprint[1:] + "B", // not the shortest form of the last octet
		"https://h/feeds/s/" + thumbprint + "/\x7f"} {
		if _, err := parseAddress(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzAddress(f *testing.F) {
	f.Add("https://h:8443/p/feeds/s/" + strings.Repeat("A", 43) + "/")
	f.Add("http://[::1]/%2f/" + strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAddress(text)
		if err != nil {
			if len(text) > 40 && strings.Contains(err.Error(), text) {
				t.Errorf("the error quotes the address: %v", err)
			}
			return
		}
		if a.base.Scheme != "https" && !loopback(a.base.Hostname()) {
			t.Errorf("%q is accepted without TLS", text)
		}
		again, err := parseAddress(a.below(documentName))
		if err != nil || again.below("installed") != a.below("installed") || len(a.thumbprint) != 43 {
			t.Errorf("%q becomes %q, %v", text, a.below(documentName), err)
		}
	})
}
