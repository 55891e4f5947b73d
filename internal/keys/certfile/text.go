package certfile

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"strings"
	"unicode/utf16"

	"github.com/perennial-pki/perennial/tenancy"
)

const (
	beginLine = "-----BEGIN "
	endLine   = "-----END "
	dashes    = "-----"
)

// plain returns text as UTF-8 without a byte order mark, with line breaks for literal \n, and base64 without PEM lines
// as the bytes that it stands for. Binary data stays as it is, without white space behind it.
func plain(data []byte) []byte {
	begin := bytes.Index(data, []byte("B\x00E\x00G\x00I\x00N\x00")) // at an even place if the order is little-endian
	switch {
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}), begin%2 == 1:
		data = fromUTF16(data, binary.BigEndian)
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), begin >= 0:
		data = fromUTF16(data, binary.LittleEndian)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case bytes.Contains(data, []byte(beginLine)):
		return []byte(strings.NewReplacer(`\r\n`, "\n", `\n`, "\n").Replace(string(data)))
	case len(data) > 0 && data[0] == sequenceTag:
		return first(data)
	}
	if der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), "")); err == nil &&
		len(der) > 0 && der[0] == sequenceTag {
		return der
	}
	return data
}

func fromUTF16(data []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

// blocks returns the PEM blocks of a text. Unlike [pem.Decode], it takes indented blocks and blocks in one line. Blocks
// that cannot be read are errors, which name the block by its position.
func blocks(text string) (found []pem.Block, damaged []error) {
	for n := 1; ; n++ {
		_, rest, ok := strings.Cut(text, beginLine)
		if !ok {
			return found, damaged
		}
		kind, rest, ok := strings.Cut(rest, dashes)
		if !ok || strings.Contains(kind, "\n") {
			return found, append(damaged, tenancy.Failure("block %d: the BEGIN line is incomplete", n))
		}
		body, after, ended := strings.Cut(rest, endLine)
		if next := strings.Index(rest, beginLine); !ended || (next >= 0 && next < len(body)) {
			damaged = append(damaged, tenancy.Failure("block %d (%s): there is no END line (is the file cut off?)", n, kind))
			text = rest
			continue
		}
		block, err := decode(kind, body)
		if err != nil {
			damaged = append(damaged, tenancy.Failure("block %d (%s): %v", n, kind, err))
		} else {
			found = append(found, block)
		}
		text = after
	}
}

// decode decodes what stands between the BEGIN and the END line.
func decode(kind, body string) (pem.Block, error) {
	b := pem.Block{Type: kind, Headers: map[string]string{}}
	var digits strings.Builder
	for line := range strings.Lines(body) {
		if name, value, ok := strings.Cut(line, ": "); ok {
			b.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
			continue
		}
		for field := range strings.FieldsSeq(line) {
			digits.WriteString(field)
		}
	}
	der, err := base64.StdEncoding.DecodeString(digits.String())
	if err != nil { // the error of package base64 could show a byte of a key
		return b, tenancy.Failure("its content is not base64")
	}
	b.Bytes = der
	return b, nil
}
