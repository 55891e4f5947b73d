package password

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/ccojocar/zxcvbn-go/data"
)

// The estimate of a password's strength is the idea of zxcvbn (Wheeler, "zxcvbn: Low-Budget Password Strength
// Estimation", USENIX Security 2016): the cheapest way to write the password as a series of words and patterns.
const (
	// leastBits is the accepted minimum: an attacker with the hash needs about 2^30 tries of argon2id.
	leastBits = 30
	// judged is the number of characters that are estimated. Further ones make a password only stronger.
	judged = 64
	// characterBits is the cost of a character that is part of no word or pattern: 10 tries, as in zxcvbn.
	characterBits = 3.32
	// partBits is the cost of each further word or pattern.
	partBits = 1
	// shortestPart and longestPart limit a word or pattern, in characters.
	shortestPart, longestPart = 3, 24
)

// productWords are the words of this product and of sign-in forms that no password may mainly consist of, in addition
// to the names of the user and of the installation. docs/operations.md lists them.
var productWords = []string{"perennial", "certificate", "zertifikat", "tenant", "mandant", "gateway", "console",
	"konsole", "operator", "administrator", "admin", "root", "passwort", "kennwort", "willkommen", "geheim", "changeme",
	"anmeldung", "sommer", "winter", "herbst"}

// keyRows are neighboring keys of American and German keyboards.
var keyRows = []string{"1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "asdfghjklöä", "yxcvbnm",
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm", "1qay2wsx3edc4rfv5tgb6zhn7ujm", "qazwsxedcrfvtgb", "!@#$%^&*()", "!\"§$%&/()="}

// ranks returns the rank of common passwords, names and English words by their frequency. The lists are read at the
// first use, because most processes never need them.
var ranks = sync.OnceValue(func() map[string]int {
	all := map[string]int{}
	for _, name := range []string{"Passwords", "English", "MaleNames", "FemaleNames", "Surnames"} {
		var list struct{ List []string }
		if err := json.Unmarshal(data.MustAsset("data/"+name+".json"), &list); err != nil {
			panic(fmt.Sprintf("the embedded list %s: %v", name, err)) // it is part of the binary
		}
		for i, word := range list.List {
			if rank, known := all[word]; !known || i+1 < rank {
				all[word] = i + 1
			}
		}
	}
	return all
})

// contextWords returns the words of names and addresses, in lower case: acme-corp is acme, corp and acmecorp.
func contextWords(names []string) map[string]bool {
	words := map[string]bool{}
	for _, name := range slices.Concat(productWords, names) {
		parts := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r)
		})
		for _, word := range append(parts, strings.Join(parts, "")) {
			if len([]rune(word)) >= shortestPart {
				words[word] = true
			}
		}
	}
	return words
}

// bits estimates the strength of a password: the logarithm of the number of tries that find it. Names are those that
// an attacker would try first.
func bits(password string, names []string) float64 {
	typed := []rune(password)
	typed = typed[:min(len(typed), judged)]
	lower := make([]rune, len(typed))
	for i, r := range typed {
		lower[i] = unicode.ToLower(r)
	}
	context := contextWords(names)
	cost := make([]float64, len(typed)+1) // of the first n characters
	for end := 1; end <= len(typed); end++ {
		best := cost[end-1] + characterBits
		for start := max(0, end-longestPart); start <= end-shortestPart; start++ {
			if part := partCost(typed[start:end], lower[start:end], context); part < best-cost[start] {
				best = cost[start] + part
			}
		}
		for n := 1; 2*n <= end; n++ { // a repetition of the characters before
			if slices.Equal(lower[end-n:end], lower[end-2*n:end-n]) {
				best = min(best, cost[end-n]+partBits)
			}
		}
		cost[end] = best
	}
	return cost[len(typed)]
}

// partCost returns the cost of a part of a password as one word or pattern; infinity if it is none.
func partCost(typed, lower []rune, context map[string]bool) float64 {
	best := patternBits(lower)
	for _, variant := range spellings(lower) {
		word := string(variant.text)
		rank, known := ranks()[word]
		if context[word] {
			rank, known = 1, true
		}
		if known {
			best = min(best, math.Log2(float64(rank))+variant.bits)
		}
	}
	return best + partBits + capitalBits(typed, lower)
}

// capitalBits returns the cost of the capital letters of a word.
func capitalBits(typed, lower []rune) float64 {
	capitals := 0
	for i := range typed {
		if typed[i] != lower[i] {
			capitals++
		}
	}
	if capitals == len(typed) || capitals == 1 && typed[0] != lower[0] {
		return 1
	}
	return float64(capitals)
}

// A spelling is a word that a part of a password may stand for.
type spelling struct {
	text []rune
	bits float64
}

var substitutes = map[rune]rune{'@': 'a', '4': 'a', '8': 'b', '3': 'e', '!': 'i', '1': 'i', '0': 'o', '$': 's',
	'5': 's', '7': 't', '+': 't',
	'2': 'z'}

// spellings returns the words that a part may stand for: itself, its reverse, and itself without substitutes such as 0
// for o.
func spellings(lower []rune) []spelling {
	reversed := slices.Clone(lower)
	slices.Reverse(reversed)
	all := []spelling{{lower, 0}, {reversed, 1}}
	plain, changes := slices.Clone(lower), 0.0
	for i, r := range plain {
		if letter, ok := substitutes[r]; ok {
			plain[i] = letter
			changes++
		}
	}
	if changes == 0 {
		return all
	}
	all = append(all, spelling{plain, changes})
	if slices.Contains(lower, '1') { // it is also written for l
		ell := slices.Clone(plain)
		for i, r := range lower {
			if r == '1' {
				ell[i] = 'l'
			}
		}
		all = append(all, spelling{ell, changes})
	}
	return all
}

// patternBits returns the cost of a sequence (abcd, 9876), of neighboring keys, or of a year; infinity if a part is
// none of them.
func patternBits(lower []rune) float64 {
	length := math.Log2(float64(len(lower)))
	reversed := slices.Clone(lower)
	slices.Reverse(reversed)
	for _, row := range keyRows {
		if strings.Contains(row, string(lower)) || strings.Contains(row, string(reversed)) {
			return 3 + length
		}
	}
	step := lower[1] - lower[0]
	sequence := step == 1 || step == -1
	for i := 2; i < len(lower); i++ {
		sequence = sequence && lower[i]-lower[i-1] == step
	}
	if sequence {
		return 3 + length
	}
	if year := string(lower); len(lower) == 4 && (strings.HasPrefix(year, "19") || strings.HasPrefix(year, "20")) &&
		unicode.IsDigit(lower[2]) && unicode.IsDigit(lower[3]) {
		return 7 // about 120 of them
	}
	return math.Inf(1)
}
