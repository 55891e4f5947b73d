// Command prose finds lines that are too wide, and phrases that an experienced native engineer would not write.
//
// It reads the files that git tracks below the current folder: comments and string literals of Go, the lines of
// templates of pages and mails, Markdown and deployment files, and the comments of test scripts. Each finding is printed as "file:line: what to write instead: the line", and the exit status
// is 1. A phrase that is right where it stands is listed in the exceptions file, as "file: a part of the line"; an
// exception that no longer excuses anything is itself a finding. Arguments limit the search to paths that begin so.
package main

import (
	"flag"
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// width is the limit of a line, in characters.
const width = 120

// A habit is a phrase to avoid, with what to write instead.
type habit struct {
	phrase *regexp.Regexp
	except *regexp.Regexp // matches that are fine; nil for none
	write  string
}

// habits are tried in this order, and the first that matches is reported.
var habits = []habit{
	{regexp.MustCompile(`(?i)\b(is|are|was|were) no [a-z]+`),
		regexp.MustCompile(`(?i)\bthere (is|are|was|were) no |(is|are|was|were) no (longer|more|less|fewer|later|earlier)\b`),
		`"is not a ...", "invalid ..."`},
	{regexp.MustCompile(`(?i)[,;:] where (it|there|that|they|nothing|none|this|no|a|an|the|its|one)\b`), nil, `"if", "when"`},
	{regexp.MustCompile(`(?i)\bwhere (there (is|are)|it is given|nothing|that is not|it (has|had) (no|none))\b`), nil,
		`"if", "when"`},
	{regexp.MustCompile(`^\s*(//|\*)?\s*\w+(\.\w+)? (is|are) (what|how|when|where|whether|who|from when)\b`), nil,
		`a noun or a verb phrase: "X limits ...", "X returns ..."`},
	{regexp.MustCompile(`(?i)\banew\b`), nil, `"again"`},
	{regexp.MustCompile(`(?i)\bonce more\b`), nil, `"again"`},
	{regexp.MustCompile(`(?i)\b(goes|go|went) on (with|by|in|as|until|to|from|and|then|while|after|sending|alone)\b`), nil,
		`"continues", "keeps"`},
	{regexp.MustCompile(`(?i)\bunder way\b`), nil, `"running", "in flight"`},
	{regexp.MustCompile(`(?i)\b(is|are|was|were) heard\b`), nil, `"is notified"`},
	{regexp.MustCompile(`(?i)\b(somebody|nobody|everybody)('s)? [a-z]`), nil, "the actor: worker, replica, receiver, sender, administrator"},
	{regexp.MustCompile(`(?i)\bmend(s|ed|ing)?\b`), nil, `"fix"`},
	{regexp.MustCompile(`(?i)\b(takes?|took|taken|taking) (it |them |a task |lost jobs )?up\b`), nil, `"resume", "start"`},
	{regexp.MustCompile(`(?i)\bbehind the back\b|\bbehind (its|their) backs?\b`), nil, `"in the background"`},
	{regexp.MustCompile(`(?i)\bthe very [a-z]+\b`), nil, `"exactly this ..."`},
	{regexp.MustCompile(`(?i)\b(says|knows|hears|tells) (which|what|how|that|whether)\b`), nil,
		`"returns", "records", "reports"`},
}

// globs select the files that are read.
var globs = []string{"*.go", "*.templ", "*.md", "internal/*.txt", "internal/*.html", "internal/*.mail", "*.txtar",
	"deploy/*.yml"}

func main() {
	exceptionsFile := flag.String("exceptions", "", "file of exceptions")
	flag.Parse()
	list, err := exec.Command("git", append([]string{"ls-files", "-z", "--"}, globs...)...).Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "prose: git ls-files:", err)
		os.Exit(2)
	}
	exceptions, err := readExceptions(*exceptionsFile)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prose:", err)
		os.Exit(2)
	}
	findings := 0
	for path := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if !wanted(path, flag.Args()) {
			continue
		}
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) { // deleted, and not yet committed
			continue
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "prose:", err)
			os.Exit(2)
		}
		for _, f := range check(path, string(data)) {
			if !exceptions.excuse(path, f.text) {
				fmt.Println(f)
				findings++
			}
		}
	}
	if flag.NArg() == 0 {
		for _, e := range exceptions {
			if !e.used {
				fmt.Printf("%s: the exception %q excuses nothing any longer: remove it\n", *exceptionsFile, e.path+": "+e.part)
				findings++
			}
		}
	}
	if findings > 0 {
		fmt.Fprintf(os.Stderr, "prose: %d findings\n", findings)
		os.Exit(1)
	}
}

