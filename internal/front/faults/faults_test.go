package faults

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestAnErrorAfterTheCallerHasLeftIsNotLoggedAsOne(t *testing.T) {
	left, leave := context.WithCancel(t.Context())
	leave()
	for want, ctx := range map[string]context.Context{"level=ERROR": t.Context(), "level=DEBUG": left} {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		Log(ctx, log, "a page failed", errors.New("no space"), "path", "/tenants")
		line := out.String()
		for _, part := range []string{want, `msg="a page failed"`, "path=/tenants", `error="no space"`} {
			if !strings.Contains(line, part) {
				t.Errorf("%q is not in %s", part, line)
			}
		}
	}
}
