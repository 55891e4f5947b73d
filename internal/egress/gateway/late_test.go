package gateway_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/diagnose"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// apache starts a real Apache that asks for the certificate per location, after it has seen the request.
func (f *fixture) apache(protocols string) (url string) {
	f.t.Helper()
	program, err := exec.LookPath("apache2")
	check(f.t, err)
	dir, port := f.t.TempDir(), testenv.Port(f.t)
	var config strings.Builder
	for _, m := range []string{"mpm_event", "authz_core", "ssl", "rewrite", "socache_shmcb", "alias"} {
		fmt.Fprintf(&config, "LoadModule %[1]s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", m)
	}
	fmt.Fprintf(&config, `ServerRoot %[1]s
		PidFile pid
		ErrorLog error.log
		ServerName localhost
		Listen 127.0.0.1:%[2]d
		DocumentRoot %[1]s/www
		SSLEngine on
		SSLProtocol %[3]s
		SSLCertificateFile server.pem
		SSLCACertificateFile ca.pem
		<Directory />
		  Require all granted
		</Directory>
		<Location "/orders">
		  SSLVerifyClient require
		  SSLVerifyDepth 3
		  SSLRenegBufferSize 10485760
		  RewriteEngine on
		  RewriteRule .* - [R=204]
		</Location>
		`, dir, port, protocols)
	check(f.t, os.Mkdir(filepath.Join(dir, "www"), 0o700))
	address := testenv.TLSServer{Dir: dir, Port: port, Pair: f.server, Files: map[string][]byte{"ca.pem": f.ca.Bundle(),
		"c.conf": []byte(config.String())}}.Start(f.t, exec.Command(program, "-DFOREGROUND", "-f",
		filepath.Join(dir, "c.conf")))
	return "https://" + address + "/orders"
}

func TestAReceiverThatAsksForTheCertificateLateIsHeldAtTLS12(t *testing.T) {
	f := setUp(t)
	for _, c := range []struct{ name, protocols string }{{"late-13", "all"}, {"late-12", "TLSv1.2"}} {
		f.arrangement(c.name, tenancy.Adaptive, f.apache(c.protocols))
	}
	for _, state := range []string{"settled", "open"} {
		if state == "open" {
			f.renew()
		}
		for _, name := range []string{"late-13", "late-12"} {
			for _, k := range kinds {
				if got := f.send(name, k.method, k.size); got.status/100 != 2 {
					t.Errorf("%s, %s: %s of %d bytes: %+v", name, state, k.method, k.size, got)
				}
			}
		}
	}
	s := f.standing("late-13")
	s.Arrangement.Egress.Probe = tenancy.Probe{Method: "GET", Path: "/orders"}
	identities, err := f.engine.Identities(t.Context(), s)
	check(t, err)
	network := &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	d := diagnose.Run(t.Context(), network, s, identities, nil, time.Now())
	if d.Cause != diagnose.Healthy || !strings.Contains(fmt.Sprint(d.Evidence), "asks for the certificate late") {
		t.Errorf("%s: %s\n%s", d.Cause, d.Summary, d.Evidence)
	}
}
