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
	for _, damaged := range []string{`{"text":`, `{"text":"%d","data":[1.5]}`, ""} {
		if got := ReadText(damaged).String(); got != damaged {
			t.Errorf("%q is read as %q", damaged, got)
		}
	}
}
