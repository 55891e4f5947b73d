package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	mit = "Permission is hereby granted, free of charge, to any person obtaining a copy\nThe above copyright notice and " +
		"this permission notice shall be included"
	mpl  = "Mozilla Public License Version 2.0 ... Covered Software ... the GNU Affero General Public License"
	agpl = "GNU AFFERO GENERAL\n   PUBLIC LICENSE Version 3"
)

func TestOnlyPermissiveLicencesAndMPLPass(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string // the names, or a part of the error
	}{
		"MIT":              {map[string]string{"LICENSE": mit}, "MIT"},
		"MIT as a comment": {map[string]string{"LICENCE.md": "# " + strings.ReplaceAll(mit, "\n", "\n# ")}, "MIT"},
		"MPL":              {map[string]string{"LICENSE.txt": mpl}, "MPL-2.0"},
		"two": {
			map[string]string{"LICENSE-MIT": mit, "LICENSE-APACHE": "Apache License\nVersion 2.0"},
			"Apache-2.0+MIT"},
		"AGPL": {map[string]string{"COPYING": agpl}, "AGPL, which is not allowed"},
		"one of two is not known": {
			map[string]string{"LICENSE": mit, "LICENSE-PARTS": "Ask us."},
			"LICENSE-PARTS is not known"},
		"BUSL":      {map[string]string{"LICENSE": "Business Source License 1.1"}, "BUSL, which is not allowed"},
		"GPL":       {map[string]string{"LICENSE": "GNU General Public License version 2"}, "GPL, which is not allowed"},
		"none":      {map[string]string{"README": mit, "license.go": mit}, "it has no licence"},
		"a picture": {map[string]string{"LICENSE": mit, "LICENSE-LOGO": "https://example.com/logo"}, "MIT"},
	} {
		dir := t.TempDir()
		for file, text := range c.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		names, err := check(dir)
		got := strings.Join(names, "+")
		if err != nil {
			got = err.Error()
		}
		if got != c.want && !(err != nil && strings.Contains(got, c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestTheModulesOfAProgramAreListedOnceAndWithoutItsOwn(t *testing.T) {
	modules, err := linked([]string{"helm.sh/helm/v3/pkg/chart"})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range modules {
		if seen[m.Path] || m.Main || m.Dir == "" {
			t.Errorf("%+v", m)
		}
		seen[m.Path] = true
	}
	if !seen["helm.sh/helm/v3"] {
		t.Errorf("modules %v", seen)
	}
	if _, err := linked([]string{"./no-such-package"}); err == nil {
		t.Error("a package that does not exist has modules")
	}
}
