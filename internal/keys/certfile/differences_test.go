package certfile

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"testing"
)

func TestWhatDiffersBetweenTwoGenerations(t *testing.T) {
	var none *authority
	root := none.ca(t, "root")
	issuing, again, other := root.ca(t, "issuing"), root.ca(t, "issuing"), root.ca(t, "other")
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	subject := func(tag int, text string) []byte { // CN
		der, err := asn1.Marshal(pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3},
			Value: asn1.RawValue{Tag: tag, Bytes: []byte(text)}}}})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	usual := x509.Certificate{RawSubject: subject(asn1.TagPrintableString, "acme"), DNSNames: []string{"acme.example.com"},
		ExtKeyUsage: client, KeyUsage: x509.KeyUsageDigitalSignature}
	before := issuing.sign(t, usual, newKey(t))
	for name, c := range map[string]struct {
		by   *authority
		edit func(*x509.Certificate)
		want []Difference
	}{
		"nothing":          {issuing, func(*x509.Certificate) {}, nil},
		"the key usage":    {issuing, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }, nil},
		"another CA":       {other, func(*x509.Certificate) {}, []Difference{IssuerDiffers}},
		"a CA's next key":  {again, func(*x509.Certificate) {}, []Difference{IssuerDiffers}},
		"another encoding": {issuing, func(c *x509.Certificate) { c.RawSubject = subject(asn1.TagUTF8String, "acme") }, nil},
		"a subject": {issuing, func(c *x509.Certificate) { c.RawSubject = subject(asn1.TagPrintableString, "Acme") },
			[]Difference{SubjectDiffers}},
		"one name more": {issuing, func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "b.example.com") },
			[]Difference{SANDiffers}},
		"no names":          {issuing, func(c *x509.Certificate) { c.DNSNames = nil }, []Difference{SANDiffers}},
		"a usage more":      {issuing, func(c *x509.Certificate) { c.ExtKeyUsage = both }, []Difference{UsageDiffers}},
		"clientAuth is off": {issuing, func(c *x509.Certificate) { c.ExtKeyUsage = both[1:] }, []Difference{UsageDiffers}},
		"any usage":         {issuing, func(c *x509.Certificate) { c.ExtKeyUsage = nil }, []Difference{UsageDiffers}},
		"all": {other, func(c *x509.Certificate) { *c = x509.Certificate{RawSubject: subject(asn1.TagUTF8String, "x")} },
			[]Difference{IssuerDiffers, SubjectDiffers, SANDiffers, UsageDiffers}},
	} {
		template := usual
		template.DNSNames = slices.Clone(usual.DNSNames)
		c.edit(&template)
		after := c.by.sign(t, template, newKey(t))
		got, err := Differences(before.Raw, after.Raw)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	one, reversed := usual, usual
	one.ExtKeyUsage, reversed.ExtKeyUsage = both, []x509.ExtKeyUsage{both[1], both[0]}
	got, err := Differences(issuing.sign(t, one, newKey(t)).Raw, issuing.sign(t, reversed, newKey(t)).Raw)
	if err != nil || len(got) != 0 {
		t.Errorf("usages in another order: %v, %v", got, err)
	}
	for _, damaged := range [][]byte{nil, before.Raw[:100], []byte("x")} {
		if _, err := Differences(before.Raw, damaged); err == nil {
			t.Errorf("%d bytes are compared", len(damaged))
		}
		if _, err := Differences(damaged, before.Raw); err == nil {
			t.Errorf("%d bytes are compared", len(damaged))
		}
	}
}
