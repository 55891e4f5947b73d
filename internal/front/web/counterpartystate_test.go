package web

import (
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestThePageOfACounterpartyDoesNotCallARefusalNothingToDo(t *testing.T) {
	v := &view{lang: "en", zone: time.UTC, now: renewedAt}
	const perhaps = "Perhaps you need not do anything: many systems accept a new certificate without a change. Test now."
	const refused = "A system refuses a new certificate. Install the certificate there, and test again."
	for want, counts := range map[string]client.CounterpartyCounts{
		perhaps: {All: 2, Needed: 2},
		refused: {All: 2, Needed: 1, Refused: 1},
		"There is nothing to do. Your systems accept every new certificate. Thank you.": {All: 2, Done: 2},
		"There is nothing to do. None of the certificates is being renewed.":            {All: 2, Quiet: 2},
	} {
		if got := v.partySentence(counts); got != want {
			t.Errorf("%+v: %q, want %q", counts, got, want)
		}
	}
	for want, counts := range map[string]client.CounterpartyCounts{
		"Certificates: 2. None of them is being renewed.": {All: 2, Quiet: 2},
		"New certificates: 1. All of them are accepted.":  {All: 2, Quiet: 1, Done: 1},
		"Certificates: 1. None of them is being renewed.": {All: 1, Quiet: 1},
		"No receivers with certificates are linked.":      {},
	} {
		if got := v.partyFigures(counts); got != want {
			t.Errorf("%+v: %q, want %q", counts, got, want)
		}
	}
}

// With another CA, "nothing to do" would stop the messages.
func TestThePageOfACounterpartyKnowsWhatChanges(t *testing.T) {
	for changes, want := range map[tenancy.Changes]string{
		{Key: true}:               "Nothing to do",
		{Key: true, Issuer: true}: "Add the certificates of the new CA",
	} {
		var p partyPage
		p.Product, p.Counts = "Traefik", client.CounterpartyCounts{All: 1, Needed: 1}
		p.Lines.Items = []client.CounterpartyLine{{Key: "acme/tenant", Old: &client.Certificate{}, Changes: &changes}}
		shown := partyInstructions(p)
		if len(shown) != 1 || !strings.Contains(shown[0].How, want) {
			t.Errorf("%+v: %+v, want %q", changes, shown, want)
		}
	}
}

// A message, or a test by someone else, may prove more than the last test of the page.
func TestATestThatALaterProofContradictsIsNotTheLastWord(t *testing.T) {
	v := &view{lang: "en", zone: time.UTC, now: renewedAt}
	for _, c := range []struct{ state, result, want string }{
		{"refused", "refused", "Test on 20 November 2026, 00:00 UTC: refused (401)"},
		{"done", "refused", "Accepted since the test on 20 November 2026, 00:00 UTC"},
		{"done", "unclear", "Accepted since the test on 20 November 2026, 00:00 UTC"},
		{"done", "", "Accepted since the test on 20 November 2026, 00:00 UTC"},
		{"done", "accepted", "Test on 20 November 2026, 00:00 UTC: accepted"},
		{"needed", "", "Test on 20 November 2026, 00:00 UTC: not possible at the moment"},
	} {
		got := v.testResult(client.CounterpartyConnection{State: c.state, Result: c.result, TestedAt: renewedAt,
			Answer: "401"})
		if got != c.want {
			t.Errorf("%s, %s: %q, want %q", c.state, c.result, got, c.want)
		}
	}
}

func TestALongAddressIsBrokenBetweenItsParts(t *testing.T) {
	for address, want := range map[string]string{
		"https://pay.bank.example:8443/orders/v2?a=b": "https://|pay.bank.example:8443/|orders/|v2?a=b",
		"pay.bank.example":                            "pay.bank.example",
		"":                                            "",
	} {
		if got := strings.Join(partsOf(address), "|"); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
