package web

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func (c *console) watchedList(v *view) error {
	name := v.r.PathValue("tenant")
	list, err := paged[client.Watched](c, v, v.listPath(in(name, "watched")))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Watched certificates"), watchedListPage(v, name, list))
}

func (c *console) watchedOne(v *view) error {
	name := v.r.PathValue("tenant")
	path := in(name, "watched", v.r.PathValue("watched"))
	w, err := get[client.Watched](c, v, path)
	if err != nil {
		return err
	}
	links, err := get[client.Page[client.WatchLink]](c, v, path+"/links")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, w.Name, watchedPage(v, name, w, links.Items))
}

// watchFiles are the names of files that hold a certificate.
const watchFiles = ".pem,.cer,.crt,.der,.p7b,.p7c"

// watchInputs returns the fields of the form for another watched certificate.
func (v *view) watchInputs() []input {
	policies := []option{{"", v.T("not known: within 93 days before the expiry")}}
	for _, name := range ownersPolicies() {
		policies = append(policies, option{name, name})
	}
	sources := []option{{string(tenancy.WatchServer), v.T("the TLS server")},
		{string(tenancy.WatchURL), v.T("the https URL")}}
	if v.Operator() {
		sources = append(sources, option{string(tenancy.WatchFolder), v.T("the folder of the service's machine")})
	}
	return []input{
		{name: "name", label: v.T("Name"), required: true, attributes: plain,
			hint: v.T("Lowercase letters, digits and hyphens, for example acme-c4c")},
		{name: "certificate", label: v.T("Present certificate"), kind: "file",
			hint:       v.T("PEM, DER or PKCS#7. Not needed if there is an address below."),
			attributes: templ.Attributes{"accept": watchFiles}},
		{name: "owner", label: v.T("Owner"), hint: v.T("Who renews it, for example SAP")},
		{name: "policy", label: v.T("Policy of the owner"), kind: "select", options: policies},
		{name: "systems", label: v.T("Systems that know it, one per line"), kind: "textarea", rows: 3, attributes: plain,
			hint: v.T("Optionally with what they compare, for example erp: certificate")},
		{name: "source", label: v.T("Look for new certificates at"), kind: "select", options: sources},
		{name: "address", label: v.T("Address"), attributes: plain,
			hint: v.T("For example erp.example.com:443. Without one, you upload new certificates.")},
	}
}

// uploadInputs returns the fields of the form for a new certificate.
func (v *view) uploadInputs() []input {
	return []input{
		{name: "certificate", label: v.T("Certificate"), kind: "file", required: true,
			hint:       v.T("PEM, DER or PKCS#7. It is compared with the present one."),
			attributes: templ.Attributes{"accept": watchFiles}},
		{name: "accept", label: v.T("Accept it even if it has other names"), kind: "check"},
	}
}

// addWatched reads the form for another watched certificate, whose file may be left out if there is a source.
func (c *console) addWatched(v *view) error {
	name := v.r.PathValue("tenant")
	u, err := v.upload()
	if err != nil {
		return err
	}
	body := client.Watched{Name: strings.TrimSpace(u.fields["name"]), Owner: strings.TrimSpace(u.fields["owner"]),
		Policy: u.fields["policy"], Systems: systemsOf(u.fields["systems"])}
	if address := strings.TrimSpace(u.fields["address"]); address != "" {
		body.Source = client.WatchSource{Kind: tenancy.WatchSourceKind(u.fields["source"]), Address: address}
	}
	for _, file := range u.files {
		body.File = file.data
	}
	made, err := post[client.Watched](c, v, in(name, "watched"), body)
	if err != nil {
		return err
	}
	return c.done(v, in(name, "watched", made.Name), v.T("%s is now watched.", made.Name))
}

