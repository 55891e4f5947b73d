package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/front/instructions"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// spoken returns the texts in the code that are passed to T, directly, through [view.Away] or [view.Count], by the
// table of pages, of a built-in policy, or from the instructions.
func spoken(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, p := range policy.Presets() {
		all[p.Source] = true
	}
	for i := range 1 << 6 {
		changes := tenancy.Changes{Key: i&1 > 0, Subject: i&2 > 0, SAN: i&4 > 0, Issuer: i&8 > 0, Root: i&16 > 0}
		for _, text := range instructions.For(instructions.Renewal{Changes: changes, Revoked: i&32 > 0}) {
			all[text.How] = true
			for _, note := range text.Notes {
				all[note] = true
			}
		}
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if entry, ok := n.(*ast.KeyValueExpr); ok { // of the table of pages
				if key, ok := entry.Key.(*ast.Ident); ok && (key.Name == "menu" || key.Name == "group") {
					if s, ok := constant(t, entry.Value); ok {
						all[s] = true
					}
				}
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			args := call.Args
			switch f := call.Fun.(type) {
			case *ast.SelectorExpr:
				switch {
				case f.Sel.Name == "T" && len(args) > 0:
					args = args[:1]
				case f.Sel.Name == "Count" && len(args) == 3:
					args = args[1:]
				default:
					return true
				}
			case *ast.Ident:
				if f.Name != "count" || len(args) != 5 {
					return true
				}
			default:
				return true
			}
			for _, a := range args {
				if s, ok := constant(t, a); ok {
					all[s] = true
				}
			}
			return true
		})
	}
	return all
}

// constant evaluates a string literal, which may be split over several lines.
func constant(t *testing.T, e ast.Expr) (string, bool) {
	t.Helper()
	switch e := e.(type) {
	case *ast.BinaryExpr:
		left, ok := constant(t, e.X)
		right, also := constant(t, e.Y)
		return left + right, ok && also && e.Op == token.ADD
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		if e.Kind == token.STRING && err != nil {
			t.Fatal(err)
		}
		return s, e.Kind == token.STRING
	}
	return "", false
}

var verbs = regexp.MustCompile(`%[a-z]`)

func TestEveryTextHasAGermanTranslation(t *testing.T) {
	said := spoken(t)
	if len(said) < 400 {
		t.Fatalf("only %d texts were found", len(said))
	}
	for text := range said {
		translated, ok := german[text]
		if !ok {
			t.Errorf("no German for %q", text)
		} else if !slices.Equal(verbs.FindAllString(text, -1), verbs.FindAllString(translated, -1)) {
			t.Errorf("%q has other formatting verbs than %q", translated, text)
		}
	}
	for text := range german {
		if !said[text] {
			t.Errorf("%q is not used any more", text)
		}
	}
}
