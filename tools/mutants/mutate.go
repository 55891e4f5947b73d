package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A mutant is one change of one file.
type mutant struct {
	importPath string
	path       string // absolute
	name       string // of the file, relative to the root
	function   string // that holds the change; empty at the top level
	line       int
	source     []byte // of the file; shared, never changed
	from, to   int    // the bytes that are replaced
	by         string
}

// apply returns the changed file.
func (m mutant) apply() []byte {
	return slices.Concat(m.source[:m.from], []byte(m.by), m.source[m.to:])
}

// String returns what changes and at which line.
func (m mutant) String() string {
	return fmt.Sprintf("%s:%d %s: %s", m.name, m.line, m.function, m.change())
}

// change returns the lines that a mutant changes, before and after. It identifies the mutant in the list of equivalent
// ones, because it survives changes elsewhere in the file.
func (m mutant) change() string {
	start := bytes.LastIndexByte(m.source[:m.from], '\n') + 1
	end := len(m.source)
	if i := bytes.IndexByte(m.source[m.to:], '\n'); i >= 0 {
		end = m.to + i
	}
	before := string(m.source[start:end])
	after := string(m.source[start:m.from]) + m.by + string(m.source[m.to:end])
	if oneLine(after) == "" {
		after = "nothing"
	}
	return oneLine(before) + " => " + oneLine(after)
}

func oneLine(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		if i := strings.Index(line, " //"); i >= 0 {
			line = line[:i]
		}
		lines = append(lines, strings.Fields(line)...)
	}
	return strings.Join(lines, " ")
}

// mutants returns all mutants of a package, in the order of its source. zeros are the constants of [zeroConstants].
func (p goPackage) mutants(root string, zeros map[string]bool) (all []mutant, err error) {
	root, err = filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	for _, name := range p.GoFiles {
		path := filepath.Join(p.Dir, name)
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return nil, err
		}
		found, err := mutantsOf(source, filepath.ToSlash(relative), zeros)
		if err != nil {
			return nil, err
		}
		for i := range found {
			found[i].importPath, found[i].path = p.ImportPath, path
		}
		all = append(all, found...)
	}
	return all, nil
}

func mutantsOf(source []byte, name string, zeros map[string]bool) ([]mutant, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if ast.IsGenerated(file) {
		return nil, nil
	}
	f := &finder{files: files, name: name, source: source, inPackage: file.Name.Name,
		zeros: zeros}
	for _, d := range file.Decls {
		f.function, f.results = "", nil
		if fn, ok := d.(*ast.FuncDecl); ok {
			f.function, f.results = fn.Name.Name, []*ast.FieldList{fn.Type.Results}
		}
		f.declaration(d)
	}
	return f.found, nil
}

// A finder collects the mutants of one file.
type finder struct {
	files    *token.FileSet
	name     string
	source   []byte
	function string
	results  []*ast.FieldList // of the functions around the current node, the innermost last
	found    []mutant

	inPackage string
	zeros     map[string]bool   // constants that are the zero value of their type, by package and name
	failing   []*ast.ReturnStmt // they return an error that was just found
}

func (f *finder) offset(p token.Pos) int { return f.files.Position(p).Offset }

func (f *finder) text(n ast.Node) string {
	return string(f.source[f.offset(n.Pos()):f.offset(n.End())])
}

func (f *finder) replace(from, to token.Pos, by string) {
	f.found = append(f.found, mutant{name: f.name, function: f.function, line: f.files.Position(from).Line,
		source: f.source, from: f.offset(from), to: f.offset(to), by: by})
}

func (f *finder) replaceToken(at token.Pos, is, by token.Token) {
	f.replace(at, at+token.Pos(len(is.String())), by.String())
}

// declaration visits a declaration. Imports and types hold nothing to change.
func (f *finder) declaration(d ast.Decl) {
	if g, ok := d.(*ast.GenDecl); ok && (g.Tok == token.IMPORT || g.Tok == token.TYPE) {
		return
	}
	ast.Inspect(d, f.visit)
}

