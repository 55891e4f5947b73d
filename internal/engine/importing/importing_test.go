package importing

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var check = testenv.Check

func TestMain(m *testing.M) { testenv.Main(m) }

var now = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// A foreign CA is not ours. It comes with a client certificate that it issued.
type foreign struct {
	above, leaf   *x509.Certificate
	key, aboveKey *ecdsa.PrivateKey
}

func issue(t testing.TB, expires time.Time, usage x509.ExtKeyUsage) foreign {
	t.Helper()
	made := func(name string, isCA bool, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate,
		*ecdsa.PrivateKey) {
		signer, err := keyring.Generate(tenancy.P256)
		check(t, err)
		key := signer.(*ecdsa.PrivateKey)
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		check(t, err)
		c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-1, 0, 0),
			NotAfter: expires, IsCA: isCA, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
		if !isCA {
			c.ExtKeyUsage = []x509.ExtKeyUsage{usage}
		}
		if parent == nil {
			parent, by = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
		check(t, err)
		c, err = x509.ParseCertificate(der)
		check(t, err)
		return c, key
	}
	root, rootKey := made("Passport Root", true, nil, nil)
	above, aboveKey := made("Passport CA", true, root, rootKey)
	leaf, key := made("acme", false, above, aboveKey)
	return foreign{above, leaf, key, aboveKey}
}

func (f foreign) pem(t testing.TB) []byte {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(f.key)
	check(t, err)
	out := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.leaf.Raw})...)
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.above.Raw})...)
}

func TestEveryProblemIsReportedWithItsLine(t *testing.T) {
	expired, server, good := issue(t, now.AddDate(0, 0, -1), x509.ExtKeyUsageClientAuth),
		issue(t, now.AddDate(0, 6, 0), x509.ExtKeyUsageServerAuth), issue(t, now.AddDate(0, 6, 0), x509.ExtKeyUsageClientAuth)
	p12, err := pkcs12.Modern.Encode(good.key, good.leaf, nil, "right")
	check(t, err)
	f := Files{
		Tenants: "\ufeffName;Display_Name;Key_Type\nacme;Acme GmbH;p256\nacme;again;p256\n\nBad " +
			"Name;x;p256\nglobex;\"Globex; Inc.\";des\ninitech;;;;;;\nhooli;;\n",
		People: "tenant,role,name,email,subscribed\nacme,key-user,alice,alice@example.com,yes\n" +
			"acme,key-user,alice,alice@example.com,maybe\n" +
			"acme,boss,bob,bob@example.com,\nacme,it-contact,Ina,no address,yes\n",
		Arrangements: "tenant,name,receiver,endpoint,receiver_name\nacme,a,erp,https://erp.example.com,ERP\nacme,a,erp,http://erp.example.com,ERP\nacme,b,erp,https://erp.example.com,Another\n\"acme,c",
		Certificates: []Certificate{{Name: "acme.pem", Data: good.pem(t)}, {Name: "acme.m-user.p12", Data: p12},
			{Name: "globex.pem", Data: expired.pem(t)}, {Name: "hooli.pem", Data: server.pem(t)},
			{Name: "nobody.pem", Data: good.pem(t)}, {Name: "globex.m-user.pem", Data: []byte("hello")}},
		Password: "wrong",
	}
	_, problems := Read(f, now)
	var got []string
	for _, p := range problems {
		got = append(got, strings.TrimSpace(p.File+" "+string(rune('0'+p.Line))+": "+p.Text))
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		"tenants 3: acme is already in line 2", "tenants 5: name", "tenants 6: key_type",
		"tenants 7: has 7 cells, and the header 3",
		"people 3: subscribed: write yes or no", "people 3: the key user alice of acme is already in line 2",
		"people 4: role: write key-user or it-contact", "people 5: email", "people 5: subscribed: IT contacts",
		"arrangements 3: endpoint", "arrangements 3: the arrangement a of acme is already in line 2",
		"arrangements 4: the receiver erp of acme differs from the one in line 2",
		"arrangements 5: this line and the lines after it cannot be read",
		"acme.m-user.p12 0: does not open with the password", "globex.pem 0: expired on 19 November 2026, 09:00 UTC",
		"hooli.pem 0: is not for client authentication", `nobody.pem 0: belongs to "nobody"`,
		"globex.m-user.pem 0: is neither PEM nor",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no problem contains %q", want)
		}
	}
	if len(problems) != 18 {
		t.Errorf("%d problems:\n%s", len(problems), all)
	}
	for _, table := range []string{"tenant\nacme", "name,name\nacme,x", "name,colour\nacme,x"} {
		if _, problems := Read(Files{Tenants: table}, now); len(problems) == 0 || problems[0].Line != 1 {
			t.Errorf("the header of %q passes", table)
		}
	}
}

