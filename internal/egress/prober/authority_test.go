package prober_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/egress/prober"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/testing/enginetest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

var check = testenv.Check

// said reports whether the stored answer contains a text.
func said(v store.ReceiverTrust, text string) bool {
	return strings.Contains(tenancy.ReadText(v.Detail).String(), text)
}

func TestMain(m *testing.M) { testenv.Main(m) }

// A world is a tenant with one arrangement, and an announced new issuing CA.
type world struct {
	t           *testing.T
	engine      *enginetest.Installation
	ca          *local.CA
	acme        tenancy.Tenant
	before      []byte // the CA bundle from before the announcement
	announced   tenancy.Authority
	server      tls.Certificate
	prober      *prober.Prober
	now         func() time.Time
	arrangement tenancy.Arrangement
}

func newWorld(t *testing.T, newRoot bool) *world {
	t.Helper()
	w := &world{t: t}
	now := time.Now()
	w.engine, w.ca = enginetest.New(t, "sqlite:"+filepath.Join(t.TempDir(), "p.db"), now)
	var err error
	w.acme = w.engine.Tenant(t, "acme", now)
	w.before = w.ca.Bundle()
	w.server = enginetest.ServerCertificate(t, w.ca)
	w.announced, err = w.ca.Announce(t.Context(), now, issuer.Succession{NewRoot: newRoot})
	check(t, err)
	w.arrangement = w.engine.Arrangement(t, tenancy.Arrangement{TenantID: w.acme.ID, Endpoint: "https://127.0.0.1:1/",
		Egress: tenancy.Egress{ServerCA: string(w.before), Probe: tenancy.Probe{Method: "GET", Path: "/health"}}})
	w.now = time.Now
	w.prober = prober.New(w.engine.Engine, w.engine.Store, loopback(), func() time.Time { return w.now() })
	return w
}