// systemsOf reads systems, one per line, such as "erp" or "erp: certificate, key".
func systemsOf(text string) (all []client.WatchSystem) {
	for line := range strings.Lines(text) {
		name, identifiers, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "" {
			continue
		}
		system := client.WatchSystem{Name: strings.TrimSpace(name)}
		for id := range strings.SplitSeq(identifiers, ",") {
			if id = strings.TrimSpace(id); id != "" {
				system.IdentifiesBy = append(system.IdentifiesBy, tenancy.Identifier(id))
			}
		}
		all = append(all, system)
	}
	return all
}

func (c *console) uploadWatched(v *view) error {
	name, watched := v.r.PathValue("tenant"), v.r.PathValue("watched")
	u, err := v.upload()
	if err != nil {
		return err
	}
	body := client.WatchUpload{Accept: u.fields["accept"] == "yes"}
	for _, file := range u.files {
		body.Certificate = file.data
	}
	s, err := post[client.Sighting](c, v, in(name, "watched", watched, "certificates"), body)
	if err != nil {
		return err
	}
	return c.done(v, in(name, "watched", watched), v.sighted(s))
}

func (c *console) lookWatched(v *view) error {
	name, watched := v.r.PathValue("tenant"), v.r.PathValue("watched")
	s, err := post[client.Sighting](c, v, in(name, "watched", watched, "look"), nil)
	if err != nil {
		return err
	}
	return c.done(v, in(name, "watched", watched), v.sighted(s))
}

// sighted returns the result of an upload or a look.
func (v *view) sighted(s client.Sighting) string {
	switch {
	case !s.New:
		return v.T("Nothing new: this certificate is known.")
	case len(s.Seen.Surprises) > 0:
		return v.T("This certificate was not expected: %s. Ask its owner whether it is genuine.", v.surprises(s.Seen))
	}
	return v.T("The certificate has been renewed, as expected. See below what to do.")
}

func (c *console) removeWatched(v *view) error {
	name, watched := v.r.PathValue("tenant"), v.r.PathValue("watched")
	if err := c.api.DeleteCurrent(v.caller(), in(name, "watched", watched)); err != nil {
		return refused(err)
	}
	return c.done(v, in(name, "watched"), v.T("%s is no longer watched.", watched))
}

func (c *console) downloadWatched(v *view) error {
	p := v.r.PathValue
	return c.pass(v, in(p("tenant"), "watched", p("watched"), "certificates", p("fingerprint"), "download")+"?format="+
		escape(p("format")))
}

// watchedFile returns the address of a certificate that was seen.
func watchedFile(tenant, watched, fingerprint, format string) string {
	return in(tenant, "watched", watched, "certificates", fingerprint, format)
}

// certificateOf returns a certificate that was seen in the form of a generation of a tenant, for the instructions.
func certificateOf(s client.WatchedSeen) client.Certificate {
	return client.Certificate{Generation: s.Number, Subject: s.Subject, Issuer: s.Issuer, Serial: s.Serial,
		Fingerprint: s.Fingerprint, SHA1: s.SHA1, NotBefore: s.NotBefore, NotAfter: s.NotAfter}
}

// renewalOf returns the latest renewal of a watched certificate; nil if what changed is not known.
func renewalOf(s *client.Sighting) *client.Renewal {
	if s == nil || s.Changes == nil {
		return nil
	}
	return &client.Renewal{Old: certificateOf(s.Before), New: certificateOf(s.Seen), Changes: *s.Changes}
}

// watchDifferences lists the fields of two certificates, without the type of their keys.
func watchDifferences(v *view, r client.Renewal) []difference {
	return slices.DeleteFunc(differences(v, r.Old, r.New), func(d difference) bool { return d.field == v.T("Key type") })
}

// watchStage returns the state of an awaited renewal. A source that cannot be read is less urgent than a late renewal.
func (v *view) watchStage(w client.Watched) stateOf {
	switch w.Stage {
	case policy.StageOverdue:
		return stateOf{"bad", v.T("Renewal overdue")}
	case policy.StageExpired:
		return stateOf{"bad", v.T("Expired")}
	}
	if w.LookError != "" {
		return stateOf{"bad", v.T("Source not readable")}
	}
	switch w.Stage {
	case policy.StageSoon:
		return stateOf{"wait", v.T("Renewal expected soon")}
	case policy.StageDue:
		return stateOf{"wait", v.T("Renewal due")}
	}
	return stateOf{"good", v.T("Up to date")}
}

