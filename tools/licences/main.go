// Command licences checks the licences of every module that the packages in its arguments link, and prints them.
//
// It recognises a licence by sentences of its text, not by its name, and allows permissive licences and MPL-2.0. A
// module whose licence is another one, is unknown, or is missing is a finding, and the exit status is 1. Arguments are
// package patterns of the module in the current folder.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A licence is recognised if its text has each of the sentences, in lower case and with single spaces.
type licence struct {
	name      string
	sentences []string
	allowed   bool
}

// licences are tried in their order. A licence that adds conditions to another one comes before it.
var licences = []licence{
	{"MPL-2.0", []string{"mozilla public license", "2.0", "covered software"}, true}, // its text names the AGPL
	{"AGPL", []string{"gnu affero general public license"}, false},
	{"BUSL", []string{"business source license"}, false},
	{"SSPL", []string{"server side public license"}, false},
	{"LGPL", []string{"gnu lesser general public license", "version"}, false},
	{"GPL", []string{"gnu general public license", "version"}, false},
	{"EPL", []string{"eclipse public license"}, false},
	{"Apache-2.0", []string{"apache license", "version 2.0"}, true},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "neither the name"}, true},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "may be used to endorse"}, true},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms"}, true},
	{"MIT", []string{"permission is hereby granted, free of charge", "the above copyright notice and this permission"},
		true},
	{"ISC", []string{"permission to use, copy, modify, and", "distribute this software for any purpose"}, true},
	{"Unlicense", []string{"this is free and unencumbered software released into the public domain"}, true},
	{"CC0-1.0", []string{"cc0 1.0 universal"}, true},
	{"public domain", []string{"all of the code and documentation in sqlite has been dedicated to the public domain"},
		true},
}

var spaces = regexp.MustCompile(`[\s*#/]+`)

// recognise returns the licence of a text; nil if it is not known.
func recognise(text string) *licence {
	plain := strings.ToLower(spaces.ReplaceAllString(text, " "))
	i := slices.IndexFunc(licences, func(l licence) bool {
		return !slices.ContainsFunc(l.sentences, func(s string) bool { return !strings.Contains(plain, s) })
	})
	if i < 0 {
		return nil
	}
	return &licences[i]
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-.].*)?$`)

// check returns the names of the licences in a module's folder. Each file must have an allowed one.
func check(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() || !licenceFile.MatchString(name) || strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "-LOGO") {
			continue // a picture is not linked
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return names, err
		}
		switch l := recognise(string(text)); {
		case l == nil:
			return names, fmt.Errorf("the licence in %s is not known: read it, and add it to tools/licences if it is permissive",
				name)
		case !l.allowed:
			return names, fmt.Errorf("the licence in %s is %s, which is not allowed: replace the module", name, l.name)
		default:
			names = append(names, l.name)
		}
	}
	if len(names) == 0 {
		return nil, errors.New("it has no licence")
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// A module is a dependency that go list reports.
type module struct {
	Path    string
	Version string
	Dir     string
	Main    bool
	Replace *module
}

// linked lists the modules whose packages the patterns need, without the main module.
func linked(patterns []string) (all []module, err error) {
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=Module"}, patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	seen := map[string]bool{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ Module *module }
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		m := p.Module
		if m == nil || m.Main || seen[m.Path] { // the standard library has no module
			continue
		}
		seen[m.Path] = true
		if m.Replace != nil {
			m.Dir = m.Replace.Dir
		}
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

func main() {
	modules, err := linked(os.Args[1:])
	if err == nil && len(modules) == 0 {
		err = errors.New("no module is linked: name packages such as ./cmd/...")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	findings := 0
	for _, m := range modules {
		names, err := check(m.Dir)
		if err != nil {
			findings++
			fmt.Printf("%s %s: %v\n", m.Path, m.Version, err)
			continue
		}
		fmt.Printf("%-16s %s %s\n", strings.Join(names, "+"), m.Path, m.Version)
	}
	fmt.Printf("licences: %d modules, %d findings\n", len(modules), findings)
	if findings > 0 {
		os.Exit(1)
	}
}
