package web

import (
	"encoding/json"
	"strings"

	"github.com/perennial-pki/perennial/client"
)

// An object is the thing that an entry of the audit log is about: a name that people know, and the page that shows it.
type object struct {
	text string
	path string // empty if no page shows it, or none that the reader may see
	id   string // if it is not part of the text
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
		o = object{v.T("tests of receivers"), "/test-rounds/" + e.Object, e.Object}
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
		o = object{v.T("task of %s", detail.User), in(e.Tenant, "tasks"), e.Object}
	case "mail":
		o = object{v.T("mail to people of %s", e.Tenant), "/deliveries", e.Object}
	case "token":
		o = object{v.T("token %s", detail.Name), "/tokens", e.Object}
	case "import":
		o = object{v.T("import"), importsPath + "/" + e.Object, e.Object}
		if verb == "taken-back" {
			o = object{text: e.Object}
		}
	case "account", "calendar", "session":
		o = object{e.Object, "/accounts", ""}
		if detail.Account != "" {
			o.text = detail.Account
		}
	case "authority":
		o = object{v.T("CA %s", e.Object[:min(len(e.Object), shownID)]), "/authorities", e.Object}
	case "run":
		o.path = "/runs"
	case "guard":
		o.path = guardPath
	}
	if !v.Operator() && !strings.HasPrefix(o.path, in(v.account.Tenant)) {
		o.path = ""
	}
	return o
}
