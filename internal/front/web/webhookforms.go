package web

import (
	"github.com/a-h/templ"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/webhook"
)

// webhookInputs returns the fields of the form for a new webhook that each format has.
func (v *view) webhookInputs() []input {
	format := input{name: "format", label: v.T("Format"), kind: "select"}
	for _, f := range webhook.Formats() {
		format.options = append(format.options, option{string(f), v.hookFormat(string(f))})
	}
	return []input{
		{name: "name", label: v.T("Name"), required: true, attributes: plain,
			hint: v.T("Lowercase letters, digits and hyphens, for example chat")},
		format,
		{name: "url", label: v.T("URL"), kind: "url", attributes: plain,
			hint: v.T("The https URL of the endpoint. PagerDuty needs none. Only its host is shown later.")},
	}
}

// specialWebhookInputs returns the fields that only some webhooks need.
func (v *view) specialWebhookInputs() []input {
	return []input{
		{name: "routing_key", label: v.T("Integration key"), hint: v.T("Only for PagerDuty"), attributes: plain},
		{name: "authorization", label: v.T("Authorization"), attributes: plain,
			hint: v.T("Value of the header, for example Bearer and a token. Optional.")},
		{name: "template", label: v.T("Template of a ticket"), kind: "textarea", rows: 4,
			attributes: templ.Attributes{"spellcheck": "false"},
			hint:       v.T("JSON with placeholders such as {{summary}} and {{link}}. Optional.")},
	}
}

// changedWebhookInputs returns the fields of the form that changes a webhook: those that its format has. Secrets are
// not shown.
func (v *view) changedWebhookInputs(h client.Webhook) []input {
	unchanged := v.T("Leave it empty to keep the present value.")
	all := []input{{name: "url", label: v.T("URL"), kind: "url", attributes: plain,
		hint: v.T("An https URL, now at %s.", h.Host) + " " + unchanged}}
	if webhook.Format(h.Format) == webhook.PagerDuty {
		all = append(all, input{name: "routing_key", label: v.T("Integration key"), attributes: plain,
			hint: unchanged + " " + v.T("It is needed again for another server.")})
	}
	all = append(all, input{name: "authorization", label: v.T("Authorization"), attributes: plain,
		hint: unchanged + " " + v.T("It is needed again for another server.")})
	if webhook.Format(h.Format) == webhook.Ticket {
		all = append(all, input{name: "template", label: v.T("Template of a ticket"), kind: "textarea", rows: 4,
			stored: h.Template, attributes: templ.Attributes{"spellcheck": "false"},
			hint: v.T("JSON with placeholders such as {{summary}} and {{link}}. Optional.")})
	}
	return all
}

func (c *console) askDeleteWebhook(v *view) (*question, error) {
	name := v.r.PathValue("webhook")
	h, err := get[client.Webhook](c, v, v.hookPath(name))
	if err != nil {
		return nil, err
	}
	return &question{title: v.T("Delete the webhook %s?", name), verb: v.T("Delete webhook"), back: v.hookPath(name),
		undo: v.final(), facts: []string{v.T("%s gets no further events.", h.Host),
			v.T("Events that are not delivered: %s queued, %s given up.", v.N(h.Queued), v.N(h.Dead))}}, nil
}
