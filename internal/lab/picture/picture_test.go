package picture

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestAPictureIsWellFormedWhateverItsTextsAre(t *testing.T) {
	p := New(100, 50, `a < "b"`, "R&D", "</desc>")
	p.Draw(`<line x1="%d" x2="2" y1="0" y2="0"/>`, 1)
	var out strings.Builder
	if _, err := p.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	texts, elements := "", 0
	for d := xml.NewDecoder(strings.NewReader(out.String())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v:\n%s", err, out.String())
		}
		switch v := token.(type) {
		case xml.StartElement:
			elements++
		case xml.CharData:
			texts += string(v)
		}
	}
	if elements != 6 || !strings.Contains(texts, `a < "b"`) || !strings.Contains(texts, "R&D") ||
		!strings.Contains(texts, "</desc>") {
		t.Errorf("%d elements with the texts %q", elements, texts)
	}
}
