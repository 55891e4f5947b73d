package words

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// source is the code whose entries of the audit log have details, by packages.
type source struct {
	files     map[string][]*ast.FuncDecl // by the path of the file
	packages  map[string]string          // of the files
	functions map[string]*ast.FuncDecl   // by "package.Name"
	methods   map[string]*ast.FuncDecl   // likewise
	structs   map[string]*ast.StructType
	constants map[string]map[string]bool // values by "package.Type", and by "package.Name"
}

// readSource parses the packages that write the audit log, and those whose types are details, once for all tests.
var readSource = sync.OnceValues(func() (source, error) {
	s := source{map[string][]*ast.FuncDecl{}, map[string]string{}, map[string]*ast.FuncDecl{},
		map[string]*ast.FuncDecl{}, map[string]*ast.StructType{}, map[string]map[string]bool{}}
	for _, root := range []string{"../../../internal", "../../../tenancy", "../../../client", "../../../acceptance"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
				strings.Contains(path, "/lab/") || strings.Contains(path, "/testing/") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			s.packages[path] = file.Name.Name
			for _, d := range file.Decls {
				s.declare(path, file.Name.Name, d)
			}
			return nil
		})
		if err != nil {
			return s, err
		}
	}
	return s, nil
})

// written returns the source.
func written(t *testing.T) source {
	t.Helper()
	s, err := readSource()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s source) declare(path, in string, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		s.files[path] = append(s.files[path], d)
		if d.Recv == nil {
			s.functions[in+"."+d.Name.Name] = d
		} else {
			s.methods[in+"."+d.Name.Name] = d
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if fields, ok := spec.Type.(*ast.StructType); ok {
					s.structs[in+"."+spec.Name.Name] = fields
				}
			case *ast.ValueSpec:
				if len(spec.Values) == 1 {
					s.value(in+"."+spec.Names[0].Name, spec.Values[0])
					s.value(typeName(in, spec.Type), spec.Values[0])
				}
			}
		}
	}
}

// value stores a constant of a name.
func (s source) value(name string, e ast.Expr) {
	if text, ok := constant(e); ok {
		if s.constants[name] == nil {
			s.constants[name] = map[string]bool{}
		}
		s.constants[name][text] = true
	}
}

// wrappers are the functions that make an entry of the audit log from a detail, with the index of the detail. It counts
// from the end if it is negative.
var wrappers = map[string]int{"NewEvent": 5, "change": -2, "changeByPage": 3, "requestEvent": 3,
	"administratorEvent": 5, "event": 5}

// otherChanges are the packages in which other functions have the names of wrappers.
var otherChanges = []string{"web", "keyring", "acceptance"}

// computed are the keys of details that are computed: the results of a round of tests.
var computed = map[string][]string{"c.Result": {"accepted", "refused", "unclear", "skipped"}}

// detailsIn calls found with the key of each detail that a function writes.
func (s source) detailsIn(t *testing.T, path, in string, f *ast.FuncDecl, found func(key string)) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		name := ""
		switch f := call.Fun.(type) {
		case *ast.SelectorExpr:
			name = f.Sel.Name
		case *ast.Ident:
			name = f.Name
		}
		at, wraps := wrappers[name]
		if at < 0 {
			at += len(call.Args)
		}
		if wraps && at >= 0 && at < len(call.Args) && (name != "event" || in == "watching") {
			s.keysOf(t, path, in, f, call.Args[at], found)
		}
		return true
	})
}

// keysOf finds the keys of the expression of a detail in a function. It fails for a form that it cannot read, so that
// no detail is overlooked.
func (s source) keysOf(t *testing.T, path, in string, f *ast.FuncDecl, e ast.Expr, found func(key string)) {
	switch e := e.(type) {
	case *ast.CompositeLit:
		if typeName(in, e.Type) != "" {
			s.fieldsOf(typeName(in, e.Type), found)
			return
		}
		for _, item := range e.Elts {
			s.key(t, path, item.(*ast.KeyValueExpr).Key, found)
		}
	case *ast.Ident:
		s.keysOfName(t, path, in, f, e.Name, found)
	case *ast.CallExpr:
		s.keysOfResult(t, path, in, f, e, found)
	case *ast.SelectorExpr: // the body of a request
		ast.Inspect(f.Type, func(n ast.Node) bool {
			if field, ok := n.(*ast.Field); ok && len(field.Names) == 1 && field.Names[0].Name == e.Sel.Name {
				s.fieldsOf(typeName(in, field.Type), found)
				e = nil
				return false
			}
			return e != nil
		})
		if e != nil {
			t.Errorf("%s: the detail in %s has an unknown type", path, f.Name.Name)
		}
	default:
		t.Errorf("%s: the detail in %s has an unknown form", path, f.Name.Name)
	}
}

// keysOfResult finds the keys of the result of a function, or of a function that a method of the package returned.
func (s source) keysOfResult(t *testing.T, path, in string, f *ast.FuncDecl, call *ast.CallExpr,
	found func(key string)) {
	name, _ := call.Fun.(*ast.Ident)
	if name == nil {
		t.Errorf("%s: the detail in %s is the result of another package", path, f.Name.Name)
		return
	}
	if made := s.functions[in+"."+name.Name]; made != nil {
		if of := typeName(in, made.Type.Results.List[0].Type); of != "" {
			s.fieldsOf(of, found)
			return
		}
		s.keysOf(t, path, in, made, made.Body.List[len(made.Body.List)-1].(*ast.ReturnStmt).Results[0], found)
		return
	}
	seen := false
	ast.Inspect(f, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && len(a.Rhs) == 1 {
			if left, ok := a.Lhs[0].(*ast.Ident); ok && left.Name == name.Name {
				made := s.methods[in+"."+a.Rhs[0].(*ast.CallExpr).Fun.(*ast.SelectorExpr).Sel.Name]
				s.fieldsOf(typeName(in, made.Type.Results.List[0].Type.(*ast.FuncType).Results.List[0].Type), found)
				seen = true
			}
		}
		return true
	})
	if !seen {
		t.Errorf("%s: %s of the detail in %s was not found", path, name.Name, f.Name.Name)
	}
}

