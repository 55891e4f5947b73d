package est_test

import (
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/est"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/internal/testing/esttest"
	"github.com/perennial-pki/perennial/internal/testing/issuertest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

var (
	check = testenv.Check
	form  = issuer.Form{TrustDomain: "p.example.com", Organization: "P"}
)

func request(t *testing.T, kind tenancy.KeyType) issuer.Request {
	t.Helper()
	key, err := keyring.Generate(kind)
	check(t, err)
	return issuer.Request{Tenant: "acme", Purpose: tenancy.ForTenant, Key: key, At: time.Now(),
		Validity: 365 * 24 * time.Hour}
}

// byPassword are settings that sign in with the password.
func byPassword(t *testing.T, s *esttest.Server) est.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	check(t, os.WriteFile(path, []byte(esttest.Password+"\n"), 0o600))
	return est.Config{URL: s.URL, Username: esttest.Username, Password: secret.File(path), Roots: s.Roots,
		TLS: foreign.TLS{Roots: s.Roots}}
}

// byCertificate are settings that sign in with a client certificate.
func byCertificate(t *testing.T, s *esttest.Server) est.Config {
	t.Helper()
	now := time.Now()
	certificate, key := s.CA.Client(t, "perennial", now.Add(-time.Hour), now.Add(time.Hour))
	return est.Config{URL: s.URL, Roots: s.Roots, TLS: foreign.TLS{Roots: s.Roots, Certificate: certificate,
		Key: secret.File(key)}}
}

func open(t *testing.T, c est.Config) issuer.Issuer {
	t.Helper()
	i, err := est.Open(c, form)
	check(t, err)
	return i
}

func TestESTConforms(t *testing.T) {
	for name, settings := range map[string]func(*testing.T, *esttest.Server) est.Config{"password": byPassword,
		"certificate": byCertificate} {
		t.Run(name, func(t *testing.T) {
			issuertest.RunNow(t, func(t *testing.T, _ time.Time) issuer.Issuer {
				return open(t, settings(t, esttest.Start(t)))
			})
		})
	}
	t.Run("later", func(t *testing.T) {
		issuertest.RunRemembering(t, func(t *testing.T, _ time.Time) issuer.Issuer {
			s := esttest.Start(t)
			s.Pending, s.Label = 2, "tenants"
			c := byPassword(t, s)
			c.Label = s.Label
			return open(t, c)
		})
	})
}

func TestESTReportsEachFault(t *testing.T) {
	send := func(w http.ResponseWriter, der []byte) {
		bag, _ := pkcs7.DegenerateCertificate(der)
		io.WriteString(w, base64.StdEncoding.EncodeToString(bag))
	}
	issuertest.RunFaults(t, issuertest.Protocol{
		Kind: "est",
		Settings: func(c *issuertest.CA) map[string]any {
			return map[string]any{"url": c.URL, "username": "u", "password": c.Secret(), "roots": c.Roots(),
				"tls": map[string]any{"roots": c.WebRoots()}}
		},
		Serve: func(c *issuertest.CA, w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/.well-known/est/cacerts":
				send(w, c.Issuing())
			case "/.well-known/est/csrattrs":
				w.WriteHeader(http.StatusNoContent)
			case "/.well-known/est/simpleenroll":
				body, _ := io.ReadAll(r.Body)
				request, _ := base64.StdEncoding.DecodeString(string(body))
				chain, err := c.Sign(request)
				if err != nil {
					http.Error(w, err.Error(), http.StatusBadRequest)
					return
				}
				send(w, chain[0])
			default:
				http.NotFound(w, r)
			}
		},
		Capabilities: []string{"answers later"},
	})
}

