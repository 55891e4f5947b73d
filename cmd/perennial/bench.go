package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"time"

	"github.com/perennial-pki/perennial/internal/lab/bench"
)

type benchCmd struct {
	Renew   benchRenewCmd   `cmd:"" help:"Whole renewals a second, against bare cryptography on the same cores."`
	Sweep   benchSweepCmd   `cmd:"" help:"How long a run takes in a large fleet."`
	Console benchConsoleCmd `cmd:"" help:"How long the console's pages take at the server in a large fleet."`
	Gateway benchGatewayCmd `cmd:"" help:"Requests a second through the gateway, against a bare reverse proxy and nginx (needs wrk and nginx)."`
}

// benchFlags are common to all measurements.
type benchFlags struct {
	Database   string `env:"PERENNIAL_BENCH_DATABASE" help:"An empty database of the measurement's own (default: a temporary SQLite file)."`
	Output     string `enum:"table,json" default:"table" help:"table or json."`
	CPUProfile string `name:"cpuprofile" placeholder:"FILE" help:"Write a CPU profile (pprof)."`
}

// printer is a result that people can read.
type printer interface{ Print(io.Writer) }

// run measures, under the profiler where that is wanted, and prints the result.
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
	Due int `default:"20000" help:"How many certificates are due."`
}

func (c *benchRenewCmd) Run(e env) error {
	if c.Due < 1 {
		return fmt.Errorf("--due: write at least 1")
	}
	return c.run(e, func(ctx context.Context) (printer, error) { return bench.Renew(ctx, c.Database, c.Due) })
}

type benchSweepCmd struct {
	benchFlags
	Certificates int `default:"1000000" help:"How many certificates there are."`
	Due          int `default:"0" help:"How many of them are due."`
}

func (c *benchSweepCmd) Run(e env) error {
	return c.run(e, func(ctx context.Context) (printer, error) {
		return bench.Sweep(ctx, c.Database, c.Certificates, c.Due)
	})
}

type benchConsoleCmd struct {
	benchFlags
	Certificates int `default:"1000000" help:"How many certificates there are; a twelfth of them is renewed."`
	Arrangements int `default:"300000" help:"How many arrangements there are, each of another tenant."`
	Requests     int `default:"200" help:"How often each page is asked for."`
}

func (c *benchConsoleCmd) Run(e env) error {
	if c.Certificates < 12 || c.Arrangements < 1 || c.Arrangements > c.Certificates || c.Requests < 1 {
		return fmt.Errorf("write at least 12 certificates, one arrangement and one request, and not more arrangements than " +
			"certificates")
	}
	return c.run(e, func(ctx context.Context) (printer, error) {
		return bench.Console(ctx, c.Database, c.Certificates, c.Arrangements, c.Requests)
	})
}

type benchGatewayCmd struct {
	benchFlags
	Rounds int           `default:"5" help:"How many times each proxy is measured, one after the other."`
	Each   time.Duration `default:"3s" help:"How long each time."`
}

func (c *benchGatewayCmd) Run(e env) error {
	if c.Rounds < 1 || c.Each < time.Second {
		return fmt.Errorf("--rounds, --each: write at least 1 and 1s")
	}
	return c.run(e, func(ctx context.Context) (printer, error) {
		return bench.Gateway(ctx, c.Database, c.Rounds, c.Each)
	})
}
