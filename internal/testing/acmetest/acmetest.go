// Package acmetest runs the servers that a test of ACME needs: Pebble (Let's Encrypt's server for tests), and a DNS
// server that answers every name with loopback.
package acmetest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// StartDNS starts a DNS server that ends with the test. Every name has the address 127.0.0.1, and as TXT record the
// content of the file of its name in dir.
func StartDNS(t testing.TB, dir string) (address string) {
	t.Helper()
	var conn net.PacketConn
	var listener net.Listener                  // Pebble asks over TCP
	testenv.Eventually(t, func() (free bool) { // until a port is free for both
		var err error
		conn, err = net.ListenPacket("udp", "127.0.0.1:0")
		testenv.Check(t, err)
		if listener, err = net.Listen("tcp", conn.LocalAddr().String()); err != nil {
			conn.Close()
		}
		return err == nil
	})
	t.Cleanup(func() {
		conn.Close()
		listener.Close()
	})
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer, err := answerDNS(buffer[:n], dir); err == nil {
				conn.WriteTo(answer, from)
			}
		}
	}()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveTCP(conn, dir)
		}
	}()
	return conn.LocalAddr().String()
}

// serveTCP answers the queries of one connection, each after its length (RFC 1035, section 4.2.2).
func serveTCP(conn net.Conn, dir string) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		answer, err := answerDNS(query, dir)
		if err != nil {
			return
		}
		conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	}
}

func answerDNS(query []byte, dir string) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil, fmt.Errorf("a query with %d questions: %w", len(m.Questions), err)
	}
	q := m.Questions[0]
	m.Header.Response, m.Header.Authoritative, m.Additionals = true, true, nil
	header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
	switch q.Type {
	case dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
	case dnsmessage.TypeTXT:
		name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
		if text, err := os.ReadFile(filepath.Join(dir, filepath.Base(name))); err == nil {
			m.Answers = []dnsmessage.Resource{
				{Header: header, Body: &dnsmessage.TXTResource{TXT: []string{string(text)}}},
			}
		}
	}
	return m.Pack()
}

// The account at the CA to which accounts of Pebble must be bound.
const (
	EABKeyID = "kid-1"
	EABKey   = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
)

// A Pebble is a running Pebble. It requires an external account, rejects a third of the nonces, and looks for http-01
// proofs at HTTPPort. Its certificates are for servers.
type Pebble struct {
	Directory string // URL
	TLSRoots  string // PEM file
	Roots     string // PEM file of the root that it made
	HTTPPort  int
	TLSPort   int
	manage    string
	client    *http.Client
}

// StartPebble starts a Pebble that ends with the test, and asks a DNS server.
func StartPebble(t testing.TB, dns string) *Pebble {
	t.Helper()
	program := testenv.Peer(t, "pebble")
	dir, now := t.TempDir(), time.Now()
	ca := testca.New(t, "Pebble TLS", now)
	pair := ca.Server(t, now.Add(-time.Hour), now.AddDate(0, 0, 1))
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		testenv.Check(t, os.WriteFile(path, data, 0o600))
		return path
	}
	listen, manage := testenv.Address(t), testenv.Address(t)
	p := &Pebble{
		Directory: "https://" + listen + "/dir",
		TLSRoots:  ca.RootFile(t),
		HTTPPort:  testenv.Port(t),
		TLSPort:   testenv.Port(t),
		manage:    "https://" + manage,
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{"listenAddress": listen,
		"managementListenAddress": manage, "certificate": file("cert.pem", testca.PEM(pair.Certificate...)),
		"privateKey": file("key.pem", testenv.PairPEM(t, pair)), "httpPort": p.HTTPPort, "tlsPort": p.TLSPort,
		"externalAccountBindingRequired": true, "externalAccountMACKeys": map[string]string{EABKeyID: EABKey},
		"keyAlgorithm": "ecdsa", "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{"default": map[string]any{"description": "", "validityPeriod": 31536000}}}})
	testenv.Check(t, err)
	cmd := exec.Command(program, "-config", file("pebble.json", config), "-dnsserver", dns)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=33")
	testenv.Start(t, cmd)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Root)
	p.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	var root []byte
	testenv.Eventually(t, func() bool {
		res, err := p.client.Get(p.manage + "/roots/0")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		root, err = io.ReadAll(res.Body)
		return err == nil && res.StatusCode == http.StatusOK
	})
	p.Roots = file("root.pem", root)
	return p
}

// Suggest makes the CA suggest a window for the renewal of a certificate (DER).
func (p *Pebble) Suggest(t testing.TB, der []byte, from, to time.Time) {
	t.Helper()
	suggestion, err := json.Marshal(map[string]any{"suggestedWindow": map[string]time.Time{"start": from, "end": to},
		"explanationURL": "https://ca.example.com/why"})
	testenv.Check(t, err)
	body, err := json.Marshal(
		map[string]string{"certificate": string(testca.PEM(der)), "ariResponse": string(suggestion)},
	)
	testenv.Check(t, err)
	res, err := p.client.Post(p.manage+"/set-renewal-info/", "application/json", bytes.NewReader(body))
	testenv.Check(t, err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("set-renewal-info: %s", res.Status)
	}
}
