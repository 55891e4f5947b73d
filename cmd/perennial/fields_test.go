package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/perennial-pki/perennial/internal/front/api"
)

// A fieldWorld runs every command that calls the API against a service that accepts everything, and records what each
// sends.
type fieldWorld struct {
	app     *kong.Application
	service *httptest.Server
	// paths are those of the API, with {parameters}, split at slashes.
	paths [][]string
	files [2]string // certificates
	dir   string
	sent  map[string]string
}

func newFieldWorld(t *testing.T) *fieldWorld {
	t.Helper()
	w := &fieldWorld{dir: t.TempDir()}
	var none *elsewhere
	for i := range w.files {
		w.files[i] = filepath.Join(w.dir, fmt.Sprint("certificate", i, ".pem"))
		check(t, os.WriteFile(w.files[i], pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
			Bytes: none.issue(t, "root", true, time.Now().AddDate(1, 0, 0), nil).cert.Raw}), 0o600))
	}
	t.Setenv("PASSPHRASE", "sixteen characters")
	t.Setenv("OTHER_PASSPHRASE", "eighteen characters")
	data, err := api.OpenAPI("test")
	check(t, err)
	var described struct{ Paths map[string]json.RawMessage }
	check(t, json.Unmarshal(data, &described))
	for path := range described.Paths {
		w.paths = append(w.paths, strings.Split(path, "/"))
	}
	parser, err := kong.New(&cli{}, options(env{})...)
	check(t, err)
	w.app = parser.Model
	w.service = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		w.record(t, r)
		answer.Header().Set("ETag", `"1"`)
		io.WriteString(answer, `{"stage":"announced","items":[],"generations":[{"generation":1}],"id":"served",`+
			`"name":"served","state":"open","url":"u","csr":"c","answer":"yes","email":"e","event":{}}`)
	}))
	t.Cleanup(w.service.Close)
	return w
}

// record records the fields of a request by their location, as the API names them.
func (w *fieldWorld) record(t *testing.T, r *http.Request) {
	t.Helper()
	parts := strings.Split(r.URL.EscapedPath(), "/")
	for _, path := range w.paths {
		if !slices.EqualFunc(path, parts, func(of, part string) bool { return of == part || strings.HasPrefix(of, "{") }) {
			continue
		}
		w.sent["operation"] = r.Method + " " + strings.Join(path, "/")
		for i, of := range path {
			if strings.HasPrefix(of, "{") {
				w.sent["path."+strings.Trim(of, "{}")] = parts[i]
			}
		}
	}
	for name, values := range r.URL.Query() {
		w.sent["query."+name] = strings.Join(values, " ")
	}
	var body any
	if data, err := io.ReadAll(r.Body); err == nil && len(data) > 0 {
		check(t, json.Unmarshal(data, &body))
		w.recordBody("body", body)
	}
}

func (w *fieldWorld) recordBody(location string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, one := range v {
			w.recordBody(location+"."+name, one)
		}
	case []any:
		for i, one := range v {
			w.recordBody(fmt.Sprintf("%s[%d]", location, i), one)
		}
	default:
		w.sent[location] = fmt.Sprint(v)
	}
}

// commands returns the commands that call the API.
func (w *fieldWorld) commands() (all []*kong.Node) {
	for _, leaf := range w.app.Leaves(false) {
		if leaf.Target.Kind() == reflect.Struct && leaf.Target.FieldByName("Token").IsValid() &&
			leaf.Target.FieldByName("URL").IsValid() {
			all = append(all, leaf)
		}
	}
	return all
}

