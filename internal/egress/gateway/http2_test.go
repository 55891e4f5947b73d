package gateway_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// nginx starts a real nginx over HTTP/2, which refuses the certificates that it does not know with "return 444". It
// returns the address, and a function that counts the requests that arrived.
func (f *fixture) nginx(known ...*x509.Certificate) (url string, requests func() int) {
	f.t.Helper()
	program, err := exec.LookPath("nginx")
	check(f.t, err)
	dir, port := f.t.TempDir(), testenv.Port(f.t)
	key, err := x509.MarshalPKCS8PrivateKey(f.server.PrivateKey)
	check(f.t, err)
	pair := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	var serials []string
	for _, c := range known {
		serials = append(serials, fmt.Sprintf("~*^0*%X$ 1;", c.SerialNumber))
	}
	config := fmt.Sprintf(`user root; daemon off; pid nginx.pid; error_log error.log; events {}
		http { log_format line "$request"; access_log access.log line;
		client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
		map $ssl_client_serial $known { default 0; %s }
		server { listen 127.0.0.1:%d ssl http2; ssl_certificate server.pem; ssl_certificate_key server.pem;
		ssl_client_certificate ca.pem; ssl_verify_client on; ssl_verify_depth 3;
		location / { if ($known = 0) { return 444; } return 200 "ok"; } } }`, strings.Join(serials, " "), port)
	for name, data := range map[string][]byte{"server.pem": pair, "ca.pem": f.ca.Bundle(), "nginx.conf": []byte(config)} {
		check(f.t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	testenv.Start(f.t, exec.Command(program, "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c",
		filepath.Join(dir, "nginx.conf")))
	address := fmt.Sprintf("127.0.0.1:%d", port)
	testenv.Eventually(f.t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return "https://" + address, func() int {
		log, err := os.ReadFile(filepath.Join(dir, "access.log"))
		check(f.t, err)
		return strings.Count(string(log), "\n")
	}
}

func TestAReceiverThatClosesEachRequestGetsAFewOfThem(t *testing.T) {
	f := setUp(t)
	url, requests := f.nginx()
	f.arrangement("closed", tenancy.Adaptive, url)
	send := func(most int) {
		t.Helper()
		for _, method := range []string{"GET", "HEAD", "POST"} {
			before := requests()
			got := f.send("closed", method, map[string]int{"POST": 300}[method])
			testenv.Eventually(t, func() bool { return requests() > before })
			if n := requests() - before; got.status != 502 || n > most {
				t.Errorf("%s: %d after %d requests", method, got.status, n)
			}
		}
	}
	send(3)
	f.renew()
	send(20)
}

func TestAReceiverThatClosesEachRequestOfACertificateIsFollowed(t *testing.T) {
	f := setUp(t)
	f.arrangement("other", tenancy.Adaptive, "https://127.0.0.1:1/") // it keeps generation 1 in reach
	f.renew()
	for name, known := range map[string]int{"old": 1, "new": 2} {
		url, _ := f.nginx(f.generation(known))
		f.arrangement(name, tenancy.Adaptive, url)
		for _, k := range kinds {
			if k.size > 1<<20 {
				continue // nginx's limit
			}
			if got := f.send(name, k.method, k.size); got.status != 200 {
				t.Errorf("%s: %s of %d bytes: %+v", name, k.method, k.size, got)
			}
		}
	}
}
