// Package deploy contains the files that operators deploy the service with. Its tests check them against the service.
package deploy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

var metric = regexp.MustCompile(`perennial_[a-z_]+`)

// exported returns the names of the metrics in the service's code.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir("../internal", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		if bytes.Contains(code, []byte("client_golang/prometheus")) {
			for _, name := range regexp.MustCompile(`"(perennial_[a-z_]+)"`).FindAllSubmatch(code, -1) {
				all[string(name[1])] = true
			}
		}
		return err
	})
	if err != nil || len(all) < 5 {
		t.Fatalf("found only %d metrics: %v", len(all), err)
	}
	return all
}

func TestAlertsAndTheDashboardUseExistingMetrics(t *testing.T) {
	there := exported(t)
	for _, file := range []string{"prometheus/alerts.yml", "grafana/perennial.json"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := metric.FindAllString(string(data), -1)
		if len(names) < 5 {
			t.Errorf("%s uses only %d metrics", file, len(names))
		}
		for _, name := range names {
			for _, of := range []string{"_bucket", "_sum", "_count"} { // of a histogram
				name = strings.TrimSuffix(name, of)
			}
			if !there[name] {
				t.Errorf("%s uses %s, which the service does not export", file, name)
			}
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(data) {
			t.Errorf("%s is not JSON", file)
		}
	}
}

func TestEachAlertFiresWhenItShouldAndNotBefore(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "prometheus/alerts.yml"},
		{"test", "rules", "prometheus/alerts_test.yml"}, {"test", "rules", "prometheus/alerts_weeks_test.yml"}} {
		if out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

func TestTheSystemdUnitWritesNoKeysToACoreDump(t *testing.T) {
	unit, err := os.ReadFile("systemd/perennial.service")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^LimitCORE=0$`).Match(unit) {
		t.Error("the unit does not have LimitCORE=0")
	}
}

func TestTheSystemdUnitIsHardened(t *testing.T) {
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "systemd/perennial.service").CombinedOutput()
	level := regexp.MustCompile(`Overall exposure level for perennial\.service: ([0-9.]+)`).FindSubmatch(out)
	if level == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if exposure, err := strconv.ParseFloat(string(level[1]), 64); err != nil || exposure >= 2 {
		t.Errorf("exposure %s", level[1])
	}
}

// buildah builds the image with the last stage of the Dockerfile. The test provides the files of the first stage,
// because the image of the compiler is not available everywhere. The program runs as an unprivileged user on a
// read-only file system, with one writable folder.
func TestTheContainerImageHasOneFileAndRunsUnprivilegedAndReadOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to build without a daemon and to change the root directory")
	}
	binary := release(t, "release", "perennial")
	stage, buildah := t.TempDir(), newBuildah(t)
	fillStage(t, stage, "perennial", binary)
	buildah("build", "--isolation", "chroot", "--build-context", "build="+stage, "--file", "container/Dockerfile", "--tag",
		"perennial", ".")
	var image struct {
		OCIv1 struct {
			Config struct {
				User, WorkingDir     string
				Env, Entrypoint, Cmd []string
				Volumes              map[string]any
			}
		}
	}
	if err := json.Unmarshal([]byte(buildah("inspect", "--type", "image", "perennial")), &image); err != nil {
		t.Fatal(err)
	}
	config := image.OCIv1.Config
	if config.User != "65532:65532" || config.WorkingDir != "/var/lib/perennial" ||
		config.Volumes["/var/lib/perennial"] == nil {
		t.Errorf("%+v", config)
	}
	container := buildah("from", "perennial")
	root := buildah("mount", container)
	defer buildah("rm", container)
	var files []string
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(path, root))
		}
		return err
	})
	if !slices.Equal(files, []string{"/etc/ssl/certs/ca-certificates.crt", "/perennial"}) {
		t.Errorf("the image contains %v", files)
	}
	command := append(config.Entrypoint, config.Cmd...)
	cmd := exec.Command(command[0], append(command[1:], "--listen", "127.0.0.1:0", "--gateway", "127.0.0.1:0")...)
	cmd.Dir = config.WorkingDir
	cmd.Env = config.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532},
		Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	line := bufio.NewScanner(out)
	var ready struct{ Msg, URL string } // the image logs JSON
	if !line.Scan() || json.Unmarshal(line.Bytes(), &ready) != nil || ready.Msg != "perennial is ready" {
		t.Fatalf("the first line of output is %q", line.Text())
	}
	res, err := http.Get(ready.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("/readyz: %s", res.Status)
	}
}

// TestTheImageForTokensHasPKCS11 builds the image on a base that the test provides, for the same reason: it has the C
// library of this machine.
func TestTheImageForTokensHasPKCS11(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to build without a daemon and to change the root directory")
	}
	binary := release(t, "release-hsm", "perennial-pkcs11")
	stage, buildah := t.TempDir(), newBuildah(t)
	fillStage(t, stage, "perennial-pkcs11", binary)
	needs, err := exec.Command("ldd", "../bin/release/perennial-pkcs11").Output()
	if err != nil {
		t.Fatalf("ldd: %v: the binary is static, or ldd is missing", err)
	}
	base := buildah("from", "scratch")
	for _, library := range regexp.MustCompile(`/\S+`).FindAllString(string(needs), -1) {
		buildah("copy", base, library, library)
	}
	buildah("commit", "--rm", base, "docker.io/library/debian:bookworm-slim")
	buildah("build", "--pull=never", "--isolation", "chroot", "--build-context", "build="+stage, "--file",
		"container/Dockerfile.hsm", "--tag", "perennial-hsm", ".")
	container := buildah("from", "--pull=never", "perennial-hsm")
	root := buildah("mount", container)
	defer buildah("rm", container)
	cmd := exec.Command("/perennial", "key", "new", "--to", "pkcs11:token=perennial;object=perennial")
	cmd.Dir, cmd.Env = "/var/lib/perennial", []string{"PATH="}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532},
		Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "set PERENNIAL_PKCS11_MODULE to the library of its vendor") {
		t.Errorf("%v: %s", err, out)
	}
}

// release builds a binary with a target of make.
func release(t *testing.T, target, name string) []byte {
	t.Helper()
	build := exec.Command("make", "-s", target)
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	binary, err := os.ReadFile("../bin/release/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// fillStage writes the files of the first stage of a Dockerfile.
func fillStage(t *testing.T, stage, name string, binary []byte) {
	t.Helper()
	err := errors.Join(os.MkdirAll(stage+"/etc/ssl/certs", 0o755), os.MkdirAll(stage+"/src/bin/release", 0o755),
		os.Mkdir(stage+"/empty", 0o755),
		os.WriteFile(stage+"/etc/ssl/certs/ca-certificates.crt", nil, 0o644),
		os.WriteFile(stage+"/src/bin/release/"+name, binary, 0o755))
	if err != nil {
		t.Fatal(err)
	}
}

// newBuildah returns a function that runs buildah with a storage of its own.
func newBuildah(t *testing.T) func(args ...string) string {
	storage := t.TempDir()
	return func(args ...string) string {
		t.Helper()
		out, err := exec.Command("buildah", append([]string{"--root", storage + "/root", "--runroot", storage + "/run",
			"--storage-driver", "vfs"}, args...)...).Output()
		if err != nil {
			t.Fatalf("buildah %s: %v", args[0], errors.Join(err, stderrOf(err)))
		}
		return strings.TrimSpace(string(out))
	}
}

// stderrOf returns the error output of a command that failed.
func stderrOf(err error) error {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return errors.New(string(e.Stderr))
	}
	return nil
}
