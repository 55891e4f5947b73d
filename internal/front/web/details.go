package web

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
	"github.com/perennial-pki/perennial/webhook"
)

// A detail is one detail of an entry of the audit log, for people. The exports have all of them as JSON.
type detail struct {
	label string
	value object
}

// details returns the details of an entry. Those that its object names already, and those without a value, are left
// out.
func (v *view) details(e client.Event) (all []detail) {
	if members(e.Detail) == nil && string(e.Detail) != "{}" && len(e.Detail) > 0 { // of another release
		return []detail{{v.T("Details"), object{text: string(e.Detail)}}}
	}
	return v.detailsOf(e, e.Detail)
}

// A member is a key of a JSON object with its value.
type member struct {
	key   string
	value json.RawMessage
}

// members returns the members of a JSON object in their order; nil for any other value.
func members(object json.RawMessage) (all []member) {
	d := json.NewDecoder(bytes.NewReader(object))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return nil
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil
		}
		name, _ := key.(string)
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil
		}
		all = append(all, member{name, value})
	}
	return all
}

func (v *view) detailsOf(e client.Event, object json.RawMessage) (all []detail) {
	for _, f := range members(object) {
		switch {
		case f.key == "egress": // a group of settings
			all = append(all, v.detailsOf(e, f.value)...)
		case isNamed(e, f):
		default:
			if value := v.detail(e, f.key, f.value); value.text != "" {
				all = append(all, detail{words.Detail(v.lang, f.key), value})
			}
		}
	}
	return all
}

// isNamed reports whether the entry shows a detail as its object, see [view.object], or as its actor.
func isNamed(e client.Event, f member) bool {
	kind, _, _ := strings.Cut(e.Action, ".")
	switch kind + " " + f.key {
	case "token name", "task user", "account account", "import tenant_id", "arrangement name", "receiver name":
		return true
	case "guard reason": // in English; the code states the same
		return words.DetailCode(words.German, "code", codeOf(e)) != codeOf(e)
	}
	var text string
	if json.Unmarshal(f.value, &text) != nil || slices.Contains(freeText, f.key) {
		return false
	}
	return text == e.Object || f.key == "run" && e.Actor == "run "+text
}

// codeOf returns the code of a decision of the guard.
func codeOf(e client.Event) string {
	var detail struct{ Code string }
	json.Unmarshal(e.Detail, &detail) // other details have none
	return detail.Code
}

// detail returns the value of a detail. Its text is empty if there is none.
func (v *view) detail(e client.Event, key string, value json.RawMessage) object {
	var text string
	var number int
	var yes bool
	var list []json.RawMessage
	switch {
	case string(value) == "null":
	case json.Unmarshal(value, &text) == nil:
		return v.detailText(e, key, text)
	case json.Unmarshal(value, &yes) == nil && yes:
		return object{text: v.T("Yes")}
	case json.Unmarshal(value, &yes) == nil:
		return object{text: v.T("No")}
	case json.Unmarshal(value, &number) == nil:
		return object{text: v.detailNumber(key, number)}
	case json.Unmarshal(value, &list) == nil:
		return object{text: v.detailList(e, key, list)}
	case key == "choice":
		var choice client.WorkSelection
		json.Unmarshal(value, &choice) // an unknown one chooses all, as in the API
		return object{text: v.choiceText(choice)}
	case members(value) != nil:
		return object{text: v.detailGroup(e, key, value)}
	case string(value) != "{}":
		return object{text: string(value)}
	}
	return object{}
}

// mayBeUnset are the details whose number 0 means that there is none.
var mayBeUnset = []string{"from", "generation", "validity_seconds", "status"}

func (v *view) detailNumber(key string, number int) string {
	switch {
	case number == 0 && slices.Contains(mayBeUnset, key):
		return ""
	case key == "validity_seconds":
		return v.Days((time.Duration(number) * time.Second).Hours() / 24)
	}
	return v.N(number)
}

// detailList returns the elements of a list. Of things that have only an ID, it returns the number.
func (v *view) detailList(e client.Event, key string, list []json.RawMessage) string {
	var texts []string
	for _, one := range list {
		if !slices.Contains(nameDetails, key) && idForm.MatchString(strings.Trim(string(one), `"`)) {
			return v.N(len(list))
		}
		texts = append(texts, v.detail(e, key, one).text)
	}
	return strings.Join(texts, ", ")
}

