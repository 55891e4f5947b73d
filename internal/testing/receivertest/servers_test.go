package receivertest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// serverPeers are the servers of Debian, in the configurations that have made messages fail.
func serverPeers() []peer {
	const debian = "/usr/lib/apache2/modules/mod_ssl.so"
	return []peer{
		{name: "nginx, ssl_crl", way: "400, certificate revoked", needs: "nginx", start: placed(nginxCRL), short: true,
			promise: nothingFails},
		{name: "nginx", way: "444 over HTTP/2", needs: "nginx", start: placed(nginxCloses), promise: firstMayFail},
		{name: "HAProxy, HTTP/2", way: "http-request reject", needs: "haproxy", start: placed(haproxyOf(haproxyReject)),
			promise: firstMayFail, short: true},
		{name: "HAProxy, TCP mode", way: "closes", needs: "haproxy", start: placed(haproxyOf(haproxyTCP)),
			promise: firstMayFail},
		{name: "Apache, <Location>", way: "403, TLS 1.2", needs: debian, start: placed(apacheLate("-all +TLSv1.2")),
			promise: nothingFails},
		{name: "Apache, <Location>", way: "403, TLS 1.2 and 1.3", needs: debian,
			start: placed(apacheLate("-all +TLSv1.2 +TLSv1.3")), promise: nothingFails},
		{name: "lighttpd", way: "403", needs: "/usr/lib/lighttpd/mod_openssl.so", start: placed(lighttpd), short: true,
			promise: nothingFails, needsLength: true},
		{name: "stunnel", way: "TLS alert", needs: "stunnel4", start: placed(stunnel), short: true},
		{name: "Caddy", way: "TLS alert", needs: "caddy", start: placed(caddyAlert), short: true},
		{name: "Caddy", way: "403", needs: "caddy", start: placed(caddyRespond(`respond "unknown client certificate" 403`)),
			promise: nothingFails},
		{name: "Caddy", way: "abort", needs: "caddy", start: placed(caddyRespond("abort")), promise: firstMayFail,
			short: true},
		{name: "newest only", way: "403", start: placed(ratchet), only: []string{"adds"}, short: true},
		{name: "Go behind a CONNECT proxy", way: "403", start: placed(proxied)},
		{name: "two nodes, one changed", way: "401", start: placed(balancer), only: []string{"adds", "never"}, short: true},
	}
}

// directory returns a short-lived folder of a server.
func (w *world) directory() string {
	w.t.Helper()
	dir, err := os.MkdirTemp("", "server") // the path of a socket is limited
	check(w.t, err)
	w.t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// restarted is a server that cannot reload: each change of what it accepts starts it again, on the same port.
func (w *world) restarted(program string, args []string, configure func(port int, certs []*x509.Certificate)) system {
	w.t.Helper()
	port := testenv.Port(w.t)
	end := func() {}
	accept := func(certs ...*x509.Certificate) {
		end()
		configure(port, certs)
		cmd := exec.Command(find(w.t, program), args...)
		cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+w.dir, "XDG_DATA_HOME="+w.dir)
		end = testenv.Start(w.t, cmd)
	}
	return system{url: fmt.Sprintf("https://127.0.0.1:%d/messages", port), accept: accept, times: w.backend.times}
}

// nginxConf is a configuration of nginx with one server.
func (w *world) nginxConf(dir, http, server string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "user root; daemon off; worker_processes 1; pid %[1]s/nginx.pid; "+
		"error_log %[1]s/error.log;\nevents {}\nhttp { access_log off; client_max_body_size 0;\n", dir)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&b, "%s_temp_path %s/tmp;\n", kind, dir)
	}
	fmt.Fprintf(&b, "%s\nserver { ssl_certificate %[2]s/server.pem; ssl_certificate_key %[2]s/server.pem;\n"+
		"ssl_client_certificate %[2]s/ca.pem; ssl_verify_depth 3;\n%[3]s } }\n", http, w.dir, server)
	return []byte(b.String())
}

// nginxReloaded starts nginx and lets it reload what configure writes.
func nginxReloaded(
	configure func(w *world, dir string, port int, certs []*x509.Certificate) []byte) func(*world) system {
	return func(w *world) system {
		dir := w.directory()
		port, file := testenv.Port(w.t), filepath.Join(dir, "nginx.conf")
		check(w.t, os.WriteFile(file, configure(w, dir, port, nil), 0o600))
		cmd := exec.Command(find(w.t, "nginx"), "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", file)
		url := w.started(port, cmd)
		return system{url: url, times: w.backend.times, agreements: 9, accept: func(certs ...*x509.Certificate) {
			check(w.t, os.WriteFile(file, configure(w, dir, port, certs), 0o600))
			check(w.t, cmd.Process.Signal(syscall.SIGHUP))
		}}
	}
}

