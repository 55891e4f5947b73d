package lifecycle

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/manual"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/tenancy"
)

// unreached is a CA that a person asks, behind a network that fails.
type unreached struct{ *manual.Issuer }

func (unreached) Collect(context.Context, string, issuer.Request) (issuer.Issued, error) {
	return issuer.Issued{}, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 443},
		Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// The text of an invalid input is shown to key users, and that of a network has addresses.
func TestAFaultOfTheNetworkIsNotAnInvalidCertificate(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, "perennial", now)
	ca, err := manual.Open(manual.Config{Roots: testca.New(t, "Bank", now).RootFile(t)},
		issuer.Form{TrustDomain: "p.example.com", Organization: "P"})
	check(t, err)
	f.config.Issuers = issuer.Set{"bank-ca": unreached{ca}}
	f.Engine, err = New(f.config)
	check(t, err)
	acme := f.tenant("acme", now)
	f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
	if _, err := f.Answer(t.Context(), f.requests(acme)[0], []byte("x"), "alice", now); err == nil ||
		errors.Is(err, tenancy.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
