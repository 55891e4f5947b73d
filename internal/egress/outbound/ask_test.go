package outbound

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var loopback = &Network{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// newIdentity makes a generation with a certificate of its own.
func newIdentity(t *testing.T, generation int) *standing.Identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(generation)), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	testenv.Check(t, err)
	return &standing.Identity{Generation: generation,
		Certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

// asked starts a receiver, and returns its endpoint and the settings to verify it.
func asked(t *testing.T, config *tls.Config, h http.HandlerFunc) (*url.URL, tenancy.Egress, *receiver) {
	t.Helper()
	r := receive(t, tenancy.Egress{}, h, func(s *httptest.Server) { s.TLS = config })
	endpoint, err := url.Parse(r.URL + "/base?of=endpoint")
	testenv.Check(t, err)
	return endpoint, tenancy.Egress{ServerCA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: r.Certificate().Raw}))}, r
}

func TestAProbeAsksItsQuestionAndReportsTheAnswer(t *testing.T) {
	date := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var seen *http.Request
	ca := pkix.Name{CommonName: "CA", Organization: []string{"P"}}
	issuer := newIdentity(t, 9).Certificate.PrivateKey.(*ecdsa.PrivateKey)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: ca, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, issuer.Public(), issuer)
	testenv.Check(t, err)
	parsed, err := x509.ParseCertificate(der)
	testenv.Check(t, err)
	names := x509.NewCertPool()
	names.AddCert(parsed)
	endpoint, egress, r := asked(t, &tls.Config{ClientAuth: tls.RequestClientCert, ClientCAs: names},
		func(w http.ResponseWriter, q *http.Request) {
			seen = q
			w.Header().Set("Date", date.Format(http.TimeFormat))
			w.WriteHeader(http.StatusNoContent)
		})
	egress.Probe = tenancy.Probe{Method: "OPTIONS", Path: "/health%2Fx?a=b"}
	got := Ask(t.Context(), loopback, endpoint, egress, newIdentity(t, 3))
	if got.Generation != 3 || got.Meaning != Answered || got.Status != 204 ||
		got.Handshake || !got.Asked || got.TLSVersion != tls.VersionTLS13 || !got.ServerDate.Equal(date) || got.Err != nil ||
		!got.Server.Equal(r.Certificate()) || got.Took <= 0 || !slices.Equal(got.AcceptableCAs, []string{"CN=CA,O=P"}) {
		t.Errorf("%+v", got)
	}
	if seen.Method != "OPTIONS" || seen.RequestURI != "/health%2Fx?a=b" || seen.UserAgent() != "Perennial-Probe" ||
		len(
			seen.TLS.PeerCertificates,
		) != 1 || seen.TLS.PeerCertificates[0].SerialNumber.Int64() != 3 || seen.TLS.DidResume {
		t.Errorf("the receiver got %s %s from %s", seen.Method, seen.RequestURI, seen.UserAgent())
	}
	if none := Ask(t.Context(), loopback, endpoint, egress, nil); none.Generation != 0 || !none.Asked ||
		none.Meaning != Answered || len(seen.TLS.PeerCertificates) != 0 {
		t.Errorf("without a certificate: %+v", none)
	}
	if r.opened.Load() != 2 {
		t.Errorf("%d connections for two questions", r.opened.Load())
	}
}

func TestTheStatusesOfAProbeDecide(t *testing.T) {
	status := 0
	endpoint, egress, _ := asked(t, &tls.Config{ClientAuth: tls.RequestClientCert},
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	for _, c := range []struct {
		expected []int
		status   int
		want     Meaning
		reason   Reason
	}{
		{nil, 200, Answered, NoReason},
		{nil, 404, Answered, NoReason},
		{nil, 401, Refused, RefusingAnswer},
		{nil, 500, Answered, NoReason},
		{[]int{204}, 204, Answered, NoReason},
		{[]int{204, 205}, 205, Answered, NoReason},
		{[]int{204}, 200, Answered, NoReason},
		{[]int{204}, 401, Refused, RefusingAnswer},
		{[]int{204}, 500, Answered, NoReason},
		{[]int{401}, 401, Answered, NoReason},
		{[]int{503}, 503, Answered, NoReason},
	} {
		status = c.status
		egress.Probe = tenancy.Probe{Method: "GET", Path: "/", Statuses: c.expected}
		got := Ask(t.Context(), loopback, endpoint, egress, newIdentity(t, 1))
		if got.Meaning != c.want || got.Reason != c.reason || got.Status != c.status {
			t.Errorf("%v, answered %d: %+v", c.expected, c.status, got.Reading)
		}
	}
}

func TestAHandshakeProvesARefusalOnly(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: version,
			VerifyConnection: func(s tls.ConnectionState) error {
				if s.PeerCertificates[0].SerialNumber.Int64() == 2 {
					return errors.New("unknown")
				}
				return nil
			}}
		endpoint, egress, r := asked(t, config, func(http.ResponseWriter, *http.Request) {})
		accepted := Ask(t.Context(), loopback, endpoint, egress, newIdentity(t, 1))
		if accepted.Meaning != Answered || !accepted.Handshake || !accepted.Asked ||
			accepted.Detail != "the TLS handshake succeeded" || accepted.TLSVersion != version ||
			!accepted.Server.Equal(r.Certificate()) || accepted.Status != 0 || accepted.Err != nil {
			t.Errorf("TLS %x: %+v", version, accepted)
		}
		refused := Ask(t.Context(), loopback, endpoint, egress, newIdentity(t, 2))
		if refused.Meaning != Refused || refused.Alert != BadCertificate ||
			refused.Err == nil {
			t.Errorf("TLS %x: %+v", version, refused)
		}
		missing := Ask(t.Context(), loopback, endpoint, egress, nil)
		if missing.Meaning != Refused || !missing.Asked {
			t.Errorf("TLS %x: %+v", version, missing)
		}
		if r.served.Load() != 0 {
			t.Errorf("%d requests of handshakes", r.served.Load())
		}
	}
}

