package certfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/smallstep/pkcs7"
	"software.sslmate.com/src/go-pkcs12"
)

func certificate(t testing.TB, name string, ca bool) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x0a0b), Subject: pkix.Name{CommonName: name}, IsCA: ca, BasicConstraintsValid: true,
		NotBefore: time.Date(2026, 1, 15, 6, 0, 0, 0, time.UTC), NotAfter: time.Date(2027, 1, 15, 6, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, c
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestEveryFormatOfACertificateIsRead(t *testing.T) {
	key, leaf := certificate(t, "acme", false)
	_, ca := certificate(t, "ca", true)
	block := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	keyDER := must(x509.MarshalPKCS8PrivateKey(key))
	degenerate := must(pkcs7.DegenerateCertificate(append(bytes.Clone(leaf.Raw), ca.Raw...)))
	for name, data := range map[string][]byte{
		"PEM":                   block("CERTIFICATE", leaf.Raw),
		"PEM with its chain":    append(block("CERTIFICATE", leaf.Raw), block("CERTIFICATE", ca.Raw)...),
		"PEM after its key":     append(block("PRIVATE KEY", keyDER), block("CERTIFICATE", leaf.Raw)...),
		"PEM with text":         append([]byte("subject=CN=acme\n"), block("CERTIFICATE", leaf.Raw)...),
		"PEM with CR LF":        bytes.ReplaceAll(block("CERTIFICATE", leaf.Raw), []byte("\n"), []byte("\r\n")),
		"DER":                   leaf.Raw,
		"PKCS#7":                degenerate,
		"PKCS#7 in PEM":         block("PKCS7", degenerate),
		"PKCS#12":               must(pkcs12.Modern.Encode(key, leaf, []*x509.Certificate{ca}, "secret")),
		"PKCS#12, old ciphers":  must(pkcs12.LegacyDES.Encode(key, leaf, nil, "secret")),
		"PKCS#12 without a key": must(pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{leaf}, "secret")),
	} {
		certs, err := Parse(data, "secret")
		if err != nil || len(certs) != 1 || !certs[0].Equal(leaf) {
			t.Errorf("%s: %d certificates, %v", name, len(certs), err)
		}
	}
	if certs, err := Parse(ca.Raw, ""); err != nil || len(certs) != 1 {
		t.Errorf("a CA's certificate alone: %v", err)
	}
	if Serial(leaf) != "0a0b" || len(Fingerprint(leaf.Raw)) != 64 {
		t.Error(Serial(leaf), Fingerprint(leaf.Raw))
	}
}

func TestAFileWithoutACertificateIsAnErrorAboutItsContent(t *testing.T) {
	key, leaf := certificate(t, "acme", false)
	whole := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "the file is empty"},
		{"text", []byte("hello"), "not a certificate: use PEM"},
		{"cut off", whole[:len(whole)/2], "is the file cut off?"},
		{"only a key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))}),
			"a private key but no certificate"},
		{"a request", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte{0x30, 0}}),
			`contains "CERTIFICATE REQUEST"`},
		{"PKCS#7 without certificates", must(pkcs7.DegenerateCertificate(nil)), "the file contains no certificate"},
		{"broken PKCS#7", pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: []byte{0x30, 0}}), "malformed PKCS#7"},
		{"broken inside", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw[:50]}),
			"certificate 1 is malformed"},
		{"other ASN.1", []byte{0x30, 3, 2, 1, 1}, "neither a DER certificate nor PKCS#7 nor PKCS#12"},
		{"too large", bytes.Repeat([]byte("x"), MaxSize+1), "the file is larger than 4 MiB"},
	} {
		_, err := Read(bytes.NewReader(c.data), "")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "MIG") {
			t.Errorf("%s: the error shows key material: %v", c.name, err)
		}
	}
	if _, err := Parse(must(pkcs12.Modern.Encode(key, leaf, nil, "secret")), "wrong"); !errors.Is(err, ErrPassword) {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := Read(bytes.NewReader(bytes.Repeat([]byte("x"), MaxSize)), ""); err == nil ||
		strings.Contains(err.Error(), "larger") {
		t.Errorf("a file of the maximum size: %v", err)
	}
	broken := iotest.ErrReader(io.ErrUnexpectedEOF)
	if certs, err := Read(broken, ""); !errors.Is(err, io.ErrUnexpectedEOF) || certs != nil {
		t.Errorf("a broken reader: %v", err)
	}
}

// readRoots reads a file with the content.
func readRoots(t *testing.T, content []byte) (*x509.CertPool, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return ReadRoots(path)
}

func TestRootsAreReadFromAFileOrTakenFromTheSystem(t *testing.T) {
	_, ca := certificate(t, "ca", true)
	pool, err := readRoots(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}))
	if err != nil {
		t.Fatal(err)
	}
	want := x509.NewCertPool()
	want.AddCert(ca)
	if !pool.Equal(want) {
		t.Error("the pool differs from the file")
	}
	if pool, err := ReadRoots(""); pool != nil || err != nil {
		t.Errorf("without a file: %v, %v", pool, err)
	}
	if _, err := ReadRoots(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if pool, err := readRoots(t, ca.Raw); pool != nil || err == nil ||
		!strings.Contains(err.Error(), "contains no PEM certificate") {
		t.Errorf("DER: %v", err)
	}
}

func TestFingerprintsAreHexadecimal(t *testing.T) {
	if got := SHA1([]byte("abc")); got != "a9993e364706816aba3e25717850c26c9cd0d89d" { // FIPS 180-4
		t.Errorf("the SHA-1 of abc is %s", got)
	}
	if got := Fingerprint([]byte("abc")); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("the SHA-256 of abc is %s", got)
	}
}

func FuzzParse(f *testing.F) {
	key, leaf := certificate(f, "acme", false)
	f.Add(leaf.Raw)
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}))
	f.Add(must(pkcs7.DegenerateCertificate(leaf.Raw)))
	f.Add(must(pkcs12.Modern.WithIterations(1).Encode(key, leaf, nil, "")))
	f.Fuzz(func(t *testing.T, data []byte) {
		certs, err := Parse(data, "")
		var damaged *DamagedError
		if (err == nil || errors.As(err, &damaged)) != (len(certs) > 0) {
			t.Fatalf("%d certificates and %v", len(certs), err)
		}
	})
}

func TestAFingerprintIsGroupedForPeople(t *testing.T) {
	for fingerprint, want := range map[string]string{"": "", "0a1b": "0a1b", "0a1b2c3d4e": "0a1b 2c3d 4e"} {
		if got := InGroups(fingerprint); got != want {
			t.Errorf("%q: %q", fingerprint, got)
		}
	}
}
