package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// A Moved is a table with the same content in both databases.
type Moved struct {
	Table string
	Rows  int
	Hash  [sha256.Size]byte // of every value of every row, in the order of the primary key
}

// Move copies everything from a SQLite database into an empty PostgreSQL database, in one transaction. It commits only
// if every table has as many rows there with the same hash, and the chain of the audit log is intact. more runs in the
// same transaction. The job queue's own tables are not copied. Mails that are queued wait for the next start of the
// service, which queues them again.
func (s *Store) Move(ctx context.Context, to *Store, more func(*Tx) error, report func(Moved)) error {
	if s.engine != SQLite || to.engine != Postgres {
		return errors.New("data is moved from SQLite to PostgreSQL: write --from sqlite:PATH and --to with the URL of a " +
			"PostgreSQL database")
	}
	tables, err := list(ctx, s.Reader, scanOne[string],
		`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'river\_%' ESCAPE '\' AND name
			NOT LIKE 'goose\_%' ESCAPE '\' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY rowid`)
	if err != nil {
		return err
	}
	busy, err := list(ctx, s.Reader, scanOne[string], "SELECT id FROM imports WHERE state IN ('applying', 'undoing') "+
		"LIMIT 1")
	if err != nil {
		return err
	}
	if len(busy) > 0 {
		return fmt.Errorf("import %s is still running: start the service and wait for the import to end", busy[0])
	}
	conn, err := to.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	t := &Tx{Reader{tx, Postgres}, tx, map[string]struct{}{}, new(atomic.Int64), nil}
	for _, table := range tables { // in the order of their creation, so that referenced tables come first
		if err := s.moveTable(ctx, conn, t, table, report); err != nil {
			return fmt.Errorf("table %s: %w", table, t.explain(err))
		}
	}
	if _, err := t.VerifyEvents(ctx); err != nil {
		return err
	}
	if _, err := t.exec(ctx, "UPDATE mails SET state = 'waiting' WHERE state = 'queued'"); err != nil {
		return err
	}
	if err := more(t); err != nil {
		return err
	}
	return t.explain(tx.Commit())
}

// createdWithSchema holds conditions for the one row of a table that every new database has. It is replaced by that of
// the source.
var createdWithSchema = map[string]string{"event_head": "seq = 0", "settings": "name = '" + oldestProgramSetting + "'"}

func (s *Store) moveTable(ctx context.Context, conn *sql.Conn, t *Tx, table string, report func(Moved)) error {
	if created := createdWithSchema[table]; created != "" {
		if n, err := t.exec(ctx, "DELETE FROM "+table+" WHERE "+created); err != nil {
			return err
		} else if n != 1 {
			return errors.New("the target database is not empty: use a new one")
		}
	}
	if n, err := one(ctx, t.Reader, "count", scanOne[int], "SELECT count(*) FROM "+table); err != nil {
		return err
	} else if n > 0 {
		return fmt.Errorf("the target database is not empty (%d rows): use a new one", n)
	}
	columns, err := list(ctx, s.Reader, scanOne[string], "SELECT name FROM pragma_table_info(?) ORDER BY cid", table)
	if err != nil {
		return err
	}
	key, err := list(ctx, s.Reader, scanOne[string], "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk",
		table)
	if err != nil {
		return err
	}
	query := fmt.Sprintf("SELECT %s FROM %s ORDER BY %s", strings.Join(columns, ", "), table, strings.Join(key, ", "))
	rows, err := s.q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	source := &hashed{rows: rows, hash: sha256.New(), width: len(columns)}
	err = conn.Raw(func(c any) error {
		_, err := c.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{table}, columns, source)
		return err
	})
	if err != nil {
		return err
	}
	there, err := t.q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer there.Close()
	target := &hashed{rows: there, hash: sha256.New(), width: len(columns)}
	for target.Next() {
		if _, err := target.Values(); err != nil {
			return err
		}
	}
	if err := target.Err(); err != nil {
		return err
	}
	a, b := source.moved(table), target.moved(table)
	if a != b {
		return fmt.Errorf("%d rows with hash %x were copied, and %d with hash %x arrived: nothing was changed", a.Rows,
			a.Hash[:8], b.Rows, b.Hash[:8])
	}
	report(a)
	return nil
}

// A hashed is a set of rows that are hashed while they are read. It is a source for COPY.
type hashed struct {
	rows  *sql.Rows
	hash  hash.Hash
	width int
	count int
}

func (h *hashed) Next() bool { return h.rows.Next() }

func (h *hashed) Err() error { return h.rows.Err() }

func (h *hashed) moved(table string) Moved {
	return Moved{table, h.count, [sha256.Size]byte(h.hash.Sum(nil))}
}

// Values returns the values of the row. Each is hashed with its type and length.
func (h *hashed) Values() ([]any, error) {
	h.count++
	values, to := make([]any, h.width), make([]any, h.width)
	for i := range values {
		to[i] = &values[i]
	}
	if err := h.rows.Scan(to...); err != nil {
		return nil, err
	}
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			h.add('0', nil)
		case int64:
			h.add('i', binary.BigEndian.AppendUint64(nil, uint64(v)))
		case string:
			h.add('s', []byte(v))
		case []byte:
			if len(v) == 0 {
				values[i] = []byte{} // nil would become NULL
			}
			h.add('b', v)
		default:
			return nil, fmt.Errorf("a value of %T", v)
		}
	}
	return values, nil
}

func (h *hashed) add(kind byte, data []byte) {
	h.hash.Write(binary.BigEndian.AppendUint64([]byte{kind}, uint64(len(data))))
	h.hash.Write(data)
}
