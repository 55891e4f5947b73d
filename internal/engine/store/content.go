package store

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// A content notices when another program empties or overwrites the file of a database in place, as "cp" does. SQLite
// does not notice this, and would write its log into the other content. What SQLite itself writes is told apart by the
// fields of the header (https://www.sqlite.org/fileformat2.html#the_database_header): the mark is that of the log, see
// wal.go, and a file that became shorter has as many pages as it states.
type content struct {
	file *os.File // must be closed after SQLite has closed it: that would release the locks of SQLite (POSIX)
	mark uint32   // of the file when it was checked last
	size int64    // the largest so far
}

// headerSize is the size of the header of a database.
const headerSize = 100

// openContent begins to watch a file that SQLite has open.
func openContent(path string) (*content, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	c := &content{file: file}
	_, err = c.foreign(path + "-wal")
	return c, err
}

// foreign reports how the file was changed by another program; empty if it was not.
func (c *content) foreign(log string) (how string, err error) {
	for range 2 { // SQLite may begin the log again while it is read
		if how, err = c.look(log); how == "" {
			break
		}
	}
	return how, err
}

func (c *content) look(log string) (how string, err error) {
	info, err := c.file.Stat()
	if err != nil {
		return "", err
	}
	header := make([]byte, headerSize)
	if _, err := c.file.ReadAt(header, 0); errors.Is(err, io.EOF) {
		return "emptied", nil
	} else if err != nil {
		return "", err
	}
	mark := binary.BigEndian.Uint32(header[userVersionAt:])
	if string(header[:len(sqliteMagic)]) != sqliteMagic {
		return "overwritten", nil
	}
	if mark != c.mark {
		marks, err := logMarks(log)
		if err != nil {
			return "", err
		}
		if len(marks) > 0 && !marks[mark] {
			return "overwritten", nil
		}
	}
	pageSize, pages := int64(binary.BigEndian.Uint16(header[16:])), int64(binary.BigEndian.Uint32(header[28:]))
	if pageSize == 1 {
		pageSize = 1 << 16
	}
	if info.Size() < c.size && info.Size() < pages*pageSize {
		return "shortened", nil
	}
	c.mark, c.size = mark, max(c.size, info.Size())
	return "", nil
}
