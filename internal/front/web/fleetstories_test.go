package web_test

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/parties"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/lab/receiver"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

var full = flag.Bool("full", false, "tell the stories of large fleets in their full size, which takes minutes")

// A bankFleet is the sample fleet with more tenants, of which some send to a bank. Their certificates have been
// renewed, and the bank accepts the new ones as soon as its administrator has installed them.
type bankFleet struct {
	dir       string // of the database
	atBank    int
	endpoint  string
	ca        string
	renewed   time.Time
	installed atomic.Bool
}

// newBankFleet fills a database once, for several consoles.
func newBankFleet(t *testing.T, tenants, atBank int) *bankFleet {
	t.Helper()
	open(t) // fills the sample
	f := &bankFleet{dir: t.TempDir(), atBank: atBank, renewed: time.Now().Add(-time.Hour).Truncate(time.Second)}
	check(t, os.CopyFS(f.dir, os.DirFS(filepath.Join(filled.dir, "db"))))
	engine, ca := enginetest.Open(t, "sqlite:"+filepath.Join(f.dir, "p.db"), filepath.Join(filled.dir, "key"), time.Now())
	own, err := ca.NewServerCertificate("localhost", time.Now)
	check(t, err)
	bank, err := receiver.Start(receiver.Options{Certificate: own.Get, Anonymous: true, Refuse: http.StatusUnauthorized,
		Decide: func(_ *http.Request, leaf *x509.Certificate) bool {
			return leaf != nil && (f.installed.Load() || leaf.NotBefore.Before(f.renewed.Add(-policy.Day)))
		}})
	check(t, err)
	t.Cleanup(bank.Close)
	f.endpoint, f.ca = strings.Replace(bank.URL, "127.0.0.1", "localhost", 1), string(ca.Bundle())
	f.fillBank(t, engine)
	f.fillRest(t, engine, tenants-atBank)
	check(t, engine.Store.Close())
	return f
}

// fillBank adds the tenants that send to the bank, with real certificates.
func (f *bankFleet) fillBank(t *testing.T, engine *enginetest.Installation) {
	t.Helper()
	created := f.renewed.Add(40*policy.Day - engine.Policy().Validity)
	bank := tenancy.Counterparty{ID: store.NewID(), Name: "house-bank", DisplayName: "House Bank", CreatedAt: created,
		Version: 1}
	var rows store.Rows
	for i := range f.atBank {
		name := fmt.Sprintf("client-%d", i)
		v, err := engine.CreateTenant(t.Context(), tenancy.Tenant{Name: name, DisplayName: fmt.Sprintf("Client %d", i),
			KeyType: tenancy.P256}, "operator olga", created)
		check(t, err)
		r := tenancy.Receiver{ID: store.NewID(), TenantID: v.ID, Name: "bank", DisplayName: "House Bank",
			CounterpartyID: bank.ID, CreatedAt: created, Version: 1}
		rows.Receivers = append(rows.Receivers, r)
		rows.Arrangements = append(rows.Arrangements, tenancy.Arrangement{ID: store.NewID(), TenantID: v.ID,
			ReceiverID: r.ID, Name: "pay", Endpoint: f.endpoint, Authentication: tenancy.ClientCertificate,
			Strategy: tenancy.Adaptive, Generation: 1, CreatedAt: created, Version: 1,
			Egress: tenancy.Egress{ServerCA: f.ca, Probe: tenancy.Probe{Method: "GET", Path: "/messages"}}})
	}
	check(t, engine.Store.InTx(t.Context(), func(tx *store.Tx) error {
		if err := tx.CreateCounterparty(t.Context(), bank); err != nil {
			return err
		}
		return tx.Create(t.Context(), rows)
	}))
	for i := range f.atBank {
		_, err := engine.RenewByHand(t.Context(), fmt.Sprintf("client-%d", i), tenancy.ForTenant, lifecycle.Reissue,
			"operator olga", f.renewed)
		check(t, err)
	}
}

