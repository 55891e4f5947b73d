//go:build !race

package guard

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// What the guard allocates. Counts are reproducible, and times are not.
const (
	allocationsOfADecision = 23.0
	allocationsOfAMessage  = 118.0 // with the caller's TLS and the system behind the guard
)

func TestCostsOfTheGuard(t *testing.T) {
	f := newFolder(t)
	tenant := f.tenant()
	count := func(what string, conn net.Conn, request string, want float64) {
		t.Helper()
		got := testenv.AllocationsOf(t, conn, []byte(request), 2000)
		t.Logf("allocations, %s: %.1f, %.1f written down", what, got, want)
		if got > 1.15*want {
			t.Errorf("%s makes %.1f allocations, want %.1f", what, got, want)
		}
	}
	decides := f.start(decideConfig("rfc9440"), inWindow)
	_, address, _ := decides.Addresses()
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	testenv.Check(t, err)
	defer conn.Close()
	count("a decision", conn, fmt.Sprintf("GET / HTTP/1.1\r\nHost: erp.example.com\r\nClient-Cert: :%s:\r\n\r\n",
		base64.StdEncoding.EncodeToString(tenant.Certificate[0])), allocationsOfADecision)

	testenv.Check(t, decides.stop())
	front := f.start(frontConfig(upstream(t)), inWindow)
	conn, err = tls.Dial("tcp", strings.TrimPrefix(front.url, "https://"), &tls.Config{InsecureSkipVerify: true,
		Certificates: []tls.Certificate{tenant}})
	testenv.Check(t, err)
	defer conn.Close()
	count("a message with the system behind the guard", conn, "GET / HTTP/1.1\r\nHost: erp.example.com\r\n\r\n",
		allocationsOfAMessage)
}
