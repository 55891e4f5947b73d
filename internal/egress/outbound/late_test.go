package outbound

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// asksIn returns the settings of a receiver that asks for a certificate in some versions of TLS only. A receiver that
// asks after the request does so in TLS 1.2 alone, as far as a client of crypto/tls can see.
func asksIn(versions ...uint16) *tls.Config {
	template := httptest.NewTLSServer(nil)
	template.Close()
	c := &tls.Config{Certificates: template.TLS.Certificates}
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(versions, slices.Max(hello.SupportedVersions)) {
			asking := c.Clone()
			asking.GetConfigForClient, asking.ClientAuth = nil, tls.RequestClientCert
			return asking, nil
		}
		return nil, nil
	}
	return c
}

// needsCertificate answers as an application that knows everyone with a certificate.
func needsCertificate(w http.ResponseWriter, r *http.Request) {
	if len(r.TLS.PeerCertificates) == 0 {
		w.WriteHeader(http.StatusForbidden)
	}
}

func TestAReceiverThatAsksInTLS12OnlyIsRecognised(t *testing.T) {
	for _, c := range []struct {
		name   string
		config *tls.Config
		late   bool
	}{
		{"in TLS 1.2 alone", asksIn(tls.VersionTLS12), true},
		{"in TLS 1.3 alone", asksIn(tls.VersionTLS13), false},
		{"in both", asksIn(tls.VersionTLS12, tls.VersionTLS13), false},
		{"never", asksIn(), false},
	} {
		endpoint, egress, _ := asked(t, c.config, needsCertificate)
		id := newIdentity(t, 1)
		if got := loopback.AsksLate(id, egress, func() *http.Request {
			return request(t, "HEAD", endpoint.String(), "")
		}); got != c.late {
			t.Errorf("%s: a message finds that it asks late: %v", c.name, got)
		}
		egress.Probe = tenancy.Probe{Method: "GET", Path: "/"}
		got := Ask(t.Context(), loopback, endpoint, egress, id)
		if got.Late != c.late || c.late && (got.Status != http.StatusOK || got.TLSVersion != tls.VersionTLS12) {
			t.Errorf("%s: a question finds %+v", c.name, got)
		}
		egress.MaxTLS = onlyTLS12 // it is known, and not tried again
		if got := Ask(t.Context(), loopback, endpoint, egress, id); got.Late || got.TLSVersion != tls.VersionTLS12 {
			t.Errorf("%s, held at TLS 1.2: %+v", c.name, got)
		}
		egress.MaxTLS, egress.Probe = "", tenancy.Probe{}
		if got := Ask(t.Context(), loopback, endpoint, egress, id); got.Late {
			t.Errorf("%s: a handshake finds %+v", c.name, got)
		}
	}
}

// HTTP/2 forbids renegotiation, so a receiver that is held at TLS 1.2 gets HTTP/1.1.
func TestAReceiverThatIsHeldAtTLS12GetsHTTP1(t *testing.T) {
	for maxTLS, want := range map[string]string{"": "HTTP/2.0", onlyTLS12: "HTTP/1.1"} {
		r := receive(t, tenancy.Egress{MaxTLS: maxTLS}, func(w http.ResponseWriter, q *http.Request) {
			io.WriteString(w, q.Proto)
		}, func(s *httptest.Server) { s.EnableHTTP2 = true })
		for range 2 {
			res, got, err := r.send("GET", "/", "")
			testenv.Check(t, err)
			if got != want || (res.TLS.Version == tls.VersionTLS12) != (maxTLS == onlyTLS12) {
				t.Errorf("held at %q: %s over TLS %x, want %s", maxTLS, got, res.TLS.Version, want)
			}
		}
		if r.connections.SpeaksHTTP2() != (maxTLS == "") {
			t.Errorf("held at %q: speaks HTTP/2: %v", maxTLS, r.connections.SpeaksHTTP2())
		}
	}
}
