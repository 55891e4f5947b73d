package importing

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/storetest"
	"github.com/perennial-pki/perennial/tenancy"
)

// client issues a certificate of the foreign CA, and returns it as a file with its key and its CA.
func (f foreign) client(t testing.TB, name string, kind tenancy.KeyType, edit func(*x509.Certificate)) Certificate {
	t.Helper()
	key, err := keyring.Generate(kind)
	check(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, 6, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	edit(c)
	der, err := x509.CreateCertificate(rand.Reader, c, f.above, key.Public(), f.aboveKey)
	check(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	for _, der := range [][]byte{der, f.above.Raw} {
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return Certificate{Name: name, Data: data}
}

func subject(name pkix.Name) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject = name }
}

func TestThePlanOfAnImportListsWhatTheFirstRenewalsChange(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	check(t, e.Tick(t.Context(), now)) // runs are due from now on
	f := issue(t, now.AddDate(0, 6, 0), x509.ExtKeyUsageClientAuth)
	mapped := pkix.Name{CommonName: "my300001", Organization: []string{"Platform"}}
	i, err := m.Check(t.Context(), Files{
		Tenants: "name,key_type\nacme,p256\nhooli,\ninitech,\n",
		People: "tenant,role,name,email\nacme,key-user,alice,alice@example.com\nacme,key-user,bob,bob@example.com\n" +
			"acme,it-contact,Ina,ina@example.com\nglobex,key-user,gina,gina@example.com\n",
		Arrangements: "tenant,name,receiver,endpoint\nacme,a,erp,https://erp.example.com\n",
		Certificates: []Certificate{
			f.client(t, "acme.pem", tenancy.RSA2048, func(c *x509.Certificate) {
				c.Subject, c.DNSNames = mapped, []string{"acme.elsewhere.example"}
			}),
			f.client(t, "acme.m-user.pem", tenancy.P256, subject(pkix.Name{CommonName: "technical"})),
			f.client(t, "hooli.pem", tenancy.P256, func(c *x509.Certificate) {
				c.Subject, c.NotAfter = pkix.Name{CommonName: "hooli"}, now.AddDate(0, 0, 20)
			}),
		},
	}, "test")
	check(t, err)
	text, err := e.Store.ImportPlanned(t.Context(), i.ID)
	check(t, err)
	got, err := Plans(i, text)
	check(t, err)
	byRoot := []Change{{ChangedIssuer, "CN=Passport CA", "CN=P issuing CA G1,O=P"},
		{ChangedRoot, "CN=Passport Root", "CN=P root CA G1,O=P"}}
	spring := time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC)
	notAfter := now.AddDate(0, 6, 0)
	want := []Plan{
		{Tenant: "acme", New: true, KeyUsers: 2, ITContacts: 1, Arrangements: 1, Certificates: []PlannedCertificate{
			{File: "acme.pem", Purpose: tenancy.ForTenant, NotAfter: notAfter, RenewAt: spring, Notified: 2,
				WarnAt: spring.AddDate(0, -1, 0), Changes: append([]Change{{ChangedKeyType, "rsa2048", "p256"}}, append(byRoot,
					Change{ChangedSAN, "DNS:acme.elsewhere.example", "URI:spiffe://p.example.com/tenant/acme"})...)},
			{File: "acme.m-user.pem", Purpose: tenancy.ForMUser, NotAfter: notAfter, RenewAt: spring, Notified: 1,
				WarnAt: spring.AddDate(0, -1, 0), Changes: byRoot},
		}},
		{Tenant: "hooli", New: true, Certificates: []PlannedCertificate{
			{File: "hooli.pem", Purpose: tenancy.ForTenant, NotAfter: now.AddDate(0, 0, 20),
				RenewAt: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Changes: byRoot}}},
		{Tenant: "initech", New: true, Certificates: []PlannedCertificate{}},
		{Tenant: "globex", KeyUsers: 1, Certificates: []PlannedCertificate{}},
	}
	if i.Problems != "[]" || i.Changing != 3 {
		t.Errorf("%d change, %s", i.Changing, i.Problems)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the plan is\n%+v, want\n%+v", got, want)
	}

	// What was planned happens.
	m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
	check(t, m.Work(t.Context(), i.ID))
	for month := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC); !month.After(spring); month = month.AddDate(0, 1, 0) {
		check(t, e.Tick(t.Context(), month))
	}
	for _, p := range want[:2] {
		owner, err := e.Store.Tenant(t.Context(), p.Tenant)
		check(t, err)
		for _, c := range p.Certificates {
			first, err := e.Store.Certificate(t.Context(), owner.ID, c.Purpose, 1)
			check(t, err)
			next, err := e.Store.Certificate(t.Context(), owner.ID, c.Purpose, 2)
			check(t, err)
			changes, err := e.Store.Changes(t.Context(), store.Chains{}, first, next)
			check(t, err)
			san := c.File == "acme.pem"
			if changes != (tenancy.Changes{Key: true, Issuer: true, Root: true, SAN: san}) || first.Subject != next.Subject ||
				!next.CreatedAt.Equal(c.RenewAt) || !first.WarnedAt.Equal(c.WarnAt) {
				t.Errorf("%s: warned at %s, renewed at %s, changes %+v, subject %q", c.File, first.WarnedAt, next.CreatedAt,
					changes,
					next.Subject)
			}
		}
	}
}

