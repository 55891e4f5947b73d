// Command perennial-gateway is a stand-alone gateway: applications send plain HTTP to it, and it forwards their
// messages with the certificates that a Perennial service renews. It reaches the service over HTTPS and contains
// neither its engine nor a database. "perennial gateway" of the large binary does the same, and can use a PostgreSQL
// database directly.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"

	"github.com/perennial-pki/perennial/internal/egress/serve"
)

// Set by the linker in release builds.
var version, commit string

type cli struct {
	serve.Alone
	serve.Remote
	Control string           `required:"" env:"PERENNIAL_CONTROL" secret:"" placeholder:"URL" help:"The service: https://HOST."`
	Version kong.VersionFlag `help:"Print version, commit and Go version."`
}

func main() {
	ctx, stop := serve.UntilSignal()
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program. It returns 0 for success, 1 for a failure, and 2 for a command line that cannot be read.
func run(ctx context.Context, args []string, out, log io.Writer) int {
	var c cli
	exit := -1
	parser := kong.Must(&c, kong.Name("perennial-gateway"), kong.Writers(out, log), kong.UsageOnError(),
		kong.Exit(func(code int) { exit = code }), kong.Vars{"version": buildVersion()},
		kong.Description("A gateway alone: it sends messages with the certificates that a Perennial service renews."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	_, err := parser.Parse(args)
	switch {
	case exit >= 0: // --help or --version was printed
		return exit
	case err != nil:
		fmt.Fprintf(log, "perennial-gateway: %v\n", err)
		return 2
	}
	err = c.Run(ctx, time.Now, out, log, func(ctx context.Context, log *slog.Logger) (serve.Service, error) {
		return c.Connect(ctx, c.Control, log)
	})
	if err != nil {
		fmt.Fprintf(log, "perennial-gateway: %v\n", err)
		return 1
	}
	return 0
}

// buildVersion describes the program, as "perennial version" does.
func buildVersion() string {
	v, c := version, commit
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version
	}
	if v == "" || v == "(devel)" {
		v = "development"
	}
	if c == "" {
		c = "unknown"
	}
	return fmt.Sprintf("perennial-gateway %s (commit %s, %s)", v, c, runtime.Version())
}
