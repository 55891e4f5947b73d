package web

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

// home shows the overview: of the fleet for operators, of the tenant for key users.
func (c *console) home(v *view) error {
	if !v.Operator() {
		return c.tenantHome(v, v.account.Tenant)
	}
	go audits() // for the page that may come next: the first time takes a second
	o, err := get[client.Overview](c, v, "/overview")
	if err != nil {
		return err
	}
	causes, err := get[client.AttentionList](c, v, "/attention")
	if err != nil {
		return err
	}
	var f client.FleetForecast
	if f, err = get[client.FleetForecast](c, v, "/forecast"); err != nil && !isCounting(err) {
		return err
	}
	first, err := get[client.Page[client.Tenant]](c, v, "/tenants?limit=1")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Overview"), fleetPage(v, o, causes, v.forecastChart(f.Runs),
		len(first.Items) == 0))
}

// isCounting reports whether the first survey of the fleet since the start is not finished.
func isCounting(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.Status == http.StatusServiceUnavailable
}

// tenantInputs returns the fields of the form for a new tenant.
func (v *view) tenantInputs() []input {
	types := make([]option, len(tenancy.KeyTypes))
	for i, k := range tenancy.KeyTypes {
		types[i] = option{string(k), string(k)}
	}
	return []input{
		{name: "name", label: v.T("Name"), required: true, attributes: plain,
			hint: v.T("Part of URLs: lowercase letters, digits and -, for example acme")},
		{name: "display_name", label: v.T("Display name"),
			hint: v.T("For example Acme GmbH. If left empty, the name is used.")},
		{name: "key_type", label: v.T("Key type"), kind: "select", options: types,
			hint: v.T("RSA only if receivers need it")},
	}
}

func (c *console) createTenant(v *view) error {
	body := client.Tenant{Name: v.r.PostFormValue("name"), DisplayName: v.r.PostFormValue("display_name"),
		KeyType: tenancy.KeyType(v.r.PostFormValue("key_type"))}
	t, err := post[client.Tenant](c, v, "/tenants", body)
	if err != nil {
		return err
	}
	return c.done(v, in(t.Name), v.T("%s has its first certificates. Next, add its people and an arrangement.",
		t.DisplayName))
}

func (c *console) runs(v *view) error {
	list, err := paged[client.Run](c, v, "/runs")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Runs"), runsPage(v, list))
}

