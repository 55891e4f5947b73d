package diagnose_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/diagnose"
	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/lifecycle"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var check = testenv.Check

type world struct {
	engine *enginetest.Installation
	ca     *local.CA
	pair   tls.Certificate
	acme   tenancy.Tenant
	leaf   [3]*x509.Certificate // by generation
}

func newWorld(t *testing.T, renewed bool, second tenancy.KeyType) *world {
	t.Helper()
	w := &world{}
	now := time.Now()
	w.engine, w.ca = enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), now)
	w.acme = w.engine.Tenant(t, "acme", now)
	w.pair = enginetest.ServerCertificate(t, w.ca)
	w.engine.Arrangement(t, w.arrangement("https://127.0.0.1:1/"))
	if renewed {
		w.acme.KeyType = second
		check(t, w.engine.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.UpdateTenant(t.Context(), w.acme) }))
		_, err := w.engine.RenewByHand(t.Context(), "acme", tenancy.ForTenant, lifecycle.Reissue, "test", now)
		check(t, err)
	}
	for n := 1; n <= 2; n++ {
		if c, err := w.engine.Store.Certificate(t.Context(), w.acme.ID, tenancy.ForTenant, n); err == nil {
			w.leaf[n], err = x509.ParseCertificate(c.DER)
			check(t, err)
		}
	}
	return w
}

func (w *world) arrangement(endpoint string) tenancy.Arrangement {
	return tenancy.Arrangement{
		ID: "a", TenantID: w.acme.ID, ReceiverID: "r", Name: "crm-to-erp", Endpoint: endpoint,
		Authentication: tenancy.ClientCertificate, Strategy: tenancy.Adaptive, Generation: 1, Version: 1,
		Egress: tenancy.Egress{ServerCA: string(w.ca.Bundle()), Probe: tenancy.Probe{Method: "GET", Path: "/health"}},
	}
}

// serve starts a receiver with the TLS configuration and handler of a test.
func (w *world) serve(t *testing.T, config *tls.Config, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	if len(config.Certificates) == 0 {
		config.Certificates = []tls.Certificate{w.pair}
	}
	s.TLS = config
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func (w *world) diagnose(t *testing.T, a tenancy.Arrangement, recent ...tenancy.Message) diagnose.Diagnosis {
	t.Helper()
	s, err := w.engine.Standing(t.Context(), w.engine.Store.Reader, w.acme, a)
	check(t, err)
	var ids []standing.Identity
	for _, c := range s.Certificates {
		p, err := w.engine.Presentable(t.Context(), c)
		check(t, err)
		ids = append(ids, standing.Identity{Generation: c.Generation, Certificate: p})
	}
	return diagnose.Run(t.Context(), &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, s,
		ids, recent, time.Now())
}

func knows(certs ...*x509.Certificate) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, c := range certs {
			if len(r.TLS.PeerCertificates) > 0 && r.TLS.PeerCertificates[0].Equal(c) {
				return
			}
		}
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}
}

