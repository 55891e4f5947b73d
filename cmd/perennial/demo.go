package main

import (
	"bytes"
	"cmp"
	"context"
	"os"
	"os/signal"

	"github.com/perennial-pki/perennial/internal/lab/demo"
	"github.com/perennial-pki/perennial/internal/service"
	"github.com/perennial-pki/perennial/policy"
)

type demoCmd struct {
	Policy  string `env:"PERENNIAL_POLICY" help:"A built-in policy, or the path of a policy file (default: perennial; sap-c4c with --guard). sap-c4c shows the missing warning."`
	Compare bool   `xor:"story" help:"Run one renewal twice, with the strategies immediate and adaptive, and count failed messages."`
	Guard   bool   `xor:"story" help:"Show a renewal from the receiver's side, without and with a guard in front of it, and count failed messages."`
	SVG     string `name:"svg" placeholder:"FILE" help:"With --compare: draw the hours with and without deliveries."`
}

func (c *demoCmd) Run(e env) error {
	if os.Getenv(demo.SenderVariable) != "" {
		return demo.Send(e.in, e.out)
	}
	name := policy.Default
	if c.Guard {
		name = demo.GuardedPolicy
	}
	p, err := service.LoadPolicy(cmp.Or(c.Policy, name))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	switch {
	case c.Guard:
		return demo.Guarded(ctx, e.out, p)
	case !c.Compare:
		return demo.Run(ctx, e.out, p)
	case c.SVG == "":
		return demo.Compare(ctx, e.out, nil, p)
	}
	var picture bytes.Buffer
	if err := demo.Compare(ctx, e.out, &picture, p); err != nil {
		return err
	}
	return os.WriteFile(c.SVG, picture.Bytes(), 0o644)
}
