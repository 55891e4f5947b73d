package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

var (
	peers   = flag.String("peers", "", "measure against peers, and write the table to this file")
	stepCA  = flag.String("step-ca", "", "the program step-ca")
	service = flag.String("service", "", "the program perennial")
	largest = flag.Int("largest", 1_000_000, "number of tenants of the largest fleet")
)

// TestPeers prints the table of docs/performance.md: make bench-peers.
func TestPeers(t *testing.T) {
	if *peers == "" {
		t.Skip("takes 15 minutes: run make bench-peers")
	}
	ctx := t.Context()
	var rows []Row
	add := func(work, against, goal, result string, args ...any) {
		rows = append(rows, Row{work, against, fmt.Sprintf(result, args...), goal})
		t.Log(rows[len(rows)-1])
	}

	postgres := func() string { return testenv.Postgres(t) }
	step := stepRenewals(t)
	lite, err := Renew(ctx, "", 20_000)
	testenv.Check(t, err)
	pg, err := Renew(ctx, postgres(), 20_000)
	testenv.Check(t, err)
	again := stepRenewals(t)
	step = (step + again) / 2
	add("complete renewals, SQLite", "step-ca `/renew`, badger", "7", "%.0f/s against %.0f/s: %s times",
		lite.RenewalsPerSecond, step, ratio(lite.RenewalsPerSecond, step))
	add("complete renewals, PostgreSQL", "the same", "7", "%.0f/s: %s times", pg.RenewalsPerSecond,
		ratio(pg.RenewalsPerSecond, step))
	add("complete renewals, SQLite", "bare keys and certificates on the same cores", "0.7", "%s of %.0f/s; %s of what signs alone",
		ratio(lite.Ratio, 1), lite.CryptoPerSecond, ratio(lite.RatioOfSigned, 1))
	add("complete renewals, PostgreSQL", "the same", "0.5", "%s of %.0f/s; %s of what signs alone",
		ratio(pg.Ratio, 1), pg.CryptoPerSecond, ratio(pg.RatioOfSigned, 1))

	rsa, err := RSA(ctx, "", 20_000)
	testenv.Check(t, err)
	add("RSA 2048 renewals with a filled pool, SQLite", "bare certificates of the same keys", "0.5", "%s of %.0f/s",
		ratio(rsa.Ratio, 1), rsa.CryptoPerSecond)

	var first float64
	for n := 10_000; n <= *largest; n *= 10 {
		var memory string
		dir := t.TempDir()
		m, err := Month(ctx, dir, n)
		testenv.Check(t, err)
		if each := m.Seconds / float64(m.Due) * 1e6; first == 0 {
			first = each
			memory = fmt.Sprintf("%.0f µs for each due certificate", each)
		} else {
			memory = fmt.Sprintf("%.0f µs each, %s of the smallest fleet's", each, ratio(each, first))
		}
		add(fmt.Sprintf("first of the month: %d tenants, %d due, three key users each, mails queued", m.Tenants, m.Due),
			"wall time on two cores", "30 s for 1,000,000, and linear in the due certificates", "%.1f s, %s", m.Seconds, memory)
		if n*10 > *largest && *service != "" {
			add(fmt.Sprintf("memory of the service with %d tenants, idle", n), "", "150 MB", "%d MB", idleMemory(t, dir))
		}
	}

	const mails = 3000
	sink := smtpSink(t)
	ours, err := Deliver(t, "smtp://"+sink+"?tls=none", mails)
	testenv.Check(t, err)
	theirs := smtpSource(t, sink, mails)
	add("mails delivered, with each answer stored", "`smtp-source`, the same server", "0.5", "%.0f/s against %.0f/s: %s",
		ours, theirs, ratio(ours, theirs))

	g, err := Gateway(ctx, "", 5, 3*time.Second)
	testenv.Check(t, err)
	add("gateway, settled, requests per second", "bare `httputil.ReverseProxy`", "0.95", "%s", ratio(g.AgainstBare, 1))
	add("the same", "nginx egress", "0.8", "%s (a bare ReverseProxy: %s)", ratio(g.AgainstNginx, 1),
		ratio(g.BareToNginx, 1))
	add("the same", "HAProxy egress", "0.8", "%s", ratio(g.AgainstHAProxy, 1))

	one, _, err := Replicas(ctx, postgres(), 1, 20_000)
	testenv.Check(t, err)
	three, wasted, err := Replicas(ctx, postgres(), 3, 20_000)
	testenv.Check(t, err)
	add("three replicas on two cores, PostgreSQL", "one replica", "no slower, no duplicate work",
		"%s of the time, %d certificates issued in vain", ratio(three, one), wasted)

	out, err := os.Create(*peers)
	testenv.Check(t, err)
	defer out.Close()
	PrintRows(io.MultiWriter(out, os.Stdout), rows)
}

// freeAddress returns an unused address on loopback.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.Check(t, err)
	defer l.Close()
	return l.Addr().String()
}

