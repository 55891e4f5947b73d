package importing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func TestKeysOfEverySupportedKindAreImported(t *testing.T) {
	bits := func(n uint) crypto.Signer {
		return &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), n-1)}}
	}
	curve := func(c elliptic.Curve) crypto.Signer {
		return &ecdsa.PrivateKey{PublicKey: ecdsa.PublicKey{Curve: c}}
	}
	for want, key := range map[tenancy.KeyType]crypto.Signer{tenancy.P256: curve(elliptic.P256()),
		tenancy.P384: curve(elliptic.P384()), tenancy.P521: curve(elliptic.P521()), tenancy.RSA2048: bits(2048),
		tenancy.RSA3072: bits(3072), tenancy.RSA4096: bits(4096),
		tenancy.Ed25519: make(ed25519.PrivateKey, ed25519.PrivateKeySize)} {
		if got, err := keyType(key); err != nil || got != want {
			t.Errorf("%s is read as %q, %v", want, got, err)
		}
	}
	if _, err := keyType(bits(2049)); err == nil || !strings.Contains(err.Error(), "2049 bits") {
		t.Errorf("RSA 2049: %v", err)
	}
}

func TestAnExpiryIsSpreadOverManyCertificatesOrIfTheOperatorWants(t *testing.T) {
	m, _ := world(t, "sqlite:"+t.TempDir()+"/p.db")
	yes, no := true, false
	both := []Key{{Purpose: tenancy.ForTenant}, {Purpose: tenancy.ForMUser}}
	for _, c := range []struct {
		name   string
		alone  int // new tenants, for each of which two certificates are issued
		with   int // new tenants with one certificate of their own
		wanted *bool
		spread bool
	}{
		{"as many as one run renews", 500, 0, nil, false}, {"one more", 499, 3, nil, true}, {"one", 0, 1, nil, false},
		{"one, wanted", 0, 1, &yes, true}, {"many, not wanted", 501, 0, &no, false}, {"none, wanted", 0, 0, &yes, false},
	} {
		units := []*Unit{{Tenant: "existing"}, {Tenant: "complete", New: true, Keys: both}}
		for range c.alone {
			units = append(units, &Unit{New: true})
		}
		for range c.with {
			units = append(units, &Unit{New: true, Keys: both[:1]})
		}
		m.spread(units, c.wanted, now)
		for i, u := range units {
			if want := c.spread && i >= 2; want == u.NotAfter.IsZero() {
				t.Fatalf("%s: unit %d ends at %v", c.name, i, u.NotAfter)
			}
		}
	}
}

