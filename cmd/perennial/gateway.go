package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/service"
)

type gatewayCmd struct {
	serve.Options `embed:""`
	serve.Remote  `embed:""`
	Control       string    `required:"" env:"PERENNIAL_CONTROL" secret:"" placeholder:"URL" help:"The service: https://HOST (with a gateway's token), or its PostgreSQL database, postgres://... (with its key file)."`
	KeyFile       string    `default:"perennial.key" env:"PERENNIAL_KEY_FILE" help:"The key file of the service, for postgres://: private keys are sealed with it."`
	Key           string    `env:"PERENNIAL_KEY" secret:"" help:"The content of the key file in base64, instead of --key-file."`
	BehindProxy   bool      `env:"PERENNIAL_BEHIND_PROXY" help:"Serve plain HTTP at any address: a proxy in front does TLS."`
	Log           serve.Log `embed:""`
}

// connect returns the gateway's connection to the service, and a function that releases it.
func (c *gatewayCmd) connect(ctx context.Context, e env, log *slog.Logger) (_ gateway.Control, release func() error,
	err error) {
	if strings.HasPrefix(c.Control, "postgres") {
		d := service.Database{URL: c.Control, KeyFile: c.KeyFile, Key: c.Key}
		return service.OpenControl(ctx, d, e.now, log)
	}
	client, err := c.Connect(ctx, c.Control, log)
	return client, func() error { return nil }, err
}

// Run serves a gateway alone. It renews nothing, and works with the service over HTTPS or through the database.
func (c *gatewayCmd) Run(e env) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	front := serve.Direct
	if c.BehindProxy {
		front = serve.Proxied
	}
	if err := c.CheckAlone(front); err != nil {
		return err
	}
	network, err := c.Network()
	if err != nil {
		return err
	}
	log := c.Log.Logger(e.err)
	control, release, err := c.connect(ctx, e, log)
	if err != nil {
		return err
	}
	defer release()
	config := gateway.Config{Control: control, Network: network, Now: e.now, Log: log}
	return c.Options.Run(ctx, config, store.Masked(c.Control), e.out)
}
