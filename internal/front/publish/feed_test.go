package publish_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/tenancy"
)

var january = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// issued returns a certificate of a key, and signs it itself.
func issued(t testing.TB, n int, subject pkix.Name, key crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(0xabc0 + n)), Subject: subject, NotBefore: january,
		NotAfter: january.AddDate(1, n, 0), BasicConstraintsValid: true, IsCA: true}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))))
}

// published is a feed with a certificate of every type of key that tenants have, and two CAs.
func published(t testing.TB) (f publish.Feed, certificates []*x509.Certificate) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	after := january.AddDate(1, 0, 0)
	f.Document = feed.Document{Feed: feed.ID("secret"), Tenant: "acme", Arrangement: "crm-to-erp",
		Sequence: 1798761600, RefreshHint: 3600}
	for i, key := range []crypto.Signer{must(rsa.GenerateKey(rand.Reader, 2048)),
		must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)), edwards} {
		c := issued(t, i, pkix.Name{CommonName: fmt.Sprint("acme\t", i), Organization: []string{"Äcme, Inc.\n"}}, key)
		certificates = append(certificates, c)
		entry := feed.Certificate{Generation: i + 1, State: feed.Next, DER: c.Raw}
		switch i {
		case 0:
			entry.State, entry.RemoveAfter = feed.Retired, &after
		case 1:
			entry.State = feed.Active
		}
		f.Document.Certificates = append(f.Document.Certificates, entry)
	}
	for i := range 2 {
		ca := issued(t, 10+i, pkix.Name{CommonName: fmt.Sprint("CA ", i)}, must(ecdsa.GenerateKey(elliptic.P256(),
			rand.Reader)))
		f.Document.CAs = append(f.Document.CAs, ca.Raw)
	}
	f.Sign = func(d feed.Document) (string, error) { return feed.Sign(d, edwards) }
	return f, certificates
}

// render returns a form of a feed.
func render(t testing.TB, name string, f publish.Feed) []byte {
	t.Helper()
	for _, file := range append(publish.FeedFiles(), publish.FeedIndex) {
		if file.Name == name {
			return must(file.Render(f))
		}
	}
	t.Fatalf("there is no form %q", name)
	return nil
}

func TestTheJWKSHasEachCertificateWithItsThumbprints(t *testing.T) {
	f, certificates := published(t)
	var set jose.JSONWebKeySet
	data := render(t, "jwks.json", f)
	if err := json.Unmarshal(data, &set); err != nil { // it compares each key with its certificate
		t.Fatal(err)
	}
	var members struct{ Keys []map[string]any }
	if err := json.Unmarshal(data, &members); err != nil || len(set.Keys) != len(certificates) {
		t.Fatalf("%d keys, %v", len(set.Keys), err)
	}
	for i, key := range set.Keys {
		c := certificates[i]
		sum := sha256.Sum256(c.Raw)
		if len(key.Certificates) != 1 || !key.Certificates[0].Equal(c) || !key.IsPublic() ||
			!bytes.Equal(key.CertificateThumbprintSHA256, sum[:]) {
			t.Errorf("key %d: %+v", i, key)
		}
		if want := base64.RawURLEncoding.EncodeToString(sum[:]); key.KeyID != want {
			t.Errorf("key %d has the ID %s, want %s", i, key.KeyID, want)
		}
		if got := members.Keys[i]["x5t#S256"]; got != base64.RawURLEncoding.EncodeToString(sum[:]) {
			t.Errorf("key %d: x5t#S256 %v", i, got)
		}
	}
}

func TestGoSPIFFEReadsTheTrustBundle(t *testing.T) {
	f, _ := published(t)
	domain := spiffeid.RequireTrustDomainFromString("p.example.com")
	bundle, err := spiffebundle.Parse(domain, render(t, "spiffe.json", f))
	if err != nil {
		t.Fatal(err)
	}
	sequence, hasSequence := bundle.SequenceNumber()
	hint, hasHint := bundle.RefreshHint()
	if !hasSequence || sequence != f.Document.Sequence || !hasHint || hint != time.Hour {
		t.Errorf("sequence %d, refresh hint %s", sequence, hint)
	}
	authorities := bundle.X509Authorities()
	if len(authorities) != 2 || !bytes.Equal(authorities[0].Raw, f.Document.CAs[0]) ||
		!bytes.Equal(authorities[1].Raw, f.Document.CAs[1]) || len(bundle.JWTAuthorities()) != 0 {
		t.Errorf("%d authorities", len(authorities))
	}
}

func TestTheFilesInPEMHaveTheCertificatesAndTheCAs(t *testing.T) {
	f, certificates := published(t)
	all, err := certfile.ParseAll(render(t, "certificates.pem", f), "")
	if err != nil || len(all) != len(certificates) || !all[4].Equal(certificates[4]) {
		t.Errorf("%d certificates, %v", len(all), err)
	}
	block, rest := pem.Decode(render(t, "cas.pem", f))
	second, rest := pem.Decode(rest)
	if !bytes.Equal(block.Bytes, f.Document.CAs[0]) || !bytes.Equal(second.Bytes, f.Document.CAs[1]) || len(rest) > 0 {
		t.Error("cas.pem does not have both CAs")
	}
}