// loopback is a network that reaches receivers on this machine.
func loopback() *outbound.Network {
	return &outbound.Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

func (w *world) ask(endpoint string) store.ReceiverTrust {
	w.t.Helper()
	got, results, err := w.prober.ProbeAuthority(w.t.Context(), w.standing(endpoint), w.announced, "test")
	check(w.t, err)
	named := said(got, "names the new CA")
	if len(results) != 3 && !(named && len(results) == 1) || results[0].Generation != 0 {
		w.t.Errorf("%d answers: %+v", len(results), results)
	}
	if got.ArrangementID != w.arrangement.ID || got.Tenant != "acme" || got.Arrangement != w.arrangement.Name ||
		got.Source != rollover.Probe || got.At.IsZero() {
		w.t.Errorf("the answer is that of %+v", got)
	}
	return got
}

func (w *world) standing(endpoint string) standing.Standing {
	w.t.Helper()
	a := w.arrangement
	a.Endpoint = endpoint
	s, err := w.engine.Standing(w.t.Context(), w.engine.Store.Reader, w.acme, a)
	check(w.t, err)
	return s
}

// serve starts a receiver. With CAs, TLS verifies certificates of them. Without, the handler decides.
func (w *world) serve(trusts []byte, h http.HandlerFunc) string {
	w.t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{w.server}, ClientAuth: tls.RequestClientCert}
	if trusts != nil {
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		s.TLS.ClientCAs.AppendCertsFromPEM(trusts)
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	w.t.Cleanup(s.Close)
	return s.URL
}

// knowsPresent accepts the certificate that messages present, and no other.
func (w *world) knowsPresent(res http.ResponseWriter, r *http.Request) {
	c, err := w.engine.Store.Newest(r.Context(), w.acme.ID, tenancy.ForTenant)
	if err != nil || len(r.TLS.PeerCertificates) == 0 || !bytes.Equal(r.TLS.PeerCertificates[0].Raw, c.DER) {
		res.WriteHeader(http.StatusUnauthorized)
	}
}

// nginx starts a receiver that verifies against CAs.
func (w *world) nginx(trusts []byte) string {
	w.t.Helper()
	program, err := exec.LookPath("nginx")
	check(w.t, err)
	dir, port := w.t.TempDir(), testenv.Port(w.t)
	config := fmt.Sprintf(`user root; daemon off; pid nginx.pid; error_log error.log; events {}
		http { access_log off; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
		uwsgi_temp_path tmp; scgi_temp_path tmp;
		server { listen 127.0.0.1:%d ssl; ssl_certificate server.pem; ssl_certificate_key server.pem;
		ssl_client_certificate ca.pem; ssl_verify_client on; ssl_verify_depth 3;
		location / { return 200 "ok"; } } }`, port)
	address := testenv.TLSServer{Dir: dir, Port: port, Pair: w.server, Files: map[string][]byte{"ca.pem": trusts,
		"nginx.conf": []byte(config)}}.Start(w.t, exec.Command(program, "-e", "error.log", "-p", dir, "-c", "nginx.conf"))
	return "https://" + address
}

// only returns some of the certificates of a bundle, by their index.
func only(bundle []byte, which ...int) (out []byte) {
	for i := 0; len(bundle) > 0; i++ {
		var block *pem.Block
		block, bundle = pem.Decode(bundle)
		for _, n := range which {
			if n == i {
				out = append(out, pem.EncodeToMemory(block)...)
			}
		}
	}
	return out
}

func TestAReceiverIsAskedWhetherItTrustsANewCABeforeTheFirstCertificate(t *testing.T) {
	ok := func(w http.ResponseWriter, _ *http.Request) {}
	root, issuing := 0, 1 // in the bundle from before
	for _, c := range []struct {
		name    string
		newRoot bool
		url     func(w *world) string
		want    tenancy.Trust
		says    string
	}{
		{"trusts the root, which stays", false, func(w *world) string {
			return w.serve(only(w.before, root), ok)
		}, tenancy.Trusted, "200 OK as with the present certificate, and TLS alert: certificate required without one"},
		{"trusts the old issuing CA alone", false, func(w *world) string {
			return w.serve(only(w.before, issuing), ok)
		}, tenancy.Untrusted, "unknown certificate authority"},
		{"trusts both issuing CAs", false, func(w *world) string {
			return w.serve(w.ca.Bundle(), ok)
		}, tenancy.Trusted, "names the new CA"},
		{"trusts the old root alone", true, func(w *world) string {
			return w.serve(only(w.before, root), ok)
		}, tenancy.Untrusted, "200 OK with the present certificate"},
		{"trusts both roots", true, func(w *world) string { return w.serve(w.ca.Bundle(), ok) }, tenancy.Trusted, "names"},
		{"knows certificates one by one", true, func(w *world) string {
			return w.serve(nil, w.knowsPresent)
		}, tenancy.TrustUnknown, "this proves nothing about the new CA"},
		{"knows certificates one by one, as declared", true, func(w *world) string {
			w.arrangement.Egress.IdentifiesBy = []tenancy.Identifier{tenancy.ByCertificate}
			return w.serve(nil, w.knowsPresent)
		}, tenancy.Trusted, "identifies single certificates"},
		{"knows certificates one by one, and trusts both CAs in TLS", false, func(w *world) string {
			return w.serve(only(w.before, root), w.knowsPresent)
		}, tenancy.Trusted, "TLS accepts a certificate of the new CA"},
		{"knows certificates one by one, and trusts the old CA", true, func(w *world) string {
			return w.serve(w.before, w.knowsPresent)
		}, tenancy.Untrusted, "unknown certificate authority"},
		{"refuses the present certificate", true, func(w *world) string {
			return w.serve(nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
		}, tenancy.TrustUnknown, "nothing to compare with"},
		{"answers in any case", true, func(w *world) string { return w.serve(nil, ok) }, tenancy.TrustUnknown,
			"choose another probe"},
		{"maps issuer and subject", false, func(v *world) string {
			present := v.ca.Signing(time.Now()).DER
			return v.serve(nil, func(w http.ResponseWriter, r *http.Request) {
				if len(r.TLS.PeerCertificates) == 0 {
					w.WriteHeader(http.StatusUnauthorized)
				} else if ca, err := x509.ParseCertificate(present); err != nil ||
					r.TLS.PeerCertificates[0].Issuer.String() != ca.Subject.String() {
					w.WriteHeader(http.StatusForbidden)
				}
			})
		}, tenancy.TrustUnknown, "403"},
		{"nginx that trusts the old root", true, func(w *world) string {
			return w.nginx(only(w.before, root))
		}, tenancy.Untrusted, "400"},
		{"nginx that trusts both roots", true, func(w *world) string {
			return w.nginx(w.ca.Bundle())
		}, tenancy.Trusted, "names the new CA"},
		{"is down", false, func(*world) string { return "https://127.0.0.1:1/" }, tenancy.TrustUnknown, "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.newRoot)
			got := w.ask(c.url(w))
			if got.Verdict != c.want || !said(got, c.says) {
				t.Errorf("%q: %s", got.Verdict, got.Detail)
			}
			stored, err := w.engine.Store.TrustOf(t.Context(), w.announced.ID, w.arrangement.ID)
			check(t, err)
			if stored.Verdict != c.want {
				t.Errorf("stored %q", stored.Verdict)
			}
		})
	}
}

func TestABareHandshakeProvesNoTrust(t *testing.T) {
	w := newWorld(t, true)
	w.arrangement.Egress.Probe = tenancy.Probe{}
	if got := w.ask(w.serve(nil, func(http.ResponseWriter, *http.Request) {})); got.Verdict != tenancy.TrustUnknown ||
		!said(got, "give the arrangement a probe") {
		t.Errorf("%q: %s", got.Verdict, got.Detail)
	}
	if got := w.ask(w.serve(w.before, func(http.ResponseWriter, *http.Request) {})); got.Verdict != tenancy.Untrusted {
		t.Errorf("%q: %s", got.Verdict, got.Detail)
	}
}

func TestReceiversAreAskedOnceADayUntilTheyTrustTheNewCA(t *testing.T) {
	w := newWorld(t, true)
	asked := 0
	url := w.serve(w.before, func(http.ResponseWriter, *http.Request) { asked++ })
	a := w.arrangement
	a.Endpoint = url
	update := func() {
		t.Helper()
		check(t, w.engine.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.UpdateArrangement(t.Context(), a) }))
		a.Version++
	}
	update()
	now := time.Now()
	w.now = func() time.Time { return now }
	verdict := func() tenancy.Trust {
		t.Helper()
		check(t, w.prober.ProbeAnnounced(t.Context()))
		got, err := w.engine.Store.TrustOf(t.Context(), w.announced.ID, a.ID)
		check(t, err)
		return got.Verdict
	}
	if got := verdict(); got != tenancy.Untrusted || asked != 1 { // the question with the present certificate arrives
		t.Errorf("%q after %d", got, asked)
	}
	if verdict(); asked != 1 {
		t.Error("asked twice in a day")
	}
	a.Endpoint = w.serve(w.ca.Bundle(), func(http.ResponseWriter, *http.Request) {})
	update()
	now = now.Add(24 * time.Hour)
	if got := verdict(); got != tenancy.Trusted {
		t.Errorf("%q", got)
	}
}

