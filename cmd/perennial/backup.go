package main

import (
	"context"
	"fmt"

	"github.com/perennial-pki/perennial/internal/engine/store"
)

type backupCmd struct {
	Database string `default:"sqlite:perennial.db" env:"PERENNIAL_DATABASE" help:"The database; a service may use it meanwhile."`
	File     string `arg:"" help:"A new file for the copy."`
}

// Run checks what it wrote: a backup that nobody read is none.
func (c *backupCmd) Run(e env) error {
	ctx := context.Background()
	if err := store.CheckExists(c.Database); err != nil {
		return err
	}
	s, err := store.Open(ctx, c.Database)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Backup(ctx, c.File); err != nil {
		return fmt.Errorf("back up %s: %w", store.Masked(c.Database), err)
	}
	written, err := store.Open(ctx, "sqlite:"+c.File)
	if err != nil {
		return err
	}
	defer written.Close()
	head, err := written.VerifyEvents(ctx)
	if err != nil {
		return fmt.Errorf("the copy at %s: %w", c.File, err)
	}
	fmt.Fprintf(e.out, "%s is a copy with %d audit events, whose chain is whole. It needs the key file, which is not "+
		"in it.\n", c.File, head.Seq)
	return nil
}
