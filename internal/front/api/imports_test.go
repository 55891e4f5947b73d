package api

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// foreign returns a file with a certificate of another CA and its key, in base64.
func foreign(t *testing.T, name string, from time.Time) string {
	t.Helper()
	key, err := keyring.Generate(tenancy.P256)
	check(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotBefore: from,
		NotAfter: from.AddDate(1, 0, 0)}
	above := &x509.Certificate{Subject: pkix.Name{CommonName: "Old CA"}}
	der, err := x509.CreateCertificate(rand.Reader, c, above, key.Public(), key)
	check(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	data := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	return base64.StdEncoding.EncodeToString(data)
}

func TestAnImportThatChangesWhatReceiversCheckIsAppliedOnlyIfThatIsAccepted(t *testing.T) {
	f := setUp(t)
	made := f.ok("operator", "POST", "/imports", 201, fmt.Sprintf(
		`{"tenants":"name\nhooli\ninitech\nvandelay\n","certificates":[{"name":"hooli.pem","data":%q}]}`,
		foreign(t, "my300001", f.now.AddDate(0, -1, 0))))
	path := "/imports/" + made["id"].(string)
	if made["changing"] != 1.0 {
		t.Errorf("%v certificates change", made["changing"])
	}
	first := f.ok("operator", "GET", path+"/plan?limit=2", 200, "")
	rest := f.ok("operator", "GET", fmt.Sprint(path, "/plan?limit=2&cursor=", first["next"]), 200, "")
	if a, b := fmt.Sprint(first["items"]), fmt.Sprint(rest["items"]); !strings.Contains(a, "hooli.pem") ||
		!strings.Contains(a, "CN=Old CA") || !strings.Contains(a, "initech") || strings.Contains(a, "vandelay") ||
		!strings.Contains(b, "vandelay") || strings.Contains(b, "hooli") || rest["next"] != nil {
		t.Errorf("the pages of the plan are %s and %s", a, b)
	}
	for _, body := range []string{"", "{}", `{"accept_changes":false}`} {
		if a := f.call("operator", "POST", path+"/apply", body); a.status != 409 ||
			!strings.Contains(a.raw, "accept_changes") {
			t.Errorf("body %q: %d %s", body, a.status, a.raw)
		}
	}
	plain := f.ok("operator", "POST", "/imports", 201, `{"tenants":"name\nsoylent\n"}`)
	// This service has no queue for imports, which it reports last.
	for path, body := range map[string]string{path: `{"accept_changes":true}`,
		"/imports/" + plain["id"].(string): ""} {
		if a := f.call("operator", "POST", path+"/apply", body); !strings.Contains(a.raw, "does not import fleets") {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
	if a := f.call("operator", "GET", "/imports/none/plan", ""); a.status != 404 {
		t.Errorf("an unknown import: %d", a.status)
	}
}
