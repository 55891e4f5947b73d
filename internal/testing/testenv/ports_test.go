package testenv

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Another process, here this test's second half, gets none of the ports that this process has.
func TestAPortIsReturnedOnceOnTheWholeMachine(t *testing.T) {
	const each = 500 // of 22,768: independent processes would draw about eleven in common
	var all []string
	for range each {
		all = append(all, fmt.Sprint(Port(t)))
	}
	if os.Getenv("PERENNIAL_TEST_PORTS") != "" {
		fmt.Println("ports:", strings.Join(all, " "))
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "PERENNIAL_TEST_PORTS=print")
	out, err := cmd.Output()
	Check(t, err)
	_, list, _ := strings.Cut(string(out), "ports: ")
	list, _, _ = strings.Cut(list, "\n")
	all = append(all, strings.Fields(list)...)
	slices.Sort(all)
	if total := len(slices.Compact(all)); total != 2*each {
		t.Errorf("%d different ports, want %d", total, 2*each)
	}
}

func TestAPortInUseIsNotReserved(t *testing.T) {
	used, err := net.Listen("tcp", "127.0.0.1:0")
	Check(t, err)
	defer used.Close()
	if _, free := reserve(used.Addr().(*net.TCPAddr).Port); free {
		t.Errorf("%s is in use", used.Addr())
	}
	if conn, err := net.Dial("tcp", Address(t)); err == nil {
		conn.Close()
		t.Error("something listens on a free port")
	}
}
