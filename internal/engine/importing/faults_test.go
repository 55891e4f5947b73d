package importing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// An import that could not read or store a part of itself must not look as if it had been applied.
func TestAnImportReportsAFailingDatabaseAndContinues(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	f, _ := files(t)
	db, ctx := e.Store.DB(), t.Context()
	var i tenancy.Import
	checked := func() (err error) {
		i, err = m.Check(ctx, f, "operator olga")
		return err
	}
	testenv.FailsWithout(t, db, []string{"tenants", "key_users", "arrangements", "imports", "events"}, checked)
	testenv.FailsIfReadOnly(t, db, []string{"imports", "events"}, checked)
	check(t, checked())
	if i.Problems != "[]" {
		t.Fatal(i.Problems)
	}
	work := func() error { return m.Work(ctx, i.ID) }
	m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
	testenv.FailsWithout(t, db, []string{"imports", "import_items", "tenants", "certificates", "key_users", "it_contacts",
		"receivers", "arrangements", "foreign_issuers"}, work)
	// In this order, because acme and hooli are complete when an IT contact of globex is missing.
	testenv.FailsIfReadOnly(t, db, []string{"import_items", "tenants", "certificates", "scoping_projects", "key_users",
		"receivers", "arrangements", "events", "it_contacts", "imports"}, work)
	check(t, work())
	applied, err := e.Store.ImportByID(ctx, i.ID)
	check(t, err)
	if applied.State != tenancy.ImportApplied || applied.Done != 3 || applied.LastError != "" {
		t.Errorf("%s, %d of %d: %q", applied.State, applied.Done, applied.Total, applied.LastError)
	}
	m.move(t, i.ID, tenancy.ImportApplied, tenancy.ImportUndoing)
	testenv.FailsWithout(t, db, []string{"imports", "import_items", "certificates", "messages", "arrangements",
		"receivers",
		"key_users"}, work)
	testenv.FailsIfReadOnly(t, db, []string{"import_items", "tenants", "arrangements", "receivers", "key_users",
		"it_contacts", "events", "imports"}, work)
	check(t, work())
	undone, err := e.Store.ImportByID(ctx, i.ID)
	check(t, err)
	if undone.State != tenancy.ImportUndone || undone.Done != 0 {
		t.Errorf("%s, %d left: %q", undone.State, undone.Done, undone.LastError)
	}
	check(t, work()) // there is nothing left to do
	if err := m.Work(ctx, "unknown"); err == nil {
		t.Error("an import that does not exist")
	}
}

func TestAnImportReportsEachStatementThatFails(t *testing.T) {
	f, _ := files(t)
	for name, state := range map[string]tenancy.ImportState{"check": "", "apply": tenancy.ImportApplying,
		"undo": tenancy.ImportUndoing} {
		t.Run(name, func(t *testing.T) {
			n := storetest.EachFault(t, func(t *testing.T) (*store.Store, func() error) {
				m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
				check := func() (i tenancy.Import, err error) { return m.Check(t.Context(), f, "operator olga") }
				if state == "" {
					return e.Store, func() error {
						_, err := check()
						return err
					}
				}
				i, err := check()
				testenv.Check(t, err)
				m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
				if state == tenancy.ImportUndoing {
					testenv.Check(t, m.Work(t.Context(), i.ID))
					m.move(t, i.ID, tenancy.ImportApplied, tenancy.ImportUndoing)
				}
				return e.Store, func() error { return m.Work(t.Context(), i.ID) }
			})
			if n < 10 {
				t.Errorf("%d statements failed", n)
			}
		})
	}
}

// An arrangement that is added to a tenant activates the generation that waits for its receivers.
func TestAnImportIntoATenantThatRenewsReportsEachStatementThatFails(t *testing.T) {
	storetest.EachFault(t, func(t *testing.T) (*store.Store, func() error) {
		m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
		apply := func(name string) func() error {
			i, err := m.Check(t.Context(), Files{Arrangements: "tenant,name,receiver,endpoint\nglobex," + name +
				",pay,https://pay.example.com\n"}, "olga")
			testenv.Check(t, err)
			m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
			return func() error { return m.Work(t.Context(), i.ID) }
		}
		testenv.Check(t, apply("first")())
		next, err := e.RenewByHand(t.Context(), "globex", tenancy.ForTenant, lifecycle.Reissue, "olga", now)
		testenv.Check(t, err)
		if next.State != tenancy.Standby {
			t.Fatalf("the new generation is %s", next.State)
		}
		return e.Store, apply("second")
	})
}