// Receivers that map a subject must not take one tenant for another after a renewal.
func TestNamesThatBelongToAnotherTenantAreNotImported(t *testing.T) {
	storetest.Migrated.EachEngine(t, func(t *testing.T, url string) {
		m, e := world(t, url)
		f := issue(t, now.AddDate(0, 6, 0), x509.ExtKeyUsageClientAuth)
		taken := pkix.Name{CommonName: "my300001", Organization: []string{"Platform"}}
		one := func(tenant string, name pkix.Name) Files {
			return Files{Tenants: "name\n" + tenant + "\n", Certificates: []Certificate{f.client(t, tenant+".pem", tenancy.P256,
				subject(name))}}
		}
		problems := func(f Files) string {
			t.Helper()
			i, err := m.Check(t.Context(), f, "test")
			check(t, err)
			return i.Problems
		}
		first, err := m.Check(t.Context(), one("acme", taken), "test")
		check(t, err)
		later, err := m.Check(t.Context(), one("late", taken), "test") // before the first one is applied
		check(t, err)
		m.move(t, first.ID, tenancy.ImportChecked, tenancy.ImportApplying)
		check(t, m.Work(t.Context(), first.ID))
		capitals := pkix.Name{CommonName: "MY300001", Organization: []string{"PLATFORM"}}
		for want, files := range map[string]Files{
			"the tenant acme has certificates with the same name (subject:CN=my300001,O=platform)": one("hooli", capitals),
			"its common name is that of the tenant globex": one("hooli",
				pkix.Name{CommonName: "globex"}),
			"the certificate of the new tenant hooli has the same name": {Tenants: "name\nhooli\ninitech\n",
				Certificates: []Certificate{f.client(t, "hooli.pem", tenancy.P256, subject(pkix.Name{CommonName: "x"})),
					f.client(t, "initech.pem", tenancy.P256, subject(pkix.Name{CommonName: "X"}))}},
			"its common name is that of the new tenant initech": {Tenants: "name\nhooli\ninitech\n",
				Certificates: []Certificate{f.client(t, "hooli.pem", tenancy.P256, subject(pkix.Name{CommonName: "initech"}))}},
		} {
			if got := problems(files); !strings.Contains(got, want) || !strings.Contains(got, lifecycle.ApartAdvice) {
				t.Errorf("%s, want %q", got, want)
			}
		}
		// The M-user and the tenant are the same owner.
		both := one("initech", pkix.Name{CommonName: "y"})
		both.Certificates = append(both.Certificates, f.client(t, "initech.m-user.pem", tenancy.P256,
			subject(pkix.Name{CommonName: "y"})))
		if got := problems(both); got != "[]" {
			t.Errorf("one tenant: %s", got)
		}
		m.move(t, later.ID, tenancy.ImportChecked, tenancy.ImportApplying)
		check(t, m.Work(t.Context(), later.ID))
		if i, err := e.Store.ImportByID(t.Context(), later.ID); err != nil || !strings.Contains(i.LastError,
			"the tenant acme has certificates with the same name") || i.Done != 0 {
			t.Errorf("an import that was checked before: %d done, %q, %v", i.Done, i.LastError, err)
		}
		m.move(t, first.ID, tenancy.ImportApplied, tenancy.ImportUndoing)
		check(t, m.Work(t.Context(), first.ID))
		if got := problems(one("hooli", taken)); got != "[]" {
			t.Errorf("after the import was undone: %s", got)
		}
	})
}