// values returns two values of a flag or an argument.
func (w *fieldWorld) values(v *kong.Value) [2]string {
	byPlaceholder := map[string][2]string{
		"DATE": {"2026-10-01", "2026-11-01"}, "STATUS": {"418", "419"}, `"GET /PATH"`: {"GET /a", "PUT /b"},
		"FILE": w.files, "REF": {"env:PASSPHRASE", "env:OTHER_PASSPHRASE"}, "RULE": {"subject", "san"},
		"sha256/...": {"sha256/a", "sha256/b"},
	}
	byName := map[string][2]string{
		"tenant/arrangement": {"t/a", "u/b"}, "tenant/receiver": {"t/a", "u/b"}, "date": {"2026-10-01", "2026-11-01"},
		"file": w.files, "contacts": {"A <a@example.com>", "B <b@example.com>"}, "product": {"nginx", "haproxy"},
		"refusal-rule": {"status=418", "status=419"}, "overlap": {"5h", "7h"}, "system": {"a=subject", "b=san"},
		"encoding": {"utf-8", "windows-1252"},
	}
	switch {
	case v.Flag != nil && v.Flag.Short == 'o':
		return [2]string{filepath.Join(w.dir, rand.Text()), filepath.Join(w.dir, rand.Text())}
	case byName[v.Name][0] != "":
		return byName[v.Name]
	case byPlaceholder[v.Tag.PlaceHolder][0] != "":
		return byPlaceholder[v.Tag.PlaceHolder]
	case v.Enum != "":
		some := given(v.EnumSlice())
		return [2]string{some[0], some[len(some)-1]}
	case v.IsBool():
		return [2]string{"true", "true"}
	case strings.HasSuffix(v.Target.Type().String(), "Duration"):
		return [2]string{"5h", "7h"}
	case v.Target.Type() == reflect.TypeFor[count]() || v.Target.Type() == reflect.TypeFor[*count]():
		return [2]string{"5", "7"}
	}
	return [2]string{"first", "second"}
}

// arguments returns a command line with the required arguments and flags. Those in changed have their second value.
func (w *fieldWorld) arguments(command *kong.Node, changed *kong.Value) []string {
	var names, args []string
	for n := command; n.Parent != nil; n = n.Parent {
		names = append([]string{n.Name}, names...)
	}
	for _, v := range command.Positional {
		switch {
		case v == changed:
			args = append(args, w.values(v)[1])
		case v.Required:
			args = append(args, w.values(v)[0])
		}
	}
	for _, f := range command.Flags {
		flag := "--" + f.Name + "="
		switch {
		case f.Name == "url":
			args = append(args, flag+w.service.URL)
		case f.Name == "token":
			args = append(args, flag+"x")
		case f.Value == changed:
			args = append(args, flag+w.values(f.Value)[1])
		case f.Required:
			args = append(args, flag+w.values(f.Value)[0])
		}
	}
	return append(names, args...)
}

// run runs a command, and returns the fields of what it sends.
func (w *fieldWorld) run(args ...string) (sent map[string]string, out, errs string, status int) {
	w.sent = map[string]string{}
	var stdout, stderr bytes.Buffer
	status = run(args, env{in: strings.NewReader(""), out: &stdout, err: &stderr, now: time.Now})
	return w.sent, stdout.String(), stderr.String(), status
}

// optional returns the arguments and flags that say something to the service.
func optional(command *kong.Node) (all []*kong.Value) {
	all = slices.Clone(command.Positional)
	for _, f := range command.Flags {
		if !slices.Contains([]string{"url", "token", "ca", "output", "help"}, f.Name) {
			all = append(all, f.Value)
		}
	}
	return all
}

// If an argument or a flag changes a field of a request, then an answer about this field must name it. A new command is
// covered without a change here.
func TestAnswersAboutFieldsNameTheFlagOrArgument(t *testing.T) {
	w := newFieldWorld(t)
	checked := 0
	for _, command := range w.commands() {
		for _, v := range optional(command) {
			before, _, _, _ := w.run(w.arguments(command, nil)...)
			args := w.arguments(command, v)
			after, _, _, _ := w.run(args...)
			parser, err := kong.New(&cli{}, options(env{})...)
			check(t, err)
			ctx, err := parser.Parse(args)
			if err != nil {
				continue // it needs another flag
			}
			for _, location := range slices.Sorted(maps.Keys(after)) {
				value := w.values(v)[1]
				if before[location] == after[location] || location == "operation" ||
					before["operation"] != after["operation"] && !strings.Contains(value, after[location]) {
					continue // it is the same, or belongs to the other operation that is called now
				}
				checked++
				named := valueOf(ctx, strings.TrimPrefix(location, "body."))
				if named == nil {
					t.Errorf("%q: an answer about %s does not name %s", args, location, v.ShortSummary())
				} else if named.Name != v.Name {
					t.Errorf("%q: an answer about %s names %s, not %s", args, location, named.ShortSummary(), v.ShortSummary())
				}
			}
		}
	}
	if checked < 300 {
		t.Errorf("only %d fields were checked", checked)
	}
	t.Log("fields:", checked)
}

