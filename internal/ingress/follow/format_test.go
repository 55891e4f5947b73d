package follow

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// selfSigned returns a document with a certificate of a key that signed itself.
func selfSigned(t testing.TB, key crypto.Signer, change func(*x509.Certificate)) feed.Document {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(0xabc), Subject: pkix.Name{CommonName: "acme"},
		NotBefore: january, NotAfter: january.AddDate(1, 0, 0)}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	testenv.Check(t, err)
	return feed.Document{Tenant: "acme", Arrangement: "crm-to-erp",
		Certificates: []feed.Certificate{{Generation: 1, State: feed.Active, DER: der}}}
}

func p256(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	return key
}

func rendered(t testing.TB, format string, d feed.Document) string {
	t.Helper()
	v, err := NewView(d, january)
	testenv.Check(t, err)
	out, err := formatOf(t, format).Render(v)
	testenv.Check(t, err)
	return string(out)
}

// hostile are texts that a sender could put into a name to leave the line, the string or the comment that it is in.
var hostile = []string{
	"a\nb", "a\r\nb", "a\x00b", "a\tb", `a"b'c`, "a\u0085b", "a\u2028b", "a\u2029b", "a\u202eb", "a\\", "a;b", "a}b{c",
	"# a", "\n0000000000000000000000000000000000000000 1;", "'\nRequire all granted\n#", "\ninclude /etc/passwd;",
	"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "%{HTTP_HOST}", "${HOME}", "$(id)", "`id`",
}

// lines are those that each configuration may contain besides comments.
var lines = map[string]*regexp.Regexp{
	"nginx":   regexp.MustCompile(`^[0-9a-f]{40} 1; # generation 1, until 2028-01-01T00:00:00Z$`),
	"haproxy": regexp.MustCompile(`^[0-9A-F]{64}$`),
	"apache":  regexp.MustCompile(`^Require expr "sha1\(%\{SSL_CLIENT_CERT\}\) == '[0-9a-f]{40}'"$`),
	"pem":     regexp.MustCompile(`^([A-Za-z0-9+/=]{1,64}|-----(BEGIN|END) CERTIFICATE-----)$`),
	"cas":     regexp.MustCompile(`^([A-Za-z0-9+/=]{1,64}|-----(BEGIN|END) CERTIFICATE-----)$`),
	"list":    regexp.MustCompile(`^[0-9a-f]{64}\t0abc\t2028-01-01T00:00:00Z\tactive\t1\t[^\x00-\x1f\x7f-\x{a0}]+$`),
}

func TestNoNameBreaksOutOfAConfiguration(t *testing.T) {
	key := p256(t)
	checked := 0
	for _, text := range hostile {
		for _, kind := range []int{asn1.TagUTF8String, asn1.TagT61String} {
			d := selfSigned(t, key, func(c *x509.Certificate) {
				value, err := asn1.Marshal(asn1.RawValue{Tag: kind, Bytes: []byte(text)})
				testenv.Check(t, err)
				name, err := asn1.Marshal(pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3},
					Value: asn1.RawValue{FullBytes: value}}}})
				testenv.Check(t, err)
				c.RawSubject = name
			})
			d.Tenant, d.Arrangement = text, text
			for format, line := range lines {
				for got := range strings.SplitSeq(strings.TrimSuffix(rendered(t, format, d), "\n"), "\n") {
					comment := strings.HasPrefix(got, "# ") && !strings.ContainsFunc(got, func(r rune) bool {
						return r < ' ' || r > '~'
					})
					if !line.MatchString(got) && !comment {
						t.Errorf("%s with the name %q has the line %q", format, text, got)
					}
					checked++
				}
			}
		}
	}
	if checked < 500 {
		t.Errorf("only %d lines were checked", checked)
	}
}