func (c *console) atRisk(v *view) error {
	list, err := paged[client.Rollover](c, v, v.listPath("/at-risk", "host"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("At risk"), atRiskPage(v, list))
}

func (c *console) deliveries(v *view) error {
	list, err := paged[client.Delivery](c, v, v.listPath("/deliveries", "state"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Mails"), deliveriesPage(v, list))
}

func (c *console) requeue(v *view) error {
	if _, err := post[client.Delivery](c, v, "/deliveries/"+escape(v.r.PathValue("delivery"))+"/requeue",
		nil); err != nil {
		return err
	}
	return c.done(v, "/deliveries?state=dead", v.T("The mail has been queued again."))
}

func (c *console) requeueAll(v *view) error {
	r, err := post[client.Requeued](c, v, "/deliveries/requeue", nil)
	if err != nil {
		return err
	}
	return c.done(v, "/deliveries", v.T("Failed mails queued again: %d. Waiting mails are tried now.", r.Mails))
}

func (c *console) tokens(v *view) error {
	list, err := paged[client.Token](c, v, v.listPath("/tokens", "tenant"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Tokens"), tokensPage(v, list))
}

// roles are the roles of tokens, in the order of the form.
var roles = []tenancy.Role{tenancy.RoleSender, tenancy.RoleKeyUser, tenancy.RoleOperator, tenancy.RoleGateway}

// role returns the name of a role.
func (v *view) role(r tenancy.Role) string {
	switch r {
	case tenancy.RoleSender:
		return v.T("Sender")
	case tenancy.RoleKeyUser:
		return v.T("Key user")
	case tenancy.RoleOperator:
		return v.T("Operator")
	case tenancy.RoleGateway:
		return v.T("Gateway")
	}
	return string(r)
}

// tokenInputs returns the fields of the form for a new token.
func (v *view) tokenInputs() []input {
	names := make([]option, len(roles))
	for i, r := range roles {
		names[i] = option{string(r), v.role(r)}
	}
	return []input{
		{name: "name", label: v.T("Purpose"), required: true},
		{name: "role", label: v.T("Role"), kind: "select", options: names},
		{name: "tenant", label: v.T("Tenant"), hint: v.T("Only for senders and key users"), attributes: plain},
		{name: "user", label: v.T("Key user"), hint: v.T("Only for the token of a key user"), attributes: plain},
		{name: "workload", label: v.T("Workload"), attributes: plain, hint: v.T("For senders and gateways, instead of a " +
			"secret: the subject of the workload's identity tokens, such as system:serviceaccount:NAMESPACE:NAME")},
	}
}

// createToken leads to the page of all tokens, which shows the secret once.
func (c *console) createToken(v *view) error {
	f := v.r.PostFormValue
	body := client.Token{Name: f("name"), Role: tenancy.Role(f("role")), Tenant: f("tenant"), User: f("user")}
	if subject := f("workload"); subject != "" {
		body.Workload = &client.Workload{Subject: subject}
	}
	t, err := post[client.Token](c, v, "/tokens", body)
	if err != nil {
		return v.ofOwner(err)
	}
	if t.Secret == "" {
		return c.done(v, "/tokens", v.T("%s has been created. It has no secret: the workload proves its identity.", t.Name))
	}
	return c.showOnce(v, once{Page: "/tokens", Kind: onceToken, Text: t.Secret, About: t.Name})
}

// ofOwner names the field of a token's owner that does not exist.
func (v *view) ofOwner(err error) error {
	var r *refusal
	if !errors.As(err, &r) || r.Status != http.StatusNotFound {
		return err
	}
	title, _ := v.missing(r.Detail)
	if strings.Contains(r.Detail, "key user") {
		return invalid("user", title)
	}
	return invalid("tenant", title)
}

// revokeToken revokes a token at once. If accounts or tokens were created with it, the page lists them and offers to
// end them too.
func (c *console) revokeToken(v *view) error {
	path := "/tokens/" + escape(v.r.PathValue("token"))
	created, err := get[client.Created](c, v, path+"/created")
	if err != nil {
		return err
	}
	end := v.r.PostFormValue("created") == "end"
	request := client.Request{Method: http.MethodDelete, Path: path}
	if end {
		request.Path += "?created=end"
	}
	if _, err := c.do(v, request); err != nil {
		return err
	}
	switch {
	case end:
		return c.done(v, "/tokens", v.T("The token has been revoked. The accounts and tokens created with it have been "+
			"ended too."))
	case len(created.Accounts)+len(created.Tokens) == 0:
		return c.done(v, "/tokens", v.T("The token has been revoked."))
	}
	return c.show(v, http.StatusOK, v.T("The token has been revoked."), createdPage(v, path, created))
}

func (c *console) authorities(v *view) error {
	list, err := get[client.Page[client.Authority]](c, v, "/authorities")
	if err != nil {
		return err
	}
	var waiting client.Page[client.Trust]
	if a, ok := client.AnnouncedAuthority(list.Items); ok {
		if waiting, err = paged[client.Trust](c, v, "/authorities/"+a.ID+"/waiting"); err != nil {
			return err
		}
	}
	return c.show(v, http.StatusOK, v.T("CA"), authoritiesPage(v, list.Items, waiting))
}

// requestAuthority downloads the request for an issuing CA that a root elsewhere signs.
func (c *console) requestAuthority(v *view) error {
	made, err := post[client.AuthorityRequest](c, v, "/authorities/request", nil)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/pkcs10")
	v.w.Header().Set("Content-Disposition", `attachment; filename="issuing.csr"`)
	_, err = io.WriteString(v.w, made.CSR)
	return err
}

// installInputs returns the field for the chain of an issuing CA.
func (v *view) installInputs() []input {
	return []input{{name: "chain", label: v.T("Certificate with its chain up to the root (PEM)"), kind: "textarea",
		rows: 6, required: true, attributes: plain}}
}

func (c *console) installAuthority(v *view) error {
	made, err := post[client.Authority](c, v, "/authorities/install",
		map[string]any{"chain": []byte(v.r.PostFormValue("chain"))})
	if err != nil {
		return err
	}
	return c.done(v, "/authorities", v.T("%s has been announced. It signs from %s at the latest.", made.Subject,
		v.Day(made.SignsFrom)))
}

func (c *console) forecast(v *view) error {
	f, err := get[client.FleetForecast](c, v, "/forecast")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Forecast"), forecastPage(v, f, v.forecastChart(f.Runs)))
}

// forecastRun lists the certificates that a future run will warn about or renew.
func (c *console) forecastRun(v *view) error {
	date, err := time.Parse(time.RFC3339, v.r.PathValue("date"))
	if err != nil {
		return &refusal{http.StatusNotFound, ""}
	}
	list, err := paged[client.DueCertificate](c, v, v.listPath("/forecast/"+date.UTC().Format(time.RFC3339)))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Run on %s", v.Day(date)), forecastRunPage(v, date, list))
}

func (c *console) parked(v *view) error {
	list, err := paged[client.Parked](c, v, v.listPath("/parked"))
	if err != nil {
		return err
	}
	usage, err := get[client.Page[client.ParkedUsage]](c, v, "/parked/usage")
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Parked messages"), parkedPage(v, list, usage.Items))
}

// megabytes returns a size in megabytes, rounded up.
func megabytes(bytes int64) int { return int((bytes + 999_999) / 1_000_000) }

// count formats a number for a form.
func count(n int) string { return strconv.Itoa(n) }
