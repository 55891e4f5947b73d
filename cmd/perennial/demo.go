package main

import (
	"bytes"
	"context"
	"os"
	"os/signal"

	"github.com/perennial-pki/perennial/internal/lab/demo"
	"github.com/perennial-pki/perennial/internal/service"
)

type demoCmd struct {
	Policy  string `default:"perennial" env:"PERENNIAL_POLICY" help:"A built-in policy, or the path of a policy file; sap-c4c shows the missing warning."`
	Compare bool   `help:"Run one renewal twice, with the strategies immediate and adaptive, and count failed messages."`
	SVG     string `name:"svg" placeholder:"FILE" help:"With --compare: draw the hours with and without deliveries."`
}

func (c *demoCmd) Run(e env) error {
	p, err := service.LoadPolicy(c.Policy)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if !c.Compare {
		return demo.Run(ctx, e.out, p)
	}
	if c.SVG == "" {
		return demo.Compare(ctx, e.out, nil, p)
	}
	var picture bytes.Buffer
	if err := demo.Compare(ctx, e.out, &picture, p); err != nil {
		return err
	}
	return os.WriteFile(c.SVG, picture.Bytes(), 0o644)
}
