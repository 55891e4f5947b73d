package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/internal/testing/vaulttest"
)

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"perennial": main, "perennial-elsewhen": elsewhen})
}

// tests stops the servers that the tests started before the process ends.
type tests struct{ m *testing.M }

func (t tests) Run() int {
	code := t.m.Run()
	testenv.End()
	return code
}

// Each script is a transcript of the command line. It uses testscript's own commands and these: "serve FLAGS" starts a
// service and points the client at it, "stop" stops it cleanly, and "download PATH-OR-URL FILE" trusts any server.
func TestTheCommandLine(t *testing.T) {
	vault := startScriptVault(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": scriptServe, "stop": scriptStop, "download": scriptDownload,
			"receiver": scriptReceiver, "accepts": scriptAccepts, "post": scriptPost, "keep": scriptKeep,
			"feed": scriptFeed,
			"vault": func(_ *testscript.TestScript, _ bool, args []string) {
				vault.Lock()
				defer vault.Unlock()
				vault.Sealed = args[0] == "seal"
			},
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("VAULT", strings.TrimPrefix(vault.URL, "https://"))
			return nil
		},
	})
}

// startScriptVault starts a Vault with a key that signs, which the services of the scripts can use. $VAULT is its host
// with the port, and "vault seal" and "vault unseal" make it fail and answer.
func startScriptVault(t *testing.T) *vaulttest.Server {
	t.Helper()
	s := vaulttest.Start(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	s.AddSigningKey("issuing", key)
	for name, value := range map[string]string{"VAULT_ADDR": s.URL, "VAULT_TOKEN": vaulttest.RootToken,
		"VAULT_CACERT": s.Roots, "VAULT_NAMESPACE": ""} {
		t.Setenv(name, value)
	}
	return s
}

type running struct {
	cmd   *exec.Cmd
	ended chan error
}

func scriptServe(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command("perennial", append([]string{"serve", "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0"},
		args...)...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = append(os.Environ(), "PERENNIAL_SMTP="+ts.Getenv("PERENNIAL_SMTP"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	r := &running{cmd, make(chan error, 1)}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		for _, word := range strings.Fields(lines.Text()) {
			if name, value, ok := strings.Cut(word, "="); ok && strings.HasPrefix(name, "PERENNIAL_") {
				ts.Setenv(name, value)
			}
		}
		if _, url, ok := strings.Cut(lines.Text(), "  messages  "); ok {
			ts.Setenv("GATEWAY", strings.TrimSuffix(url, "/TENANT/ARRANGEMENT/..."))
		}
		if _, url, ok := strings.Cut(lines.Text(), "ready at "); ok {
			ts.Setenv("PERENNIAL_URL", url)
		}
		if strings.HasPrefix(lines.Text(), "  mail ") && ts.Getenv("PERENNIAL_TOKEN") != "" ||
			strings.HasPrefix(lines.Text(), "Then,") {
			break
		}
	}
	go func() {
		for lines.Scan() {
		}
		r.ended <- cmd.Wait()
	}()
	services.Store(ts, r)
	ts.Defer(func() { cmd.Process.Kill() })
}

var services sync.Map // of *running, by *testscript.TestScript: scripts run side by side

func scriptStop(ts *testscript.TestScript, _ bool, _ []string) {
	v, _ := services.Load(ts)
	r := v.(*running)
	ts.Check(r.cmd.Process.Signal(syscall.SIGTERM))
	ts.Check(<-r.ended)
}

func scriptDownload(ts *testscript.TestScript, _ bool, args []string) {
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	url := args[0]
	if strings.HasPrefix(url, "/") {
		url = ts.Getenv("PERENNIAL_URL") + url
	}
	res, err := c.Get(url)
	ts.Check(err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o600))
}
