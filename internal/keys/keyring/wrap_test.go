package keyring

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
)

// A fakeService is a key management service in memory with a key for each URI.
type fakeService struct {
	mu      sync.Mutex // guards what follows
	keys    map[string][]byte
	away    bool
	wraps   int
	unwraps int
	answer  func(key []byte) []byte // changes the answer of an unwrap; nil for the truth
	garbles bool                    // wraps something else than it was sent
}

func newService() *fakeService { return &fakeService{keys: map[string][]byte{}} }

// remotes is a [Remotes] for URIs that begin with "fake:".
func (s *fakeService) remotes(uri string) (Remote, error) {
	if !strings.HasPrefix(uri, "fake:") {
		return nil, fmt.Errorf("unknown kind of key %q", uri)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys[uri] == nil {
		s.keys[uri] = bytes.Repeat([]byte{byte(len(s.keys) + 1)}, 32)
	}
	return fakeRemote{s, uri}, nil
}

// calls returns how often the service was called to wrap and to unwrap.
func (s *fakeService) calls() (wraps, unwraps int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wraps, s.unwraps
}

func (s *fakeService) goAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

type fakeRemote struct {
	service *fakeService
	uri     string
}

func (r fakeRemote) cipher() (*subtle.AESGCM, error) {
	if r.service.away {
		return nil, &Away{errors.New("connection refused")}
	}
	return subtle.NewAESGCM(r.service.keys[r.uri])
}

func (r fakeRemote) Wrap(_ context.Context, key []byte) ([]byte, error) {
	r.service.mu.Lock()
	defer r.service.mu.Unlock()
	r.service.wraps++
	c, err := r.cipher()
	if err != nil {
		return nil, err
	}
	if r.service.garbles {
		key = bytes.Repeat([]byte{7}, len(key))
	}
	return c.Encrypt(key, nil)
}

func (r fakeRemote) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	r.service.mu.Lock()
	defer r.service.mu.Unlock()
	r.service.unwraps++
	c, err := r.cipher()
	if err != nil {
		return nil, err
	}
	key, err := c.Decrypt(wrapped, nil)
	if err != nil {
		return nil, errors.New("it did not encrypt this")
	}
	if r.service.answer != nil {
		key = r.service.answer(key)
	}
	return key, nil
}

const uriA, uriB = "fake:a", "fake:b"

// movedKey returns a keyring whose file is wrapped by uriA, and the file's path.
func movedKey(t *testing.T, s *fakeService) (*Keyring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "perennial.key")
	k, err := Create(path, s.remotes)
	check(t, err)
	check(t, k.Move(t.Context(), uriA))
	return k, path
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	check(t, err)
	return data
}

func wantOpened(t *testing.T, k *Keyring, sealed []byte) {
	t.Helper()
	if secret, err := k.Open(sealed, "c"); err != nil || string(secret) != "secret" {
		t.Errorf("opened %q, %v", secret, err)
	}
}

func TestAMovedKeyFileOpensWhatWasSealedBeforeAndHasNoKeyInCleartext(t *testing.T) {
	s := newService()
	path := filepath.Join(t.TempDir(), "perennial.key")
	k, err := Create(path, s.remotes)
	check(t, err)
	clear := readFile(t, path)
	old, err := k.Seal([]byte("secret"), "c")
	check(t, err)
	for _, uri := range []string{uriA, uriB, uriA, ""} {
		check(t, k.Move(t.Context(), uri))
		again, err := Open(t.Context(), path, s.remotes)
		check(t, err)
		for name, ring := range map[string]*Keyring{"moved": k, "opened": again} {
			wantOpened(t, ring, old)
			if ring.WrappedBy() != uri || !ring.Current(old) {
				t.Errorf("%s: wrapped by %q, want %q", name, ring.WrappedBy(), uri)
			}
		}
		data := readFile(t, path)
		if uri == "" {
			if !bytes.Equal(data, clear) {
				t.Error("back in the file, the keyset differs from the one before")
			}
			continue
		}
		var keyset struct {
			Key []struct {
				KeyData struct{ Value string }
			}
		}
		check(t, json.Unmarshal(clear, &keyset))
		value, err := base64.StdEncoding.DecodeString(keyset.Key[0].KeyData.Value)
		check(t, err)
		if bytes.Contains(data, []byte(keyset.Key[0].KeyData.Value)) || bytes.Contains(data, value) {
			t.Error("the wrapped file has the key")
		}
		_, err = Open(t.Context(), path, nil)
		wantError(t, "without a service", err, "key file "+path+": the keyset is wrapped")
	}
}

func TestTheServiceIsCalledForAKeySetAndNotForAKey(t *testing.T) {
	s := newService()
	_, path := movedKey(t, s)
	k, err := Open(t.Context(), path, s.remotes)
	check(t, err)
	wraps, unwraps := s.calls()
	if wraps != 1 || unwraps != 2 { // the move wraps and reads back, the open unwraps
		t.Errorf("%d wraps, %d unwraps", wraps, unwraps)
	}
	other, err := Ephemeral()
	check(t, err)
	foreign, err := other.Seal([]byte("secret"), "c")
	check(t, err)
	for range 1000 {
		sealed, err := k.Seal([]byte("secret"), "c")
		check(t, err)
		wantOpened(t, k, sealed)
		_, err = k.Open(foreign, "c")
		wantError(t, "a foreign key", err, cannotOpen)
	}
	if w, u := s.calls(); w != wraps || u != unwraps {
		t.Errorf("2000 seals and opens called the service %d times", w-wraps+u-unwraps)
	}
}

