package store

// Only the lab uses this file. Simulations and measurements open a database in memory and fill it with thousands of
// rows.

import (
	"context"
	"database/sql"
	"fmt"
)

// Analyze refreshes the statistics of the query planner after an import.
func (s *Store) Analyze(ctx context.Context) error {
	_, err := s.writer.ExecContext(ctx, "ANALYZE")
	return s.explain(err)
}

// OpenInMemory opens a new SQLite database in memory that ends with the store. It has one connection, so that code
// inside a transaction must read through the transaction.
func OpenInMemory(ctx context.Context) (*Store, error) {
	db := sql.OpenDB(&preparing{name: ":memory:?_pragma=foreign_keys(ON)&_pragma=cache_size(-65536)&_txlock=immediate"})
	db.SetMaxOpenConns(1)
	s := &Store{Reader: Reader{db, SQLite}, writer: db, reader: db}
	if err := s.migrate(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("database in memory: %w", err)
	}
	return s, nil
}
