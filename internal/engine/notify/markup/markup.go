// Package markup renders the texts of mails. A template in a light markup yields a document, from which both the plain
// text and the HTML of a mail are written, so that they always state the same.
//
// It promises that a value in a template is never read as markup, and that a link leads to http, https, mailto or tel
// only.
// The HTML needs no script, no image and no style sheet of another site, and reads in Outlook (tables, inline styles),
// on a phone, and in the dark. The forms of a line are listed at [Kind]. Inside a line, **text** is bold, `text` is
// code, and [text](address) is a link.
package markup

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"text/template"
	"text/template/parse"
)

// A Template yields documents.
type Template struct {
	t *template.Template
}

// Parse reads a template and the parts that it shares with others from a file system. Templates can call funcs.
func Parse(files fs.FS, name string, parts []string, funcs map[string]any) (*Template, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	t := template.New(name).Funcs(funcs).Funcs(template.FuncMap{escaper: escape}).Option("missingkey=error")
	for _, part := range parts {
		shared, err := fs.ReadFile(files, part)
		if err != nil {
			return nil, err
		}
		if _, err := t.New(part).Parse(string(shared)); err != nil {
			return nil, err
		}
	}
	if _, err := t.Parse(string(text)); err != nil {
		return nil, err
	}
	for _, one := range t.Templates() {
		if one.Tree != nil {
			escapeIn(one.Root)
		}
	}
	return &Template{t}, nil
}

// Execute returns the document for data.
func (t *Template) Execute(data any) (Document, error) {
	var out bytes.Buffer
	if err := t.t.Execute(&out, data); err != nil {
		return Document{}, err
	}
	return read(out.String()), nil
}

// escaper is the function that every action of a template ends with, as in html/template.
const escaper = "_escape"

// escapeIn makes the actions below a node write values, not markup.
func escapeIn(n parse.Node) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, child := range n.Nodes {
			escapeIn(child)
		}
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 {
			n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand,
				Args: []parse.Node{parse.NewIdentifier(escaper).SetTree(nil).SetPos(n.Pos)}})
		}
	case *parse.IfNode:
		escapeIn(n.List)
		escapeIn(n.ElseList)
	case *parse.RangeNode:
		escapeIn(n.List)
		escapeIn(n.ElseList)
	case *parse.WithNode:
		escapeIn(n.List)
		escapeIn(n.ElseList)
	}
}

// syntax are the characters that can be markup. In a value, each is replaced by a character of the private use area
// that stands for it.
const (
	syntax  = "*[]()`#-|=$>!.&<\\_~+"
	private = '\uE000'
)

// escape returns a value in one line and without markup.
func escape(value any) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if i := strings.IndexRune(syntax, r); i >= 0 {
			return private + rune(i)
		}
		if r >= private && r < private+rune(len(syntax)) || r == 0 {
			return '\uFFFD'
		}
		return r
	}, fmt.Sprint(value))), " ")
}

// unescape reverses [escape].
func unescape(s string) string {
	return strings.Map(func(r rune) rune {
		if i := int(r - private); i >= 0 && i < len(syntax) {
			return rune(syntax[i])
		}
		return r
	}, s)
}

// A Kind is the form of a line.
type Kind int

// The kinds of blocks, with the beginning of their first line. A line without one of these beginnings continues the
// block before it, and an empty line ends a block. A line "---" separates the details, which are small, from the rest.
const (
	Paragraph Kind = iota
	Lead           // "# ": the most important sentence
	Alarm          // "#! ": the same, if it is urgent
	Heading        // "## "
	Name           // "### ": who the following lines are about
	Item           // "- "
	Step           // "1. "
	Row            // "| name | value"
	Link           // "=> [text](address)"
	Button         // "==> [text](address)"
	Code           // "$ ": a command
)

// beginnings are those of the lines of each kind. A longer one is before its prefix.
var beginnings = []struct {
	begins string
	kind   Kind
}{
	{"### ", Name}, {"## ", Heading}, {"#! ", Alarm}, {"# ", Lead}, {"- ", Item}, {"| ", Row}, {"==> ", Button},
	{"=> ", Link}, {"$ ", Code},
}