// nginxCloses answers nothing to certificates that it does not know.
func nginxCloses(w *world) system {
	return nginxReloaded(func(w *world, dir string, port int, certs []*x509.Certificate) []byte {
		known := "map $ssl_client_fingerprint $known { default 0;\n"
		for _, c := range certs {
			known += fingerprint(c) + " 1;\n"
		}
		return w.nginxConf(dir, known+"}", fmt.Sprintf("listen 127.0.0.1:%d ssl http2; ssl_verify_client optional_no_ca;\n"+
			"location / { if ($known = 0) { return 444; } proxy_pass %s; }", port, w.backend.url))
	})(w)
}

// nginxCRL trusts the CA and refuses what its revocation list names.
func nginxCRL(w *world) system {
	return nginxReloaded(func(w *world, dir string, port int, certs []*x509.Certificate) []byte {
		check(w.t, os.WriteFile(filepath.Join(dir, "crl.pem"), w.revocations(certs), 0o600))
		return w.nginxConf(dir, "", fmt.Sprintf("listen 127.0.0.1:%d ssl http2; ssl_verify_client on; ssl_crl %s/crl.pem;\n"+
			"location / { proxy_pass %s; }", port, dir, w.backend.url))
	})(w)
}

// haproxyReject and haproxyTCP are the ways of HAProxy to refuse without an answer.
const (
	haproxyReject = `mode http
  http-request reject unless { ssl_c_sha1,hex -m str -f %s }
  default_backend app
backend app
  mode http`
	haproxyTCP = `mode tcp
  tcp-request inspect-delay 5s
  tcp-request content reject unless { ssl_c_sha1,hex -m str -f %s }
  default_backend app
backend app
  mode tcp`
)

// haproxyOf reloads its list by starting again, as administrators without a socket do.
func haproxyOf(rule string) func(*world) system {
	return func(w *world) system {
		dir := w.directory()
		file, list := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "accepted")
		alpn := "h2,http/1.1"
		if rule == haproxyTCP {
			alpn = "http/1.1"
		}
		return w.restarted("haproxy", []string{"-db", "-f", file}, func(port int, certs []*x509.Certificate) {
			known := "none\n"
			for _, c := range certs {
				known += strings.ToUpper(fingerprint(c)) + "\n"
			}
			check(w.t, os.WriteFile(list, []byte(known), 0o600))
			check(w.t, os.WriteFile(file, fmt.Appendf(nil, "defaults\n  timeout connect 5s\n  timeout client 30s\n"+
				"  timeout server 30s\nfrontend in\n  bind 127.0.0.1:%d ssl crt %[2]s/server.pem ca-file %[2]s/ca.pem "+
				"verify optional crt-ignore-err all ca-ignore-err all alpn %[3]s\n  %[4]s\n  server app %[5]s\n", port, w.dir, alpn,
				fmt.Sprintf(rule, list), strings.TrimPrefix(w.backend.url, "http://")), 0o600))
		})
	}
}

// apacheLate asks for the certificate when it has read the request, as SSLVerifyClient does below a <Location>.
func apacheLate(protocols string) func(*world) system {
	return func(w *world) system {
		r := apacheOf(fmt.Sprintf(`  SSLProtocol %s
  <Location />
    SSLRenegBufferSize 10485760
    SSLVerifyClient require
    SSLVerifyDepth 3
`, protocols))(w)
		r.version = tls.VersionTLS12
		return r
	}
}

// lighttpdScript is the application behind lighttpd: a CGI script that compares the certificate.
const lighttpdScript = `length=${CONTENT_LENGTH:-0}
if [ -n "$SSL_CLIENT_M_SERIAL" ] && grep -qix "$SSL_CLIENT_M_SERIAL" %[1]s/accepted; then
  head -c "$length" >/dev/null
  echo "$HTTP_IDEMPOTENCY_KEY" >> %[1]s/taken
  printf 'Status: 200\r\nContent-Type: text/plain\r\n\r\naccepted\n'
else
  printf 'Status: 403\r\nContent-Type: text/plain\r\n\r\nunknown client certificate\n'
fi
`

