package bench

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/guard"
	"github.com/perennial-pki/perennial/internal/egress/control/inprocess"
	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

func gatewayGrowths() []*growth {
	known := map[int][2]float64{}
	of := func(t *testing.T, n, which int) float64 {
		if _, ok := known[n]; !ok {
			memory, messages := growGateway(t, n)
			known[n] = [2]float64{memory, messages}
		}
		return known[n][which]
	}
	return []*growth{
		{work: "memory of the gateway", of: "used arrangements", unit: "MB", sizes: large,
			measure: func(t *testing.T, n int) float64 { return of(t, n, 0) }},
		{work: "1,000 messages", of: "used arrangements", unit: cpuSeconds, sizes: large,
			measure: func(t *testing.T, n int) float64 { return of(t, n, 1) }},
	}
}

// growGateway sends a message of each of n arrangements, whose receiver does not listen. It returns the memory in which
// the gateway keeps them (MB), and the CPU seconds of a thousand further messages of arrangements that it keeps.
func growGateway(t *testing.T, n int) (memory, messages float64) {
	f, err := newFleet(t.Context(), "")
	testenv.Check(t, err)
	defer f.close()
	now := time.Now()
	owner, err := f.engine.CreateTenant(t.Context(), tenancy.Tenant{Name: "acme", DisplayName: "Acme",
		KeyType: tenancy.P256}, "bench", now)
	testenv.Check(t, err)
	r := tenancy.Receiver{ID: store.NewID(), TenantID: owner.ID, Name: "r", DisplayName: "r", CreatedAt: now, Version: 1}
	testenv.Check(t, f.store.InTx(t.Context(), func(tx *store.Tx) error {
		if err := tx.CreateReceivers(t.Context(), r); err != nil {
			return err
		}
		all := make([]tenancy.Arrangement, n)
		for i := range all {
			all[i] = tenancy.Arrangement{ID: store.NewID(), TenantID: owner.ID, ReceiverID: r.ID, Name: fmt.Sprint("a", i),
				Endpoint: "https://127.0.0.1:1/", Authentication: tenancy.ClientCertificate, Strategy: tenancy.Adaptive,
				Generation: 1, CreatedAt: now, Version: 1}
		}
		return tx.CreateArrangements(t.Context(), all...)
	}))
	g, err := gateway.New(gateway.Config{Control: inprocess.Control{Rollovers: f.engine.Rollovers(), Now: time.Now},
		Network: &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, Open: true,
		Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	testenv.Check(t, err)
	defer g.Close()
	send := func(i int) {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, fmt.Sprintf("http://localhost/acme/a%d/", i), nil))
		if w.Code != http.StatusBadGateway {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
	}
	before := heap()
	for i := range n {
		send(i)
	}
	memory = (heap() - before) / megabyte
	messages = cpu(t, func() {
		for i := range 1000 {
			send(n - 1 - i)
		}
	})
	return memory, messages
}

func guardGrowths() []*growth {
	known := map[int][3]float64{}
	of := func(which int) func(*testing.T, int) float64 {
		return func(t *testing.T, n int) float64 {
			if _, ok := known[n]; !ok {
				known[n] = growGuard(t, n)
			}
			return known[n][which]
		}
	}
	return []*growth{
		{work: "memory of a guard", of: "partners", unit: "MB", sizes: small, measure: of(0)},
		{work: "10,000 decisions of a guard", of: "partners", unit: cpuSeconds, sizes: small, measure: of(1)},
		{work: "1,000 successors learned", of: "partners", unit: cpuSeconds, sizes: small, measure: of(2)},
	}
}

// growGuard returns the memory of a guard with n partners below one CA (MB), the CPU seconds of ten thousand decisions
// about certificates that it knows, and those of a thousand decisions about their successors, which it learns.
func growGuard(t *testing.T, n int) (costs [3]float64) {
	now := time.Now()
	ca := testca.New(t, "Passport", now)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	issue := func(i int, serial int64, from time.Time) []*x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(serial),
			Subject:   pkix.Name{CommonName: fmt.Sprint("tenant-", i), Organization: []string{"A tenant of the platform"}},
			NotBefore: from, NotAfter: from.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca.Issuing, key.Public(), ca.Key)
		testenv.Check(t, err)
		c, err := x509.ParseCertificate(der)
		testenv.Check(t, err)
		return []*x509.Certificate{c, ca.Issuing}
	}
	const asked = 1000
	var known, successors [][]*x509.Certificate
	for i := range min(n, asked) {
		known = append(known, issue(i, int64(i)+1e9, now.AddDate(0, -11, 0)))
	}
	for i := range asked { // with fewer partners, some have several successors
		successors = append(successors, issue(i%n, int64(i)+2e9, now.Add(time.Duration(i-asked)*time.Minute)))
	}
	before := heap()
	partners := make([]acceptance.Partner, n)
	for i := range partners {
		chain := known[i%len(known)]
		if i >= len(known) {
			chain = issue(i, int64(i)+1e9, now.AddDate(0, -11, 0))
		}
		partners[i] = acceptance.Partner{Name: fmt.Sprint("tenant-", i), Rule: acceptance.Successor,
			Known: []acceptance.Known{acceptance.NewKnown(chain[0])}, Trust: []*x509.Certificate{ca.Issuing},
			Window: policy.Days(93)}
	}
	learned := 0
	g, err := guard.New(partners, guard.Options{Learned: func(guard.Learned) { learned++ }})
	testenv.Check(t, err)
	partners = nil
	costs[0] = (heap() - before) / megabyte
	costs[1] = cpu(t, func() {
		for i := range 10_000 {
			if d := g.Partners().Decide(known[i%len(known)], now); d.Outcome != acceptance.Accept {
				t.Fatalf("a known certificate: %+v", d)
			}
		}
	})
	costs[2] = cpu(t, func() {
		for _, chain := range successors {
			g.Decide(chain)
		}
	})
	if learned == 0 {
		t.Fatal("nothing was learned")
	}
	runtime.KeepAlive(g)
	return costs
}
