package tenancy

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// Failure returns an error that no caller has caused, with a text that can be shown in another language.
func Failure(format string, args ...any) error { return &RuleError{Text: Say(format, args...)} }

// A storedText is the stored form of a [Text]: its format, which identifies it, and its data.
type storedText struct {
	Format string `json:"text"`
	Args   []any  `json:"data,omitempty"`
}

// storedPrefix begins the stored forms, in contrast to texts that are stored as they are.
const storedPrefix = `{"text":`

// Stored returns the form in which the text of an error is stored: as a format and its data if the error has a [Text],
// so that it can be shown in another language. Other errors are stored as they are.
func Stored(err error) string {
	var rule *RuleError
	if !errors.As(err, &rule) || err.Error() != rule.Error() || rule.Field != "" {
		return err.Error()
	}
	return rule.Text.Stored()
}

// Stored returns the form in which the text is stored, so that it can be shown in another language. Data are texts,
// strings, errors and whole numbers. A text with other data is stored in English, and one without own words as it is.
func (t Text) Stored() string {
	if plain, ok := t.plain(); ok && !strings.HasPrefix(plain, storedPrefix) {
		return plain
	}
	form, ok := t.stored()
	if !ok {
		return t.String()
	}
	data, err := json.Marshal(form)
	if err != nil {
		return t.String()
	}
	return string(data)
}

// plain returns the data of a text without own words.
func (t Text) plain() (data string, ok bool) {
	if t.Format != "%s" || len(t.Args) != 1 {
		return "", false
	}
	data, ok = t.Args[0].(string)
	return data, ok
}

func (t Text) stored() (form storedText, ok bool) {
	form = storedText{t.Format, make([]any, len(t.Args))}
	for i, arg := range t.Args {
		switch arg := arg.(type) {
		case int, string:
			form.Args[i] = arg
		case error:
			form.Args[i] = arg.Error()
		case Text:
			if form.Args[i], ok = arg.plain(); ok {
				continue
			}
			if form.Args[i], ok = arg.stored(); !ok {
				return form, false
			}
		default:
			return form, false
		}
	}
	return form, true
}

// ReadText returns a text of its stored form. A text without one, such as one that an earlier release has stored, is
// returned as it is.
func ReadText(stored string) Text {
	var v storedText
	decoder := json.NewDecoder(bytes.NewReader([]byte(stored)))
	decoder.UseNumber()
	if !strings.HasPrefix(stored, storedPrefix) || decoder.Decode(&v) != nil {
		return Text{"%s", []any{stored}}
	}
	if !v.read() {
		return Text{"%s", []any{stored}}
	}
	return Text(v)
}

// read replaces the decoded data by that of the text. It reports whether the data is such as [Text.Stored] writes.
func (v storedText) read() bool {
	for i, arg := range v.Args {
		switch arg := arg.(type) {
		case string:
		case json.Number:
			whole, err := strconv.Atoi(arg.String())
			if err != nil {
				return false
			}
			v.Args[i] = whole
		case map[string]any:
			format, _ := arg["text"].(string)
			args, _ := arg["data"].([]any)
			inner := storedText{format, args}
			if format == "" || !inner.read() {
				return false
			}
			v.Args[i] = Text(inner)
		default:
			return false
		}
	}
	return true
}
