package api

import "testing"

func TestAKeyUserSetsNothingAboveTheOperatorsCeilings(t *testing.T) {
	f := setUp(t)
	body := func(scenario, egress string) string {
		return `{"name":"x","receiver":"erp","scenario":"` + scenario + `","endpoint":"https://erp.example.com/in",` +
			`"egress":` + egress + `}`
	}
	const all, one = "/tenants/acme/arrangements", "/tenants/acme/arrangements/x"
	for _, c := range []struct {
		who, egress string
		want        int
	}{
		{"acme/alice", `{"keep_bytes":67108865}`, 422}, {"acme/alice", `{"timeout_seconds":601}`, 422},
		{"operator", `{"keep_bytes":1073741824,"timeout_seconds":3600}`, 201},
	} {
		f.ok(c.who, "POST", all, c.want, body("orders", c.egress))
	}
	// What the operator has set stays, and is not raised.
	f.ok("acme/alice", "PUT", one, 200, body("invoices", `{"keep_bytes":1073741824,"timeout_seconds":3600}`),
		`If-Match: "1"`)
	f.ok("acme/alice", "PUT", one, 200, body("invoices", `{"keep_bytes":67108864,"timeout_seconds":600}`),
		`If-Match: "2"`)
	f.ok("acme/alice", "PUT", one, 422, body("invoices", `{"timeout_seconds":3600}`), `If-Match: "3"`)
}