func TestAnArrangementStatesHowItsReceiverIdentifies(t *testing.T) {
	const header = "tenant,name,receiver,endpoint,identifies_by\nacme,a,erp,https://erp.example.com,"
	units, problems := Read(Files{Arrangements: header + "subject ca\n"}, now)
	if len(problems) > 0 || len(units) != 1 ||
		!slices.Equal(units[0].Arrangements[0].Egress.IdentifiesBy, []tenancy.Identifier{tenancy.BySubject, tenancy.ByCA}) {
		t.Errorf("%+v, %v", units, problems)
	}
	if _, problems := Read(Files{Arrangements: header + "thumbprint\n"}, now); len(problems) != 1 ||
		!strings.Contains(problems[0].Text, `unknown identifier "thumbprint"`) {
		t.Errorf("an unknown identifier: %v", problems)
	}
}

// world returns an importer and an installation with one tenant.
func world(t testing.TB, url string) (*Importer, *enginetest.Installation) {
	t.Helper()
	engine, _ := enginetest.New(t, url, now)
	_, err := engine.CreateTenant(t.Context(), tenancy.Tenant{Name: "globex", DisplayName: "Globex",
		KeyType: tenancy.P256}, "test", now)
	check(t, err)
	m, err := New(engine.Engine, engine.Store, engine.Seal, func() time.Time { return now })
	check(t, err)
	return m, engine
}

func files(t *testing.T) (Files, foreign) {
	t.Helper()
	f := issue(t, now.AddDate(0, 6, 0), x509.ExtKeyUsageClientAuth)
	p12, err := pkcs12.Modern.Encode(f.key, f.leaf, []*x509.Certificate{f.above}, "secret")
	check(t, err)
	return Files{
		Tenants: "name,display_name\nacme,\"Acme \"\"Söhne\"\" <&> GmbH\"\nhooli,\n",
		People: "tenant,role,name,email,subscribed\nacme,key-user,alice,alice@example.com,yes\n" +
			"globex,key-user,gina,gina@example.com,no\n" +
			"globex,it-contact,Ina Ivers,ina@example.com,\n",
		Arrangements: "tenant,name,receiver,endpoint\nacme,crm-to-erp,erp,https://erp.example.com/orders\nacme,crm-to-bi,erp,https://erp.example.com/bi\nglobex,hr-to-pay,pay,https://pay.example.com\n",
		Certificates: []Certificate{{Name: "acme.p12", Data: p12}}, Password: "secret",
	}, f
}

func (m *Importer) move(t testing.TB, id string, from, to tenancy.ImportState) {
	t.Helper()
	check(t, m.store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.MoveImport(t.Context(), id, from, to)
	}))
}

func TestAFleetIsImportedAndUndone(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) { aFleetIsImportedAndUndone(t, url) })
}

