package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/acmetest"
	"github.com/perennial-pki/perennial/internal/testing/esttest"
	"github.com/perennial-pki/perennial/internal/testing/steptest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/internal/testing/vaulttest"
)

// section returns a section of docs/issuers.md by its title.
func section(t *testing.T, title string) string {
	t.Helper()
	text := documents(t)["docs/issuers.md"]
	_, after, found := strings.Cut(text, "\n## "+title)
	if !found {
		t.Fatalf("docs/issuers.md has no section %s", title)
	}
	body, _, _ := strings.Cut(after, "\n## ")
	return body
}

// block returns the first code block of a language in a text.
func block(t *testing.T, text, language string) string {
	t.Helper()
	m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no block of %s in %s", language, text)
	}
	return m[1]
}

// elements writes files, and returns their folder in place of /etc/perennial.
func elements(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		testenv.Check(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	return dir
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	testenv.Check(t, err)
	return data
}

// peers start a CA of each kind and return what to replace in the settings of the document: addresses, the
// fingerprint, and the folder of the files.
var peers = map[string]func(t *testing.T) []string{
	"step-ca": func(t *testing.T) []string {
		s := steptest.Start(t)
		return []string{"https://ca.example.com:9000", s.URL, strings.Repeat("0", 64), s.Fingerprint, "/etc/perennial",
			s.Dir}
	},
	"vault": func(t *testing.T) []string {
		s := vaulttest.Start(t)
		root := read(t, s.Roots)
		return []string{"https://vault.example.com:8200", s.URL, "/etc/perennial", elements(t, map[string][]byte{
			"secret-id": []byte(vaulttest.SecretID), "web.pem": root, "root.pem": root})}
	},
	"est": func(t *testing.T) []string {
		s := esttest.Start(t)
		root := read(t, s.Roots)
		return []string{"https://est.example.com", s.URL, "/etc/perennial", elements(t, map[string][]byte{
			"password": []byte(esttest.Password), "web.pem": root, "root.pem": root})}
	},
	"acme": func(t *testing.T) []string {
		port := testenv.Port(t)
		s := steptest.Start(t, "--resolver", acmetest.StartDNS(t, t.TempDir()), "--insecure", "--acme-http-port",
			fmt.Sprint(port))
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		testenv.Check(t, err)
		return []string{"https://ca.example.com:9000", s.URL, "127.0.0.1:80", fmt.Sprintf("127.0.0.1:%d", port),
			"/etc/perennial", elements(t, map[string][]byte{"root.pem": read(t, s.Roots),
				"account.pem": testca.KeyPEM(t, key)})}
	},
}

func TestTheSettingsInTheDocumentIssueACertificate(t *testing.T) {
	for kind, start := range peers {
		t.Run(kind, func(t *testing.T) {
			text := section(t, kind)
			if kind == "step-ca" && block(t, text, "template") != steptest.Template {
				t.Error("the template of the document is not the one that is tested")
			}
			path := filepath.Join(t.TempDir(), "issuers.yml")
			settings := strings.NewReplacer(start(t)...).Replace(block(t, text, "yaml"))
			testenv.Check(t, os.WriteFile(path, []byte(settings), 0o600))
			out, err := exec.Command("perennial", "issuer", "test", "corporate", "--issuers", path).CombinedOutput()
			for _, want := range []string{"issuer              corporate (" + kind + ")", "extended key usage  clientAuth\n",
				"time taken ", "chain  "} {
				if err != nil || !strings.Contains(string(out), want) {
					t.Errorf("%v, want %q in\n%s", err, want, out)
				}
			}
			if revokes := kind != "est"; revokes != strings.Contains(string(out), "revoked             yes") {
				t.Errorf("revocation in\n%s", out)
			}
			out, err = exec.Command("perennial", "issuer", "list", "--issuers", path, "--output", "json").Output()
			var rows []struct{ Name, Kind string }
			if err := json.Unmarshal(out, &rows); err != nil || len(rows) != 1 || rows[0].Kind != kind {
				t.Errorf("%v\n%s", err, out)
			}
			testenv.Check(t, err)
		})
	}
}

func TestTheCommandsInTheDocumentMakeACAWithOpenSSL(t *testing.T) {
	dir := t.TempDir()
	deploy, err := filepath.Abs("../../deploy")
	testenv.Check(t, err)
	testenv.Check(t, os.Symlink(deploy, filepath.Join(dir, "deploy")))
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", block(t, section(t, "exec: your own program"), "sh"))
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"O=Perennial", "CN=Example Root,O=Example", "digitalSignature", "not supported"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, want %q in\n%s", err, want, out)
		}
	}
}

func TestAnIssuerThatFailsItsTestSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	root := testca.New(t, "Theirs", time.Now()).RootFile(t)
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		testenv.Check(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	refuses := write("refuses", "#!/bin/sh\necho 'policy denies it' >&2\nexit 1\n", 0o700)
	later := write("later", "#!/bin/sh\necho order-17\nexit 75\n", 0o700)
	file := write("issuers.yml", fmt.Sprintf("issuers:\n- {name: refuses, kind: exec, settings: {command: [%s], roots: "+
		"%[3]s}}\n- {name: later, kind: exec, settings: {command: [%[2]s], roots: %[3]s}}\n", refuses, later, root), 0o600)
	bad := write("bad.yml", "issuers:\n- name: x\n  kind: exec\n  setings: {}\n", 0o600)
	for _, c := range []struct {
		args   []string
		status int
		out    string
		err    string
	}{
		{[]string{"test", "refuses", "--issuers", file}, exitFailed, "",
			"policy denies it: allow this certificate at the CA"},
		{[]string{"test", "later", "--issuers", file}, exitOK, "order-17, which the CA accepted and answers later", ""},
		{[]string{"test", "other", "--issuers", file}, exitFailed, "",
			"there is no issuer other: the file has refuses, later"},
		{[]string{"list", "--issuers", bad}, exitFailed, "", `line 4: unknown key "setings"`},
		{[]string{"list", "--issuers", file}, exitOK, "later    exec  unlimited  answers later", ""},
		{[]string{"list"}, exitUsage, "", "missing flags: --issuers=FILE"},
	} {
		var out, err bytes.Buffer
		status := run(append([]string{"issuer"}, c.args...), env{out: &out, err: &err, now: time.Now})
		if status != c.status || !strings.Contains(out.String(), c.out) || !strings.Contains(err.String(), c.err) {
			t.Errorf("%v: exit %d\n%s\n%s", c.args, status, out.String(), err.String())
		}
	}
}

func TestTheCommandsInTheDocumentForARootElsewhereAreThoseOfATranscript(t *testing.T) {
	run := map[string]bool{}
	for _, name := range []string{"authority.txtar", "authority-offline.txtar"} {
		for line := range strings.Lines(string(read(t, filepath.Join("testdata/script", name)))) {
			run[strings.TrimSpace(line)] = true
		}
	}
	commands := 0
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section(t, "local: "), -1) {
		for line := range strings.Lines(m[1]) {
			command := strings.ReplaceAll(strings.TrimSpace(line), " ID", " $ROOT")
			if !strings.HasPrefix(command, "perennial ") {
				continue
			}
			if commands++; !run["exec "+command] {
				t.Errorf("no transcript runs %s", command)
			}
		}
	}
	if commands < 6 {
		t.Errorf("%d commands in the document", commands)
	}
}
