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
	"regexp"
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

// A step is one run of the tests of one package.
type step struct {
	importPath  string
	environment []string // further variables
}

// steps returns what must pass with a mutant of a package, the quickest first: the tests of the package with the
// environment of the first run, the same tests without it, and those of the further packages.
func (t *tester) steps(importPath string) (steps []step) {
	if len(t.options.firstRun) > 0 {
		steps = append(steps, step{importPath, t.options.firstRun})
	}
	for _, p := range append([]string{importPath}, t.options.also...) {
		steps = append(steps, step{importPath: p})
	}
	return steps
}

// baseline runs the tests of a package without a change, which must pass, and measures how long they may take.
func (t *tester) baseline(ctx context.Context, importPath string) error {
	slowest := time.Duration(0)
	for _, s := range t.steps(importPath) {
		if out, err := t.goTest(ctx, s, "", 10*time.Minute); err != nil { // builds
			return fmt.Errorf("the tests of %s do not pass unchanged: %w\n%s", s.importPath, err, out)
		}
		began := time.Now()
		if out, err := t.goTest(ctx, s, "", 10*time.Minute); err != nil {
			return fmt.Errorf("the tests of %s do not pass unchanged: %w\n%s", s.importPath, err, out)
		}
		slowest = max(slowest, time.Since(began))
	}
	t.timeouts[importPath] = 4*slowest + 10*time.Second
	if t.options.timeout > 0 {
		t.timeouts[importPath] = t.options.timeout
	}
	return nil
}

// test runs the tests with a mutant, step by step. It returns the name of the test that fails, if one does.
func (t *tester) test(ctx context.Context, m mutant) (result verdict, by string, err error) {
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return survived, "", err
	}
	defer os.RemoveAll(dir)
	source, overlay := filepath.Join(dir, filepath.Base(m.path)), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{m.path: source}})
	if err != nil {
		return survived, "", err
	}
	if err := errors.Join(os.WriteFile(source, m.apply(), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return survived, "", err
	}
	for _, s := range t.steps(m.importPath) {
		out, err := t.goTest(ctx, s, overlay, t.timeouts[m.importPath])
		by = failing(out)
		if err != nil && by == hung { // the machine may have been busy
			out, err = t.goTest(ctx, s, overlay, 2*t.timeouts[m.importPath])
			by = failing(out)
		}
		switch {
		case err == nil:
		case bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")):
			return invalid, "", nil
		default:
			return killed, by, nil
		}
	}
	return survived, "", nil
}

const hung = "a time limit"

var (
	failed   = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)
	timedOut = []byte("panic: test timed out after ")
)

// failing returns what made go test fail, by its output: the first failing test, a time limit, or the end of the test
// program, which fails without a name if it panics elsewhere.
func failing(out []byte) string {
	if found := failed.FindSubmatch(out); found != nil {
		return string(found[1])
	}
	if bytes.Contains(out, timedOut) || !bytes.Contains(out, []byte("FAIL\t")) {
		return hung
	}
	return "the end of the program"
}

// goTest runs one step. A test that hangs is stopped by go test, or with its children a minute later.
func (t *tester) goTest(ctx context.Context, s step, overlay string, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout+2*time.Minute) // what is more is time to build
	defer cancel()
	args := []string{"test", "-vet=off", "-ldflags=-w", "-count=1", "-failfast", "-timeout", timeout.String()}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	args = append(append(args, t.options.testFlags...), s.importPath)
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = t.options.root
	command.Env = append(os.Environ(), "RAPID_NOFAILFILE=true") // the source stays as it is
	command.Env = append(command.Env, s.environment...)
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