// What an operator has to see is stored with the import, and is not tried again and again.
func TestAConflictAfterTheCheckIsStoredWithTheImport(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(tx *store.Tx, globex tenancy.Tenant) error
	}{
		{"a key user", "a key user gina was added to globex in the meantime", func(tx *store.Tx, g tenancy.Tenant) error {
			return tx.CreateKeyUsers(t.Context(), tenancy.KeyUser{ID: store.NewID(), TenantID: g.ID, Name: "gina",
				Email: "g@example.com", UnsubscribeToken: "x", CreatedAt: now, Version: 1})
		}},
		{"an arrangement", "an arrangement hr-to-pay was added to globex in the meantime", func(tx *store.Tx,
			g tenancy.Tenant) error {
			r := tenancy.Receiver{ID: store.NewID(), TenantID: g.ID, Name: "pay", DisplayName: "Pay", CreatedAt: now, Version: 1}
			if err := tx.CreateReceivers(t.Context(), r); err != nil {
				return err
			}
			return tx.CreateArrangements(t.Context(), tenancy.Arrangement{ID: store.NewID(), TenantID: g.ID, ReceiverID: r.ID,
				Name: "hr-to-pay", Endpoint: "https://pay.example.com", Authentication: tenancy.ClientCertificate,
				Strategy: tenancy.Adaptive, Generation: 1, CreatedAt: now, Version: 1})
		}},
	} {
		m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
		f, _ := files(t)
		i, err := m.Check(t.Context(), f, "operator olga")
		check(t, err)
		m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
		globex, err := e.Store.Tenant(t.Context(), "globex")
		check(t, err)
		check(t, e.Store.InTx(t.Context(), func(tx *store.Tx) error { return c.change(tx, globex) }))
		check(t, m.Work(t.Context(), i.ID))
		stands, err := e.Store.ImportByID(t.Context(), i.ID)
		check(t, err)
		if stands.State != tenancy.ImportApplying || !strings.Contains(stands.LastError, c.want) || stands.Done != 2 {
			t.Errorf("%s: %s after %d tenants, %q", c.name, stands.State, stands.Done, stands.LastError)
		}
	}
}

func TestAReceiverThatAnotherArrangementUsesIsNotUndone(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	f, _ := files(t)
	i, err := m.Check(t.Context(), f, "operator olga")
	check(t, err)
	m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
	check(t, m.Work(t.Context(), i.ID))
	globex, err := e.Store.Tenant(t.Context(), "globex")
	check(t, err)
	pay, err := e.Store.Receiver(t.Context(), globex.ID, "pay")
	check(t, err)
	check(t, e.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.CreateArrangements(t.Context(), tenancy.Arrangement{ID: store.NewID(), TenantID: globex.ID,
			ReceiverID: pay.ID, Name: "later", Endpoint: "https://pay.example.com", Authentication: tenancy.ClientCertificate,
			Strategy: tenancy.Adaptive, Generation: 1, CreatedAt: now, Version: 1})
	}))
	m.move(t, i.ID, tenancy.ImportApplied, tenancy.ImportUndoing)
	check(t, m.Work(t.Context(), i.ID))
	stands, err := e.Store.ImportByID(t.Context(), i.ID)
	check(t, err)
	if stands.State != tenancy.ImportUndoing ||
		!strings.Contains(stands.LastError, "another arrangement uses the receiver pay: delete that one first") {
		t.Errorf("%s: %q", stands.State, stands.LastError)
	}
	if _, err := e.Store.KeyUser(t.Context(), globex.ID, "gina"); err != nil {
		t.Errorf("a part of globex was undone: %v", err)
	}
}

