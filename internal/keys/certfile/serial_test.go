package certfile

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// withSerial returns a certificate whose serial number has these bytes in DER, which crypto/x509 does not write if the
// number is negative or 0.
func withSerial(t *testing.T, content []byte) *x509.Certificate {
	t.Helper()
	key := newKey(t)
	placeholder := append([]byte{0x40}, bytes.Repeat([]byte{0x5a}, len(content)-1)...)
	template := &x509.Certificate{SerialNumber: new(big.Int).SetBytes(placeholder), NotAfter: time.Unix(1e9, 0)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	integer := func(content []byte) []byte { return append([]byte{2, byte(len(content))}, content...) }
	return must(ParseCertificate(bytes.Replace(der, integer(placeholder), integer(content), 1)))
}

func TestSerialNumbersAreWrittenAsOtherProgramsWriteThem(t *testing.T) {
	for content, want := range map[string]Serials{
		"00":   {"00", "0", "00", "00"},
		"4d":   {"4d", "77", "4D", "4D"},
		"0a0b": {"0a0b", "2571", "0A0B", "0A0B"},
		"b3":   {"-4d", "-77", "-4D", "B3"},
		"80":   {"-80", "-128", "-80", "80"},
		"ff7f": {"-81", "-129", "-81", "FF7F"},
		"ff":   {"-01", "-1", "-01", "FF"},
		"0080": {"80", "128", "80", "0080"},
		"00c9f97f52c320766d6df0d55dd229559e": {"c9f97f52c320766d6df0d55dd229559e",
			"268470291493661074264240942204720862622", "C9F97F52C320766D6DF0D55DD229559E",
			"00C9F97F52C320766D6DF0D55DD229559E"},
	} {
		c := withSerial(t, must(hex.DecodeString(content)))
		if got := SerialsOf(c.SerialNumber); got != want || Serial(c) != want.Hex {
			t.Errorf("%s: %+v, want %+v", content, got, want)
		}
		if want.DotNET != strings.ToUpper(content) {
			t.Errorf("%s: .NET shows the bytes of the DER integer, and the test expects %s", content, want.DotNET)
		}
		printed := openssl(t, inPEM("CERTIFICATE", c.Raw), "x509", "-noout", "-serial")
		if got := strings.TrimSpace(string(printed)); got != "serial="+want.OpenSSL {
			t.Errorf("%s: OpenSSL prints %s, want %s", content, got, want.OpenSSL)
		}
		if back, ok := new(big.Int).SetString(want.Hex, 16); !ok || back.Cmp(c.SerialNumber) != 0 {
			t.Errorf("%s: %s is read as %v", content, want.Hex, back)
		}
	}
}

func TestTheBytesOfASerialNumberAreThoseOfItsDERInteger(t *testing.T) {
	for n := int64(-70000); n <= 70000; n += 7 {
		var raw asn1.RawValue
		if _, err := asn1.Unmarshal(must(asn1.Marshal(big.NewInt(n))), &raw); err != nil {
			t.Fatal(err)
		}
		if got := integerBytes(big.NewInt(n)); !bytes.Equal(got, raw.Bytes) {
			t.Fatalf("%d: %x, want %x", n, got, raw.Bytes)
		}
	}
}

func TestASerialNumberIsFoundInEachNotation(t *testing.T) {
	for _, decimal := range []string{"268470291493661074264240942204720862622", "-268470291493661074264240942204720862622",
		"4660046610375530309", "-4660046610375530309", "2147483648", "-2147483648", "305419896"} {
		n, ok := new(big.Int).SetString(decimal, 10)
		if !ok {
			t.Fatal(decimal)
		}
		all := SerialsOf(n)
		for _, text := range []string{all.Hex, all.Decimal, all.OpenSSL, all.DotNET, colons(all.Hex)} {
			if !slices.Contains(ParseSerial(text), all.Hex) {
				t.Errorf("%s, written as %s, is read as %q", all.Hex, text, ParseSerial(text))
			}
		}
	}
	for _, text := range []string{"", "-", "2026", "0a0b", "certificate.issued", "+1234567890", "0x1234567890",
		"12_345_678"} {
		if got := ParseSerial(text); len(got) > 0 {
			t.Errorf("%q is read as %q", text, got)
		}
	}
}

// colons writes a hexadecimal number as "openssl x509 -text" does.
func colons(digits string) string {
	digits, negative := strings.CutPrefix(digits, "-")
	var pairs []string
	for i := 0; i < len(digits); i += 2 {
		pairs = append(pairs, digits[i:i+2])
	}
	if negative {
		return "-" + strings.Join(pairs, ":")
	}
	return strings.Join(pairs, ":")
}
