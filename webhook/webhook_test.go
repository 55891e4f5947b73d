package webhook_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/webhook"
)

var update = flag.Bool("update", false, "write the golden files")

var at = time.Date(2026, 12, 1, 0, 5, 0, 0, time.UTC)

// refused returns an event that opens a problem. Its texts have the characters that formats treat specially.
func refused() webhook.Event {
	return webhook.Event{ID: "019364d0-0000-7000-8000-000000000001", Source: "https://perennial.example.com",
		Type: webhook.RolloverRefused, Subject: "acme/crm-to-erp", Time: at,
		Data: &webhook.RolloverVerdictData{Common: webhook.Common{Tenant: "acme",
			Summary:  `acme/crm-to-erp refuses generation 2: "A & B" <https://evil.example|*here*> \ [x](y)`,
			Severity: webhook.Critical, Link: "https://perennial.example.com/tenants/acme/arrangements/crm-to-erp",
			Problem: "rollover:acme/crm-to-erp:2"}, Arrangement: "crm-to-erp", Generation: 2, Source: "message"}}
}

// accepted returns the event that resolves the problem of refused.
func accepted() webhook.Event {
	e := refused()
	e.ID, e.Type, e.Time = "019364d0-0000-7000-8000-000000000002", webhook.RolloverAccepted, at.Add(time.Hour)
	data := *e.Data.(*webhook.RolloverVerdictData)
	data.Summary, data.Severity, data.Resolved = "acme/crm-to-erp accepts generation 2", webhook.Info, true
	e.Data = &data
	return e
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var indented bytes.Buffer
	if err := json.Indent(&indented, got, "", "  "); err != nil {
		t.Fatalf("%s is not JSON: %v\n%s", name, err, got)
	}
	indented.WriteByte('\n')
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, indented.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(indented.Bytes(), want) {
		t.Errorf("%s:\n%s\nwant\n%s", path, indented.Bytes(), want)
	}
}

func TestEachFormatHasItsMessage(t *testing.T) {
	for _, f := range webhook.Formats() {
		for name, e := range map[string]webhook.Event{"refused": refused(), "accepted": accepted()} {
			m, err := webhook.Rendering{Format: f, RoutingKey: "R0UT1NG"}.Render(e)
			if err != nil {
				t.Errorf("%s, %s: %v", f, name, err)
				continue
			}
			golden(t, string(f)+"-"+name, m.Body)
			if want := map[bool]string{true: "application/cloudevents+json", false: "application/json"}[f ==
				webhook.CloudEvents]; m.ContentType != want {
				t.Errorf("%s: content type %s", f, m.ContentType)
			}
		}
	}
	if _, err := (webhook.Rendering{Format: "fax"}).Render(refused()); err == nil {
		t.Error("an unknown format has a message")
	}
}

func TestAnEventReadsBackAsWritten(t *testing.T) {
	n := 0
	for _, d := range webhook.Definitions() {
		e := refused()
		e.Type, e.Data = d.Type, d.New()
		fill(reflect.ValueOf(e.Data).Elem(), &n)
		data, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := webhook.Parse(data)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", d.Type, err, got.Data, e.Data)
		}
		if d.Doc == "" || !strings.Contains(string(d.Type), ".") {
			t.Errorf("the definition of %s is incomplete", d.Type)
		}
	}
	if n < 200 {
		t.Errorf("%d fields were checked, which cannot be all", n)
	}
}

// fill sets every field.
func fill(v reflect.Value, n *int) {
	*n++
	switch to := v.Addr().Interface().(type) {
	case *time.Time:
		*to = at.Add(time.Duration(*n) * time.Minute)
		return
	case *bool:
		*to = true
		return
	case *int:
		*to = *n
		return
	case *[]string:
		*to = []string{"early"}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	}
}

func TestAnEventOfALaterVersionIsRead(t *testing.T) {
	got, err := webhook.Parse([]byte(`{"specversion":"1.0","id":"1","source":"https://p.example.com","type":"moon.full",` +
		`"time":"2026-12-01T00:00:00Z","traceparent":"x","data":{"tenant":"acme","summary":"It is full","phase":4}}`))
	if err != nil || got.Common().Summary != "It is full" || got.Type != "moon.full" {
		t.Errorf("%v, %+v", err, got)
	}
	for _, wrong := range []string{``, `[]`, `{}`, `{"specversion":"0.3","id":"1","source":"x","type":"run.finished"}`,
		`{"specversion":"1.0","source":"x","type":"run.finished"}`,
		`{"specversion":"1.0","id":"1","source":"x","type":"run.finished","data":[]}`,
		`{"specversion":"1.0","id":"1","source":"x","type":"run.finished","datacontenttype":"text/xml","data":{}}`,
		strings.Repeat(" ", webhook.MaxEvent+1)} {
		if e, err := webhook.Parse([]byte(wrong)); err == nil {
			t.Errorf("%.60s is read as %+v", wrong, e)
		}
	}
}

func TestAlertingGetsOnlyProblems(t *testing.T) {
	for _, c := range []struct {
		format webhook.Format
		of     webhook.Type
		want   bool
	}{
		{webhook.Slack, webhook.CertificateRenewed, true}, {webhook.PagerDuty, webhook.CertificateRenewed, false},
		{webhook.PagerDuty, webhook.RolloverRefused, true}, {webhook.PagerDuty, webhook.RolloverAccepted, true},
		{webhook.Slack, "moon.full", false},
	} {
		if got := c.format.Takes(c.of); got != c.want {
			t.Errorf("%s takes %s: %v", c.format, c.of, got)
		}
	}
}

func TestALongTextIsShortenedToWhatTheProductAccepts(t *testing.T) {
	e := refused()
	data := *e.Data.(*webhook.RolloverVerdictData)
	data.Summary, data.Problem = strings.Repeat("ä&", 5000), strings.Repeat("p", 300)
	e.Data = &data
	var alert struct {
		DedupKey string `json:"dedup_key"`
		Payload  struct{ Summary string }
	}
	decode(t, webhook.PagerDuty, e, &alert)
	if n := len([]rune(alert.Payload.Summary)); n != 1024 || len(alert.DedupKey) != 64 {
		t.Errorf("PagerDuty gets a summary of %d characters and the key %s", n, alert.DedupKey)
	}
	var message struct {
		Blocks []struct{ Text struct{ Text string } }
	}
	decode(t, webhook.Slack, e, &message)
	if n := len([]rune(message.Blocks[0].Text.Text)); n > 3000 || n < 500 {
		t.Errorf("Slack gets a section of %d characters", n)
	}
}

func decode(t *testing.T, f webhook.Format, e webhook.Event, to any) {
	t.Helper()
	m, err := webhook.Rendering{Format: f}.Render(e)
	if err == nil {
		err = json.Unmarshal(m.Body, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	valid, err := json.Marshal(refused())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"x","type":"moon.full","data":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := webhook.Parse(body)
		if err != nil {
			return
		}
		for _, format := range webhook.Formats() {
			m, err := webhook.Rendering{Format: format}.Render(e)
			if err != nil || !json.Valid(m.Body) {
				if _, plain := json.Marshal(e); plain == nil { // a year beyond 9999 has no form in JSON
					t.Errorf("%s: %v, %s", format, err, m.Body)
				}
			}
		}
	})
}
