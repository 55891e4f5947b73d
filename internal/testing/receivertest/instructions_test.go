package receivertest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/front/instructions"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// instruction returns the text about a renewal that the page for a receiver's administrator shows for a product.
func instruction(t *testing.T, product string, r instructions.Renewal) []string {
	t.Helper()
	for _, i := range instructions.For(r) {
		if i.Product == product {
			return i.Snippets
		}
	}
	t.Fatalf("there are no instructions for %s", product)
	return nil
}

// described returns a certificate as the page for a receiver's administrator describes it.
func described(c tenancy.Certificate) instructions.Certificate {
	return instructions.Certificate{Tenant: "acme", Generation: c.Generation, Subject: c.Subject, Serial: c.Serial,
		SHA256: c.Fingerprint, SHA1: certfile.SHA1(c.DER)}
}

// products starts each product that runs here with a snippet of its instructions.
func (f *fixture) products() map[string]func(snippet, name string) (port, refused int) {
	all := map[string]func(snippet string, name string) (port, refused int){"nginx": f.nginxWith,
		"HAProxy": f.haproxyWith, "Apache httpd": f.apacheWith}
	if os.Getenv("RECEIVERS") != "" { // the other tests need no more packages
		all["Caddy"] = f.caddyWith
	}
	return all
}

// The text is added to the product's configuration unchanged. The first variant accepts generation 2 only, and the
// second one both, by their subject.
func TestTheInstructionsWorkWithTheirProducts(t *testing.T) {
	f := setUp(t)
	f.renew()
	second := instructions.Renewal{New: described(f.generation(2))}
	f.downloaded(second.New, f.generation(2).DER)
	for product := range f.products() {
		t.Run(product, func(t *testing.T) {
			within := *f
			within.t = t
			for i, snippet := range instruction(t, product, second) {
				port, refused := within.products()[product](snippet, fmt.Sprintf("%s-%d", strings.Fields(product)[0], i))
				within.wants(port, 2, 200, "")
				if i == 0 {
					within.wants(port, 1, refused, "")
				} else {
					within.wants(port, 1, 200, "")
				}
			}
		})
	}
}

// realNames are subjects as customers have them, and as an attacker would write them.
var realNames = map[string]pkix.Name{
	"umlauts":     {Organization: []string{"Müller & Söhne GmbH"}, CommonName: "Größe"},
	"quotes":      {CommonName: `a"b'c`},
	"dollars":     {CommonName: `$1 ${HOME} $ssl_client_s_dn %{HTTP_HOST} %[src] {x}`},
	"backslashes": {CommonName: `a\\b\n\t\C3\`},
	"separators":  {CommonName: `#a, b+c;d=e<f>g `},
	"64 characters": {Organization: []string{"Bundesanstalt für Materialforschung und -prüfung"},
		CommonName: strings.Repeat("ab-ü", 16)},
	"other scripts": {Country: []string{"JP"}, Organization: []string{"株式会社テスト"}, CommonName: "テスト 🏢"},
}

// The same with names of every kind. Generations 1 and 2 have the same subject, and generation 3 has another one.
func TestTheInstructionsWorkWithRealNames(t *testing.T) {
	f := setUp(t)
	for name, subject := range realNames {
		pairs, described := f.named(subject)
		f.shown = func(n int) tls.Certificate { return pairs[n] }
		renewal := instructions.Renewal{New: described[2], Old: new(described[1])}
		for product := range f.products() {
			t.Run(product+"/"+name, func(t *testing.T) {
				within := *f
				within.t = t
				for i, snippet := range instruction(t, product, renewal) {
					port, refused := within.products()[product](snippet, fmt.Sprintf("%s-%d",
						strings.ReplaceAll(name, " ", "-"), i))
					within.wants(port, 2, 200, "")
					within.wants(port, 3, refused, "")
					if i > 0 || product != "HAProxy" { // its list is a file that has the old fingerprint already
						within.wants(port, 1, 200, "")
					}
				}
			})
		}
	}
}

// named returns certificates of a CA that the products trust: generations 1 and 2 with a subject, 3 with another one.
func (f *fixture) named(subject pkix.Name) (map[int]tls.Certificate, map[int]instructions.Certificate) {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(f.t, err)
	now := time.Now()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	check(f.t, err)
	f.write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	pairs, all := map[int]tls.Certificate{}, map[int]instructions.Certificate{}
	for n := 1; n <= 3; n++ {
		// Serial numbers with an odd number of hexadecimal digits.
		leaf := &x509.Certificate{SerialNumber: big.NewInt(int64(0xabc00 + n)), Subject: subject, NotBefore: root.NotBefore,
			NotAfter: root.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if n == 3 {
			leaf.Subject = pkix.Name{CommonName: "another tenant"}
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), key)
		check(f.t, err)
		pairs[n] = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
		all[n] = instructions.Certificate{Tenant: "acme", Generation: n, Subject: f.subjectOf(der),
			Serial: leaf.SerialNumber.Text(16), SHA256: certfile.Fingerprint(der), SHA1: certfile.SHA1(der)}
		f.downloaded(all[n], der)
	}
	return pairs, all
}

// downloaded writes a certificate into the file as which the page for a receiver's administrator offers it.
func (f *fixture) downloaded(c instructions.Certificate, der []byte) {
	f.t.Helper()
	f.write(fmt.Sprintf("%s-generation-%d.pem", c.Tenant, c.Generation), pem.EncodeToMemory(&pem.Block{
		Type: "CERTIFICATE", Bytes: der}))
}

// subjectOf returns the subject of a certificate in the form of RFC 4514, by OpenSSL.
func (f *fixture) subjectOf(der []byte) string {
	f.t.Helper()
	cmd := exec.Command("openssl", "x509", "-inform", "DER", "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb")
	cmd.Stdin = bytes.NewReader(der)
	out, err := cmd.Output()
	check(f.t, err)
	return strings.TrimSuffix(strings.TrimPrefix(string(out), "subject="), "\n")
}

func (f *fixture) nginxWith(snippet, name string) (port, refused int) {
	port = testenv.Port(f.t)
	inHTTP, inServer, _ := strings.Cut(snippet, "# in the server block\n")
	var temps strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temps, "%s_temp_path %s/tmp;\n", kind, f.dir)
	}
	f.write(name+".conf", fmt.Appendf(nil, `daemon off; worker_processes 1; pid %[1]s/%[2]s.pid; error_log %[1]s/error.log;
events {}
http { access_log off;
%[3]s
%[4]s
server { listen 127.0.0.1:%[5]d ssl; ssl_certificate %[1]s/server.pem; ssl_certificate_key %[1]s/server.pem;
ssl_client_certificate %[1]s/ca.pem; ssl_verify_client on; ssl_verify_depth 3;
%[6]s
location / { return 200 "accepted"; } } }
`, f.dir, name, temps.String(), inHTTP, port, inServer))
	f.start(port, "nginx", "-e", filepath.Join(f.dir, "error.log"), "-p", f.dir, "-c", filepath.Join(f.dir, name+".conf"))
	return port, 401
}

