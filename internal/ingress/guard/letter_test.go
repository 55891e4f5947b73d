package guard

import (
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/testing/testca"
)

func TestAGermanMailIsGermanThroughout(t *testing.T) {
	now := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	der := testca.New(t, "Partner", now).Issuing.Raw
	english := []string{"certificate", "valid until", "serial ", "decision", "run:", "nothing to do", "issued by"}
	for _, v := range []Sighting{
		{Partner: "acme-c4c", DER: der, Standing: Held, Code: acceptance.OtherSubject, Reason: "it has another name"},
		{Partner: "acme-c4c", DER: der, Standing: Declined, By: "root"},
		{Partner: "acme-c4c", DER: der, Was: der, By: byRule, Code: acceptance.IsSuccessor},
		{Partner: "acme-c4c", DER: der, By: byRule, Code: acceptance.FromAuthority},
		{Partner: "acme-c4c", DER: der, By: byFeed},
		{Partner: "acme-c4c", DER: der, By: "root"},
	} {
		l := letter{sightings: []Sighting{v}, config: "guard.yaml", language: german}
		text := l.subject() + "\n" + l.body()
		for _, word := range english {
			if strings.Contains(text, word) {
				t.Errorf("%s %s: %q in\n%s", v.Standing, v.Code, word, text)
			}
		}
		if strings.Contains(text, "%!") || !strings.Contains(text, "acme-c4c") {
			t.Errorf("%s %s:\n%s", v.Standing, v.Code, text)
		}
	}
	one := letter{sightings: []Sighting{{Partner: "acme-c4c", DER: der, By: byFeed}}}
	if text := one.subject() + one.body(); strings.Contains(text, "renewed") || strings.Contains(text, "both") {
		t.Errorf("the mail about an announced certificate claims that it has replaced another one:\n%s", text)
	}
	refused := letter{sightings: []Sighting{{Partner: "a", Standing: Declined}, {Partner: "b"}}}
	if got := refused.subject(); got != "2 new certificates of partners: 1 accepted, 1 refused" {
		t.Error(got)
	}
	two := letter{sightings: []Sighting{{Partner: "a", Standing: Held}, {Partner: "b"}}, language: german}
	if got := two.subject(); got != "Handeln nötig: Entscheidung über 1 von 2 neuen Zertifikaten von Partnern" {
		t.Error(got)
	}
}

// A certificate that a person refused is not called accepted.
func TestAMailAboutARefusedCertificateStatesThatItIsRefused(t *testing.T) {
	now := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	v := Sighting{Partner: "acme-c4c", DER: testca.New(t, "Partner", now).Issuing.Raw, Standing: Declined, By: "root"}
	l := letter{sightings: []Sighting{v}, config: "guard.yaml"}
	text := l.subject() + "\n" + l.body()
	if strings.Contains(text, "nothing to do") || strings.Contains(text, "are accepted") ||
		!strings.Contains(text, "Calls with it are refused.") || !strings.Contains(text, "perennial guard accept") {
		t.Error(text)
	}
}

func TestEveryDecisionHasAGermanReason(t *testing.T) {
	for _, code := range []acceptance.Code{acceptance.OtherCA, acceptance.OtherSubject, acceptance.Older,
		acceptance.OutsideWindow, acceptance.SecondSuccessor, acceptance.Ambiguous} {
		if got := germanReason(Sighting{Code: code, Reason: "English"}); got == "English" || got == "" {
			t.Errorf("%s: %q", code, got)
		}
	}
	if err := checkLanguage("fr"); err == nil || !strings.Contains(err.Error(), "use en or de") {
		t.Error(err)
	}
}