// The values are compared with those that OpenSSL computes.
func TestValuesAreThoseOfOpenSSL(t *testing.T) {
	d := selfSigned(t, p256(t), func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "Größe, Ltd", Organization: []string{"Müller & Söhne"}}
	})
	file := filepath.Join(t.TempDir(), "certificate.pem")
	testenv.Check(t, os.WriteFile(file, []byte(rendered(t, "pem", d)), 0o600))
	v, err := NewView(d, january)
	testenv.Check(t, err)
	c := v.Certificates[0]
	for command, want := range map[string]string{
		"openssl x509 -noout -fingerprint -sha256 -in":                   c.SHA256Colons,
		"openssl x509 -noout -fingerprint -sha1 -in":                     c.SHA1Colons,
		"openssl x509 -noout -serial -in":                                strings.ToUpper(c.Serial),
		"openssl x509 -noout -subject -nameopt RFC2253,-esc_msb -in":     c.Subject,
		"openssl x509 -outform DER -in FILE | openssl base64 -A # ":      c.Base64,
		"openssl x509 -outform DER -in FILE | sha256sum | cut -c1-64 # ": c.SHA256,
		"openssl x509 -in FILE | sha1sum | cut -c1-40 # ":                c.PEMSHA1,
	} {
		out, err := exec.Command("sh", "-c", strings.ReplaceAll(command, "FILE", file)+" "+file).Output()
		testenv.Check(t, err)
		got := strings.TrimSpace(string(out))
		if _, value, ok := strings.Cut(got, "="); ok && !strings.HasSuffix(want, "=") {
			got = value
		}
		if got != want {
			t.Errorf("%s: OpenSSL has %q, the view %q", command, got, want)
		}
	}
	if c.SerialDecimal != "2748" {
		t.Errorf("the decimal serial number is %s", c.SerialDecimal)
	}
}

func TestExpiredCertificatesAndCAsAreNotWritten(t *testing.T) {
	ca := testca.NewUntil(t, "Old CA", january.AddDate(-2, 0, 0), january.AddDate(-1, 0, 0)) // the root is valid
	d := selfSigned(t, p256(t), nil)
	own := rendered(t, "pem", d)
	issued, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1),
		NotBefore: january.AddDate(0, 0, -1), NotAfter: january.AddDate(1, 0, 0)}, ca.Issuing, p256(t).Public(), ca.Key)
	testenv.Check(t, err)
	stranger := testca.New(t, "A CA that issued none of them", january)
	expired := selfSigned(t, p256(t), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = january.AddDate(-1, 0, 0), january.Add(-time.Second)
	})
	d.Certificates = append(d.Certificates, feed.Certificate{Generation: 2, State: feed.Retired,
		DER: expired.Certificates[0].DER}, feed.Certificate{Generation: 3, State: feed.Next, DER: issued})
	d.CAs = [][]byte{stranger.Root.Raw, ca.Issuing.Raw, ca.Root.Raw, ca.Root.Raw}
	if got := strings.Count(rendered(t, "pem", d), "BEGIN"); got != 2 {
		t.Errorf("%d certificates", got)
	}
	// The CAs are the root, once, and the certificate that signed itself.
	if got, want := rendered(t, "cas", d), string(ca.RootPEM())+own; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAKeySetHasTheCertificatesOfEveryKindOfKey(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	testenv.Check(t, err)
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	testenv.Check(t, err)
	for kind, key := range map[string]crypto.Signer{"EC": p256(t), "OKP": ed, "RSA": rsa2048} {
		d := selfSigned(t, key, nil)
		again := selfSigned(t, key, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(2) })
		d.Certificates = append(d.Certificates, feed.Certificate{Generation: 2, State: feed.Next,
			DER: again.Certificates[0].DER})
		text := rendered(t, "jwks", d)
		var set jose.JSONWebKeySet
		testenv.Check(t, json.Unmarshal([]byte(text), &set)) // checks x5t#S256 against x5c
		var raw struct {
			Keys []struct {
				Kty     string
				X5tS256 string `json:"x5t#S256"`
				X5c     []string
				Kid     string
			}
		}
		testenv.Check(t, json.Unmarshal([]byte(text), &raw))
		for i, c := range d.Certificates {
			if !set.Keys[i].IsPublic() || string(set.Keys[i].Certificates[0].Raw) != string(c.DER) ||
				raw.Keys[i].Kty != kind || len(raw.Keys[i].X5tS256) != 43 || len(raw.Keys[i].X5c) != 1 {
				t.Errorf("%s: %s", kind, text)
			}
		}
		if raw.Keys[0].Kid == raw.Keys[1].Kid {
			t.Errorf("%s: two certificates have one kid: %s", kind, text)
		}
	}
}

