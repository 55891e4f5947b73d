package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"sync"
)

// A contentWatch detects that another program has emptied or overwritten the file of a database or its log in place, as
// "cp" does. SQLite does not notice this. It would write its log into the other content of the file, or take the zeros
// in a log that it continues for pages.
//
// The mark in the header of the file shows whether SQLite wrote it, see wal.go. A copy with the mark of the present
// log, or beside a log without marks, is not detected. The index of the log names the log's salts and the number of its
// frames. A change of single bytes is not detected.
type contentWatch struct {
	file, index *os.File // must be closed after SQLite has closed them: that would release the locks of SQLite (POSIX)
	log         *os.File

	mu   sync.Mutex // guards what follows
	mark uint32     // of the file when it was checked last
	// What logDamage has read, kept to save allocations in each transaction.
	copies, after [2 * indexHeaderSize]byte
	head          logHead
}

// headerSize is the size of the header of a database
// (https://www.sqlite.org/fileformat2.html#the_database_header).
const headerSize = 100

// watchContent begins to watch the files of a database that SQLite has open.
func watchContent(path string) (c *contentWatch, err error) {
	c = new(contentWatch)
	for end, file := range map[string]**os.File{"": &c.file, "-wal": &c.log, "-shm": &c.index} {
		if *file, err = os.Open(path + end); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	if _, err := c.fileDamage(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *contentWatch) close() error {
	var err error
	for _, file := range []*os.File{c.file, c.log, c.index} {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
	}
	return err
}

// fileDamage reports how another program has changed the file, as a participle; empty if it has not.
func (c *contentWatch) fileDamage() (how string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mark, how, err := readHeader(c.file)
	for err == nil && how == "" && mark != c.mark {
		marks, unread := logMarks(c.log.Name())
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

// An index begins with two copies of its header (https://www.sqlite.org/walformat.html#the_wal_index_header). SQLite
// writes the second one first. Integers are in the byte order of the machine. The salts are those of the log's head,
// byte for byte.
const (
	indexHeaderSize = 48
	indexReadyAt    = 12
	indexPageSizeAt = 14
	indexFramesAt   = 16
	indexSaltsAt    = 32
	logSaltsAt      = 16 // in a log's head
	saltsSize       = 8
	frameHeadSize   = 24
)

// logDamage reports how another program has changed the log so that it lacks frames that its index counts, as a
// participle; empty if it has not.
//
// SQLite writes a head and frames before it counts them in the index. It resets the index, with other salts, before it
// writes or truncates the log from its beginning. So while the index counts frames and does not change, they are there.
func (c *contentWatch) logDamage() (how string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if _, err := c.index.ReadAt(c.copies[:], 0); err != nil {
			return "", ignoreEnd(err) // an index that was emptied says nothing about the log
		}
		first, second := c.copies[:indexHeaderSize], c.copies[indexHeaderSize:]
		if !bytes.Equal(first, second) || first[indexReadyAt] == 0 {
			return "", nil // SQLite is writing it
		}
		if how, err = c.missing(first); err != nil {
			return "", err
		}
		if _, err := c.index.ReadAt(c.after[:], 0); err != nil {
			return "", ignoreEnd(err)
		}
		if c.after == c.copies {
			return how, nil
		}
	}
}

// missing reports why the log lacks frames that a header of its index counts; empty if it does not.
func (c *contentWatch) missing(header []byte) (why string, err error) {
	frames := int64(binary.NativeEndian.Uint32(header[indexFramesAt:]))
	if frames == 0 {
		return "", nil
	}
	switch _, err := c.log.ReadAt(c.head[:], 0); {
	case errors.Is(err, io.EOF):
		return "emptied", nil
	case err != nil:
		return "", err
	case !bytes.Equal(c.head[logSaltsAt:][:saltsSize], header[indexSaltsAt:][:saltsSize]):
		return "overwritten", nil
	}
	// Pages of 65,536 bytes have the size 1 here, which only makes the check weaker.
	size := frameHeadSize + int64(binary.NativeEndian.Uint16(header[indexPageSizeAt:]))
	_, err = c.log.ReadAt(c.after[:1], int64(len(c.head))+frames*size-1)
	if errors.Is(err, io.EOF) {
		return "truncated", nil
	}
	return "", err
}
