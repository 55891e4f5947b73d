// Package guard is the receiver's half: a process in front of a system, or beside its proxy, that accepts the
// certificates of partners by rule, through their renewals. The decisions are those of package acceptance. The package
// with the same name in the root of the module makes and remembers them for each call.
//
// It promises that a message is never refused because the guard cannot write, read its files or send a mail: it
// continues with what it has, and reports that in its log and its metrics. What strangers can make grow is bounded:
// verdicts, lines in the log, certificates that are held, mails, connections.
package guard

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/idna"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/engine/notify"
	"github.com/perennial-pki/perennial/internal/ingress/follow"
	"github.com/perennial-pki/perennial/internal/yamlfile"
	"github.com/perennial-pki/perennial/policy"
)

// defaultWindow is the window of partners without a policy: the longest time before the expiry at which the published
// policies act.
var defaultWindow = policy.Days(93)

// document is the form of a configuration file. Paths are relative to its folder.
type document struct {
	Listen      string            `yaml:"listen"`
	Server      Server            `yaml:"server"`
	Upstream    string            `yaml:"upstream"`
	UpstreamTLS UpstreamTLS       `yaml:"upstream_tls"`
	Hosts       []documentHost    `yaml:"hosts"`
	Decide      Decide            `yaml:"decide"`
	Monitor     string            `yaml:"monitor"`
	State       string            `yaml:"state"`
	Mail        Mail              `yaml:"mail"`
	Partners    []documentPartner `yaml:"partners"`
	Feeds       []documentFeed    `yaml:"feeds"`
}

// A Server is the guard's own certificate: the files of the certificate and the key (PEM), or a CA to get it from.
type Server struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	ACME ACME   `yaml:"acme"`
	// Perennial holds the names of the certificate that the CA of the service issues.
	Perennial []string `yaml:"perennial"`
}

// isSet reports whether there is a certificate.
func (s Server) isSet() bool { return s.Cert != "" || s.ACME.isSet() || len(s.Perennial) > 0 }

// ACME is a CA that issues the guard's certificate (RFC 8555, with the challenge of RFC 8737).
type ACME struct {
	Directory string   `yaml:"directory"` // URL; Let's Encrypt by default
	Hosts     []string `yaml:"hosts"`
	Email     string   `yaml:"email"`
	CA        string   `yaml:"ca"` // file with the roots of the directory's own certificate
	// EABID and the file of the key (base64url) bind the account to one at the CA (RFC 8555, section 7.3.4).
	EABID      string `yaml:"eab_id"`
	EABKeyFile string `yaml:"eab_key_file"`
}

// isSet reports whether a CA is used.
func (a ACME) isSet() bool { return len(a.Hosts) > 0 }

// UpstreamTLS are the guard's certificate towards the upstream, and the CAs of the upstream's certificate.
type UpstreamTLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	CA   string `yaml:"ca"`
}

type documentHost struct {
	Host        string      `yaml:"host"`
	Server      Server      `yaml:"server"`
	Upstream    string      `yaml:"upstream"`
	UpstreamTLS UpstreamTLS `yaml:"upstream_tls"`
	Partners    []string    `yaml:"partners"`
}

// Decide is an endpoint that answers a proxy whether to let a call through.
type Decide struct {
	Listen string `yaml:"listen"`
	From   string `yaml:"from"` // the proxy, which determines how it passes on certificates
}

// Mail is the mail server, and who is notified.
type Mail struct {
	Server       string   `yaml:"server"`
	PasswordFile string   `yaml:"password_file"`
	From         string   `yaml:"from"`
	To           []string `yaml:"to"`
	CA           string   `yaml:"ca"`
	Language     string   `yaml:"language"` // en or de; empty for en
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
	Watch  string    `yaml:"watch"`
}

// A Config is a configuration file with the certificates that it names.
type Config struct {
	Path     string
	Listen   string // empty without a front
	Hosts    []Host // the first one answers for every other name
	Decide   Decide
	Monitor  string
	State    string
	Mail     Mail
	Partners []acceptance.Partner
	Feeds    map[string]string // addresses of feeds by the names of partners
	Parties  []PartyFeed
	Watch    map[string]string // tenants of the service whose key users watch a partner, by its name

	files map[string]stamp // that were read
}

// A Host is a name that is called, with what answers there.
type Host struct {
	Name        string // empty for the default one
	Server      Server
	Upstream    *url.URL
	UpstreamTLS UpstreamTLS
	Partners    []string // that may call it; all without names
}