func TestEveryColumnIsImported(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	pin := "sha256/" + strings.Repeat("A", 43) + "="
	i, err := m.Check(t.Context(), Files{Tenants: "name,display_name,key_type\nacme,Acme Inc.,P384\nhooli\n",
		People: "tenant;role;name;email;subscribed\nacme;key-user;alice;alice@example.com;YES\n" +
			"acme;key-user;bob;bob@example.com;no\nacme;it-contact;Ina;ina@example.com;\n",
		Arrangements: "tenant,name,receiver,receiver_name,contact_name,contact_email,scenario,endpoint,strategy,probe_path," +
			"server_key_pin,identifies_by\nacme,a,erp,ERP,Eve,eve@example.com,orders,https://erp.example.com/in,manual," +
			"/health," + pin + ",subject ca\nacme,b,bi,,,,,https://bi.example.com,,,,\n"}, "olga")
	check(t, err)
	if i.Problems != "[]" {
		t.Fatal(i.Problems)
	}
	m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
	check(t, m.Work(t.Context(), i.ID))
	s, ctx := e.Store, t.Context()
	acme, err := s.Tenant(ctx, "acme")
	check(t, err)
	hooli, err := s.Tenant(ctx, "hooli")
	check(t, err)
	if acme.DisplayName != "Acme Inc." || acme.KeyType != tenancy.P384 || hooli.DisplayName != "hooli" ||
		hooli.KeyType != tenancy.P256 {
		t.Errorf("tenants %+v, %+v", acme, hooli)
	}
	alice, err := s.KeyUser(ctx, acme.ID, "alice")
	check(t, err)
	bob, err := s.KeyUser(ctx, acme.ID, "bob")
	check(t, err)
	if alice.Email != "alice@example.com" || !alice.SubscribedAt.Equal(now) || !bob.SubscribedAt.IsZero() ||
		alice.UnsubscribeToken == "" || alice.UnsubscribeToken == bob.UnsubscribeToken || !alice.CreatedAt.Equal(now) {
		t.Errorf("key users %+v, %+v", alice, bob)
	}
	contacts, err := s.ITContacts(ctx, acme.ID)
	check(t, err)
	if len(contacts) != 1 || contacts[0].Name != "Ina" || contacts[0].Email != "ina@example.com" {
		t.Errorf("contacts %+v", contacts)
	}
	a, err := s.Arrangement(ctx, acme.ID, "a")
	check(t, err)
	want := tenancy.Egress{Probe: tenancy.Probe{Method: "GET", Path: "/health"}, ServerKeyPin: pin,
		IdentifiesBy: []tenancy.Identifier{tenancy.BySubject, tenancy.ByCA}}
	if a.Scenario != "orders" || a.Endpoint != "https://erp.example.com/in" || a.Strategy != tenancy.Manual ||
		a.Authentication != tenancy.ClientCertificate || a.Generation != 1 || !reflect.DeepEqual(a.Egress, want) {
		t.Errorf("arrangement %+v", a)
	}
	erp, err := s.Receiver(ctx, acme.ID, "erp")
	check(t, err)
	bi, err := s.Receiver(ctx, acme.ID, "bi")
	check(t, err)
	b, err := s.Arrangement(ctx, acme.ID, "b")
	check(t, err)
	if erp.DisplayName != "ERP" || erp.ContactName != "Eve" || erp.ContactEmail != "eve@example.com" ||
		a.ReceiverID != erp.ID || bi.DisplayName != "bi" || b.ReceiverID != bi.ID || b.Strategy != tenancy.Adaptive ||
		b.Egress.Probe.Method != "" {
		t.Errorf("receivers %+v, %+v", erp, bi)
	}
	for what, version := range map[string]int64{"tenant": acme.Version, "key user": alice.Version,
		"IT contact": contacts[0].Version, "receiver": erp.Version, "arrangement": a.Version} {
		if version != 1 {
			t.Errorf("the version of a new %s is %d", what, version)
		}
	}
}

// What an existing tenant has already is used by what is added to it.
func TestAnArrangementIsAddedToAReceiverThatExists(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	apply := func(f Files) {
		t.Helper()
		i, err := m.Check(t.Context(), f, "olga")
		check(t, err)
		if i.Problems != "[]" {
			t.Fatal(i.Problems)
		}
		m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
		check(t, m.Work(t.Context(), i.ID))
		if i, err = e.Store.ImportByID(t.Context(), i.ID); err != nil || i.State != tenancy.ImportApplied {
			t.Fatalf("%s, %q, %v", i.State, i.LastError, err)
		}
	}
	const arrangements = "tenant,name,receiver,endpoint\nglobex,%s,pay,https://pay.example.com\n"
	apply(Files{Arrangements: fmt.Sprintf(arrangements, "first"),
		People: "tenant,role,name,email\nglobex,it-contact,Ina,ina@example.com\n"})
	_, err := e.RenewByHand(t.Context(), "globex", tenancy.ForTenant, lifecycle.Reissue, "olga", now)
	check(t, err)
	apply(Files{Arrangements: fmt.Sprintf(arrangements, "second"),
		People: "tenant,role,name,email\nglobex,it-contact,Jan,jan@example.com\n"})
	globex, err := e.Store.Tenant(t.Context(), "globex")
	check(t, err)
	first, err := e.Store.Arrangement(t.Context(), globex.ID, "first")
	check(t, err)
	second, err := e.Store.Arrangement(t.Context(), globex.ID, "second")
	check(t, err)
	if first.ReceiverID != second.ReceiverID || first.Generation != 1 || second.Generation != 2 {
		t.Errorf("%+v, %+v", first, second)
	}
	contacts, err := e.Store.ITContacts(t.Context(), globex.ID)
	check(t, err)
	if len(contacts) != 2 || contacts[0].Name != "Ina" || contacts[0].Position != 1 || contacts[1].Position != 2 {
		t.Errorf("%+v", contacts)
	}
}

