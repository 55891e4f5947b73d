package web

import (
	"strings"
	"time"
)

// actor returns the name of an actor of the audit log in the reader's language. Names of people and tokens stay as they
// are, and so does the name by which entries are found.
func (v *view) actor(name string) string {
	if text, found := v.parts()[name]; found {
		return text
	}
	kind, rest, _ := strings.Cut(name, " ")
	switch kind {
	case "run":
		if date, err := time.Parse(time.RFC3339, rest); err == nil {
			return v.T("run") + " " + v.When(date)
		}
	case "link":
		id, of, _ := strings.Cut(rest, " of ")
		if idForm.MatchString(id) {
			return strings.TrimSpace(v.T("link") + " " + endOf(id) + " " + of)
		}
	}
	for _, kind := range []struct{ prefix, text string }{
		{"operator token ", v.T("operator token")},
		{"operator ", v.T("operator")},
		{"sender token ", v.T("sender token")},
		{"gateway token ", v.T("gateway token")},
		{"key user ", v.T("key user")},
		{"key-user ", v.T("key user")},
		{"link in a mail to ", v.T("link in a mail to")},
		{"page of ", v.T("page of")},
		{"feed of the counterparty ", v.T("feed of the counterparty")},
		{"feed of ", v.T("feed of")},
	} {
		if rest, found := strings.CutPrefix(name, kind.prefix); found {
			return kind.text + " " + rest
		}
	}
	return name
}

// parts returns the names of the parts of the service that change something by themselves, and of what creates links.
func (v *view) parts() map[string]string {
	return map[string]string{
		"command line": v.T("command line"),
		"feeds":        v.T("feeds"),
		"first start":  v.T("first start"),
		"gateway":      v.T("gateway"),
		"guard":        v.T("guard"),
		"issuer":       v.T("issuer"),
		"mail":         v.T("mail delivery"),
		"probe":        v.T("test"),
		"roll-over":    v.T("roll-over"),
		"run":          v.T("run"),
		"sign-in":      v.T("sign-in"),
		"tokens":       v.T("tokens"),
		"watch":        v.T("watching"),
		"webhooks":     v.T("webhooks"),

		"mail to the administrator": v.T("mail to the administrator"),
		"mail to the key users":     v.T("mail to the key users"),
	}
}
