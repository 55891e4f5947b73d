package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/perennial-pki/perennial/internal/engine/store"
)

// maxConfig bounds a configuration file.
const maxConfig = 1 << 20

// A configFile supplies the values that neither the command line nor the environment sets.
type configFile struct {
	path   string
	values map[string]*yaml.Node // by flag name
	keys   map[string]int        // line of each key
}

// configPath finds --config in the arguments, or PERENNIAL_CONFIG. It is empty for the guard, whose --config is a file
// of another kind.
func configPath(args []string) string {
	if len(args) > 0 && args[0] == "guard" {
		return ""
	}
	for i, a := range args {
		if a == "--config" && i+1 < len(args) {
			return args[i+1]
		}
		if path, ok := strings.CutPrefix(a, "--config="); ok {
			return path
		}
	}
	return os.Getenv("PERENNIAL_CONFIG")
}

// readConfig reads a YAML file of flag names and values. The result is empty if path is.
func readConfig(path string) (*configFile, error) {
	c := &configFile{path: path, values: map[string]*yaml.Node{}, keys: map[string]int{}}
	if path == "" {
		return c, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	var doc yaml.Node
	if err := yaml.NewDecoder(io.LimitReader(f, maxConfig)).Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("configuration %s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return c, nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("configuration %s: line %d: expected lines such as \"listen: 127.0.0.1:8080\"", path,
			root.Line)
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		k, v := root.Content[i], root.Content[i+1]
		name := strings.ReplaceAll(k.Value, "_", "-")
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			return nil, fmt.Errorf("configuration %s: line %d: %s needs one value", path, k.Line, k.Value)
		}
		if _, twice := c.values[name]; twice {
			return nil, fmt.Errorf("configuration %s: line %d: %s appears twice", path, k.Line, k.Value)
		}
		c.values[name], c.keys[name] = v, k.Line
	}
	return c, nil
}

// Validate implements [kong.Resolver]: every key must be a flag of serve.
func (c *configFile) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, node := range app.Children {
		if node.Name == "serve" {
			for _, f := range node.Flags {
				known[f.Name] = true
			}
		}
	}
	for name, line := range c.keys {
		if !known[name] || name == "config" {
			return fmt.Errorf("configuration %s: line %d: unknown key %q: use a flag of \"perennial serve --help\"",
				c.path, line, name)
		}
	}
	return nil
}

// Resolve implements [kong.Resolver].
func (c *configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	v, ok := c.values[flag.Name]
	if _, fromEnvironment := environment(flag); !ok || fromEnvironment {
		return nil, nil
	}
	return v.Value, nil
}

func environment(flag *kong.Flag) (name string, ok bool) {
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return name, true
		}
	}
	return "", false
}

type configCmd struct {
	serviceFlags
	Output string `enum:"table,json" default:"table" help:"table or json."`
}

func (c *configCmd) Run(e env, k *kong.Context, file *configFile) error {
	given := map[string]bool{}
	for _, p := range k.Path {
		if p.Flag != nil && !p.Resolved {
			given[p.Flag.Name] = true
		}
	}
	type setting struct {
		Name   string `json:"name"`
		Value  string `json:"value"`
		Source string `json:"source"`
	}
	var settings []setting
	for _, f := range k.Selected().Flags {
		if f.Name == "help" || f.Name == "output" || f.Hidden {
			continue
		}
		s := setting{f.Name, fmt.Sprint(k.FlagValue(f)), "default"}
		if name, ok := environment(f); ok {
			s.Source = "environment " + name
		} else if line, ok := file.keys[f.Name]; ok {
			s.Source = fmt.Sprintf("file %s line %d", file.path, line)
		}
		if given[f.Name] {
			s.Source = "flag"
		}
		if f.Tag.Has("secret") && s.Value != "" {
			s.Value = "***"
			if f.Name == "smtp" {
				s.Value = store.Masked(fmt.Sprint(k.FlagValue(f)))
			}
		}
		if f.Name == "database" {
			s.Value = store.Masked(s.Value)
		}
		settings = append(settings, s)
	}
	if c.Output == "json" {
		return writeJSON(e.out, settings)
	}
	return table(e.out, "SETTING\tVALUE\tFROM", func(row func(...any)) {
		for _, s := range settings {
			row(s.Name, s.Value, s.Source)
		}
	})
}