func TestTheNumberOfLinesAndOfProblemsIsLimited(t *testing.T) {
	table := func(lines int, line string) string {
		var b strings.Builder
		b.WriteString("name\n")
		for n := range lines {
			fmt.Fprintf(&b, line+"\n", n)
		}
		return b.String()
	}
	units, problems := Read(Files{Tenants: table(MaxLines, "t%d")}, now)
	if len(units) != MaxLines || len(problems) != 0 {
		t.Errorf("%d tenants, %d problems", len(units), len(problems))
	}
	units, problems = Read(Files{Tenants: table(MaxLines+1, "t%d")}, now)
	if len(problems) != 1 || problems[0].Line != MaxLines+2 || len(units) != MaxLines {
		t.Errorf("one line too many: %d tenants, %v", len(units), problems)
	}
	if _, problems := Read(Files{Tenants: table(1001, "T %d")}, now); len(problems) != 1000 {
		t.Errorf("%d problems are reported", len(problems))
	}
	m, _ := world(t, "sqlite:"+t.TempDir()+"/p.db")
	i, err := m.Check(t.Context(), Files{Tenants: table(1000, "T %d") + "globex\n"}, "olga") // which exists already
	check(t, err)
	if n := strings.Count(i.Problems, `"text"`); n != 1000 {
		t.Errorf("%d problems are stored", n)
	}
}

func TestACertificateThatCannotBeUsedIsAProblem(t *testing.T) {
	client := x509.ExtKeyUsageClientAuth
	good := issue(t, now.AddDate(0, 6, 0), client)
	authority := foreign{above: good.above, leaf: good.above, key: good.aboveKey}
	early := issue(t, now.AddDate(0, 6, 0), client)
	for _, c := range []struct {
		name  string
		files []Certificate
		want  string
	}{
		{"a CA", []Certificate{{Name: "acme.pem", Data: authority.pem(t)}}, "is the certificate of a CA"},
		{"two of one tenant", []Certificate{{Name: "acme.pem", Data: good.pem(t)}, {Name: "dir/acme.p12",
			Data: early.pem(t)}}, "there is another file with the certificate of acme"},
		{"any use", []Certificate{{Name: "acme.pem", Data: issue(t, now.AddDate(0, 6, 0), x509.ExtKeyUsageAny).pem(t)}}, ""},
		{"both certificates", []Certificate{{Name: "acme.pem", Data: good.pem(t)}, {Name: "acme.m-user.pem",
			Data: early.pem(t)}}, ""},
		{"an existing tenant", []Certificate{{Name: "globex.pem", Data: good.pem(t)}}, "is not among the new tenants"},
	} {
		units, problems := Read(Files{Tenants: "name\nacme\n",
			People:       "tenant,role,name,email\nglobex,it-contact,I,i@e.com\n",
			Certificates: c.files}, now)
		switch {
		case c.want == "" && (len(problems) != 0 || len(units[0].Keys) != len(c.files)):
			t.Errorf("%s: %v", c.name, problems)
		case c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Text, c.want)):
			t.Errorf("%s: %v", c.name, problems)
		}
	}
	before := good.leaf.NotBefore
	for at, valid := range map[int]bool{-1: false, 0: true} {
		_, problems := Read(Files{Tenants: "name\nacme\n", Certificates: []Certificate{{Name: "acme.pem",
			Data: good.pem(t)}}}, before.AddDate(0, 0, at))
		if (len(problems) == 0) != valid || !valid && !strings.Contains(problems[0].Text, "is not valid before") {
			t.Errorf("%d days after the beginning: %v", at, problems)
		}
	}
	if _, problems := Read(Files{Tenants: "name\nacme\n", Certificates: []Certificate{{Name: "acme.pem",
		Data: good.pem(t)}}}, good.leaf.NotAfter); len(problems) != 1 {
		t.Errorf("at the instant of its expiry: %v", problems)
	}
}

func TestAKeyOfAnotherKindIsAProblem(t *testing.T) {
	short := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023)}}
	for name, c := range map[string]struct {
		key  crypto.Signer
		want string
	}{
		"RSA 1024": {short, "unsupported RSA key of 1024 bits"},
		"P-224": {&ecdsa.PrivateKey{PublicKey: ecdsa.PublicKey{Curve: elliptic.P224()}},
			"unsupported kind of private key"},
	} {
		if kind, err := keyType(c.key); err == nil || kind != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v", name, kind, err)
		}
	}
}