func TestAStoredPlanThatCannotBeReadIsAnError(t *testing.T) {
	if _, err := Plans(tenancy.Import{ID: "i1"}, "{"); err == nil || !strings.Contains(fmt.Sprint(err), "import i1") {
		t.Errorf("%v", err)
	}
}

// The certificates and keys of a plan are read again when it is applied.
func TestAPlanWithADamagedCertificateIsNotApplied(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	f, _ := files(t)
	for name, damage := range map[string]func(k *Key){
		"leaf":    func(k *Key) { k.Leaf = k.Leaf[1:] },
		"private": func(k *Key) { k.Private = k.Private[1:] },
		"chain":   func(k *Key) { k.Chain = k.Chain[:len(k.Chain)-1] },
	} {
		units, problems := Read(f, now)
		if len(problems) != 0 {
			t.Fatal(problems)
		}
		acme := units[slices.IndexFunc(units, func(u *Unit) bool { return u.Tenant == "acme" })]
		damage(&acme.Keys[0])
		if _, err := acme.adopted(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := m.makeAll(t.Context(), tenancy.Import{ID: "i1", CreatedBy: "olga"}, []*Unit{acme}); err == nil {
			t.Errorf("%s: the tenant is created", name)
		}
		if _, err := e.Store.Tenant(t.Context(), "acme"); !errors.Is(err, tenancy.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADamagedPlanOrRecordIsReported(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	f, _ := files(t)
	i, err := m.Check(t.Context(), f, "operator olga")
	check(t, err)
	m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
	plan, err := e.Store.ImportPlan(t.Context(), i.ID)
	check(t, err)
	text, err := e.Seal.Seal([]byte("{"), sealedFor(i.ID))
	check(t, err)
	set := func(table, column, key string, value any) {
		_, err := e.Store.DB().ExecContext(t.Context(), fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s = ?", table, column, key),
			value, i.ID)
		check(t, err)
	}
	for name, damaged := range map[string][]byte{"unsealed": []byte("[]"), "not JSON": text} {
		set("imports", "plan", "id", damaged)
		if err := m.Work(t.Context(), i.ID); err == nil {
			t.Errorf("a plan that is %s is applied", name)
		}
	}
	set("imports", "plan", "id", plan)
	check(t, m.Work(t.Context(), i.ID))
	m.move(t, i.ID, tenancy.ImportApplied, tenancy.ImportUndoing)
	set("import_items", "made", "import_id", "{")
	if err := m.Work(t.Context(), i.ID); err == nil {
		t.Error("the import is undone without its records")
	}
}

// The names that a certificate keeps are part of the plan only if they can be read.
func TestAPlanDoesNotCompareNamesThatCannotBeRead(t *testing.T) {
	a := lifecycle.Adopted{Leaf: &x509.Certificate{Raw: []byte{0x30, 0}}, KeyType: tenancy.P256}
	r := lifecycle.FirstRenewal{KeyType: tenancy.P256}
	if list := changes(a, r); list == nil || len(list) != 0 { // an empty list in JSON
		t.Errorf("of a renewal that is not foreseen: %#v", list)
	}
	r.Foreseen = true
	r.Expected.Changes = tenancy.Changes{Key: true, Issuer: true, Subject: true, SAN: true}
	if list := changes(a, r); len(list) != 1 || list[0].What != ChangedIssuer {
		t.Errorf("%+v", list)
	}
}

func TestThePlanOfAnImportStatesWhoIsMailed(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	for _, name := range []string{"oldyes", "oldopen"} {
		tenant, err := e.CreateTenant(t.Context(), tenancy.Tenant{Name: name, DisplayName: name, KeyType: tenancy.P256},
			"test", now)
		check(t, err)
		if name == "oldyes" {
			projects, err := e.Store.ScopingProjects(t.Context(), tenant.ID)
			check(t, err)
			check(t, e.Store.InTx(t.Context(), func(tx *store.Tx) error {
				return tx.AnswerQuestion(t.Context(), projects[0].ID, 1, tenancy.Answer{Question: tenancy.MailForTasks, Yes: true,
					By: "test", At: now})
			}))
		}
	}
	files := Files{Tenants: "name,mail_for_tasks\nyes,yes\nno,NO\nopen,\n", People: "tenant,role,name,email,subscribed\n"}
	for _, name := range []string{"yes", "no", "open", "oldyes", "oldopen"} {
		files.People += name + ",key-user,alice,alice@example.com,yes\n" + name + ",key-user,bob,bob@example.com,no\n"
	}
	for _, c := range []struct {
		initial tenancy.ScopeAnswer
		mailed  []string
	}{
		{tenancy.Unanswered, []string{"yes", "oldyes"}},
		{tenancy.AnsweredNo, []string{"yes", "oldyes"}},
		{tenancy.AnsweredYes, []string{"yes", "open", "oldyes"}}, // the last, which is applied
	} {
		check(t, e.Store.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.SetDefaultAnswer(t.Context(), tenancy.MailForTasks, c.initial)
		}))
		i, err := m.Check(t.Context(), files, "test")
		check(t, err)
		text, err := e.Store.ImportPlanned(t.Context(), i.ID)
		check(t, err)
		plans, err := Plans(i, text)
		check(t, err)
		var mailed []string
		for _, p := range plans {
			if p.KeyUsers != 2 || p.Subscribed != 1 || p.MailForTasks != (p.Mailed == 1) || p.Mailed > 1 {
				t.Errorf("%+v", p)
			}
			if p.Mailed == 1 {
				mailed = append(mailed, p.Tenant)
			}
		}
		if !slices.Equal(mailed, c.mailed) {
			t.Errorf("by default %s: mailed %v, want %v", c.initial, mailed, c.mailed)
		}
		if c.initial != tenancy.AnsweredYes {
			continue
		}
		m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
		check(t, m.Work(t.Context(), i.ID))
		for _, p := range plans { // compares the plan with what happened
			tenant, err := e.Store.Tenant(t.Context(), p.Tenant)
			check(t, err)
			in, err := e.Store.InScope(t.Context(), tenancy.MailForTasks, []string{tenant.ID})
			check(t, err)
			if in[tenant.ID] != p.MailForTasks {
				t.Errorf("%s: in scope %v, planned %v", p.Tenant, in[tenant.ID], p.MailForTasks)
			}
		}
	}
	if _, problems := Read(Files{Tenants: "name,mail_for_tasks\nacme,maybe\n"}, now); len(problems) != 1 ||
		!strings.Contains(problems[0].Text, "write yes or no") {
		t.Errorf("%v", problems)
	}
}

func TestATableNamesTheIssuerThatRenewsACertificate(t *testing.T) {
	m, e := world(t, "sqlite:"+t.TempDir()+"/p.db")
	from := issue(t, now.AddDate(0, 6, 0), x509.ExtKeyUsageClientAuth)
	checked := func(issuer string) tenancy.Import {
		i, err := m.Check(t.Context(), Files{Tenants: "name,issuer\nacme," + issuer + "\n",
			Certificates: []Certificate{{Name: "acme.pem", Data: from.pem(t)}}}, "test")
		check(t, err)
		return i
	}
	if i := checked("other"); !strings.Contains(i.Problems, "the issuer other is not configured") ||
		!strings.Contains(i.Problems, `"line":2`) {
		t.Errorf("an issuer that is not configured: %s", i.Problems)
	}
	if i := checked("No Name"); !strings.Contains(i.Problems, "issuer") {
		t.Errorf("a name that none can have: %s", i.Problems)
	}
	i := checked("local")
	if i.Problems != "[]" {
		t.Fatalf("%s", i.Problems)
	}
	m.move(t, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
	check(t, m.Work(t.Context(), i.ID))
	acme, err := e.Store.Tenant(t.Context(), "acme")
	check(t, err)
	stored, err := e.Store.Credential(t.Context(), acme.ID, tenancy.ForTenant)
	if err != nil || stored.Issuer != "local" {
		t.Errorf("the tenant certificate is renewed by %q, %v", stored.Issuer, err)
	}
}

// elsewhere is a CA that answers four requests at the same time.
type elsewhere struct{ issuer.Issuer }

func (elsewhere) Parallel() int { return 4 }

func TestWhatACAElsewhereHasIssuedIsStoredSoon(t *testing.T) {
	for _, e := range []struct {
		option enginetest.Option
		want   int
	}{
		{func(*lifecycle.Config) {}, batchSize},
		{func(c *lifecycle.Config) { c.Issuer = elsewhere{c.Issuer} }, 4},
	} {
		engine, _ := enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), now, e.option)
		m, err := New(engine.Engine, engine.Store, engine.Seal, func() time.Time { return now })
		check(t, err)
		if m.batch != e.want {
			t.Errorf("one transaction creates %d tenants, want %d", m.batch, e.want)
		}
	}
}
