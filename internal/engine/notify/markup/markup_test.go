package markup

import (
	"strings"
	"testing"
	"testing/fstest"
)

// document executes a template with a value.
func document(t *testing.T, text string, value any) Document {
	t.Helper()
	one, err := Parse(fstest.MapFS{"en/one.mail": {Data: []byte(text)}, "en/parts.mail": {Data: []byte(
		`{{define "both"}}- **{{.}}**{{end}}`)}}, "en/one.mail", []string{"en/parts.mail"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := one.Execute(value)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const all = `Hello {{.}},

# The first
sentence.

A paragraph with **bold** text, ` + "`code`" + `, and [a link](https://p.example.com/a?b=c&d=e).

## A heading
- one
- two
  continued

1. first
2. second

### A name
=> [A page](https://p.example.com)

==> [A button](https://p.example.com/button)

$ perennial status
---
| Serial number | 0b
| SHA-256 | aaaa bbbb

Small.`

func TestBothFormsHaveTheSameContent(t *testing.T) {
	d := document(t, all, "Alice")
	text := d.Text()
	want := `Hello Alice,

The first sentence.

A paragraph with bold text, code, and a link
(https://p.example.com/a?b=c&d=e).

A HEADING
- one
- two continued

1. first
2. second

A name
A page:
https://p.example.com

A button:
https://p.example.com/button

    perennial status

-- 
Serial number: 0b
SHA-256:       aaaa bbbb

Small.
`
	if text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	html := d.HTML(Frame{Language: "en", Title: "A <title>", Brand: "B & C"})
	for _, part := range []string{`<html lang="en"`, "A &lt;title&gt;", "B &amp; C", "<b>bold</b>",
		`href="https://p.example.com/a?b=c&amp;d=e"`, "two continued</li>", "<ol", "perennial status", "aaaa bbbb",
		`name="color-scheme" content="light dark"`, `role="presentation"`} {
		if !strings.Contains(html, part) {
			t.Errorf("the HTML lacks %q:\n%s", part, html)
		}
	}
	for _, tag := range []string{"ul", "ol", "table", "td", "p", "h2", "h3", "div"} {
		if opened, closed := strings.Count(html, "<"+tag+" ")+strings.Count(html, "<"+tag+">"),
			strings.Count(html, "</"+tag+">"); opened != closed {
			t.Errorf("%d of %s are opened, and %d closed", opened, tag, closed)
		}
	}
	if d.Lead() != "The first sentence." {
		t.Errorf("the lead is %q", d.Lead())
	}
}

// Names come from people and from partners' certificates.
func TestAValueIsNeverMarkup(t *testing.T) {
	for _, value := range []string{"**bold**", "[a](https://evil.example)", "# heading", "- item", "1. step", "| a | b",
		"`code`", "---", "=> [a](https://evil.example)", "$ rm", "a\n# heading", "<script>alert(1)</script>",
		"](javascript:x)",
		"Müller & Söhne", "\uE000x\uE001"} {
		for _, template := range []string{"{{.}}", "# {{.}}", "- {{.}}", "[{{.}}](https://p.example.com)", "**{{.}}**",
			"| {{.}} | {{.}}", `{{template "both" .}}`} {
			d := document(t, template, value)
			if len(d.Blocks) != 1 || len(d.Blocks[0].Spans) != 1 {
				t.Errorf("%q in %q has %d blocks: %+v", value, template, len(d.Blocks), d)
				continue
			}
			want := strings.NewReplacer("\n", " ", "\uE000", "\uFFFD", "\uE001", "\uFFFD").Replace(value)
			if got := d.Blocks[0].Spans[0].Text; got != want {
				t.Errorf("%q in %q is %q", value, template, got)
			}
			if html := d.HTML(Frame{}); strings.Contains(html, "<script>") || strings.Contains(html, "evil.example\"") {
				t.Errorf("%q in %q: %s", value, template, html)
			}
		}
	}
}

func TestALinkOpensAPageWritesAMailOrCallsOnly(t *testing.T) {
	for address, linked := range map[string]bool{"https://p.example.com": true, "http://127.0.0.1:8080/x": true,
		"mailto:help@example.com": true, "tel:+41311234567": true, "javascript:alert(1)": false, "JavaScript:x": false,
		"data:text/html,x": false, "//evil.example": false, "tel:": false, "": false} {
		d := document(t, "[the page]({{.}})", address)
		if got := d.Blocks[0].Spans[0].Address != ""; got != linked {
			t.Errorf("%q is a link: %v", address, got)
		}
		if d.Blocks[0].Spans[0].Text != "the page" {
			t.Errorf("%q: the text is %q", address, d.Blocks[0].Spans[0].Text)
		}
	}
}

func TestATemplateThatCannotBeReadIsAnError(t *testing.T) {
	files := fstest.MapFS{"one.mail": {Data: []byte("{{.Name")}, "two.mail": {Data: []byte("{{.Name}}")},
		"parts.mail": {Data: []byte("{{end}}")}}
	for name, parts := range map[string][]string{"one.mail": nil, "none.mail": nil, "two.mail": {"parts.mail"}} {
		if _, err := Parse(files, name, parts, nil); err == nil {
			t.Errorf("%s with %v is read", name, parts)
		}
	}
	one, err := Parse(files, "two.mail", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Execute(struct{ Nmae string }{}); err == nil || !strings.Contains(err.Error(), "two.mail:1") {
		t.Errorf("a field that does not exist: %v", err)
	}
}

func FuzzValuesAreNeverMarkup(f *testing.F) {
	f.Add("**a** [b](https://c) `d`")
	f.Add("1. a\n- b\n# c")
	one, err := Parse(fstest.MapFS{"one.mail": {Data: []byte("# {{.}}\n\n- [{{.}}](https://p.example.com)")}}, "one.mail",
		nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		d, err := one.Execute("x" + value)
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Blocks) != 2 || len(d.Blocks[0].Spans) != 1 || len(d.Blocks[1].Spans) != 1 ||
			d.Blocks[1].Spans[0].Address != "https://p.example.com" {
			t.Fatalf("%q: %+v", value, d)
		}
	})
}
