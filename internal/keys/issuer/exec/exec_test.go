package exec_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/exec"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var (
	check = testenv.Check
	form  = issuer.Form{TrustDomain: "p.example.com", Organization: "P"}
)

func request(t *testing.T) issuer.Request {
	t.Helper()
	key, err := keyring.Generate(tenancy.P256)
	check(t, err)
	return issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: time.Now(),
		Validity: 365 * 24 * time.Hour}
}

// program writes a shell script and returns an issuer that runs it.
func program(t *testing.T, script string, change func(*exec.Config)) issuer.Issuer {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "issue")
	check(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700))
	c := exec.Config{Program: exec.Program{Command: []string{path}, Directory: dir},
		Roots: testca.New(t, "Theirs", time.Now()).RootFile(t)}
	if change != nil {
		change(&c)
	}
	i, err := exec.Open(c, form)
	check(t, err)
	return i
}

func TestTheProgramReadsTheRequestAndNoSecretInItsArguments(t *testing.T) {
	t.Setenv("PERENNIAL_TEST_SECRET", "hush")
	t.Setenv("PERENNIAL_TEST_OTHER", "of the service")
	ref, err := secret.Parse("env:PERENNIAL_TEST_SECRET")
	check(t, err)
	dir := t.TempDir()
	i := program(t, `cat >"$OUT/input"; printf '%s' "$*" >"$OUT/arguments"; env >"$OUT/env"; pwd >"$OUT/pwd"; exit 1`,
		func(c *exec.Config) {
			c.Command = append(c.Command, "--profile", "clients")
			c.Environment, c.Secrets = map[string]string{"OUT": dir}, map[string]secret.Ref{"TOKEN": ref}
		})
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		check(t, err)
		return string(data)
	}
	for _, handle := range []string{"", `order "17"`} {
		if handle == "" {
			_, err = i.Issue(t.Context(), request(t))
		} else {
			_, err = i.(issuer.Collector).Collect(t.Context(), handle, request(t))
		}
		if fault, _ := issuer.FaultOf(err); fault != issuer.Rejected {
			t.Errorf("%q: %v", fault, err)
		}
		var input map[string]any
		check(t, json.Unmarshal([]byte(read("input")), &input))
		csr, _ := input["csr"].(string)
		if len(input) != 6 || input["version"] != 1.0 || input["tenant"] != "acme" || input["credential"] != "tenant" ||
			!strings.HasPrefix(csr, "-----BEGIN CERTIFICATE REQUEST-----\n") || input["validity_seconds"] != 31536000.0 ||
			input["handle"] != handle {
			t.Errorf("the program read %v", input)
		}
	}
	if got := read("arguments"); got != "--profile clients" {
		t.Errorf("arguments %q", got)
	}
	env := read("env")
	if !strings.Contains(env, "TOKEN=hush\n") || !strings.Contains(env, "PATH=") ||
		strings.Contains(env, "of the service") {
		t.Errorf("environment %s", env)
	}
}

