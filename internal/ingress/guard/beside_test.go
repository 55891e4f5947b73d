package guard

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/recent"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func decideConfig(from string) string {
	return "decide: {listen: 127.0.0.1:0, from: " + from + "}" + partnerLines
}

// ask returns the answer of a decision endpoint to headers.
func ask(t *testing.T, address string, headers http.Header) (status int, partner, code string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	testenv.Check(t, err)
	r.Header = headers
	answer, err := http.DefaultClient.Do(r)
	testenv.Check(t, err)
	answer.Body.Close()
	return answer.StatusCode, answer.Header.Get("Perennial-Partner"), answer.Header.Get("Perennial-Code")
}

func TestTheDecisionEndpointReadsTheFormOfEachProxy(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	next := f.client("acme", inWindow)
	encode := base64.StdEncoding.EncodeToString
	leaf, above := next.Certificate[0], next.Certificate[1]
	escaped := func(ders ...[]byte) string { return url.PathEscape(string(testca.PEM(ders...))) }
	for from, headers := range map[string]http.Header{
		"nginx":   {"Ssl-Client-Cert": {escaped(first.Certificate[0])}},
		"caddy":   {"Ssl-Client-Cert": {encode(first.Certificate[0])}},
		"traefik": {"X-Forwarded-Tls-Client-Cert": {encode(leaf) + "," + encode(above)}},
		"envoy": {"X-Forwarded-Client-Cert": {`Hash=00;Cert="` + escaped(leaf) + `";Chain="` + escaped(leaf, above) +
			`";Subject="CN=a\"b;c,d";URI=`}},
		"rfc9440": {"Client-Cert": {":" + encode(leaf) + ":"}, "Client-Cert-Chain": {":" + encode(above) + ":"}},
	} {
		g := f.start(decideConfig(from), inWindow)
		_, address, _ := g.Addresses()
		if status, partner, code := ask(t, address, headers); status != 200 || partner != "acme-c4c" {
			t.Errorf("%s: %d %s %s", from, status, partner, code)
		}
		if status, _, code := ask(t, address, http.Header{}); status != 403 || code != "no-certificate" {
			t.Errorf("%s, without a certificate: %d %s", from, status, code)
		}
		for name := range headers {
			wrong := http.Header{name: {"%zz;:,"}}
			twice := http.Header{name: append(headers[name], headers[name]...)}
			huge := http.Header{name: {strings.Repeat("A", maxPassedOn+1)}}
			for _, h := range []http.Header{wrong, twice, huge} {
				if status, _, _ := ask(t, address, h); status < 400 && name != "Client-Cert-Chain" {
					t.Errorf("%s: %d for a wrong %s", from, status, name)
				}
			}
		}
		// The headers of the other forms are those that a caller has sent.
		for _, other := range forms {
			if headers[other.header] == nil {
				forged := http.Header{other.header: {":" + encode(first.Certificate[0]) + ":"}}
				if status, _, _ := ask(t, address, forged); status != 403 {
					t.Errorf("%s believes %s", from, other.header)
				}
			}
		}
		testenv.Check(t, g.stop())
		testenv.Check(t, os.Remove(filepath.Join(f.dir, "guard.db")))
	}
}

func TestAPartnerIsAdmittedOnlyToItsHostsBesideAProxyToo(t *testing.T) {
	f := newFolder(t)
	first, globex := f.tenant(), f.client("globex", begin)
	f.write("globex.pem", testca.PEM(globex.Certificate...))
	g := f.start(decideConfig("caddy")+"  - {name: globex, known: [globex.pem], rule: pin}\n"+
		"hosts:\n  - {host: erp.example.com, partners: [globex]}\n", inWindow)
	_, address, _ := g.Addresses()
	for _, c := range []struct {
		pair   tls.Certificate
		host   string
		status int
		code   string
	}{{first, "erp.example.com:443", 403, "other-host"}, {first, "api.example.com", 200, "pinned"},
		{globex, "ERP.example.com", 200, "pinned"}} {
		status, _, code := ask(t, address, http.Header{"X-Forwarded-Host": {c.host},
			"Ssl-Client-Cert": {base64.StdEncoding.EncodeToString(c.pair.Certificate[0])}})
		if status != c.status || code != c.code {
			t.Errorf("%s: %d %s", c.host, status, code)
		}
	}
}

