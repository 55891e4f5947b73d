package gateway

import (
	"errors"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/tenancy"
)

// said returns a stored text in English.
func said(stored string) string { return tenancy.ReadText(stored).String() }

// Our own words are stored as formats, so that readers get them in their language. Data stays as the receiver sent it.
func TestOutcomesAreStoredAsTextsWithTheirData(t *testing.T) {
	refused401 := attempt{generation: 2, detail: "401 Unauthorized"}
	compared := tenancy.Say("%s instead of %s", tenancy.ReadText("302 Found"), tenancy.ReadText("200 OK")).Stored()
	for _, c := range []struct {
		outcome outcome
		english string
		plain   bool // it has no own words
	}{
		{outcome{}, "", true},
		{outcome{kind: unanswered, detail: "EOF"}, "EOF", true},
		{outcome{kind: refused, generation: 2, detail: compared}, "refused with generation 2: 302 Found instead of 200 OK",
			false},
		{outcome{kind: refusedTooBig, generation: 2, detail: "401 Unauthorized"},
			"refused with generation 2 (401 Unauthorized) after more of the body was taken than is kept", false},
		{outcome{kind: refusedAll, detail: describe([]attempt{refused401, {generation: 1, detail: noKey}})},
			"every generation was refused: 401 Unauthorized with generation 2, its key is not available with generation 1",
			false},
		{outcome{kind: fellBack, generation: 2, accepted: 1, detail: closedTwice},
			"fell back: generation 2 was refused (the receiver closed the connection twice), generation 1 accepted", false},
		{outcome{kind: unanswered, detail: outbound.OfError(errors.New("remote error: tls: bad certificate")).Stored()},
			"TLS alert: bad certificate", false},
		{outcome{kind: refused, generation: 1, detail: strings.Repeat("x", 2*maxError)},
			"refused with generation 1: " + strings.Repeat("x", maxError-len("refused with generation 1: ")), true},
	} {
		stored := c.outcome.stored()
		if got := said(stored); got != c.english {
			t.Errorf("%q is read as %q, want %q", stored, got, c.english)
		}
		if plain := stored == c.english; plain != c.plain {
			t.Errorf("%q is stored as %q", c.english, stored)
		}
	}
}

func TestAMessageThatArrivesAtOnceNeedsNoText(t *testing.T) {
	answered := outbound.Reading{Meaning: outbound.Answered, Detail: "200 OK", Kind: outbound.Kind{Status: 200}}
	if n := testing.AllocsPerRun(100, func() {
		if answered.Stored() != "200 OK" || (outcome{}).stored() != "" {
			t.Error("it has another text")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
