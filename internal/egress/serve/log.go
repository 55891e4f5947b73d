package serve

import (
	"io"
	"log/slog"
)

// Log configures the log of a process.
type Log struct {
	LogFormat string     `enum:"text,json" default:"text" env:"PERENNIAL_LOG_FORMAT" help:"text or json."`
	LogLevel  slog.Level `default:"info" env:"PERENNIAL_LOG_LEVEL" help:"debug, info, warn or error."`
}

// Greeting returns the log for the addresses and the first token, which a process prints at its start whatever the
// level is; nil if they are plain text.
func (l *Log) Greeting(w io.Writer) *slog.Logger {
	if l.LogFormat != "json" {
		return nil
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}

// Logger returns the log that writes to w.
func (l *Log) Logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: l.LogLevel}
	if l.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
