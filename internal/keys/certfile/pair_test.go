package certfile

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"software.sslmate.com/src/go-pkcs12"
)

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// utf16Text encodes text with a byte order mark.
func utf16Text(text string, order binary.AppendByteOrder) (out []byte) {
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		out = order.AppendUint16(out, unit)
	}
	return out
}

func TestFilesAreReadAsAdministratorsHaveThem(t *testing.T) {
	_, leaf := certificate(t, "acme", false)
	text := string(inPEM("CERTIFICATE", leaf.Raw))
	oneLine := strings.ReplaceAll(strings.TrimSpace(text), "\n", " ")
	for name, data := range map[string][]byte{
		"UTF-8 with a byte order mark": []byte("\ufeff" + text),
		"UTF-16, little-endian":        utf16Text(text, binary.LittleEndian),
		"UTF-16, big-endian":           utf16Text(text, binary.BigEndian),
		"UTF-16 without a mark":        utf16Text(text, binary.LittleEndian)[2:],
		"UTF-16BE without a mark":      utf16Text(text, binary.BigEndian)[2:],
		"indented":                     []byte("cert: |\n    " + strings.ReplaceAll(text, "\n", "\n    ")),
		"one line":                     []byte(oneLine),
		"one line without blanks":      []byte(strings.ReplaceAll(strings.TrimSpace(text), "\n", "")),
		`literal \n`:                   []byte(`"` + strings.ReplaceAll(text, "\n", `\n`) + `"`),
		"bare base64":                  []byte(base64.StdEncoding.EncodeToString(leaf.Raw) + "\n"),
		"DER with a line break":        append(bytes.Clone(leaf.Raw), '\r', '\n'),
		"TRUSTED CERTIFICATE":          inPEM("TRUSTED CERTIFICATE", append(bytes.Clone(leaf.Raw), 0x30, 2, 0x30, 0)),
	} {
		if certs, err := Parse(data, ""); err != nil || len(certs) != 1 || !bytes.Equal(certs[0].Raw, leaf.Raw) {
			t.Errorf("%s: %d certificates, %v", name, len(certs), err)
		}
	}
}

func TestOneDamagedCertificateDoesNotHideTheOthers(t *testing.T) {
	_, a := certificate(t, "acme", false)
	_, b := certificate(t, "globex", false)
	cut := inPEM("CERTIFICATE", a.Raw)
	for name, bad := range map[string][]byte{
		"malformed":           inPEM("CERTIFICATE", a.Raw[:50]),
		"not base64":          []byte("-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n"),
		"without an END line": cut[:len(cut)/2],
	} {
		certs, err := Parse(bytes.Join([][]byte{inPEM("CERTIFICATE", a.Raw), bad, inPEM("CERTIFICATE", b.Raw)},
			[]byte("\n")), "")
		var damaged *DamagedError
		if len(certs) != 2 || !errors.As(err, &damaged) || len(damaged.Parts) != 1 ||
			!strings.Contains(err.Error(), " 2") {
			t.Errorf("%s: %d certificates, %v", name, len(certs), err)
		}
	}
}

func TestOldCertificatesAreReadAndKeepTheirBytes(t *testing.T) {
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(77), NotAfter: time.Unix(1e9, 0), Subject: pkix.Name{
		CommonName: "acme-42.example.com"}}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	der = bytes.Replace(der, []byte{2, 1, 77}, []byte{2, 1, 256 - 77}, 1) // a negative serial number
	for _, name := range []string{"acme_42.example.com", "acme@42.example.com"} {
		old := bytes.ReplaceAll(der, []byte("acme-42.example.com"), []byte(name))
		if _, err := x509.ParseCertificate(old); err == nil {
			t.Fatal("the certificate needs no leniency")
		}
		c, err := ParseCertificate(old)
		if err != nil || c.Subject.CommonName != name || c.SerialNumber.Int64() != -77 || !bytes.Equal(c.Raw, old) ||
			!bytes.Contains(old, c.RawSubject) || !bytes.Contains(old, c.RawIssuer) ||
			!bytes.Contains(old, c.RawTBSCertificate) || c.RawSubject[len(c.RawSubject)-len(name)-2] != 0x13 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseCertificate(der[:40]); err == nil {
		t.Error("a certificate that is cut off is read")
	}
}

