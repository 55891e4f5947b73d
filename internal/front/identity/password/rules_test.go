package password

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPasswordsThatAreEasyToGuessAreRefused(t *testing.T) {
	rules := Rules{Names: []string{"Globex Corporation", "https://keys.globex.example.com"}}
	user := []string{"olga.kern", "olga@acme.example.com", "acme"}
	for _, p := range []string{
		"password1234", "passwordpassword", "P@ssw0rd2026!", "iloveyou1234", "123456789012", "qwertyuiop12", "1qaz2wsx3edc",
		"aaaaaaaaaaaa", "abcabcabcabc", "Sommer2026!!", "Willkommen2026", "drowssap1234", strings.Repeat("a1", 36),
		"perennial2026", "Perennial-Admin", "olgaolgaolga", "Olga-Kern-1984", "OlgaKern@acme", "acme-acme-acme!",
		"globex-globex1", "GlobexCorporation", "keys.globex.example",
	} {
		if err := rules.Check(p, user...); !errors.Is(err, ErrGuessable) {
			t.Errorf("%s (%.1f bits): %v", p, bits(p, append(user, rules.Names...)), err)
		}
	}
	for _, p := range []string{
		"correct horse battery", "a sentence that is long enough", "an even better sentence", "kqzv7Hw3mXpd",
		"Die Birne schmeckt nach Regen", "пароль из слов", strings.Repeat("kqzv7Hw3mXpd", 80), "\xff\xfe\xfdkqzv7Hw3mXpd",
		"olga keeps the green kettle",
	} {
		if err := rules.Check(p, user...); err != nil {
			t.Errorf("%s (%.1f bits): %v", p, bits(p, append(user, rules.Names...)), err)
		}
	}
	for p, want := range map[string]error{"short": ErrShort, strings.Repeat("x", longest+1): ErrLong} {
		if err := rules.Check(p); !errors.Is(err, want) {
			t.Errorf("%d characters: %v", len(p), err)
		}
	}
}

// breachedFile writes the file of some passwords and returns its path.
func breachedFile(t *testing.T, end string, passwords ...string) string {
	t.Helper()
	var lines []string
	for i, p := range passwords {
		lines = append(lines, fmt.Sprintf("%X:%d%s", sha1.Sum([]byte(p)), i*i*i+1, end))
	}
	slices.Sort(lines)
	path := filepath.Join(t.TempDir(), "pwned.txt")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBreachedPasswordsAreFoundInASortedFile(t *testing.T) {
	for _, end := range []string{"\n", "\r\n"} {
		for _, n := range []int{1, 2, 3, 100} {
			var all []string
			for i := range n {
				all = append(all, fmt.Sprintf("a leaked sentence number %d", i))
			}
			rules := Rules{Breached: breachedFile(t, end, all...)}
			if err := rules.CheckFile(); err != nil {
				t.Fatal(err)
			}
			for _, p := range all {
				if err := rules.Check(p); !errors.Is(err, ErrBreached) {
					t.Errorf("%d lines: %q: %v", n, p, err)
				}
				if err := rules.Check(p + " with more"); err != nil {
					t.Errorf("%d lines: a password that is not in the file: %v", n, err)
				}
			}
		}
	}
}

func TestAFileThatIsNotAListOfHashesAcceptsNoPassword(t *testing.T) {
	const good = "a sentence that is long enough"
	for name, text := range map[string]string{"words": "password\n123456\n", "a long line": strings.Repeat("A", 5000),
		"NTLM": strings.Repeat("A", 32) + ":3\n"} {
		path := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		rules := Rules{Breached: path}
		if rules.CheckFile() == nil || rules.Check(good) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	unsorted := Rules{Breached: filepath.Join(t.TempDir(), "unsorted")}
	lines := strings.Repeat("B", 40) + ":3\n" + strings.Repeat("A", 40) + ":2\n"
	if err := os.WriteFile(unsorted.Breached, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unsorted.CheckFile(); err == nil || !strings.Contains(err.Error(), "sort the file by hash") {
		t.Errorf("a file in another order: %v", err)
	}
	empty := Rules{Breached: filepath.Join(t.TempDir(), "empty")}
	if err := os.WriteFile(empty.Breached, nil, 0o600); err != nil || empty.CheckFile() == nil {
		t.Errorf("an empty file: %v", err)
	}
	missing := Rules{Breached: filepath.Join(t.TempDir(), "missing")}
	if err := missing.Check(good); !errors.Is(err, os.ErrNotExist) || !errors.Is(missing.CheckFile(), os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestTheLongestPasswordIsEstimatedQuickly(t *testing.T) {
	ranks()
	began := time.Now()
	bits(strings.Repeat("Aa1!", longest/4), nil)
	if took := time.Since(began); took > 5*time.Second { // it takes about 2 ms
		t.Errorf("it took %v", took)
	}
}
