package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Go does not specify whether "return v, read(&v)" returns v from before or from after the call (The Go Programming
// Language Specification, "Order of evaluation").
func TestNoResultIsReadInTheStatementOfTheCallThatSetsIt(t *testing.T) {
	returns := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			r, ok := n.(*ast.ReturnStmt)
			if !ok || len(r.Results) < 2 {
				return true
			}
			returns++
			last := len(r.Results) - 1
			for _, result := range r.Results[:last] {
				if name, ok := result.(*ast.Ident); ok && sets(r.Results[last], name.Name) {
					t.Errorf("%s: %s may be returned from before the call that sets it: call first, and return then",
						set.Position(r.Pos()), name.Name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil || returns < 1000 {
		t.Errorf("%d statements were read: %v", returns, err)
	}
}

// sets reports whether an expression is a call that gets the address of a variable, or of a part of it.
func sets(e ast.Expr, name string) (found bool) {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	ast.Inspect(call, func(n ast.Node) bool {
		if address, ok := n.(*ast.UnaryExpr); ok && address.Op == token.AND {
			x := address.X
			for selector, ok := x.(*ast.SelectorExpr); ok; selector, ok = x.(*ast.SelectorExpr) {
				x = selector.X
			}
			id, ok := x.(*ast.Ident)
			found = found || ok && id.Name == name
		}
		return true
	})
	return found
}
