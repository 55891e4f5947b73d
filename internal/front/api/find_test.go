package api

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// found returns the findings of a search, each as its kind, its tenant and its name.
func (f *fixture) found(who, path, text string) (all []string) {
	f.t.Helper()
	a := f.call(who, "GET", path+"?q="+url.QueryEscape(text), "")
	if a.status != 200 {
		f.t.Fatalf("%s: %d %s", text, a.status, a.raw)
	}
	for _, item := range a.body["items"].([]any) {
		v := item.(map[string]any)
		tenant, _ := v["tenant"].(string) // a counterparty has none
		all = append(all, v["kind"].(string)+" "+tenant+" "+v["name"].(string))
	}
	return all
}

func TestAnOperatorFindsEverythingAndAKeyUserOnlyTheirOwn(t *testing.T) {
	f := setUp(t)
	certificates := f.call("operator", "GET", "/tenants/acme/certificates", "")
	newest := certificates.body["items"].([]any)[0].(map[string]any)
	serial, fingerprint := newest["serial"].(string), newest["fingerprint_sha256"].(string)
	colons := func(hex string) string {
		var parts []string
		for pair := range slices.Chunk([]byte(strings.ToUpper(hex)), 2) {
			parts = append(parts, string(pair))
		}
		return strings.Join(parts, ":")
	}
	certificate := "certificate acme " + newest["purpose"].(string)
	for text, want := range map[string]string{"acme": "tenant acme acme", "CN=acme,O=Acme": "tenant acme acme",
		"cn = acme": "tenant acme acme", "subject=CN = acme, O = P": "tenant acme acme",
		"subject= /O=P/CN=acme": "tenant acme acme", "serial=" + strings.ToUpper(serial): certificate,
		"Serial Number: " + colons(serial): certificate, "SHA256 Fingerprint=" + colons(fingerprint): certificate,
		"sha256 Fingerprint=" + colons(fingerprint): certificate,
		serial: certificate, "0x" + serial: certificate, colons(serial): certificate,
		newest["serial_decimal"].(string): certificate, fingerprint[:8]: certificate, colons(fingerprint): certificate,
		"alice@": "key-user acme alice", "ALICE@": "key-user acme alice", " acme ": "tenant acme acme"} {
		for who, path := range map[string]string{"operator": "/find", "acme/alice": "/tenants/acme/find"} {
			got := f.found(who, path, text)
			if strings.HasPrefix(want, "tenant") && who != "operator" {
				if slices.Contains(got, want) {
					t.Errorf("%s finds tenants: %q", who, got)
				}
				continue
			}
			if !slices.Contains(got, want) {
				t.Errorf("%s finds %q by %q, want %q", who, got, text, want)
			}
		}
		if got := f.found("operator", "/tenants/globex/find", text); slices.ContainsFunc(got, func(s string) bool {
			return !strings.Contains(s, " globex ")
		}) {
			t.Errorf("%q in another tenant: %q", text, got)
		}
	}
	f.atRisk() // names an administrator
	for who, path := range map[string]string{"operator": "/tenants/acme/find", "acme/alice": "/tenants/acme/find"} {
		if got := f.found(who, path, "BARBARA b"); !slices.Equal(got, []string{"receiver acme erp"}) {
			t.Errorf("%s finds %q by the name of its administrator", who, got)
		}
	}
	for path, status := range map[string]int{"/find?q=acme": 403, "/tenants/globex/find?q=acme": 404} {
		if a := f.call("acme/alice", "GET", path, ""); a.status != status {
			t.Errorf("%s by a key user: %d", path, a.status)
		}
	}
	for _, path := range []string{"/find", "/find?q=a", "/find?q=%20%20a", "/find?q=" + strings.Repeat("a", 201)} {
		if a := f.call("operator", "GET", path, ""); a.status != 422 {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

func TestAnOperatorFindsACounterpartyByItsContact(t *testing.T) {
	f := setUp(t)
	f.ok("operator", "POST", "/counterparties", 201, `{"name":"bank","display_name":"House Bank"}`)
	f.ok("operator", "POST", "/counterparties/bank/contacts", 201, `{"name":"Ada Adams","email":"ada@bank.example"}`)
	for text, want := range map[string]bool{"ADA@bank": true, "ada ad": true, "house": true, "adams": false} {
		if got := f.found("operator", "/find", text); slices.Contains(got, "counterparty  bank") != want {
			t.Errorf("%q finds %q", text, got)
		}
		if got := f.found("acme/alice", "/tenants/acme/find", text); len(got) != 0 {
			t.Errorf("a key user finds %q by %q", got, text)
		}
	}
}
