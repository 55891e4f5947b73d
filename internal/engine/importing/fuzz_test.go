package importing

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/tenancy"
)

// spoiled are files with an error that leaves a tenant without content, or with a name that no database stores, and the
// problems that they have.
var spoiled = []struct {
	files Files
	want  []string
}{
	{Files{People: "tenant,role,name,email\nacme,boss,bob,bob@example.com\n"},
		[]string{"people 2: role: ", "people 2: there is no tenant \"acme\""}},
	{Files{People: "tenant,role,name,email\n,,,\n", Arrangements: "tenant,name,receiver,endpoint\n,,,\n"},
		[]string{"people 2: tenant", "people 2: role: ", "arrangements 2: tenant"}},
	{Files{People: "tenant,role,name,email\na\x00b,key-user,a\x00b,a\x00b@example.com\n"},
		[]string{"people 2: tenant"}},
	{Files{People: "tenant,role,name,email\n\xff\xfe,it-contact,\xff\xfe,\xff@example.com\n"},
		[]string{"people 2: tenant"}},
	{Files{Tenants: "name,display_name\na\x00b,a\x00b\n\xff\xfe,\xff\xfe\nacme,\xff\x00\n"},
		[]string{"tenants 2: name", "tenants 3: name", "tenants 4: display_name"}},
	{Files{Arrangements: "tenant,name,receiver,endpoint\n../../a,\x00,\xff,https://\x00.example.com\n"},
		[]string{"arrangements 2: tenant"}},
	{Files{Tenants: "name,issuer\nacme,\x00\nglobex,\xff\n"}, []string{"tenants 2: issuer", "tenants 3: issuer"}},
	{Files{Tenants: "name\nAcme\nAcme\n", Certificates: []Certificate{{Name: "Acme.pem", Data: []byte{0}}}},
		[]string{"tenants 2: name", "tenants 3: Acme is already in line 2", "Acme.pem 0: "}},
	{Files{Certificates: []Certificate{{Name: "\x00\xff.pem", Data: []byte{0}}, {}}},
		[]string{"\x00\ufffd.pem 0: ", " 0: "}},
}

func TestEveryErrorInATableIsAProblem(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		m, _ := world(t, url)
		for _, c := range spoiled {
			i, err := m.Check(t.Context(), c.files, "test")
			check(t, err)
			var problems []Problem
			check(t, json.Unmarshal([]byte(i.Problems), &problems))
			for _, want := range c.want {
				if !slices.ContainsFunc(problems, func(p Problem) bool {
					return strings.HasPrefix(fmt.Sprintf("%s %d: %s", p.File, p.Line, p.Text), want)
				}) {
					t.Errorf("%+v, want %q", problems, want)
				}
			}
		}
	})
}

// SQLite stores what PostgreSQL refuses.
func TestACertificateWithAnEndInItsNameIsAProblem(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		m, _ := world(t, url)
		f := issue(t, now.AddDate(0, 6, 0), x509.ExtKeyUsageClientAuth)
		for name, change := range map[string]func(*x509.Certificate){
			"subject": subject(pkix.Name{CommonName: "a\x00b"}),
			"DNS":     func(c *x509.Certificate) { c.DNSNames = []string{"a\x00b.example.com"} },
			"email":   func(c *x509.Certificate) { c.EmailAddresses = []string{"a\x00b@example.com"} },
		} {
			i, err := m.Check(t.Context(), Files{Tenants: "name\nacme\n",
				Certificates: []Certificate{f.client(t, "acme.pem", tenancy.P256, change)}}, "test")
			if err != nil || (name != "subject") != strings.Contains(i.Problems, "with a control character") {
				t.Errorf("%s: %s, %v", name, i.Problems, err)
			}
		}
	})
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
	for _, c := range spoiled {
		f.Add(c.files.Tenants, c.files.People, c.files.Arrangements, good.leaf.Raw, good.above.Raw)
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
		i, err := m.Check(t.Context(), Files{Tenants: tenants, People: people, Arrangements: arrangements,
			Certificates: []Certificate{{Name: "acme.pem", Data: text}}}, "test")
		check(t, err)
		if i.Problems != "[]" {
			return
		}
		sealed, err := m.store.ImportPlan(t.Context(), i.ID)
		check(t, err)
		plan, err := m.seal.Open(sealed, sealedFor(i.ID))
		check(t, err)
		if bytes.Contains(plan, []byte(`\u0000`)) || bytes.Contains(plan, []byte(`\ufffd`)) {
			t.Errorf("a text that not every database stores: %s", plan)
		}
	})
}
