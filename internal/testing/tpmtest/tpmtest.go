// Package tpmtest gives tests a PKCS#11 token in a TPM that swtpm emulates, through the resource manager tpm2-abrmd and
// the library tpm2-pkcs11, all of which are in Debian. It needs no cgo itself.
package tpmtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// Label, PIN and URI are those of the token. Its label differs from that of softhsmtest: a process keeps one token of a
// name open.
const (
	Label = "perennial-tpm"
	PIN   = "84629175"
	URI   = "pkcs11:token=" + Label
)

// places limits the keys that are loaded at the same time, as the resource manager of Linux does.
const places = "3"

var started atomic.Bool

// Start creates a token, and sets the variables of its module and its PIN. The test is skipped if a program is missing,
// or if the process had a TPM already: GLib keeps the connection to its message bus.
func Start(t testing.TB) {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	for _, name := range []string{"swtpm", "dbus-daemon", "tpm2-abrmd", "tpm2_ptool", "tpm2_getcap"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed: run .ci/packages", name)
		}
	}
	modules, err := filepath.Glob("/usr/lib/*/libtpm2_pkcs11.so.1")
	testenv.Check(t, err)
	if len(modules) == 0 {
		t.Skip("the PKCS#11 library for TPMs is not installed: run .ci/packages")
	}
	if started.Swap(true) {
		t.Skip("this process had a TPM already")
	}
	port := testenv.PortPair(t)
	testenv.Start(t, exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+t.TempDir(),
		"--flags", "not-need-init,startup-clear", "--server", fmt.Sprintf("type=tcp,port=%d,bindaddr=127.0.0.1", port),
		"--ctrl", fmt.Sprintf("type=tcp,port=%d,bindaddr=127.0.0.1", port+1)))
	startBus(t)
	testenv.Start(t, exec.Command("tpm2-abrmd", "--session", "--allow-root", "--max-transients="+places,
		fmt.Sprintf("--tcti=swtpm:host=127.0.0.1,port=%d", port)))
	for name, value := range map[string]string{"TPM2_PKCS11_STORE": t.TempDir(), "TSS2_LOG": "all+NONE",
		"TPM2_PKCS11_TCTI": "tabrmd:bus_type=session", "TPM2TOOLS_TCTI": "tabrmd:bus_type=session",
		"PERENNIAL_PKCS11_MODULE": modules[0], "PERENNIAL_PKCS11_PIN": PIN, "PERENNIAL_PKCS11_PIN_FILE": ""} {
		t.Setenv(name, value)
	}
	testenv.Eventually(t, func() bool { return exec.Command("tpm2_getcap", "properties-fixed").Run() == nil })
	for _, args := range [][]string{{"init"},
		{"addtoken", "--pid", "1", "--label", Label, "--userpin", PIN, "--sopin", "11223344"}} {
		if out, err := exec.Command("tpm2_ptool", args...).CombinedOutput(); err != nil {
			t.Fatalf("tpm2_ptool %s: %v: %s", args[0], err, out)
		}
	}
}

// startBus starts a message bus for the resource manager. The path of its socket must be short.
func startBus(t testing.TB) {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus")
	testenv.Check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+socket)
	testenv.Start(t, exec.Command("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address=unix:path="+socket))
	testenv.Eventually(t, func() bool { _, err := os.Stat(socket); return err == nil })
}
