package store

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A walPage is a page in a write-ahead log. Page 1 has the fields of a mark.
type walPage struct {
	number      uint32
	commits     bool
	version, id uint32
}

// A walLog builds a log as https://www.sqlite.org/fileformat2.html#walformat describes it.
type walLog struct {
	order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
	size   int // of a page
	s0, s1 uint32
	data   []byte
}

func (l *walLog) sum(data []byte) {
	for i := 0; i < len(data); i += 8 {
		l.s0 += l.order.Uint32(data[i:]) + l.s1
		l.s1 += l.order.Uint32(data[i+4:]) + l.s0
	}
}

func (l *walLog) build(magic uint32, pages ...walPage) []byte {
	big, salts := binary.BigEndian, []byte("saltsalt")
	head := big.AppendUint32(nil, magic)
	head = big.AppendUint32(head, 3007000)
	head = big.AppendUint32(head, uint32(l.size))
	head = append(big.AppendUint32(head, 7), salts...)
	l.s0, l.s1 = 0, 0
	l.sum(head)
	l.data = big.AppendUint32(big.AppendUint32(head, l.s0), l.s1)
	for _, p := range pages {
		frame := big.AppendUint32(nil, p.number)
		commit := uint32(0)
		if p.commits {
			commit = 9
		}
		frame = big.AppendUint32(frame, commit)
		content := make([]byte, l.size)
		big.PutUint32(content[60:], p.version)
		big.PutUint32(content[68:], p.id)
		l.sum(frame)
		l.sum(content)
		frame = append(frame, salts...)
		frame = big.AppendUint32(big.AppendUint32(frame, l.s0), l.s1)
		l.data = append(append(l.data, frame...), content...)
	}
	return l.data
}