func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ArrayType, *ast.StructType, *ast.InterfaceType, *ast.FuncType:
		return false
	case *ast.FuncLit:
		f.results = append(f.results, n.Type.Results)
		ast.Inspect(n.Body, f.visit)
		f.results = f.results[:len(f.results)-1]
		return false
	case *ast.BinaryExpr:
		f.binary(n)
	case *ast.BasicLit:
		f.literal(n)
	case *ast.Ident:
		switch n.Name {
		case "true":
			f.replace(n.Pos(), n.End(), "false")
		case "false":
			f.replace(n.Pos(), n.End(), "true")
		}
	case *ast.IfStmt:
		f.condition(n.Cond)
		f.noteFailure(n)
	case *ast.IncDecStmt:
		f.replaceToken(n.TokPos, n.Tok, map[token.Token]token.Token{token.INC: token.DEC, token.DEC: token.INC}[n.Tok])
	case *ast.AssignStmt:
		f.assignment(n)
	case *ast.BranchStmt:
		if n.Tok == token.BREAK && n.Label == nil {
			f.replaceToken(n.TokPos, token.BREAK, token.CONTINUE)
		}
	case *ast.ReturnStmt:
		f.returned(n)
		if last := len(n.Results) - 1; f.fails(n) { // callers do not read the values beside the error
			ast.Inspect(n.Results[last], f.visit)
			return false
		}
	case *ast.BlockStmt:
		f.statements(n.List)
	case *ast.CaseClause:
		f.statements(n.Body)
		if len(n.List) == 1 && isComparison(n.List[0]) {
			f.condition(n.List[0])
		}
	case *ast.CommClause:
		f.statements(n.Body)
	}
	return true
}

var operators = map[token.Token]token.Token{
	token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
	token.EQL: token.NEQ, token.NEQ: token.EQL,
	token.LAND: token.LOR, token.LOR: token.LAND,
	token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL, token.REM: token.MUL,
	token.AND: token.OR, token.OR: token.AND, token.SHL: token.SHR, token.SHR: token.SHL,
}

func (f *finder) binary(n *ast.BinaryExpr) {
	if by, ok := operators[n.Op]; ok {
		f.replaceToken(n.OpPos, n.Op, by)
	}
}

func (f *finder) literal(n *ast.BasicLit) {
	if n.Kind != token.INT {
		return
	}
	if i, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
		f.replace(n.Pos(), n.End(), strconv.FormatInt(i+1, 10))
	}
}

// isComparison reports whether an expression is a condition, and not a value, of a case clause.
func isComparison(x ast.Expr) bool {
	switch x := ast.Unparen(x).(type) {
	case *ast.BinaryExpr:
		switch x.Op {
		case token.LSS, token.LEQ, token.GTR, token.GEQ, token.EQL, token.NEQ, token.LAND, token.LOR:
			return true
		}
	case *ast.UnaryExpr:
		return x.Op == token.NOT
	}
	return false
}

// condition makes a condition never true, which drops what it guards. The operands stay in use, so that it compiles.
// Conditions without a comparison are negated too, because no other mutant changes them.
func (f *finder) condition(x ast.Expr) {
	f.replace(x.Pos(), x.End(), "false && ("+f.text(x)+")")
	if !isComparison(x) {
		f.replace(x.Pos(), x.End(), "!("+f.text(x)+")")
	}
}

func (f *finder) assignment(n *ast.AssignStmt) {
	opposite := map[token.Token]token.Token{token.ADD_ASSIGN: token.SUB_ASSIGN, token.SUB_ASSIGN: token.ADD_ASSIGN,
		token.MUL_ASSIGN: token.QUO_ASSIGN, token.QUO_ASSIGN: token.MUL_ASSIGN, token.OR_ASSIGN: token.AND_ASSIGN,
		token.AND_ASSIGN: token.OR_ASSIGN}
	if by, ok := opposite[n.Tok]; ok {
		f.replaceToken(n.TokPos, n.Tok, by)
	}
}

// statements drops calls and assignments one at a time.
func (f *finder) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if !neverNoticed(s.X) {
				f.replace(s.Pos(), s.End(), "")
			}
		case *ast.AssignStmt:
			if s.Tok != token.DEFINE && !isBlank(s.Lhs) {
				f.replace(s.Pos(), s.End(), "")
			}
		case *ast.IncDecStmt:
			f.replace(s.Pos(), s.End(), "")
		}
	}
}

func isBlank(list []ast.Expr) bool {
	return !slices.ContainsFunc(list, func(x ast.Expr) bool { id, ok := x.(*ast.Ident); return !ok || id.Name != "_" })
}

// neverNoticed reports whether a test without the race detector cannot notice that a call is missing, or only by
// waiting for the time-out.
func neverNoticed(x ast.Expr) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	return ok && slices.Contains([]string{"Lock", "Unlock", "RLock", "RUnlock"}, selector.Sel.Name)
}

