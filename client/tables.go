package client

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

// Table returns the content of a CSV file as the UTF-8 text that [ImportFiles] holds. The encoding is a name of the
// WHATWG Encoding Standard such as "windows-1252"; empty stands for UTF-8. A file with a byte order mark of UTF-8 or
// UTF-16 is read as that. The error names the byte of a file that is not in its encoding, because a wrong guess would
// change names.
func Table(file []byte, encoding string) (string, error) {
	switch {
	case bytes.HasPrefix(file, []byte{0xfe, 0xff}), bytes.HasPrefix(file, []byte{0xff, 0xfe}):
		text, err := unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder().Bytes(file)
		if err == nil && bytes.ContainsRune(text, utf8.RuneError) {
			err = errors.New("the file is not in UTF-16, as its first bytes state: is it cut off?")
		}
		return string(text), err
	case encoding == "", bytes.HasPrefix(file, []byte("\ufeff")):
		if at := invalid(file); at >= 0 {
			return "", fmt.Errorf("line %d is not in UTF-8: save the file as UTF-8, or state its encoding, such as windows-1252",
				bytes.Count(file[:at], []byte("\n"))+1)
		}
		return string(file), nil
	}
	e, err := htmlindex.Get(encoding)
	if err != nil {
		return "", fmt.Errorf("unknown encoding %q: use utf-8, windows-1252, iso-8859-15 or another name of the WHATWG "+
			"Encoding Standard", encoding)
	}
	text, err := e.NewDecoder().Bytes(file)
	if err != nil {
		return "", fmt.Errorf("read the file as %s: %w", encoding, err)
	}
	if bytes.ContainsRune(text, utf8.RuneError) {
		return "", fmt.Errorf("the file is not in %s", encoding)
	}
	return string(text), nil
}

// invalid returns the position of the first byte that is not UTF-8; -1 if there is none.
func invalid(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}
