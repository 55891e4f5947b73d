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

// Logger returns the log that writes to w.
func (l *Log) Logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: l.LogLevel}
	if l.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