func TestTheMarksOfALogAreReadUpToWhereItEnds(t *testing.T) {
	const little, bigger = 0x377f0682, 0x377f0683
	mark := walPage{1, true, 2, 1}
	other := walPage{1, true, 3, 2}
	change := func(at int) func([]byte) []byte {
		return func(data []byte) []byte { data[at]++; return data }
	}
	cut := func(n int) func([]byte) []byte { return func(data []byte) []byte { return data[:n] } }
	whole := func(data []byte) []byte { return data }
	const frame = 24 + 512
	for name, c := range map[string]struct {
		size  int
		magic uint32
		pages []walPage
		after func([]byte) []byte
		want  []uint32
	}{
		"a mark":                     {512, little, []walPage{mark}, whole, []uint32{1, 2}},
		"a mark, big-endian":         {512, bigger, []walPage{mark}, whole, []uint32{1, 2}},
		"the largest pages":          {65536, little, []walPage{mark}, whole, []uint32{1, 2}},
		"two marks":                  {512, little, []walPage{mark, other}, whole, []uint32{1, 2, 3}},
		"another transaction before": {512, little, []walPage{{2, true, 8, 9}, mark}, whole, []uint32{1, 2}},
		"a transaction of two pages": {512, little, []walPage{{1, false, 5, 4}, {2, true, 8, 9}}, whole, []uint32{5}},
		"page 1 as the second":       {512, little, []walPage{{2, false, 8, 9}, {1, true, 5, 4}}, whole, []uint32{5}},
		"a mark after two pages": {512, little, []walPage{{3, false, 8, 9}, {2, true, 8, 9}, mark}, whole,
			[]uint32{1, 2}},
		"a transaction that was cut off": {512, little, []walPage{mark, {1, false, 6, 7}}, whole, []uint32{1, 2}},
		"no page 1":                      {512, little, []walPage{{2, true, 8, 9}}, whole, nil},
		"no page":                        {512, little, nil, whole, nil},
		"a frame that was cut off":       {512, little, []walPage{mark, other}, cut(32 + 2*frame - 1), []uint32{1, 2}},
		"a frame of an earlier log":      {512, little, []walPage{mark, other}, change(32 + frame + 8), []uint32{1, 2}},
		"a frame that was changed":       {512, little, []walPage{mark, other}, change(32 + frame + 100), []uint32{1, 2}},
		"a frame whose first sum differs": {512, little, []walPage{mark, other}, change(32 + frame + 16),
			[]uint32{1, 2}},
		"a frame whose second sum differs": {512, little, []walPage{mark, other}, change(32 + frame + 20),
			[]uint32{1, 2}},
		"a head that was changed":       {512, little, []walPage{mark}, change(12), nil},
		"a head whose sum differs":      {512, little, []walPage{mark}, change(31), nil},
		"a head that was cut off":       {512, little, []walPage{mark}, cut(31), nil},
		"an empty file":                 {512, little, []walPage{mark}, cut(0), nil},
		"another format":                {512, little + 2, []walPage{mark}, whole, nil},
		"pages that are too small":      {504, little, []walPage{mark}, whole, nil},
		"pages that are one too large":  {65536 + 8, little, []walPage{mark}, whole, nil},
		"sums in the other byte order":  {512, little, []walPage{mark}, change(3), nil},
		"nothing after a changed frame": {512, little, []walPage{mark, other}, change(32 + 100), nil},
	} {
		l := walLog{order: binary.LittleEndian, size: c.size}
		if c.magic == bigger {
			l.order = binary.BigEndian
		}
		path := filepath.Join(t.TempDir(), "p.db-wal")
		must(t, os.WriteFile(path, c.after(l.build(c.magic, c.pages...)), 0o600))
		marks, err := logMarks(path)
		if got := slices.Sorted(maps.Keys(marks)); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
	dir := t.TempDir()
	if marks, err := logMarks(filepath.Join(dir, "none")); err != nil || marks != nil {
		t.Errorf("no log: %v, %v", marks, err)
	}
	if marks, err := logMarks(dir); err == nil || marks != nil {
		t.Errorf("a folder: %v, %v", marks, err)
	}
	path := filepath.Join(dir, "p.db")
	must(t, os.Mkdir(path+"-wal", 0o700))
	for name, open := range map[string]func(context.Context, string) (*Store, error){"Open": Open,
		"OpenExclusive": OpenExclusive} {
		if s, err := open(t.Context(), "sqlite:"+path); err == nil || s != nil {
			t.Errorf("%s opens a database whose log cannot be read", name)
		}
	}
}

// A refusingConn fails one of its statements that are not prepared, or the first row of one.
type refusingConn struct {
	sqliteConn
	left int // statements before the one that fails
}

func (c *refusingConn) refuse() error {
	c.left--
	if c.left == -1 {
		return errFault
	}
	return nil
}

func (c *refusingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.refuse(); err != nil {
		return nil, err
	}
	return c.sqliteConn.ExecContext(ctx, query, args)
}

func (c *refusingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.refuse(); err != nil {
		return nil, err
	}
	rows, err := c.sqliteConn.QueryContext(ctx, query, args)
	if err == nil && c.refuse() != nil {
		return refusingRows{rows}, nil
	}
	return rows, err
}

type refusingRows struct{ driver.Rows }

func (refusingRows) Next([]driver.Value) error { return errFault }

// A log whose mark could not be written is marked at the next look, and no transaction stays open.
func TestAMarkThatCannotBeWrittenIsAnErrorAndIsTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.db")
	s, err := OpenExclusive(t.Context(), "sqlite:"+path)
	must(t, err)
	defer s.Close()
	setting(t, s, "value")
	conn, err := s.writer.Conn(t.Context())
	must(t, err)
	defer conn.Close()
	version := func() (n int) {
		must(t, conn.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&n))
		return n
	}
	before := version()
	for left := range 5 { // begin, read, the row, write, commit
		refusing := &refusingConn{left: left}
		must(t, conn.Raw(func(c any) error {
			refusing.sqliteConn = c.(*preparedConn).sqliteConn
			if err := mark(t.Context(), refusing); !errors.Is(err, errFault) {
				t.Errorf("step %d fails: %v", left+1, err)
			}
			watch := &walWatch{path: path + "-wal"}
			defer watch.close()
			refusing.left = left
			if watch.look(t.Context(), refusing); watch.seen != (logHead{}) {
				t.Errorf("step %d fails, and the log counts as marked", left+1)
			}
			return nil
		}))
		if _, err := conn.ExecContext(t.Context(), "BEGIN"); err != nil {
			t.Fatalf("step %d fails, and its transaction stays open: %v", left+1, err)
		}
		_, err := conn.ExecContext(t.Context(), "ROLLBACK")
		must(t, err)
	}
	if after := version(); after != before {
		t.Errorf("the mark %d was written over %d", after, before)
	}
	must(t, conn.Raw(func(c any) error {
		watch := &walWatch{path: path + "-wal"}
		defer watch.close()
		watch.look(t.Context(), c.(*preparedConn).sqliteConn)
		if watch.seen == (logHead{}) {
			t.Error("the log does not count as marked")
		}
		return nil
	}))
	var id int
	must(t, conn.QueryRowContext(t.Context(), "PRAGMA application_id").Scan(&id))
	if after := version(); after == before || after <= 0 || id != before {
		t.Errorf("the mark is %d after %d, and names %d as its predecessor", after, before, id)
	}
}

func TestAClosedStoreReadsNoLog(t *testing.T) {
	s, err := Open(t.Context(), migrated.SQLite(t))
	must(t, err)
	setting(t, s, "value")
	conn, err := s.writer.Conn(t.Context())
	must(t, err)
	var log *walWatch
	must(t, conn.Raw(func(c any) error { log = c.(*preparedConn).log; return nil }))
	must(t, conn.Close())
	must(t, s.Close())
	if log.file == nil {
		t.Fatal("the log was never read")
	}
	if _, err := log.file.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the log is still open: %v", err)
	}
}
