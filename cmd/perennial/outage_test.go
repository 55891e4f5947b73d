package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// printed starts a service whose output goes to files.
func printed(t *testing.T, dir string, args ...string) (cmd *exec.Cmd, out, log *os.File) {
	t.Helper()
	var err error
	out, err = os.Create(filepath.Join(dir, "out"))
	check(t, err)
	log, err = os.Create(filepath.Join(dir, "log"))
	check(t, err)
	cmd = exec.Command("perennial", args...)
	cmd.Stdout, cmd.Stderr = out, log
	check(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		out.Close()
		log.Close()
	})
	return cmd, out, log
}

func contents(t *testing.T, f *os.File) string {
	t.Helper()
	data, err := os.ReadFile(f.Name())
	check(t, err)
	return string(data)
}

// The gateway, the API and the job queue fail many times while the database is unavailable. In JSON, every line of the
// service is a document, its greeting too.
func TestAnOutageOfTheDatabaseHasALineAtItsBeginningAndAtItsEnd(t *testing.T) {
	t.Parallel()
	database := testenv.NewServer(t)
	dir := t.TempDir()
	metrics := testenv.Address(t)
	_, out, log := printed(t, dir, "serve", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0", "--database",
		database.URL("postgres"), "--key-file", filepath.Join(dir, "key"), "--log-format", "json", "--log-level", "warn",
		"--metrics-listen", metrics)
	isReady := func() bool {
		res, err := http.Get("http://" + metrics + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == 200
	}
	testenv.Eventually(t, isReady)
	testenv.Eventually(t, func() bool { return strings.Contains(contents(t, out), "the first operator token") })
	before := contents(t, log)
	database.Kill()
	testenv.Eventually(t, func() bool {
		isReady()
		return strings.Contains(strings.TrimPrefix(contents(t, log), before), "the database is unavailable")
	})
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); pause(50 * time.Millisecond) {
		isReady() // it fails again and again
	}
	check(t, database.Start())
	testenv.Eventually(t, func() bool { return strings.Contains(contents(t, log), "the database is available again") })
	testenv.Eventually(t, isReady)
	logged := strings.TrimPrefix(contents(t, log), before)
	// Each connection that breaks may be reported once before the outage is known.
	_, after, ok := strings.Cut(logged, "the database is unavailable")
	if !ok || strings.Count(after, "\n") != 2 || !strings.Contains(after, "refused") {
		t.Errorf("from the beginning to the end: %s", logged)
	}
	for line := range strings.Lines(contents(t, out) + contents(t, log)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

func TestAGatewayStartsWhileItsServiceIsAwayAndAnswers503WithTheReason(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	receiver, pin, err := newReceiver()
	check(t, err)
	t.Cleanup(receiver.Close)
	listen, metrics := testenv.Address(t), testenv.Address(t)
	serve := []string{"serve", "--listen", listen, "--gateway", "off", "--database",
		"sqlite:" + filepath.Join(dir, "p.db"), "--key-file", filepath.Join(dir, "key"), "--log-level", "error"}
	first := begin(t, serve...)
	perennial := commands(t, first.out["URL"], first.out["TOKEN"])
	perennial("tenant", "create", "acme")
	perennial("receiver", "create", "acme", "bank")
	perennial("arrangement", "create", "acme", "bank", "--receiver", "bank", "--endpoint", receiver.URL,
		"--server-key-pin", pin)
	block, _ := pem.Decode([]byte(perennial("certificate", "download", "acme")))
	leaf, err := x509.ParseCertificate(block.Bytes)
	check(t, err)
	receiver.Accept(leaf)
	token := regexp.MustCompile(`perennial_\S+`)
	sender := token.FindString(perennial("token", "create", "app", "--role", "sender", "--tenant", "acme"))
	own := token.FindString(perennial("token", "create", "dmz", "--role", "gateway"))
	first.kill()

	gateway := begin(t, "gateway", "--gateway", "127.0.0.1:0", "--allow-target", "127.0.0.0/8", "--log-level", "error",
		"--control", "http://"+listen, "--token", own, "--metrics-listen", metrics)
	get := func(url string) (status int, body string) {
		t.Helper()
		r, err := http.NewRequest("GET", url, nil)
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+sender)
		res, err := http.DefaultClient.Do(r)
		check(t, err)
		defer res.Body.Close()
		var b bytes.Buffer
		io.Copy(&b, res.Body)
		return res.StatusCode, b.String()
	}
	if status, body := get(gateway.out["GATEWAY"] + "/acme/bank/orders"); status != 503 ||
		!strings.Contains(body, "the service does not answer this gateway") {
		t.Errorf("without its service: %d %s", status, body)
	}
	if status, _ := get("http://" + metrics + "/readyz"); status != 503 {
		t.Errorf("it is ready without having reached its service: %d", status)
	}
	if status, _ := get("http://" + metrics + "/healthz"); status != 200 {
		t.Errorf("it is not healthy: %d", status)
	}
	cmd := exec.Command("perennial", serve...)
	testenv.Start(t, cmd)
	testenv.Eventually(t, func() bool {
		status, _ := get(gateway.out["GATEWAY"] + "/acme/bank/orders")
		return status == 200
	})
	testenv.Eventually(t, func() bool {
		status, _ := get("http://" + metrics + "/readyz")
		return status == 200
	})
}