// noteFailure notes the statements below "if err != nil" that return the error, alone or in another one.
func (f *finder) noteFailure(n *ast.IfStmt) {
	if f.text(n.Cond) != "err != nil" {
		return
	}
	for _, s := range n.Body.List {
		r, ok := s.(*ast.ReturnStmt)
		if !ok || len(r.Results) == 0 {
			continue
		}
		last := r.Results[len(r.Results)-1]
		call, explained := last.(*ast.CallExpr)
		if f.text(last) == "err" || explained && slices.ContainsFunc(call.Args, func(x ast.Expr) bool {
			return f.text(x) == "err"
		}) {
			f.failing = append(f.failing, r)
		}
	}
}

// returned replaces one returned value at a time by the zero value of its type. Values beside an error stay, because
// callers do not read them.
func (f *finder) returned(n *ast.ReturnStmt) {
	results := f.results[len(f.results)-1]
	if results == nil {
		return
	}
	var types []ast.Expr
	for _, field := range results.List {
		for range max(1, len(field.Names)) {
			types = append(types, field.Type)
		}
	}
	if len(types) != len(n.Results) { // a naked return, or the results of one call
		return
	}
	last := len(n.Results) - 1
	failed := f.text(types[last]) == "error" && f.fails(n)
	for i, x := range n.Results {
		if failed && i < last {
			continue
		}
		zero := f.zero(types[i])
		if f.text(x) != zero && !f.isZero(x) {
			f.replace(x.Pos(), x.End(), zero)
		}
	}
}

// fails reports whether a statement returns an error that was just found or is new.
func (f *finder) fails(n *ast.ReturnStmt) bool {
	if len(n.Results) == 0 {
		return false
	}
	call, ok := n.Results[len(n.Results)-1].(*ast.CallExpr)
	return ok && isFailure(call) || slices.Contains(f.failing, n)
}

// isFailure reports whether a call returns a new error, by the names that this repository uses.
func isFailure(call *ast.CallExpr) bool {
	name := ""
	switch fun := call.Fun.(type) {
	case *ast.SelectorExpr:
		name = fun.Sel.Name
	case *ast.Ident:
		name = fun.Name
	}
	return strings.HasSuffix(name, "rrorf") || name == "New" || name == "Invalid"
}

// zero returns the zero value of a type as source.
func (f *finder) zero(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.Ident:
		switch t.Name {
		case "error", "any":
			return "nil"
		case "string":
			return `""`
		case "bool":
			return "false"
		case "int", "int64", "int32", "uint32", "uint64", "byte", "float64":
			return "0"
		}
	case *ast.StarExpr, *ast.MapType, *ast.FuncType, *ast.ChanType, *ast.InterfaceType:
		return "nil"
	case *ast.ArrayType:
		if t.Len == nil {
			return "nil"
		}
	}
	return "*new(" + f.text(t) + ")"
}

func (f *finder) isZero(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.SelectorExpr:
		return f.zeros[f.text(x)]
	case *ast.Ident:
		// true and false have a mutant of their own.
		return f.zeros[f.inPackage+"."+x.Name] || x.Name == "nil" || x.Name == "true" || x.Name == "false"
	case *ast.BasicLit:
		return x.Value == "0" || x.Value == `""` || x.Kind == token.INT
	case *ast.CompositeLit:
		return len(x.Elts) == 0
	}
	return false
}

// zeroConstants returns the constants of packages that are the zero value of their type: the first one of an
// enumeration, and empty strings. The key is the name of the package, a dot, and that of the constant.
func zeroConstants(packages []goPackage) (zeros map[string]bool, err error) {
	zeros = map[string]bool{}
	for _, p := range packages {
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			for _, d := range file.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
					addZeros(zeros, file.Name.Name, g)
				}
			}
		}
	}
	return zeros, nil
}

func addZeros(zeros map[string]bool, inPackage string, group *ast.GenDecl) {
	for i, s := range group.Specs {
		s := s.(*ast.ValueSpec)
		for j, value := range s.Values {
			id, isName := value.(*ast.Ident)
			literal, isLiteral := value.(*ast.BasicLit)
			if i == 0 && isName && id.Name == "iota" || isLiteral && literal.Value == `""` {
				zeros[inPackage+"."+s.Names[j].Name] = true
			}
		}
	}
}
