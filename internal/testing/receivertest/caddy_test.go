package receivertest

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// caddyConf is a Caddyfile. A client that connects to an IP address sends no server name, and Caddy answers 421 to all
// its requests if it asks for certificates. strict_sni_host turns that off.
const caddyConf = `{
	admin unix/%[1]s/admin
	default_sni 127.0.0.1
	auto_https off
	servers {
		strict_sni_host insecure_off
	}
	log {
		level ERROR
	}
}
https://:%[2]d {
	bind 127.0.0.1
	tls %[3]s/server.pem %[3]s/server.pem {
		client_auth {
			%[4]s
		}
	}
	%[5]s
	reverse_proxy %[6]s
}
`

// caddyReloaded starts Caddy and lets it reload what configure returns: the lines of client_auth, and those before the
// proxy.
func caddyReloaded(configure func(certs []*x509.Certificate) (clientAuth, rule string)) func(*world) system {
	return func(w *world) system {
		dir := w.directory()
		port, file := testenv.Port(w.t), filepath.Join(dir, "Caddyfile")
		caddy := func(args ...string) *exec.Cmd {
			cmd := exec.Command(find(w.t, "caddy"), append(args, "--config", file, "--adapter", "caddyfile")...)
			cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
			return cmd
		}
		write := func(certs []*x509.Certificate) {
			clientAuth, rule := configure(certs)
			check(w.t, os.WriteFile(file, fmt.Appendf(nil, caddyConf, dir, port, w.dir, clientAuth, rule,
				strings.TrimPrefix(w.backend.url, "http://")), 0o600))
		}
		write(nil)
		url := w.started(port, caddy("run"))
		return system{url: url, times: w.backend.times, agreements: 9, accept: func(certs ...*x509.Certificate) {
			write(certs)
			if out, err := caddy("reload", "--address", "unix/"+dir+"/admin").CombinedOutput(); err != nil {
				w.t.Fatalf("caddy reload: %v: %s", err, out)
			}
		}}
	}
}

// caddyAlert trusts single certificates, and ends the handshake with every other one.
func caddyAlert(w *world) system {
	return caddyReloaded(func(certs []*x509.Certificate) (string, string) {
		trusted := []string{"mode require"}
		for _, c := range append(certs, w.pair.Leaf) { // without a certificate, it would accept all
			trusted = append(trusted, "trusted_leaf_cert "+base64.StdEncoding.EncodeToString(c.Raw))
		}
		return strings.Join(trusted, "\n"), ""
	})(w)
}

// caddyRespond asks for a certificate and refuses those that it does not know with a directive.
func caddyRespond(directive string) func(*world) system {
	return caddyReloaded(func(certs []*x509.Certificate) (string, string) {
		known := strings.Join(strings.Fields("none "+string(fingerprints(certs))), " ")
		return "mode request", "@unknown not vars {http.request.tls.client.fingerprint} " + known +
			"\nroute @unknown {\n" + directive + "\n}"
	})
}
