package words

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestTextsOfTheAuditLogAreReadInGerman(t *testing.T) {
	for english, want := range map[string]string{
		"a probe shows that the receiver accepts generation 2": "eine Testanfrage zeigt, dass der Empfänger Generation 2 " +
			"akzeptiert",
		"the receiver refuses generation 2, and traffic shows that it accepts generation 1": "der Empfänger lehnt " +
			"Generation 2 ab, und Nachrichten zeigen, dass er Generation 1 akzeptiert",
		"generation 1 expires on 2026-12-01": "Generation 1 läuft am 2026-12-01 ab",
		"302 Found instead of 200 OK":        "302 Found statt 200 OK",
		"TLS alert: bad certificate":         "TLS-Alert: bad certificate",
		"there is no tenant acme":            "Es gibt keinen Mandanten acme",
		"401 Unauthorized":                   "401 Unauthorized",
		"what no format says":                "what no format says",
		"":                                   "",
	} {
		if got := Read(German, english); got != want {
			t.Errorf("%q: %q, want %q", english, got, want)
		}
		if got := Read(English, english); got != english {
			t.Errorf("%q: %q", english, got)
		}
	}
}

func TestEveryTextWithOwnWordsIsRecognised(t *testing.T) {
	seen := 0
	for _, p := range patterns() {
		args := make([]any, len(p.verbs))
		for i, verb := range p.verbs {
			switch verb {
			case "%d":
				args[i] = 17
			case "%s", "%v", "%q":
				args[i] = "X#Y"
			}
		}
		// Others have verbs such as %.1f.
		if text := (tenancy.Text{Format: p.format, Args: args}); !slices.Contains(args, nil) {
			seen++
			if got, want := Read(German, text.String()), In(German, text); got != want {
				t.Errorf("%q: %q, want %q", p.format, got, want)
			}
		}
	}
	if seen < 500 {
		t.Errorf("only %d texts were tried", seen)
	}
}

func TestEveryReasonOfACutOverHasAGermanText(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../../rollover/rollover.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr: // of fmt.Sprintf
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sprintf" {
				format, _ := constant(n.Args[0])
				found[format] = true
			}
		case *ast.KeyValueExpr: // of findings, and of a move that a person made
			if text, ok := constant(n.Value); ok {
				found[text] = true
			}
		}
		return true
	})
	for format := range found {
		if germanMoves[format] == "" {
			t.Errorf("%q has no German text", format)
		}
	}
	for format := range germanMoves {
		if !found[format] {
			t.Errorf("no cut-over has the reason %q", format)
		}
	}
	if len(found) < 10 {
		t.Errorf("only %d reasons were found", len(found))
	}
}