// host returns the host of a name, with or without a port: the first one for every other name.
func (c Config) host(name string) Host {
	name = hostName(name)
	for _, h := range c.Hosts {
		if h.Name == name {
			return h
		}
	}
	if len(c.Hosts) == 0 {
		return Host{}
	}
	return c.Hosts[0]
}

// hostName returns the name in a Host header as it is compared: without the port, brackets and dots at the end.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimRight(strings.Trim(host, "[]"), "."))
}

// A stamp changes with the content of a file.
type stamp struct {
	at   time.Time
	size int64
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

// Changed reports whether a file that was read is not the same any more.
func (c Config) Changed() bool {
	for path, before := range c.files {
		if stampOf(path) != before {
			return true
		}
	}
	return false
}

// Load reads a configuration file. policies finds a policy by its name or its file. The error names the file, and the
// line or the partner.
func Load(path string, policies func(nameOrFile string) (policy.Policy, error)) (c Config, err error) {
	var d document
	before := stampOf(path)
	if _, err := yamlfile.Read(path, &d); err != nil {
		return c, err
	}
	if len(d.Partners)+len(d.Feeds) == 0 {
		return c, fmt.Errorf("%s: there are no partners: list at least one, or a feed", path)
	}
	r := &reader{filepath.Dir(path), policies, map[string][]*x509.Certificate{}, map[string][]*acceptance.Revocations{},
		map[string]stamp{path: before}}
	c = Config{Path: path, Listen: d.Listen, Decide: d.Decide, Monitor: d.Monitor, Feeds: map[string]string{},
		Watch: map[string]string{},
		State: r.path(cmp.Or(d.State, "guard.db")), Mail: d.Mail, files: r.stamps}
	c.Mail.PasswordFile, c.Mail.CA = r.path(d.Mail.PasswordFile), r.path(d.Mail.CA)
	var problems []error
	for _, dp := range d.Partners {
		p, err := r.partner(dp)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: partner %q: %w", path, dp.Name, err))
		}
		c.Partners = append(c.Partners, p)
		if dp.Feed != "" {
			c.Feeds[p.Name] = dp.Feed
			if _, err := follow.NewReader(dp.Feed, &http.Client{}); err != nil {
				problems = append(problems, fmt.Errorf("%s: partner %q: feed: %w", path, dp.Name, err))
			}
		}
		if dp.Watch != "" {
			c.Watch[p.Name] = dp.Watch
		}
	}
	for _, df := range d.Feeds {
		if err := c.addParty(PartyFeed(df)); err != nil {
			problems = append(problems, fmt.Errorf("%s: feed %q: %w", path, df.Name, err))
		}
	}
	for _, err := range []error{r.hosts(d, &c), c.Mail.check(), checkListen("listen", d.Listen),
		checkListen("monitor", d.Monitor), d.Decide.check(), d.Server.check()} {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", path, err))
		}
	}
	return c, errors.Join(problems...)
}

func checkListen(key, address string) error {
	if _, _, err := net.SplitHostPort(address); address != "" && !strings.HasPrefix(address, "unix:") && err != nil {
		return fmt.Errorf("%s: %q is not an address: use HOST:PORT", key, address)
	}
	return nil
}

func (d Decide) check() error {
	if d.Listen == "" && d.From != "" {
		return errors.New("decide: name the address too, such as listen: 127.0.0.1:9443")
	}
	return checkListen("decide", d.Listen)
}

func (s Server) check() error {
	if len(s.ACME.Hosts) == 0 && (s.ACME.Directory != "" || s.ACME.Email != "" || s.ACME.CA != "" || s.ACME.EABID != "") {
		return errors.New("server: acme: hosts is missing: list the names of the certificate")
	}
	return nil
}

// check reads everything that sending a mail needs.
func (m Mail) check() error {
	switch {
	case m.Server == "" && m.From == "" && len(m.To) == 0:
		return nil
	case m.Server == "" || m.From == "" || len(m.To) == 0:
		return errors.New("mail: server, from and to go together")
	}
	if err := checkLanguage(m.Language); err != nil {
		return err
	}
	if _, err := m.open(); err != nil {
		return err
	}
	for _, to := range m.To {
		if _, err := notify.ParseSender(to); err != nil {
			return fmt.Errorf("mail: to: %w", err)
		}
	}
	return nil
}

