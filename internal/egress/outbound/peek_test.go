package outbound

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestATextIsFoundInACompressedBody(t *testing.T) {
	const refusal = `{"error":"Not Authorized"}`
	compressed := func(text string, w func(io.Writer) io.WriteCloser) []byte {
		var out bytes.Buffer
		z := w(&out)
		if _, err := io.WriteString(z, text); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	inGzip := func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
	inZlib := func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }
	rules := NewRefusals([]tenancy.RefusalRule{{Status: 200, Text: "not authorized"}})
	// Random text does not fit into the beginning, so that the stream is cut off.
	long := refusal + strings.Repeat("0123456789abcdef", 1<<16)
	bomb := compressed(strings.Repeat(" ", 64<<20)+refusal, inGzip)
	for name, c := range map[string]struct {
		coding string
		body   []byte
		want   Meaning
	}{
		"plain":               {"", []byte(refusal), Refused},
		"identity":            {"identity", []byte(refusal), Refused},
		"gzip":                {"gzip", compressed(refusal, inGzip), Refused},
		"GZIP":                {"GZIP", compressed(refusal, inGzip), Refused},
		"deflate":             {"deflate", compressed(refusal, inZlib), Refused},
		"a long text":         {"gzip", compressed(long, inGzip), Refused},
		"another text":        {"gzip", compressed(`{"ok":true}`, inGzip), Answered},
		"a bomb":              {"gzip", bomb, Answered},
		"not compressed":      {"gzip", []byte(refusal), Answered},
		"cut off in its head": {"gzip", compressed(refusal, inGzip)[:5], Answered},
		"nothing":             {"gzip", nil, Answered},
		"a coding of another": {"br", []byte(refusal), Answered},
	} {
		res := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(c.body))}
		if c.coding != "" {
			res.Header.Set("Content-Encoding", c.coding)
		}
		if got := OfResponse(res, rules); got.Meaning != c.want {
			t.Errorf("%s: %d (%s), want %d", name, got.Meaning, got.Detail, c.want)
		}
		if body, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(body, c.body) {
			t.Errorf("%s: %d bytes of %d are forwarded, %v", name, len(body), len(c.body), err)
		}
	}
}
