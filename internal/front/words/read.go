package words

import (
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/perennial-pki/perennial/tenancy"
)

// Read returns a text of the catalogue that is known in English only, in a language. The audit log has such texts:
// its entries never change, and programs read them. A text that no format fits stays as it is.
func Read(language, english string) string {
	if language != German {
		return english
	}
	return In(language, textOf(english))
}

// A pattern is a format, prepared to find its data in a text.
type pattern struct {
	format string
	parts  []string // around the verbs
	verbs  []string
	own    int // number of bytes that are not data
}

// verb finds the verbs of formats.
var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z%]`)

// leastOwn is the number of bytes that a format needs to recognise a text that begins with data.
const leastOwn = 12

// patterns are the formats of the catalogue whose data can be found in a text.
var patterns = sync.OnceValue(func() (all []pattern) {
	for _, formats := range []map[string]string{german, germanMoves} {
		for format := range formats {
			p := pattern{format, verb.Split(format, -1), verb.FindAllString(format, -1), 0}
			for _, part := range p.parts {
				p.own += len(part)
			}
			if p.own >= leastOwn || p.parts[0] != "" && p.own > 0 {
				all = append(all, p)
			}
		}
	}
	return all
})

// textOf returns the text with the format that leaves the least data.
func textOf(english string) tenancy.Text {
	best, found := pattern{}, []any{english}
	for _, p := range patterns() {
		if p.own > best.own || p.own == best.own && p.format < best.format {
			if args, fits := p.match(english); fits {
				best, found = p, args
			}
		}
	}
	if best.format == "" {
		return tenancy.Say("%s", english)
	}
	for i, arg := range found {
		if s, ok := arg.(string); ok && s != english && best.format != absent {
			found[i] = textOf(s)
		}
	}
	return tenancy.Text{Format: best.format, Args: found}
}

// match returns the data in a text. Those between two parts end where the next part begins first.
func (p pattern) match(text string) (args []any, fits bool) {
	text, fits = strings.CutPrefix(text, p.parts[0])
	for i := 0; fits && i < len(p.verbs); i++ {
		var data string
		if part := p.parts[i+1]; i == len(p.verbs)-1 {
			data, fits = strings.CutSuffix(text, part)
			text = ""
		} else if data, text, fits = strings.Cut(text, part); part == "" {
			return nil, false
		}
		var arg any
		if arg, fits = value(p.verbs[i], data, fits); fits {
			args = append(args, arg)
		}
	}
	return args, fits && text == ""
}

// value returns the argument that a verb shows as data.
func value(verb, data string, fits bool) (any, bool) {
	switch verb {
	case "%d":
		n, err := strconv.Atoi(data)
		return n, fits && err == nil
	case "%q":
		s, err := strconv.Unquote(data)
		return s, fits && err == nil
	case "%s", "%v":
		return data, fits && data != ""
	}
	return nil, false
}
