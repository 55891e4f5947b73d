package web

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// named finds the parts of the service that are named as the actor of an entry of the audit log.
var named = regexp.MustCompile(`\b(?:NewEvent|event)\([^,]+, "([a-z -]*[a-z])"`)

func TestEveryPartOfTheServiceThatChangesSomethingHasAName(t *testing.T) {
	found, v := map[string]bool{"command line": true}, &view{lang: "de"}
	for _, root := range []string{"../../engine", "../../service", "../identity"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			code, err := os.ReadFile(path)
			for _, m := range named.FindAllStringSubmatch(string(code), -1) {
				found[m[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 8 {
		t.Fatalf("only %d parts were found", len(found))
	}
	for name := range found {
		if v.parts()[name] == "" {
			t.Errorf("the actor %q has no name", name)
		}
	}
}

func TestActorsShowNoIDs(t *testing.T) {
	v := &view{lang: "de", zone: time.UTC}
	for name, want := range map[string]string{
		"link " + someID:                   "Link …5a6b7c8d",
		"link " + someID + " of acme/shop": "Link …5a6b7c8d acme/shop",
		"run 2026-12-01T00:00:00Z":         "Lauf 1. Dezember 2026, 00:00 UTC",
		"feed of the counterparty bank":    "Feed der Gegenpartei bank",
		"feed of acme/shop":                "Feed von acme/shop",
		"page of bank":                     "Seite von bank",
		"link in a mail to acme/alice":     "Link in einer Mail an acme/alice",
		"of a former release, link":        "of a former release, link",
	} {
		if got := v.actor(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
