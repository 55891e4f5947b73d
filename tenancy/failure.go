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

// Stored returns the form in which the text of an error is stored: as a format and its data if the error has a [Text],
// so that it can be shown in another language. Other errors are stored as they are. Data are texts and whole numbers.
func Stored(err error) string {
	var rule *RuleError
	if !errors.As(err, &rule) || err.Error() != rule.Error() || rule.Field != "" {
		return err.Error()
	}
	args := make([]any, len(rule.Text.Args))
	for i, arg := range rule.Text.Args {
		switch arg := arg.(type) {
		case int, string:
			args[i] = arg
		case error:
			args[i] = arg.Error()
		default:
			return err.Error()
		}
	}
	data, failed := json.Marshal(storedText{rule.Text.Format, args})
	if failed != nil {
		return err.Error()
	}
	return string(data)
}

// ReadText returns a text of its stored form. A text without one, such as one that an earlier release has stored, is
// returned as it is.
func ReadText(stored string) Text {
	var v storedText
	decoder := json.NewDecoder(bytes.NewReader([]byte(stored)))
	decoder.UseNumber()
	if !strings.HasPrefix(stored, `{"text":`) || decoder.Decode(&v) != nil {
		return Text{"%s", []any{stored}}
	}
	for i, arg := range v.Args {
		if n, ok := arg.(json.Number); ok {
			whole, err := strconv.Atoi(n.String())
			if err != nil {
				return Text{"%s", []any{stored}}
			}
			v.Args[i] = whole
		}
	}
	return Text(v)
}
