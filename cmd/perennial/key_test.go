package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/perennial-pki/perennial/internal/service"
	"github.com/perennial-pki/perennial/internal/testing/vaulttest"
)

// perennial runs a command and returns its exit status and its output.
func perennial(args ...string) (status int, out, stderr string) {
	var o, e strings.Builder
	status = run(args, env{in: strings.NewReader(""), out: &o, err: &e, now: time.Now})
	return status, o.String(), e.String()
}

func TestTheCommandLineWrapsAndMovesTheKeys(t *testing.T) {
	vault := vaulttest.Start(t)
	vault.NewKey("perennial")
	t.Setenv("VAULT_ADDR", vault.URL)
	t.Setenv("VAULT_TOKEN", vaulttest.RootToken)
	t.Setenv("VAULT_CACERT", vault.Roots)
	uri := "hcvault://" + strings.TrimPrefix(vault.URL, "https://") + "/transit/keys/perennial"
	dir := t.TempDir()
	d := service.Database{URL: "sqlite:" + filepath.Join(dir, "p.db"), KeyFile: filepath.Join(dir, "p.key")}
	status, out, stderr := perennial("key", "new", "--to", uri)
	if status != 0 || !strings.Contains(out, `"wrappedBy": "`+uri+`"`) {
		t.Fatalf("status %d\n%s%s", status, out, stderr)
	}
	check(t, os.WriteFile(d.KeyFile, []byte(out), 0o600))
	at := []string{"--database", d.URL, "--key-file", d.KeyFile}
	if status, _, stderr := perennial(append([]string{"key", "rotate"}, at...)...); status == 0 {
		t.Errorf("a rotation without a database: %s", stderr)
	}
	var settings service.Settings
	parser, err := kong.New(&settings)
	check(t, err)
	_, err = parser.Parse(append(at, "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0"))
	check(t, err)
	running, err := service.Open(t.Context(), service.Config{Settings: settings, Now: time.Now,
		Log: slog.New(slog.DiscardHandler)})
	check(t, err)
	for _, c := range []struct{ to, want string }{
		{"file", "holds the key-encryption keys in cleartext"},
		{uri, "are wrapped by " + uri},
	} {
		status, out, stderr := perennial(append([]string{"key", "move", "--to", c.to}, at...)...)
		if status != 0 || !strings.Contains(out, c.want) {
			t.Errorf("to %s: status %d\n%s%s", c.to, status, out, stderr)
		}
	}
	check(t, running.Close())
	status, out, stderr = perennial(append([]string{"key", "rotate"}, at...)...)
	if status != 0 || !strings.Contains(out, "holds 2 keys") {
		t.Errorf("a rotation: status %d\n%s%s", status, out, stderr)
	}
	for _, text := range []string{out, stderr} {
		if strings.Contains(text, vaulttest.RootToken) {
			t.Errorf("the output has the token: %s", text)
		}
	}
}
