package web

import (
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// allowed are the packages of this module that the console may import.
var allowed = map[string]bool{
	"client": true, "policy": true, "rollover": true, "tenancy": true, "internal/front/identity": true,
	"internal/front/identity/password": true, "internal/front/instructions": true, "internal/front/principal": true,
	"internal/front/publish": true,
}

func TestTheConsoleIsAClientOfTheAPIAndUsesNoStore(t *testing.T) {
	const module = "github.com/perennial-pki/perennial/"
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if own, ok := strings.CutPrefix(path, module); ok {
				if found++; !allowed[own] {
					t.Errorf("%s imports %s: the console reads and changes everything through the API", e.Name(), own)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d imports were checked", found)
	}
}