func aFleetIsImportedAndUndone(t *testing.T, url string) {
	m, e := world(t, url)
	f, foreign := files(t)
	i, err := m.Check(t.Context(), f, "operator olga")
	check(t, err)
	if i.Problems != "[]" || i.Total != 3 {
		t.Fatalf("%d tenants, %s", i.Total, i.Problems)
	}
	if plan, err := e.Store.ImportPlan(t.Context(), i.ID); err != nil || strings.Contains(string(plan), "alice") {
		t.Errorf("the plan is not sealed: %v", err)
	}
	if _, err := e.Store.Tenant(t.Context(), "acme"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Fatal("a check changed something")
	}
	m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)

	// The import is interrupted in the middle, as if the process were killed, and is continued.
	m.batch = 1
	ctx, cancel := context.WithCancel(t.Context())
	stop := e.Store.OnChange(func(string) { cancel() })
	m.Work(ctx, i.ID)
	stop()
	begun, err := e.Store.ImportByID(t.Context(), i.ID)
	check(t, err)
	if begun.State != tenancy.ImportApplying || begun.Done != 1 {
		t.Fatalf("it was not broken off: %s, %d", begun.State, begun.Done)
	}
	check(t, m.Work(t.Context(), i.ID))
	done, err := e.Store.ImportByID(t.Context(), i.ID)
	check(t, err)
	if done.State != tenancy.ImportApplied || done.Done != 3 {
		t.Fatalf("%s, %d of %d: %s", done.State, done.Done, done.Total, done.LastError)
	}
	acme, err := e.Store.Tenant(t.Context(), "acme")
	check(t, err)
	cert, err := e.Store.Newest(t.Context(), acme.ID, tenancy.ForTenant)
	check(t, err)
	shown, err := e.Presentable(t.Context(), cert)
	check(t, err)
	if string(cert.DER) != string(foreign.leaf.Raw) || !foreign.key.Equal(shown.PrivateKey) ||
		len(shown.Certificate) != 2 || string(shown.Certificate[1]) != string(foreign.above.Raw) {
		t.Error("the imported certificate is not presented with its key and its CA")
	}
	globex, err := e.Store.Tenant(t.Context(), "globex")
	check(t, err)
	if contacts, err := e.Store.ITContacts(t.Context(), globex.ID); err != nil || len(contacts) != 1 ||
		contacts[0].Name != "Ina Ivers" {
		t.Errorf("contacts: %v, %v", contacts, err)
	}
	if _, err := e.Store.KeyUser(t.Context(), globex.ID, "gina"); err != nil {
		t.Error(err)
	}
	if _, err := e.Store.VerifyEvents(t.Context()); err != nil {
		t.Error(err)
	}

	again, err := m.Check(t.Context(), f, "operator olga")
	check(t, err)
	if n := strings.Count(again.Problems, `"text"`); n != 7 {
		t.Errorf("what is there already: %s", again.Problems)
	}

	latest, _, err := e.Store.Imports(t.Context(), "", store.Page{Sort: "-created", Limit: 1})
	check(t, err)
	earlier, _, err := e.Store.Imports(t.Context(), "", store.Page{Sort: "-created", Limit: 1,
		After: store.Place{ID: again.ID}})
	check(t, err)
	if len(latest) != 1 || latest[0].ID != again.ID || len(earlier) != 1 || earlier[0].ID != i.ID {
		t.Errorf("the list is not the latest first: %v, %v", latest, earlier)
	}

	m.move(t, i.ID, tenancy.ImportApplied, tenancy.ImportUndoing)
	check(t, m.Work(t.Context(), i.ID))
	undone, err := e.Store.ImportByID(t.Context(), i.ID)
	check(t, err)
	if undone.State != tenancy.ImportUndone || undone.Done != 0 {
		t.Fatalf("%s: %s", undone.State, undone.LastError)
	}
	for _, name := range []string{"acme", "hooli"} {
		if _, err := e.Store.Tenant(t.Context(), name); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if _, err := e.Store.KeyUser(t.Context(), globex.ID, "gina"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("gina is still there: %v", err)
	}
	if contacts, err := e.Store.ITContacts(t.Context(), globex.ID); err != nil || len(contacts) > 0 {
		t.Errorf("contacts: %v, %v", contacts, err)
	}
	if _, err := e.Store.Arrangement(t.Context(), globex.ID, "hr-to-pay"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("the arrangement is still there: %v", err)
	}
	if _, err := e.Store.Receiver(t.Context(), globex.ID, "pay"); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("the receiver is still there: %v", err)
	}
	var actions []string
	events, err := e.Store.Events(t.Context(), "", 0, 100)
	check(t, err)
	for _, event := range events {
		if event.Object == i.ID || strings.HasPrefix(event.Action, "import") || event.Action == "tenant.imported-into" {
			actions = append(actions, event.Action)
		}
	}
	slices.Sort(actions)
	if want := []string{"import.applied", "import.checked", "import.checked", "import.taken-back", "import.taken-back",
		"import.taken-back", "import.undone", "tenant.imported-into"}; !slices.Equal(actions, want) {
		t.Errorf("the audit log has %q, want %q", actions, want)
	}
	if _, err := e.Store.VerifyEvents(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnImportThatIsInUseIsNotUndone(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) { anImportThatIsInUseIsNotUndone(t, url) })
}

