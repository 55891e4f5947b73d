package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A commandLine is a call of perennial in a document.
type commandLine struct {
	document string
	args     []string
	complete bool // in a code block: nothing may be missing
}

var (
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")
	codeSpan  = regexp.MustCompile("`([^`]+)`")
	flagToken = regexp.MustCompile(`^--([a-z][a-z-]*)(=.*)?$`)
)

// documents returns the Markdown files that users read, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"../../*.md", "../../docs/*.md"} {
		files, err := filepath.Glob(pattern)
		testenv.Check(t, err)
		for _, file := range files {
			data, err := os.ReadFile(file)
			testenv.Check(t, err)
			all[strings.TrimPrefix(file, "../../")] = string(data)
		}
	}
	return all
}

// words splits a line as a shell does, up to a comment, a pipe or a redirection.
func words(line string) (all []string) {
	var b strings.Builder
	quote, open := rune(0), false
	for _, c := range line + " " {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteRune(c)
		case c == '\'' || c == '"':
			quote, open = c, true
		case c == ' ' || c == '\n' || c == '\t':
			if word := b.String(); word != "" || open {
				if slices.Contains([]string{"|", ">", "&&"}, word) || strings.HasPrefix(word, "#") {
					return all
				}
				all = append(all, word)
			}
			open = false
			b.Reset()
		default:
			b.WriteRune(c)
		}
	}
	return all
}

var environmentSetting = regexp.MustCompile(`^[A-Z_]+=`)

// arguments returns what follows perennial in a line; ok is false if the line calls something else.
func arguments(line string) (args []string, ok bool) {
	all := words(strings.TrimPrefix(strings.TrimSpace(line), "$ "))
	for len(all) > 0 && (environmentSetting.MatchString(all[0]) || all[0] == "time") {
		all = all[1:]
	}
	if len(all) < 2 || all[0] != "perennial" && all[0] != "bin/perennial" {
		return nil, false
	}
	return all[1:], true
}

// commandLines returns the calls in a document, and the flags that it names on their own.
func commandLines(name, text string) (calls []commandLine, flags []string) {
	for _, block := range codeBlock.FindAllString(text, -1) {
		for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
			if args, ok := arguments(line); ok {
				calls = append(calls, commandLine{name, args, true})
			}
		}
	}
	for _, m := range codeSpan.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		span := strings.Join(strings.Fields(m[1]), " ")
		if args, ok := arguments(span); ok {
			calls = append(calls, commandLine{name, args, false})
			continue
		}
		if !strings.HasPrefix(span, "--") {
			continue
		}
		for _, word := range words(span) {
			if f := flagToken.FindStringSubmatch(word); f != nil {
				flags = append(flags, f[1])
			}
		}
	}
	return calls, flags
}

// incomplete matches errors about what a command line lacks.
var incomplete = regexp.MustCompile(`^([a-z ]+: )?(expected |missing )`)

// reader returns a function that reads a command line as the program does, and runs nothing.
func reader(t *testing.T) func(args []string) error {
	t.Helper()
	exited := false
	parser, err := kong.New(&cli{}, kong.Name("perennial"), kong.Writers(io.Discard, io.Discard),
		kong.Exit(func(int) { exited = true }))
	testenv.Check(t, err)
	return func(args []string) error {
		exited = false
		// The parser is made for one command line, and remembers the flags of earlier ones.
		testenv.Check(t, kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
			if f, ok := node.(*kong.Flag); ok {
				f.Set = false
			}
			return next(nil)
		}))
		if _, err := parser.Parse(args); !exited { // help was not printed
			return err
		}
		return nil
	}
}

func TestEveryCommandLineInTheDocumentsIsValid(t *testing.T) {
	for _, name := range []string{"PERENNIAL_URL", "PERENNIAL_TOKEN", "PERENNIAL_CONTROL", "PERENNIAL_CONFIG"} {
		t.Setenv(name, "")
		testenv.Check(t, os.Unsetenv(name))
	}
	known, parse := flagNames(t), reader(t)
	complete, partial, flags := 0, 0, 0
	for name, text := range documents(t) {
		calls, named := commandLines(name, text)
		for _, call := range calls {
			if call.complete {
				complete++
			} else {
				partial++
			}
			err := parse(call.args)
			if err != nil && (call.complete || !incomplete.MatchString(err.Error())) {
				t.Errorf("%s: perennial %s: %v", call.document, strings.Join(call.args, " "), err)
			}
		}
		for _, flag := range named {
			flags++
			if !known[flag] {
				t.Errorf("%s: no command has the flag --%s", name, flag)
			}
		}
	}
	for what, floor := range map[string][2]int{"complete command lines": {complete, 20},
		"command lines in text": {partial, 50}, "flags": {flags, 40}} {
		if floor[0] < floor[1] {
			t.Errorf("only %d %s were found, want %d or more", floor[0], what, floor[1])
		}
	}
}

