package publish

import "testing"

func TestNoCellIsAFormula(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "Acme GmbH": "Acme GmbH", "a=b": "a=b", "a; b": "a; b", "=1+1": "'=1+1", "@x": "'@x", "-1": "'-1",
		"Acme;=cmd|'/C calc'!A0": "Acme;'=cmd|'/C calc'!A0", ";;+1": ";;'+1",
	} {
		if got := SpreadsheetCell(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