// expected returns the sentence about the next renewal.
func (v *view) expected(w client.Watched) string {
	owner := cmp.Or(w.Owner, v.T("The owner"))
	x := w.Expected
	switch {
	case x == nil:
		return ""
	case w.Stage == policy.StageExpired:
		return v.T("The certificate has expired, and no new one was seen.")
	case w.Stage == policy.StageOverdue:
		return v.T("%s should have renewed it by %s, and no new one was seen.", owner, v.Day(x.OverdueAt))
	case x.RenewsAt.IsZero():
		return v.T("%s renews it between %s and %s.", owner, v.Day(x.From), v.Day(w.Newest.NotAfter))
	}
	return v.T("%s renews it on %s.", owner, v.Day(x.RenewsAt))
}

// renewalDay returns the expected time of the next renewal.
func renewalDay(w client.Watched) (at time.Time) {
	if w.Expected == nil {
		return at
	}
	if w.Expected.RenewsAt.IsZero() {
		return w.Expected.From
	}
	return w.Expected.RenewsAt
}

// watchAdvice states what to do in a system: about the next certificate, or about the newest one.
func (v *view) watchAdvice(s client.WatchSystem, seen bool) string {
	by := v.identifies(s.IdentifiesBy)
	switch {
	case s.Survival == tenancy.Survives:
		return v.T("Nothing to do: it checks %s, and that stays the same.", by)
	case s.Survival == tenancy.Fails && seen:
		return v.T("It checks %s, so the new certificate must be installed there.", by)
	case s.Survival == tenancy.Fails:
		return v.T("It checks %s, so it will refuse the new certificate until that is installed.", by)
	case by != "" && seen:
		return v.T("It checks %s. Whether it needs a change depends on the CAs that it trusts.", by)
	case by != "":
		return v.T("It checks %s. It needs no change if the names and the CA stay the same.", by)
	}
	return v.T("It is not known how it checks certificates. If it compares the certificate, its fingerprint or its " +
		"serial number, it needs the new one.")
}

// changed lists what a certificate changed.
func (v *view) changed(c *tenancy.Changes) string {
	if c == nil {
		return v.T("The certificates cannot be compared.")
	}
	parts := []string{v.T("serial number and dates")}
	for _, p := range []struct {
		changed bool
		name    string
	}{{c.Key, v.T("public key")}, {c.Subject, v.T("subject")}, {c.SAN, v.T("alternative names")},
		{c.Issuer, v.T("issuing CA")}, {c.Root, v.T("root CA")}} {
		if p.changed {
			parts = append(parts, p.name)
		}
	}
	return strings.Join(parts, ", ")
}

// surprises states why a certificate was not expected.
func (v *view) surprises(s client.WatchedSeen) string {
	texts := make([]string, len(s.Surprises))
	for i, why := range s.Surprises {
		texts[i] = v.surprise(why)
	}
	return strings.Join(texts, ", ")
}

func (v *view) surprise(s tenancy.WatchSurprise) string {
	switch s {
	case tenancy.SurpriseEarly:
		return v.T("issued early")
	case tenancy.SurpriseOlder:
		return v.T("older than the known one")
	case tenancy.SurpriseSubject:
		return v.T("another subject")
	case tenancy.SurpriseSAN:
		return v.T("other alternative names")
	case tenancy.SurpriseIssuer:
		return v.T("another CA")
	case tenancy.SurpriseUsage:
		return v.T("other uses")
	case tenancy.SurpriseFuture:
		return v.T("not valid yet")
	case tenancy.SurpriseExpired:
		return v.T("expired")
	}
	return string(s)
}

// ownersPolicies are the policies that the form offers, besides none.
func ownersPolicies() (names []string) {
	for _, p := range policy.Presets() {
		names = append(names, p.Name)
	}
	return names
}