// Only a program that has read the newest certificate can have installed it.
func TestTheFormsThatListCertificatesContainTheNewest(t *testing.T) {
	f, certificates := published(t)
	newest := certificates[len(certificates)-1]
	for _, file := range append(publish.FeedFiles(), publish.FeedIndex) {
		data := render(t, file.Name, f)
		if payload := strings.Split(string(data), "."); file.Name == "certificates.jws" {
			data = must(base64.RawURLEncoding.DecodeString(payload[1]))
		}
		listed := strings.Contains(string(bytes.ReplaceAll(data, []byte("\n"), nil)), base64.StdEncoding.EncodeToString(
			newest.Raw)) || strings.Contains(string(data), certfile.Fingerprint(newest.Raw))
		if listed != file.ListsCertificates {
			t.Errorf("%q lists the certificates: %v, want %v", file.Name, listed, file.ListsCertificates)
		}
	}
}

// A script that writes an empty file over a good one would lock every certificate out.
func TestThereIsNoEmptyFileOfCAs(t *testing.T) {
	f, _ := published(t)
	f.Document.CAs = nil
	for _, file := range publish.FeedFiles() {
		data, err := file.Render(f)
		if missing := errors.Is(err, tenancy.ErrNotFound); missing != (file.Name == "cas.pem") || !missing && len(data) == 0 {
			t.Errorf("%s: %d bytes, %v", file.Name, len(data), err)
		}
	}
	if got := string(render(t, "spiffe.json", f)); !strings.Contains(got, `"keys": []`) {
		t.Errorf("the bundle without CAs: %s", got)
	}
}

func TestTheListIsATableForScripts(t *testing.T) {
	f, certificates := published(t)
	lines := strings.Split(strings.TrimSuffix(string(render(t, "list.txt", f)), "\n"), "\n")
	if lines[0] != "sha256\tserial\tsubject\tnot_after\tstate\tremove_after" || len(lines) != 6 {
		t.Fatalf("%q", lines)
	}
	for i, line := range lines[1:] {
		fields := strings.Split(line, "\t")
		if len(fields) != 6 || fields[0] != fmt.Sprintf("%x", sha256.Sum256(certificates[i].Raw)) ||
			fields[1] != fmt.Sprintf("abc%d", i) || fields[2] != fmt.Sprintf(`CN=acme\09%d,O=Äcme\, Inc.\0A`, i) {
			t.Errorf("line %d: %q", i, fields)
		}
	}
	for i, want := range map[int]string{1: "2028-01-01T00:00:00Z\tretired\t2028-01-01T00:00:00Z",
		2: "2028-02-01T00:00:00Z\tactive\t", 3: "2028-03-01T00:00:00Z\tnext\t"} {
		if !strings.HasSuffix(lines[i], "\t"+want) {
			t.Errorf("line %d is %q, want %q at its end", i, lines[i], want)
		}
	}
}

func TestTheIndexNamesEveryForm(t *testing.T) {
	f, _ := published(t)
	page := string(render(t, "", f))
	for _, file := range publish.FeedFiles() {
		if !strings.Contains(page, "\n"+file.Name+" ") || file.ContentType == "" {
			t.Errorf("%s is missing:\n%s", file.Name, page)
		}
	}
	if !strings.Contains(page, `{"sequence":1798761600,"generations":[5],"program":"..."}`) {
		t.Errorf("the report is missing:\n%s", page)
	}
}

func TestTheSignedFormIsTheDocument(t *testing.T) {
	f, _ := published(t)
	signed := render(t, "certificates.jws", f)
	jws := must(jose.ParseSignedCompact(string(signed), []jose.SignatureAlgorithm{jose.EdDSA}))
	thumbprint := must(jws.Signatures[0].Header.JSONWebKey.Thumbprint(crypto.SHA256))
	d, err := feed.Verify(string(signed), "secret", base64.RawURLEncoding.EncodeToString(thumbprint))
	if err != nil || d.Sequence != f.Document.Sequence || len(d.Certificates) != 5 {
		t.Errorf("%+v, %v", d, err)
	}
}

// A key that has no form as a JWK must not take the others with it.
func TestAKeyWithoutAWebFormIsLeftOut(t *testing.T) {
	f, _ := published(t)
	unusual := issued(t, 5, pkix.Name{CommonName: "P-224"}, must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)))
	f.Document.Certificates = append(f.Document.Certificates, feed.Certificate{Generation: 6, State: feed.Next,
		DER: unusual.Raw})
	f.Document.CAs = append(f.Document.CAs, unusual.Raw)
	for name, want := range map[string]int{"jwks.json": 5, "spiffe.json": 2} {
		var set struct{ Keys []any }
		if err := json.Unmarshal(render(t, name, f), &set); err != nil || len(set.Keys) != want {
			t.Errorf("%s: %d keys, %v", name, len(set.Keys), err)
		}
	}
}
