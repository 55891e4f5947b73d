package importing

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/tenancy"
)

// Lines of tables with an error that leaves a tenant without content, or with a name that no database takes.
var spoiled = []Files{
	{People: "tenant,role,name,email\nacme,boss,bob,bob@example.com\n"},
	{People: "tenant,role,name,email\n,,,\n", Arrangements: "tenant,name,receiver,endpoint\n,,,\n"},
	{People: "tenant,role,name,email\na\x00b,key-user,a\x00b,a\x00b@example.com\n"},
	{People: "tenant,role,name,email\n\xff\xfe,it-contact,\xff\xfe,\xff@example.com\n"},
	{Tenants: "name,display_name\na\x00b,a\x00b\n\xff\xfe,\xff\xfe\nacme,\xff\x00\n"},
	{Arrangements: "tenant,name,receiver,endpoint\n../../a,\x00,\xff,https://\x00.example.com\n"},
	{Tenants: "name,issuer\nacme,\x00\nglobex,\xff\n"},
	{Certificates: []Certificate{{Name: "\x00\xff.pem", Data: []byte{0}}, {}}},
}

func TestEveryErrorInATableIsAProblem(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) { everyErrorInATableIsAProblem(t, url) })
}

func everyErrorInATableIsAProblem(t *testing.T, url string) {
	m, _ := world(t, url)
	for _, f := range spoiled {
		i, err := m.Check(t.Context(), f, "test")
		if err != nil || !strings.Contains(i.Problems, "text") {
			t.Errorf("%q, %q, %q: %s, %v", f.Tenants, f.People, f.Arrangements, i.Problems, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("name,display_name\nacme,x\n", "tenant,role,name,email\nacme,key-user,alice,a@example.com",
		"tenant,name,receiver,endpoint\nacme,a,b,https://c.example", []byte("-----BEGIN CERTIFICATE-----"))
	f.Add("\ufeffname;key_type\n\"a", "tenant\n\n", ";;;", []byte{0x30, 0x82})
	f.Fuzz(func(t *testing.T, tenants, people, arrangements string, cert []byte) {
		units, problems := Read(Files{Tenants: tenants, People: people, Arrangements: arrangements,
			Certificates: []Certificate{{Name: "acme.pem", Data: cert}}}, now)
		if len(problems) > 0 {
			return
		}
		for _, u := range units { // what passes can be stored
			if err := tenancy.CheckName("tenant", u.Tenant); err != nil {
				t.Errorf("%q passes: %v", u.Tenant, err)
			}
		}
	})
}

func FuzzCheck(f *testing.F) {
	good := issue(f, now.AddDate(0, 6, 0), x509.ExtKeyUsageClientAuth)
	key, err := x509.MarshalPKCS8PrivateKey(good.key)
	check(f, err)
	for _, s := range spoiled {
		f.Add(s.Tenants, s.People, s.Arrangements, good.leaf.Raw, good.above.Raw)
	}
	f.Add("name,display_name\nacme,x\n", "tenant,role,name,email\nacme,key-user,alice,a@example.com",
		"tenant,name,receiver,endpoint\nacme,a,b,https://c.example", good.leaf.Raw, good.above.Raw)
	m, _ := world(f, "sqlite:"+f.TempDir()+"/p.db")
	f.Fuzz(func(t *testing.T, tenants, people, arrangements string, leaf, above []byte) {
		var text []byte
		for _, b := range []pem.Block{{Type: "PRIVATE KEY", Bytes: key}, {Type: "CERTIFICATE", Bytes: leaf},
			{Type: "CERTIFICATE", Bytes: above}} {
			text = append(text, pem.EncodeToMemory(&b)...)
		}
		_, err := m.Check(t.Context(), Files{Tenants: tenants, People: people, Arrangements: arrangements,
			Certificates: []Certificate{{Name: "acme.pem", Data: text}}}, "test")
		check(t, err)
	})
}
