package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type verdict int

const (
	killed verdict = iota
	survived
	invalid // it does not compile
)

type tester struct {
	options  options
	timeouts map[string]time.Duration // by the package that is changed; not changed after the baseline
}

// baseline runs the tests of a package without a change, which must pass, and measures how long they may take.
func (t *tester) baseline(ctx context.Context, importPath string) error {
	slowest := time.Duration(0)
	for _, p := range append([]string{importPath}, t.options.also...) {
		if out, err := t.goTest(ctx, p, "", 10*time.Minute); err != nil { // builds
			return fmt.Errorf("the tests of %s do not pass unchanged: %w\n%s", p, err, out)
		}
		began := time.Now()
		if out, err := t.goTest(ctx, p, "", 10*time.Minute); err != nil {
			return fmt.Errorf("the tests of %s do not pass unchanged: %w\n%s", p, err, out)
		}
		slowest = max(slowest, time.Since(began))
	}
	t.timeouts[importPath] = 4*slowest + 10*time.Second
	if t.options.timeout > 0 {
		t.timeouts[importPath] = t.options.timeout
	}
	return nil
}

// test runs the tests with a mutant: first those of its package, then the further ones.
func (t *tester) test(ctx context.Context, m mutant) (verdict, error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return survived, err
	}
	defer os.RemoveAll(dir)
	source, overlay := filepath.Join(dir, filepath.Base(m.path)), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{m.path: source}})
	if err != nil {
		return survived, err
	}
	if err := errors.Join(os.WriteFile(source, m.apply(), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return survived, err
	}
	for _, p := range append([]string{m.importPath}, t.options.also...) {
		out, err := t.goTest(ctx, p, overlay, t.timeouts[m.importPath])
		switch {
		case err == nil:
		case bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")):
			return invalid, nil
		default:
			return killed, nil
		}
	}
	return survived, nil
}

// goTest runs the tests of one package. A test that hangs is stopped by go test, or with its children a minute later.
func (t *tester) goTest(ctx context.Context, importPath, overlay string, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout+2*time.Minute) // what is more is time to build
	defer cancel()
	args := []string{"test", "-vet=off", "-ldflags=-w", "-count=1", "-failfast", "-timeout", timeout.String()}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	args = append(append(args, t.options.testFlags...), importPath)
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = t.options.root
	command.Env = append(os.Environ(), "RAPID_NOFAILFILE=true") // the source stays as it is
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 10 * time.Second
	return command.CombinedOutput()
}

// A goPackage is what is needed of the output of go list.
type goPackage struct {
	ImportPath string
	Dir        string
	GoFiles    []string
}

func listPackages(ctx context.Context, root string, patterns []string) (packages []goPackage, err error) {
	command := exec.CommandContext(ctx, "go", append([]string{"list", "-json=ImportPath,Dir,GoFiles"}, patterns...)...)
	command.Dir = root
	var problems strings.Builder
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w\n%s", strings.Join(patterns, " "), err, &problems)
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var p goPackage
		if err := decoder.Decode(&p); err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, p)
	}
	return packages, nil
}
