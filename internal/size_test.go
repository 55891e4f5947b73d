package internal_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	maxLines   = 550 // of a file, about 500, without tests and generated files
	maxMethods = 4   // of an interface, without those of the interfaces that it embeds
)

// A module with a file of another name cannot be downloaded (golang.org/x/mod/module, CheckFilePath).
func TestNamesOfFilesArePortable(t *testing.T) {
	allowed := regexp.MustCompile(`^[A-Za-z0-9._+@-]+$`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if name := d.Name(); d.IsDir() && (name == ".git" || name == "bin" || name == "node_modules") {
			return filepath.SkipDir
		}
		if name := filepath.Base(path); name != ".." && !allowed.MatchString(name) {
			t.Errorf("%s: use letters, digits, dots and dashes only", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFilesAndInterfacesAreSmall(t *testing.T) {
	files, interfaces := 0, 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(name, ".") && name != ".." || name == "bin" || name == "testdata"):
			return filepath.SkipDir
		case d.IsDir(), !strings.HasSuffix(name, ".go"), strings.HasSuffix(name, "_test.go"),
			strings.HasSuffix(name, "_templ.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		if lines := bytes.Count(text, []byte("\n")); lines > maxLines {
			t.Errorf("%s has %d lines: split it by what changes together, into at most %d", path, lines, maxLines)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			it, ok := spec.Type.(*ast.InterfaceType)
			if !ok {
				return true
			}
			interfaces++
			methods := 0
			for _, field := range it.Methods.List {
				methods += len(field.Names) // an embedded interface has none
			}
			if methods > maxMethods {
				t.Errorf("%s: the interface %s has %d methods: split it by its users", path, spec.Name.Name, methods)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 300 || interfaces < 20 {
		t.Fatalf("only %d files and %d interfaces were found", files, interfaces)
	}
}