func wanted(path string, prefixes []string) bool {
	if strings.HasSuffix(path, "_templ.go") || strings.HasPrefix(path, "tools/prose/") {
		return false
	}
	return len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p string) bool {
		return strings.HasPrefix(path, strings.TrimPrefix(p, "./"))
	})
}

// A finding is a line with what is wrong about it.
type finding struct {
	path string
	line int
	what string
	text string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", f.path, f.line, f.what, strings.TrimSpace(f.text))
}

func check(path, data string) (all []finding) {
	prose := lines(path, data)
	for i, line := range strings.Split(data, "\n") {
		if n := utf8.RuneCountInString(line); n > width && !mayBeWide(path, line) {
			all = append(all, finding{path, i + 1, fmt.Sprintf("%d characters, at most %d", n, width), line})
		}
		if what := translated(prose[i+1]); what != "" {
			all = append(all, finding{path, i + 1, "write " + what, line})
		}
	}
	return all
}

// translated returns what to write instead of the first phrase to avoid in a text; empty if there is none.
func translated(text string) string {
	for _, h := range habits {
		for _, at := range h.phrase.FindAllStringIndex(text, -1) {
			around := text[max(0, at[0]-8):min(len(text), at[1]+8)]
			if h.except == nil || !h.except.MatchString(around) {
				return h.write
			}
		}
	}
	return ""
}

// lines returns the prose of each line, by its number.
func lines(path, data string) map[int]string {
	prose := map[int]string{}
	if !strings.HasSuffix(path, ".go") {
		for i, line := range strings.Split(data, "\n") {
			if strings.HasSuffix(path, ".txtar") && !strings.HasPrefix(line, "#") { // commands and their output
				continue
			}
			prose[i+1] = line
		}
		return prose
	}
	files := token.NewFileSet()
	file := files.AddFile(path, -1, len(data))
	var s scanner.Scanner
	s.Init(file, []byte(data), nil, scanner.ScanComments)
	for {
		at, kind, text := s.Scan()
		if kind == token.EOF {
			return prose
		}
		if kind != token.COMMENT && kind != token.STRING {
			continue
		}
		first := file.Line(at)
		for i, line := range strings.Split(text, "\n") {
			prose[first+i] += line + " "
		}
	}
}

var (
	url       = regexp.MustCompile(`https?://\S{60,}`)
	structTag = regexp.MustCompile("`[a-z]+:\"")
)

// mayBeWide reports whether a line cannot or need not be wrapped: tables, pictures and links of Markdown, struct tags,
// long addresses, directives for the compiler, mails, and the commands and queries of scripts and deployment files.
func mayBeWide(path, line string) bool {
	trimmed := strings.TrimSpace(line)
	if strings.HasSuffix(path, ".md") {
		return strings.HasPrefix(trimmed, "|") || strings.HasPrefix(trimmed, "![") || strings.HasPrefix(trimmed, "#") ||
			url.MatchString(line)
	}
	switch filepath.Ext(path) {
	case ".txt", ".html", ".mail", ".yml":
		return true
	case ".txtar":
		return !strings.HasPrefix(line, "#")
	}
	return structTag.MatchString(line) || url.MatchString(line) || strings.HasPrefix(trimmed, "//go:")
}

// An exception is a phrase that is right where it stands.
type exception struct {
	path, part string
	used       bool
}

type exceptions []*exception

func readExceptions(path string) (all exceptions, err error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		file, part, ok := strings.Cut(line, ": ")
		if !ok {
			return nil, fmt.Errorf("%s:%d: write \"file: a part of the line\"", path, i+1)
		}
		all = append(all, &exception{path: file, part: part})
	}
	return all, nil
}

func (all exceptions) excuse(path, line string) bool {
	for _, e := range all {
		if e.path == path && strings.Contains(line, e.part) {
			e.used = true
			return true
		}
	}
	return false
}
