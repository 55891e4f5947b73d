package web

import (
	"maps"
	"net/http"
	"slices"
)

// A question asks before something is done that people or messages depend on. It states the consequence in figures.
type question struct {
	title string   // the question, with the name of the thing
	facts []string // what is lost or changed
	undo  string   // whether and how it can be undone
	verb  string   // text of the button
	back  string   // page to return to
	name  string   // that must be typed; empty if nothing must be
	calm  bool     // true if the action adds something and removes nothing
	file  bool     // true if the answer is a file, and the page stays
}

// An asker returns the question before an action; nil if there is none for this request.
type asker func(c *console, v *view) (*question, error)

// questions holds the actions that ask before they are done, by the pattern of their route.
var questions = map[string]asker{
	"POST /accounts/{account}/delete":                                         (*console).askDeleteAccount,
	"POST /tokens/{token}/revoke":                                             (*console).askRevokeToken,
	"POST /imports/{import}/{verb}":                                           (*console).askMoveImport,
	"POST /account/calendar/revoke":                                           (*console).askRevokeCalendar,
	"POST /account/passkeys/{passkey}/remove":                                 (*console).askRemovePasskey,
	"POST " + partyPages + "/link":                                            (*console).askReplacePartyLink,
	"POST " + partyPages + "/link/revoke":                                     (*console).askRevokePartyLink,
	"POST " + partyPages + "/contacts/{contact}/remove":                       (*console).askRemovePartyContact,
	"POST " + partyPages + "/feed/address":                                    (*console).askReaddressPartyFeed,
	"POST " + partyPages + "/feed/revoke":                                     (*console).askRevokePartyFeed,
	"POST /counterparty-proposals/{host}/dismiss":                             (*console).askDismissProposal,
	"POST /webhooks/{webhook}/delete":                                         (*console).askDeleteWebhook,
	"POST " + tenantPages + "/webhooks/{webhook}/delete":                      (*console).askDeleteWebhook,
	"POST " + partyPages + "/webhooks/{webhook}/delete":                       (*console).askDeleteWebhook,
	"POST " + tenantPages + "/people/{user}/remove":                           (*console).askRemovePerson,
	"POST " + tenantPages + "/certificates/{purpose}/renew":                   (*console).askRenew,
	"POST " + tenantPages + "/certificates/{purpose}/{generation}/revoke":     (*console).askRevokeGeneration,
	"POST " + tenantPages + "/requests/{request}/again":                       (*console).askRepeatRequest,
	"POST " + tenantPages + "/arrangements/{arrangement}/delete":              (*console).askDeleteArrangement,
	"POST " + tenantPages + "/arrangements/{arrangement}/links/{link}/revoke": (*console).askRevokeLink,
	"POST " + tenantPages + "/arrangements/{arrangement}/feed/revoke":         (*console).askRevokeFeed,
	"POST " + tenantPages + "/arrangements/{arrangement}/feed/address":        (*console).askReaddressFeed,
	"POST " + tenantPages + "/watched/{watched}/remove":                       (*console).askRemoveWatched,
	"POST " + tenantPages + "/watched/{watched}/links/{link}/revoke":          (*console).askRevokeWatchLink,
	"POST /test-rounds":                                                       (*console).askTestRound,
	"POST /worklist/links":                                                    (*console).askWorkLinks,
	"POST " + guardPath + "/certificates/{fingerprint}/decision":              (*console).askDecideGuarded,
}

// sure is the field with which the page of a question confirms it, and confirmedName the one into which a name is
// typed.
const sure, confirmedName = "sure", "confirmed_name"

// asked shows the question before an action, unless the reader has answered it. It reports whether it has written an
// answer. The fields of the form are sent again with the confirmation.
func (c *console) asked(v *view, ask asker) (asked bool, err error) {
	q, err := ask(c, v)
	if q == nil || err != nil {
		return false, err
	}
	problem, status := "", http.StatusOK
	if v.r.PostFormValue(sure) == "yes" {
		if q.name == "" || q.name == v.r.PostFormValue(confirmedName) {
			return false, nil
		}
		problem, status = v.T("Nothing was deleted. Type the name to confirm it."), http.StatusUnprocessableEntity
	}
	return true, c.show(v, status, q.title, questionPage(v, *q, v.repeated(), problem))
}

// A pair is a field of a form and its value.
type pair struct{ name, value string }

// repeated returns the fields of the form that was sent, for the confirmation.
func (v *view) repeated() (all []pair) {
	for _, name := range slices.Sorted(maps.Keys(v.r.PostForm)) {
		if name == sure || name == confirmedName {
			continue
		}
		for _, value := range v.r.PostForm[name] {
			all = append(all, pair{name, value})
		}
	}
	return all
}