func TestADecisionEndpointThatStrangersCouldReachIsRefused(t *testing.T) {
	f := newFolder(t)
	for config, want := range map[string]string{
		"decide: {listen: 0.0.0.0:0, from: nginx}":    "can be reached from outside",
		"decide: {listen: 127.0.0.1:0, from: apache}": "use caddy, envoy, nginx, rfc9440, traefik",
		"monitor: 127.0.0.1:0":                        "there is nothing to listen at",
	} {
		f.write("guard.yaml", []byte(config+partnerLines))
		_, err := Open(t.Context(), filepath.Join(f.dir, "guard.yaml"), Options{Policies: policies, Now: time.Now,
			Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", config, err)
		}
	}
}

// nginxConf is the snippet of docs/guard.md in a whole configuration.
const nginxConf = `daemon off; pid %[1]s/nginx.pid; error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s;
	uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	server {
		listen 127.0.0.1:%[2]d ssl;
		ssl_certificate %[1]s/server.pem;
		ssl_certificate_key %[1]s/server.pem;
		%[3]s
	}
}
`

func TestNginxAsksTheGuard(t *testing.T) {
	f := newFolder(t)
	first := f.tenant()
	f.write("chain.pem", testca.PEM(first.Certificate...)) // nginx passes on no intermediate certificates
	g := f.start(strings.Replace(decideConfig("nginx"), "[tenant.pem]", "[chain.pem]", 1), inWindow)
	_, address, _ := g.Addresses()
	port := testenv.Port(t)
	f.write(
		"nginx.conf",
		fmt.Appendf(nil, nginxConf, f.dir, port, strings.NewReplacer("GUARD", address, "APPLICATION",
			upstream(t)).Replace(snippet(t, "nginx"))),
	)
	testenv.Start(t, exec.Command("nginx", "-c", filepath.Join(f.dir, "nginx.conf"), "-p", f.dir))
	f.asked(
		fmt.Sprintf("https://127.0.0.1:%d", port),
		first,
		"Ssl-Client-Cert",
		url.PathEscape(string(testca.PEM(first.Certificate[0]))),
	)
}

func TestCaddyAsksTheGuard(t *testing.T) {
	if _, err := exec.LookPath("caddy"); err != nil {
		t.Skip("caddy is not installed: make receivers installs it")
	}
	f := newFolder(t)
	first := f.tenant()
	f.write("chain.pem", testca.PEM(first.Certificate...)) // Caddy passes on no intermediate certificates
	g := f.start(strings.Replace(decideConfig("caddy"), "[tenant.pem]", "[chain.pem]", 1), inWindow)
	_, address, _ := g.Addresses()
	port := testenv.Port(t)
	f.write(
		"Caddyfile",
		fmt.Appendf(nil, "{\n\tadmin off\n\tdefault_sni 127.0.0.1\n\tauto_https off\n\tservers {\n\t\t"+
			"strict_sni_host insecure_off\n\t}\n}\n%s", strings.NewReplacer(
			"GUARD",
			strings.TrimPrefix(address, "http://"),
			"APPLICATION",
			strings.TrimPrefix(upstream(t), "http://"),
			"erp.example.com",
			fmt.Sprintf("https://127.0.0.1:%d", port),
			"SERVER",
			filepath.Join(f.dir, "server.pem"),
		).Replace(snippet(t, "caddy"))),
	)
	cmd := exec.Command("caddy", "run", "--config", filepath.Join(f.dir, "Caddyfile"), "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+f.dir, "XDG_DATA_HOME="+f.dir)
	testenv.Start(t, cmd)
	f.asked(
		fmt.Sprintf("https://127.0.0.1:%d", port),
		first,
		"Ssl-Client-Cert",
		base64.StdEncoding.EncodeToString(first.Certificate[0]),
	)
}

// asked calls a system behind a proxy that asks the guard: through a renewal, as a stranger, and as a caller who sends
// the header of the proxy.
func (f *folder) asked(url string, known tls.Certificate, header, forged string) {
	f.t.Helper()
	testenv.Eventually(f.t, func() bool { _, err := caller(f.t).Get(url); return err == nil })
	for _, c := range []struct {
		name string
		http *http.Client
		want int
	}{{"known", caller(f.t, known), 200}, {"its successor", caller(f.t, f.client("acme", inWindow)), 200},
		{"known, later", caller(f.t, known), 200}, {"a stranger", caller(f.t, f.client("globex", inWindow)), 403},
		{"nobody", caller(f.t), 403}} {
		for _, header := range []string{"", header, strings.ReplaceAll(header, "-", "_")} {
			r, err := http.NewRequest(http.MethodGet, url+"/orders", nil)
			testenv.Check(f.t, err)
			for _, name := range []string{"Perennial-Partner", "Perennial-Tenant", "Perennial-Arrangement"} {
				r.Header[name] = []string{"globex"}
			}
			if header != "" {
				r.Header[header] = []string{forged}
			}
			status, text := do(f.t, c.http, r)
			if status != c.want || status == 200 && (!strings.HasPrefix(text, "acme-c4c /orders") ||
				strings.Contains(text, "globex")) {
				f.t.Errorf("%s, with the header %q: %d %s", c.name, header, status, text)
			}
		}
	}
}

func do(t testing.TB, c *http.Client, r *http.Request) (status int, text string) {
	t.Helper()
	answer, err := c.Do(r)
	testenv.Check(t, err)
	defer answer.Body.Close()
	var b strings.Builder
	_, err = io.Copy(&b, answer.Body)
	testenv.Check(t, err)
	return answer.StatusCode, b.String()
}

func FuzzPassedOn(f *testing.F) {
	f.Add("nginx", "%zz", "")
	f.Add("envoy", `Cert="a";Chain="`, "")
	f.Add("rfc9440", ":AAAA:", ":AAAA:, :AAAA:")
	f.Add("traefik", "AAAA,AAAA", "")
	f.Fuzz(func(t *testing.T, from, value, chain string) {
		form, known := forms[from]
		if !known {
			return
		}
		h := http.Header{}
		h.Set(form.header, value)
		h.Set("Client-Cert-Chain", chain)
		values, err := form.values(h)
		var all []*x509.Certificate
		if err == nil && len(values) > 0 {
			all, err = form.parsed(values)
		}
		if err == nil && len(all) == 0 && h.Get(form.header) != "" {
			t.Error("a value without a certificate is accepted")
		}
	})
}

func TestACertificateIsParsedOnceAndALargeChainIsNotKept(t *testing.T) {
	s := &Service{parsed: recent.New[passedOn, []*x509.Certificate](mostParsed)}
	f := newFolder(t)
	one := ":" + base64.StdEncoding.EncodeToString(f.tenant().Certificate[0]) + ":"
	parse := func(values ...string) *x509.Certificate {
		t.Helper()
		chain, err := s.parse(forms["rfc9440"], values)
		testenv.Check(t, err)
		return chain[0]
	}
	first := parse(one)
	if parse(one) != first {
		t.Error("it is parsed again")
	}
	above := strings.TrimSuffix(strings.Repeat(one+", ", maxParsed/len(one)), ", ")
	first = parse(one, above)
	if parse(one, above) == first || s.parsed.Len() != 1 {
		t.Errorf("a chain of %d bytes is kept: %d chains", len(one)+len(above), s.parsed.Len())
	}
	if _, err := s.parse(forms["rfc9440"], []string{one[:100]}); err == nil || s.parsed.Len() != 1 {
		t.Errorf("the beginning of a certificate is kept: %v", err)
	}
}

// snippet returns a code block of docs/guard.md.
func snippet(t *testing.T, language string) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/guard.md")
	testenv.Check(t, err)
	_, rest, found := strings.Cut(string(page), "```"+language+"\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("docs/guard.md has no block of %s", language)
	}
	return text
}
