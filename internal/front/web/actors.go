package web

import "strings"

// actor returns the name of an actor of the audit log in the reader's language. Names of people and tokens stay as they
// are, and so does the name by which entries are found.
func (v *view) actor(name string) string {
	switch name {
	case "run":
		return v.T("run")
	case "roll-over":
		return v.T("roll-over")
	case "mail":
		return v.T("mail delivery")
	case "sign-in":
		return v.T("sign-in")
	case "first start":
		return v.T("first start")
	case "mail to the administrator":
		return v.T("mail to the administrator")
	case "mail to the key users":
		return v.T("mail to the key users")
	}
	for _, kind := range []struct{ prefix, text string }{
		{"operator token ", v.T("operator token")},
		{"operator ", v.T("operator")},
		{"sender token ", v.T("sender token")},
		{"gateway token ", v.T("gateway token")},
		{"key user ", v.T("key user")},
		{"key-user ", v.T("key user")},
		{"link in a mail to ", v.T("link in a mail to")},
	} {
		if rest, found := strings.CutPrefix(name, kind.prefix); found {
			return kind.text + " " + rest
		}
	}
	return name
}