func TestARequestThatIsPendingNamesWhenToAskAgain(t *testing.T) {
	s := esttest.Start(t)
	s.Pending, s.RetryAfter = 2, "3600"
	i := issuer.Checked(open(t, byPassword(t, s)))
	r := request(t, tenancy.RSA2048)
	_, err := i.Issue(t.Context(), r)
	later := (*issuer.RequestedError)(nil)
	if !errors.As(err, &later) || !later.AskAt.Equal(r.At.Add(time.Hour)) {
		t.Fatalf("%v", err)
	}
	collector := i.(issuer.Collector)
	if _, err := collector.Collect(t.Context(), later.Handle, r); !errors.As(err, &later) {
		t.Errorf("%v", err)
	}
	// After a restart, the request is the same because its key and its names are.
	again := issuer.Checked(open(t, byPassword(t, s))).(issuer.Collector)
	if issued, err := again.Collect(t.Context(), later.Handle, r); err != nil || len(issued.Chain) != 1 {
		t.Errorf("%v, a chain of %d", err, len(issued.Chain))
	}
	if n := s.Calls["simpleenroll"]; n != 3 {
		t.Errorf("%d requests", n)
	}
	_, err = collector.Collect(t.Context(), later.Handle, request(t, tenancy.P256))
	if !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("a handle of another key: %v", err)
	}
}

// renewal issues a certificate, and returns the request for its successor.
func renewal(t *testing.T, i issuer.Issuer) issuer.Request {
	t.Helper()
	r := request(t, tenancy.P256)
	first, err := i.Issue(t.Context(), r)
	check(t, err)
	names, err := certfile.NamesOf(first.DER)
	check(t, err)
	r.Replaces = &names
	return r
}

func TestOnlyARenewalThatIsAllowedToUsesSimplereenroll(t *testing.T) {
	for _, reenroll := range []bool{false, true} {
		s := esttest.Start(t)
		c := byCertificate(t, s)
		c.Reenroll = reenroll
		i := issuer.Checked(open(t, c))
		r := renewal(t, i)
		if _, err := i.Issue(t.Context(), r); err != nil {
			t.Error(err)
		}
		want := map[bool]int{false: 0, true: 1}[reenroll]
		if s.Calls["simplereenroll"] != want || s.Calls["simpleenroll"] != 2-want || s.Calls["cacerts"] != 1 {
			t.Errorf("reenroll %v: %v", reenroll, s.Calls)
		}
	}
}

func TestARefusedSimplereenrollNamesItsSetting(t *testing.T) {
	for name, settings := range map[string]func(*testing.T, *esttest.Server) est.Config{"password": byPassword,
		"certificate": byCertificate} {
		s := esttest.Start(t)
		s.OwnOnly = true
		c := settings(t, s)
		c.Reenroll = true
		i := issuer.Checked(open(t, c))
		r := renewal(t, i)
		_, err := i.Issue(t.Context(), r)
		fault, _ := issuer.FaultOf(err)
		if fault != issuer.Denied || !strings.Contains(err.Error(), "set reenroll to false") {
			t.Errorf("%s: %q, %v", name, fault, err)
		}
	}
}

func TestTheChainFollowsTheCAThatSigns(t *testing.T) {
	s := esttest.Start(t)
	c := byPassword(t, s)
	next := testca.New(t, "Next", time.Now())
	roots := filepath.Join(t.TempDir(), "roots.pem")
	check(t, os.WriteFile(roots, append(s.CA.RootPEM(), next.RootPEM()...), 0o600))
	c.Roots = roots
	i := issuer.Checked(open(t, c))
	for _, ca := range []*testca.CA{s.CA, next} {
		s.CA = ca
		issued, err := i.Issue(t.Context(), request(t, tenancy.P256))
		if err != nil || len(issued.Chain) != 1 || string(issued.Chain[0]) != string(ca.Issuing.Raw) {
			t.Errorf("%v, a chain of %d", err, len(issued.Chain))
		}
	}
}

// attributes encodes CSR attributes: object identifiers, and the key types with their curves.
func attributes(t *testing.T, items ...any) []byte {
	t.Helper()
	var raw []asn1.RawValue
	for _, item := range items {
		der, err := asn1.Marshal(item)
		check(t, err)
		raw = append(raw, asn1.RawValue{FullBytes: der})
	}
	der, err := asn1.Marshal(raw)
	check(t, err)
	return der
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.ObjectIdentifier `asn1:"set"`
}

