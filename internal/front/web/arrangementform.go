package web

import (
	"slices"

	"github.com/perennial-pki/perennial/internal/front/instructions"
)

// arrangementInputs are the fields of the form of an arrangement, in the parts of the form.
type arrangementInputs struct{ what, receiver, connection, checks, rest []input }

func (x arrangementInputs) all() []input {
	return slices.Concat(x.what, x.receiver, x.connection, x.checks, x.rest)
}

// arrangementInputs returns the fields of the form of an arrangement.
func (v *view) arrangementInputs(a arrangementForm) (x arrangementInputs) {
	if a.etag == "" {
		x.what = append(x.what, input{name: "name", label: v.T("Name"), required: true, attributes: plain,
			hint: v.T("For example crm-to-erp. It is part of the address that applications send to.")})
	}
	x.what = append(x.what,
		input{name: "endpoint", label: v.T("Endpoint"), kind: "url", required: true, stored: a.Endpoint, attributes: plain,
			hint: v.T("Where the receiver accepts messages, for example https://erp.example.com/orders")},
		input{name: "scenario", label: v.T("Purpose"), stored: a.Scenario})
	x.receiver = v.receiverInputs(a)
	x.connection = v.connectionInputs(a)
	products := []option{{"", v.T("other or unknown")}}
	for _, p := range instructions.Products() {
		products = append(products, option{p.Product, p.Product})
	}
	x.checks = []input{{name: "product", label: v.T("Product"), kind: "select", options: products,
		hint: v.T("If the product is listed, its usual check is used")}}
	if a.etag == "" && len(a.credentials) > 1 {
		var names []option
		for _, c := range a.credentials {
			names = append(names, option{string(c.Name), v.purpose(c.Name)})
		}
		x.rest = append(x.rest, input{name: "credential", label: v.T("Certificate"), kind: "select", options: names,
			stored: string(a.Credential), hint: v.T("It cannot be changed later, because the receiver knows it")})
	}
	var ways []option
	for _, s := range strategies {
		ways = append(ways, option{string(s), v.strategy(s)})
	}
	x.rest = append(x.rest, input{name: "strategy", label: v.T("Strategy"), kind: "select", options: ways,
		stored: string(a.Strategy), hint: v.T("Adaptive is the right choice in most cases")})
	return x
}

// receiverInputs returns the fields for the receiver of an arrangement: one that exists, or a new one.
func (v *view) receiverInputs(a arrangementForm) (all []input) {
	if len(a.receivers) > 0 {
		stored := a.Receiver
		if a.etag == "" {
			stored = a.receivers[0].Name
		}
		var names []option
		for _, r := range a.receivers {
			names = append(names, option{r.Name, r.DisplayName})
		}
		all = append(all, input{name: "receiver", label: v.T("Existing receiver"), kind: "select", stored: stored,
			options: append(names, option{"", v.T("new receiver, named below")})})
	}
	return append(all,
		input{name: "receiver_name", label: v.T("Name of the new receiver"), hint: v.T("For example erp"),
			required: len(a.receivers) == 0, attributes: plain},
		input{name: "contact_name", label: v.T("Administrator"),
			hint: v.T("The person who installs the new certificate there"), attributes: plain},
		input{name: "contact_email", label: v.T("Administrator's e-mail"), kind: "email", attributes: plain})
}

// connectionInputs returns the fields for the connection to the receiver and its test.
func (v *view) connectionInputs(a arrangementForm) []input {
	return []input{
		{name: "probe_path", label: v.T("Test path"), stored: a.Egress.Probe.Path, attributes: plain,
			hint: v.T("A GET request to this path must not change anything, and must get a different answer without a " +
				"certificate. A path that answers everyone, as /health often does, proves nothing. Without a path, only the " +
				"TLS handshake is tested, which can prove a refusal but not an acceptance.")},
		{name: "server_ca", label: v.T("CA of the server certificate (PEM)"), kind: "textarea", rows: 3,
			stored: a.Egress.ServerCA, attributes: plain, hint: v.T("Only if its certificate is not from a public CA")},
		{name: "server_key_pin", label: v.T("Or the pin of the server's public key"), stored: a.Egress.ServerKeyPin,
			attributes: plain, hint: v.T("The test below shows the pin so that you can confirm it: sha256/…")},
		{name: "egress_proxy", label: v.T("HTTP proxy"), stored: a.Egress.Proxy, attributes: plain,
			hint: v.T("For example http://proxy.example.com:3128, without a password, or none for a direct connection. Empty " +
				"for the proxy of the service, if it has any.")},
		{name: "refusal_rules", label: v.T("Answers that refuse a certificate"), kind: "textarea", rows: 2,
			stored: a.rules(), attributes: plain, hint: v.T("Besides 401 and 403, one rule per line: status=302 " +
				"header=Location contains=/login, or preset=sap-login")},
	}
}