// hosts reads what answers calls. A guard beside a proxy needs no upstream.
func (r *reader) hosts(d document, c *Config) error {
	first := documentHost{Server: d.Server, Upstream: d.Upstream, UpstreamTLS: d.UpstreamTLS}
	for i, h := range append([]documentHost{first}, d.Hosts...) {
		if i == 0 && h.Upstream == "" && d.Listen != "" && len(d.Hosts) > 0 {
			continue // the first of the hosts answers for every other name
		}
		host, err := r.host(h, d.Listen != "")
		if err == nil {
			err = host.check(c, i > 0)
		}
		if err != nil && h.Host != "" {
			err = fmt.Errorf("host %q: %w", h.Host, err)
		}
		if err != nil {
			return err
		}
		c.Hosts = append(c.Hosts, host)
	}
	return nil
}

// check compares a host with those before it.
func (h Host) check(c *Config, named bool) error {
	switch {
	case named && h.Name == "":
		return errors.New("hosts: each one needs host, its name")
	case slices.ContainsFunc(c.Hosts, func(o Host) bool { return o.Name == h.Name }):
		return errors.New("it appears twice")
	case h.Partners != nil && len(h.Partners) == 0:
		return errors.New("partners: the list is empty: leave it out to admit all, or list at least one")
	case c.Listen != "" && len(c.Hosts) == 0 && !h.Server.isSet():
		return errors.New("server: the guard needs a certificate of its own: set cert and key, or acme")
	}
	for _, name := range h.Partners {
		feed, _, _ := strings.Cut(name, "/")
		if !slices.ContainsFunc(c.Partners, func(p acceptance.Partner) bool { return p.Name == name }) &&
			!slices.ContainsFunc(c.Parties, func(f PartyFeed) bool { return f.Name == feed }) {
			return fmt.Errorf("there is no partner %q", name)
		}
	}
	return nil
}

func (r *reader) host(d documentHost, inFront bool) (h Host, err error) {
	name, err := idna.Lookup.ToASCII(strings.TrimRight(d.Host, "."))
	if d.Host != "" && (err != nil || strings.ContainsAny(name, ":*/")) {
		return h, errors.New("use the name alone, without a port, and without *")
	}
	h = Host{Name: strings.ToLower(name), Server: r.server(d.Server), Partners: d.Partners, UpstreamTLS: UpstreamTLS{
		r.noted(d.UpstreamTLS.Cert), r.noted(d.UpstreamTLS.Key), r.noted(d.UpstreamTLS.CA)}}
	if !inFront && d.Upstream == "" {
		return h, nil
	}
	h.Upstream, err = url.Parse(d.Upstream)
	switch {
	case err != nil, h.Upstream.Host == "", !slices.Contains([]string{"http", "https", "h2c"}, h.Upstream.Scheme):
		return h, errors.New("upstream: use a URL such as http://127.0.0.1:8000, https://HOST or h2c://HOST:PORT")
	case h.Upstream.User != nil:
		return h, errors.New("upstream: the URL has a user or a password, which the guard does not send: remove it")
	case (h.UpstreamTLS.Cert == "") != (h.UpstreamTLS.Key == ""):
		return h, errors.New("upstream_tls: cert and key go together")
	case h.UpstreamTLS != UpstreamTLS{} && h.Upstream.Scheme != "https":
		return h, errors.New("upstream_tls: the upstream must be an https URL")
	case h.Server.ACME.isSet() && h.Server.Cert != "", len(h.Server.Perennial) > 0 && (h.Server.ACME.isSet() ||
		h.Server.Cert != ""):
		return h, errors.New("server: use one of cert and key, acme, and perennial")
	case (h.Server.Cert == "") != (h.Server.Key == ""):
		return h, errors.New("server: cert and key go together")
	}
	return h, nil
}

func (r *reader) server(s Server) Server {
	s.Cert, s.Key = r.noted(s.Cert), r.noted(s.Key)
	s.ACME.CA, s.ACME.EABKeyFile = r.noted(s.ACME.CA), r.noted(s.ACME.EABKeyFile)
	return s
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
		if len(cas) > 0 && leafs[0].IsCA {
			return p, fmt.Errorf("known: %s has certificates of %d CAs, and none of a caller: list those of CAs in trust", name,
				len(all))
		}
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
		name := d.Policy
		if _, err := os.Stat(r.path(name)); err == nil && filepath.Ext(name) != "" {
			name = r.path(name)
		}
		p, err := r.policies(name)
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
