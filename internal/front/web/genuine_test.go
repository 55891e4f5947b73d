package web

import (
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

// The certificates of all tenants have the same issuer. A page that called the issuer a proof would let a tenant have
// its own certificate installed for another one.
func TestAPageCallsACertificateGenuineOnlyByIssuerSubjectAndFingerprintTogether(t *testing.T) {
	old := client.Certificate{Subject: "CN=acme,OU=Tenants", Issuer: "CN=Issuing CA G1"}
	next := client.Certificate{Subject: "CN=acme two", Issuer: "CN=Issuing CA G2"}
	for _, lang := range []string{"en", "de"} {
		v := &view{lang: lang}
		for _, c := range []struct {
			name    string
			renewal *client.Renewal
			has     []string
			hasNot  []string
			english string
		}{
			{"nothing changes", &client.Renewal{Old: old, New: old},
				[]string{old.Subject, old.Issuer}, []string{next.Subject, next.Issuer},
				"the same subject and the same issuer"},
			{"the subject changes", &client.Renewal{Old: old, New: next, Changes: tenancy.Changes{Subject: true}},
				[]string{old.Subject, old.Issuer, next.Subject}, []string{next.Issuer},
				"the subject changes to CN=acme two, and the issuer stays"},
			{"the issuer changes", &client.Renewal{Old: old, New: next, Changes: tenancy.Changes{Issuer: true}},
				[]string{old.Subject, old.Issuer, next.Issuer}, []string{next.Subject},
				"the issuer changes to CN=Issuing CA G2, and the subject stays"},
			{"both change", &client.Renewal{Old: old, New: next, Changes: tenancy.Changes{Subject: true, Issuer: true}},
				[]string{old.Subject, old.Issuer, next.Subject, next.Issuer}, nil, "both change"},
			{"nothing to compare with", nil, nil, []string{old.Subject}, "No earlier certificate is known"},
		} {
			text := strings.Join(v.genuine(linked{Tenant: "ACME", Renewal: c.renewal}), "\n")
			has := append([]string{"SHA-256"}, c.has...)
			if lang == "en" {
				has = append(has, c.english, "proves nothing either", "for example by phone", "a contact that you already knew")
			}
			for _, want := range has {
				if !strings.Contains(text, want) {
					t.Errorf("%s, %s: %q is missing\n%s", lang, c.name, want, text)
				}
			}
			for _, wrong := range c.hasNot {
				if strings.Contains(text, wrong) {
					t.Errorf("%s, %s: it has %q\n%s", lang, c.name, wrong, text)
				}
			}
		}
	}
}
