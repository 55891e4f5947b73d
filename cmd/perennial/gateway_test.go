package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// newReceiver starts a receiver with its own certificate.
func newReceiver() (s *receiver.Server, pin string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "receiver"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, "", err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, "", err
	}
	s, err = receiver.Start(receiver.Options{Refuse: 401,
		Certificate: receiver.Fixed(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})})
	return s, outbound.KeyPin(leaf), err
}

// A process is a running perennial that has reported that it is ready.
type process struct {
	cmd *exec.Cmd
	out map[string]string // URL, TOKEN, GATEWAY
}

var assignment = regexp.MustCompile(`PERENNIAL_(URL|TOKEN)=(\S+)`)

func begin(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "perennial", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	p := &process{cmd, map[string]string{}}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		for _, m := range assignment.FindAllStringSubmatch(lines.Text(), -1) {
			p.out[m[1]] = m[2]
		}
		if _, url, ok := strings.Cut(lines.Text(), "  messages  "); ok {
			p.out["GATEWAY"] = strings.TrimSuffix(url, "/TENANT/ARRANGEMENT/...")
		}
		if strings.HasPrefix(lines.Text(), "  control") || strings.HasPrefix(lines.Text(), "Then,") {
			break
		}
	}
	go io.Copy(io.Discard, out)
	return p
}

// commands returns a function that runs a command against a service and returns its output.
func commands(t *testing.T, url, token string) func(args ...string) string {
	return func(args ...string) string {
		t.Helper()
		cmd := exec.Command("perennial", args...)
		cmd.Env = append(os.Environ(), "PERENNIAL_URL="+url, "PERENNIAL_TOKEN="+token)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("perennial %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// Stand-alone gateways beside a service on PostgreSQL are killed while messages are parked and delivered. Every message
// that got 202 arrives, in order, and arrives twice only if the response was lost.
func TestKilledGatewaysLoseNoParkedMessage(t *testing.T) {
	t.Parallel()
	url, dir := testenv.Postgres(t), t.TempDir()
	receiver, pin, err := newReceiver()
	check(t, err)
	t.Cleanup(receiver.Close)
	service := begin(t, "serve", "--listen", "127.0.0.1:0", "--gateway", "off", "--database", url, "--key-file",
		filepath.Join(dir, "key"), "--log-level", "error")
	perennial := commands(t, service.out["URL"], service.out["TOKEN"])
	perennial("tenant", "create", "acme")
	perennial("receiver", "create", "acme", "bank")
	perennial("arrangement", "create", "acme", "bank", "--receiver", "bank", "--endpoint", receiver.URL,
		"--server-key-pin", pin, "--timeout", "5") // and a claim lasts five seconds longer
	block, _ := pem.Decode([]byte(perennial("certificate", "download", "acme")))
	leaf, err := x509.ParseCertificate(block.Bytes)
	check(t, err)
	receiver.Accept(leaf)
	secret := regexp.MustCompile(`perennial_\S+`).FindString(perennial("token", "create", "app", "--role", "sender",
		"--tenant", "acme"))

	gatewayToken := regexp.MustCompile(`perennial_\S+`).FindString(perennial("token", "create", "dmz", "--role",
		"gateway"))
	byDatabase := []string{"--control", url, "--key-file", filepath.Join(dir, "key")}
	byAPI := []string{"--control", service.out["URL"], "--token", gatewayToken}
	start := func(control []string) *process {
		return begin(t, append([]string{"gateway", "--gateway", "127.0.0.1:0", "--allow-target", "127.0.0.0/8", "--log-level",
			"error"}, control...)...)
	}
	var parked []string // in the order of their responses
	var accepted atomic.Int64
	for _, control := range [][]string{byDatabase, byAPI, byAPI} {
		g := start(control)
		var sender sync.WaitGroup
		sender.Go(func() {
			for {
				key := fmt.Sprintf("order-%04d", len(parked))
				r, err := http.NewRequest("POST", g.out["GATEWAY"]+"/acme/bank/order", strings.NewReader("<order/>"))
				if err != nil {
					panic(err)
				}
				r.Header.Set("Authorization", "Bearer "+secret)
				r.Header.Set("Prefer", "respond-async")
				r.Header.Set("Idempotency-Key", key)
				res, err := http.DefaultClient.Do(r)
				if err != nil {
					return // it was killed
				}
				res.Body.Close()
				if res.StatusCode == 202 {
					parked = append(parked, key)
					accepted.Add(1)
				}
			}
		})
		until := accepted.Load() + 20
		testenv.Eventually(t, func() bool { return accepted.Load() >= until })
		g.kill()
		sender.Wait()
	}
	g := start(byAPI)
	defer g.kill()
	s, err := store.Open(t.Context(), url)
	check(t, err)
	defer s.Close()
	testenv.Eventually(t, func() bool {
		due, err := s.DueParked(t.Context(), time.Now().Add(time.Hour), 1)
		check(t, err)
		return len(due) == 0
	})
	var once []string // each message, in the order of first arrival
	for _, key := range receiver.Order() {
		if !slices.Contains(once, key) {
			once = append(once, key)
		}
	}
	if !slices.IsSorted(once) {
		t.Errorf("%d parked; arrived in the order %v", len(parked), once)
	}
	twice := 0
	for _, key := range parked {
		n := receiver.Taken(key)
		if n == 0 {
			t.Errorf("%s is lost", key)
		}
		if n > 1 {
			twice++
		}
	}
	if twice > 3 {
		t.Errorf("%d messages arrived twice, with 3 kills", twice)
	}
	t.Logf("%d parked, %d arrived twice", len(parked), twice)
}
