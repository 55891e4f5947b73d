package store

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"time"
)

// SQLite applies a write-ahead log to whatever file lies beside it. After a crash the log stays, and if the file is
// then replaced by a backup, the log undoes the restore or destroys the database. SQLite cannot notice this, because
// nothing in the file names its log. So each log carries a mark. The first page of a database has two fields for the
// application, and both are in each copy of that page in the log:
//
//   - user_version is a random number. It changes each time that SQLite begins the log again, in the first transaction
//     after that, and with each backup and restore.
//   - application_id is the number that user_version replaced.
//
// SQLite begins a log again only after everything in it has reached the file. Thus the number in the file is one that
// the log's marks name as theirs or as their predecessor. If it is neither, the log was begun on another file. A crash
// between the first transaction of a log and its mark leaves a log without marks, and so do versions of Perennial that
// did not write marks. Such a log is applied, as SQLite does.

// Where the fields of a mark are in the first page.
const (
	userVersionAt   = 60
	applicationIDAt = 68
)

// A logHead is the beginning of a write-ahead log. SQLite draws its salts when it begins the log. The zero value is the
// head of an empty log.
type logHead [32]byte

// A walWatch marks the write-ahead log of a database each time that SQLite has begun it again. One connection owns it.
type walWatch struct {
	path string
	file *os.File // nil before the log exists
	seen logHead
}

// watchLog begins to watch the log of a database. The log that exists is not marked, because another process did so.
func watchLog(path string) *walWatch {
	w := &walWatch{path: path + "-wal"}
	w.seen = w.head()
	return w
}

// head reads the head of the log. SQLite does not lock this file, so that reading it here does not disturb it.
func (w *walWatch) head() (h logHead) {
	if w.file == nil {
		f, err := os.Open(w.path)
		if err != nil {
			return logHead{}
		}
		w.file = f
	}
	if _, err := w.file.ReadAt(h[:], 0); err != nil {
		return logHead{}
	}
	return h
}

// look marks the log if it was begun again since the last look. If the mark cannot be written, the next look tries
// again.
func (w *walWatch) look(ctx context.Context, c sqliteConn) {
	h := w.head()
	if h == w.seen || h == (logHead{}) {
		return
	}
	if mark(ctx, c) == nil {
		w.seen = h
	}
}

func (w *walWatch) close() {
	if w.file != nil {
		w.file.Close()
	}
}

// mark writes a new mark in a transaction of its own, on a connection that is not in a transaction.
func mark(ctx context.Context, c sqliteConn) error {
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE", nil); err != nil {
		return err
	}
	err := func() error {
		rows, err := c.QueryContext(ctx, "PRAGMA user_version", nil)
		if err != nil {
			return err
		}
		defer rows.Close()
		value := make([]driver.Value, 1)
		if err := rows.Next(value); err != nil {
			return err
		}
		_, err = c.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", value[0],
			1+rand.Int32N(1<<31-1)), nil)
		return err
	}()
	if err == nil {
		_, err = c.ExecContext(ctx, "COMMIT", nil)
	}
	if err != nil {
		_, _ = c.ExecContext(ctx, "ROLLBACK", nil) // it fails if SQLite has rolled back by itself
	}
	return err
}

// mark gives the database a new mark and writes everything into its file, so that the log is empty.
func (s *Store) mark(ctx context.Context) error {
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Raw(func(c any) error { return mark(ctx, c.(*preparedConn).sqliteConn) }); err != nil {
		return fmt.Errorf("mark the write-ahead log: %w", err)
	}
	_, err = conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// CheckpointEvery is the longest time for which changes of a SQLite database are only in its log.
const CheckpointEvery = time.Minute

// Checkpoint writes the log of a SQLite database into its file, as far as readers allow, and waits for no reader or
// writer. A copy of the file alone is then a database of this instant, as a rule.
func (s *Store) Checkpoint(ctx context.Context) error {
	if s.engine != SQLite {
		return nil
	}
	var busy, pages, done int
	err := s.reader.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &pages, &done)
	return s.explain(err)
}

// ReleaseMemory frees the memory in which the idle connections of a SQLite database keep pages of its file. After a run
// of a large fleet, that is up to 130 MB, which SQLite keeps as long as the connections live. The pages are read again
// from the file when they are needed, and mostly from the memory of the operating system.
func (s *Store) ReleaseMemory(ctx context.Context) error {
	if s.engine != SQLite {
		return nil
	}
	for _, db := range []*sql.DB{s.writer, s.reader} {
		var held []*sql.Conn // so that the pool returns another one each time
		var err error
		// The number is read each time, because waiting for a connection in use would block those that are held.
		for err == nil && db.Stats().Idle > 0 {
			var conn *sql.Conn
			if conn, err = db.Conn(ctx); err == nil {
				held = append(held, conn)
				_, err = conn.ExecContext(ctx, "PRAGMA shrink_memory")
			}
		}
		for _, conn := range held {
			conn.Close()
		}
		if err != nil {
			return s.explain(err)
		}
	}
	return nil
}

