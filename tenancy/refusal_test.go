package tenancy

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestARefusalRuleReadsBackAsWritten(t *testing.T) {
	for text, want := range map[string]RefusalRule{
		"status=302 header=Location contains=/login": {Status: 302, Header: "Location", Contains: "/login"},
		`status=200 type=text/html text="Sign in"`:   {Status: 200, ContentType: "text/html", Text: "Sign in"},
		`text="a \"quoted\" text"`:                   {Text: `a "quoted" text`},
		"preset=sap-login":                           {Preset: "sap-login"},
		"status=404":                                 {Status: 404},
		"header=Location contains=a=b":               {Header: "Location", Contains: "a=b"},
	} {
		got, err := ParseRefusalRule("  " + text + " ")
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v, %v, written as %s", text, got, err, got)
		}
	}
}

func TestARefusalRuleThatWouldRefuseSuccessIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "would refuse successful answers",
		"status=200":                 "would refuse successful answers",
		"status=204":                 "would refuse successful answers",
		"status=199":                 "use 200 to 599",
		"status=600":                 "use 200 to 599",
		"status=x":                   `invalid status "x"`,
		"status=302 header=Location": "needs header and contains together",
		"contains=login":             "needs header and contains together",
		"preset=unknown":             "names an unknown preset: use aws-api-gateway, iis, login-redirect",
		"preset=iis status=403":      "has marks besides its preset",
		"login":                      "is not NAME=VALUE",
		"path=/login":                `unknown mark "path"`,
		"text=":                      "the value of text is empty",
		`text="open`:                 "no closing quote",
		`text="a"b`:                  "a space is missing",
		"text=" + strings.Repeat("a", maxRefusalMark+1): "a value is longer than 256 bytes",
	} {
		_, err := ParseRefusalRule(text)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if err := (Egress{RefusalRules: slices.Repeat([]RefusalRule{{Status: 404}}, maxRefusals)}).Check(); err != nil {
		t.Error(err)
	}
	if err := (Egress{RefusalRules: slices.Repeat([]RefusalRule{{Status: 404}}, maxRefusals+1)}).Check(); err == nil {
		t.Error("too many rules are taken")
	}
	if err := (Egress{RefusalRules: []RefusalRule{{Status: 200}}}).Check(); err == nil {
		t.Error("an invalid rule is taken")
	}
}

func TestPresetsExpandToValidRules(t *testing.T) {
	if got := (Egress{}).Refusals(); !slices.Equal(got, []RefusalRule{{Status: 401}, {Status: 403}}) {
		t.Errorf("by default: %v", got)
	}
	e := Egress{RefusalStatuses: []int{404}, RefusalRules: []RefusalRule{{Status: 302, ContentType: "text/html"},
		{Preset: "sap-login"}}}
	want := []RefusalRule{{Status: 404}, {Status: 302, ContentType: "text/html"},
		{Status: 200, ContentType: "text/html", Text: "sap-system-login"}}
	if got := e.Refusals(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, name := range RefusalPresets() {
		if err := (RefusalRule{Preset: name}).Check(); err != nil {
			t.Error(err)
		}
		for _, r := range refusalPresets[name] {
			if err := r.Check(); err != nil || r.Preset != "" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func FuzzParseRefusalRule(f *testing.F) {
	f.Add(`status=302 header=Location contains="/log in" text="\u00fc"`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRefusalRule(text)
		if err != nil {
			return
		}
		if again, err := ParseRefusalRule(r.String()); err != nil || again != r {
			t.Errorf("%+v is written as %s, and read as %+v, %v", r, r, again, err)
		}
	})
}
