// Package docs holds the documents. Its tests show that what the documents name exists: tests, packages, files, targets
// of make, environment variables and metrics. Package main in cmd/perennial does the same for its commands and flags.
package docs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A document is a Markdown file of the repository.
type document struct {
	path  string // from the root of the repository
	text  string
	prose string // without code blocks
	code  string // the code blocks alone
}

var codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")

func documents(t *testing.T) []document {
	t.Helper()
	var all []document
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		files, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			all = append(all, document{
				path:  filepath.ToSlash(strings.TrimPrefix(file, "../")),
				text:  text,
				prose: codeBlock.ReplaceAllString(text, ""),
				code:  strings.Join(codeBlock.FindAllString(text, -1), "\n"),
			})
		}
	}
	atLeast(t, 8, len(all), "documents")
	return all
}

// atLeast fails if a test found so little to check that it has probably lost its subject.
func atLeast(t *testing.T, floor, checked int, what string) {
	t.Helper()
	if checked < floor {
		t.Errorf("only %d %s were checked, want %d or more", checked, what, floor)
	}
}

// files returns the files of the repository, from its root, without what git and builds put there.
func files(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || name == "../bin") {
			return filepath.SkipDir
		}
		if !d.IsDir() {
			all = append(all, filepath.ToSlash(strings.TrimPrefix(name, "../")))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	atLeast(t, 200, len(all), "files of the repository")
	return all
}

var testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\(`)

// tests returns the names of the tests in each folder with Go files.
func tests(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, file := range files(t) {
		if !strings.HasSuffix(file, ".go") {
			continue
		}
		folder := path.Dir(file)
		if _, ok := all[folder]; !ok {
			all[folder] = nil // a package without tests is a package, too
		}
		if strings.HasSuffix(file, "_test.go") {
			data, err := os.ReadFile(filepath.Join("..", file))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range testFunction.FindAllStringSubmatch(string(data), -1) {
				all[folder] = append(all[folder], m[1])
			}
		}
	}
	return all
}

// packageNamed returns the folder whose path is name or ends in it. It is empty if there is none, or more than one.
func packageNamed(packages map[string][]string, name string) string {
	name = strings.TrimSuffix(name, "/")
	if _, ok := packages[name]; ok {
		return name
	}
	found := ""
	for folder := range packages {
		if strings.HasSuffix(folder, "/"+name) {
			if found != "" {
				return ""
			}
			found = folder
		}
	}
	return found
}

// named matches a package before a colon, any other code span, and a test's name, in this order.
var named = regexp.MustCompile("`([^`\\s]+)`:|`([^`]+)`|\\b((?:Test|Fuzz)[A-Z]\\w*(?:\\.\\.\\.)?)")

func TestEveryNamedTestExistsInItsPackage(t *testing.T) {
	all := tests(t)
	checked := 0
	for _, d := range documents(t) {
		for _, row := range rows(d.text) {
			folder := "" // any
			for _, m := range named.FindAllStringSubmatch(row, -1) {
				test := m[3]
				switch {
				case m[1] != "" && (d.path == "docs/guarantees.md" || d.path == "docs/security.md"):
					if folder = packageNamed(all, m[1]); folder == "" {
						t.Errorf("%s: %q is not the name of one package", d.path, m[1])
					}
					continue
				case m[1] != "" || m[2] != "":
					span := m[1] + m[2]
					if !testName.MatchString(span) {
						if found := packageNamed(all, span); found != "" {
							folder = found
						}
						continue
					}
					test = span
				}
				checked++
				if !exists(all, folder, test) {
					t.Errorf("%s: there is no test %s in %q", d.path, test, folder)
				}
			}
		}
	}
	atLeast(t, 100, checked, "names of tests")
}

var testName = regexp.MustCompile(`^(Test|Fuzz)[A-Z]\w*(\.\.\.)?$`)

// rows splits a document into rows of tables, items of lists and paragraphs.
func rows(text string) (all []string) {
	var b strings.Builder
	flush := func() {
		all = append(all, b.String())
		b.Reset()
	}
	for line := range strings.Lines(text) {
		if start := strings.TrimSpace(line); start == "" || strings.HasPrefix(start, "|") || strings.HasPrefix(start, "- ") {
			flush()
		}
		b.WriteString(line)
	}
	flush()
	return all
}

// exists reports whether a folder, or any folder if it is empty, has a test. "..." at the end stands for the rest.
func exists(all map[string][]string, folder, test string) bool {
	prefix, open := strings.CutSuffix(test, "...")
	for in, names := range all {
		if folder != "" && in != folder {
			continue
		}
		if slices.ContainsFunc(names, func(n string) bool { return n == prefix || open && strings.HasPrefix(n, prefix) }) {
			return true
		}
	}
	return false
}

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	pathLike = regexp.MustCompile(`^\.?[\w-][\w.-]*(/[\w.-]+)*/?$`)
	fileLike = regexp.MustCompile(`\.(go|md|yml|yaml|json|txtar|svg|js|templ|pml|mod)$`)
)

// written are files that commands write where they run.
var written = []string{"guard.yaml"}

func TestEveryNamedPathExists(t *testing.T) {
	all := files(t)
	folders := map[string]bool{}
	for _, file := range all {
		for folder := path.Dir(file); folder != "."; folder = path.Dir(folder) {
			folders[folder] = true
		}
	}
	checked := 0
	for _, d := range documents(t) {
		for _, m := range codeSpan.FindAllStringSubmatch(d.prose, -1) {
			span := m[1]
			top, _, inFolder := strings.Cut(span, "/")
			if slices.Contains(written, span) || !pathLike.MatchString(span) ||
				!(inFolder && folders[top]) && !fileLike.MatchString(span) {
				continue
			}
			checked++
			name := strings.TrimSuffix(span, "/")
			if !folders[name] && !slices.ContainsFunc(all, func(file string) bool {
				return file == name || strings.HasSuffix(file, "/"+name)
			}) {
				t.Errorf("%s: there is no file or folder %s", d.path, span)
			}
		}
	}
	atLeast(t, 20, checked, "paths")
}

var (
	makeCall = regexp.MustCompile(`(?m)(?:^|[` + "`" + `;&] ?)make ([a-z][a-z-]*)((?: [A-Z]+=[^\s` + "`" + `]+)*)`)
	variable = regexp.MustCompile(`([A-Z]+)=`)
	target   = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)
)

func TestEveryNamedTargetOfMakeExists(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, m := range target.FindAllStringSubmatch(string(makefile), -1) {
		targets = append(targets, m[1])
	}
	checked := 0
	for _, d := range documents(t) {
		code := d.code
		for _, m := range codeSpan.FindAllString(d.prose, -1) {
			code += "\n" + strings.Join(strings.Fields(m), " ")
		}
		for _, m := range makeCall.FindAllStringSubmatch(code, -1) {
			checked++
			if !slices.Contains(targets, m[1]) {
				t.Errorf("%s: the Makefile has no target %s", d.path, m[1])
			}
			for _, v := range variable.FindAllStringSubmatch(m[2], -1) {
				if !strings.Contains(string(makefile), "$("+v[1]+")") {
					t.Errorf("%s: the Makefile does not use the variable %s", d.path, v[1])
				}
			}
		}
	}
	atLeast(t, 30, checked, "targets")
}

// source returns the Go code of the repository without tests.
func source(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, file := range files(t) {
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		b.Write(data)
	}
	return b.String()
}

func TestEveryNamedVariableAndMetricExists(t *testing.T) {
	code := source(t)
	texts := map[string]string{}
	for _, d := range documents(t) {
		texts[d.path] = d.text
	}
	for _, file := range files(t) {
		if strings.HasPrefix(file, "deploy/") && !strings.HasSuffix(file, ".go") {
			data, err := os.ReadFile(filepath.Join("..", file))
			if err != nil {
				t.Fatal(err)
			}
			texts[file] = string(data)
		}
	}
	for _, c := range []struct {
		what  string
		name  *regexp.Regexp
		floor int
	}{
		{"environment variables", regexp.MustCompile(`\bPERENNIAL_[A-Z][A-Z_]*\b`), 20},
		{"metrics", regexp.MustCompile(`\bperennial_[a-z][a-z_]*\b`), 30},
	} {
		checked := 0
		for file, text := range texts {
			for _, name := range c.name.FindAllString(text, -1) {
				checked++
				name = strings.TrimSuffix(name, "_bucket") // of a histogram
				if !strings.Contains(code, `"`+name+`"`) {
					t.Errorf("%s: the code does not know %s", file, name)
				}
			}
		}
		atLeast(t, c.floor, checked, c.what)
	}
}