// detailGroup returns the members of a value in one line.
func (v *view) detailGroup(e client.Event, key string, value json.RawMessage) string {
	var texts []string
	for _, f := range members(value) {
		text := v.detail(e, f.key, f.value).text
		switch {
		case text == "":
		case key == "source": // its kind and its address
			texts = append(texts, text)
		default:
			texts = append(texts, words.Detail(v.lang, f.key)+": "+text)
		}
	}
	return strings.Join(texts, ", ")
}

// idForm is the form of the IDs of objects.
var idForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (v *view) detailText(e client.Event, key, text string) object {
	if text == "" && e.Action == "account.rights" && key == "role" { // they were withdrawn
		return object{text: v.T("none")}
	}
	if text == "" || slices.Contains(freeText, key) || slices.Contains(nameDetails, key) {
		return object{text: text}
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		if at.IsZero() {
			return object{}
		}
		return v.moment(at)
	}
	if idForm.MatchString(text) {
		return v.byID(key, text)
	}
	if id, ok := strings.CutPrefix(text, "token "); ok && key == "origin" && idForm.MatchString(id) {
		return object{text: v.T("token %s", endOf(id)), id: id}
	}
	return object{text: v.detailCode(e, key, text)}
}

// moment returns an instant in the reader's zone, with UTC in the tooltip if that is another time.
func (v *view) moment(at time.Time) object {
	o := object{text: v.When(at)}
	if v.zone != time.UTC {
		o.id = UTC(at)
	}
	return o
}

// byID returns an object of which only the ID is known: the end of the ID, which differs between objects that were
// created in the same minute, and the page that shows it.
func (v *view) byID(key, id string) object {
	o := object{text: endOf(id), id: id}
	switch key {
	case "authority":
		o.text, o.path = v.T("CA %s", id[:shownID]), "/authorities"
	case "import":
		o.path = importsPath + "/" + id
	case "round":
		o.path = "/test-rounds/" + id
	case "successor":
		o.path = "/tokens"
	}
	if !v.Operator() {
		o.path = ""
	}
	return o
}

// endOf returns the end of an ID, in a form that shows that it is one.
func endOf(id string) string { return "…" + id[len(id)-shownID:] }

// detailCode returns the meaning of a code. Other texts are data, and stay as they are.
func (v *view) detailCode(e client.Event, key, text string) string {
	switch key {
	case "role":
		return v.role(tenancy.Role(text))
	case "source":
		if source := v.source(rollover.Source(text)); source != "" {
			return source
		}
	case "strategy":
		if s := tenancy.Strategy(text); slices.Contains(strategies, s) {
			name, _, _ := strings.Cut(v.strategy(s), ":") // without its explanation
			return name
		}
	case "identifies_by":
		return v.identifier(tenancy.Identifier(text))
	case "surprises":
		return v.surprise(tenancy.WatchSurprise(text))
	case "format":
		return v.hookFormat(text)
	case "types":
		return v.eventName(webhook.Type(text))
	case "why":
		if e.Action == "administrator.stopped" {
			return v.stopReason(text)
		}
	case "credential":
		return v.purpose(tenancy.Purpose(text))
	}
	if meaning := words.DetailCode(v.lang, key, text); meaning != text || !slices.Contains(sentences, key) {
		return meaning
	}
	return words.Read(v.lang, text)
}

// freeText are the details that can hold any text. They are shown exactly as entered, also if they look like a date, an
// ID or the name of their object.
var freeText = []string{"backup", "contact_name", "contains", "content_type", "display_name", "fetched_by", "header",
	"issuer", "other", "product", "program", "san", "scenario", "subject", "system", "text"}

// nameDetails are the details that hold names, which can have the form of an ID.
var nameDetails = []string{"arrangements", "counterparty", "key_user", "name", "of", "receiver", "refused", "user"}

// sentences are the details that may be a text in English.
var sentences = []string{"detail", "error", "outcome", "why"}
