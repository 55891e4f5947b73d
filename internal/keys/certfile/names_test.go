package certfile

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/perennial-pki/perennial/tenancy"
)

func TestTheNamesOfACertificateAreThoseThatX509Reads(t *testing.T) {
	var none *authority
	ca := none.ca(t, "root")
	for name, template := range map[string]x509.Certificate{
		"a subject and no extension": {Subject: pkix.Name{CommonName: "acme", Organization: []string{"Größe"}}},
		"every kind of name": {Subject: pkix.Name{CommonName: "acme"}, DNSNames: []string{"a.example.com"},
			EmailAddresses: []string{"a@example.com"}, IPAddresses: []net.IP{{192, 0, 2, 1}},
			URIs: []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/a"}}, KeyUsage: x509.KeyUsageDigitalSignature},
		"no subject": {DNSNames: []string{"a.example.com"}},
	} {
		c := ca.sign(t, template, newKey(t))
		n, err := NamesOf(c.Raw)
		var san []byte
		for _, e := range c.Extensions {
			if e.Id.String() == "2.5.29.17" {
				san = e.Value
			}
		}
		if err != nil || !bytes.Equal(n.Subject, c.RawSubject) || !bytes.Equal(n.SAN, san) {
			t.Errorf("%s: %v, %x %x", name, err, n.Subject, n.SAN)
		}
		for i := range len(c.Raw) { // a file that was cut off
			if _, err := NamesOf(c.Raw[:i]); err == nil {
				t.Fatalf("%s: the first %d bytes are read", name, i)
			}
		}
	}
}

func TestNamesThatReceiversTakeForTheSameHaveTheSameClaims(t *testing.T) {
	var none *authority
	ca := none.ca(t, "root")
	names := func(template x509.Certificate) Names {
		n, err := NamesOf(ca.sign(t, template, newKey(t)).Raw)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a := names(x509.Certificate{Subject: pkix.Name{CommonName: "Acme  Corp"}, DNSNames: []string{"A.example.com"},
		EmailAddresses: []string{"x@example.com"}, URIs: []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/a"}},
		IPAddresses: []net.IP{{192, 0, 2, 1}}})
	want := []string{"subject:CN=acme corp", "dns:a.example.com", "email:x@example.com", "uri:spiffe://example.com/a"}
	if got := a.Claims(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if subject, san := a.Text(); subject != "CN=Acme  Corp" ||
		san != "DNS:A.example.com, email:x@example.com, other, URI:spiffe://example.com/a" {
		t.Errorf("%q, %q", subject, san)
	}
	long := pkix.Name{CommonName: "Größe & Söhne, Acme", Organization: []string{"P"}}
	claim := func(name pkix.Name) string { return names(x509.Certificate{Subject: name}).Claims()[0] }
	for _, same := range []pkix.Name{
		{CommonName: " GRÖSSE &  söhne, Acme ", Organization: []string{"p"}},
		{CommonName: "Größe & So\u0308hne, Acme", Organization: []string{"P"}}, // decomposed
		{CommonName: "Ｇröße & Söhne, Ac\u200bme", Organization: []string{"P"}},
		{ExtraNames: []pkix.AttributeTypeAndValue{{Type: []int{2, 5, 4, 3}, Value: "Größe & Söhne, Acme"},
			{Type: []int{2, 5, 4, 10}, Value: "P"}}}, // in another order
	} {
		if claim(same) != claim(long) {
			t.Errorf("%q and %q are told apart", claim(same), claim(long))
		}
	}
	for _, other := range []pkix.Name{{CommonName: "Größe & Söhne", Organization: []string{"P"}},
		{CommonName: "Größe & Söhne", Organization: []string{"Acme", "P"}}, {CommonName: "Größe & Söhne, Acme"}} {
		if claim(other) == claim(long) {
			t.Errorf("%q is taken for another name", claim(other))
		}
	}
	for _, bad := range []string{"acme\x00mine", "acme\n"} {
		if _, ok := names(x509.Certificate{Subject: pkix.Name{CommonName: bad}}).Attributes(); ok {
			t.Errorf("%q is a name", bad)
		}
	}
	if claims := names(x509.Certificate{DNSNames: []string{"x.example.com"}}).Claims(); !slices.Equal(claims,
		[]string{"dns:x.example.com"}) {
		t.Errorf("without a subject: %q", claims)
	}
	damaged := Names{Subject: a.Subject, SAN: a.SAN[:len(a.SAN)-1]}
	if claims := damaged.Claims(); len(claims) != 1 {
		t.Errorf("alternative names that cannot be read: %q", claims)
	}
	if _, san := damaged.Text(); san != "unreadable" {
		t.Errorf("alternative names that cannot be read: %q", san)
	}
}

// The changes that were foreseen equal those between the two certificates once both exist.
func TestForeseenChangesAreThoseOfTheNextCertificate(t *testing.T) {
	var none *authority
	root, other := none.ca(t, "root"), none.ca(t, "root") // the same name, another key
	issuing, second, foreign := root.ca(t, "issuing"), root.ca(t, "issuing 2"), other.ca(t, "issuing")
	acme := x509.Certificate{Subject: pkix.Name{CommonName: "acme"}, DNSNames: []string{"acme.example.com"}}
	renamed, without := acme, acme
	renamed.Subject.CommonName = "Acme"
	without.DNSNames = nil
	before := [][]byte{issuing.sign(t, acme, newKey(t)).Raw, issuing.cert.Raw}
	seen := map[tenancy.Changes]bool{}
	for _, template := range []x509.Certificate{acme, renamed, without} {
		for ca, top := range map[*authority]*authority{issuing: root, second: root, foreign: other} {
			next := ca.sign(t, template, newKey(t))
			names, err := NamesOf(next.Raw)
			if err != nil {
				t.Fatal(err)
			}
			foreseen, err1 := Foreseen(before, names, [][]byte{ca.cert.Raw, top.cert.Raw})
			changed, err2 := Changes(before, [][]byte{next.Raw, ca.cert.Raw})
			if err1 != nil || err2 != nil || foreseen != changed {
				t.Errorf("foreseen %+v, %v; changed %+v, %v", foreseen, err1, changed, err2)
			}
			seen[foreseen] = true
		}
	}
	if len(seen) != 9 {
		t.Errorf("%d different changes, want 9", len(seen))
	}
	for _, bad := range [][][]byte{nil, {{1, 2}}} {
		if _, err := Foreseen(bad, Names{}, before); err == nil {
			t.Errorf("%v is compared", bad)
		}
		if _, err := Foreseen(before, Names{}, bad); err == nil {
			t.Errorf("%v is compared", bad)
		}
	}
}

func FuzzNamesOf(f *testing.F) {
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		n, err := NamesOf(der)
		if c, err2 := x509.ParseCertificate(der); err2 == nil && (err != nil || !bytes.Equal(n.Subject, c.RawSubject)) {
			t.Errorf("x509 reads what NamesOf does not: %v", err)
		}
		n.Claims()
		n.Text()
	})
}

func TestASubjectHasTheBytesOfTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringMatching(`[a-zA-Z0-9 '()+,./:=?*&@_-]{1,300}`), rapid.StringN(1, 50, -1))
		name := pkix.Name{Organization: []string{text.Draw(t, "O")}, OrganizationalUnit: []string{text.Draw(t, "OU")},
			CommonName: text.Draw(t, "CN")}
		got, err := SubjectOf(SubjectPart{Organization, name.Organization[0]},
			SubjectPart{OrganizationalUnit, name.OrganizationalUnit[0]}, SubjectPart{CommonName, name.CommonName})
		want, wantErr := asn1.Marshal(name.ToRDNSequence())
		if !bytes.Equal(got, want) || (err != nil) != (wantErr != nil) {
			t.Fatalf("%q: %x (%v), and not %x (%v)", name, got, err, want, wantErr)
		}
	})
	if _, err := SubjectOf(SubjectPart{CommonName, "a\xff"}); err == nil {
		t.Error("a text that is not UTF-8 is accepted")
	}
}
