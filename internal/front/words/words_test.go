package words

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

// constant returns the value of a string literal, or of literals that are joined.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		a, ok := constant(e.X)
		b, also := constant(e.Y)
		return a + b, ok && also
	}
	return "", false
}

// formatOf returns the expression of the format if a call makes a text for a person.
func formatOf(call *ast.CallExpr, inTenancy bool) ast.Expr {
	name, of := "", ""
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			name, of = f.Sel.Name, x.Name
		}
	case *ast.Ident:
		if inTenancy {
			name, of = f.Name, "tenancy"
		}
	}
	switch {
	case of == "tenancy" && (name == "Errorf" || name == "Invalid") && len(call.Args) > 1:
		return call.Args[1]
	case of == "tenancy" && (name == "Say" || name == "Failure") && len(call.Args) > 0:
		return call.Args[0]
	case of == "huma" && strings.HasPrefix(name, "Error") && len(call.Args) > 0:
		return call.Args[0]
	}
	return nil
}

// walk parses the files of the program.
func walk(t *testing.T, visit func(path string, file *ast.File)) {
	t.Helper()
	for _, root := range []string{"../../../internal", "../../../tenancy", "../../../policy", "../../../rollover"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err == nil {
				visit(path, file)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// spoken returns the formats of the texts in the code, each with its file.
func spoken(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	walk(t, func(path string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if e := formatOf(call, file.Name.Name == "tenancy"); e != nil {
					if s, ok := constant(e); ok {
						all[s] = path
					}
				}
			}
			return true
		})
	})
	return all
}

func TestEveryTextHasAGermanOne(t *testing.T) {
	all := spoken(t)
	if len(all) < 200 {
		t.Fatalf("only %d texts were found", len(all))
	}
	for format, path := range all {
		if german[format] == "" {
			t.Errorf("%s: no German for %q", path, format)
		}
	}
	for format := range german {
		if _, found := all[format]; !found {
			t.Errorf("no code says %q", format)
		}
	}
}