// A Block is a paragraph, an item of a list, or the like.
type Block struct {
	Kind  Kind
	Spans []Span
	Name  string // of a row
	// Small is set below the line that separates the details.
	Small bool
}

// A Span is a part of a line. At most one of its properties is set.
type Span struct {
	Text       string
	Bold, Code bool
	Address    string // of a link
}

// A Document is the content of one mail.
type Document struct {
	Blocks []Block
}

// Lead returns the most important sentence; empty if there is none.
func (d Document) Lead() string {
	for _, b := range d.Blocks {
		if b.Kind == Lead || b.Kind == Alarm {
			return b.plain()
		}
	}
	return ""
}

func (b Block) plain() string {
	var text strings.Builder
	for _, s := range b.Spans {
		text.WriteString(s.Text)
	}
	return text.String()
}

// read reads the markup.
func read(text string) (d Document) {
	small, ended := false, true
	var raw []string // the text of each block
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			ended = true
			continue
		case line == "---":
			small, ended = true, true
			continue
		}
		kind, rest, begins := kindOf(line)
		if !begins && !ended {
			raw[len(raw)-1] += " " + line
			continue
		}
		d.Blocks = append(d.Blocks, Block{Kind: kind, Small: small})
		raw = append(raw, rest)
		ended = kind == Row || kind == Link || kind == Button || kind == Code
	}
	for i := range d.Blocks {
		b := &d.Blocks[i]
		if b.Kind == Row {
			name, value, _ := strings.Cut(raw[i], " | ")
			b.Name, raw[i] = unescape(name), value
		}
		b.Spans = spans(raw[i])
	}
	return d
}

// kindOf returns the kind of a line and its text after the beginning.
func kindOf(line string) (kind Kind, rest string, begins bool) {
	for _, b := range beginnings {
		if rest, found := strings.CutPrefix(line, b.begins); found {
			return b.kind, strings.TrimSpace(rest), true
		}
	}
	if number, rest, found := strings.Cut(line, ". "); found && number != "" && strings.Trim(number, "0123456789") == "" {
		return Step, rest, true
	}
	return Paragraph, line, false
}

// spans reads the markup inside a line.
func spans(s string) (all []Span) {
	add := func(span Span) {
		if span.Text != "" {
			span.Text, span.Address = unescape(span.Text), unescape(span.Address)
			all = append(all, span)
		}
	}
	for s != "" {
		i := strings.IndexAny(s, "*`[")
		if i < 0 {
			break
		}
		rest := s[i:]
		var span Span
		var after string
		switch text, more, found := "", "", false; {
		case strings.HasPrefix(rest, "**"):
			if text, more, found = strings.Cut(rest[2:], "**"); found {
				span, after = Span{Text: text, Bold: true}, more
			}
		case rest[0] == '`':
			if text, more, found = strings.Cut(rest[1:], "`"); found {
				span, after = Span{Text: text, Code: true}, more
			}
		case rest[0] == '[':
			if text, more, found = strings.Cut(rest[1:], "]("); found {
				if address, end, closed := strings.Cut(more, ")"); closed {
					span, after = link(text, address), end
				}
			}
		}
		if span.Text == "" { // it is not markup after all
			add(Span{Text: s[:i+1]})
			s = s[i+1:]
			continue
		}
		add(Span{Text: s[:i]})
		add(span)
		s = after
	}
	add(Span{Text: s})
	return all
}

// link returns a link, or its text if the address could do something else than open a page, write a mail or call.
func link(text, address string) Span {
	for _, scheme := range []string{"https://", "http://", "mailto:", "tel:"} {
		if target := strings.ToLower(unescape(address)); target != scheme && strings.HasPrefix(target, scheme) {
			return Span{Text: text, Address: address}
		}
	}
	return Span{Text: text}
}