// fillRest adds tenants that have nothing to do with the bank.
func (f *bankFleet) fillRest(t *testing.T, engine *enginetest.Installation, n int) {
	t.Helper()
	const page = 2000
	for start := 0; start < n; start += page {
		var rows store.Rows
		for i := start; i < min(start+page, n); i++ {
			v := tenancy.Tenant{ID: store.NewID(), Name: fmt.Sprintf("tenant-%d", i),
				DisplayName: fmt.Sprintf("Tenant %d", i), KeyType: tenancy.P256, CreatedAt: f.renewed, Version: 1}
			c := tenancy.Certificate{ID: store.NewID(), TenantID: v.ID, Purpose: tenancy.ForTenant, Generation: 1,
				State: tenancy.Active, Serial: fmt.Sprintf("%032x", i+1), Fingerprint: fmt.Sprintf("%064x", i+1),
				Subject: "CN=" + v.Name, NotBefore: f.renewed, NotAfter: f.renewed.AddDate(1, 0, 0), KeyType: tenancy.P256,
				DER: []byte{0x30, 0}, IssuerID: "lab", CreatedAt: f.renewed}
			rows.Tenants = append(rows.Tenants, v)
			rows.Certificates = append(rows.Certificates, store.SealedCertificate{Certificate: c, SealedKey: []byte{0}})
		}
		check(t, engine.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.Create(t.Context(), rows) }))
	}
	check(t, engine.Store.Analyze(t.Context()))
}

// open opens the console on a copy of the fleet, in which the bank has installed nothing.
func (f *bankFleet) open(t *testing.T) *console {
	t.Helper()
	f.installed.Store(false)
	dir := t.TempDir()
	check(t, os.CopyFS(dir, os.DirFS(f.dir)))
	engine, ca := enginetest.Open(t, "sqlite:"+filepath.Join(dir, "p.db"), filepath.Join(filled.dir, "key"), time.Now())
	return serve(t, engine, ca, filled.sample, nil)
}

// stories tells a story with script, without script, and with the keyboard.
func (f *bankFleet) stories(t *testing.T, story func(c *console, b *tab)) {
	for name, as := range map[string]struct{ script, keyboard bool }{"with script": {true, false},
		"without script": {false, false}, "by keyboard": {true, true}} {
		t.Run(name, func(t *testing.T) {
			c := f.open(t)
			b := c.browser(as.script)
			b.keyboard = as.keyboard
			began := time.Now()
			story(c, b)
			t.Logf("%v", time.Since(began).Round(time.Millisecond))
		})
	}
}

// inMail returns a serial number as mails write it.
func (c *console) inMail(tenant string) string {
	c.t.Helper()
	v, err := c.engine.Store.Tenant(context.Background(), tenant)
	check(c.t, err)
	newest, err := c.engine.Store.Newest(context.Background(), v.ID, tenancy.ForTenant)
	check(c.t, err)
	return strings.TrimSuffix(regexp.MustCompile("..").ReplaceAllString(strings.ToUpper(newest.Serial), "$0:"), ":")
}

func TestAnOperatorOfALargeFleetFindsATenantByASerialNumberAndFixes240ReceiversWithOneAction(t *testing.T) {
	tenants := 2_000
	if *full {
		tenants = 100_000
	}
	f := newBankFleet(t, tenants, 240)
	f.stories(t, func(c *console, b *tab) {
		b.enter(c, "olga")
		b.open("/find")
		b.fill("q", c.inMail("client-77"))
		b.press("Find")
		b.reads("CN=client-77,OU=Tenants")
		if !strings.HasPrefix(b.at(), "/tenants/client-77/certificates#") {
			t.Errorf("the serial number leads to %s", b.at())
		}
		b.open("/")
		b.reads("localhost: 240 tenants wait for the same administrator")
		f.installed.Store(true)
		b.press("Test receivers")
		b.reads("Test 240 receivers?")
		b.reads("Receivers at risk: 240, of 240 tenants, at 1 host.")
		b.press("Test receivers")
		b.reads("Running: 0 of 240 have a result.")
		c.workRounds()
		b.open(b.at())
		b.reads("Finished: all receivers accept the new certificate.")
		b.open("/at-risk?host=localhost")
		b.reads("No receiver is at risk: all of them")
	})
}

func TestABanksAdministratorReportsTheCertificatesOfAllTenantsOnOnePage(t *testing.T) {
	tenants := 300
	if *full {
		tenants = 3_000
	}
	f := newBankFleet(t, tenants, tenants)
	f.stories(t, func(c *console, b *tab) {
		_, page := c.post(c.signIn("olga"), "/counterparties/house-bank/link")
		path := regexp.MustCompile(`/counterparty/[A-Z2-7]{26}`).FindString(page)
		all := strings.Replace(fmt.Sprintf("%d", tenants), "3000", "3,000", 1)
		b.open(path)
		b.reads(fmt.Sprintf("Not confirmed yet: %s of %s certificates.", all, all))
		f.installed.Store(true)
		b.press("All are installed, please test")
		b.reads("Tests without an answer yet: " + all)
		c.ask()
		c.later(2 * parties.Age) // the figures of a large list are kept for a while
		b.open(path)
		b.reads("There is nothing to do. Your systems accept every new certificate. Thank you.")
	})
}
