package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/perennial-pki/perennial/internal/demo"
)

type demoCmd struct {
	Policy string `default:"perennial" env:"PERENNIAL_POLICY" help:"A built-in policy, or the path of a policy file; sap-c4c shows the missing warning."`
}

func (c *demoCmd) Run(e env) error {
	p, err := loadPolicy(c.Policy)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return demo.Run(ctx, e.out, p)
}