// checkLog returns an error if the write-ahead log beside a database was begun on another file. No process may use the
// database at that time.
func checkLog(ctx context.Context, path string) error {
	marks, err := logMarks(path + "-wal")
	if err != nil {
		return fmt.Errorf("read %s-wal: %w", path, err)
	}
	if len(marks) == 0 {
		return nil
	}
	// This connection reads only the file: with "immutable", SQLite does not look for a log.
	db := sql.OpenDB(&preparing{name: fileName(path) + "?mode=ro&immutable=1"})
	defer db.Close()
	var id int32
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&id); err != nil {
		// After a checkpoint that a full disk or a crash has interrupted, the file is shorter than its header states. The
		// log completes it.
		mark, _, err := headerOf(path)
		if err != nil {
			return err
		}
		id = int32(mark)
	}
	if marks[uint32(id)] {
		return nil
	}
	return fmt.Errorf("%[1]s-wal belongs to another file than %[1]s: the file was replaced, but the log of the old one "+
		"is still there. Applying it would destroy the database. To restore a backup, run perennial restore with it. To "+
		"start with the file as it is, move %[1]s-wal and %[1]s-shm away first", path)
}

// logMarks returns the numbers that the file of a log may have: those of each mark, and their predecessors. It is empty
// if the log has no mark. SQLite may write the log meanwhile.
func logMarks(path string) (map[uint32]bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	for {
		var head, after logHead
		if _, err := f.ReadAt(head[:], 0); err != nil {
			return nil, ignoreEnd(err)
		}
		marks, err := readMarks(head[:], io.NewSectionReader(f, int64(len(head)), math.MaxInt64-int64(len(head))))
		if err != nil {
			return nil, err
		}
		if _, err := f.ReadAt(after[:], 0); err != nil {
			return nil, ignoreEnd(err)
		}
		if head == after {
			return marks, nil
		}
		// SQLite has begun the log again. It writes the head first, so some of these frames may be those of the new log.
	}
}

// readMarks returns the numbers of a log with a head and frames. The format is that of
// https://www.sqlite.org/fileformat2.html#walformat.
func readMarks(head []byte, frames io.Reader) (map[uint32]bool, error) {
	in := bufio.NewReaderSize(frames, 1<<20)
	magic, size := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[8:])
	if magic&^1 != 0x377f0682 || size < 512 || size > 65536 {
		return nil, nil // SQLite ignores it
	}
	sum := checksum{}
	if magic&1 == 1 {
		sum.order = binary.BigEndian
	} else {
		sum.order = binary.LittleEndian
	}
	sum.add(head[:24])
	if !sum.is(head[24:]) {
		return nil, nil
	}
	marks, pending, count := map[uint32]bool{}, []uint32(nil), 0 // count is that of the transaction's frames
	frame := make([]byte, frameHeadSize+int(size))
	for {
		if _, err := io.ReadFull(in, frame); err != nil {
			return marks, ignoreEnd(err)
		}
		sum.add(frame[:8])
		sum.add(frame[frameHeadSize:])
		if string(frame[8:16]) != string(head[16:24]) || !sum.is(frame[16:]) {
			return marks, nil // the rest is from before, or was being written
		}
		count++
		first, commit := binary.BigEndian.Uint32(frame) == 1, binary.BigEndian.Uint32(frame[4:]) != 0
		if first {
			pending = append(pending, binary.BigEndian.Uint32(frame[frameHeadSize+userVersionAt:]))
		}
		if !commit {
			continue
		}
		if first && count == 1 { // a mark is a transaction of one page; in others, the predecessor is an older one
			pending = append(pending, binary.BigEndian.Uint32(frame[frameHeadSize+applicationIDAt:]))
		}
		for _, id := range pending {
			marks[id] = true
		}
		pending, count = nil, 0
	}
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// A checksum is the running checksum of a write-ahead log.
type checksum struct {
	order  binary.ByteOrder
	s0, s1 uint32
}

func (c *checksum) add(data []byte) {
	for ; len(data) >= 8; data = data[8:] {
		c.s0 += c.order.Uint32(data) + c.s1
		c.s1 += c.order.Uint32(data[4:]) + c.s0
	}
}

func (c *checksum) is(stored []byte) bool {
	return c.s0 == binary.BigEndian.Uint32(stored) && c.s1 == binary.BigEndian.Uint32(stored[4:])
}