// keysOfName finds the keys of a variable of a function. The callers of a wrapper pass its parameter.
func (s source) keysOfName(t *testing.T, path, in string, f *ast.FuncDecl, name string, found func(key string)) {
	if _, wraps := wrappers[f.Name.Name]; name == "nil" || wraps && isParameter(f, name) {
		return
	}
	seen := false
	ast.Inspect(f, func(n ast.Node) bool {
		assigned, ok := n.(*ast.AssignStmt)
		if !ok {
			return true
		}
		for i, left := range assigned.Lhs {
			switch left := left.(type) {
			case *ast.Ident:
				if left.Name == name && len(assigned.Rhs) == len(assigned.Lhs) {
					s.keysOf(t, path, in, f, assigned.Rhs[i], found)
					seen = true
				}
			case *ast.IndexExpr:
				if x, ok := left.X.(*ast.Ident); ok && x.Name == name {
					s.key(t, path, left.Index, found)
				}
			}
		}
		return true
	})
	ast.Inspect(f, func(n ast.Node) bool {
		if declared, ok := n.(*ast.ValueSpec); ok && declared.Names[0].Name == name {
			s.fieldsOf(typeName(in, declared.Type), found)
			seen = true
		}
		return true
	})
	if !seen {
		t.Errorf("%s: the detail %s in %s was not found", path, name, f.Name.Name)
	}
}

func isParameter(f *ast.FuncDecl, name string) (is bool) {
	for _, field := range f.Type.Params.List {
		for _, n := range field.Names {
			is = is || n.Name == name
		}
	}
	return is
}

func (s source) key(t *testing.T, path string, e ast.Expr, found func(key string)) {
	if key, ok := constant(e); ok {
		found(key)
		return
	}
	if x, ok := e.(*ast.SelectorExpr); ok {
		if of, ok := x.X.(*ast.Ident); ok && computed[of.Name+"."+x.Sel.Name] != nil {
			for _, key := range computed[of.Name+"."+x.Sel.Name] {
				found(key)
			}
			return
		}
	}
	t.Errorf("%s: a key of a detail is computed", path)
}

// typeName returns the package and the name of a struct type; empty for other types.
func typeName(in string, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(in, e.X)
	case *ast.ArrayType:
		return typeName(in, e.Elt)
	case *ast.Ident:
		return in + "." + e.Name
	case *ast.SelectorExpr:
		return e.X.(*ast.Ident).Name + "." + e.Sel.Name
	}
	return ""
}

// fieldsOf finds the JSON keys of a struct and of the structs in it.
func (s source) fieldsOf(name string, found func(key string)) {
	fields := s.structs[name]
	if fields == nil {
		return
	}
	in, _, _ := strings.Cut(name, ".")
	for _, field := range fields.Fields.List {
		if field.Tag == nil {
			continue
		}
		key, _, _ := strings.Cut(reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("json"), ",")
		found(key)
		s.fieldsOf(typeName(in, field.Type), found)
	}
}

func TestEveryDetailOfTheAuditLogHasALabelInBothLanguages(t *testing.T) {
	s, keys := written(t), map[string]string{}
	for path, functions := range s.files {
		in := s.packages[path]
		for _, f := range functions {
			if f.Body != nil && !slices.Contains(otherChanges, in) {
				s.detailsIn(t, path, in, f, func(key string) { keys[key] = path })
			}
		}
	}
	if len(keys) < 80 {
		t.Fatalf("only %d details were found", len(keys))
	}
	for key, path := range keys {
		if label := details[key]; label.english == "" || label.german == "" {
			t.Errorf("%s: the detail %q has no label", path, key)
		}
	}
	for key := range details {
		if keys[key] == "" {
			t.Errorf("no entry has the detail %q", key)
		}
	}
}

// coded are the types and the constants whose values are codes in details.
var coded = map[string][]string{
	"authentication": {"tenancy.Authentication"},
	"code":           {"acceptance.Code"},
	"decided_by":     {"guard.byRule", "guard.byFeed"},
	"differs":        {"certfile.Difference"},
	"from":           {"service.InFile", "service.SealedKeys", "service.on", "service.off"},
	"how":            {"identity.byPassword", "identity.byPasskey", "identity.byToken", "identity.byOIDC"},
	"kind":           {"tenancy.WatchSourceKind"},
	"reason": {"tenancy.TaskClosing", "lifecycle.Lost", "lifecycle.Compromised", "lifecycle.Reissue",
		"lifecycle.Suggested", "lifecycle.Superseded", "lifecycle.AuthorityRevoked"},
}

func TestEveryCodeInADetailHasAMeaningInBothLanguages(t *testing.T) {
	s := written(t)
	for key, names := range coded {
		for _, name := range names {
			if len(s.constants[name]) == 0 {
				t.Errorf("%s: there are no codes %s", key, name)
			}
			for code := range s.constants[name] {
				if text := detailCodes[key][code]; text.english == "" || text.german == "" {
					t.Errorf("%s: the code %q has no meaning", key, code)
				}
			}
		}
	}
	for kind := range s.constants["tenancy.NoticeKind"] {
		if text := detailCodes["about"][kind]; strings.HasPrefix(kind, "administrator-") && text.german == "" {
			t.Errorf("the kind %q of news has no meaning", kind)
		}
	}
}
