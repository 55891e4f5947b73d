// Package faults logs errors that the caller of a request did not cause.
//
// It promises that callers who close connections early do not fill the log with errors: an error after the caller has
// left is logged at the level Debug, because that is its likely cause. A fault of the service at the same moment is
// then logged at that level, too.
package faults

import (
	"context"
	"errors"
	"log/slog"
)

// Log logs an error with the details of [slog.Logger.Log]. ctx is that of the request.
func Log(ctx context.Context, log *slog.Logger, message string, err error, details ...any) {
	level := slog.LevelError
	if errors.Is(ctx.Err(), context.Canceled) {
		level = slog.LevelDebug
	}
	log.Log(ctx, level, message, append(details, "error", err)...)
}