func TestPKCS12WithOldCertificatesIsReadLikePEM(t *testing.T) {
	var none *authority
	root := none.ca(t, "root")
	key := newKey(t)
	public := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	old := func(c *x509.Certificate) *x509.Certificate { // the signature no longer fits, which is not checked
		t.Helper()
		der := bytes.ReplaceAll(c.Raw, []byte("x-y.example.com"), []byte("x_y.example.com"))
		if _, err := x509.ParseCertificate(der); err == nil {
			t.Fatal("the certificate needs no leniency")
		}
		return must(ParseCertificate(der))
	}
	leaf := old(root.sign(t, x509.Certificate{Subject: pkix.Name{CommonName: "x-y.example.com"}}, key))
	odd := old(root.sign(t, x509.Certificate{Subject: pkix.Name{CommonName: "x-y.example.com"}, IsCA: true,
		BasicConstraintsValid: true}, newKey(t)))
	keyPEM := inPEM("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
	pem12 := append(append(keyPEM, inPEM("CERTIFICATE", leaf.Raw)...), inPEM("CERTIFICATE", odd.Raw)...)
	for name, data := range map[string][]byte{
		"modern":          must(pkcs12.Modern.WithIterations(1).Encode(key, leaf, []*x509.Certificate{odd}, "secret")),
		"legacy":          must(pkcs12.LegacyDES.WithIterations(1).Encode(key, leaf, []*x509.Certificate{odd}, "secret")),
		"made by OpenSSL": openssl(t, pem12, "pkcs12", "-export", "-name", "acme", "-passout", "pass:secret"),
	} {
		p, err := ReadPair(data, "secret", time.Unix(1e8, 0))
		if err != nil || !bytes.Equal(p.Leaf.Raw, leaf.Raw) || !public.Equal(p.Key.Public()) || len(p.Damaged) != 0 {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if certs, err := Parse(data, "secret"); err != nil || len(certs) != 1 || !bytes.Equal(certs[0].Raw, leaf.Raw) {
			t.Errorf("%s, certificates only: %d, %v", name, len(certs), err)
		}
		if _, err := ReadPair(data, "wrong", time.Unix(1e8, 0)); !errors.Is(err, ErrPassword) {
			t.Errorf("%s with a wrong password: %v", name, err)
		}
	}
	broken := &x509.Certificate{Raw: leaf.Raw[:60]}
	p, err := ReadPair(must(pkcs12.Modern.WithIterations(1).Encode(key, leaf, []*x509.Certificate{broken}, "secret")),
		"secret", time.Unix(1e8, 0))
	if err != nil || p.Leaf == nil || len(p.Damaged) != 1 {
		t.Errorf("a damaged certificate beside it: %+v, %v", p, err)
	}
}

func TestAPairHasItsWholeChainInAnyOrder(t *testing.T) {
	var none *authority
	root, other := none.ca(t, "root"), none.ca(t, "other root")
	upper := root.ca(t, "upper")
	lower := upper.ca(t, "lower")
	key := newKey(t)
	leaf := lower.sign(t, x509.Certificate{Subject: pkix.Name{CommonName: "acme"}}, key)
	cross := other.sign(t, x509.Certificate{Subject: pkix.Name{CommonName: "upper"}, IsCA: true,
		BasicConstraintsValid: true}, upper.key)
	keyPEM := inPEM("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
	now := time.Unix(1e8, 0)
	file := func(certs ...*x509.Certificate) (out []byte) {
		for _, c := range certs {
			out = append(out, inPEM("CERTIFICATE", c.Raw)...)
		}
		return append(out, keyPEM...)
	}
	for name, c := range map[string]struct {
		file []byte
		want []*x509.Certificate
	}{
		"the leaf first": {file(leaf, lower.cert, upper.cert, root.cert), []*x509.Certificate{lower.cert, upper.cert}},
		"the leaf last":  {file(root.cert, upper.cert, lower.cert, leaf), []*x509.Certificate{lower.cert, upper.cert}},
		"a certificate of another": {file(other.cert, upper.cert, leaf, lower.cert), []*x509.Certificate{lower.cert,
			upper.cert}},
		"a gap": {file(leaf, upper.cert), nil},
		"a cross-certificate": {file(leaf, lower.cert, upper.cert, cross), []*x509.Certificate{lower.cert, upper.cert,
			cross}},
	} {
		p, err := ReadPair(c.file, "", now)
		if err != nil || !p.Leaf.Equal(leaf) || len(p.Chain) != len(c.want) {
			t.Errorf("%s: a chain of %d, %v", name, len(p.Chain), err)
			continue
		}
		for i := range c.want {
			if !bytes.Equal(p.Chain[i], c.want[i].Raw) {
				t.Errorf("%s: certificate %d of the chain is a wrong one", name, i)
			}
		}
	}
	if p, err := ReadPair(file(leaf, lower.cert), "", time.Unix(2e9, 0)); err != nil || len(p.Chain) != 0 {
		t.Errorf("an expired authority is sent: %d, %v", len(p.Chain), err)
	}
	for want, data := range map[string][]byte{
		"does not belong to the certificate": file(root.cert),
		"holds no private key":               inPEM("CERTIFICATE", leaf.Raw),
		"holds no certificate":               keyPEM,
		"keytool -importkeystore":            {0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2},
	} {
		if _, err := ReadPair(data, "", now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	p12 := must(pkcs12.Modern.WithIterations(1).Encode(key, leaf, []*x509.Certificate{upper.cert, lower.cert}, "secret"))
	if p, err := ReadPair(p12, "secret", now); err != nil || len(p.Chain) != 2 ||
		!bytes.Equal(p.Chain[0], lower.cert.Raw) {
		t.Errorf("PKCS#12: a chain of %d, %v", len(p.Chain), err)
	}
	if _, err := ReadPair(p12, "wrong", now); !errors.Is(err, ErrPassword) {
		t.Errorf("PKCS#12 with a wrong password: %v", err)
	}
}

// openssl runs the real program.
func openssl(t *testing.T, in []byte, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	c := exec.Command("openssl", args...)
	c.Stdin = bytes.NewReader(in)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("openssl %v: %v", args, err)
	}
	return out
}

func TestEncryptedKeysOfOpenSSLAreOpenedWithTheirPassword(t *testing.T) {
	key, leaf := certificate(t, "acme", false)
	plainKey := inPEM("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
	for name, args := range map[string][]string{
		"default":        {"pkcs8", "-topk8"},
		"AES-128, SHA-1": {"pkcs8", "-topk8", "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"},
		"3DES, SHA-512":  {"pkcs8", "-topk8", "-v2", "des3", "-v2prf", "hmacWithSHA512"},
		"DEK-Info":       {"ec", "-aes256"},
	} {
		data := append(inPEM("CERTIFICATE", leaf.Raw), openssl(t, plainKey, append(args, "-passout", "pass:secret")...)...)
		if p, err := ReadPair(data, "secret", leaf.NotBefore); err != nil || !key.Equal(p.Key) {
			t.Errorf("%s: %v", name, err)
		}
		for password, want := range map[string]string{"wrong": "cannot be opened with that password",
			"": "the private key is encrypted: state the password"} {
			if _, err := ReadPair(data, password, leaf.NotBefore); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, password %q: %v", name, password, err)
			}
		}
		if certs, err := Parse(data, ""); err != nil || len(certs) != 1 {
			t.Errorf("%s: the certificate beside the key: %v", name, err)
		}
	}
	pem12 := append(bytes.Clone(plainKey), inPEM("CERTIFICATE", leaf.Raw)...)
	noMAC := openssl(t, pem12, "pkcs12", "-export", "-nomac", "-passout", "pass:secret")
	if _, err := ReadPair(noMAC, "secret", leaf.NotBefore); err == nil || !strings.Contains(err.Error(), "has no MAC") {
		t.Errorf("PKCS#12 without a MAC: %v", err)
	}
}

// Only the padding shows a wrong password in this old form, and some wrong passwords leave a valid padding.
func TestEveryWrongPasswordOfAnOldKeyFileIsReported(t *testing.T) {
	key, leaf := certificate(t, "acme", false)
	plainKey := inPEM("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
	data := append(inPEM("CERTIFICATE", leaf.Raw), openssl(t, plainKey, "ec", "-aes256", "-passout", "pass:secret")...)
	for i := range 2000 {
		if _, err := ReadPair(data, fmt.Sprint(i), leaf.NotBefore); err == nil ||
			!strings.Contains(err.Error(), "cannot be opened with that password") {
			t.Fatalf("password %d: %v", i, err)
		}
	}
}

func FuzzReadPair(f *testing.F) {
	key, leaf := certificate(f, "acme", false)
	f.Add(append(inPEM("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key))), inPEM("CERTIFICATE", leaf.Raw)...))
	f.Add([]byte("\xff\xfe-\x00"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----MA==-----END CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ReadPair(data, "", leaf.NotBefore)
		if (err == nil) != (p.Leaf != nil && p.Key != nil) {
			t.Fatalf("%v and a pair of %v", err, p.Leaf)
		}
		if certs, err := Parse(data, ""); err == nil && len(certs) == 0 {
			t.Fatal("neither a certificate nor an error")
		}
	})
}
