package main

import (
	"context"
	"io"
	"os"
	"runtime/pprof"
	"time"

	"github.com/perennial-pki/perennial/internal/lab/bench"
)

type benchCmd struct {
	Renew   benchRenewCmd   `cmd:"" help:"Renewals per second, compared with bare cryptography on the same cores."`
	Sweep   benchSweepCmd   `cmd:"" help:"Duration of a run in a large fleet."`
	Console benchConsoleCmd `cmd:"" help:"Server time of the console's pages in a large fleet."`
	Gateway benchGatewayCmd `cmd:"" help:"Requests per second through the gateway, compared with a bare reverse proxy and nginx (needs wrk and nginx)."`
}

// benchFlags are common to all measurements.
type benchFlags struct {
	Database   string `env:"PERENNIAL_BENCH_DATABASE" help:"An empty database for the measurement (default: a temporary SQLite file)."`
	Output     string `enum:"table,json" default:"table" help:"table or json."`
	CPUProfile string `name:"cpuprofile" placeholder:"FILE" help:"Write a CPU profile (pprof)."`
}

// printer is a result that can be printed as text.
type printer interface{ Print(io.Writer) }

// run measures, with a CPU profile if one was requested, and prints the result.
func (f *benchFlags) run(e env, measure func(ctx context.Context) (printer, error)) error {
	if f.CPUProfile != "" {
		file, err := os.Create(f.CPUProfile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	r, err := measure(context.Background())
	if err != nil {
		return err
	}
	if f.Output == "json" {
		return writeJSON(e.out, r)
	}
	r.Print(e.out)
	return nil
}

type benchRenewCmd struct {
	benchFlags
	Due int `default:"20000" help:"Number of certificates that are due."`
}

func (c *benchRenewCmd) Run(e env) error {
	if c.Due < 1 {
		return misused("--due: use at least 1")
	}
	return c.run(e, func(ctx context.Context) (printer, error) { return bench.Renew(ctx, c.Database, c.Due) })
}

type benchSweepCmd struct {
	benchFlags
	Certificates int `default:"1000000" help:"Number of certificates."`
	Due          int `default:"0" help:"Number of certificates that are due."`
}

func (c *benchSweepCmd) Run(e env) error {
	return c.run(e, func(ctx context.Context) (printer, error) {
		return bench.Sweep(ctx, c.Database, c.Certificates, c.Due)
	})
}

type benchConsoleCmd struct {
	benchFlags
	Certificates int `default:"1000000" help:"Number of certificates. A twelfth of them is renewed."`
	Arrangements int `default:"300000" help:"Number of arrangements, each of a different tenant."`
	Requests     int `default:"200" help:"Number of requests for each page."`
}

func (c *benchConsoleCmd) Run(e env) error {
	if c.Certificates < 12 || c.Arrangements < 1 || c.Arrangements > c.Certificates || c.Requests < 1 {
		return misused("use at least 12 certificates, one arrangement and one request, and at most as many arrangements as " +
			"certificates")
	}
	return c.run(e, func(ctx context.Context) (printer, error) {
		return bench.Console(ctx, c.Database, c.Certificates, c.Arrangements, c.Requests)
	})
}

type benchGatewayCmd struct {
	benchFlags
	Rounds int           `default:"5" help:"Number of rounds, in which each proxy is measured in turn."`
	Each   time.Duration `default:"3s" help:"Duration of a measurement."`
	Caddy  string        `placeholder:"FILE" help:"The program caddy, to measure it too."`
}

func (c *benchGatewayCmd) Run(e env) error {
	if c.Rounds < 1 || c.Each < time.Second {
		return misused("--rounds, --each: use at least 1 and 1s")
	}
	return c.run(e, func(ctx context.Context) (printer, error) {
		return bench.Gateway(ctx, c.Database, c.Caddy, c.Rounds, c.Each)
	})
}
