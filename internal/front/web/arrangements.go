package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/instructions"
	"github.com/perennial-pki/perennial/tenancy"
)

// An arrangementForm is the page of the form that creates or changes an arrangement.
type arrangementForm struct {
	client.Arrangement // as it is stored; the zero value for a new one
	tenant             string
	etag               string // of the stored version; empty for a new arrangement
	receivers          []client.Receiver
	// credentials can be presented by a new arrangement.
	credentials []client.Credential
	trial       *client.Trial // result of the test; nil if there was none
}

func (f arrangementForm) action() string {
	if f.etag == "" {
		return in(f.tenant, "arrangements")
	}
	return in(f.tenant, "arrangements", f.Name)
}

// A filledIn holds what the form of an arrangement was filled in with.
type filledIn struct {
	client.Arrangement
	etag  string // of the version that is changed; empty for a new arrangement
	added client.Receiver
}

// filledIn reads the submitted form. It refuses rules of refusals that cannot be read.
func (v *view) filledIn() (filledIn, error) {
	f := func(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }
	form := filledIn{etag: f("etag"),
		added: client.Receiver{Name: f("receiver_name"), ContactName: f("contact_name"), ContactEmail: f("contact_email")}}
	form.Arrangement = client.Arrangement{Name: f("name"), Receiver: f("receiver"), Scenario: f("scenario"),
		Endpoint: f("endpoint"), Authentication: tenancy.ClientCertificate, Strategy: tenancy.Strategy(f("strategy")),
		Credential: tenancy.Purpose(f("credential"))}
	if name := v.r.PathValue("arrangement"); name != "" {
		form.Name = name
	}
	form.Egress.ServerCA, form.Egress.ServerKeyPin = v.r.PostFormValue("server_ca"), f("server_key_pin")
	form.Egress.Proxy = f("egress_proxy")
	if by, found := instructions.IdentifiesOf(f("product")); found {
		form.Egress.IdentifiesBy = by
	} else {
		for _, id := range v.r.PostForm["identifies_by"] {
			form.Egress.IdentifiesBy = append(form.Egress.IdentifiesBy, tenancy.Identifier(id))
		}
	}
	if path := f("probe_path"); path != "" {
		form.Egress.Probe = tenancy.Probe{Method: http.MethodGet, Path: path}
	}
	for line := range strings.Lines(v.r.PostFormValue("refusal_rules")) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		rule, err := tenancy.ParseRefusalRule(line)
		if err != nil {
			return form, invalid("refusal_rules", err.Error())
		}
		form.Egress.RefusalRules = append(form.Egress.RefusalRules, rule)
	}
	return form, nil
}

// rules returns the refusal rules as the form shows them, one per line.
func (f arrangementForm) rules() string {
	lines := make([]string, len(f.Egress.RefusalRules))
	for i, r := range f.Egress.RefusalRules {
		lines[i] = r.String()
	}
	return strings.Join(lines, "\n")
}

// keep takes the settings that the form does not show from the arrangement that it changes.
func (f *filledIn) keep(kept client.Arrangement) {
	f.Authentication, f.Credential = kept.Authentication, kept.Credential
	shown := f.Egress
	f.Egress = kept.Egress
	f.Egress.ServerCA, f.Egress.ServerKeyPin, f.Egress.Proxy = shown.ServerCA, shown.ServerKeyPin, shown.Proxy
	f.Egress.IdentifiesBy, f.Egress.RefusalRules = shown.IdentifiesBy, shown.RefusalRules
	if shown.Probe.Path != kept.Egress.Probe.Path {
		f.Egress.Probe = shown.Probe
	}
}

func (c *console) newArrangement(v *view) error { return c.showArrangementForm(v, nil) }

func (c *console) editArrangement(v *view) error { return c.showArrangementForm(v, nil) }