func TestEachEndOfTheProgramHasItsMeaning(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   issuer.Fault
		text   string
	}{
		"a failure": {"echo 'policy denies acme' >&2; exit 3", issuer.Rejected,
			"failed (exit status 3): policy denies acme"},
		"a failure with output": {"echo handle; exit 1", issuer.Rejected, "exit status 1"},
		"a long explanation":    {"yes explanation | head -c 100000 >&2; exit 1", issuer.Rejected, " ...: allow"},
		"control characters":    {`printf 'no\033[2J\r\nway' >&2; exit 1`, issuer.Rejected, "no [2J way"},
		"the CA is away":        {"exit 69", issuer.Unreachable, "cannot reach the CA"},
		"no permission":         {"echo expired token >&2; exit 77", issuer.Denied, "expired token"},
		"a signal":              {"kill -TERM $$", issuer.Rejected, "signal: terminated"},
		"nothing":               {"exit 0", issuer.Broken, "the file is empty"},
		"other output":          {"echo done", issuer.Broken, "cannot be read"},
		"endless output":        {"yes", issuer.Broken, "wrote more than 1 MiB"},
		"later without a handle": {"echo 'quota used up' >&2; exit 75", issuer.Limited,
			"without a handle: quota used up"},
		"a handle of two lines": {"echo one; echo two; exit 75", issuer.Broken, "not one line"},
		"an endless handle":     {"yes x | head -c 3000 | tr -d '\\n'; exit 75", issuer.Broken, "not one line"},
		"no time":               {"exec sleep 1000", issuer.Slow, "did not end within 200ms and was killed"},
	} {
		t.Run(name, func(t *testing.T) {
			i := program(t, c.script, func(config *exec.Config) {
				if config.Timeout = time.Minute; c.want == issuer.Slow {
					config.Timeout = 200 * time.Millisecond
				}
			})
			_, err := i.Issue(t.Context(), request(t))
			if fault, _ := issuer.FaultOf(err); fault != c.want || err == nil || !strings.Contains(err.Error(), c.text) ||
				!strings.HasPrefix(err.Error(), "sign a certificate for acme: ") || len(err.Error()) > 1500 {
				t.Errorf("%q: %v, want %q: %q", fault, err, c.want, c.text)
			}
		})
	}
	_, err := program(t, "echo ' order 17'; exit 75", nil).Issue(t.Context(), request(t))
	if later := (*issuer.RequestedError)(nil); !errors.As(err, &later) || later.Handle != "order 17" {
		t.Errorf("%v", err)
	}
}

func TestAProgramThatTakesTooLongIsKilledWithItsChildren(t *testing.T) {
	dir := t.TempDir()
	i := program(t, `sleep 1000 & echo $! >"$OUT/child.new"; mv "$OUT/child.new" "$OUT/child"; wait`,
		func(c *exec.Config) { c.Timeout, c.Environment = time.Hour, map[string]string{"OUT": dir} })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := i.Issue(ctx, request(t))
		ended <- err
	}()
	var child int
	testenv.Eventually(t, func() bool {
		data, err := os.ReadFile(filepath.Join(dir, "child"))
		if err == nil {
			child, err = strconv.Atoi(strings.TrimSpace(string(data)))
		}
		return err == nil
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	testenv.Eventually(t, func() bool { // init may not have collected it yet
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return syscall.Kill(child, 0) != nil || err != nil || strings.Contains(string(state), ") Z ")
	})
}

func TestAMissingSecretIsAnErrorBeforeTheProgramRuns(t *testing.T) {
	ref, err := secret.Parse("env:PERENNIAL_TEST_ABSENT")
	check(t, err)
	marker := filepath.Join(t.TempDir(), "ran")
	i := program(t, "touch "+marker, func(c *exec.Config) { c.Secrets = map[string]secret.Ref{"TOKEN": ref} })
	if _, err := i.Issue(t.Context(), request(t)); err == nil || !strings.Contains(err.Error(), "PERENNIAL_TEST_ABSENT") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("the program was run")
	}
}

func TestInvalidSettingsOfAProgramAreRefused(t *testing.T) {
	roots := testca.New(t, "Theirs", time.Now()).RootFile(t)
	shell := exec.Program{Command: []string{"/bin/sh"}}
	hasty, twice := shell, shell
	hasty.Timeout = -1
	twice.Environment, twice.Secrets = map[string]string{"A": ""}, map[string]secret.Ref{"A": secret.File("x")}
	command := func(path string) exec.Program { return exec.Program{Command: []string{path}} }
	for name, c := range map[string]exec.Config{
		"no program":                   {Roots: roots},
		"a relative path":              {Program: command("issue"), Roots: roots},
		"a missing program":            {Program: command("/nowhere/issue"), Roots: roots},
		"a folder":                     {Program: command("/bin"), Roots: roots},
		"a file without execution":     {Program: command(roots), Roots: roots},
		"no roots":                     {Program: shell},
		"a negative time":              {Program: hasty, Roots: roots},
		"a variable that is set twice": {Program: twice, Roots: roots},
	} {
		if _, err := exec.Open(c, form); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
