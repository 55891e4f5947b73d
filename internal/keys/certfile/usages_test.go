package certfile_test

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestUsagesOfACertificateAreOIDs(t *testing.T) {
	now := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	ca := testca.New(t, "Theirs", now)
	request := &x509.CertificateRequest{RawSubject: []byte{0x30, 0}, PublicKey: ca.Key.Public()}
	for want, usages := range map[string][]x509.ExtKeyUsage{
		"": nil,
		certfile.ClientAuth + " 1.3.6.1.5.5.7.3.1": {x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	} {
		der, err := ca.Sign(request, now, now, func(c *x509.Certificate) { c.ExtKeyUsage = usages })
		testenv.Check(t, err)
		got := certfile.Usages(der)
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
	if got := certfile.Usages([]byte("no certificate")); !slices.Equal(got, nil) {
		t.Errorf("%v", got)
	}
}
