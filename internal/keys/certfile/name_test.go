package certfile

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"maps"
	"math/big"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// printed returns the subject of a certificate as OpenSSL prints it.
func printed(t *testing.T, der []byte) string {
	t.Helper()
	cmd := exec.Command("openssl", "x509", "-inform", "DER", "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb")
	cmd.Stdin = bytes.NewReader(der)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(out), "subject="), "\n")
}

func oid(t interface{ Fatal(...any) }, dotted string) (id asn1.ObjectIdentifier) {
	for part := range strings.SplitSeq(dotted, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			t.Fatal(err)
		}
		id = append(id, n)
	}
	return id
}

// drawnValue draws a value of one of the types that OpenSSL allows in names.
func drawnValue(r *rapid.T) asn1.RawValue {
	const universal = 28
	text := rapid.SampledFrom([]string{"acme", "Müller & Söhne", ` a,b+c="d"<e>\;f `, "#1", "tab\tdel\x7f", "株式会社", "🏢",
		" ",
		"", "a=b", `\C3`}).Draw(r, "text")
	kind := rapid.SampledFrom([]int{asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagT61String,
		asn1.TagBMPString, universal}).Draw(r, "kind")
	var value []byte
	switch kind {
	case asn1.TagBMPString:
		for _, c := range text {
			if c < 0x10000 {
				value = append(value, byte(c>>8), byte(c))
			}
		}
	case universal:
		for _, c := range text {
			value = append(value, byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
		}
	default:
		value = []byte(text)
	}
	return asn1.RawValue{Class: asn1.ClassUniversal, Tag: kind, Bytes: value}
}

func TestNamesAreWrittenAsOpenSSLWritesThem(t *testing.T) {
	types := append(slices.Sorted(maps.Keys(attributeNames)), "1.2.3.4", "2.5.4.999")
	key := newKey(t)
	checked := 0
	compare := func(t *testing.T, rdns []relativeSET) {
		t.Helper()
		raw, err := asn1.Marshal(rdns)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), RawSubject: raw}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		checked++
		if got, want := Name(raw), printed(t, der); got != want {
			t.Fatalf("%x:\n%s\nwant\n%s", raw, got, want)
		}
	}
	for _, each := range types { // every short name
		compare(t, []relativeSET{{{oid(t, each), asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte("x")}}}})
	}
	rapid.Check(t, func(r *rapid.T) {
		var rdns []relativeSET
		for range rapid.IntRange(1, 4).Draw(r, "relative names") {
			var set relativeSET
			for range rapid.IntRange(1, 2).Draw(r, "attributes") {
				set = append(set, attribute{oid(r, rapid.SampledFrom(types).Draw(r, "type")), drawnValue(r)})
			}
			rdns = append(rdns, set)
		}
		compare(t, rdns)
	})
	floor := 100
	if testing.Short() { // rapid draws a fifth
		floor = 20
	}
	if checked < floor {
		t.Errorf("%d names were compared", checked)
	}
}

func TestANameThatCannotBeReadIsWrittenInHexadecimal(t *testing.T) {
	for _, raw := range [][]byte{{0x30}, {1, 2, 3}, {}} {
		if got := Name(raw); !strings.HasPrefix(got, "#") {
			t.Errorf("%x: %q", raw, got)
		}
	}
}
