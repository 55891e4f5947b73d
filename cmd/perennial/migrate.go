package main

import (
	"context"
	"fmt"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/service"
)

type migrateCmd struct {
	From string `required:"" placeholder:"sqlite:PATH" help:"The database of the service, which must be stopped."`
	To   string `required:"" placeholder:"postgres://..." env:"PERENNIAL_MIGRATE_TO" help:"An empty database; better set as PERENNIAL_MIGRATE_TO if it has a password."`
}

func (c *migrateCmd) Run(e env) error {
	rows, err := service.Migrate(context.Background(), c.From, c.To, e.now(), func(m store.Moved) {
		fmt.Fprintf(e.out, "%-18s %10d rows  SHA-256 %x\n", m.Table, m.Rows, m.Hash[:8])
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%d rows are in %s, each table with its count and hash verified, and the audit log is "+
		"whole.\nStart the service with --database %s and the same key file; keep %s until you have seen it work.\n", rows,
		store.Masked(c.To), store.Masked(c.To), c.From)
	return nil
}
