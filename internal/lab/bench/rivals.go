package bench

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ports are the addresses of nginx: of the receiver, and of the proxies to it.
type ports struct {
	receiver                         string // keeps connections
	fresh                            string // ends each connection after one message, and resumes no TLS session
	proxy, proxyFresh, proxyFreshRSA string
}

const nginxConf = `daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 4096; }
http {
	access_log off; keepalive_requests 100000000; client_max_body_size 0; client_body_buffer_size 128k;
	client_body_temp_path %[1]s/tmp; proxy_temp_path %[1]s/tmp; fastcgi_temp_path %[1]s/tmp;
	uwsgi_temp_path %[1]s/tmp; scgi_temp_path %[1]s/tmp;
	ssl_certificate %[1]s/server.pem; ssl_certificate_key %[1]s/server.pem;
	ssl_client_certificate %[1]s/ca.pem; ssl_verify_client on; ssl_verify_depth 3; ssl_session_tickets off;
	server { listen %[2]s ssl; location / { return 200 "accepted\n"; } }
	server { listen %[3]s ssl; keepalive_timeout 0; location / { return 200 "accepted\n"; } }

	proxy_http_version 1.1; proxy_ssl_trusted_certificate %[1]s/ca.pem; proxy_ssl_verify on; proxy_ssl_verify_depth 3;
	proxy_ssl_name 127.0.0.1; proxy_ssl_certificate %[1]s/client.pem; proxy_ssl_certificate_key %[1]s/client.pem;
	upstream receiver { server %[2]s; keepalive 64; keepalive_requests 100000000; }
	server { listen %[4]s; location / { proxy_pass https://receiver; proxy_set_header Connection ""; } }
	server { listen %[5]s; location / { proxy_pass https://%[3]s; proxy_ssl_session_reuse off; } }
	server { listen %[6]s; location / { proxy_pass https://%[3]s; proxy_ssl_session_reuse off;
		proxy_ssl_certificate %[1]s/rsa.pem; proxy_ssl_certificate_key %[1]s/rsa.pem; } }
}
`

// nginx writes the configuration of the receiver and of the proxies, in one nginx.
func (b *gatewayBench) nginx(now time.Time) (p ports, err error) {
	server, err := b.ca.NewServerCertificate("127.0.0.1", func() time.Time { return now })
	if err != nil {
		return p, err
	}
	pair, err := server.Get(nil)
	if err != nil {
		return p, err
	}
	var free [5]string
	for i := range free {
		if free[i], err = freePort(); err != nil {
			return p, err
		}
	}
	conf := fmt.Appendf(nil, nginxConf, b.dir, free[0], free[1], free[2], free[3], free[4])
	return ports{receiver: "https://" + free[0] + "/", fresh: "https://" + free[1] + "/", proxy: "http://" + free[2],
			proxyFresh: "http://" + free[3], proxyFreshRSA: "http://" + free[4]}, errors.Join(
			os.WriteFile(filepath.Join(b.dir, "server.pem"), pairPEM(*pair), 0o600),
			os.WriteFile(filepath.Join(b.dir, "ca.pem"), b.ca.Bundle(), 0o600),
			os.WriteFile(filepath.Join(b.dir, "nginx.conf"), conf, 0o600))
}

// freePort returns an unused address on loopback.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// haproxy starts HAProxy as an egress proxy with one thread, as nginx has one worker.
func (b *gatewayBench) haproxy(receiver string) (url string, err error) {
	address, err := freePort()
	if err != nil {
		return "", err
	}
	config := filepath.Join(b.dir, "haproxy.cfg")
	text := fmt.Sprintf(`global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
listen egress
  bind %[1]s
  default-server ssl crt %[3]s/client.pem ca-file %[3]s/ca.pem verify required verifyhost 127.0.0.1
  server receiver %[2]s pool-max-conn 64
`, address, hostOf(receiver), b.dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return "", err
	}
	return "http://" + address, b.run("http://"+address, "haproxy", "-db", "-q", "-f", config)
}

// runCaddy starts Caddy as an egress proxy.
func (b *gatewayBench) runCaddy(receiver string) (url string, err error) {
	address, err := freePort()
	if err != nil {
		return "", err
	}
	config := filepath.Join(b.dir, "Caddyfile")
	text := fmt.Sprintf(`{
	admin off
	auto_https off
	persist_config off
	log {
		level ERROR
	}
}
http://%[1]s {
	bind 127.0.0.1
	reverse_proxy %[2]s {
		transport http {
			tls_client_auth %[3]s/client.pem %[3]s/client.pem
			tls_trust_pool file %[3]s/ca.pem
			tls_server_name 127.0.0.1
			keepalive_idle_conns_per_host 64
		}
	}
}
`, address, strings.TrimSuffix(receiver, "/"), b.dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return "", err
	}
	return "http://" + address, b.run("http://"+address, b.caddy, "run", "--adapter", "caddyfile", "--config", config)
}

// hostOf returns the host and port of a URL.
func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	return strings.TrimSuffix(rest, "/")
}

// run starts a program and waits until it listens at the URL.
func (b *gatewayBench) run(url, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	b.ended = append(b.ended, func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	for range 100 {
		conn, err := net.Dial("tcp", hostOf(url))
		if err == nil {
			return conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s does not answer", program)
}
