package certfile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestANameIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"CN=acme":                        "CN=acme",
		"cn=acme, ou=Payments,O=Bank":    "CN=acme,OU=Payments,O=Bank",
		"CN=a\\,b\\+c,O=\\#1,C=SE":       "CN=a\\,b\\+c,O=\\#1,C=SE",
		"CN=\\20acme\\ ,O=x":             "CN=\\ acme\\ ,O=x",
		"CN=Müller \\C3\\96l,DC=example": "CN=Müller Öl,DC=example",
		"OU=a+CN=b,O=c":                  "OU=a+CN=b,O=c",
		"CN=b+OU=a,O=c":                  "OU=a+CN=b,O=c",
		"serialNumber=556677-8899,organizationIdentifier=NTRSE-1": "serialNumber=556677-8899," +
			"organizationIdentifier=NTRSE-1",
		"CN=a=b": "CN=a\\=b",
	} {
		der, err := ParseName(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := Name(der); strings.ReplaceAll(got, "\\=", "=") != strings.ReplaceAll(want, "\\=", "=") {
			t.Errorf("%q is read as %q, want %q", text, got, want)
		}
	}
}

func TestTextThatIsNotANameIsRefusedWithTheReason(t *testing.T) {
	for text, want := range map[string]string{
		"acme": "must be a name like", "CN=": "empty CN", "CN=a,": "must be a name like",
		"CN=a,,O=b": `",O", which is not known`,
		"=a":        "not known", "XY=a": `"XY", which is not known`, "C=Sweden": "two letters", "C=Ü1": "two letters",
		"DC=exämple": "ASCII", "CN=a\x00b": "cannot be printed", "CN=a\\00b": "cannot be printed",
		"CN=\xff": "cannot be printed", "CN=a;b": "must be a name like", "CN=a\\": "must be a name like",
		"CN=a\\zz": "must be a name like", `CN="a"`: "must be a name like", "CN=#0401": "must be a name like",
		"CN=" + strings.Repeat("x", 1000): "longer than 1000 bytes",
	} {
		if der, err := ParseName(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %x, %v, want %q", text, der, err, want)
		}
	}
}

func TestAlternativeNamesAreReadAsTheyAreWritten(t *testing.T) {
	const text = "DNS:a.example.com, URI:https://a.example.com/b, email:a@example.com, DNS:*.example.com"
	for _, given := range []string{text, strings.ReplaceAll(text, ", ", ",")} {
		san, err := ParseSAN(given)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := (Names{SAN: san, Subject: []byte{0x30, 0}}).Text(); got != text {
			t.Errorf("read as %q", got)
		}
	}
	if san, err := ParseSAN(""); san != nil || err != nil {
		t.Errorf("%x, %v", san, err)
	}
	for _, wrong := range []string{"a.example.com", "DNS:", "DNS:a b", "DNS:exämple.com", "URI:/path", "URI:a b:c",
		"IP:1.2.3.4",
		"email:a", "email:A <a@example.com>", "DNS:a,", "DNS:" + strings.Repeat("a.", 600)} {
		if san, err := ParseSAN(wrong); err == nil {
			t.Errorf("%q is read as %x", wrong, san)
		}
	}
}

// A certificate with such a name is read by OpenSSL, which writes the same text.
func TestOpenSSLReadsWrittenNames(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	const text = "CN=a\\,b,OU=Müller\\+Söhne,serialNumber=4711,C=SE"
	subject, err := ParseName(text)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		RawSubject:   subject,
		Subject:      pkix.Name{CommonName: "ignored"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "c.der")
	if err := os.WriteFile(file, der, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), openssl, "x509", "-inform", "DER", "-in", file, "-noout", "-subject",
		"-nameopt", "RFC2253,-esc_msb").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "subject="+text) {
		t.Errorf("%s, %v", out, err)
	}
}

func FuzzParseName(f *testing.F) {
	f.Add("CN=acme,OU=a+CN=b,C=SE", "DNS:a.example.com, URI:urn:a")
	f.Add("CN=\\20\\#\\C3\\96", "email:a@example.com")
	f.Fuzz(func(t *testing.T, name, san string) {
		if der, err := ParseName(name); err == nil {
			again, err := ParseName(Name(der))
			if err != nil || string(again) != string(der) {
				t.Errorf("%q is written as %q, which is read differently: %v", name, Name(der), err)
			}
		}
		if der, err := ParseSAN(san); err == nil && der != nil {
			n := Names{Subject: []byte{0x30, 0}, SAN: der}
			if _, text := n.Text(); text == "unreadable" {
				t.Errorf("%q cannot be read", san)
			}
		}
	})
}
