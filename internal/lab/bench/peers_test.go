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
	caddy   = flag.String("caddy", "", "the program caddy")
	rounds  = flag.Int("rounds", 3, "how often each row is measured")
	largest = flag.Int("largest", 1_000_000, "number of tenants of the largest fleet")
)

// TestPeers prints the table of docs/performance.md: make bench-peers.
func TestPeers(t *testing.T) {
	if *peers == "" {
		t.Skip("takes half an hour: run make bench-peers")
	}
	m := watch(t)
	table := &peerTable{t: t, machine: m}
	table.renewals()
	table.months()
	table.mails()
	table.gateway()
	table.replicas()
	table.far()
	table.parked()
	if err := m.busy(); err != nil {
		t.Fatalf("there is no table: %v. Run it again when nothing else runs", err)
	}
	out, err := os.Create(*peers)
	testenv.Check(t, err)
	defer out.Close()
	PrintRows(io.MultiWriter(out, os.Stdout), table.rows)
}

// A peerTable measures each row in several rounds, in which all sides of the row take turns.
type peerTable struct {
	t       *testing.T
	machine *machine
	rows    []Row
}

func (p *peerTable) add(work, against, goal, result string, args ...any) {
	row := Row{work, against, fmt.Sprintf(result, args...), goal}
	p.rows = append(p.rows, row)
	p.t.Log(row)
}

// renewals compares complete renewals with step-ca and with bare cryptography.
func (p *peerTable) renewals() {
	t, ctx := p.t, p.t.Context()
	var step, lite, pg, bareLite, barePG, signedLite, signedPG, rsa []float64
	for range *rounds {
		p.machine.look("renewals")
		before := stepRenewals(t)
		l, err := Renew(ctx, "", 20_000)
		testenv.Check(t, err)
		g, err := Renew(ctx, testenv.Postgres(t), 20_000)
		testenv.Check(t, err)
		step = append(step, (before+stepRenewals(t))/2)
		lite, bareLite, signedLite = append(lite, l.RenewalsPerSecond), append(bareLite, l.Ratio), append(signedLite,
			l.RatioOfSigned)
		pg, barePG, signedPG = append(pg, g.RenewalsPerSecond), append(barePG, g.Ratio), append(signedPG, g.RatioOfSigned)
		r, err := RSA(ctx, "", 10_000)
		testenv.Check(t, err)
		rsa = append(rsa, r.Ratio)
	}
	p.add("complete renewals, SQLite", "step-ca `/renew`, badger", "7", "%s: %.0f/s against %.0f/s",
		spread(ratiosOf(lite, step)), middle(lite), middle(step))
	p.add("complete renewals, PostgreSQL", "the same", "4", "%s: %.0f/s", spread(ratiosOf(pg, step)), middle(pg))
	p.add("complete renewals, SQLite", "bare keys and certificates on the same cores", "0.75",
		"%s; %s if signatures are not verified", spread(bareLite), spread(signedLite))
	p.add("complete renewals, PostgreSQL", "the same", "0.5", "%s; %s", spread(barePG), spread(signedPG))
	p.add("RSA 2048 renewals with a filled pool, SQLite", "bare certificates of the same keys", "0.5", "%s", spread(rsa))
}

// months measures the first of the month for fleets of different sizes.
func (p *peerTable) months() {
	t := p.t
	var first float64
	for n := 10_000; n <= *largest; n *= 10 {
		p.machine.look(fmt.Sprintf("the first of the month with %d tenants", n))
		dir := t.TempDir()
		m, err := Month(t.Context(), dir, n)
		testenv.Check(t, err)
		each := m.Seconds / float64(m.Due) * 1e6
		if first == 0 {
			first = each
		}
		p.add(fmt.Sprintf("first of the month: %d tenants, %d due, three key users each, mails queued", m.Tenants, m.Due),
			"wall time on two cores", "12 s for 1,000,000, and linear in the due certificates",
			"%.1f s, %.0f µs each, %s of the smallest fleet's", m.Seconds, each, ratio(each, first))
		if n*10 > *largest && *service != "" {
			started, memory := idle(t, dir)
			p.add(fmt.Sprintf("start of the service with %d tenants until it is ready", n), "wall time", "1 s", "%.2f s",
				started.Seconds())
			p.add("memory of that service, idle", "", "150 MB", "%d MB", memory)
		}
	}
}

