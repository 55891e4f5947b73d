package password

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestOnlyTheSamePasswordMatches(t *testing.T) {
	for _, p := range []string{"correct horse battery", "пароль из слов", strings.Repeat("x", longest)} {
		hash, err := Hash(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || !matches(t, hash, p) ||
			matches(t, hash, p+"x") || matches(t, hash, "") {
			t.Errorf("%q: %s", p, hash)
		}
		if again, _ := Hash(t.Context(), p); again == hash {
			t.Error("two hashes of one password are the same")
		}
	}
	for p, want := range map[string]error{"short": ErrShort, strings.Repeat("x", longest+1): ErrLong} {
		if _, err := Hash(t.Context(), p); !errors.Is(err, want) {
			t.Errorf("%d characters: %v", len(p), err)
		}
	}
	for _, hash := range []string{"", "$argon2id$", "$argon2id$v=19$m=0,t=0,p=0$AAAA$AAAA",
		"$bcrypt$v=19$m=1,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=8,t=1,p=1$!$AAAA"} {
		if matches(t, hash, "correct horse battery") {
			t.Errorf("%q matches", hash)
		}
	}
}

func matches(t *testing.T, hash, password string) bool {
	t.Helper()
	ok, err := Matches(t.Context(), hash, password)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestFewPasswordsWaitForTheirTurnAndEndedRequestsAreNotComputed(t *testing.T) {
	hash, err := Hash(t.Context(), "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	for range computed { // every turn is taken
		turns <- struct{}{}
	}
	ctx, end := context.WithCancel(t.Context())
	results := make(chan error, 2*(computed+waiting))
	for range cap(results) {
		go func() {
			_, err := Matches(ctx, hash, "correct horse battery")
			results <- err
		}()
	}
	for range cap(results) - cap(queued) {
		if err := <-results; !errors.Is(err, ErrBusy) {
			t.Errorf("more than may wait: %v", err)
		}
	}
	if err := Waste(ctx, "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("a name that does not exist: %v", err)
	}
	if _, err := Hash(ctx, "correct horse battery"); !errors.Is(err, ErrBusy) {
		t.Errorf("a new password: %v", err)
	}
	end() // the requests that wait are abandoned
	for range cap(queued) {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("an abandoned request: %v", err)
		}
	}
	for range computed {
		<-turns
	}
	if _, err := Matches(ctx, hash, "correct horse battery"); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that ended before its turn: %v", err)
	}
	if !matches(t, hash, "correct horse battery") {
		t.Error("the queue is not free again")
	}
}
