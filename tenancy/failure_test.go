package tenancy

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestAStoredTextKeepsItsFormatAndItsData(t *testing.T) {
	for _, err := range []error{
		Failure("the endpoint answers %d %s", 503, "Service Unavailable"),
		Failure("the connection failed: %v", io.EOF),
		Failure("no data, and a percent sign: 100%%"),
		Failure("%s", `{"text":"quoted"}`),
		Failure("%s, and %s with generation %d", Say("the connection was closed: %s", io.EOF), "200 OK", 2),
	} {
		stored := Stored(err)
		if stored == err.Error() {
			t.Errorf("%v is stored as it is", err)
		}
		if got := ReadText(stored).String(); got != err.Error() {
			t.Errorf("stored as %s, read as %q, want %q", stored, got, err)
		}
	}
	for _, err := range []error{
		errors.New("another program's text: 100%d"), fmt.Errorf("wrapped: %w", Failure("inner")),
		Invalid("url", "is missing"), Failure("%v", 1.5),
	} {
		stored := Stored(err)
		if got := ReadText(stored).String(); stored != err.Error() || got != err.Error() {
			t.Errorf("%v: stored as %q, read as %q", err, stored, got)
		}
	}
	if got := Say("%s", "200 OK").Stored(); got != "200 OK" {
		t.Errorf("a text of another program is stored as %s", got)
	}
	nested := ReadText(Say("%s, and %d", Say("inner %s", "x"), 2).Stored())
	if inner, ok := nested.Args[0].(Text); !ok || inner.Format != "inner %s" || nested.Args[1] != 2 {
		t.Errorf("read %#v", nested)
	}
	for _, damaged := range []string{`{"text":`, `{"text":"%d","data":[1.5]}`, "",
		`{"text":"%s","data":[{"text":"%d","data":[1.5]}]}`, `{"text":"%s","data":[{}]}`, `{"text":"%s","data":[[1]]}`} {
		if got := ReadText(damaged).String(); got != damaged {
			t.Errorf("%q is read as %q", damaged, got)
		}
	}
}
