package tenancy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A RefusalRule describes answers by which a receiver refuses a certificate. Every key that is set must match. A
// pattern is a part of the text, and case does not matter.
type RefusalRule struct {
	// Preset names the rules of a known product. It stands alone.
	Preset string `json:"preset,omitempty"`
	// Status is an HTTP status from 200 to 599. 0 matches 300 to 599.
	Status int `json:"status,omitempty"`
	// Header is the name of a header whose value contains Contains.
	Header   string `json:"header,omitempty"`
	Contains string `json:"contains,omitempty"`
	// ContentType is a media type without parameters, such as text/html.
	ContentType string `json:"content_type,omitempty"`
	// Text is contained in the first [RefusalTextBytes] of the body.
	Text string `json:"text,omitempty"`
}

// RefusalTextBytes is the number of bytes of a body that are searched for the text of a rule.
const RefusalTextBytes = 8 << 10

// Limits of the rules of one arrangement.
const (
	maxRefusals    = 20
	maxRefusalMark = 256
)

// refusalPresets are the refusals of known products.
var refusalPresets = map[string][]RefusalRule{
	// Web applications that offer a login instead of an error.
	"login-redirect": {
		{Status: 302, Header: "Location", Contains: "login"}, {Status: 303, Header: "Location", Contains: "login"},
		{Status: 307, Header: "Location", Contains: "login"}, {Status: 302, Header: "Location", Contains: "signin"},
		{Status: 303, Header: "Location", Contains: "signin"}, {Status: 302, Header: "Location", Contains: "saml"},
		{Status: 302, Header: "Location", Contains: "/authorize"}, {Status: 303, Header: "Location", Contains: "/authorize"},
	},
	// The logon form of the SAP Internet Communication Framework, which comes with status 200.
	"sap-login": {{Status: 200, ContentType: "text/html", Text: "sap-system-login"}},
	// The fault codes of WS-Security 1.1 (OASIS, section 12) that refuse a sender.
	"soap-fault": {
		{Status: 500, Text: "FailedAuthentication"}, {Status: 500, Text: "InvalidSecurityToken"},
		{Status: 500, Text: "FailedCheck"}, {Status: 400, Text: "FailedAuthentication"},
		{Status: 200, Text: "wsse:FailedAuthentication"},
	},
	// The substatus codes of Internet Information Services that concern the client certificate.
	"iis": {{Status: 403, Text: "403.7"}, {Status: 403, Text: "403.13"}, {Status: 403, Text: "403.16"},
		{Status: 403, Text: "client certificate"}},
	// Amazon API Gateway with mutual TLS.
	"aws-api-gateway": {{Status: 403, Header: "x-amzn-ErrorType", Contains: "ForbiddenException"}},
}

// RefusalPresets lists the names of the presets.
func RefusalPresets() []string { return slices.Sorted(maps.Keys(refusalPresets)) }

// Refusals returns the rules of the arrangement with its presets expanded: its statuses, by default 401 and 403, and
// its own rules.
func (e Egress) Refusals() (rules []RefusalRule) {
	statuses := e.RefusalStatuses
	if len(statuses) == 0 {
		statuses = []int{401, 403}
	}
	for _, s := range statuses {
		rules = append(rules, RefusalRule{Status: s})
	}
	for _, r := range e.RefusalRules {
		if r.Preset != "" {
			rules = append(rules, refusalPresets[r.Preset]...)
		} else {
			rules = append(rules, r)
		}
	}
	return rules
}

// String returns the rule as [ParseRefusalRule] reads it.
func (r RefusalRule) String() string {
	var parts []string
	add := func(name, value string) {
		if value == "" {
			return
		}
		if quoted := strconv.Quote(value); quoted != `"`+value+`"` || strings.Contains(value, " ") {
			value = quoted
		}
		parts = append(parts, name+"="+value)
	}
	add("preset", r.Preset)
	if r.Status != 0 {
		add("status", strconv.Itoa(r.Status))
	}
	add("header", r.Header)
	add("contains", r.Contains)
	add("type", r.ContentType)
	add("text", r.Text)
	return strings.Join(parts, " ")
}

// ParseRefusalRule reads a rule such as: status=302 header=Location contains=/login. A value with spaces is quoted, as
// in text="sign in". It returns an [ErrInvalid] for anything else.
func ParseRefusalRule(text string) (r RefusalRule, err error) {
	const field = "egress.refusal_rules"
	fields := map[string]*string{"preset": &r.Preset, "header": &r.Header, "contains": &r.Contains,
		"type": &r.ContentType, "text": &r.Text}
	rest := strings.TrimSpace(text)
	for rest != "" {
		name, after, found := strings.Cut(rest, "=")
		if !found {
			return r, Invalid(field, "%q is not NAME=VALUE: an example is status=302 header=Location contains=/login", rest)
		}
		value := after
		if strings.HasPrefix(after, `"`) {
			quoted, err := strconv.QuotedPrefix(after)
			if err != nil {
				return r, Invalid(field, "the value of %s has no closing quote", name)
			}
			value, _ = strconv.Unquote(quoted) // QuotedPrefix returned it
			after = after[len(quoted):]
			if after != "" && after[0] != ' ' {
				return r, Invalid(field, "a space is missing after the value of %s", name)
			}
		} else if value, after, found = strings.Cut(after, " "); !found {
			after = ""
		}
		switch into := fields[name]; {
		case name == "status":
			if r.Status, err = strconv.Atoi(value); err != nil {
				return r, Invalid(field, "invalid status %q: use a number such as 302", value)
			}
		case into == nil:
			return r, Invalid(field, "unknown mark %q: use preset, status, header, contains, type, text", name)
		case value == "":
			return r, Invalid(field, "the value of %s is empty", name)
		default:
			*into = value
		}
		rest = strings.TrimSpace(after)
	}
	return r, r.Check()
}

// checkRefusals returns an [ErrInvalid] if a rule is not valid.
func checkRefusals(rules []RefusalRule) error {
	if len(rules) > maxRefusals {
		return Invalid("egress.refusal_rules", "has more than %d rules", maxRefusals)
	}
	for _, r := range rules {
		if err := r.Check(); err != nil {
			return err
		}
	}
	return nil
}

// Check returns an [ErrInvalid] if the rule is not valid.
func (r RefusalRule) Check() error {
	invalid := func(format string, args ...any) error {
		return Invalid("egress.refusal_rules", "the rule %q %s", r.String(), fmt.Sprintf(format, args...))
	}
	for _, mark := range []string{r.Preset, r.Header, r.Contains, r.ContentType, r.Text} {
		if len(mark) > maxRefusalMark {
			return Invalid("egress.refusal_rules", "a value is longer than %d bytes", maxRefusalMark)
		}
	}
	switch _, known := refusalPresets[r.Preset]; {
	case r.Preset != "" && r != RefusalRule{Preset: r.Preset}:
		return invalid("has marks besides its preset: use two rules")
	case r.Preset != "" && !known:
		return invalid("names an unknown preset: use %s", strings.Join(RefusalPresets(), ", "))
	case r.Preset != "":
		return nil
	case r.Status != 0 && (r.Status < 200 || r.Status > 599):
		return invalid("has an invalid status: use 200 to 599")
	case (r.Header == "") != (r.Contains == ""):
		return invalid("needs header and contains together")
	case r.Status < 300 && r.Header == "" && r.Text == "" && r.ContentType == "":
		return invalid("would refuse successful answers: add a status from 300 to 599, a header, a type or a text")
	}
	return nil
}
