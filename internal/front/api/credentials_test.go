package api

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/testca"
)

// signedBySwish returns the answer of the CA to a request (PEM), as JSON.
func (f *fixture) signedBySwish(csr string, change func(*x509.Certificate)) string {
	f.t.Helper()
	block, _ := pem.Decode([]byte(csr))
	if block == nil {
		f.t.Fatalf("the request is %q", csr)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	check(f.t, err)
	check(f.t, request.CheckSignature())
	leaf, err := f.swish.Sign(request, f.now, f.now.AddDate(1, 0, 0), change)
	check(f.t, err)
	answer, err := json.Marshal(map[string]string{"certificate": base64.StdEncoding.EncodeToString(
		testca.PEM(f.swish.Root.Raw, f.swish.Issuing.Raw, leaf))}) // in any order
	check(f.t, err)
	return string(answer)
}

func TestACertificateOfACAThatAPersonAsksIsRequestedAnsweredAndPresented(t *testing.T) {
	f := setUp(t)
	const body = `{"name":"bank","issuer":"swish","key_type":"rsa2048","subject":"CN=1234,O=Bank"}`
	f.ok("acme/alice", "POST", "/tenants/acme/credentials", 403, body)
	made := f.ok("operator", "POST", "/tenants/acme/credentials", 201, body)
	if made["state"] != "requested" || made["generation"] != 1. {
		t.Errorf("%v", made)
	}
	if all := items(f.ok("acme/alice", "GET", "/tenants/acme/credentials", 200, "")); len(all) != 3 ||
		all[2].(map[string]any)["state"] != "requested" {
		t.Errorf("%v", all)
	}
	arrangement := `{"name":"to-bank","receiver":"erp","endpoint":"https://bank.example.com/","credential":"%s"}`
	f.ok("acme/alice", "POST", "/tenants/acme/arrangements", 422, fmt.Sprintf(arrangement, "m-user"))
	f.ok("acme/alice", "POST", "/tenants/acme/arrangements", 422, fmt.Sprintf(arrangement, "nowhere"))
	made = f.ok("acme/alice", "POST", "/tenants/acme/arrangements", 201, fmt.Sprintf(arrangement, "bank"))
	if made["generation"] != nil || made["credential"] != "bank" {
		t.Errorf("%v", made)
	}

	open := items(f.ok("acme/alice", "GET", "/tenants/acme/requests", 200, ""))
	if len(open) != 1 || open[0].(map[string]any)["by_hand"] != true {
		t.Fatalf("%v", open)
	}
	if all := items(f.ok("operator", "GET", "/requests", 200, "")); len(all) != 1 || all[0].(map[string]any)["tenant"] !=
		"acme" {
		t.Errorf("%v", all)
	}
	path := "/tenants/acme/requests/" + open[0].(map[string]any)["id"].(string)
	f.ok("globex/alice", "GET", path+"/csr", 404, "")
	f.ok("globex/alice", "GET", strings.Replace(path, "acme", "globex", 1)+"/csr", 404, "")
	csr := f.call("acme/alice", "GET", path+"/csr", "")
	if disposition := csr.header.Get("Content-Disposition"); csr.status != 200 || !strings.Contains(disposition,
		`"acme-bank-generation-1.csr"`) {
		t.Errorf("%d, %s", csr.status, disposition)
	}
	for what, c := range map[string]struct{ answer, want string }{
		"no certificate":  {`{"certificate":"eA=="}`, "cannot be read"},
		"another subject": {f.signedBySwish(csr.raw, func(c *x509.Certificate) { c.RawSubject = nil }), "it names"},
		"no client purpose": {
			f.signedBySwish(csr.raw, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), "client authentication",
		},
	} {
		if a := f.call("acme/alice", "POST", path+"/answer", c.answer); a.status != 422 ||
			!strings.Contains(a.raw, c.want) {
			t.Errorf("%s: %d, %s", what, a.status, a.raw)
		}
	}
	c := f.ok("acme/alice", "POST", path+"/answer", 201, f.signedBySwish(csr.raw, nil))
	if c["generation"] != 1. || c["purpose"] != "bank" || c["subject"] != "CN=1234,O=Bank" || c["state"] != "active" {
		t.Errorf("%v", c)
	}
	f.ok("acme/alice", "POST", path+"/answer", 404, f.signedBySwish(csr.raw, nil))
	if a := f.ok("acme/alice", "GET", "/tenants/acme/arrangements/to-bank", 200, ""); a["generation"] != 1. {
		t.Errorf("the arrangement: %v", a)
	}
	if r := f.ok("acme/alice", "GET", "/tenants/acme/arrangements/to-bank/rollover", 200, ""); len(
		r["generations"].([]any),
	) !=
		1 {
		t.Errorf("the roll-over: %v", r)
	}
	forecast := f.ok("acme/alice", "GET", "/tenants/acme/forecast", 200, "")["certificates"].([]any)
	if len(forecast) != 3 || forecast[2].(map[string]any)["purpose"] != "bank" {
		t.Errorf("the forecast: %v", forecast)
	}
	f.ok("acme/alice", "GET", "/tenants/acme/certificates/bank/1", 200, "")
	// A change that does not name the credential keeps it.
	f.ok("acme/alice", "PUT", "/tenants/acme/arrangements/to-bank", 200,
		`{"name":"to-bank","receiver":"erp","endpoint":"https://bank.example.com/v2"}`, `If-Match: "2"`)
	f.ok("acme/alice", "PUT", "/tenants/acme/arrangements/to-bank", 422, fmt.Sprintf(arrangement, "tenant"),
		`If-Match: "3"`)
	next := f.ok("operator", "POST", "/tenants/acme/certificates/bank/renew", 201, `{"reason":"reissue"}`)
	if next["state"] != "requested" || next["generation"] != 2. {
		t.Errorf("a renewal: %v", next)
	}
	if issuers := items(f.ok("operator", "GET", "/issuers", 200, "")); len(issuers) != 2 ||
		issuers[1].(map[string]any)["by_hand"] != true || issuers[1].(map[string]any)["credentials"] != 1. {
		t.Errorf("the issuers: %v", issuers)
	}
}

func TestASettingOfACredentialAppliesFromTheNextGenerationOnAndItsNamesStay(t *testing.T) {
	f := setUp(t)
	f.ok(
		"operator",
		"PUT",
		"/tenants/acme/credentials/tenant",
		422,
		`{"name":"tenant","subject":"CN=x"}`,
		`If-Match: "0"`,
	)
	f.ok(
		"operator",
		"PUT",
		"/tenants/acme/credentials/tenant",
		422,
		`{"name":"tenant","issuer":"nowhere"}`,
		`If-Match: "0"`,
	)
	f.ok("operator", "PUT", "/tenants/acme/credentials/nowhere", 404, `{"name":"nowhere"}`, `If-Match: "0"`)
	f.ok("operator", "PUT", "/tenants/acme/credentials/tenant", 428, `{"name":"tenant","key_type":"p384"}`)
	changed := f.call(
		"operator",
		"PUT",
		"/tenants/acme/credentials/tenant",
		`{"name":"tenant","key_type":"p384"}`,
		`If-Match: "0"`,
	)
	if changed.status != 200 || changed.header.Get("ETag") != `"1"` {
		t.Errorf("%d, %s: %s", changed.status, changed.header.Get("ETag"), changed.raw)
	}
	f.ok(
		"operator",
		"PUT",
		"/tenants/acme/credentials/tenant",
		409,
		`{"name":"tenant","key_type":"p521"}`,
		`If-Match: "0"`,
	)
	c := f.ok("operator", "POST", "/tenants/acme/certificates/tenant/renew", 201, `{"reason":"reissue"}`)
	if c["key_type"] != "p384" || c["generation"] != 2. {
		t.Errorf("%v", c)
	}
	if v := f.ok("acme/alice", "GET", "/tenants/acme/credentials/m-user", 200, ""); v["key_type"] != nil {
		t.Errorf("%v", v)
	}
}

// No certificate is left, and a person has to ask the CA for the next one: no list may hide that every message fails.
func TestAnArrangementWithoutACertificateIsTheFirstThingThatIsShown(t *testing.T) {
	f := setUp(t)
	f.ok("operator", "POST", "/tenants/acme/credentials", 201,
		`{"name":"bank","issuer":"swish","key_type":"rsa2048","subject":"CN=1234,O=Bank"}`)
	request := "/tenants/acme/requests/" + items(f.ok("acme/alice", "GET", "/tenants/acme/requests", 200,
		""))[0].(map[string]any)["id"].(string)
	csr := f.call("acme/alice", "GET", request+"/csr", "")
	f.ok("acme/alice", "POST", request+"/answer", 201, f.signedBySwish(csr.raw, nil))
	f.ok("operator", "POST", "/tenants/acme/arrangements", 201,
		`{"name":"pay","receiver":"erp","endpoint":"https://bank.example.com/pay","credential":"bank"}`)
	f.ok("operator", "POST", "/tenants/acme/certificates/tenant/renew", 201, `{"reason":"compromised"}`)
	f.now = f.now.Add(time.Hour)
	newest := f.ok("operator", "POST", "/tenants/acme/certificates/bank/1/revoke", 200, `{"reason":"compromised"}`)
	if newest["state"] != "requested" || fmt.Sprint(newest["revoked_generations"], newest["exposed_arrangements"]) !=
		"[1] [acme/pay]" {
		t.Errorf("%v", newest)
	}
	for _, path := range []string{"/at-risk", "/tenants/acme/at-risk"} {
		list := items(f.ok("operator", "GET", path, 200, ""))
		if len(list) != 2 {
			t.Fatalf("%s: %v", path, list)
		}
		if first := list[0].(map[string]any); first["arrangement"] != "acme/pay" || first["stopped"] != true ||
			first["exposed"] != true || first["wanted"] != nil || first["state"] != "announced" {
			t.Errorf("%s: %v", path, first)
		}
		if second := list[1].(map[string]any); second["arrangement"] != "acme/crm-to-erp" || second["stopped"] != nil {
			t.Errorf("%s: %v", path, second)
		}
	}
	cause := items(f.ok("operator", "GET", "/attention", 200, ""))[0].(map[string]any)
	title := "bank.example.com: no message can be sent in 1 of 1 arrangements, because the certificate is revoked and " +
		"the CA has not issued the next one"
	if cause["title"] != title || cause["turn"] != "operator" || cause["urgent"] != true {
		t.Errorf("%v", cause)
	}
	r := f.ok("acme/alice", "GET", "/tenants/acme/arrangements/pay/rollover", 200, "")
	if next := r["next"].(map[string]any); next["reason"] != "stopped" || r["stopped"] != true ||
		r["credential"] != "bank" {
		t.Errorf("%v", r)
	}
	tasks := items(f.ok("acme/alice", "GET", "/tenants/acme/tasks", 200, ""))
	if last := tasks[len(tasks)-1].(map[string]any); last["type"] != "by-hand" ||
		last["due_at"] != f.now.Format(time.RFC3339) {
		t.Errorf("the request is not due at once: %v", last)
	}
	// There is nothing to test or to install.
	if tests := f.ok("operator", "GET", "/worklist/scope?filter=at-risk", 200, ""); tests["arrangements"] != 1.0 {
		t.Errorf("%v", tests)
	}
	if a := f.call("acme/alice", "POST", "/tenants/acme/arrangements/pay/rollover/links", ""); a.status != 409 ||
		!strings.Contains(a.raw, "no message can be sent until its CA issues the next one") {
		t.Errorf("a link: %d %s", a.status, a.raw)
	}
}
