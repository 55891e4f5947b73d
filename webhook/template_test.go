package webhook_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/webhook"
)

func ticket(t *testing.T, template string, e webhook.Event) map[string]any {
	t.Helper()
	m, err := webhook.Rendering{Format: webhook.Ticket, Template: template}.Render(e)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(m.Body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAPlaceholderCannotChangeTheStructureOfATicket(t *testing.T) {
	e := refused()
	data := *e.Data.(*webhook.RolloverVerdictData)
	data.Summary = "\"},\"admin\":true,{\"x\":\"\u2028\n{{tenant}}\\"
	e.Data = &data
	got := ticket(t, `{"fields":{"summary":"{{ summary }}","n":12345678901234567890,"labels":["{{type}}"]}}`, e)
	fields, _ := got["fields"].(map[string]any)
	if len(got) != 1 || len(fields) != 3 || fields["summary"] != data.Summary {
		t.Errorf("got %v", got)
	}
}

func TestATemplateIsFilled(t *testing.T) {
	got := ticket(t, `{"a":"{{severity}}/{{status}}/{{tenant}}","all":"{{event}}","fixed":[1,true,null]}`, accepted())
	event, _ := got["all"].(map[string]any)
	if got["a"] != "info/resolved/acme" || event["specversion"] != "1.0" {
		t.Errorf("got %v", got)
	}
}

func TestAWrongTemplateIsRefused(t *testing.T) {
	for _, c := range []struct{ template, want string }{
		{`{"a":`, "not valid JSON"}, {`[]`, "not a JSON object"}, {`{} {}`, "after its JSON document"},
		{`{"a":"{{password}}"}`, "unknown placeholder {{password}}: use one of event, id, link"},
		{`{"a":"see {{event}}"}`, "must be the whole string"},
		{`{"a":"` + strings.Repeat("x", 16<<10) + `"}`, "larger than 16 KiB"},
		{`{"a":"` + strings.Repeat("{{id}}", 51) + `"}`, "more than 50 placeholders"},
	} {
		if _, err := webhook.ParseTemplate(c.template); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: %v, want %s", c.template, err, c.want)
		}
	}
	if _, err := webhook.ParseTemplate(webhook.DefaultTemplate); err != nil {
		t.Error(err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(webhook.DefaultTemplate, "a\"b")
	f.Add(`{"{{id}}":{"x":[{"y":"{{ time }}{{link}}"}]}}`, "\xff\x00")
	f.Fuzz(func(t *testing.T, template, summary string) {
		if _, err := webhook.ParseTemplate(template); err != nil {
			return
		}
		e := refused()
		data := *e.Data.(*webhook.RolloverVerdictData)
		data.Summary = summary
		e.Data = &data
		m, err := webhook.Rendering{Format: webhook.Ticket, Template: template}.Render(e)
		if err != nil || !json.Valid(m.Body) || m.Body[0] != '{' {
			t.Errorf("%v: %s", err, m.Body)
		}
	})
}
