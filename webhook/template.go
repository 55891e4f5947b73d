package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// maxTemplate limits the size of a template, in bytes.
	maxTemplate = 16 << 10
	// maxPlaceholders limits the placeholders of a template, and so the size of what is made of it.
	maxPlaceholders = 50
)

// DefaultTemplate is the template of a ticket without one.
const DefaultTemplate = `{
  "title": "{{summary}}",
  "description": "{{summary}}\n\n{{link}}",
  "severity": "{{severity}}",
  "status": "{{status}}",
  "key": "{{problem}}",
  "event": "{{event}}"
}`

// A Template is a JSON document whose strings can contain placeholders such as {{summary}}. Because it is read as JSON
// before it is filled, a value can never change the structure of the document.
type Template struct{ document any }

var placeholder = regexp.MustCompile(`\{\{ *([a-z_]*) *\}\}`)

// whole is the placeholder of the event itself. A string that consists of it is replaced by an object.
const whole = "event"

// values returns what the placeholders stand for.
func values(e Event) map[string]string {
	c := e.Common()
	status := "open"
	if c.Resolved {
		status = "resolved"
	}
	return map[string]string{"id": e.ID, "source": e.Source, "type": string(e.Type), "subject": e.Subject,
		"time": e.Time.UTC().Format(time.RFC3339), "tenant": c.Tenant, "summary": c.Summary,
		"severity": string(c.Severity), "link": c.Link, "problem": c.Problem, "status": status}
}

// Placeholders lists the names of the placeholders.
func Placeholders() []string {
	return slices.Sorted(maps.Keys(mergedNames()))
}

func mergedNames() map[string]string {
	names := values(Event{})
	names[whole] = ""
	return names
}

// ParseTemplate reads a template. An empty one is [DefaultTemplate].
func ParseTemplate(text string) (Template, error) {
	if strings.TrimSpace(text) == "" {
		text = DefaultTemplate
	}
	if len(text) > maxTemplate {
		return Template{}, fmt.Errorf("the template is larger than %d KiB", maxTemplate>>10)
	}
	in := json.NewDecoder(strings.NewReader(text))
	in.UseNumber()
	var t Template
	if err := in.Decode(&t.document); err != nil {
		return Template{}, fmt.Errorf("the template is not valid JSON: %w", err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return Template{}, errors.New("the template has something after its JSON document")
	}
	if _, ok := t.document.(map[string]any); !ok {
		return Template{}, errors.New("the template is not a JSON object")
	}
	known, used := mergedNames(), 0
	var wrong error
	replaceStrings(t.document, func(s string) any {
		for _, m := range placeholder.FindAllStringSubmatch(s, -1) {
			used++
			if _, ok := known[m[1]]; !ok && wrong == nil {
				wrong = fmt.Errorf("the template has an unknown placeholder %s: use one of %s", m[0],
					strings.Join(Placeholders(), ", "))
			}
			if m[1] == whole && m[0] != s && wrong == nil {
				wrong = fmt.Errorf("the placeholder %s stands for an object: it must be the whole string", m[0])
			}
		}
		return s
	})
	if used > maxPlaceholders {
		return Template{}, fmt.Errorf("the template has more than %d placeholders", maxPlaceholders)
	}
	return t, wrong
}

// fill returns the document with the values of an event.
func (t Template) fill(e Event) any {
	known := values(e)
	return replaceStrings(t.document, func(s string) any {
		if m := placeholder.FindStringSubmatch(s); m != nil && m[0] == s && m[1] == whole {
			return e
		}
		return placeholder.ReplaceAllStringFunc(s, func(found string) string {
			return known[placeholder.FindStringSubmatch(found)[1]]
		})
	})
}

// replaceStrings returns a copy of a JSON document with other values in place of its strings. Keys stay.
func replaceStrings(v any, replace func(string) any) any {
	switch v := v.(type) {
	case string:
		return replace(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = replaceStrings(e, replace)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = replaceStrings(e, replace)
		}
		return out
	}
	return v
}
