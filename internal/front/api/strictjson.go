package api

import (
	"bytes"
	"errors"
	"maps"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// errNotUnicode is returned for a body whose text would be changed by reading it.
var errNotUnicode = errors.New("the body is not valid UTF-8, or has an escape that is half of a character: send JSON " +
	"as UTF-8 (RFC 8259, section 8.1)")

// strictFormats are the formats of huma that refuse what is not Unicode. Otherwise, encoding/json reads it as U+FFFD,
// so a name would be stored that no one has sent.
func strictFormats() map[string]huma.Format {
	formats := maps.Clone(huma.DefaultFormats)
	for name, format := range formats {
		unmarshal := format.Unmarshal
		format.Unmarshal = func(data []byte, v any) error {
			if !utf8.Valid(data) || halfEscaped(data) {
				return errNotUnicode
			}
			return unmarshal(data, v)
		}
		formats[name] = format
	}
	return formats
}

// halfEscaped reports whether a JSON text escapes half of a surrogate pair.
func halfEscaped(data []byte) bool {
	for {
		i := bytes.IndexByte(data, '\\')
		if i < 0 || i+1 >= len(data) {
			return false
		}
		data = data[i:]
		unit, escaped := escapedUnit(data)
		if !escaped {
			data = data[2:]
			continue
		}
		data = data[6:]
		if !utf16.IsSurrogate(unit) {
			continue
		}
		low, _ := escapedUnit(data)
		if utf16.DecodeRune(unit, low) == utf8.RuneError {
			return true
		}
		data = data[6:]
	}
}

// escapedUnit returns the UTF-16 code unit that a text begins with, as in "\u00e9".
func escapedUnit(data []byte) (unit rune, ok bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	return rune(n), err == nil
}
