package publish

import "strings"

// SpreadsheetCell returns a text for a field of a CSV file that no spreadsheet treats as a formula. Where the comma is
// the decimal sign, as in Germany, Excel separates the fields of each CSV file at semicolons, so a formula could also
// begin after one.
func SpreadsheetCell(text string) string {
	var b strings.Builder
	begins := true
	for _, r := range text {
		if begins && strings.ContainsRune("=+-@\t\r", r) {
			b.WriteByte('\'')
		}
		b.WriteRune(r)
		begins = r == ';'
	}
	return b.String()
}