func TestTheRunsOfAnImportCountEveryFirstRenewal(t *testing.T) {
	m, _ := world(t, "sqlite:"+t.TempDir()+"/p.db")
	end := now.AddDate(0, 6, 0)
	at := func(end time.Time) time.Time {
		return m.engine.Policy().Forecast(policy.Validity{NotBefore: now, NotAfter: end}, now).Last().At
	}
	whole := at(now.Add(m.engine.Policy().Validity))
	both := []Key{{Purpose: tenancy.ForTenant}, {Purpose: tenancy.ForMUser}}
	units := []*Unit{{New: true}, {New: true, NotAfter: end}, {New: true, NotAfter: end, Keys: both[:1]},
		{New: true, Keys: both}, {Tenant: "existing"}}
	planned := []Plan{{Certificates: []PlannedCertificate{{RenewAt: at(end)}, {RenewAt: end.AddDate(9, 0, 0)}}}}
	got := m.runs(units, planned, now)
	want := []tenancy.ImportRun{{At: at(end), Renewals: 4}, {At: whole, Renewals: 2},
		{At: end.AddDate(9, 0, 0), Renewals: 1}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTheWarningOfAnImportedCertificateReachesThoseWhomThePolicyMails(t *testing.T) {
	at := now
	leaf := &x509.Certificate{NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, 0, 60)}
	u := &Unit{KeyUsers: make([]Person, 3), Contacts: make([]Person, 2)}
	for _, c := range []struct {
		name    string
		purpose tenancy.Purpose
		rules   policy.Policy
		want    int
	}{
		{"key users alone", tenancy.ForTenant, policy.Policy{}, 3},
		{"IT contacts as well", tenancy.ForTenant, policy.Policy{MailITContactsWithin: policy.Days(60)}, 5},
		{"IT contacts later", tenancy.ForTenant, policy.Policy{MailITContactsWithin: policy.Days(59)}, 3},
		{"of the M-user", tenancy.ForMUser, policy.Policy{MailMUserSince: at}, 2},
		{"of the M-user, too early", tenancy.ForMUser, policy.Policy{MailMUserSince: at.Add(1)}, 0},
		{"of the M-user, whatever the tenant's rule", tenancy.ForMUser, policy.Policy{MailMUserSince: at.Add(1),
			MailITContactsWithin: policy.Days(60)}, 0},
	} {
		if got := u.notified(c.rules, lifecycle.Adopted{Purpose: c.purpose, Leaf: leaf}, at); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestAMissingTenantIsReportedAtItsFirstLine(t *testing.T) {
	m, _ := world(t, "sqlite:"+t.TempDir()+"/p.db")
	const (
		key         = "tenant,role,name,email\n\nx,key-user,k,k@example.com\nx,key-user,l,l@example.com\n"
		contact     = "tenant,role,name,email\n\n\nx,it-contact,I,i@example.com\n"
		arrangement = "tenant,name,receiver,endpoint\n\n\n\nx,a,r,https://r.example.com\n"
	)
	for _, c := range []struct {
		people, arrangements, want string
	}{
		{key, arrangement, `"people","line":3`}, {contact, arrangement, `"people","line":4`},
		{contact + "x,key-user,k,k@example.com\n", "", `"people","line":4`}, {"", arrangement, `"arrangements","line":5`},
	} {
		i, err := m.Check(t.Context(), Files{People: c.people, Arrangements: c.arrangements}, "olga")
		check(t, err)
		if !strings.Contains(i.Problems, c.want+`,"text":"there is no tenant`) ||
			strings.Count(i.Problems, "there is no tenant") != 1 {
			t.Errorf("%s, want %s", i.Problems, c.want)
		}
		if i.Total != 1 || i.State != tenancy.ImportChecked || i.Changing != 0 || len(i.Runs) != 0 {
			t.Errorf("%+v", i)
		}
	}
}

func TestACellInQuotesMayFollowASpace(t *testing.T) {
	units, problems := Read(Files{Tenants: "name, display_name\nacme, \"Acme, Inc.\"\n"}, now)
	if len(problems) != 0 || len(units) != 1 || units[0].Display != "Acme, Inc." {
		t.Errorf("%+v, %v", units, problems)
	}
}

func TestCellsAreReadWithoutTheSpaceAroundThem(t *testing.T) {
	units, problems := Read(Files{
		Tenants: " Name ; DISPLAY_NAME ;key_type;mail_for_tasks\n acme ; Acme, Inc. ; P521 ; YES \nbeta\n",
		People: "subscribed,tenant,role,name,email\n YES ,acme,key-user,alice,alice@example.com\n" +
			"NO,acme,key-user,bob,bob@example.com\n,acme,it-contact,Ina,ina@example.com\n",
		Arrangements: "tenant,name,receiver,endpoint\nacme,a,erp,https://e.example.com\nacme,b,erp,https://e.example.com\n",
	}, now)
	if len(problems) != 0 || len(units) != 2 {
		t.Fatalf("%v", problems)
	}
	acme, beta := units[0], units[1]
	if acme.Tenant != "acme" || acme.Display != "Acme, Inc." || acme.KeyType != tenancy.P521 || !acme.typed || !acme.New ||
		acme.MailForTasks != tenancy.AnsweredYes || acme.line != 2 {
		t.Errorf("%+v", acme)
	}
	if beta.Tenant != "beta" || beta.Display != "beta" || beta.KeyType != tenancy.P256 || beta.typed || beta.line != 3 ||
		beta.MailForTasks != "" {
		t.Errorf("%+v", beta)
	}
	if len(acme.KeyUsers) != 2 || !acme.KeyUsers[0].Subscribed || acme.KeyUsers[1].Subscribed || len(acme.Contacts) != 1 ||
		acme.KeyUsers[1].line != 3 || acme.Contacts[0].line != 4 {
		t.Errorf("%+v, %+v", acme.KeyUsers, acme.Contacts)
	}
	if all := acme.Arrangements; len(all) != 2 || all[1].Receiver.DisplayName != "erp" || all[1].line != 3 {
		t.Errorf("%+v", all)
	}
	for _, empty := range []string{"", "\ufeff", " \n\n"} {
		if units, problems := Read(Files{Tenants: empty}, now); len(units) != 0 || len(problems) != 1 ||
			problems[0] != (Problem{"tenants", 0, "the files are empty"}) {
			t.Errorf("%q: %v", empty, problems)
		}
	}
	for table, want := range map[string]string{
		"display_name\nx\n":              "1: the column name is missing",
		"name,Name\nx,y\n":               "1: the column name occurs twice",
		"name,colour\nx,y\n":             `1: unknown column "colour": the columns are name, display_name`,
		"name,display_name\nacme,A,B\n":  "2: has 3 cells, and the header 2",
		"name\nacme\n\"x":                "3: this line and the lines after it cannot be read",
		"\"name\nacme\n":                 "1: the header cannot be read",
		"name,key_type\nacme,rsa-1024\n": "key_type",
		"name\nacme;b\n":                 "acme;b", // a table of one column has no separator
	} {
		if _, problems := Read(Files{Tenants: table}, now); len(problems) != 1 ||
			!strings.Contains(fmt.Sprint(problems[0].Line, ": ", problems[0].Text), want) {
			t.Errorf("%q: %v, want %q", table, problems, want)
		}
	}
}

// Each table has one wrong cell, and one problem.
func TestEveryCellIsChecked(t *testing.T) {
	const people, columns = "tenant,role,name,email\n", "tenant,name,receiver,endpoint,strategy,contact_email\n"
	long := strings.Repeat("x", 1000)
	for want, f := range map[string]Files{
		"tenants 2: name":                                     {Tenants: "name\nBad Name"},
		"tenants 2: display_name":                             {Tenants: "name,display_name\nacme," + long},
		"tenants 2: key_type":                                 {Tenants: "name,key_type\nacme,des"},
		"tenants 2: issuer":                                   {Tenants: "name,issuer\nacme,Bad Name"},
		"tenants 2: mail_for_tasks: write yes or no":          {Tenants: "name,mail_for_tasks\nacme,maybe"},
		"people 2: tenant":                                    {People: people + "Bad Name,key-user,alice,a@example.com"},
		"people 2: name":                                      {People: people + "acme,key-user,Bad Name,a@example.com"},
		"people 2: email":                                     {People: people + "acme,it-contact,Ina,nobody"},
		"people 2: role":                                      {People: people + "acme,boss,alice,a@example.com"},
		"arrangements 2: tenant":                              {Arrangements: columns + "Bad Name,a,erp,https://erp,,"},
		"arrangements 2: name: invalid name \"Bad Name\"":     {Arrangements: columns + "acme,Bad Name,erp,https://erp,,"},
		"arrangements 2: name: invalid name \"Bad Receiver\"": {Arrangements: columns + "acme,a,Bad Receiver,https://erp,,"},
		"arrangements 2: endpoint":                            {Arrangements: columns + "acme,a,erp,http://erp,,"},
		"arrangements 2: strategy":                            {Arrangements: columns + "acme,a,erp,https://erp,never,"},
		"arrangements 2: contact_email":                       {Arrangements: columns + "acme,a,erp,https://erp,,nobody"},
	} {
		_, problems := Read(f, now)
		if len(problems) != 1 || !strings.HasPrefix(fmt.Sprintf("%s %d: %s", problems[0].File, problems[0].Line,
			problems[0].Text), want) {
			t.Errorf("want %q, and got %+v", want, problems)
		}
	}
}