// Programs read JSON from every command, and people read what has happened.
func TestEveryCommandPrintsItsResult(t *testing.T) {
	w := newFieldWorld(t)
	checked := 0
	for _, command := range w.commands() {
		for _, v := range append([]*kong.Value{nil}, optional(command)...) {
			args := w.arguments(command, v)
			_, out, errs, status := w.run(append(args, "--output=json")...)
			answer := out
			if status != exitOK {
				lines := strings.Split(strings.TrimSpace(errs), "\n")
				answer = lines[len(lines)-1]
			} else if checked++; errs != "" {
				t.Errorf("%q prints %q as an error", args, errs)
			}
			if !json.Valid([]byte(answer)) {
				t.Errorf("%q prints no JSON (%d): %q", args, status, answer)
			}
			if _, out, _, status := w.run(args...); status == exitOK && strings.TrimSpace(out) == "" {
				t.Errorf("%q prints nothing", args)
			}
		}
	}
	if checked < 300 {
		t.Errorf("only %d commands succeeded", checked)
	}
	t.Log("commands:", checked)
}

// What the service or the parser says about a command line is in the words of the command line.
func TestErrorsNameWhatWasTyped(t *testing.T) {
	var status int
	var answer string
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Method == http.MethodGet && strings.Contains(answer, "max_tls") {
			io.WriteString(w, "{}")
			return
		}
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}))
	t.Cleanup(service.Close)
	for _, c := range []struct {
		status int
		answer string
		line   string
		want   string
	}{
		{422, `{"detail":"validation failed","errors":[{"location":"body.egress.max_tls","message":"wrong"}]}`,
			"arrangement change acme crm --tls-max 1.1", "perennial: --tls-max: wrong\n"},
		{422, `{"detail":"validation failed","errors":[{"location":"path.generation","message":"wrong"},` +
			`{"location":"body.unknown","message":"odd"}]}`,
			"certificate show acme --generation 5", "perennial: --generation: wrong; unknown: odd\n"},
		{422, `{"detail":"url: is not https","errors":[{"location":"body.url","message":"is not https"}]}`,
			"webhook create w --endpoint x", "perennial: --endpoint: is not https\n"},
		{422, `{"detail":"validation failed","errors":[{"location":"body[0].email","message":"wrong"}]}`,
			"contact set acme A<a@example.com>", "perennial: <contacts> ...: wrong\n"},
		{401, `{"detail":"this token is unknown"}`, "tenant list", service.URL + " refuses the token: this token is " +
			"unknown. Set PERENNIAL_TOKEN to a valid token of this service. An operator creates one: perennial token create " +
			"NAME --role ROLE. If no operator has a valid token, add --database URL on the host of the service\n"},
		{0, "", "rollover show acme crm", "unexpected argument crm: write <tenant/arrangement> with a slash: acme/crm\n"},
		{0, "", "rollover choose acme crm 2", "write <tenant/arrangement> with a slash: acme/crm\n"},
		{0, "", "counterparty unlink bank acme erp", "write <tenant/receiver> with a slash: acme/erp\n"},
		{0, "", "arrangement show acme/crm", "write <tenant> <name> with a space: acme crm\n"},
		{0, "", "rollover show acme", `"acme": write TENANT/ARRANGEMENT, such as acme/crm-to-erp` + "\n"},
		{0, "", "rollover show acme/", `"acme/": write TENANT/ARRANGEMENT, such as acme/crm-to-erp` + "\n"},
		{0, "", "event list --limit -1", `--limit: expected a whole number of at least 0 but got "-1"` + "\n"},
		{0, "", "find acme --limit=0", `--limit: expected a whole number of at least 1 but got "0"` + "\n"},
		{0, "", "rollover choose acme/crm none",
			`<generation>: expected a whole number of at least 1 but got "none"` + "\n"},
	} {
		status, answer = c.status, c.answer
		var out, errs bytes.Buffer
		args := append(strings.Fields(c.line), "--url="+service.URL, "--token=x")
		got := run(args, env{out: &out, err: &errs, now: time.Now})
		if got == exitOK || !strings.HasSuffix(errs.String(), c.want) {
			t.Errorf("%s: %d %s, want %s", c.line, got, &errs, c.want)
		}
	}
}

// A number on the command line is checked before anything is sent.
func TestEveryWholeNumberHasALeastValue(t *testing.T) {
	for _, command := range newFieldWorld(t).commands() {
		for _, v := range optional(command) {
			kind := v.Target.Type()
			if kind.Kind() == reflect.Pointer {
				kind = kind.Elem()
			}
			if strings.HasPrefix(kind.Kind().String(), "int") && kind != reflect.TypeFor[count]() &&
				kind != reflect.TypeFor[time.Duration]() {
				t.Errorf("%s %s is a %s, not a count", command.Path(), v.ShortSummary(), kind)
			}
		}
	}
}