func anImportThatIsInUseIsNotUndone(t *testing.T, url string) {
	m, e := world(t, url)
	f, _ := files(t)
	i, err := m.Check(t.Context(), f, "operator olga")
	check(t, err)
	m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
	check(t, m.Work(t.Context(), i.ID))
	acme, err := e.Store.Tenant(t.Context(), "acme")
	check(t, err)
	a, err := e.Store.Arrangement(t.Context(), acme.ID, "crm-to-erp")
	check(t, err)
	check(t, e.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return tx.AddMessages(t.Context(), []tenancy.Message{{ID: store.NewID(), ArrangementID: a.ID, At: now,
			Method: "POST", Path: "/", Status: 200, Generation: 1, Attempts: 1, Count: 1}})
	}))
	m.move(t, i.ID, tenancy.ImportApplied, tenancy.ImportUndoing)
	check(t, m.Work(t.Context(), i.ID))
	stands, err := e.Store.ImportByID(t.Context(), i.ID)
	check(t, err)
	if stands.State != tenancy.ImportUndoing || !strings.Contains(stands.LastError,
		"messages were sent on acme/crm-to-erp") {
		t.Errorf("%s: %q", stands.State, stands.LastError)
	}
	if _, err := e.Store.Tenant(t.Context(), "acme"); err != nil {
		t.Errorf("acme: %v", err)
	}
}

func TestATenantThatWasWarnedSinceIsNotUndone(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	check(t, e.Tick(t.Context(), now))
	f, _ := files(t) // acme's certificate expires in six months
	i, err := m.Check(t.Context(), f, "operator olga")
	check(t, err)
	m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
	check(t, m.Work(t.Context(), i.ID))
	_, err = e.Run(t.Context(), now.AddDate(0, 4, 0), now.AddDate(0, 4, 0))
	check(t, err)
	m.move(t, i.ID, tenancy.ImportApplied, tenancy.ImportUndoing)
	check(t, m.Work(t.Context(), i.ID))
	stands, err := e.Store.ImportByID(t.Context(), i.ID)
	check(t, err)
	if stands.State != tenancy.ImportUndoing || !strings.Contains(stands.LastError,
		"acme has been renewed or warned about since: it cannot be undone") {
		t.Errorf("%s: %q", stands.State, stands.LastError)
	}
	if _, err := e.Store.Tenant(t.Context(), "acme"); err != nil {
		t.Errorf("acme: %v", err)
	}
}

func TestAnImportIsUndoneAlthoughAPartOfItWasDeleted(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	f, _ := files(t)
	i, err := m.Check(t.Context(), f, "operator olga")
	check(t, err)
	m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
	check(t, m.Work(t.Context(), i.ID))
	globex, err := e.Store.Tenant(t.Context(), "globex")
	check(t, err)
	a, err := e.Store.Arrangement(t.Context(), globex.ID, "hr-to-pay")
	check(t, err)
	gina, err := e.Store.KeyUser(t.Context(), globex.ID, "gina")
	check(t, err)
	check(t, e.Store.InTx(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.DeleteArrangement(t.Context(), a), tx.DeleteKeyUser(t.Context(), gina))
	}))
	m.move(t, i.ID, tenancy.ImportApplied, tenancy.ImportUndoing)
	var changed []string // what gateways are notified of
	stop := e.Store.OnChange(func(id string) { changed = append(changed, id) })
	check(t, m.Work(t.Context(), i.ID))
	stop()
	if !slices.Contains(changed, globex.ID) || len(changed) != i.Total {
		t.Errorf("changes of %q, want one for each of %d tenants", changed, i.Total)
	}
	undone, err := e.Store.ImportByID(t.Context(), i.ID)
	check(t, err)
	if undone.State != tenancy.ImportUndone {
		t.Errorf("%s: %s", undone.State, undone.LastError)
	}
}

func TestAnImporterIsRefusedWithoutEachOfItsDependencies(t *testing.T) {
	_, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	clock := func() time.Time { return now }
	_, err1 := New(nil, e.Store, e.Seal, clock)
	_, err2 := New(e.Engine, nil, e.Seal, clock)
	_, err3 := New(e.Engine, e.Store, nil, clock)
	_, err4 := New(e.Engine, e.Store, e.Seal, nil)
	for want, err := range map[string]error{"engine": err1, "store": err2, "keyring": err3, "clock": err4} {
		if err == nil || !strings.Contains(err.Error(), "no "+want) {
			t.Errorf("without its %s: %v", want, err)
		}
	}
}

