// Package picture writes the common parts of the lab's pictures: SVG with a title, a text alternative and a heading. It
// promises well-formed SVG for any texts.
package picture

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// Left and Baseline are the position of the heading, and of elements that are aligned with it.
const Left, Baseline = 20, 28

// A Picture is drawn from its beginning to [Picture.WriteTo].
type Picture struct{ b strings.Builder }

// New begins a picture. The description replaces it for readers who cannot see it.
func New(width, height int, title, heading, description string) *Picture {
	p := &Picture{}
	p.Draw(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif"`+
		` font-size="12" role="img" aria-labelledby="t d">
<title id="t">%s</title>
<desc id="d">%s</desc>
<rect width="100%%" height="100%%" fill="#fff"/>
<text x="%d" y="%d" font-size="17" font-weight="bold">%s</text>
`, width, height, html.EscapeString(title), html.EscapeString(description), Left, Baseline, html.EscapeString(heading))
	return p
}

// Draw adds elements. Texts must be escaped.
func (p *Picture) Draw(format string, args ...any) { fmt.Fprintf(&p.b, format, args...) }

// WriteTo implements [io.WriterTo]. It ends the picture.
func (p *Picture) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, p.b.String()+"</svg>\n")
	return int64(n), err
}