// flagNames returns the names of the flags of all commands.
func flagNames(t *testing.T) map[string]bool {
	t.Helper()
	parser, err := kong.New(&cli{})
	testenv.Check(t, err)
	all := map[string]bool{}
	testenv.Check(t, kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			all[flag.Name] = true
			if flag.Tag.Negatable != "" {
				all["no-"+flag.Name] = true
			}
		}
		return next(nil)
	}))
	return all
}

func TestTheHelpOfACommandShowsTheFlagsThatItTakes(t *testing.T) {
	var help bytes.Buffer
	exit := -1
	parser, err := kong.New(&cli{}, append(options(env{out: &help, err: &help}),
		kong.Exit(func(code int) { exit = code }))...)
	testenv.Check(t, err)
	var commands, byDefault int
	testenv.Check(t, kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		command, ok := node.(*kong.Node)
		if !ok || command.Type != kong.CommandNode || command.Hidden {
			return next(nil)
		}
		commands++
		flags := command.Flags
		if command.DefaultCmd != nil {
			byDefault++
			flags = append(slices.Clone(flags), command.DefaultCmd.Flags...)
		}
		help.Reset()
		args := append(strings.Fields(command.FullPath()), "--help")[1:]
		exit = -1
		if _, err := parser.Parse(args); exit != 0 {
			t.Fatalf("%v: %d, %v\n%s", args, exit, err, help.String())
		}
		shown := strings.ReplaceAll(help.String(), "--[no-]", "--")
		for _, flag := range flags {
			if !flag.Hidden && !strings.Contains(shown, "--"+flag.Name) {
				t.Errorf("the help of %v does not show --%s", args, flag.Name)
			}
		}
		return next(nil)
	}))
	if commands < 80 || byDefault == 0 {
		t.Errorf("%d commands, %d of them with a default", commands, byDefault)
	}
}

func TestACommandThatIsBuiltAloneIsTheSame(t *testing.T) {
	var out bytes.Buffer
	build := func(commands any) *kong.Kong {
		parser, err := kong.New(commands, append(options(env{out: &out, err: &out}), kong.Exit(func(int) {}))...)
		testenv.Check(t, err)
		return parser
	}
	parse := func(parser *kong.Kong, args []string) string {
		out.Reset()
		if _, err := parser.Parse(args); err != nil {
			out.WriteString(err.Error())
		}
		return out.String()
	}
	whole, alone := build(&cli{}), 0
	for _, top := range whole.Model.Children {
		commands := onlyCommand(top.Name)
		if _, all := commands.(*cli); all {
			continue
		}
		alone++
		one := build(commands)
		testenv.Check(t, kong.Visit(top, func(node kong.Visitable, next kong.Next) error {
			if command, ok := node.(*kong.Node); ok && command.Type == kong.CommandNode {
				for _, last := range []string{"--help", "--no-such-flag", "--version"} {
					args := append(strings.Fields(command.FullPath())[1:], last)
					if got, want := parse(one, args), parse(whole, args); got != want || got == "" {
						t.Errorf("%v alone:\n%s\namong all:\n%s", args, got, want)
					}
				}
			}
			return next(nil)
		}))
	}
	if all := len(whole.Model.Children); alone != all-2 { // completion and the manual page need all commands
		t.Errorf("%d of %d commands are built alone", alone, all)
	}
	for _, other := range []string{"", "--help", "ShowVersion", "no-such-command"} {
		if _, all := onlyCommand(other).(*cli); !all {
			t.Errorf("%q is a command", other)
		}
	}
}

// TestEveryCommandLineInTheDocumentsIsValid must notice what is wrong.
func TestInvalidCommandLinesAreNoticed(t *testing.T) {
	parse := reader(t)
	for line, want := range map[string]string{
		"perennial run lists":                                  "unexpected argument lists",
		"$ bin/perennial serve --port 80":                      "unknown flag --port",
		"perennial token create app --role boss":               "must be one of",
		"PERENNIAL_TOKEN=x perennial backup":                   "expected",
		"perennial certificate show acme 'and' # its validity": "unexpected argument and",
		"perennial audit verify --head abc | tail":             "<nil>",
	} {
		args, ok := arguments(line)
		if got := fmt.Sprint(parse(args)); !ok || !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}
