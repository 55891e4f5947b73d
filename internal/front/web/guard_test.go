package web_test

import (
	"encoding/base64"
	"encoding/pem"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/ingress/guard"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/policy"
)

// newGuard returns a guard beside a proxy, which has seen two certificates of a partner in one window: a successor, and
// one about which a person is asked. held is the SHA-256 of that one.
func newGuard(t *testing.T) (_ *guard.Service, held string) {
	t.Helper()
	now, dir := time.Now(), t.TempDir()
	ca := testca.New(t, "Passport", now)
	certificate := func(from, to time.Time) []byte {
		file, _ := ca.Client(t, "acme", from, to)
		data, err := os.ReadFile(file)
		check(t, err)
		block, _ := pem.Decode(data)
		check(t, os.WriteFile(filepath.Join(dir, "known.pem"), testca.PEM(block.Bytes, ca.Issuing.Raw), 0o600))
		return block.Bytes
	}
	second := certificate(now.Add(-time.Hour), now.AddDate(1, 0, 1))
	first := certificate(now.Add(-2*time.Hour), now.AddDate(1, 0, 0))
	certificate(now.AddDate(0, 0, -330), now.AddDate(0, 0, 35))
	config := filepath.Join(dir, "guard.yaml")
	check(t, os.WriteFile(config, []byte("decide: {listen: 127.0.0.1:0, from: caddy}\npartners:\n"+
		"  - {name: acme-c4c, known: [known.pem], window: 62d}\n"), 0o600))
	g, err := guard.Open(t.Context(), config, guard.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Policies: func(string) (policy.Policy, error) { return policy.Policy{}, nil }})
	check(t, err)
	ran := make(chan error, 1)
	go func() { ran <- g.Run(t.Context(), func() {}) }()
	t.Cleanup(func() { // the context of the test has ended
		check(t, <-ran)
		check(t, g.Close())
	})
	_, decide, _ := g.Addresses()
	for _, der := range [][]byte{first, second} {
		r, err := http.NewRequest(http.MethodGet, decide, nil)
		check(t, err)
		r.Header.Set("Ssl-Client-Cert", base64.StdEncoding.EncodeToString(der))
		answer, err := http.DefaultClient.Do(r)
		check(t, err)
		answer.Body.Close()
	}
	testenv.Eventually(t, func() bool {
		n, err := g.Held(t.Context())
		return err == nil && n == 1
	})
	return g, certfile.Fingerprint(second)
}

func TestAnOperatorDecidesAboutACertificateThatTheGuardHolds(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	if _, body := c.get(olga, "/"); !strings.Contains(body, "need your decision: 1") {
		t.Error("the overview does not name the held certificate")
	}
	status, body := c.get(olga, "/guard")
	for _, want := range []string{"Is this a certificate of acme-c4c?", c.held,
		"a second new certificate within one renewal"} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("%d, without %q", status, want)
		}
	}
	path := "/guard/certificates/" + c.held + "/decision"
	for standing, want := range map[string]string{"accepted": "is accepted from now on",
		"declined": "is refused from now on"} {
		if _, body := c.post(olga, path, "partner", "acme-c4c", "standing", standing, "sure",
			"yes"); !strings.Contains(body, want) {
			t.Errorf("%s: %s", standing, body)
		}
		if _, body := c.get(olga, "/"); strings.Contains(body, "need your decision") {
			t.Error("a certificate that was decided about needs a decision")
		}
	}
	if status, _ := c.post(olga, path, "partner", "globex", "standing", "accepted"); status != http.StatusNotFound {
		t.Errorf("a certificate of another partner: %d", status)
	}
	if status, _ := c.post(c.signIn("alice"), path, "partner", "acme-c4c", "standing", "accepted"); status !=
		http.StatusNotFound {
		t.Errorf("a key user decides: %d", status)
	}
}
