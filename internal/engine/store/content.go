package store

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
)

// A contentWatch detects that another program has emptied or overwritten the file of a database in place, as "cp" does.
// SQLite does not notice this, and would write its log into the other content. The mark in the header of the file shows
// whether SQLite wrote it, see wal.go. A copy with the mark of the present log, or beside a log without marks, is not
// detected.
type contentWatch struct {
	file *os.File // must be closed after SQLite has closed it: that would release the locks of SQLite (POSIX)
	log  string   // path of the log

	mu   sync.Mutex // guards mark
	mark uint32     // of the file when it was checked last
}

// headerSize is the size of the header of a database
// (https://www.sqlite.org/fileformat2.html#the_database_header).
const headerSize = 100

// watchContent begins to watch a file that SQLite has open.
func watchContent(path string) (*contentWatch, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	c := &contentWatch{file: file, log: path + "-wal"}
	if _, err := c.damage(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return c, nil
}

// damage reports how another program has changed the file, as a participle; empty if it has not.
func (c *contentWatch) damage() (how string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mark, how, err := readHeader(c.file)
	for err == nil && how == "" && mark != c.mark {
		marks, unread := logMarks(c.log)
		if unread != nil {
			return "", unread
		}
		// SQLite begins the log again only after the file has its mark. So if the file has the same mark as before the log
		// was read, the log has that mark, too, or that of its predecessor.
		before := mark
		switch mark, how, err = readHeader(c.file); {
		case err != nil || how != "" || mark != before:
		case len(marks) > 0 && !marks[mark]:
			return "overwritten", nil
		default:
			c.mark = mark
		}
	}
	return how, err
}

// headerOf is readHeader of a file that this process has not opened otherwise.
func headerOf(path string) (mark uint32, how string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	return readHeader(file)
}

// readHeader reads the mark of a database, or reports how another program has changed its file.
func readHeader(file io.ReaderAt) (mark uint32, how string, err error) {
	header := make([]byte, headerSize)
	switch _, err := file.ReadAt(header, 0); {
	case errors.Is(err, io.EOF):
		return 0, "emptied", nil
	case err != nil:
		return 0, "", err
	case string(header[:len(sqliteMagic)]) != sqliteMagic:
		return 0, "overwritten", nil
	}
	return binary.BigEndian.Uint32(header[userVersionAt:]), "", nil
}
