package main

import (
	"context"
	"log/slog"
	"strings"

	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/service"
)

// gatewayCmd runs a stand-alone gateway. It renews nothing, and reaches the service over HTTPS or uses its database.
type gatewayCmd struct {
	serve.Alone  `embed:""`
	serve.Remote `embed:""`
	Quota        service.Quota `embed:""`
	Control      string        `required:"" env:"PERENNIAL_CONTROL" secret:"" placeholder:"URL" help:"The service: https://HOST (with a gateway's token), or its PostgreSQL database, postgres://... (with its key file)."`
	KeyFile      string        `default:"perennial.key" env:"PERENNIAL_KEY_FILE" help:"The key file of the service, for postgres://: private keys are sealed with it."`
	Key          string        `env:"PERENNIAL_KEY" secret:"" help:"The content of the key file in base64, instead of --key-file."`
}

func (c *gatewayCmd) Run(e env) error {
	if err := c.Quota.Check(); err != nil {
		return err
	}
	ctx, stop := serve.UntilSignal()
	defer stop()
	return c.Alone.Run(ctx, e.now, e.out, e.err, func(ctx context.Context, log *slog.Logger) (serve.Service, error) {
		if strings.HasPrefix(c.Control, "postgres://") || strings.HasPrefix(c.Control, "postgresql://") {
			d := service.Database{URL: c.Control, KeyFile: c.KeyFile, Key: c.Key}
			return service.OpenControl(ctx, d, c.Quota, e.now, log)
		}
		return c.Connect(ctx, c.Control, log)
	})
}
