package yamlfile

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	anyNode  = reflect.TypeFor[yaml.Node]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// Check checks a part of a file for a type that is decoded later. It returns an error for a key that the type lacks, a
// key that appears twice, and a text that the type does not accept. It names the line, which the package yaml does not
// do for all of them. It does not quote a text.
func Check(n *yaml.Node, t reflect.Type) error {
	if n.Kind == yaml.AliasNode {
		return fmt.Errorf("line %d: aliases are not supported: repeat the settings", n.Line)
	}
	switch {
	case t == anyNode:
		return nil
	case reflect.PointerTo(t).Implements(textType):
		if n.Kind != yaml.ScalarNode {
			return fmt.Errorf("line %d: expected a text", n.Line)
		}
		if err := reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
			return fmt.Errorf("line %d: %w", n.Line, err)
		}
	case t.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			return fmt.Errorf("line %d: expected a list", n.Line)
		}
		for _, item := range n.Content {
			if err := Check(item, t.Elem()); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Struct, t.Kind() == reflect.Map:
		if n.Kind != yaml.MappingNode {
			return fmt.Errorf("line %d: expected keys with values", n.Line)
		}
		return checkKeys(n, t)
	}
	return nil
}

func checkKeys(n *yaml.Node, t reflect.Type) error {
	known, seen := map[string]reflect.Type{}, map[string]bool{}
	if t.Kind() == reflect.Struct {
		keys(t, known)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		of, found := known[key.Value]
		if t.Kind() == reflect.Map {
			of, found = t.Elem(), true
		}
		switch {
		case !found:
			return fmt.Errorf("line %d: unknown key %q: use %s", key.Line, key.Value,
				strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case seen[key.Value]:
			return fmt.Errorf("line %d: %s appears twice", key.Line, key.Value)
		}
		seen[key.Value] = true
		if err := Check(value, of); err != nil {
			return err
		}
	}
	return nil
}

// keys collects the keys of a struct with their types.
func keys(t reflect.Type, known map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			keys(f.Type, known)
		} else if name != "" {
			known[name] = f.Type
		}
	}
}
