package web

import (
	"net/http"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/client"
)

// guardPath is that of the page and of the API.
const guardPath = "/guard"

// guarded shows the guard that runs in the service: first what waits for a decision.
func (c *console) guarded(v *view) error {
	g, err := get[client.Guard](c, v, guardPath)
	if err != nil {
		return err
	}
	var held client.Page[client.GuardCertificate]
	if g.Held > 0 {
		if held, err = get[client.Page[client.GuardCertificate]](c, v, guardPath+"/certificates?standing=held"); err != nil {
			return err
		}
	}
	list, err := paged[client.GuardCertificate](c, v, guardPath+"/certificates")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Guard"), guardPage(v, g, held.Items, list))
}

// decideGuarded accepts or refuses a certificate.
func (c *console) decideGuarded(v *view) error {
	body := client.GuardDecision{Partner: v.r.PostFormValue("partner"), Standing: v.r.PostFormValue("standing")}
	path := guardPath + "/certificates/" + escape(v.r.PathValue("fingerprint")) + "/decision"
	decided, err := post[client.GuardCertificate](c, v, path, body)
	if err != nil {
		return err
	}
	if decided.Standing == client.GuardDeclined {
		return c.done(v, guardPath, v.T("The certificate of %s is refused from now on.", decided.Partner))
	}
	return c.done(v, guardPath, v.T("The certificate of %s is accepted from now on.", decided.Partner))
}

// standing returns the state of a partner's certificate.
func (v *view) standing(g client.GuardCertificate) stateOf {
	switch g.Standing {
	case client.GuardHeld:
		return stateOf{"wait", v.T("Needs your decision")}
	case client.GuardDeclined:
		return stateOf{"bad", v.T("Refused")}
	}
	return stateOf{"good", v.T("Accepted")}
}

// decidedBy names what has decided about a partner's certificate.
func (v *view) decidedBy(g client.GuardCertificate) string {
	if g.By == "feed" && g.Feed != "" {
		return v.T("feed %s", g.Feed)
	}
	switch g.By {
	case "configuration":
		return v.T("configuration")
	case "rule":
		return v.T("rule")
	case "feed":
		return v.T("feed")
	}
	return g.By
}

// guardReason states in the reader's language why a certificate was not accepted by the rule.
func (v *view) guardReason(g client.GuardCertificate) string {
	switch acceptance.Code(g.Code) {
	case acceptance.OtherCA:
		return v.T("It is issued by a CA that is not known for this partner. Anyone can create such a certificate with the " +
			"partner's name.")
	case acceptance.OtherSubject:
		return v.T("It has another subject than the known certificate.")
	case acceptance.OutsideWindow:
		return v.T("It came at a time at which the partner is not expected to renew its certificate.")
	case acceptance.SecondSuccessor:
		return v.T("It is a second new certificate within one renewal.")
	case acceptance.WeakKey:
		return v.T("Its key is weaker than that of the known certificate.")
	case acceptance.NotListed:
		return v.T("The rule of this partner accepts only certificates that are listed.")
	case acceptance.Ambiguous:
		return v.T("It could belong to more than one partner.")
	case acceptance.Older:
		return v.T("It was issued before the known certificate.")
	}
	return g.Reason
}
