//go:build !race

package guard

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// What the guard allocates. Counts are reproducible, and times are not.
const (
	allocationsOfADecision = 23.0
	allocationsOfAMessage  = 118.0 // with the caller's TLS and the system behind the guard
	// mostBytesOfATenant limits the memory for a tenant in the feed of a counterparty, with one certificate. Measured: 3
	// to 6 KB, because the garbage collector does not free everything of the guard before at once.
	mostBytesOfATenant = 8 << 10
)

// costs compares the allocations of a request with those that are written down.
func costs(t *testing.T, what string, conn net.Conn, request string, want float64) {
	t.Helper()
	got := testenv.AllocationsOf(t, conn, []byte(request), 2000)
	t.Logf("allocations, %s: %.1f, %.1f written down", what, got, want)
	if got > 1.15*want {
		t.Errorf("%s makes %.1f allocations, want %.1f", what, got, want)
	}
}

// decision returns a connection to the decision endpoint of a guard.
func (g *running) decision() net.Conn {
	g.t.Helper()
	_, address, _ := g.Addresses()
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	testenv.Check(g.t, err)
	g.t.Cleanup(func() { conn.Close() })
	return conn
}

// asking is a request of a proxy about a certificate.
func asking(der []byte) string {
	return fmt.Sprintf("GET / HTTP/1.1\r\nHost: erp.example.com\r\nClient-Cert: :%s:\r\n\r\n",
		base64.StdEncoding.EncodeToString(der))
}

func TestCostsOfTheGuard(t *testing.T) {
	f := newFolder(t)
	tenant := f.tenant()
	decides := f.start(decideConfig("rfc9440"), inWindow)
	costs(t, "a decision", decides.decision(), asking(tenant.Certificate[0]), allocationsOfADecision)

	testenv.Check(t, decides.stop())
	front := f.start(frontConfig(upstream(t)), inWindow)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(front.url, "https://"), &tls.Config{InsecureSkipVerify: true,
		Certificates: []tls.Certificate{tenant}})
	testenv.Check(t, err)
	defer conn.Close()
	costs(t, "a message with the system behind the guard", conn, "GET / HTTP/1.1\r\nHost: erp.example.com\r\n\r\n",
		allocationsOfAMessage)
}

// A feed of 3,000 tenants costs memory in proportion, and a decision nothing.
func TestCostsOfAFeedOfACounterparty(t *testing.T) {
	const tenants = 3000
	f := newFolder(t)
	local := f.tenant()
	p := newPlatform(t)
	var last []byte
	for i := range tenants {
		last = f.cheap(fmt.Sprintf("tenant-%04d", i))
		p.list(fmt.Sprintf("tenant-%04d/crm-to-erp", i), last)
	}
	config := decideConfig("rfc9440") + p.line()
	reads := f.start(config, inWindow)
	testenv.Eventually(t, func() bool { return strings.Contains(reads.log.String(), "tenants=3000") })
	testenv.Check(t, reads.stop())
	p.answers(away) // so that what is measured is what the guard keeps

	before := heap()
	g := f.start(config, inWindow)
	testenv.Eventually(t, func() bool { // a round reports after that, and needs memory for it
		g.readAgain()
		later := g.clock.Load().Add(feedsEvery)
		g.clock.Store(&later)
		return strings.Count(g.log.String(), "status 502") > 2
	})
	each := (heap() - before) / tenants
	t.Logf("bytes of a tenant: %d", each)
	if each > mostBytesOfATenant {
		t.Errorf("a tenant needs %d bytes, want at most %d", each, mostBytesOfATenant)
	}
	costs(t, "a decision beside 3,000 tenants", g.decision(), asking(local.Certificate[0]), allocationsOfADecision)
	// The two further headers are two allocations.
	costs(t, "a decision about one of them", g.decision(), asking(last), allocationsOfADecision+2)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
