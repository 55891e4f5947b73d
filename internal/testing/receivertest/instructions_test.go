package receivertest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/front/instructions"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// instruction returns the text about a generation that the page for a receiver's administrator shows for a product.
func instruction(t *testing.T, product string, c tenancy.Certificate) []string {
	t.Helper()
	for _, i := range instructions.For(instructions.Certificate{Generation: c.Generation, Subject: c.Subject,
		Serial: c.Serial, SHA256: c.Fingerprint, SHA1: certfile.SHA1(c.DER)}) {
		if i.Product == product {
			return i.Snippets
		}
	}
	t.Fatalf("nothing is said of %s", product)
	return nil
}

// The text is added to the product's configuration unchanged. The first way accepts generation 2 only, and the second
// one both, by their subject.
func TestTheInstructionsWorkWithTheirProducts(t *testing.T) {
	f := setUp(t)
	f.renew()
	second := f.generation(2)
	for product, serve := range map[string]func(snippet string, name string) (port, refused int){"nginx": f.nginxWith,
		"HAProxy": f.haproxyWith, "Apache httpd": f.apacheWith} {
		t.Run(product, func(t *testing.T) {
			within := *f
			within.t = t
			for i, snippet := range instruction(t, product, second) {
				port, refused := serve(snippet, fmt.Sprintf("%s-%d", strings.ToLower(strings.Fields(product)[0]), i))
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