// mails compares the delivery of mails with smtp-source.
func (p *peerTable) mails() {
	const mails = 3000
	sink := smtpSink(p.t)
	var ours, theirs []float64
	for range *rounds {
		p.machine.look("mails")
		each, err := Deliver(p.t, "smtp://"+sink+"?tls=none", mails)
		testenv.Check(p.t, err)
		ours, theirs = append(ours, each), append(theirs, smtpSource(p.t, sink, mails))
	}
	p.add("mails delivered, with each answer stored", "`smtp-source`, the same server", "0.35",
		"%s: %.0f/s against %.0f/s", spread(ratiosOf(ours, theirs)), middle(ours), middle(theirs))
}

// gateway compares the gateway with other proxies.
func (p *peerTable) gateway() {
	p.machine.look("the gateway")
	g, err := Gateway(p.t.Context(), "", *caddy, 5, 3*time.Second)
	testenv.Check(p.t, err)
	against := func(work, ours, peer, name, goal string) {
		if len(g.PerSecond[peer]) > 0 {
			p.add(work, name, goal, "%s", spread(ratiosOf(g.PerSecond[ours], g.PerSecond[peer])))
		}
	}
	const settled = "gateway, settled, requests a second"
	against(settled, "settled", "bare ReverseProxy", "bare `httputil.ReverseProxy`", "0.95")
	against(settled, "settled", "nginx", "nginx egress", "0.85")
	against(settled, "settled", "haproxy", "HAProxy egress", "")
	against(settled, "settled", "caddy", "Caddy's `reverse_proxy`", "1")
	against("bare `httputil.ReverseProxy`", "bare ReverseProxy", "nginx", "nginx egress", "")
	against("a prototype without net/http's server", "prototype without server", "nginx", "nginx egress", "")
	for _, size := range []string{"200 bytes", "64 KiB", "1 MiB"} {
		against("gateway, open roll-over, POST "+size, "open, POST "+size, "settled, POST "+size, "settled", "0.97")
	}
	for _, kind := range []string{"P-256", "RSA 2048"} {
		against("full handshakes with receivers, "+kind, "handshakes "+kind, "nginx handshakes "+kind, "nginx egress", "0.8")
	}
}

// replicas compares three replicas on the same cores with one.
func (p *peerTable) replicas() {
	p.machine.look("replicas")
	one, _, err := Replicas(p.t.Context(), testenv.Postgres(p.t), 1, 20_000)
	testenv.Check(p.t, err)
	three, wasted, err := Replicas(p.t.Context(), testenv.Postgres(p.t), 3, 20_000)
	testenv.Check(p.t, err)
	p.add("three replicas on two cores, PostgreSQL", "one replica", "no slower, no duplicate work",
		"%s of the time, %d certificates issued in vain", ratio(three, one), wasted)
}

// freeAddress returns an unused address on loopback.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := freePort()
	testenv.Check(t, err)
	return address
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

// startService starts the service with the database in dir, and returns when it is ready.
func startService(t *testing.T, dir string) (pid int, stop func()) {
	t.Helper()
	cmd := exec.Command(*service, "serve", "--listen", "127.0.0.1:0", "--gateway", "off", "--database",
		"sqlite:"+filepath.Join(dir, "bench.db"), "--key-file", filepath.Join(dir, "bench.key"), "--log-level", "error")
	out, err := cmd.StdoutPipe()
	testenv.Check(t, err)
	cmd.Stderr = os.Stderr
	testenv.Check(t, cmd.Start())
	stop = func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	for line := bufio.NewScanner(out); line.Scan(); {
		if strings.Contains(line.Text(), "ready at") {
			return cmd.Process.Pid, stop
		}
	}
	stop()
	t.Fatal("the service does not start")
	return 0, nil
}

// idle starts the service with the database in dir. It returns the time until it is ready, and its memory (MB) after 75
// seconds.
func idle(t *testing.T, dir string) (ready time.Duration, memory int) {
	begun := time.Now()
	pid, stop := startService(t, dir)
	defer stop()
	ready = time.Since(begun)
	<-time.After(75 * time.Second) // the memory of idle connections is freed once a minute
	memory, _ = testenv.Memory(t, pid)
	return ready, memory
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
