package guard

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// A Plan is what a first configuration is made from.
type Plan struct {
	Path         string // of the configuration
	From         []byte // the partner's certificate, with or without the CAs above it: PEM, DER or PKCS#7
	Name         string // of the partner; by default from the certificate
	Policy       string
	Window       string
	Listen       string
	Upstream     string
	Cert, Key    string   // files of the guard's own certificate; a self-signed one is created without them
	ACMEHosts    []string // or names to get a certificate for from Let's Encrypt
	Hostname     string   // for a self-signed certificate
	PolicySource func(nameOrFile string) (policy.Policy, error)
}

// A Created is what [Plan.Write] has written.
type Created struct {
	Files      []string
	Partner    string
	Known      *x509.Certificate
	WithoutCA  bool // the file has no certificate of the partner's CA
	SelfSigned bool
	// Unrecognisable is the reason why no successor can be recognised; empty if there is none.
	Unrecognisable string
	// The successor is expected between these instants.
	From, Until time.Time
}

// Write writes a configuration and the files that it names, into one folder. It replaces no file.
func (p Plan) Write(now time.Time) (c Created, err error) {
	all, err := parse(p.From)
	if err != nil {
		return c, err
	}
	leafs, cas := apart(all)
	if len(leafs) != 1 {
		return c, fmt.Errorf("the file has certificates of %d callers: give one of them", len(leafs))
	}
	if len(cas) > 0 && leafs[0].IsCA {
		return c, errors.New("the file has certificates of CAs, and none of a caller: give that of the partner")
	}
	c.Known, c.WithoutCA = leafs[0], len(cas) == 0
	if now.After(c.Known.NotAfter) {
		return c, fmt.Errorf(
			"the certificate expired on %s: ask the partner for the one in use",
			tenancy.Moment(c.Known.NotAfter),
		)
	}
	c.Partner = p.Name
	if c.Partner == "" {
		c.Partner = nameFor(c.Known)
	}
	dir := filepath.Dir(p.Path)
	known := slug(c.Partner) + ".pem"
	if known == "server.pem" {
		known = "partner-server.pem"
	}
	var content bytes.Buffer
	for _, cert := range append(leafs, cas...) {
		pem.Encode(&content, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	}
	files := []file{{filepath.Join(dir, known), content.Bytes()}}
	server := fmt.Sprintf("{cert: %s, key: %s}", scalar(from(dir, p.Cert)), scalar(from(dir, p.Key)))
	switch {
	case len(p.ACMEHosts) > 0:
		names := make([]string, len(p.ACMEHosts))
		for i, n := range p.ACMEHosts {
			names[i] = scalar(n)
		}
		server = fmt.Sprintf("{acme: {hosts: [%s]}}", strings.Join(names, ", "))
	case p.Cert == "":
		cert, key, err := selfSigned(p.Hostname, now)
		if err != nil {
			return c, err
		}
		c.SelfSigned = true
		server = "{cert: server.pem, key: server.key}"
		files = append(files, file{filepath.Join(dir, "server.pem"), cert}, file{filepath.Join(dir, "server.key"), key})
	}
	files = append(files, file{p.Path, p.document(c.Partner, known, server)})
	err = p.create(&c, files)
	return c, err
}

// A file is one to be written.
type file struct {
	path    string
	content []byte
}

// create writes the files and reads the configuration. If that fails, it removes them.
func (p Plan) create(c *Created, files []file) (err error) {
	defer func() {
		if err != nil {
			for _, path := range c.Files {
				os.Remove(path)
			}
			c.Files = nil
		}
	}()
	for _, f := range files {
		w, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists already: remove it, or choose a file in another folder with --config", f.path)
		}
		if err != nil {
			return err
		}
		c.Files = append(c.Files, f.path)
		_, err = w.Write(f.content)
		if err = errors.Join(err, w.Close()); err != nil {
			return err
		}
	}
	config, err := Load(p.Path, p.PolicySource)
	if err != nil {
		return err
	}
	if _, err := acceptance.New(config.Partners); err != nil {
		return err
	}
	switch {
	case c.Known.IsCA, bytes.Equal(c.Known.RawIssuer, c.Known.RawSubject):
		c.Unrecognisable = "it is self-signed, or that of a CA"
	case len(c.Known.Subject.Names)+len(c.Known.URIs)+len(c.Known.DNSNames)+len(c.Known.EmailAddresses) == 0:
		c.Unrecognisable = "it has neither a subject nor alternative names"
	}
	c.From, c.Until = config.Partners[0].Expected(acceptance.NewKnown(c.Known))
	return nil
}

func (p Plan) document(partner, known, server string) []byte {
	when := fmt.Sprintf("window: %s", defaultWindow)
	switch {
	case p.Policy != "":
		name := p.Policy
		if _, err := os.Stat(name); err == nil {
			name = from(filepath.Dir(p.Path), name)
		}
		when = "policy: " + scalar(name)
	case p.Window != "":
		when = "window: " + scalar(p.Window)
	}
	return fmt.Appendf(nil, `# Who may call the system behind this guard. Every setting is explained in docs/guard.md.
listen: %s
server: %s
upstream: %s
partners:
  - name: %s
    known: [%s]       # certificates that it is known by
    rule: successor   # or pin, or authority
    %s   # when a renewal is expected
    on_hold: refuse   # or accept: 24h
`, scalar(p.Listen), server, scalar(p.Upstream), scalar(partner), scalar(known), when)
}

// from returns a path as the configuration in a folder names it.
func from(dir, path string) string {
	if dir == "." || filepath.IsAbs(path) {
		return path
	}
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}

// plain are texts that YAML reads as texts without quotes: they have a letter and a sign that no number or word of YAML
// has.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./][A-Za-z0-9_./:-]*[./_-][A-Za-z0-9_./:-]*[A-Za-z][A-Za-z0-9_./-]*$`)

// scalar writes a text in YAML.
func scalar(text string) string {
	if plain.MatchString(text) && !strings.HasSuffix(text, ":") {
		return text
	}
	quoted, _ := json.Marshal(text) // which is YAML, too
	return string(quoted)
}

// nameFor returns a name for the partner from its certificate.
func nameFor(c *x509.Certificate) string {
	for _, text := range append([]string{c.Subject.CommonName}, c.Subject.Organization...) {
		if name := slug(text); name != slug("") {
			return name
		}
	}
	return slug("")
}

var notInSlug = regexp.MustCompile(`[^a-z0-9]+`)

// slug returns a text as a name of a file, of at most 60 letters, digits and hyphens.
func slug(text string) string {
	name := strings.Trim(notInSlug.ReplaceAllString(strings.ToLower(text), "-"), "-")
	return cmp.Or(name[:min(len(name), 60)], "partner")
}

// selfSignedFor is the validity of a self-signed certificate.
const selfSignedFor = 5

// selfSigned returns a server certificate for a host name and for loopback, with its key (PEM).
func selfSigned(host string, now time.Time) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: host},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(selfSignedFor, 0, 0),
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else if host != "localhost" {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), nil
}
