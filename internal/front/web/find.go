package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/perennial-pki/perennial/client"
)

// find searches for what the reader has in hand. A single result is opened at once, unless a list is asked for.
func (c *console) find(v *view) error {
	query := strings.TrimSpace(v.r.URL.Query().Get("q"))
	if query == "" {
		return c.show(v, http.StatusOK, v.T("Find"), findPage(v, client.Findings{}, ""))
	}
	path := "/find"
	if !v.Operator() {
		path = in(v.account.Tenant, "find")
	}
	found, err := get[client.Findings](c, v, path+"?q="+escape(query))
	var r *refusal
	if errors.As(err, &r) && r.Status == http.StatusUnprocessableEntity {
		return c.show(v, http.StatusUnprocessableEntity, v.T("Find"), findPage(v, client.Findings{Query: query},
			v.T("Type 2 to 200 characters.")))
	}
	if err != nil {
		return err
	}
	if len(found.Items) == 1 && v.r.URL.Query().Get("list") == "" {
		http.Redirect(v.w, v.r, findingPath(found.Items[0]), http.StatusSeeOther)
		return nil
	}
	return c.show(v, http.StatusOK, v.T("Find"), findPage(v, found, ""))
}

// findingPath returns the page about something that was found.
func findingPath(f client.Finding) string {
	switch f.Kind {
	case "arrangement":
		return in(f.Tenant, "arrangements", f.Name)
	case "receiver":
		return in(f.Tenant, "rollovers")
	case "certificate":
		return in(f.Tenant, "certificates") + "#" + generationAnchor(f.Name, f.Generation)
	case "counterparty":
		return "/counterparties/" + escape(f.Name)
	case "key-user", "it-contact":
		return in(f.Tenant, "people")
	}
	return in(f.Tenant)
}

// generationAnchor is the place of a generation on the page of the certificates.
func generationAnchor(credential string, generation int) string {
	return fmt.Sprintf("%s-%d", credential, generation)
}

// findingName names something that was found inside its tenant.
func (v *view) findingName(f client.Finding) string {
	if f.Kind == "certificate" {
		return v.T("%s, generation %d", f.Name, f.Generation)
	}
	return f.Name
}

// findingDetail returns what helps to recognise it.
func findingDetail(f client.Finding) string {
	if f.Kind == "certificate" {
		return f.Serial
	}
	return f.Detail
}

// findingKind names the kind of something that was found.
func (v *view) findingKind(f client.Finding) string {
	switch f.Kind {
	case "tenant":
		return v.T("Tenant")
	case "arrangement":
		return v.T("Arrangement")
	case "receiver":
		return v.T("Receiver")
	case "certificate":
		return v.T("Certificate")
	case "key-user":
		return v.T("Key user")
	case "counterparty":
		return v.T("Counterparty")
	}
	return v.T("IT contact")
}