func TestTheAttributesOfTheServerAreRespected(t *testing.T) {
	challenge, rsa := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	sha384 := asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	p384 := attribute{asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, []asn1.ObjectIdentifier{{1, 3, 132, 0, 34}}}
	for name, c := range map[string]struct {
		attributes []byte
		kind       tenancy.KeyType
		fault      issuer.Fault
		text       string
	}{
		"none":                 {nil, tenancy.P256, "", ""},
		"empty":                {attributes(t), tenancy.P256, "", ""},
		"RSA":                  {attributes(t, rsa), tenancy.RSA2048, "", ""},
		"RSA, and a curve":     {attributes(t, rsa), tenancy.P256, issuer.Rejected, "requires an RSA key"},
		"P-384":                {attributes(t, p384, sha384), tenancy.P384, "", ""},
		"P-384, and P-256":     {attributes(t, p384, sha384), tenancy.P256, issuer.Rejected, "the curve P-384"},
		"P-384, and RSA":       {attributes(t, p384), tenancy.RSA2048, issuer.Rejected, "an elliptic curve"},
		"RSA or P-384":         {attributes(t, p384, rsa), tenancy.RSA2048, "", ""},
		"a challenge password": {attributes(t, challenge), tenancy.P256, issuer.Rejected, "challenge password"},
		"unreadable":           {[]byte("attributes"), tenancy.P256, issuer.Broken, "CSR attributes"},
		"unreadable items":     {attributes(t, 17), tenancy.P256, issuer.Broken, "CSR attributes"},
	} {
		s := esttest.Start(t)
		s.Attributes = c.attributes
		_, err := issuer.Checked(open(t, byPassword(t, s))).Issue(t.Context(), request(t, c.kind))
		if fault, _ := issuer.FaultOf(err); fault != c.fault || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %q, %v", name, fault, err)
		}
	}
}

func TestEachFaultOfAnESTServerHasItsKind(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*esttest.Server, *est.Config)
		want   issuer.Fault
		text   string
	}{
		"a wrong password": {func(s *esttest.Server, c *est.Config) { c.Username = "other" }, issuer.Denied,
			"authentication required"},
		"an unknown label": {func(s *esttest.Server, c *est.Config) { c.Label = "other" }, issuer.Rejected, "404"},
		"a rate limit": {func(s *esttest.Server, _ *est.Config) { s.Status, s.RetryAfter = 429, "60" }, issuer.Limited,
			"it allows the next attempt after"},
		"a quota": {func(s *esttest.Server, _ *est.Config) { s.Status, s.Body = 429, "quota used up" }, issuer.Limited,
			"quota used up"},
		"maintenance": {func(s *esttest.Server, _ *est.Config) { s.Status, s.RetryAfter = 503, "60" }, issuer.Unreachable,
			""},
		"a refusal": {func(s *esttest.Server, _ *est.Config) { s.Status, s.Body = 400, "not in the directory" },
			issuer.Rejected, "not in the directory"},
		"a login page": {func(s *esttest.Server, _ *est.Config) { s.Status, s.Body = 200, "<html>login</html>" },
			issuer.Broken, "not base64"},
		"an empty answer": {func(s *esttest.Server, _ *est.Config) { s.Status = 200 }, issuer.Broken, "not base64"},
		"other content":   {func(s *esttest.Server, _ *est.Config) { s.Status, s.Body = 200, "AAAA" }, issuer.Broken, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := esttest.Start(t)
			config := byPassword(t, s)
			c.change(s, &config)
			_, err := issuer.Checked(open(t, config)).Issue(t.Context(), request(t, tenancy.P256))
			if fault, _ := issuer.FaultOf(err); err == nil || fault != c.want || !strings.Contains(err.Error(), c.text) ||
				strings.Contains(err.Error(), esttest.Password) {
				t.Errorf("%q, %v, want %q: %q", fault, err, c.want, c.text)
			}
		})
	}
}

func TestInvalidSettingsOfAnESTServerAreRefused(t *testing.T) {
	s := esttest.Start(t)
	for name, change := range map[string]func(*est.Config){
		"no address":     func(c *est.Config) { c.URL = "" },
		"no password":    func(c *est.Config) { c.Password = secret.Ref{} },
		"no credentials": func(c *est.Config) { c.Username, c.Password = "", secret.Ref{} },
		"a label":        func(c *est.Config) { c.Label = "a/b" },
		"no roots":       func(c *est.Config) { c.Roots = "" },
		"TLS roots":      func(c *est.Config) { c.TLS.Roots = "missing.pem" },
	} {
		c := byPassword(t, s)
		change(&c)
		if _, err := est.Open(c, form); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
