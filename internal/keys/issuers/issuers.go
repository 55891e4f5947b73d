// Package issuers reads the file that configures issuers, and opens them by their kind.
//
//	issuers:
//	  - name: corporate
//	    kind: step-ca
//	    rate: 20
//	    parallel: 16
//	    settings:
//	      url: https://ca.example.com
//	      ...
//
// The file is strict: an unknown key is an error that names its line. Secrets are references ([secret.Ref]), so that
// the file itself holds none. An opened issuer is checked ([issuer.Checked]). It limits the certificates that this
// process requests a second, and the requests that it sends at the same time. A CA that limits requests is asked no
// earlier than it allows.
package issuers

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/acme"
	"github.com/perennial-pki/perennial/internal/keys/issuer/est"
	"github.com/perennial-pki/perennial/internal/keys/issuer/exec"
	"github.com/perennial-pki/perennial/internal/keys/issuer/manual"
	"github.com/perennial-pki/perennial/internal/keys/issuer/stepca"
	"github.com/perennial-pki/perennial/internal/keys/issuer/vault"
	"github.com/perennial-pki/perennial/internal/yamlfile"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// DefaultParallel is the number of requests that are sent to a CA at the same time, unless its entry has another.
	DefaultParallel = 8
	maxParallel     = 256
)

// An Env holds what issuers need of the installation.
type Env struct {
	Form issuer.Form
	Log  *slog.Logger
}

// A kind opens issuers of one kind.
type kind struct {
	settings reflect.Type
	open     func(settings *yaml.Node, e Env) (issuer.Issuer, error)
}

// kinds are the kinds of a file.
var kinds = map[string]kind{
	"acme": of(func(c acme.Config, _ Env) (issuer.Issuer, error) { return acme.Open(c) }),
	"est":  of(func(c est.Config, e Env) (issuer.Issuer, error) { return est.Open(c, e.Form) }),
	"exec": of(func(c exec.Config, e Env) (issuer.Issuer, error) { return exec.Open(c, e.Form) }),
	"manual": of(func(c manual.Config, e Env) (issuer.Issuer, error) {
		return manual.Open(c, e.Form)
	}),
	"step-ca": of(func(c stepca.Config, e Env) (issuer.Issuer, error) {
		return stepca.Open(c, e.Form, e.Log)
	}),
	"vault": of(func(c vault.Config, e Env) (issuer.Issuer, error) { return vault.Open(c, e.Form, e.Log) }),
}

func of[C any](open func(C, Env) (issuer.Issuer, error)) kind {
	return kind{reflect.TypeFor[C](), func(settings *yaml.Node, e Env) (issuer.Issuer, error) {
		var c C
		if err := settings.Decode(&c); err != nil {
			text := strings.Join(strings.Fields(err.Error()), " ")
			return nil, errors.New(strings.TrimPrefix(text, "yaml: unmarshal errors: "))
		}
		return open(c, e)
	}}
}

// Kinds lists the kinds of a file.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// An Entry is an issuer of a file.
type Entry struct {
	Name string
	Kind string
	Rate float64 // certificates a second; 0 for no limit
	// Parallel is the number of requests that are sent at the same time; 0 for [DefaultParallel].
	Parallel int
	path     string
	line     int
	node     *yaml.Node // its settings
}

// document is the form of a file.
type document struct {
	Issuers []struct {
		Name     string    `yaml:"name"`
		Kind     string    `yaml:"kind"`
		Rate     float64   `yaml:"rate"`
		Parallel int       `yaml:"parallel"`
		Settings yaml.Node `yaml:"settings"`
	} `yaml:"issuers"`
}

// Read reads a file. It opens no issuer.
func Read(path string) ([]Entry, error) {
	var d document
	top, err := yamlfile.Read(path, &d)
	switch {
	case errors.As(err, new(*fs.PathError)):
		return nil, fmt.Errorf("issuers: %w", err)
	case err != nil: // it begins with the path
		return nil, fmt.Errorf("issuers %w", err)
	}
	entries := make([]Entry, len(d.Issuers))
	names := map[string]bool{issuer.Local: true}
	for i, one := range d.Issuers {
		e := Entry{Name: one.Name, Kind: one.Kind, Rate: one.Rate, Parallel: one.Parallel, path: path, line: lineOf(top, i),
			node: &d.Issuers[i].Settings}
		if err := e.check(names); err != nil {
			return nil, fmt.Errorf("issuers %s: line %d: %w", path, e.line, err)
		}
		if err := yamlfile.Check(e.node, kinds[e.Kind].settings); err != nil {
			return nil, fmt.Errorf("issuers %s: issuer %s: %w", path, e.Name, err)
		}
		entries[i], names[e.Name] = e, true
	}
	return entries, nil
}

// lineOf returns the line of an issuer of the file.
func lineOf(top *yaml.Node, i int) int {
	for k := 0; k+1 < len(top.Content); k += 2 {
		if top.Content[k].Value == "issuers" {
			return top.Content[k+1].Content[i].Line
		}
	}
	return top.Line
}

func (e Entry) check(names map[string]bool) error {
	if err := tenancy.CheckName("name", e.Name); err != nil {
		return err
	}
	switch _, known := kinds[e.Kind]; {
	case e.Name == issuer.Local:
		return fmt.Errorf("the name %q is that of the built-in CA: choose another", issuer.Local)
	case names[e.Name]:
		return fmt.Errorf("the name %q appears twice", e.Name)
	case !known:
		return fmt.Errorf("unknown kind %q: use one of %s", e.Kind, strings.Join(Kinds(), ", "))
	case e.Rate < 0:
		return fmt.Errorf("invalid rate %g: use a number of certificates a second, or 0 for no limit", e.Rate)
	case e.Parallel < 0 || e.Parallel > maxParallel:
		return fmt.Errorf("invalid parallel %d: use a number of requests from 1 to %d, or 0 for %d", e.Parallel, maxParallel,
			DefaultParallel)
	case e.node.IsZero():
		return errors.New("settings are missing")
	}
	return nil
}

// Open opens an issuer. Most kinds do not need their CA for that.
func (e Entry) Open(env Env) (issuer.Issuer, error) {
	opened, err := kinds[e.Kind].open(e.node, env)
	if err != nil {
		return nil, fmt.Errorf("issuers %s: line %d: issuer %s: %w", e.path, e.line, e.Name, err)
	}
	return issuer.Checked(limit(opened, e)), nil
}

// OpenAll reads a file and opens its issuers, by name.
func OpenAll(path string, env Env) (issuer.Set, error) {
	entries, err := Read(path)
	if err != nil {
		return nil, err
	}
	all := issuer.Set{}
	for _, e := range entries {
		if all[e.Name], err = e.Open(env); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Find returns the issuer of a name.
func Find(entries []Entry, name string) (Entry, error) {
	var names []string
	for _, e := range entries {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return Entry{}, tenancy.Errorf(tenancy.ErrNotFound, "there is no issuer %s: the file has %s", name,
		strings.Join(names, ", "))
}
