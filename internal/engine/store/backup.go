package store

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Backup writes a copy of a SQLite database to a new file, as of one instant, while the database is in use.
func (s *Store) Backup(ctx context.Context, path string) error { return s.explain(s.backup(ctx, path)) }

func (s *Store) backup(ctx context.Context, path string) error {
	if s.engine != SQLite {
		return errors.New("PostgreSQL has its own tool for this: pg_dump")
	}
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("%s already exists: name a new file", path)
	}
	// SQLite creates the file with the mode of the process. This one is readable only by its owner, like the database.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	if _, err := s.writer.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		os.Remove(path)
		return err
	}
	if err := markCopy(ctx, path); err != nil {
		removeDatabase(path)
		return err
	}
	return syncFile(path)
}

// markCopy gives a copy a mark of its own, so that the log of the database is never applied to it.
func markCopy(ctx context.Context, path string) error {
	s, err := connect(ctx, "sqlite:"+path)
	if err != nil {
		return err
	}
	return errors.Join(s.mark(ctx), s.Close())
}
