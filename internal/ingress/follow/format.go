package follow

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/perennial-pki/perennial/internal/feed"
)

// maxOutput limits what a format may write, and the files that a follower replaces and keeps until its product has
// checked the new ones. The certificates of 10,000 tenants in two generations have about 30 MB as PEM.
const maxOutput = 64 << 20

// A Format writes a view for a product.
type Format struct {
	name   string
	render func(View) ([]byte, error)
	key    string // the default key in a ConfigMap
	// check is the product's command that checks its configuration; "" if there is none without further arguments.
	check string
}

// formats are the built-in formats. Those for products contain only digits, letters and fixed words besides comments,
// so that no name in a certificate can end a line or a string of a configuration.
var formats = []Format{
	{name: "nginx", render: nginx, key: "accepted.map", check: "nginx -t"},
	{name: "haproxy", render: haproxy, key: "accepted.list"},
	{name: "apache", render: apache, key: "accepted.conf", check: "apachectl configtest"},
	{name: "pem", render: pemOf, key: "certificates.pem"},
	{name: "cas", render: casOf, key: "cas.pem"},
	{name: "jwks", render: jwks, key: "jwks.json"},
	{name: "list", render: list, key: "certificates.txt"},
}

func formatNames() (names []string) {
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// ReadFormat returns a built-in format, or the one of a template file (Go text/template).
func ReadFormat(name string) (Format, error) {
	if i := slices.IndexFunc(formats, func(f Format) bool { return f.name == name }); i >= 0 {
		return formats[i], nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return Format{}, fmt.Errorf("invalid format %q: use %s, or the path of a template: %w", name,
			strings.Join(formatNames(), ", "), err)
	}
	return templated(name, string(text))
}

// Check returns the command with which the product checks its configuration; "" if there is none.
func (f Format) Check() string { return f.check }

// header is the comment at the beginning of a configuration. It names nothing that changes with each document, because
// a changed file means a reload.
func header(v View, use string) string {
	of := fmt.Sprintf("of %s (%s)", plain(v.Tenant), plain(v.Arrangement))
	if v.ofParty() {
		of = fmt.Sprintf("for %s (all tenants)", plain(v.Tenant))
	}
	return fmt.Sprintf("# Certificates %s. Written by perennial follow: do not edit.\n# %s\n", of, use)
}

// about returns the comment on a certificate. It names the tenant if there are several.
func (v View) about(c Certificate) string {
	text := fmt.Sprintf("generation %d, until %s", c.Generation, c.NotAfter.Format(time.RFC3339))
	if v.ofParty() {
		return plain(c.Tenant) + ", " + text
	}
	return text
}

// ofParty reports whether the view is that of a counterparty's feed.
func (v View) ofParty() bool { return v.Arrangement == "" }

// nginx writes the lines of a map. The only fingerprint that nginx shows is SHA-1. That is enough here, because an
// attacker needs a second certificate with the fingerprint of a given one: collisions of SHA-1 do not help with that.
func nginx(v View) ([]byte, error) {
	var b strings.Builder
	b.WriteString(header(v, "Use it as: map $ssl_client_fingerprint $accepted { default 0; include THIS_FILE; }"))
	for _, c := range v.Certificates {
		fmt.Fprintf(&b, "%s 1; # %s\n", c.SHA1, v.about(c))
	}
	return []byte(b.String()), nil
}

// haproxy writes a list of patterns for an ACL.
func haproxy(v View) ([]byte, error) {
	var b strings.Builder
	b.WriteString(header(v, "Use it as: http-request deny deny_status 401 unless { ssl_c_der,sha2(256),hex -m str -f "+
		"THIS_FILE }"))
	for _, c := range v.Certificates {
		fmt.Fprintf(&b, "# %s\n%s\n", v.about(c), strings.ToUpper(c.SHA256))
	}
	return []byte(b.String()), nil
}

// apache writes conditions, of which one must hold. Apache shows no fingerprint, but its expressions can hash the
// certificate as PEM. The serial number alone would not be exact with several CAs, and with the issuer's name, a name
// from outside would become a part of the configuration.
func apache(v View) ([]byte, error) {
	var b strings.Builder
	b.WriteString(header(v, "Use it in a Location or RequireAny, with SSLVerifyClient require. The values are those of: "+
		"openssl x509 -in CERTIFICATE | sha1sum"))
	for _, c := range v.Certificates {
		fmt.Fprintf(&b, "# %s\nRequire expr \"sha1(%%{SSL_CLIENT_CERT}) == '%s'\"\n", v.about(c), c.PEMSHA1)
	}
	return []byte(b.String()), nil
}

func pemOf(v View) ([]byte, error) {
	var b strings.Builder
	for _, c := range v.Certificates {
		b.WriteString(c.PEM)
	}
	return []byte(b.String()), nil
}

func casOf(v View) ([]byte, error) {
	if len(v.CAs) == 0 {
		return nil, errors.New("the feed has no CA that is valid now: use another format")
	}
	var b strings.Builder
	for _, c := range v.CAs {
		b.WriteString(c.PEM)
	}
	return []byte(b.String()), nil
}

// jwks writes a JWK Set.
func jwks(v View) ([]byte, error) {
	var all []*x509.Certificate
	for _, c := range v.Certificates {
		all = append(all, c.parsed)
	}
	out, err := json.MarshalIndent(feed.WebKeys(all), "", "  ")
	return append(out, '\n'), err
}

// list writes one line for each certificate, with tabs between the fields: SHA-256, serial number (hexadecimal),
// expiry, state, generation and subject. The subject is the last one and contains no tab.
func list(v View) ([]byte, error) {
	var b strings.Builder
	for _, c := range v.Certificates {
		fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%d\t%s\n", c.SHA256, c.Serial, c.NotAfter.Format(time.RFC3339), c.State,
			c.Generation, c.Subject)
	}
	return []byte(b.String()), nil
}

// templated returns the format of a template, which gets a [View].
func templated(name, text string) (Format, error) {
	t, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
		"json": func(v any) (string, error) {
			out, err := json.Marshal(v)
			return string(out), err
		},
		"upper": strings.ToUpper, "lower": strings.ToLower, "plain": plain,
	}).Parse(text)
	if err != nil {
		return Format{}, fmt.Errorf("read the template: %w", err)
	}
	return Format{name: "template", key: "certificates", render: func(v View) ([]byte, error) {
		out := &bounded{left: maxOutput}
		if err := t.Execute(out, v); err != nil {
			return nil, err
		}
		return out.buffer.Bytes(), nil
	}}, nil
}

// bounded is a buffer that refuses to grow beyond a limit.
type bounded struct {
	buffer bytes.Buffer
	left   int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, fmt.Errorf("the output is larger than %d MiB", maxOutput>>20)
	}
	return b.buffer.Write(p)
}

// Render returns the text of a format. An empty text is an error, because a product that reads it would accept nothing
// or everything.
func (f Format) Render(v View) ([]byte, error) {
	out, err := f.render(v)
	if err != nil {
		return nil, fmt.Errorf("write the certificates as %s: %w", f.name, err)
	}
	if len(out) > maxOutput { // the next round could not replace it
		return nil, fmt.Errorf("write the certificates as %s: the output is larger than %d MiB: use a format with "+
			"fingerprints", f.name, maxOutput>>20)
	}
	if len(bytes.TrimSpace(out)) == 0 {
		return nil, fmt.Errorf("write the certificates as %s: the result is empty", f.name)
	}
	return out, nil
}
