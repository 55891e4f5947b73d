package testenv

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A Mailpit is a running mail server that keeps its mails.
type Mailpit struct {
	URL   string      // for --smtp: STARTTLS and a password are required
	Roots *tls.Config // trusts its certificate
	CA    string      // file with the certificate (PEM)
	api   string
	t     testing.TB
}

// A Received is a mail that a Mailpit has received.
type Received struct {
	ID          string
	MessageID   string
	Subject     string
	To          []struct{ Name, Address string }
	Text        string
	HTML        string
	Attachments []struct{ PartID, FileName, ContentType string }
	Raw         string
}

// StartMailpit starts a mail server that ends with the test.
func StartMailpit(t testing.TB) *Mailpit {
	t.Helper()
	NeedsServers(t)
	dir := t.TempDir()
	roots := writeServerCertificate(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "auth"), []byte("perennial:s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	smtp, web := Port(t), Port(t)
	cmd := exec.Command(Tool(t, "mailpit"), "--disable-version-check", "--quiet", "--database",
		filepath.Join(dir, "mailpit.db"),
		"--smtp", fmt.Sprintf("127.0.0.1:%d", smtp), "--listen", fmt.Sprintf("127.0.0.1:%d", web),
		"--smtp-tls-cert", filepath.Join(dir, "cert.pem"), "--smtp-tls-key", filepath.Join(dir, "key.pem"),
		"--smtp-require-starttls", "--smtp-auth-file", filepath.Join(dir, "auth"))
	Start(t, cmd)
	m := &Mailpit{
		URL:   fmt.Sprintf("smtp://perennial:s3cret@127.0.0.1:%d", smtp),
		Roots: &tls.Config{RootCAs: roots},
		CA:    filepath.Join(dir, "cert.pem"),
		api:   fmt.Sprintf("http://127.0.0.1:%d/api/v1", web),
		t:     t,
	}
	Eventually(t, func() bool { _, err := http.Get(m.api + "/info"); return err == nil })
	return m
}

// Eventually polls until yes returns true, and fails the test after five minutes, which a busy machine may need.
func Eventually(t testing.TB, yes func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-ctx.Done():
			t.Fatal("the condition does not hold after five minutes")
		case <-tick.C:
		}
	}
}

// Messages returns the mails received so far, the latest first.
func (m *Mailpit) Messages() []Received {
	m.t.Helper()
	var list struct{ Messages []struct{ ID string } }
	m.get("/messages?limit=1000", &list)
	all := make([]Received, len(list.Messages))
	for i, v := range list.Messages {
		m.get("/message/"+v.ID, &all[i])
		all[i].Raw = m.text("/message/" + v.ID + "/raw")
	}
	return all
}

// Attachment returns the content of an attachment.
func (m *Mailpit) Attachment(r Received, name string) string {
	m.t.Helper()
	for _, a := range r.Attachments {
		if a.FileName == name {
			return m.text("/message/" + r.ID + "/part/" + a.PartID)
		}
	}
	m.t.Fatalf("no attachment %s among %v", name, r.Attachments)
	return ""
}

func (m *Mailpit) get(path string, v any) {
	m.t.Helper()
	if err := json.Unmarshal([]byte(m.text(path)), v); err != nil {
		m.t.Fatal(err)
	}
}

func (m *Mailpit) text(path string) string {
	m.t.Helper()
	res, err := http.Get(m.api + path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		m.t.Fatalf("%s: %s, %v", path, res.Status, err)
	}
	return string(data)
}

func writeServerCertificate(t testing.TB, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der},
		"key.pem": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}