func TestProblemsAreListedByFileAndLine(t *testing.T) {
	m, _ := world(t, "sqlite:"+t.TempDir()+"/p.db")
	i, err := m.Check(t.Context(), Files{
		Tenants:      "name\nUPPER\nglobex\n", // line 2 is invalid, line 3 already exists
		People:       "tenant,role,name,email\nglobex,key-user,x,none\nnobody,key-user,y,y@example.com\n",
		Arrangements: "tenant,name,receiver,endpoint\nglobex,a,r,none\n",
	}, "operator olga")
	check(t, err)
	var problems []Problem
	check(t, json.Unmarshal([]byte(i.Problems), &problems))
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprint(p.File, " ", p.Line))
	}
	if want := []string{"tenants 2", "tenants 3", "people 2", "people 3", "arrangements 2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q:\n%s", got, want, i.Problems)
	}
}

func TestFilesThatCannotBeReadAreOneProblemEach(t *testing.T) {
	malformed := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{0x30, 0}}))
	for _, c := range []struct {
		name  string
		files Files
		want  string
	}{
		{"nothing at all", Files{}, "the files are empty"},
		{"an open quote in the header", Files{Tenants: "name,\"disp"}, "the header cannot be read"},
		{"one wrong column", Files{Tenants: "name,colour\nUPPER,x\n"}, `unknown column "colour"`},
		{"a malformed certificate", Files{Tenants: "name\nacme\n",
			Certificates: []Certificate{{Name: "acme.pem", Data: []byte(malformed)}}}, "certificate 1 is malformed"},
		{"a certificate without a key", Files{Tenants: "name\nacme\n",
			Certificates: []Certificate{{Name: "acme.pem", Data: []byte("-----BEGIN NOTHING-----")}}},
			"holds no private key"},
	} {
		_, problems := Read(c.files, now)
		if len(problems) != 1 || !strings.Contains(problems[0].Text, c.want) {
			t.Errorf("%s: %+v", c.name, problems)
		}
	}
}

func TestACertificateBringsItsKeyTypeItsChainAndItsPassword(t *testing.T) {
	a, b := issue(t, now.AddDate(0, 6, 0), x509.ExtKeyUsageClientAuth), issue(t, now.AddDate(0, 6, 0),
		x509.ExtKeyUsageClientAuth)
	rsaKey, err := keyring.Generate(tenancy.RSA2048)
	check(t, err)
	der, err := x509.CreateCertificate(rand.Reader, b.leaf, b.above, rsaKey.Public(), b.aboveKey)
	check(t, err)
	leaf, err := x509.ParseCertificate(der)
	check(t, err)
	one, err := pkcs12.Modern.Encode(a.key, a.leaf, []*x509.Certificate{a.above}, "one")
	check(t, err)
	other, err := pkcs12.Modern.Encode(rsaKey, leaf, []*x509.Certificate{b.above}, "other")
	check(t, err)
	units, problems := Read(Files{Tenants: "name,key_type\nacme,\nglobex,\nhooli,p384\n", Password: "other",
		Certificates: []Certificate{{Name: "acme.p12", Data: one, Password: "one"}, {Name: "globex.p12", Data: other},
			{Name: "hooli.p12", Data: other}}}, now)
	if len(problems) > 0 || len(units) != 3 {
		t.Fatalf("%d units, %v", len(units), problems)
	}
	for i, want := range []tenancy.KeyType{tenancy.P256, tenancy.RSA2048, tenancy.P384} {
		if u := units[i]; u.KeyType != want || len(u.Keys[0].Chain) == 0 {
			t.Errorf("%s: the next key is of type %s, not %s; the chain has %d bytes", u.Tenant, u.KeyType, want,
				len(u.Keys[0].Chain))
		}
	}
}

func TestACertificateOfEveryKeyTypeIsImported(t *testing.T) {
	f := issue(t, now.AddDate(0, 6, 0), x509.ExtKeyUsageClientAuth)
	for _, kind := range tenancy.KeyTypes {
		key, err := keyring.Generate(kind)
		check(t, err)
		leaf, err := x509.CreateCertificate(rand.Reader, f.leaf, f.above, key.Public(), f.aboveKey)
		check(t, err)
		private, err := x509.MarshalPKCS8PrivateKey(key)
		check(t, err)
		file := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}),
			pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
		units, problems := Read(Files{Tenants: "name\nacme\n", Certificates: []Certificate{{Name: "acme.pem",
			Data: file}}}, now)
		if len(problems) > 0 || units[0].KeyType != kind || units[0].Keys[0].KeyType != kind {
			t.Errorf("%s: %v", kind, problems)
		}
	}
}