func TestATemplateGetsTheValues(t *testing.T) {
	file := filepath.Join(t.TempDir(), "template")
	for text, want := range map[string]string{
		`{{range .Certificates}}{{.SerialDecimal}} {{upper .Serial}} {{.State}}{{end}}`: "2748 0ABC active",
		`{{range .Certificates}}{{json .Subject}}{{end}}`:                               `"CN=a\\\"b"`,
		`{{.Tenant}}/{{.Arrangement}} {{.Sequence}}`:                                    "acme/crm-to-erp 0",
		`{{range .CAs}}{{plain .Subject}}{{end}}`:                                       "CN_a__b",
		`{{with index .Certificates 0}}{{.PEM}}{{end}}`:                                 "-----BEGIN CERTIFICATE",
	} {
		testenv.Check(t, os.WriteFile(file, []byte(text), 0o600))
		d := selfSigned(t, p256(t), func(c *x509.Certificate) { c.Subject.CommonName = `a"b` })
		if got := rendered(t, file, d); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		`{{`:           "read the template",
		`{{nothing}}`:  `function "nothing" not defined`,
		`{{.Nothing}}`: "can't evaluate field Nothing",
		`{{/* */}} `:   "the result is empty",
		`{{range 70}}{{printf "%1000000d" 1}}{{end}}`: "larger than 64 MiB",
	} {
		testenv.Check(t, os.WriteFile(file, []byte(text), 0o600))
		f, err := ReadFormat(file)
		if err == nil {
			v, failed := NewView(selfSigned(t, p256(t), nil), january)
			testenv.Check(t, failed)
			_, err = f.Render(v)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	if _, err := ReadFormat("ngnix"); err == nil || !strings.Contains(err.Error(), "use nginx, haproxy, apache, pem") {
		t.Errorf("a misspelt format: %v", err)
	}
}

// A tenant can choose the name of its CA.
func TestACertificateWithTheNameOfItsCAIsNotTrustedAsACA(t *testing.T) {
	ca, key := testca.New(t, "Partner CA", january), p256(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1),
		RawSubject: ca.Issuing.RawSubject, NotBefore: january, NotAfter: january.AddDate(1, 0, 0)}, ca.Issuing,
		key.Public(), ca.Key)
	testenv.Check(t, err)
	d := feed.Document{Certificates: []feed.Certificate{{Generation: 1, State: feed.Active, DER: der}},
		CAs: [][]byte{ca.Issuing.Raw, ca.Root.Raw}}
	if got := rendered(t, "cas", d); got != string(testca.PEM(ca.Issuing.Raw, ca.Root.Raw)) {
		t.Errorf("the CAs are\n%s", got)
	}
}

func TestAFeedWithoutAValidCAHasNoFileOfCAs(t *testing.T) {
	ca := testca.New(t, "Partner CA", january)
	d := feed.Document{Certificates: []feed.Certificate{{Generation: 1, State: feed.Active,
		DER: ca.Server(t, january, january.AddDate(1, 0, 0)).Certificate[0]}}}
	v, err := NewView(d, january)
	testenv.Check(t, err)
	_, err = formatOf(t, "cas").Render(v)
	if err == nil || !strings.Contains(err.Error(), "has no CA that is valid now") {
		t.Errorf("got %v", err)
	}
}

// FuzzRender renders certificates with any bytes as names.
func FuzzRender(f *testing.F) {
	ca := testca.New(f, "Partner CA", january)
	key := p256(f)
	for _, text := range hostile {
		f.Add(text, []byte(nil))
	}
	f.Add("acme", []byte("\x30\x00"))
	f.Fuzz(func(t *testing.T, text string, subject []byte) {
		d := feed.Document{Tenant: text, Arrangement: text, CAs: [][]byte{ca.Root.Raw}}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), RawSubject: subject,
			Subject: pkix.Name{CommonName: text}, NotBefore: january, NotAfter: january.AddDate(1, 0, 0)}
		der, err := x509.CreateCertificate(rand.Reader, template, ca.Issuing, key.Public(), ca.Key)
		if err != nil {
			return
		}
		if _, err := x509.ParseCertificate(der); err != nil {
			return
		}
		d.Certificates = []feed.Certificate{{Generation: 1, State: feed.Active, DER: der}}
		for _, format := range []string{"nginx", "haproxy", "apache", "pem", "list"} {
			out := rendered(t, format, d)
			want := map[string]int{"nginx": 3, "haproxy": 4, "apache": 4, "list": 1}[format]
			if got := strings.Count(out, "\n"); want > 0 && got != want || strings.ContainsAny(out, "\r\x00\u0085\u2028") {
				t.Errorf("%s has %d lines: %q", format, got, out)
			}
		}
		if block, rest := pem.Decode([]byte(rendered(t, "pem", d))); block == nil || len(rest) > 0 {
			t.Error("pem has not one block")
		}
	})
}