func TestTranslationsHaveTheSameVerbs(t *testing.T) {
	verbs := regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z%]`)
	for english, german := range german {
		if a, b := verbs.FindAllString(english, -1), verbs.FindAllString(german, -1); !slices.Equal(a, b) {
			t.Errorf("%q has %v, and %q has %v", english, a, german, b)
		}
	}
}

func TestATextIsShownInTheLanguageOfItsReader(t *testing.T) {
	text := tenancy.Say("with generation %d: %s", 3, tenancy.Say("%s was refused (%s)", tenancy.Say("the probe"), "401"))
	for language, want := range map[string]string{"": "with generation 3: the probe was refused (401)",
		English: "with generation 3: the probe was refused (401)",
		German:  "Mit Generation 3: Die Testanfrage wurde abgelehnt (401)",
		"fr":    "with generation 3: the probe was refused (401)"} {
		if got := Say(With(context.Background(), language), text); got != want {
			t.Errorf("%q: %q", language, got)
		}
	}
	rule := tenancy.Invalid("name", "must not be empty")
	within := tenancy.Errorf(tenancy.ErrInvalid, "certificates could expire before they are renewed: %v", rule)
	lines := errors.Join(rule, errors.New("EOF"))
	for err, want := range map[error]string{
		rule:                           "name: darf nicht leer sein",
		fmt.Errorf("line 3: %w", rule): "line 3: name: must not be empty",
		errors.New("EOF"):              "EOF",
		lines:                          "name: darf nicht leer sein\nEOF",
		within:                         "Zertifikate könnten ablaufen, bevor sie erneuert werden: name: darf nicht leer sein",
	} {
		if got := Error(German, err); got != want {
			t.Errorf("%v: %q", err, got)
		}
		if got := Error(English, err); got != err.Error() {
			t.Errorf("%v: %q", err, got)
		}
	}
}

func TestWhatDoesNotExistIsNamedInGerman(t *testing.T) {
	for what, want := range map[string]string{"tenant acme": "Es gibt keinen Mandanten acme",
		"key user zoe": "Es gibt keinen Key-User zoe", "such page": "Es gibt diese Seite nicht",
		"such import": "Es gibt diesen Import nicht"} {
		if got := In(German, tenancy.Say("there is no %s", what)); got != want {
			t.Errorf("%q: %q", what, got)
		}
	}
}

// internalRows are the rows that always exist, or whose absence no person reads.
var internalRows = []string{"count", "sum", "time", "key", "limit", "lock", "job", "host", "setting",
	"longest lifetime", "message", "messages", "such pair", "such ceremony", "such chunk of the body of message "}

// The store names what it does not find in English, such as "tenant acme" or "such import".
func TestEveryKindThatMayNotExistHasAGermanName(t *testing.T) {
	seen := 0
	walk(t, func(path string, file *ast.File) {
		if filepath.Base(filepath.Dir(path)) != "store" {
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name, at := "", 2
			switch f := call.Fun.(type) {
			case *ast.Ident:
				name = f.Name
			case *ast.SelectorExpr:
				name, at = f.Sel.Name, 1
			}
			if name != "one" && name != "oneCounterparty" || len(call.Args) <= at {
				return true
			}
			what := call.Args[at]
			for {
				joined, ok := what.(*ast.BinaryExpr)
				if !ok {
					break
				}
				what = joined.X
			}
			kind, ok := constant(what)
			if !ok || slices.Contains(internalRows, kind) {
				return true
			}
			seen++
			if strings.HasSuffix(kind, " ") {
				kind += "x"
			}
			if got := In(German, tenancy.Say(absent, kind)); strings.HasPrefix(got, "Es gibt dies nicht") {
				t.Errorf("%s: %q has no German name", path, kind)
			}
			return true
		})
	})
	if seen < 30 {
		t.Errorf("only %d kinds were found", seen)
	}
}

func TestTheLanguageThatFitsTheHeaderBestIsAccepted(t *testing.T) {
	for header, want := range map[string]string{"": English, "de-AT, fr;q=0.8": German, "fr, de;q=0.5": German,
		"fr": English, "en-GB;q=0.9, de;q=0.8": English, strings.Repeat("x", 5000): English, "*": English} {
		if got := Accepted(header); got != want {
			t.Errorf("%.20q: %s", header, got)
		}
	}
}

// actionOf returns the expression of the code if a call makes an entry of the audit log.
func actionOf(call *ast.CallExpr) ast.Expr {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		name = f.Sel.Name
	case *ast.Ident:
		name = f.Name
	}
	switch {
	case name == "NewEvent" && len(call.Args) > 2:
		return call.Args[2]
	case name == "change" && len(call.Args) > 1:
		return call.Args[1]
	case name == "discard" && len(call.Args) > 3:
		return call.Args[3]
	}
	return nil
}

// codeForm is the form of the code of an event in the audit log.
var codeForm = regexp.MustCompile(`^[a-z-]+\.[a-z-]+$`)

// recordsEvents reports whether a file is part of a package that writes the audit log. The types of webhooks have the
// same form.
func recordsEvents(path string) bool {
	return (strings.Contains(path, "/internal/engine/") || strings.Contains(path, "/internal/front/api/")) &&
		!strings.Contains(path, "/engine/webhooks/")
}

func TestEveryEntryOfTheAuditLogHasATextInBothLanguages(t *testing.T) {
	kinds, recorded := map[string]bool{}, map[string]string{}
	for code := range actions {
		kind, _, _ := strings.Cut(code, ".")
		kinds[kind] = true
	}
	walk(t, func(path string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			// A code may reach its event in a variable: what looks like one is one, where events are recorded.
			if lit, ok := n.(*ast.BasicLit); ok && recordsEvents(path) {
				code, _ := constant(lit)
				if kind, _, found := strings.Cut(code, "."); found && kinds[kind] && codeForm.MatchString(code) {
					recorded[code] = path
				}
			}
			if call, ok := n.(*ast.CallExpr); ok {
				if e := actionOf(call); e != nil {
					if code, ok := constant(e); ok && strings.Contains(code, ".") {
						recorded[code] = path
					}
				}
			}
			return true
		})
	})
	if len(recorded) < 60 {
		t.Fatalf("only %d codes were found", len(recorded))
	}
	for code, path := range recorded {
		if text := actions[code]; text.english == "" || text.german == "" {
			t.Errorf("%s: %q has no text", path, code)
		}
	}
	for language, want := range map[string]string{English: "certificate renewed", German: "Zertifikat erneuert"} {
		if got := Action(language, "certificate.renewed"); got != want {
			t.Errorf("%s: %q", language, got)
		}
	}
	if got := Action(German, "new.code"); got != "new code" {
		t.Errorf("an unknown code: %q", got)
	}
}

// others are words that stand for a thing that has another word, by the table at [german].
var others = regexp.MustCompile(`Prüfung|[Vv]erbindung prüfen|jetzt prüfen|[Ee]rneut prüfen|Inhabername|Besitzer|` +
	`Administratoren|Administration|(der|den|dem|des) Administrator|Anforderung|(Zertifikat|CA|ist|sind) gesperrt|` +
	`[Gg]escheitert|ausgemustert|außer Dienst|(Die|die|der|eine) Policy|Betreiber|` +
	`Zertifikate? (angenommen|annehm|annimmt)|Counterparty|Rollover`)

func TestGermanHasOneWordForOneThing(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.go", "../web/german*.go", "../../engine/notify/templates/de/*.mail",
		"../../engine/notify/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	lines := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(strings.TrimSpace(line), "//") || !strings.HasSuffix(name, ".mail") && !isGerman(line) {
				continue
			}
			lines++
			if word := others.FindString(line); word != "" {
				t.Errorf("%s: %q has another word in the table at german:\n%s", name, word, strings.TrimSpace(line))
			}
		}
	}
	if lines < 500 {
		t.Fatalf("only %d German lines were found", lines)
	}
}

// isGerman reports whether a line of code has a German text.
func isGerman(line string) bool {
	return strings.ContainsAny(line, "äöüßÄÖÜ") || germanWords.MatchString(line)
}

var germanWords = regexp.MustCompile(`\b(der|die|das|den|des|ein|eine|einen|ist|sind|wird|nicht|und|mit|von|Sie)\b`)
