package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/perennial-pki/perennial/internal/engine/jobs"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/tenancy"
)

type migrateCmd struct {
	From string `required:"" placeholder:"sqlite:PATH" help:"The database that the service used; the service must be stopped."`
	To   string `required:"" placeholder:"postgres://..." env:"PERENNIAL_MIGRATE_TO" help:"An empty database; better given as PERENNIAL_MIGRATE_TO where it has a password."`
}

// Run moves everything, or nothing. The database that it came from stays as it is.
func (c *migrateCmd) Run(e env) error {
	ctx := context.Background()
	if err := store.CheckExists(c.From); err != nil {
		return err
	}
	from, err := store.OpenExclusive(ctx, c.From) // refuses a file that a service has open
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := store.Open(ctx, c.To)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := jobs.Migrate(ctx, to, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	rows := 0
	err = from.Move(ctx, to, func(tx *store.Tx) error {
		return tx.Audit(ctx, tenancy.NewEvent(e.now(), "command line", "database.moved", "", "database",
			map[string]any{"rows": rows}))
	}, func(m store.Moved) {
		rows += m.Rows
		fmt.Fprintf(e.out, "%-18s %10d rows  SHA-256 %x\n", m.Table, m.Rows, m.Hash[:8])
	})
	if err != nil {
		return fmt.Errorf("move %s to %s: %w", c.From, store.Masked(c.To), err)
	}
	fmt.Fprintf(e.out, "%d rows are in %s, each table with the same count and hash as before, and the audit log is "+
		"whole.\nStart the service with --database %s and the same key file; keep %s until you have seen it work.\n", rows,
		store.Masked(c.To), store.Masked(c.To), c.From)
	return nil
}