// listens waits until a server listens at an address.
func listens(t *testing.T, address string) {
	t.Helper()
	testenv.Eventually(t, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func smtpSink(t *testing.T) string {
	address := freeAddress(t)
	args := []string{address, "1000"}
	if os.Getuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	testenv.Start(t, exec.Command("/usr/sbin/smtp-sink", args...))
	listens(t, address)
	return address
}

// smtpSource sends mails of the same size over four connections, as the workers of the service do.
func smtpSource(t *testing.T, address string, mails int) (perSecond float64) {
	cmd := exec.Command("/usr/sbin/smtp-source", "-s", "4", "-d", "-m", strconv.Itoa(mails), "-l", "6000", "-f",
		"a@bench.example.com", "-t", "b@bench.example.com", address)
	started := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("smtp-source: %v\n%s", err, out)
	}
	return float64(mails) / time.Since(started).Seconds()
}

// idleMemory returns the resident memory of an idle service, in MiB.
func idleMemory(t *testing.T, dir string) int {
	cmd := exec.Command(*service, "serve", "--listen", "127.0.0.1:0", "--gateway", "off", "--database",
		"sqlite:"+filepath.Join(dir, "bench.db"), "--key-file", filepath.Join(dir, "bench.key"), "--log-level", "error")
	out, err := cmd.StdoutPipe()
	testenv.Check(t, err)
	cmd.Stderr = os.Stderr
	testenv.Check(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if line := bufio.NewScanner(out); !line.Scan() {
		t.Fatal("the service does not start")
	}
	<-time.After(40 * time.Second)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	testenv.Check(t, err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	testenv.Check(t, err)
	return kb >> 10
}

// stepRenewals starts a step-ca with a badger database, and returns the number of renewals per second.
func stepRenewals(t *testing.T) float64 {
	dir := t.TempDir()
	address := freeAddress(t)
	write := func(name string, blocks ...*pem.Block) string {
		var b bytes.Buffer
		for _, block := range blocks {
			pem.Encode(&b, block)
		}
		path := filepath.Join(dir, name)
		testenv.Check(t, os.WriteFile(path, b.Bytes(), 0o600))
		return path
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		testenv.Check(t, err)
		return k
	}
	issue := func(template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) []byte {
		template.BasicConstraintsValid, template.IsCA, template.KeyUsage = true, true, x509.KeyUsageCertSign
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(5, 0, 0)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
		testenv.Check(t, err)
		return der
	}
	rootKey, middleKey := key(), key()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}}
	rootDER := issue(root, root, rootKey.Public(), rootKey)
	root, err := x509.ParseCertificate(rootDER)
	testenv.Check(t, err)
	middleDER := issue(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "intermediate"}},
		root, middleKey.Public(), rootKey)
	der, err := x509.MarshalECPrivateKey(middleKey)
	testenv.Check(t, err)
	provisioner := jose.JSONWebKey{Key: key(), KeyID: "bench", Algorithm: "ES256", Use: "sig"}
	config, err := json.Marshal(map[string]any{
		"root":    write("root.pem", &pem.Block{Type: "CERTIFICATE", Bytes: rootDER}),
		"crt":     write("middle.pem", &pem.Block{Type: "CERTIFICATE", Bytes: middleDER}),
		"key":     write("middle.key", &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
		"address": address, "dnsNames": []string{"127.0.0.1"}, "logger": map[string]any{"format": "text"},
		"db": map[string]any{"type": "badgerv2", "dataSource": filepath.Join(dir, "db")},
		"authority": map[string]any{"provisioners": []any{map[string]any{"type": "JWK", "name": "bench",
			"key": provisioner.Public()}}},
	})
	testenv.Check(t, err)
	testenv.Check(t, os.WriteFile(filepath.Join(dir, "ca.json"), config, 0o600))
	cmd := exec.Command(*stepCA, filepath.Join(dir, "ca.json"))
	cmd.Env = append(os.Environ(), "STEPPATH="+dir)
	testenv.Start(t, cmd)
	listens(t, address)

	roots := x509.NewCertPool()
	roots.AddCert(root)
	call := func(ctx context.Context, client *http.Client, path string, body any, answer any) error {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+path, bytes.NewReader(data))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusCreated {
			err = fmt.Errorf("%s: %s %s", path, res.Status, text)
		}
		if err == nil && answer != nil {
			err = json.Unmarshal(text, answer)
		}
		return err
	}
	// client returns a client with a certificate, which it can renew.
	client := func(name string) *http.Client {
		k := key()
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: provisioner},
			(&jose.SignerOptions{}).WithType("JWT"))
		testenv.Check(t, err)
		token, err := jwt.Signed(signer).Claims(map[string]any{
			"iss": "bench", "sub": name, "sans": []string{name}, "aud": "https://" + address + "/1.0/sign", "jti": name,
			"sha": fmt.Sprintf("%x", sha256.Sum256(rootDER)),
			"iat": time.Now().Unix(), "nbf": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(4 * time.Minute).Unix(),
		}).Serialize()
		testenv.Check(t, err)
		csr, err := x509.CreateCertificateRequest(rand.Reader,
			&x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, k)
		testenv.Check(t, err)
		var signed struct{ Crt, CA string }
		plain := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
		testenv.Check(t, call(t.Context(), plain, "/1.0/sign",
			map[string]any{"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), "ott": token},
			&signed))
		der, err := x509.MarshalECPrivateKey(k)
		testenv.Check(t, err)
		pair, err := tls.X509KeyPair([]byte(signed.Crt+signed.CA),
			pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
		testenv.Check(t, err)
		return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
			Certificates: []tls.Certificate{pair}}}}
	}
	const lasts = 8 * time.Second
	var renewed atomic.Int64
	var clients sync.WaitGroup
	all := make([]*http.Client, 16)
	for i := range all {
		all[i] = client(fmt.Sprintf("client-%d", i))
	}
	started := time.Now()
	for _, c := range all {
		clients.Go(func() {
			for time.Since(started) < lasts {
				if err := call(t.Context(), c, "/1.0/renew", map[string]any{}, nil); err != nil {
					t.Error(err)
					return
				}
				renewed.Add(1)
			}
		})
	}
	clients.Wait()
	return float64(renewed.Load()) / time.Since(started).Seconds()
}