func lighttpd(w *world) system {
	dir := w.directory()
	port := testenv.Port(w.t)
	for name, text := range map[string]string{"messages": fmt.Sprintf(lighttpdScript, dir), "accepted": "none\n",
		"lighttpd.conf": fmt.Sprintf(`server.modules = ( "mod_openssl", "mod_cgi" )
server.document-root = "%[1]s"
server.bind = "127.0.0.1"
server.port = %[2]d
server.errorlog = "%[1]s/error.log"
server.upload-dirs = ( "%[1]s" )
ssl.engine = "enable"
ssl.pemfile = "%[3]s/server.pem"
ssl.ca-file = "%[3]s/ca.pem"
ssl.verifyclient.activate = "enable"
ssl.verifyclient.enforce = "disable"
ssl.verifyclient.depth = 3
cgi.assign = ( "messages" => "/bin/sh" )
`, dir, port, w.dir)} {
		check(w.t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	url := w.started(port, exec.Command(find(w.t, "lighttpd"), "-D", "-f", filepath.Join(dir, "lighttpd.conf")))
	return system{url: url, accept: func(certs ...*x509.Certificate) {
		known := "none\n"
		for _, c := range certs {
			known += serial(c) + "\n"
		}
		check(w.t, os.WriteFile(filepath.Join(dir, "accepted.new"), []byte(known), 0o600))
		check(w.t, os.Rename(filepath.Join(dir, "accepted.new"), filepath.Join(dir, "accepted")))
	}, times: func(key string) int { return written(filepath.Join(dir, "taken"), key) }}
}

// stunnel accepts the certificates of a file, whoever issued them.
func stunnel(w *world) system {
	dir := w.directory()
	file, list := filepath.Join(dir, "stunnel.conf"), filepath.Join(dir, "accepted.pem")
	return w.restarted("stunnel4", []string{file}, func(port int, certs []*x509.Certificate) {
		var pems []byte
		for _, c := range certs {
			pems = append(pems, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
		}
		check(w.t, os.WriteFile(list, pems, 0o600))
		check(w.t, os.WriteFile(file, fmt.Appendf(nil, "foreground = yes\npid =\ndebug = 3\n[in]\naccept = 127.0.0.1:%d\n"+
			"connect = %s\ncert = %s/server.pem\nCAfile = %s\nverifyPeer = yes\n", port,
			strings.TrimPrefix(w.backend.url, "http://"), w.dir, list), 0o600))
	})
}

// ratchet accepts the newest certificate only: authenticating with one refuses all older ones from then on.
func ratchet(w *world) system {
	var mu sync.Mutex
	var latest time.Time
	r := golang(receiver.Options{Anonymous: true, Refuse: 403, Decide: func(_ *http.Request, c *x509.Certificate) bool {
		mu.Lock()
		defer mu.Unlock()
		if c == nil || c.NotBefore.Before(latest) {
			return false
		}
		latest = c.NotBefore
		return true
	}})(w)
	r.silent = true
	r.accept = func(...*x509.Certificate) {}
	return r
}

// balancer spreads connections over two nodes. While both generations are to be accepted, the second node has the old
// one only.
func balancer(w *world) system {
	nodes := [2]system{}
	for i := range nodes {
		nodes[i] = golang(receiver.Options{Anonymous: true, Refuse: 401})(w)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(w.t, err)
	w.t.Cleanup(func() { l.Close() })
	go spread(l, nodes)
	return system{url: "https://" + l.Addr().String() + "/messages", silent: true,
		accept: func(certs ...*x509.Certificate) {
			nodes[0].accept(certs...)
			nodes[1].accept(certs[0])
		},
		times: func(key string) int { return nodes[0].times(key) + nodes[1].times(key) }}
}

// spread connects the clients of a listener to the nodes in turn.
func spread(l net.Listener, nodes [2]system) {
	for n := 0; ; n++ {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(nodes[n%2].url, "https://"), "/messages"))
			if err != nil {
				return
			}
			defer out.Close()
			go func() {
				io.Copy(out, in)
				out.Close()
			}()
			io.Copy(in, out)
		}()
	}
}

// revocations returns lists of all CAs that revoke the tenant's generations except the accepted ones.
func (w *world) revocations(accepted []*x509.Certificate) (lists []byte) {
	w.t.Helper()
	var revoked []issuer.Revocation
	for n := range 2 {
		c, err := w.engine.Store.Certificate(w.t.Context(), w.acme.ID, tenancy.ForTenant, n+1)
		if errors.Is(err, tenancy.ErrNotFound) {
			continue
		}
		check(w.t, err)
		if !slices.ContainsFunc(accepted, func(a *x509.Certificate) bool { return bytes.Equal(a.Raw, c.DER) }) {
			revoked = append(revoked, issuer.Revocation{Serial: c.Serial, At: time.Now()})
		}
	}
	authorities, err := w.engine.Store.Authorities(w.t.Context())
	check(w.t, err)
	for _, a := range authorities {
		below := revoked
		if a.Kind == tenancy.RootAuthority {
			below = nil
		}
		der, err := w.ca.CRL(a.ID, below, time.Now())
		check(w.t, err)
		lists = append(lists, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})...)
	}
	return lists
}

// proxied is reached through an HTTP proxy only.
func proxied(w *world) system {
	r := golang(receiver.Options{Anonymous: true, Refuse: 403})(w)
	proxy := httptest.NewServer(http.HandlerFunc(tunnel))
	w.t.Cleanup(proxy.Close)
	r.proxy = proxy.URL
	return r
}

// tunnel answers CONNECT (RFC 9110, section 9.3.6).
func tunnel(rw http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodConnect {
		http.Error(rw, "only CONNECT", http.StatusMethodNotAllowed)
		return
	}
	out, err := net.Dial("tcp", req.Host)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadGateway)
		return
	}
	defer out.Close()
	rw.WriteHeader(http.StatusOK)
	in, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	defer in.Close()
	go func() {
		io.Copy(out, in)
		out.Close()
	}()
	io.Copy(in, out)
}
