// Command perennial owns the client certificates of a platform's tenants: it renews them on schedule, warns every key user,
// and brings every receiver over to the new certificate. Each subcommand has its file; none has logic of its own.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"
)

// cli is the table of contents of the command line.
type cli struct {
	Forecast forecastCmd `cmd:"" help:"When will a certificate be renewed, and will I be warned? Needs no server."`
	Policy   policyCmd   `cmd:"" help:"List, show and audit the rule sets."`
	Version  versionCmd  `cmd:"" help:"Print version, commit and Go version."`
}

// env is what a command gets from outside: its streams and its clock.
type env struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
}

// Set by the linker in release builds; otherwise the build information says what it knows.
var version, commit string

func main() {
	os.Exit(run(os.Args[1:], env{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: time.Now}))
}

// run is the program: 0 for success, 1 where a command failed, 2 for a command line that cannot be read.
func run(args []string, e env) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c, kong.Name("perennial"), kong.UsageOnError(), kong.Writers(e.out, e.err), kong.Exit(func(code int) { exit = code }),
		kong.Description("Client certificates of many tenants, renewed on schedule without one message failing."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))
	if err != nil {
		panic(err) // the table of contents itself is wrong
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if exit >= 0 { // --help was printed
		return exit
	}
	if err != nil {
		fmt.Fprintf(e.err, "perennial: %v\n", err)
		return 2
	}
	if err := ctx.Run(e); err != nil {
		fmt.Fprintf(e.err, "perennial: %v\n", err)
		return 1
	}
	return 0
}

type versionCmd struct{}

func (versionCmd) Run(e env) error {
	v, c := buildVersion()
	_, err := fmt.Fprintf(e.out, "perennial %s (commit %s, %s)\n", v, c, runtime.Version())
	return err
}

func buildVersion() (v, c string) {
	v, c = version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && c == "" {
				c = s.Value
			}
		}
	}
	if v == "" || v == "(devel)" {
		v = "development"
	}
	if c == "" {
		c = "unknown"
	}
	return v, c
}