// A question with a certificate of the new CA would lock out the present one at a receiver that takes the newest only.
func TestAReceiverThatTakesTheNewestOnlyIsNotAskedAboutANewCA(t *testing.T) {
	w := newWorld(t, true)
	asked := 0
	s := w.standing(w.serve(nil, func(_ http.ResponseWriter, r *http.Request) { asked += len(r.TLS.PeerCertificates) }))
	s.Rollover.NewestOnly = true
	got, results, err := w.prober.ProbeAuthority(t.Context(), s, w.announced, "test")
	check(t, err)
	if got.Verdict != tenancy.TrustUnknown || !said(got, "accepts only the newest certificate") ||
		len(results) != 1 || asked != 0 {
		t.Errorf("%q: %s, after %d answers", got.Verdict, got.Detail, len(results))
	}
}

func TestATenantWithoutAKeyIsNotAskedAboutANewCA(t *testing.T) {
	w := newWorld(t, true)
	s := w.standing("https://127.0.0.1:1/")
	_, err := w.engine.Store.DB().ExecContext(t.Context(), "UPDATE certificates SET sealed_key = NULL")
	check(t, err)
	got, results, err := w.prober.ProbeAuthority(t.Context(), s, w.announced, "test")
	check(t, err)
	if got.Verdict != tenancy.TrustUnknown || !said(got, "no certificate to compare with") ||
		len(results) != 0 {
		t.Errorf("%q: %s, after %d answers", got.Verdict, got.Detail, len(results))
	}
}