// showArrangementForm shows the form of the stored or a new arrangement, with the result of a test.
func (c *console) showArrangementForm(v *view, trial *client.Trial) (err error) {
	form := arrangementForm{tenant: v.r.PathValue("tenant"), trial: trial}
	title := v.T("New arrangement")
	if v.r.PathValue("arrangement") != "" {
		form.Arrangement, form.etag, err = client.GetVersion[client.Arrangement](v.caller(), c.api, v.of(""))
		if err != nil {
			return refused(err)
		}
		title = v.T("Edit %s", form.Name)
	}
	receivers, err := get[client.Page[client.Receiver]](c, v, in(form.tenant, "receivers")+"?limit=500")
	if err != nil {
		return err
	}
	form.receivers = receivers.Items
	credentials, err := get[client.Page[client.Credential]](c, v, in(form.tenant, "credentials"))
	if err != nil {
		return err
	}
	form.credentials = slices.DeleteFunc(credentials.Items, func(c client.Credential) bool { return !c.Name.Presented() })
	return c.show(v, http.StatusOK, title, arrangementFormPage(v, title, form))
}

// saveArrangement creates or changes an arrangement, and creates its receiver if that is new. If the form asks for a
// test, it changes nothing.
func (c *console) saveArrangement(v *view) error {
	tenant := v.r.PathValue("tenant")
	form, err := v.filledIn()
	if err != nil {
		return err
	}
	if form.etag != "" {
		kept, err := get[client.Arrangement](c, v, v.of(""))
		if err != nil {
			return err
		}
		form.keep(kept)
	}
	if do := v.r.PostFormValue("do"); do != "" {
		return c.tryArrangement(v, form, do == "trust")
	}
	if form.Receiver == "" {
		if _, err := post[client.Receiver](c, v, in(tenant, "receivers"), form.added); err != nil {
			return ofReceiver(err)
		}
		form.Receiver = form.added.Name
	}
	if form.etag == "" {
		if _, err := post[client.Arrangement](c, v, in(tenant, "arrangements"), form.Arrangement); err != nil {
			return err
		}
		return c.done(v, in(tenant, "arrangements", form.Name),
			v.T("%s has been created. Its roll-overs are shown here.", form.Name))
	}
	if _, err := client.Put[client.Arrangement](v.caller(), c.api, v.of(""), form.etag, form.Arrangement); err != nil {
		return refused(err)
	}
	return c.done(v, v.of(""), v.T("Saved."))
}

// ofReceiver names the field of a new receiver in the form of its arrangement.
func ofReceiver(err error) error {
	var e *invalidForm
	if errors.As(err, &e) {
		for i, f := range e.fields {
			if f.Field == "name" {
				e.fields[i].Field = "receiver_name"
			}
		}
	}
	return err
}

// tryArrangement tests an arrangement that is not saved yet, and shows the form with the result. If the reader trusts
// the server that the test before has found, the pin of its key becomes part of the form.
func (c *console) tryArrangement(v *view, form filledIn, trust bool) error {
	sent := v.typed()
	if trust {
		form.Egress.ServerCA, form.Egress.ServerKeyPin = "", v.r.PostFormValue("offered_pin")
		sent.values.Set("server_ca", "")
		sent.values.Set("server_key_pin", form.Egress.ServerKeyPin)
	}
	trial, err := post[client.Trial](c, v, in(v.r.PathValue("tenant"), "arrangements", "trial"), form.Arrangement)
	if err != nil {
		return err
	}
	v.sent, v.page = sent, v.pathOf(formPages[v.r.Pattern])
	return c.showArrangementForm(v, &trial)
}

func (c *console) deleteArrangement(v *view) error {
	_, etag, err := client.GetVersion[client.Arrangement](v.caller(), c.api, v.of(""))
	if err != nil {
		return refused(err)
	}
	if _, err := c.do(v, client.Request{Method: http.MethodDelete, Path: v.of(""), IfMatch: etag}); err != nil {
		return err
	}
	return c.done(v, in(v.r.PathValue("tenant"), "rollovers"),
		v.T("%s has been deleted. No more messages are sent through it.", v.r.PathValue("arrangement")))
}