func TestAServiceThatIsAwayStopsNothingThatRuns(t *testing.T) {
	s := newService()
	k, path := movedKey(t, s)
	old, err := k.Seal([]byte("secret"), "c")
	check(t, err)
	before := readFile(t, path)
	s.goAway(true)
	wantOpened(t, k, old)
	if fresh, err := k.Seal([]byte("secret"), "c"); err != nil || !k.Current(fresh) {
		t.Errorf("%v", err)
	}
	_, err = Open(t.Context(), path, s.remotes)
	wantError(t, "a start", err, "key file "+path+": unwrap the keyset with "+uriA+": connection refused")
	if away := (*Away)(nil); !errors.As(err, &away) {
		t.Errorf("the error is %T", err)
	}
	for name, change := range map[string]error{"rotate": k.Rotate(t.Context()), "move": k.Move(t.Context(), uriB)} {
		wantError(t, name, change, "connection refused")
	}
	if !bytes.Equal(readFile(t, path), before) || k.Keys() != 1 || k.WrappedBy() != uriA {
		t.Error("a failed change left its traces")
	}
	s.goAway(false)
	check(t, k.Rotate(t.Context()))
	wantOpened(t, k, old)
}

// A running replica has an old keyset, and the service is away when it needs the new one. It tries again, but not for
// every secret.
func TestAReplicaReadsAChangedFileAgainWhenTheServiceIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		k, path := movedKey(t, s)
		running, err := Open(t.Context(), path, s.remotes)
		check(t, err)
		check(t, k.Move(t.Context(), uriB))
		if changed, err := running.Refresh(t.Context()); err != nil || !changed || running.WrappedBy() != uriB {
			t.Errorf("changed: %v, wrapped by %q, %v", changed, running.WrappedBy(), err)
		}
		check(t, k.Rotate(t.Context()))
		sealed, err := k.Seal([]byte("secret"), "c")
		check(t, err)
		s.goAway(true)
		_, before := s.calls()
		for range 100 {
			_, err = running.Open(sealed, "c")
			wantError(t, "while it is away", err, "the key file was changed and cannot be read: key file "+path)
		}
		if _, unwraps := s.calls(); unwraps != before+1 {
			t.Errorf("%d calls for 100 secrets", unwraps-before)
		}
		if changed, err := running.Refresh(t.Context()); changed || err == nil {
			t.Errorf("read again while it is away: %v, %v", changed, err)
		}
		s.goAway(false)
		time.Sleep(refreshPause)
		wantOpened(t, running, sealed)
		if changed, err := running.Refresh(t.Context()); err != nil || changed {
			t.Errorf("an unchanged file: %v, %v", changed, err)
		}
	})
}

func TestARunningKeyringRefusesAFileThatLacksItsKey(t *testing.T) {
	s := newService()
	k, path := movedKey(t, s)
	sealed, err := k.Seal([]byte("secret"), "c")
	check(t, err)
	older := readFile(t, path)
	check(t, k.Rotate(t.Context()))
	other, err := Ephemeral()
	check(t, err)
	foreign, err := other.Export()
	check(t, err)
	for name, data := range map[string][]byte{"an older file": older, "another key": foreign} {
		check(t, os.WriteFile(path, data, 0o600))
		_, err := k.Refresh(t.Context())
		wantError(t, name, err, "lacks the key that currently seals, so it is not used: restore the right file")
		wantError(t, name, k.Rotate(t.Context()), "lacks the key that currently seals")
		wantOpened(t, k, sealed)
		if !bytes.Equal(readFile(t, path), data) {
			t.Errorf("%s: it was replaced", name)
		}
	}
}

func TestARunningKeyringReportsAKeyFileThatIsGoneOrReadableByOthers(t *testing.T) {
	s := newService()
	k, path := movedKey(t, s)
	sealed, err := k.Seal([]byte("secret"), "c")
	check(t, err)
	check(t, os.Chmod(path, 0o644))
	_, err = k.Refresh(t.Context())
	wantError(t, "readable by others", err, "is readable by other users")
	check(t, os.Remove(path))
	if changed, err := k.Refresh(t.Context()); changed || !errors.Is(err, ErrNoKeyFile) {
		t.Errorf("without a file: %v, %v", changed, err)
	}
	other, err := Ephemeral()
	check(t, err)
	foreign, err := other.Seal([]byte("secret"), "c")
	check(t, err)
	_, err = k.Open(foreign, "c")
	wantError(t, "a foreign key without a file", err, "cannot be read: there is no key file at "+path)
	wantOpened(t, k, sealed)
}