func TestAProbeThatCannotBeAskedIsAnError(t *testing.T) {
	endpoint, egress, r := asked(t, &tls.Config{}, func(http.ResponseWriter, *http.Request) {})
	for name, probe := range map[string]tenancy.Probe{"path": {Method: "GET", Path: "health"},
		"method": {Method: "G E T", Path: "/"}} {
		egress.Probe = probe
		if got := Ask(t.Context(), loopback, endpoint, egress, nil); got.Err == nil || got.Meaning != Nothing ||
			got.Detail == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	egress.Probe = tenancy.Probe{Method: "GET", Path: "/"}
	r.Close()
	if got := Ask(t.Context(), loopback, endpoint, egress, nil); got.Err == nil || got.Reason != Unreachable {
		t.Errorf("closed: %+v", got)
	}
}

// A receiver is trusted by its pinned key instead of a CA, and only by that key.
func TestAPinnedKeyIsVerified(t *testing.T) {
	endpoint, egress, r := asked(t, &tls.Config{}, func(http.ResponseWriter, *http.Request) {})
	pin := KeyPin(r.Certificate())
	if !strings.HasPrefix(pin, "sha256/") || len(pin) != len("sha256/")+44 {
		t.Errorf("the pin is %q", pin)
	}
	other := "sha256/" + strings.Repeat("A", 43) + "="
	for _, c := range []struct {
		name   string
		egress tenancy.Egress
		reason Reason
	}{
		{"its CA", egress, NoReason},
		{"its pin", tenancy.Egress{ServerKeyPin: pin}, NoReason},
		{"another pin", tenancy.Egress{ServerKeyPin: other}, ReceiverUntrusted},
		{"neither", tenancy.Egress{}, ReceiverUntrusted},
		{"an empty CA", tenancy.Egress{ServerCA: "none"}, ReceiverUntrusted},
	} {
		c.egress.Probe = tenancy.Probe{Method: "GET", Path: "/"}
		got := Ask(t.Context(), loopback, endpoint, c.egress, nil)
		if got.Reason != c.reason || (got.Err == nil) != (c.reason == NoReason) {
			t.Errorf("%s: %+v, %v", c.name, got.Reading, got.Err)
		}
		if c.name == "another pin" && (!strings.Contains(got.Detail, pin) || !strings.Contains(got.Detail, other)) {
			t.Errorf("the error does not name both keys: %s", got.Detail)
		}
	}
	c := &tls.Config{}
	if c = loopback.TLS(nil, tenancy.Egress{}, nil); c.InsecureSkipVerify || c.MinVersion != tls.VersionTLS12 {
		t.Errorf("%+v", c)
	}
}

func TestAReceiversCertificatesAreShownWithoutTrust(t *testing.T) {
	for _, auth := range []tls.ClientAuthType{tls.NoClientCert, tls.RequireAnyClientCert} {
		endpoint, _, r := asked(t, &tls.Config{ClientAuth: auth}, func(http.ResponseWriter, *http.Request) {})
		shown, err := Meet(t.Context(), loopback, "", endpoint)
		if err != nil || len(shown) == 0 || !shown[0].Equal(r.Certificate()) {
			t.Errorf("%v: %d certificates, %v", auth, len(shown), err)
		}
		if r.served.Load() != 0 {
			t.Errorf("%v: a request was sent", auth)
		}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	testenv.Check(t, err)
	closed.Close()
	endpoint := &url.URL{Scheme: "https", Host: closed.Addr().String()}
	if shown, err := Meet(t.Context(), loopback, "", endpoint); err == nil || len(shown) > 0 {
		t.Errorf("%d certificates, %v", len(shown), err)
	}
}

func TestAnEndpointWithoutAPortUses443(t *testing.T) {
	for host, want := range map[string]string{"example.com": "example.com:443", "example.com:8443": "example.com:8443",
		"[::1]": "[::1]:443"} {
		if got := address(&url.URL{Host: host}); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

// Receivers refuse with the numbers of RFC 8446, which the alerts of crypto/tls have too.
func TestAlertsHaveTheirNumbers(t *testing.T) {
	if len(alerts) != 11 {
		t.Errorf("%d alerts", len(alerts))
	}
	for _, a := range alerts {
		if want := tls.AlertError(a.alert).Error(); want != "tls: "+a.text {
			t.Errorf("%d is %q, and not %q", a.alert, want, a.text)
		}
	}
}

// An answer goes to the sender as it came.
func TestAnAnswerIsNotDecompressed(t *testing.T) {
	r := receive(t, tenancy.Egress{}, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Asked", fmt.Sprint(q.Header["Accept-Encoding"]))
	})
	res, _, err := r.send("GET", "/", "")
	if err != nil || res.Header.Get("Asked") != "[]" {
		t.Errorf("asked for %v, %v", res.Header, err)
	}
}