func TestTrustThatCannotBeLookedUpOrRecordedIsAnError(t *testing.T) {
	w := newWorld(t, true)
	s := w.standing(w.serve(w.before, func(http.ResponseWriter, *http.Request) {}))
	probe := func() error {
		_, _, err := w.prober.ProbeAuthority(t.Context(), s, w.announced, "test")
		return err
	}
	db := w.engine.Store.DB()
	testenv.FailsWithout(t, db, []string{"certificates", "authorities", "trust"}, probe)
	testenv.FailsIfReadOnly(t, db, []string{"trust", "events"}, probe)
	check(t, probe())
	broken := s
	broken.Arrangement.Endpoint = "https://%zz/"
	if _, results, err := w.prober.ProbeAuthority(t.Context(), broken, w.announced, "test"); err == nil ||
		len(results) != 0 {
		t.Errorf("an endpoint that is not a URL: %d answers, %v", len(results), err)
	}
	unknown := w.announced
	unknown.ID = "unknown"
	if _, results, err := w.prober.ProbeAuthority(t.Context(), s, unknown, "test"); err == nil || len(results) != 1 {
		t.Errorf("an authority that cannot issue: %d answers, %v", len(results), err)
	}
}

// The failure of one receiver is reported with its name, and does not keep the others from being asked.
func TestReceiversThatCannotBeAskedAboutANewCAAreReported(t *testing.T) {
	w := newWorld(t, true)
	a := w.arrangement
	a.Endpoint = w.serve(w.before, func(http.ResponseWriter, *http.Request) {})
	silent := w.engine.Arrangement(t, tenancy.Arrangement{TenantID: w.acme.ID, Name: "silent", Endpoint: a.Endpoint,
		Egress: tenancy.Egress{ServerCA: string(w.before)}})
	check(t, w.engine.Store.InTx(t.Context(), func(tx *store.Tx) error { return tx.UpdateArrangement(t.Context(), a) }))
	now := time.Now()
	w.now = func() time.Time { return now }
	probe := func() error {
		now = now.Add(24 * time.Hour)
		return w.prober.ProbeAnnounced(t.Context())
	}
	db := w.engine.Store.DB()
	testenv.FailsWithout(t, db, []string{"claims", "arrangements", "trust", "certificates", "evidence"}, probe)
	testenv.FailsIfReadOnly(t, db, []string{"claims", "trust", "events"}, probe)
	_, err := db.ExecContext(t.Context(), "UPDATE certificates SET sealed_key = '?'")
	check(t, err)
	if err := probe(); err == nil || !strings.Contains(err.Error(), "arrangement acme/"+a.Name) ||
		strings.Contains(err.Error(), "acme/"+silent.Name) {
		t.Errorf("got %v", err)
	}
	_, err = db.ExecContext(t.Context(), "UPDATE arrangements SET egress = '{'")
	check(t, err)
	if err := probe(); err == nil || !strings.Contains(err.Error(), "arrangement acme/"+silent.Name) {
		t.Errorf("settings that cannot be read: %v", err)
	}
}

// More receivers are asked than at the same time.
func TestAllReceiversOfALargeFleetAreAskedAboutANewCA(t *testing.T) {
	w := newWorld(t, true)
	var asked atomic.Int64
	endpoint := w.serve(w.before, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	const fleet = 40
	for i := range fleet {
		w.engine.Arrangement(t, tenancy.Arrangement{TenantID: w.acme.ID, Name: fmt.Sprintf("a-%d", i), Endpoint: endpoint,
			Egress: w.arrangement.Egress})
	}
	check(t, w.prober.ProbeAnnounced(t.Context()))
	if asked.Load() != fleet { // the present certificate is the only one that comes through TLS
		t.Errorf("%d of %d receivers were asked", asked.Load(), fleet)
	}
}

// An answer that proves nothing does not overrule one that did.
func TestAnAnswerThatProvesNothingLeavesTheTrustAsItIs(t *testing.T) {
	w := newWorld(t, true)
	_, err := w.engine.RecordTrust(t.Context(), w.announced.ID, w.arrangement.ID, "test", tenancy.Trusted, rollover.Person,
		"installed", time.Now())
	check(t, err)
	if got := w.ask("https://127.0.0.1:1/"); got.Verdict != tenancy.TrustUnknown {
		t.Errorf("answered %q: %s", got.Verdict, got.Detail)
	}
	stored, err := w.engine.Store.TrustOf(t.Context(), w.announced.ID, w.arrangement.ID)
	check(t, err)
	if stored.Verdict != tenancy.Trusted || stored.Detail != "installed" || stored.Source != rollover.Person {
		t.Errorf("stored %+v", stored)
	}
}
