package main

import (
	"context"
	"fmt"

	"github.com/perennial-pki/perennial/internal/service"
)

type backupCmd struct {
	Database string `default:"sqlite:perennial.db" env:"PERENNIAL_DATABASE" help:"The database. A service may use it at the same time."`
	File     string `arg:"" help:"A new file for the copy."`
}

func (c *backupCmd) Run(e env) error {
	head, err := service.Backup(context.Background(), c.Database, c.File)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s is a copy with %d audit events and an unbroken chain. It needs the key file, which is not "+
		"in it.\n", c.File, head.Seq)
	return nil
}

type restoreCmd struct {
	Database service.Database `embed:""`
	File     string           `arg:"" help:"A copy made by perennial backup. It is not changed."`
}

func (c *restoreCmd) Run(e env) error {
	r, err := service.Restore(context.Background(), c.Database, c.File, e.now(), e.log())
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s is restored from %s: %d audit events, unbroken chain, head %s.\n", c.Database.URL, c.File,
		r.Head.Seq, r.Head)
	if r.Replaced != "" {
		fmt.Fprintf(e.out, "The old database is kept as %s.\n", r.Replaced)
	}
	fmt.Fprintln(e.out, "Start the service with the same settings as before.")
	return nil
}
