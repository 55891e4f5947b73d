package store

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// mostWords limits the words of a name and of a search.
const mostWords = 8

// wordsOf returns the first words of a text, each once, so that texts which differ in case or in the composition of
// their characters have the same words.
func wordsOf(text string) (words []string) {
	for _, word := range strings.FieldsFunc(fold(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	}) {
		if len(words) < mostWords && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}

// fold returns a text without differences of case (Unicode, chapter 3.13) in its composed form (Unicode Standard Annex
// 15). The dotted capital I of Turkish becomes an i, which case folding alone does not do.
func fold(text string) string {
	return norm.NFC.String(cases.Fold().String(strings.ToLower(norm.NFC.String(text))))
}
