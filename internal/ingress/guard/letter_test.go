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
}

func TestTheSubjectOfAMailCountsWhatHasHappened(t *testing.T) {
	held, accepted := Sighting{Partner: "a", Standing: Held}, Sighting{Partner: "b", Standing: Accepted}
	declined := Sighting{Partner: "c", Standing: Declined}
	for _, c := range []struct {
		sightings       []Sighting
		english, german string
	}{
		{[]Sighting{held, accepted}, "Action needed: decide about 1 of 2 new certificates of partners",
			"Handeln nötig: Entscheidung über 1 von 2 neuen Zertifikaten von Partnern"},
		{[]Sighting{accepted, accepted}, "2 new certificates of partners: accepted, nothing to do",
			"2 neue Zertifikate von Partnern: angenommen, nichts zu tun"},
		{[]Sighting{declined, accepted}, "2 new certificates of partners: 1 accepted, 1 refused",
			"2 neue Zertifikate von Partnern: 1 angenommen, 1 abgelehnt"},
		{[]Sighting{declined, declined}, "2 certificates of partners are refused",
			"2 Zertifikate von Partnern werden abgelehnt"},
		{[]Sighting{declined}, "A certificate is refused: c", "Ein Zertifikat wird abgelehnt: c"},
	} {
		if got := (letter{sightings: c.sightings}).subject(); got != c.english {
			t.Errorf("%q, and not %q", got, c.english)
		}
		if got := (letter{sightings: c.sightings, language: german}).subject(); got != c.german {
			t.Errorf("%q, and not %q", got, c.german)
		}
	}
}

// A certificate that a feed announces is accepted beside the one before it, which ends when it leaves the feed.
func TestAMailAboutAnAnnouncedCertificateDoesNotClaimThatItHasReplacedAnotherOne(t *testing.T) {
	der := testca.New(t, "Partner", time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)).Issuing.Raw
	for _, was := range [][]byte{nil, der} {
		l := letter{sightings: []Sighting{{Partner: "acme-c4c", DER: der, Was: was, By: byFeed}}}
		text := l.subject() + "\n" + l.body()
		for _, claim := range []string{"renewed", "both", "expires"} {
			if strings.Contains(text, claim) {
				t.Errorf("%q in\n%s", claim, text)
			}
		}
		if !strings.Contains(text, "You have nothing to do.") {
			t.Error(text)
		}
	}
}

func TestAMailAboutAHeldCertificateStatesWhetherCallsAreAccepted(t *testing.T) {
	now := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	der := testca.New(t, "Partner", now).Issuing.Raw
	const refused = "Until you decide, calls with it are refused."
	for name, c := range map[string]struct {
		code            acceptance.Code
		onHold          time.Duration
		english, german string
	}{
		"refuse": {acceptance.OutsideWindow, 0, refused, "Bis Sie entscheiden, werden Aufrufe damit abgelehnt."},
		"accept": {acceptance.OutsideWindow, 24 * time.Hour,
			"Until you decide, calls with it are accepted, but not after 21 November 2026, 00:00 UTC.",
			"Bis Sie entscheiden, werden Aufrufe damit angenommen, aber nicht nach dem 21. November 2026, 00:00 UTC."},
		"another CA": {acceptance.OtherCA, 24 * time.Hour, refused,
			"Bis Sie entscheiden, werden Aufrufe damit abgelehnt."},
	} {
		l := letter{onHold: map[string]time.Duration{"acme-c4c": c.onHold}, sightings: []Sighting{
			{Partner: "acme-c4c", DER: der, Standing: Held, Code: c.code, At: now}}}
		if text := l.body(); !strings.Contains(text, c.english+"\n") {
			t.Errorf("%s: %s", name, text)
		}
		l.language = german
		if text := l.body(); !strings.Contains(text, c.german+"\n") {
			t.Errorf("%s: %s", name, text)
		}
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
