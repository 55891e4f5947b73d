package bench

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

var guarded = flag.String("guard", "", "measure the guard, and write the table to this file")

// The upstream of both, and nginx as their rival. Both verify the client certificate and keep connections to it.
const (
	upstreamConf = `daemon off; worker_processes 2; pid %[1]s/up.pid; error_log stderr;
events {}
http {
	access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s;
	uwsgi_temp_path %[1]s; scgi_temp_path %[1]s; keepalive_requests 1000000;
	server { listen 127.0.0.1:%[2]d; location / { return 200 "an answer of the system behind the guard\n"; } }
}
`
	rivalConf = `daemon off; worker_processes 2; pid %[1]s/rival.pid; error_log stderr;
events {}
http {
	access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s;
	uwsgi_temp_path %[1]s; scgi_temp_path %[1]s; keepalive_requests 1000000;
	upstream system { server 127.0.0.1:%[2]d; keepalive 64; keepalive_requests 1000000; }
	server {
		listen 127.0.0.1:%[3]d ssl;
		ssl_certificate %[1]s/%[4]s.pem; ssl_certificate_key %[1]s/%[4]s.pem; ssl_session_tickets off;
		ssl_client_certificate %[1]s/root.pem; ssl_verify_client on; ssl_verify_depth 2;
		location / {
			proxy_pass http://system; proxy_http_version 1.1; proxy_set_header Connection "";
			proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
			proxy_set_header Client-Cert $ssl_client_escaped_cert;
		}
	}
}
`
)

