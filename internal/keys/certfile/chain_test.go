package certfile_test

import (
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestAStoredChainIsReadBackCertificateByCertificate(t *testing.T) {
	now := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	_, ca := enginetest.New(t, "sqlite:"+t.TempDir()+"/p.db", now)
	one, err := ca.Announce(t.Context(), now, issuer.Succession{})
	testenv.Check(t, err)
	want := [][]byte{one.DER, ca.Signing(now).DER}
	joined := certfile.JoinChain(want)
	got, err := certfile.SplitChain(joined)
	if err != nil || len(got) != 2 || string(got[0]) != string(want[0]) || string(got[1]) != string(want[1]) {
		t.Errorf("%d certificates, %v", len(got), err)
	}
	if _, err := certfile.SplitChain(joined[:len(joined)-1]); err == nil {
		t.Error("a chain that is cut off is read")
	}
	if got, err := certfile.SplitChain(nil); err != nil || len(got) != 0 {
		t.Errorf("an empty chain: %v", err)
	}
}
