// Package guard is the receiver's half: it reads which partners call a system, and explains which of their certificates
// are accepted. The decisions are those of package acceptance.
package guard

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/yamlfile"
	"github.com/perennial-pki/perennial/policy"
)

// defaultWindow is the window of partners without a policy: the longest time before the expiry at which the published
// policies act.
var defaultWindow = policy.Days(93)

// document is the form of a configuration file. Paths are relative to its folder.
type document struct {
	Listen   string            `yaml:"listen"`
	Server   Server            `yaml:"server"`
	Upstream string            `yaml:"upstream"`
	Partners []documentPartner `yaml:"partners"`
}

// A Server names the files of the guard's own certificate and key (PEM).
type Server struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

type documentPartner struct {
	Name   string    `yaml:"name"`
	Known  []string  `yaml:"known"`
	Trust  []string  `yaml:"trust"`
	Rule   string    `yaml:"rule"`
	Policy string    `yaml:"policy"`
	Window string    `yaml:"window"`
	OnHold yaml.Node `yaml:"on_hold"`
	CRL    []string  `yaml:"crl"`
	Feed   string    `yaml:"feed"`
}

// A Config is a configuration file with the certificates that it names.
type Config struct {
	Listen   string
	Server   Server
	Upstream string
	Partners []acceptance.Partner
}

// A reader reads a configuration file and the files that it names. Certificates of CAs that several partners share are
// read once.
type reader struct {
	dir      string
	policies func(nameOrFile string) (policy.Policy, error)
	files    map[string][]*x509.Certificate
	lists    map[string][]*x509.RevocationList
}

// Load reads a configuration file. policies finds a policy by its name or its file. The error names the file, and the
// line or the partner.
func Load(path string, policies func(nameOrFile string) (policy.Policy, error)) (c Config, err error) {
	var d document
	if _, err := yamlfile.Read(path, &d); err != nil {
		return c, err
	}
	if len(d.Partners) == 0 {
		return c, fmt.Errorf("%s: there are no partners: list at least one", path)
	}
	r := &reader{filepath.Dir(path), policies, map[string][]*x509.Certificate{}, map[string][]*x509.RevocationList{}}
	c = Config{Listen: d.Listen, Server: Server{r.path(d.Server.Cert), r.path(d.Server.Key)}, Upstream: d.Upstream}
	var problems []error
	for _, dp := range d.Partners {
		p, err := r.partner(dp)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: partner %q: %w", path, dp.Name, err))
		}
		c.Partners = append(c.Partners, p)
	}
	return c, errors.Join(problems...)
}

func (r *reader) path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.dir, name)
}

func (r *reader) partner(d documentPartner) (p acceptance.Partner, err error) {
	p = acceptance.Partner{Name: d.Name, Rule: acceptance.Rule(d.Rule)}
	if d.Rule == "" {
		p.Rule = acceptance.Successor
	}
	if p.Window, err = r.window(d); err != nil {
		return p, err
	}
	if p.OnHold, err = onHold(d.OnHold); err != nil {
		return p, err
	}
	for _, name := range d.Known {
		all, err := r.certificates(name)
		if err != nil {
			return p, fmt.Errorf("known: %w", err)
		}
		leafs, cas := apart(all)
		p.CAs = append(p.CAs, cas...)
		for _, c := range leafs {
			p.Known = append(p.Known, acceptance.NewKnown(c))
		}
	}
	for _, name := range d.Trust {
		all, err := r.certificates(name)
		if err != nil {
			return p, fmt.Errorf("trust: %w", err)
		}
		p.Trust = append(p.Trust, all...)
	}
	for _, name := range d.CRL {
		lists, err := r.crls(name)
		if err != nil {
			return p, fmt.Errorf("crl: %w", err)
		}
		p.CRLs = append(p.CRLs, lists...)
	}
	return p, nil
}

// window returns the time before the expiry in which a partner renews.
func (r *reader) window(d documentPartner) (policy.Span, error) {
	switch {
	case d.Policy != "" && d.Window != "":
		return policy.Span{}, errors.New("use either policy or window")
	case d.Policy != "":
		p, err := r.policies(d.Policy)
		if err != nil {
			return policy.Span{}, fmt.Errorf("policy: %w", err)
		}
		return p.RenewWithin, nil
	case d.Window != "":
		w, err := policy.ParseSpan(d.Window)
		if err != nil {
			return w, fmt.Errorf("window: %w", err)
		}
		return w, nil
	}
	return defaultWindow, nil
}

// onHold reads "refuse", or accept with a duration: as a key, or in quotes.
func onHold(n yaml.Node) (time.Duration, error) {
	text, quoted := strings.CutPrefix(n.Value, "accept:")
	switch {
	case n.IsZero(), n.Tag == "!!null", n.Kind == yaml.ScalarNode && n.Value == "refuse":
		return 0, nil
	case n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == "accept":
		text, quoted = n.Content[1].Value, true
	}
	if quoted {
		d, err := policy.ParseDuration(strings.TrimSpace(text))
		if err == nil && d <= 0 {
			err = errors.New("the duration must be positive")
		}
		if err != nil {
			return 0, fmt.Errorf("on_hold: line %d: %w", n.Line, err)
		}
		return d, nil
	}
	return 0, fmt.Errorf("on_hold: line %d: use refuse, or accept with a duration, such as accept: 24h", n.Line)
}

func (r *reader) certificates(name string) ([]*x509.Certificate, error) {
	path := r.path(name)
	if all, ok := r.files[path]; ok {
		return all, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r.files[path] = all
	return all, nil
}

// crls reads the revocation lists of a file: one in DER, or any number in PEM.
func (r *reader) crls(name string) (lists []*x509.RevocationList, err error) {
	path := r.path(name)
	if lists, ok := r.lists[path]; ok {
		return lists, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all := [][]byte{data}
	if block, rest := pem.Decode(data); block != nil {
		all = nil
		for ; block != nil; block, rest = pem.Decode(rest) {
			all = append(all, block.Bytes)
		}
	}
	for _, der := range all {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, fmt.Errorf("%s: not a revocation list (PEM or DER): %s", name, strings.TrimPrefix(err.Error(), "x509: "))
		}
		lists = append(lists, list)
	}
	r.lists[path] = lists
	return lists, nil
}

// parse reads the certificates of a file as a TLS server would. A part that cannot be read is an error.
func parse(data []byte) ([]*x509.Certificate, error) {
	all, err := certfile.ParseAll(data, "")
	if err != nil {
		return nil, err
	}
	for i, c := range all {
		if all[i], err = x509.ParseCertificate(c.Raw); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// apart returns the certificates of callers in a file, and those of CAs beside them. Without the former, the first one
// is that of the caller, such as a self-signed certificate.
func apart(all []*x509.Certificate) (leafs, cas []*x509.Certificate) {
	for _, c := range all {
		if c.IsCA {
			cas = append(cas, c)
		} else {
			leafs = append(leafs, c)
		}
	}
	if len(leafs) == 0 && len(cas) > 0 {
		return cas[:1], cas[1:]
	}
	return leafs, cas
}
