package api

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestABodyThatIsNotUnicodeIsRefused(t *testing.T) {
	f := setUp(t)
	const read = 428 // it lacks If-Match
	for name, want := range map[string]int{"Z\xfcrich": 400, `\ud83d`: 400, `\ud83dx`: 400, `\ude00`: 400,
		`\ude00\ud83d`: 400, `\ud83d\n`: 400, `\ud83d\ud83d\ude00`: 400, `\\ud83d`: read, `\ud83d\ude00`: read,
		`Z\u00fcrich`: read, "Zürich": read, `\"\\`: read, `\u00`: 400, `\u00zz`: 400, `\`: 400} {
		a := f.call("operator", "PUT", "/tenants/acme", `{"display_name":"`+name+`","key_type":"p256"}`)
		if a.status != want {
			t.Errorf("%q: %d %s, want %d", name, a.status, a.raw, want)
		}
		if strings.Contains(name, "ud83d") && want == 400 && !strings.Contains(a.raw, "send JSON as UTF-8") {
			t.Errorf("%q: %s", name, a.raw)
		}
	}
}

// encoding/json replaces exactly what is refused.
func FuzzHalfEscaped(f *testing.F) {
	for _, text := range []string{`\ud83d\ude00`, `\ud83d`, `\\ud83d`, `\u00e9\"`, `\uD83D\u0041`, `\ufffd`, "é"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var read string
		data := []byte(`"` + text + `"`)
		if !utf8.ValidString(text) || json.Unmarshal(data, &read) != nil {
			return
		}
		meant := strings.Contains(text, "\ufffd") || strings.Contains(strings.ToLower(text), `\ufffd`)
		if replaced := strings.Contains(read, "\ufffd"); !meant && halfEscaped(data) != replaced {
			t.Errorf("%q is read as %q, and refused: %v", text, read, halfEscaped(data))
		}
	})
}
