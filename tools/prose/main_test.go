package main

import (
	"strings"
	"testing"
)

func TestPhrasesThatReadTranslatedAreFound(t *testing.T) {
	for _, c := range []struct {
		line string
		want string // a part of the advice; empty for a line that is fine
	}{
		{"// %q is no URL", "is not a"},
		{"// There is no URL in it.", ""},
		{"// It is no longer there.", ""},
		{"// A lease is taken, where it fails.", "if"},
		{"// Pace is how long a part may take.", "noun"},
		{"// The route is read anew.", "again"},
		{"// It asks once more.", "again"},
		{"// The message goes on with the old one.", "continues"},
		{"// A run is under way.", "running"},
		{"// Nobody reads it.", "actor"},
		{`store.Tenant(ctx, "nobody")`, ""}, // a name
		{"// It mends the files.", "fix"},
		{"// recommended", ""},
		{"// broken says which invariant fails.", "returns"},
		{"// The caller knows how many there are.", "returns"},
		{"// The administrator knows the receiver.", ""},
		{"// A worker takes it up.", "resume"},
		{`fmt.Errorf("%q is no rate", s)`, "is not a"},
		{"isNoProse := is no prose", ""}, // code
	} {
		found := check("x.go", "package x\n\n"+c.line+"\n")
		switch {
		case c.want == "" && len(found) > 0:
			t.Errorf("%q: %v", c.line, found)
		case c.want != "" && (len(found) != 1 || !strings.Contains(found[0].what, c.want) || found[0].line != 3):
			t.Errorf("%q: %v, want %q in line 3", c.line, found, c.want)
		}
	}
}

func TestScriptsAreReadInTheirCommentsAlone(t *testing.T) {
	script := "# It asks once more.\nstdout 'It asks once more.'\n"
	if found := check("x.txtar", script); len(found) != 1 || found[0].line != 1 {
		t.Errorf("%v, want line 1", found)
	}
	if found := check("x.txt", "Please send it once more.\n"); len(found) != 1 {
		t.Errorf("a mail: %v", found)
	}
}

func TestWideLinesAreFoundUnlessTheyCannotBeWrapped(t *testing.T) {
	long := strings.Repeat("x ", 70)
	for _, c := range []struct {
		path, line string
		want       int
	}{
		{"x.go", "// " + long, 1},
		{"x.go", "	Name string `help:\"" + long + "\"`", 0},
		{"x.md", long, 1},
		{"x.md", "| " + long + "|", 0},
		{"x.md", "see https://example.com/" + strings.Repeat("x", 120), 0},
		{"x.go", "// " + strings.Repeat("ü", 117), 0},
	} {
		if found := check(c.path, c.line); len(found) != c.want {
			t.Errorf("%s %.40q: %v", c.path, c.line, found)
		}
	}
}

func TestAnExceptionExcusesItsLineAlone(t *testing.T) {
	all := exceptions{{path: "a.md", part: "is no Perennial"}}
	if !all.excuse("a.md", "it is no Perennial here") || all.excuse("b.md", "it is no Perennial here") ||
		all.excuse("a.md", "it is no other") {
		t.Error("an exception excuses the wrong lines")
	}
	if !all[0].used {
		t.Error("the exception counts as unused")
	}
}
