package follow

import (
	"context"
	"strings"
	"testing"
	"time"
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
	began := time.Now()
	if _, err := Shell(ctx, "sleep 60; true"); err == nil {
		t.Error("no error")
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
}
