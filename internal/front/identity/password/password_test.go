package password

import (
	"errors"
	"strings"
	"testing"
)

func TestOnlyTheSamePasswordMatches(t *testing.T) {
	for _, p := range []string{"correct horse battery", "пароль из слов", strings.Repeat("x", longest)} {
		hash, err := Hash(p)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || !Matches(hash, p) || Matches(hash, p+"x") ||
			Matches(hash, "") {
			t.Errorf("%q: %s", p, hash)
		}
		if again, _ := Hash(p); again == hash {
			t.Error("two hashes of one password are the same")
		}
	}
	for p, want := range map[string]error{"short": ErrShort, strings.Repeat("x", longest+1): ErrLong} {
		if _, err := Hash(p); !errors.Is(err, want) {
			t.Errorf("%d characters: %v", len(p), err)
		}
	}
	for _, hash := range []string{"", "$argon2id$", "$argon2id$v=19$m=0,t=0,p=0$AAAA$AAAA",
		"$bcrypt$v=19$m=1,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=8,t=1,p=1$!$AAAA"} {
		if Matches(hash, "correct horse battery") {
			t.Errorf("%q matches", hash)
		}
	}
}
