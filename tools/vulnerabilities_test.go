package tools

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// CI may not reach the database of vulnerabilities. That must not look like a success.
func TestVulnerabilitiesThatCannotBeCheckedAreNotReportedAsNone(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "../.ci/vulnerabilities", "./tenancy")
	cmd.Env = append(os.Environ(), "VULNDB=http://127.0.0.1:1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 75 {
		t.Errorf("%v, want exit status 75", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if !strings.HasPrefix(lines[len(lines)-1], "SKIPPED: ") {
		t.Errorf("the last line does not begin with SKIPPED:\n%s", out)
	}
}

// A database without entries finds nothing, so that the check passes if it has run.
func TestVulnerabilitiesAreCheckedAgainstADatabaseThatCanBeRead(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"db.json": `{"modified":"2026-01-01T00:00:00Z"}`, "modules.json": "[]",
		"vulns.json": "[]"} {
		if err := os.MkdirAll(dir+"/index", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/index/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "../.ci/vulnerabilities", "./tenancy")
	cmd.Env = append(os.Environ(), "VULNDB=file://"+dir)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "No vulnerabilities found") {
		t.Errorf("%v\n%s", err, out)
	}
}
