package markup

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// lineLength is the length at which lines of plain text are wrapped (RFC 5322, section 2.1.1, recommends at most 78
// characters).
const lineLength = 76

// Text returns the document as plain text.
func (d Document) Text() string {
	var out strings.Builder
	widest := 0
	for _, b := range d.Blocks {
		widest = max(widest, utf8.RuneCountInString(b.Name))
	}
	step := 0
	for i, b := range d.Blocks {
		before := Block{Kind: Heading}
		if i > 0 {
			before = d.Blocks[i-1]
			if !together(before, b) {
				out.WriteByte('\n')
			}
		}
		if b.Small && !before.Small && i > 0 {
			out.WriteString("-- \n") // the separator of a signature (RFC 3676, section 4.3)
		}
		if b.Kind != Step {
			step = 0
		}
		line := b.text()
		switch b.Kind {
		case Item:
			wrap(&out, "- ", "  ", line)
		case Step:
			step++
			wrap(&out, fmt.Sprintf("%d. ", step), "   ", line)
		case Row:
			wrap(&out, fmt.Sprintf("%-*s ", widest+1, b.Name+":"), strings.Repeat(" ", widest+2), line)
		case Code:
			out.WriteString("    " + line + "\n")
		case Heading:
			wrap(&out, "", "", strings.ToUpper(line))
		case Link, Button:
			out.WriteString(line + "\n")
		case Paragraph, Lead, Alarm, Name:
			wrap(&out, "", "", line)
		}
	}
	return out.String()
}

// together reports whether a block follows the one before it without an empty line.
func together(before, b Block) bool {
	if before.Small != b.Small {
		return false
	}
	switch b.Kind {
	case Item, Step, Row, Code:
		return before.Kind == b.Kind || before.Kind == Heading || before.Kind == Name
	case Link:
		return before.Kind == Item || before.Kind == Name || before.Kind == Link
	case Paragraph:
		return before.Kind == Heading
	case Lead, Alarm, Heading, Name, Button:
	}
	return false
}

// text returns the block in one line. A link is followed by its address, unless its text is the address or a telephone
// number.
func (b Block) text() string {
	var out strings.Builder
	for _, s := range b.Spans {
		out.WriteString(s.Text)
		address := strings.TrimPrefix(s.Address, "mailto:")
		switch {
		case address == "" || address == s.Text || strings.HasPrefix(address, "tel:"):
		case b.Kind == Link || b.Kind == Button:
			out.WriteString(":\n" + address)
		default:
			out.WriteString(" (" + address + ")")
		}
	}
	return out.String()
}

// wrap writes a line in several lines, with an indentation. A word is never broken.
func wrap(out *strings.Builder, first, indent, line string) {
	out.WriteString(first)
	length := utf8.RuneCountInString(first)
	begins := true
	for _, word := range strings.Fields(line) {
		n := utf8.RuneCountInString(word)
		switch {
		case begins:
		case length+1+n > lineLength:
			out.WriteString("\n" + indent)
			length = utf8.RuneCountInString(indent)
		default:
			out.WriteByte(' ')
			length++
		}
		out.WriteString(word)
		length += n
		begins = false
	}
	out.WriteByte('\n')
}
