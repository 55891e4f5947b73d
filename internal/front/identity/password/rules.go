package password

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// Errors of [Rules.Check], besides [ErrShort] and [ErrLong].
var (
	// ErrGuessable means that the password mainly consists of common passwords, names or patterns.
	ErrGuessable = errors.New("password: easy to guess")
	// ErrBreached means that the password is in the list of breached passwords.
	ErrBreached = errors.New("password: in a list of breached passwords")
)

// Rules decide which new passwords are accepted (OWASP ASVS 5.0.0, 6.2.4, 6.2.11 and 6.2.12). The zero value has no
// list of breached passwords.
type Rules struct {
	// Names are those of the installation, such as its organization and host name.
	Names []string
	// Breached is the path of a file of SHA-1 hashes in hexadecimal, one per line, sorted, each optionally followed by a
	// colon and a count. That is the format of Have I Been Pwned's downloader. It is opened for each lookup, so it can be
	// replaced.
	Breached string
}

// Check returns an error if a new password is too short or too long, easy to guess for a user with the given names and
// addresses, or breached. An error that is none of the documented ones is of the file of breached passwords.
func (r Rules) Check(password string, user ...string) error {
	if err := checkLength(password); err != nil {
		return err
	}
	if bits(password, slices.Concat(user, r.Names)) < leastBits {
		return ErrGuessable
	}
	if r.Breached == "" {
		return nil
	}
	breached, err := r.breached(password)
	switch {
	case err != nil:
		return fmt.Errorf("the list of breached passwords: %w", err)
	case breached:
		return ErrBreached
	}
	return nil
}

// CheckFile returns an error if the file of breached passwords cannot be read or has another format.
func (r Rules) CheckFile() error {
	if r.Breached == "" {
		return nil
	}
	f, err := os.Open(r.Breached)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return errors.New("the file is empty")
	}
	before := ""
	for i := range int64(sampled) {
		start, hash, _, err := lineAt(f, 0, i*(info.Size()-1)/sampled)
		if err != nil {
			return err
		}
		if hash < before {
			return fmt.Errorf("the hash at byte %d is less than one before it: sort the file by hash", start)
		}
		before = hash
	}
	return nil
}

// sampled is the number of lines that are compared to notice a file that is not sorted.
const sampled = 1000

func checkLength(password string) error {
	switch {
	case utf8.RuneCountInString(password) < shortest:
		return ErrShort
	case len(password) > longest:
		return ErrLong
	}
	return nil
}

// longestLine limits a line of the file: 40 digits, a colon, and a count.
const longestLine = 80

// breached reports whether the hash of a password is in the file, by binary search.
func (r Rules) breached(password string) (bool, error) {
	f, err := os.Open(r.Breached)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	sum := sha1.Sum([]byte(password))
	want := strings.ToUpper(hex.EncodeToString(sum[:]))
	low, high := int64(0), info.Size() // the line begins in [low, high)
	for low < high {
		middle := low + (high-low)/2
		start, hash, next, err := lineAt(f, low, middle)
		switch {
		case err != nil:
			return false, err
		case hash == want:
			return true, nil
		case hash < want:
			low = next
		default:
			high = start
		}
	}
	return false, nil
}

// lineAt returns the line that contains an offset: its start, its hash in upper case, and the start of the next line.
// The line begins at from or later.
func lineAt(f io.ReaderAt, from, offset int64) (start int64, hash string, next int64, err error) {
	first := max(from, offset-longestLine)
	text := make([]byte, 2*longestLine)
	n, err := f.ReadAt(text, first)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, "", 0, err
	}
	text = text[:n]
	begin := bytes.LastIndexByte(text[:min(offset-first, int64(n))], '\n') + 1
	line, _, ended := bytes.Cut(text[begin:], []byte("\n"))
	start, next = first+int64(begin), first+int64(begin+len(line)+1)
	hash, _, _ = strings.Cut(strings.TrimSpace(string(line)), ":")
	if raw, err := hex.DecodeString(hash); err != nil || len(raw) != sha1.Size || !ended && len(line) > longestLine {
		return 0, "", 0, fmt.Errorf("the line at byte %d does not begin with a SHA-1 hash", start)
	}
	return start, strings.ToUpper(hash), next, nil
}
