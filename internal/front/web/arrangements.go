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

// An arrangementForm is the form that creates or changes an arrangement.
type arrangementForm struct {
	client.Arrangement
	tenant    string
	etag      string // of the version that is changed; empty for a new arrangement
	added     client.Receiver
	receivers []client.Receiver
	// credentials can be presented by a new arrangement.
	credentials []client.Credential
	product     string // that the receiver runs on; empty if it is not chosen
	trial       *client.Trial
	problem     string
	refusals    string // rules of refusals as they were submitted
}

func (f arrangementForm) action() string {
	if f.etag == "" {
		return in(f.tenant, "arrangements")
	}
	return in(f.tenant, "arrangements", f.Name)
}

// filledIn reads the submitted form.
func (v *view) filledIn() arrangementForm {
	f := func(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }
	form := arrangementForm{tenant: v.r.PathValue("tenant"), etag: f("etag"),
		added: client.Receiver{Name: f("receiver_name"), ContactName: f("contact_name"), ContactEmail: f("contact_email")}}
	form.Arrangement = client.Arrangement{Name: f("name"), Receiver: f("receiver"), Scenario: f("scenario"),
		Endpoint: f("endpoint"), Authentication: tenancy.ClientCertificate, Strategy: tenancy.Strategy(f("strategy")),
		Credential: tenancy.Purpose(f("credential"))}
	if name := v.r.PathValue("arrangement"); name != "" {
		form.Name = name
	}
	form.Egress.ServerCA, form.Egress.ServerKeyPin = v.r.PostFormValue("server_ca"), f("server_key_pin")
	form.Egress.Proxy, form.product = f("egress_proxy"), f("product")
	if by, found := instructions.IdentifiesOf(form.product); found {
		form.Egress.IdentifiesBy = by
	} else {
		for _, id := range v.r.PostForm["identifies_by"] {
			form.Egress.IdentifiesBy = append(form.Egress.IdentifiesBy, tenancy.Identifier(id))
		}
	}
	form.refusals = v.r.PostFormValue("refusal_rules")
	if path := f("probe_path"); path != "" {
		form.Egress.Probe = tenancy.Probe{Method: http.MethodGet, Path: path}
	}
	return form
}

// rules returns the refusal rules as the form shows them, one per line.
func (f arrangementForm) rules() string {
	if f.refusals != "" {
		return f.refusals
	}
	lines := make([]string, len(f.Egress.RefusalRules))
	for i, r := range f.Egress.RefusalRules {
		lines[i] = r.String()
	}
	return strings.Join(lines, "\n")
}

// readRules reads the refusal rules of a submitted form.
func (f *arrangementForm) readRules() error {
	f.Egress.RefusalRules = nil
	for line := range strings.Lines(f.refusals) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		rule, err := tenancy.ParseRefusalRule(line)
		if err != nil {
			return &refusal{http.StatusUnprocessableEntity, err.Error()}
		}
		f.Egress.RefusalRules = append(f.Egress.RefusalRules, rule)
	}
	return nil
}

// keep takes the settings that the form does not show from the arrangement that it changes.
func (f *arrangementForm) keep(kept client.Arrangement) {
	f.Authentication, f.Credential = kept.Authentication, kept.Credential
	shown := f.Egress
	f.Egress = kept.Egress
	f.Egress.ServerCA, f.Egress.ServerKeyPin, f.Egress.Proxy = shown.ServerCA, shown.ServerKeyPin, shown.Proxy
	f.Egress.IdentifiesBy, f.Egress.RefusalRules = shown.IdentifiesBy, shown.RefusalRules
	if shown.Probe.Path != kept.Egress.Probe.Path {
		f.Egress.Probe = shown.Probe
	}
}

func (c *console) newArrangement(v *view) error {
	return c.showArrangementForm(v, http.StatusOK, arrangementForm{tenant: v.r.PathValue("tenant")})
}

func (c *console) editArrangement(v *view) error {
	form := arrangementForm{tenant: v.r.PathValue("tenant")}
	var err error
	form.Arrangement, form.etag, err = client.GetVersion[client.Arrangement](v.caller(), c.api, v.of(""))
	if err != nil {
		return refused(err)
	}
	return c.showArrangementForm(v, http.StatusOK, form)
}

func (c *console) showArrangementForm(v *view, status int, form arrangementForm) error {
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
	title := v.T("New arrangement")
	if form.etag != "" {
		title = v.T("Edit %s", form.Name)
	}
	return c.show(v, status, title, arrangementFormPage(v, title, form))
}

// saveArrangement creates or changes an arrangement, and creates its receiver if that is new. If the form asks for a
// test, it changes nothing.
func (c *console) saveArrangement(v *view) error {
	form := v.filledIn()
	fails := func(err error) error {
		var r *refusal
		if !errors.As(err, &r) || r.Status == http.StatusNotFound {
			return err
		}
		if form.problem = r.Detail; r.Status == http.StatusPreconditionFailed {
			form.problem = v.T("Someone else has changed this in the meantime. Go back, reload the page and try " +
				"again.")
		}
		return c.showArrangementForm(v, r.Status, form)
	}
	if err := form.readRules(); err != nil {
		return fails(err)
	}
	if form.etag != "" {
		kept, err := get[client.Arrangement](c, v, v.of(""))
		if err != nil {
			return err
		}
		form.keep(kept)
	}
	switch v.r.PostFormValue("do") {
	case "trust":
		form.Egress.ServerCA, form.Egress.ServerKeyPin = "", v.r.PostFormValue("offered_pin")
		fallthrough
	case "try":
		trial, err := post[client.Trial](c, v, in(form.tenant, "arrangements", "trial"), form.Arrangement)
		if err != nil {
			return fails(err)
		}
		form.trial = &trial
		return c.showArrangementForm(v, http.StatusOK, form)
	}
	if form.Receiver == "" {
		if _, err := post[client.Receiver](c, v, in(form.tenant, "receivers"), form.added); err != nil {
			return fails(err)
		}
		form.Receiver = form.added.Name
	}
	if form.etag == "" {
		if _, err := post[client.Arrangement](c, v, in(form.tenant, "arrangements"), form.Arrangement); err != nil {
			return fails(err)
		}
		return c.done(v, in(form.tenant, "arrangements", form.Name),
			v.T("%s has been created. Its roll-overs are shown here.", form.Name))
	}
	if _, err := client.Put[client.Arrangement](v.caller(), c.api, v.of(""), form.etag, form.Arrangement); err != nil {
		return fails(refused(err))
	}
	return c.done(v, v.of(""), v.T("Saved."))
}

func (c *console) deleteArrangement(v *view) error {
	_, etag, err := client.GetVersion[client.Arrangement](v.caller(), c.api, v.of(""))
	if err != nil {
		return refused(err)
	}
	if v.r.PostFormValue("name") != v.r.PathValue("arrangement") {
		return &refusal{http.StatusUnprocessableEntity, v.T("Nothing was deleted. Type the name of the arrangement " +
			"to delete it.")}
	}
	if _, err := c.do(v, client.Request{Method: http.MethodDelete, Path: v.of(""), IfMatch: etag}); err != nil {
		return err
	}
	return c.done(v, in(v.r.PathValue("tenant"), "rollovers"),
		v.T("%s has been deleted. No more messages are sent through it.", v.r.PathValue("arrangement")))
}
