package issuers_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuers"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

var (
	check = testenv.Check
	quiet = issuers.Env{Form: issuer.Form{TrustDomain: "p.example.com", Organization: "P"},
		Log: slog.New(slog.DiscardHandler)}
)

// The table of faults lives in issuertest, and what it needs of a protocol in the tests of the issuer.
func TestEachIssuerThatAsksOverHTTPSIsTestedWithEachFault(t *testing.T) {
	asking := 0
	for _, kind := range issuers.Kinds() {
		dir := filepath.Join("../issuer", strings.ReplaceAll(kind, "-", ""))
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		check(t, err)
		var asks, tested bool
		for _, file := range files {
			text, err := os.ReadFile(file)
			check(t, err)
			if strings.HasSuffix(file, "_test.go") {
				tested = tested || strings.Contains(string(text), "issuertest.RunFaults(")
			} else {
				asks = asks || strings.Contains(string(text), "foreign.NewClient(")
			}
		}
		if len(files) == 0 || asks && !tested {
			t.Errorf("%s: the tests in %s do not call issuertest.RunFaults", kind, dir)
		}
		if asks {
			asking++
		}
	}
	if asking < 4 { // step-ca, vault, est, acme
		t.Errorf("only %d kinds ask over HTTPS", asking)
	}
}

func TestAnErrorInTheFileNamesItsLineAndNoSecret(t *testing.T) {
	dir := t.TempDir()
	// settings returns a file with an issuer whose settings begin in line 5.
	settings := func(kind, text string) string {
		return "issuers:\n- name: a\n  kind: " + kind + "\n  settings:\n    " + text + "\n"
	}
	const one = "- {name: a, kind: exec, settings: {roots: x}}\n"
	roots := testca.New(t, "Theirs", time.Now()).RootFile(t)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":     {"", "the file is empty"},
		"no YAML":     {"issuers: [", "line 1"},
		"another key": {"issuers: []\nissuer: []\n", `line 2: unknown key "issuer": use issuers`},
		"no list":     {"issuers: 5\n", "line 1: expected a list"},
		"a key twice": {"issuers: []\nissuers: []\n", "line 2: issuers appears twice"},
		"an unknown kind": {settings("other", "url: x"),
			`line 2: unknown kind "other": use one of ` + strings.Join(issuers.Kinds(), ", ")},
		"no name":         {"issuers:\n- kind: exec\n  settings: {command: [/bin/sh]}\n", "line 2: "},
		"the built-in CA": {"issuers:\n- name: local\n  kind: exec\n  settings: {roots: x}\n", "that of the built-in CA"},
		"a name twice": {"issuers:\n" + one + one,
			`line 3: the name "a" appears twice`},
		"no settings":   {"issuers:\n- {name: a, kind: exec}\n", "line 2: settings are missing"},
		"a rate":        {"issuers:\n- {name: a, kind: exec, rate: -1, settings: {roots: x}}\n", "line 2: invalid rate -1"},
		"a rate, text":  {"issuers:\n- {name: a, kind: exec, rate: fast, settings: {roots: x}}\n", "line 2"},
		"a setting":     {settings("exec", "comand: x"), `line 5: unknown key "comand": use command,`},
		"a deep key":    {settings("vault", "auth:\n      methd: token"), `line 6: unknown key "methd"`},
		"a secret":      {settings("est", "password: hush"), "line 5: not a reference to a secret"},
		"deep secrets":  {settings("exec", "secrets: {A: hush}"), "line 5: not a reference"},
		"a secret list": {settings("est", "password: [hush]"), "line 5: expected a text"},
		"an alias": {"issuers:\n- name: a\n  kind: exec\n  settings: &s {roots: x}\n" +
			"- {name: b, kind: exec, settings: *s}\n", "line 5: aliases are not supported"},
		"a duration": {settings("exec", "command: [/bin/sh]\n    timeout: soon\n    roots: "+roots),
			"line 6: cannot unmarshal"},
		"a missing program": {settings("exec", "command: [/nowhere/x]\n    roots: "+roots),
			"line 2: issuer a: command: stat /nowhere/x"},
	} {
		path := filepath.Join(dir, "issuers.yml")
		check(t, os.WriteFile(path, []byte(c.text), 0o600))
		entries, err := issuers.Read(path)
		for _, e := range entries {
			if err == nil {
				_, err = e.Open(quiet)
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) ||
			strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := issuers.Read(filepath.Join(dir, "missing.yml")); err == nil {
		t.Error("a missing file is read")
	}
}

func TestAnUnknownIssuerNamesThoseOfTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuers.yml")
	check(t, os.WriteFile(path, []byte("issuers:\n- {name: a, kind: exec, settings: {roots: x}}\n"+
		"- {name: b, kind: exec, rate: 2.5, settings: {roots: x}}\n"), 0o600))
	entries, err := issuers.Read(path)
	check(t, err)
	if len(entries) != 2 || entries[1].Rate != 2.5 {
		t.Errorf("%+v", entries)
	}
	if _, err := issuers.Find(entries, "c"); err == nil || !strings.Contains(err.Error(), "the file has a, b") {
		t.Errorf("%v", err)
	}
}
