package notify

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Mails write a number as the console does: 2,170 in English and 2.170 in German.
func TestMailsGroupTheDigitsOfNumbers(t *testing.T) {
	ts := templates(t)
	ungrouped := regexp.MustCompile(`(^|[^0-9.,+])[0-9]{4,}\b`)
	grouped := map[string]*regexp.Regexp{tenancy.English: regexp.MustCompile(`\b[0-9]{1,3},[0-9]{3}\b`),
		tenancy.German: regexp.MustCompile(`\b[0-9]{1,3}\.[0-9]{3}\b`)}
	for language, form := range grouped {
		found := 0
		for _, s := range situations() {
			change := s.letter
			s.letter = func(l *Letter) {
				change(l)
				if n := len(l.Arrangements); n > 1 {
					l.Arrangements = slices.Repeat(l.Arrangements, 1500/n)
				}
				if l.Administered != nil && l.Administered.Party != nil && l.Administered.Party.Total > 1 {
					party := *l.Administered.Party
					party.Total = 2400
					l.Administered = &Administered{Party: &party}
				}
			}
			l := s.in(language, time.UTC)
			text, _, err := ts.render(s.kind, l)
			check(t, err)
			all := l.Subject + "\n" + text
			line := strings.Join(strings.Fields(all), " ")
			if number := ungrouped.FindString(facts.ReplaceAllString(line, " ")); number != "" {
				t.Errorf("%s, %s, %s: %q in\n%s", s.kind, s.name, language, number, all)
			}
			found += len(form.FindAllString(all, -1))
		}
		if found < 50 {
			t.Errorf("%s: only %d numbers are grouped", language, found)
		}
	}
	l := Letter{Reader: Reader{Language: tenancy.German}}
	if got := l.Number(2170) + " " + l.Number(217); got != "2.170 217" {
		t.Error(got)
	}
}

// An administrator of several systems is not asked to test one that accepts the certificate already.
func TestOnlySystemsThatMayRefuseAreToBeTested(t *testing.T) {
	ts := templates(t)
	for language, words := range map[string][2]string{
		tenancy.English: {"Open its page and test it", "Open its page"},
		tenancy.German:  {"Seite öffnen und testen", "Seite öffnen"},
	} {
		checked := 0
		for _, s := range situations() {
			if s.kind != tenancy.AdministratorRenewed && s.kind != tenancy.AdministratorUnready {
				continue
			}
			l := s.in(language, time.UTC)
			if l.Administered.Party != nil || l.Superseded() {
				continue // it has one page for all systems, or asks for no test
			}
			text, _, err := ts.render(s.kind, l)
			check(t, err)
			tested, opened := 0, 0
			for _, a := range l.Administrated() {
				if checked++; a.Accepts || a.Unasked {
					opened++
				} else {
					tested++
				}
			}
			n := strings.Count(text, words[0])
			if m := strings.Count(text, words[1]) - n; n != tested || m != opened {
				t.Errorf("%s, %s, %s: %d of %d systems are to be tested, and %d of %d pages to be opened, in\n%s", s.kind, s.name,
					language, n, tested, m, opened, text)
			}
		}
		if checked < 20 {
			t.Errorf("only %d systems were checked", checked)
		}
	}
}