func TestAKeySetOfAnotherKeyAndALyingServiceAreErrors(t *testing.T) {
	s := newService()
	k, path := movedKey(t, s)
	data := readFile(t, path)
	var file wrapped
	check(t, json.Unmarshal(data, &file))
	exchange := func(change func(*wrapped)) []byte {
		w := file
		change(&w)
		data, err := json.Marshal(w)
		check(t, err)
		return data
	}
	other := exchange(func(w *wrapped) { w.WrappedBy = uriB })
	s.keys[uriB] = s.keys[uriA]
	_, err := decode(t.Context(), other, s.remotes) // the same key at another address
	wantError(t, "a swapped URI", err, "the keyset was not wrapped by "+uriB+", or the key file was changed")
	s.keys[uriB] = bytes.Repeat([]byte{99}, 32)
	_, err = decode(t.Context(), other, s.remotes)
	wantError(t, "another key", err, "unwrap the keyset with "+uriB+": it did not encrypt this")
	_, second := movedKey(t, s)
	var mixed wrapped
	check(t, json.Unmarshal(readFile(t, second), &mixed))
	_, err = decode(t.Context(), exchange(func(w *wrapped) { w.WrappedKey = mixed.WrappedKey }), s.remotes)
	wantError(t, "the wrapped key of another file", err, "was not wrapped by "+uriA)
	_, err = decode(t.Context(), exchange(func(w *wrapped) { w.Keyset = []byte(`{"encryptedKeyset":"AAAA"}`) }), s.remotes)
	wantError(t, "another keyset", err, "was not wrapped by "+uriA)
	_, err = decode(t.Context(), exchange(func(w *wrapped) { w.WrappedBy = "unknown:x" }), s.remotes)
	wantError(t, "an unknown kind", err, "unknown kind of key")

	for name, lie := range map[string]func([]byte) []byte{
		"nothing":       func([]byte) []byte { return nil },
		"a short key":   func(key []byte) []byte { return key[1:] },
		"a long answer": func(key []byte) []byte { return bytes.Repeat(key, 1<<15) },
		"another key":   func(key []byte) []byte { return bytes.Repeat([]byte{1}, len(key)) },
	} {
		s.answer = lie
		_, err := Open(t.Context(), path, s.remotes)
		wantError(t, name, err, uriA)
		wantError(t, name+", while it moves", k.Move(t.Context(), uriB), "what "+uriB+" wrapped cannot be read back")
	}
	s.answer, s.garbles = nil, true
	wantError(t, "another key is wrapped", k.Move(t.Context(), uriB), "what "+uriB+" wrapped cannot be read back")
	if !bytes.Equal(readFile(t, path), data) || k.WrappedBy() != uriA {
		t.Error("a failed move changed the file")
	}
}

func TestAMoveKeepsTheOwnerAndTheModeOfTheKeyFile(t *testing.T) {
	s := newService()
	k, path := movedKey(t, s)
	owner := os.Getuid()
	if owner == 0 {
		owner = 65534
	}
	check(t, errors.Join(os.Chown(path, owner, -1), os.Chmod(path, 0o400)))
	for _, uri := range []string{uriB, ""} {
		check(t, k.Move(t.Context(), uri))
		info, err := os.Stat(path)
		check(t, err)
		if got := info.Sys().(*syscall.Stat_t).Uid; int(got) != owner || info.Mode().Perm() != 0o400 {
			t.Errorf("owner %d, mode %v", got, info.Mode())
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

// Processes that change the key file at the same time must not lose a key: it may have sealed something.
func TestChangesAtTheSameTimeLoseNoKey(t *testing.T) {
	s := newService()
	_, path := movedKey(t, s)
	const processes = 8
	failed := make(chan error, processes)
	for i := range processes {
		go func() {
			k, err := Open(t.Context(), path, s.remotes)
			if err == nil && i%2 == 0 {
				err = k.Rotate(t.Context())
			} else if err == nil {
				err = k.Move(t.Context(), []string{uriA, uriB}[i/2%2])
			}
			failed <- err
		}()
	}
	for range processes {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	k, err := Open(t.Context(), path, s.remotes)
	check(t, err)
	if k.Keys() != 1+processes/2 {
		t.Errorf("%d keys after %d rotations", k.Keys(), processes/2)
	}
}

func TestAWrappedKeySetComesFromTheEnvironment(t *testing.T) {
	s := newService()
	k, err := Ephemeral()
	check(t, err)
	sealed, err := k.Seal([]byte("secret"), "c")
	check(t, err)
	data, err := k.ExportWrapped(t.Context(), uriA, s.remotes)
	check(t, err)
	value := base64.StdEncoding.EncodeToString(data)
	again, err := FromEnvironment(t.Context(), value, s.remotes)
	check(t, err)
	wantOpened(t, again, sealed)
	wantError(t, "a move", again.Move(t.Context(), uriB), "cannot be moved in place: write it to a file")
	if changed, err := again.Refresh(t.Context()); changed || err != nil {
		t.Errorf("there is no file to refresh: %v, %v", changed, err)
	}
	s.goAway(true)
	_, err = FromEnvironment(t.Context(), value, s.remotes)
	wantError(t, "the service is away", err, "the key in the environment: unwrap the keyset with "+uriA)
}