// TestGuard prints the guard's table of docs/performance.md: make bench-guard.
func TestGuard(t *testing.T) {
	if *guarded == "" || *service == "" {
		t.Skip("takes 3 minutes: run make bench-guard")
	}
	dir, now := t.TempDir(), time.Now()
	ca := testca.New(t, "Passport", now)
	write := func(name string, data []byte) {
		testenv.Check(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	write("root.pem", ca.RootPEM())
	certificate, key := ca.Client(t, "acme", now.Add(-time.Hour), now.AddDate(1, 0, 0))
	for _, name := range []string{certificate, key} {
		data, err := os.ReadFile(name)
		testenv.Check(t, err)
		write(filepath.Base(name), data)
	}
	pair, err := os.ReadFile(certificate)
	testenv.Check(t, err)
	ec := ca.Server(t, now.Add(-time.Hour), now.AddDate(1, 0, 0))
	write("p256.pem", append(testca.PEM(ec.Certificate...), testca.KeyPEM(t, ec.PrivateKey.(*ecdsa.PrivateKey))...))
	write("rsa2048.pem", rsaServer(t, ca, now))
	up := testenv.Port(t)
	write("up.conf", fmt.Appendf(nil, upstreamConf, dir, up))
	testenv.Start(t, exec.Command("nginx", "-c", filepath.Join(dir, "up.conf"), "-p", dir))

	var rows []Row
	add := func(work, against, goal, result string, args ...any) {
		rows = append(rows, Row{work, against, fmt.Sprintf(result, args...), goal})
		t.Log(rows[len(rows)-1])
	}
	for _, kind := range []string{"p256", "rsa2048"} {
		rival, guard := testenv.Port(t), testenv.Port(t)
		write(kind+".conf", fmt.Appendf(nil, rivalConf, dir, up, rival, kind))
		nginx := exec.Command("nginx", "-c", filepath.Join(dir, kind+".conf"), "-p", dir)
		testenv.Start(t, nginx)
		write(kind+".yaml", fmt.Appendf(nil, "listen: 127.0.0.1:%d\nserver: {cert: %s.pem, key: %[2]s.pem}\nupstream: "+
			"http://127.0.0.1:%d\nstate: %[2]s.db\npartners:\n  - {name: acme, known: [client.pem], trust: [root.pem]}\n",
			guard, kind, up))
		ours := exec.Command(*service, "guard", "--config", filepath.Join(dir, kind+".yaml"))
		testenv.Start(t, ours)
		t.Logf("guard: port %d, nginx: port %d", guard, rival)
		kept, fresh := []side{}, []side{}
		for range 3 {
			for _, s := range []struct {
				port int
				pid  int
			}{{guard, ours.Process.Pid}, {rival, nginx.Process.Pid}} {
				kept = append(kept, load(t, dir, s.port, s.pid, true))
				fresh = append(fresh, load(t, dir, s.port, s.pid, false))
			}
		}
		if kind == "p256" {
			add("requests a second on kept connections, client certificate verified",
				"nginx, `ssl_verify_client` and `proxy_pass`",
				"0.8", "%s", compared(kept))
		}
		add("full handshakes a second, each with a request, "+kind, "the same", "0.8", "%s", compared(fresh))
	}
	add("decisions of the endpoint beside a proxy, at half of the largest rate", "", "p99 under 1 ms", "%s",
		decisions(t, dir, pair))
	add("memory of a guard with 10,000 partners", "", "100 MB", "%s", manyPartners(t, dir, ca, now))
	out, err := os.Create(*guarded)
	testenv.Check(t, err)
	defer out.Close()
	PrintRows(io.MultiWriter(out, os.Stdout), rows)
}

func rsaServer(t *testing.T, ca *testca.CA, now time.Time) []byte {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	testenv.Check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(4711), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames: []string{"localhost"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Issuing, key.Public(), ca.Key)
	testenv.Check(t, err)
	return append(testca.PEM(der, ca.Issuing.Raw), testca.KeyPEM(t, key)...)
}

// A side is the result of one server under load.
type side struct {
	perSecond float64
	cpu       float64 // of the server, in microseconds for each request
}

// load calls a server with the client certificate on 32 kept connections, or on a new one for each request.
func load(t *testing.T, dir string, port, pid int, keep bool) side {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key"))
	testenv.Check(t, err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	testenv.Eventually(t, func() bool { return call(address, config, 1) == nil })
	const connections = 32
	n, each := 100*connections, 1
	if keep {
		n, each = 1500*connections, 1500
	}
	before, began := cpuOf(t, pid), time.Now()
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			for range n / connections / each {
				if err := call(address, config, each); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	return side{float64(n) / took.Seconds(), (cpuOf(t, pid) - before).Seconds() / float64(n) * 1e6}
}

// call sends requests on a new connection, one after the other.
func call(address string, config *tls.Config, requests int) error {
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for range requests {
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: erp.example.com\r\n\r\n"); err != nil {
			return err
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
			return fmt.Errorf("the answer is %s, %w", answer.Status, err)
		}
	}
	return nil
}

// cpuOf returns the CPU time of a process and its children that run.
func cpuOf(t *testing.T, pid int) (sum time.Duration) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	testenv.Check(t, err)
	for _, path := range all {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		text := string(data)
		fields := strings.Fields(text[strings.LastIndex(text, ")")+1:])
		own, _, _ := strings.Cut(text, " ")
		if own != strconv.Itoa(pid) && fields[1] != strconv.Itoa(pid) {
			continue
		}
		for _, f := range fields[11:13] {
			ticks, err := strconv.Atoi(f)
			testenv.Check(t, err)
			sum += time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on Linux
		}
	}
	return sum
}

// compared returns the medians of runs that alternate between the guard and its rival.
func compared(all []side) string {
	var ours, theirs, ourCPU, theirCPU []float64
	for i, s := range all {
		if i%2 == 0 {
			ours, ourCPU = append(ours, s.perSecond), append(ourCPU, s.cpu)
		} else {
			theirs, theirCPU = append(theirs, s.perSecond), append(theirCPU, s.cpu)
		}
	}
	middle := func(v []float64) float64 { slices.Sort(v); return v[len(v)/2] }
	return fmt.Sprintf("%.0f/s against %.0f/s: %.2f; CPU of the server for each: %.0f µs against %.0f µs", middle(ours),
		middle(theirs), middle(ours)/middle(theirs), middle(ourCPU), middle(theirCPU))
}

// decisions measures the endpoint beside a proxy.
func decisions(t *testing.T, dir string, pair []byte) string {
	port := testenv.Port(t)
	config := fmt.Sprintf("decide: {listen: 127.0.0.1:%d, from: caddy}\nstate: decide.db\npartners:\n  - {name: acme, "+
		"known: [client.pem], trust: [root.pem]}\n", port)
	testenv.Check(t, os.WriteFile(filepath.Join(dir, "decide.yaml"), []byte(config), 0o600))
	testenv.Start(t, exec.Command(*service, "guard", "--config", filepath.Join(dir, "decide.yaml")))
	leaf, err := tls.X509KeyPair(pair, mustRead(t, filepath.Join(dir, "client.key")))
	testenv.Check(t, err)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	ask := func() error {
		r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
		if err != nil {
			return err
		}
		r.Header.Set("Ssl-Client-Cert", base64.StdEncoding.EncodeToString(leaf.Certificate[0]))
		answer, err := client.Do(r)
		if err != nil {
			return err
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("the endpoint answers %s", answer.Status)
		}
		return nil
	}
	testenv.Eventually(t, func() bool { return ask() == nil })
	const n = 40_000
	began := time.Now()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range n / 16 {
				if err := ask(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	most := n / time.Since(began).Seconds()
	const callers = 8
	gap := time.Duration(float64(time.Second) * 2 * callers / most)
	var mu sync.Mutex
	var taken []time.Duration
	for range callers {
		all.Go(func() {
			tick := time.NewTicker(gap)
			defer tick.Stop()
			var own []time.Duration
			for range n / 2 / callers {
				<-tick.C
				at := time.Now()
				if err := ask(); err != nil {
					t.Error(err)
					return
				}
				own = append(own, time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			taken = append(taken, own...)
		})
	}
	all.Wait()
	slices.Sort(taken)
	return fmt.Sprintf("%.0f/s at most (its caller is on the same cores); at half of it, median %s, p99 %s", most,
		taken[len(taken)/2].Round(time.Microsecond), taken[len(taken)*99/100].Round(time.Microsecond))
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	testenv.Check(t, err)
	return data
}

// manyPartners measures the memory of a guard with 10,000 partners below one CA.
func manyPartners(t *testing.T, dir string, ca *testca.CA, now time.Time) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	var config strings.Builder
	fmt.Fprintf(&config, "listen: 127.0.0.1:0\nserver: {cert: p256.pem, key: p256.pem}\nupstream: http://127.0.0.1:1\n"+
		"state: many.db\npartners:\n")
	testenv.Check(t, os.MkdirAll(filepath.Join(dir, "many"), 0o700))
	for i := range 10_000 {
		name := fmt.Sprintf("tenant-%05d", i)
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(int64(i) + 1e9),
			Subject:   pkix.Name{CommonName: name, Organization: []string{"A tenant of the platform"}, Country: []string{"DE"}},
			NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca.Issuing, key.Public(), ca.Key)
		testenv.Check(t, err)
		testenv.Check(t, os.WriteFile(filepath.Join(dir, "many", name+".pem"), testca.PEM(der), 0o600))
		fmt.Fprintf(&config, "  - {name: %s, known: [many/%[1]s.pem], trust: [root.pem]}\n", name)
	}
	testenv.Check(t, os.WriteFile(filepath.Join(dir, "many.yaml"), []byte(config.String()), 0o600))
	cmd := exec.Command(*service, "guard", "--config", filepath.Join(dir, "many.yaml"))
	out, err := cmd.StdoutPipe()
	testenv.Check(t, err)
	began := time.Now()
	testenv.Check(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal("the guard does not start")
	}
	started := time.Since(began)
	<-time.After(10 * time.Second)
	memory, peak := testenv.Memory(t, cmd.Process.Pid)
	return fmt.Sprintf("%d MB ten seconds after the start (%d MB at its peak), started in %.1f s", memory, peak,
		started.Seconds())
}
