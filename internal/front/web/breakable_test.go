package web

import "testing"

func TestAnAddressIsBrokenBetweenItsPartsAndNeverReadAsMarkup(t *testing.T) {
	for address, want := range map[string]string{
		"https://erp.example.com/in/1": "https://<wbr>erp.example.com/<wbr>in/<wbr>1",
		"acme/<b>":                     "acme/<wbr>&lt;b&gt;", "olga": "olga",
	} {
		if got := breakable(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}