func TestEveryCauseIsNamedByARealServerThatHasIt(t *testing.T) {
	askAny := func() *tls.Config { return &tls.Config{ClientAuth: tls.RequestClientCert} }
	pool := func(pem []byte) *x509.CertPool {
		p := x509.NewCertPool()
		p.AppendCertsFromPEM(pem)
		return p
	}
	ok := func(http.ResponseWriter, *http.Request) {}
	for _, c := range []struct {
		name    string
		renewed bool
		second  tenancy.KeyType
		want    diagnose.Cause
		says    string // in summary or evidence
		setUp   func(t *testing.T, w *world) (endpoint string, recent []tenancy.Message)
	}{
		{"healthy", true, tenancy.P256, diagnose.Healthy, "accepts every generation",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				return w.serve(t, askAny(), knows(w.leaf[1], w.leaf[2])), nil
			}},
		{"the new one is not known", true, tenancy.P256, diagnose.NewNotKnown, "not yet generation 2",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				return w.serve(t, askAny(), knows(w.leaf[1])), nil
			}},
		{"the old one was removed", true, tenancy.P256, diagnose.OldRemoved, "removed generation 1",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				return w.serve(t, askAny(), knows(w.leaf[2])), nil
			}},
		{"the CA is not trusted", true, tenancy.P256, diagnose.CANotTrusted, "the receiver names these CAs: CN=P root CA",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				_, other := enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "other.db"), time.Now())
				return w.serve(t, &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(other.Bundle())}, ok), nil
			}},
		{"the receiver's clock is wrong", false, "", diagnose.ClockSkew, "expired or not yet valid",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				return w.serve(t, &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool(w.ca.Bundle()),
					Time: func() time.Time {
						return time.Now().AddDate(-2, 0, 0)
					}}, ok), nil
			}},
		{"the application's clock is wrong", false, "", diagnose.ClockSkew, "the receiver's clock is off by",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				return w.serve(t, askAny(), func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Date", time.Now().AddDate(3, 0, 0).UTC().Format(http.TimeFormat))
					w.WriteHeader(http.StatusForbidden)
				}), nil
			}},
		{"it is for the wrong purpose", false, "", diagnose.WrongPurpose, "client authentication",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				return w.openssl(t, "-purpose", "sslserver"), nil
			}},
		{"the key type is refused", true, tenancy.RSA2048, diagnose.KeyTypeRefused, "from p256 to rsa2048",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				c := askAny()
				c.VerifyConnection = func(s tls.ConnectionState) error {
					if len(s.PeerCertificates) > 0 && s.PeerCertificates[0].PublicKeyAlgorithm == x509.RSA {
						return errors.New("no RSA here")
					}
					return nil
				}
				return w.serve(t, c, ok), nil
			}},
		{"no certificate is asked for", true, tenancy.P256, diagnose.NoCertificateSeen, "does not ask",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				return w.serve(t, &tls.Config{}, knows()), nil
			}},
		{"it is not the certificate", true, tenancy.P256, diagnose.NotTheCertificate, "not a renewal problem",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				return w.serve(t, askAny(), func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) }),
					nil
			}},
		{"the sender may not do it", true, tenancy.P256, diagnose.NotTheCertificate, "the sender's permissions",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				return w.serve(t, askAny(), knows(w.leaf[1], w.leaf[2])),
					[]tenancy.Message{{Method: "POST", Path: "/orders", Status: 403}}
			}},
		{"the receiver is down", true, tenancy.P256, diagnose.ReceiverDown, "connection refused",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				return "https://127.0.0.1:1/", nil
			}},
		{"the receiver has no name", false, "", diagnose.ReceiverDown, "cannot be resolved",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				return "https://receiver.invalid/", nil
			}},
		{"we do not trust the receiver", false, "", diagnose.ServerNotTrusted, "do not trust",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				s := httptest.NewTLSServer(http.HandlerFunc(ok)) // with a certificate of its own
				s.Config.ErrorLog = log.New(io.Discard, "", 0)
				t.Cleanup(s.Close)
				return s.URL, nil
			}},
		{"the address is not allowed", false, "", diagnose.AddressForbidden, "--allow-target",
			func(t *testing.T, w *world) (string, []tenancy.Message) {
				return "https://10.0.0.1/", nil
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.renewed, c.second)
			endpoint, recent := c.setUp(t, w)
			got := w.diagnose(t, w.arrangement(endpoint), recent...)
			if got.Cause != c.want || !strings.Contains(got.Summary.String()+fmt.Sprint(got.Evidence, got.Command), c.says) ||
				got.NextStep.Format == "" {
				t.Errorf("%s, want %s: %s\n%s\nnext: %s", got.Cause, c.want, got.Summary, got.Evidence,
					got.NextStep)
			}
		})
	}
}

// openssl starts OpenSSL's own server, which requires certificates of our CA.
func (w *world) openssl(t *testing.T, args ...string) string {
	t.Helper()
	server := testenv.TLSServer{Dir: t.TempDir(), Port: testenv.Port(t), Pair: w.pair,
		Files: map[string][]byte{"ca.pem": w.ca.Bundle()}}
	address := server.Start(t, exec.Command("openssl", append([]string{"s_server", "-accept",
		fmt.Sprintf("127.0.0.1:%d", server.Port), "-cert", "server.pem", "-CAfile", "ca.pem", "-Verify", "3",
		"-verify_return_error", "-www", "-quiet"}, args...)...))
	return "https://" + address + "/"
}
