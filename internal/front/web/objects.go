package web

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
)

// An object is what an entry of the audit log is about, or the value of a detail: a name that people know, and the page
// that shows it.
type object struct {
	text string
	path string // empty if no page shows it, or none that the reader may see
	id   string // if it is not part of the text
	own  bool   // the page is that of the object alone, and leads to its entries
}

// shownID is the number of characters of an ID that tell the objects of a list apart.
const shownID = 8

// auditedParty returns the page of the counterparty that an entry is about. Hosts that were dismissed have none.
func auditedParty(e client.Event, verb, name string) string {
	if e.Tenant != "" || verb == "deleted" || verb == "proposal-dismissed" {
		return ""
	}
	return partyAt(name)
}

// auditedWebhook returns the page of the webhook that an entry is about.
func auditedWebhook(e client.Event, verb string) string {
	if verb == "deleted" {
		return ""
	}
	if e.Tenant == "" {
		return "/" + e.Object
	}
	return "/tenants/" + e.Object
}

// object returns the object of an entry of the audit log.
func (v *view) object(e client.Event) object {
	var detail struct{ Name, User, Account string }
	json.Unmarshal(e.Detail, &detail) // other details have no names
	kind, verb, _ := strings.Cut(e.Action, ".")
	first, rest, _ := strings.Cut(e.Object, "/")
	o := object{text: e.Object}
	o.own = verb != "deleted" && verb != "removed" && slices.Contains([]string{"arrangement", "feed", "link", "key-user",
		"counterparty", "webhook", "watched", "watch-link", "import"}, kind)
	switch kind {
	case "arrangement", "feed", "link":
		if o.path = arrangementPath(e.Object); verb == "deleted" {
			o.path = ""
		}
	case "certificate", "credential":
		o.path = in(first, "certificates")
	case "key-user":
		if o.path = in(e.Tenant, "people", rest); verb == "deleted" {
			o.path = in(e.Tenant, "people")
		}
	case "it-contacts":
		o.path = in(e.Tenant, "people")
	case "receiver":
		o.path = in(e.Tenant, "administrators")
	case "administrator":
		if o.path = in(e.Tenant, "administrators"); e.Tenant == "" {
			o.path = partyAt(first)
		}
	case "counterparty":
		o.path = auditedParty(e, verb, first)
	case "webhook":
		o.path = auditedWebhook(e, verb)
	case "tests":
		o = object{text: v.T("tests of receivers"), path: "/test-rounds/" + e.Object, id: e.Object}
	case "scope", "scoping-project":
		o.path = in(e.Tenant, "scope")
	case "tenant", "arrangements":
		o.path = in(first)
	case "watched", "watch-link":
		o.path = in(first, "watched", strings.TrimPrefix(rest, "watched/"))
		if verb == "removed" {
			o.path = in(first, "watched")
		}
	case "task":
		o = object{text: v.T("task of %s", detail.User), path: in(e.Tenant, "tasks"), id: e.Object}
	case "mail":
		o = object{text: v.T("mail to people of %s", e.Tenant), path: "/deliveries", id: e.Object}
	case "token":
		o = object{text: v.T("token %s", detail.Name), path: "/tokens", id: e.Object}
	case "import":
		o = object{text: v.T("import"), path: importsPath + "/" + e.Object, id: e.Object, own: true}
		if verb == "taken-back" {
			o = object{text: e.Object}
		}
	case "account", "calendar", "session":
		o = object{text: e.Object, path: "/accounts"}
		if detail.Account != "" {
			o.text = detail.Account
		}
	case "authority":
		o = object{text: v.T("CA %s", e.Object[:min(len(e.Object), shownID)]), path: "/authorities", id: e.Object}
	case "run":
		if date, err := time.Parse(time.RFC3339, e.Object); err == nil {
			o = v.moment(date)
		}
		o.path = "/runs"
	case "guard":
		o.path = guardPath
	}
	if !v.Operator() && !strings.HasPrefix(o.path, in(v.account.Tenant)) {
		o.path = ""
	}
	o.own = o.own && o.path != ""
	return o
}
