package api

import (
	"bytes"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
)

// verifies runs OpenSSL's verification in a folder, at the fixture's time.
func (f *fixture) verifies(dir string, args ...string) (string, error) {
	f.t.Helper()
	args = append([]string{"verify", "-x509_strict", "-purpose", "sslclient", "-attime",
		strconv.FormatInt(f.now.Unix(), 10)}, args...)
	cmd := exec.CommandContext(f.t.Context(), "openssl", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The administrator of a receiver has the page of a link and nothing else. Its downloads must be all that a program
// needs to verify the certificate.
func TestTheDownloadedChainVerifiesTheCertificateWithOpenSSL(t *testing.T) {
	f := setUp(t)
	f.now = f.now.AddDate(0, 1, 0)
	_, err := f.engine.Run(t.Context(), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), f.now)
	check(t, err)
	const at = "/tenants/acme/arrangements/crm-to-erp/rollover/links"
	link := f.ok("operator", "POST", at, 201, `{}`)["url"].(string)
	page := link[strings.Index(link, "/rollover/"):]
	dir := t.TempDir()
	download := func(format string) []byte {
		t.Helper()
		a := f.call("", "GET", page+"/certificate?format="+format, "")
		if a.status != 200 {
			t.Fatalf("%s: %d %s", format, a.status, a.raw)
		}
		check(t, os.WriteFile(filepath.Join(dir, format), []byte(a.raw), 0o600))
		return []byte(a.raw)
	}
	download("pem")
	download("chain")
	if out, err := f.verifies(dir, "-CAfile", "chain", "pem"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	p7, err := pkcs7.Parse(download("pkcs7"))
	check(t, err)
	var above bytes.Buffer
	for _, c := range p7.Certificates[1:] {
		check(t, pem.Encode(&above, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	check(t, os.WriteFile(filepath.Join(dir, "above"), above.Bytes(), 0o600))
	if out, err := f.verifies(dir, "-CAfile", "above", "pem"); err != nil {
		t.Errorf("PKCS#7: %v\n%s", err, out)
	}
}
