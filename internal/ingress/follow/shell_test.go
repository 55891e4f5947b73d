package follow

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestACommandsOutputIsKeptUpToALimit(t *testing.T) {
	output, err := Shell(t.Context(), "echo wrong >&2; head -c 100000 /dev/zero | tr '\\0' x; exit 3")
	if err == nil || err.Error() != "exit status 3" {
		t.Errorf("got %v", err)
	}
	if len(output) != maxCommandOutput || !strings.HasPrefix(output, "wrong\nxxx") {
		t.Errorf("%d bytes: %.20q", len(output), output)
	}
}

// A server that a command starts in the background keeps its output open.
func TestACommandEndsAlthoughItsChildDoesNot(t *testing.T) {
	output, err := Shell(t.Context(), "sleep 5 & echo started")
	if err != nil || output != "started\n" {
		t.Errorf("%q, %v", output, err)
	}
}

func TestACommandThatDoesNotEndIsKilledWithItsChildren(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	output, err := Shell(ctx, "sleep 600 & echo $!; wait")
	if err == nil {
		t.Error("no error")
	}
	status := "/proc/" + strings.TrimSpace(output) + "/status"
	testenv.Eventually(t, func() bool { // until it is a zombie, or gone
		text, err := os.ReadFile(status)
		return err != nil || strings.Contains(string(text), "\nState:\tZ")
	})
}

func TestACommandDoesNotGetTheAddressOfTheFeed(t *testing.T) {
	t.Setenv(AddressVariable, "https://perennial.example.com/feeds/SECRET/")
	out, err := Shell(t.Context(), "env")
	if err != nil || strings.Contains(out, "SECRET") || !strings.Contains(out, "PATH=") {
		t.Errorf("%v: %s", err, out)
	}
}
