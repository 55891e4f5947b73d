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
