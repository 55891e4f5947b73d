package testenv

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Memory returns the resident memory of a process in MB, now and at its peak.
func Memory(t testing.TB, pid int) (now, peak int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(status), name+":")
		words := strings.Fields(rest)
		if len(words) == 0 {
			t.Fatalf("the process %d has no %s", pid, name)
		}
		kb, err := strconv.Atoi(words[0])
		if err != nil {
			t.Fatal(err)
		}
		return kb >> 10
	}
	return field("VmRSS"), field("VmHWM")
}
