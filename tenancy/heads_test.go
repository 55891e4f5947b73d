package tenancy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestHeadsAreFoundInEveryTextThatKeepsThem(t *testing.T) {
	head := Chain{Seq: 1234, Hash: bytes.Repeat([]byte{0xab}, 32)}
	text := head.String()
	if want := "1234:" + strings.Repeat("ab", 32); text != want {
		t.Fatalf("%q, want %q", text, want)
	}
	for name, line := range map[string]string{
		"a file":         "2026-12-01T00:00:00Z " + text + "\n",
		"a log":          `time=2026-12-01 level=INFO msg="head of the audit log" head=` + text,
		"a log in JSON":  fmt.Sprintf(`{"msg":"head of the audit log","head":%q}`, text),
		"a mail":         "on 1 December 2026:\r\n\r\n" + text + "\r\n\r\nKeep this mail.",
		"a quoted mail":  "> " + text,
		"the head alone": text,
	} {
		got := ParseHeads(line + "\nand another line\n")
		if len(got) != 1 || got[0].Seq != head.Seq || !bytes.Equal(got[0].Hash, head.Hash) {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, none := range []string{"", text[:len(text)-1], text + "0", strings.ToUpper(text), "x" + text,
		"99999999999999999999" + text} {
		if got := ParseHeads(none); len(got) != 0 {
			t.Errorf("%q has the heads %v", none, got)
		}
	}
	if got := ParseHeads(text + "\n" + text); len(got) != 2 {
		t.Errorf("%d heads in two lines", len(got))
	}
}
