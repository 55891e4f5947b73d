package gateway

import (
	"encoding/json"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// A later release reads the parked messages of an earlier one. The golden file has the form that earlier ones wrote.
func TestAStoredMessageHasItsGoldenForm(t *testing.T) {
	want := parkedRequest{Rest: "/orders/1", Query: "a=b", Header: http.Header{"Content-Type": {"text/xml"},
		"Idempotency-Key": {"key-1"}}, Body: []byte("<order/>")}
	golden, err := os.ReadFile("testdata/parked.json")
	testenv.Check(t, err)
	var got parkedRequest
	testenv.Check(t, json.Unmarshal(golden, &got))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	written, err := json.Marshal(want)
	testenv.Check(t, err)
	if string(written) != strings.TrimSpace(string(golden)) {
		t.Errorf("wrote\n%s\nwant\n%s", written, golden)
	}
}

func TestAnOutcomeHasOneText(t *testing.T) {
	for _, c := range []struct {
		outcome outcome
		text    string
		refused bool
	}{
		{outcome{}, "", false},
		{outcome{kind: sentOnce, generation: 1, detail: "200 OK"}, "", false},
		{outcome{kind: unanswered, generation: 1, detail: "EOF"}, "EOF", false},
		{outcome{kind: refused, generation: 1, detail: "401 Unauthorized"},
			"refused with generation 1: 401 Unauthorized", true},
		{outcome{kind: refusedTooBig, generation: 1, detail: "403 Forbidden"},
			"refused with generation 1 (403 Forbidden) after more of the body was taken than is kept", true},
		{outcome{kind: refusedAll, generation: 2, detail: "401 with generation 1, 401 with generation 2"},
			"every generation was refused: 401 with generation 1, 401 with generation 2", true},
		{outcome{kind: fellBack, generation: 1, accepted: 2, detail: "401 Unauthorized"},
			"fell back: generation 1 was refused (401 Unauthorized), generation 2 accepted", false},
	} {
		if got := c.outcome.String(); got != c.text || c.outcome.refused() != c.refused {
			t.Errorf("%+v: %q, refused %v", c.outcome, got, c.outcome.refused())
		}
	}
}