func (f *fixture) haproxyWith(snippet, name string) (port, refused int) {
	port = testenv.Port(f.t)
	before, rule, _ := strings.Cut(strings.ReplaceAll(snippet, "/etc/haproxy", f.dir), "# in the frontend\n")
	if list, _, ok := strings.Cut(before, "# at run time"); ok {
		check(f.t, exec.Command("sh", "-c", list).Run())
	}
	f.write(name+".cfg", fmt.Appendf(nil, `defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend in
  bind 127.0.0.1:%[1]d ssl crt %[2]s/server.pem ca-file %[2]s/ca.pem verify required
  %[3]s
  http-request return status 200 content-type text/plain string accepted
`, port, f.dir, rule))
	f.start(port, "haproxy", "-db", "-f", filepath.Join(f.dir, name+".cfg"))
	return port, 401
}

func (f *fixture) apacheWith(snippet, name string) (port, refused int) {
	port = testenv.Port(f.t)
	var modules strings.Builder
	for _, m := range []string{"mpm_event", "ssl", "socache_shmcb", "authz_core", "alias"} {
		fmt.Fprintf(&modules, "LoadModule %[1]s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", m)
	}
	f.write("index", []byte("accepted"))
	f.write(name+".conf", fmt.Appendf(nil, `%[1]sServerRoot %[2]s
ServerName 127.0.0.1
PidFile %[2]s/%[3]s.pid
Mutex file:%[2]s
ErrorLog %[2]s/%[3]s.log
Listen 127.0.0.1:%[4]d
SSLSessionCache none
<VirtualHost 127.0.0.1:%[4]d>
  SSLEngine on
  SSLCertificateFile %[2]s/server.pem
  SSLCACertificateFile %[2]s/ca.pem
  SSLVerifyDepth 3
  AliasMatch "^/.*" %[2]s/index
%[5]s
</VirtualHost>
`, modules.String(), f.dir, name, port, snippet))
	f.start(port, "apache2", "-DFOREGROUND", "-f", filepath.Join(f.dir, name+".conf"))
	return port, 403
}

// caddyWith starts Caddy, which refuses certificates in the handshake.
func (f *fixture) caddyWith(snippet, name string) (port, refused int) {
	port = testenv.Port(f.t)
	// Clients send no server name to an IP address. A site with a name would not ask them for a certificate, and requests
	// whose host differs from the server name would be refused.
	f.write(name+".caddy", fmt.Appendf(nil, `{
	admin off
	auto_https off
	storage file_system %[1]s/caddy
	servers {
		strict_sni_host insecure_off
	}
}
:%[2]d {
	bind 127.0.0.1
	%[3]s
	respond accepted
}
`, f.dir, port, strings.NewReplacer("/etc/caddy", f.dir, "tls {",
		fmt.Sprintf("tls %[1]s/server.pem %[1]s/server.pem {", f.dir)).Replace(snippet)))
	f.startFor(2, port, "env", "XDG_CONFIG_HOME="+f.dir, find(f.t, "caddy"), "run", "--adapter", "caddyfile", "--config",
		filepath.Join(f.dir, name+".caddy"))
	return port, 0
}
