package local

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

const passphrase = "correct horse battery staple"

// offline removes the key of the first root, as the API does.
func (k *keeping) offline(t *testing.T, ca *CA, at time.Time) *OfflineRoot {
	t.Helper()
	id := ca.roots[0].ID
	file, err := ca.ExportRoot(id, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	root, err := OpenExport(file, passphrase, at)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := root.Proof(id)
	if err != nil {
		t.Fatal(err)
	}
	list, err := ca.LastList(id, proof, nil, at)
	if err != nil {
		t.Fatal(err)
	}
	for i := range k.memory {
		if k.memory[i].ID == id {
			k.memory[i].SealedKey, k.memory[i].CRL = nil, list
		}
	}
	return root
}

func TestTheKeyOfARootIsExportedSealedAndOnlyWithAProof(t *testing.T) {
	at, storage := present(), &keeping{}
	ca := open(t, storage, keys(t), at)
	root := ca.roots[0]
	for name, c := range map[string]struct{ id, passphrase, want string }{
		"short":      {root.ID, "fünfzehn Zeich.", "has fewer than 16 characters"},
		"unknown":    {"x", passphrase, "unknown CA x"},
		"an issuing": {ca.issuing[0].ID, passphrase, "export its root"},
	} {
		if _, err := ca.ExportRoot(c.id, c.passphrase); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	file, err := ca.ExportRoot(root.ID, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := root.key.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for rest := file; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if strings.Contains(string(block.Bytes), string(scalar)) || block.Type == "PRIVATE KEY" {
			t.Error("the export has the key in clear")
		}
	}
	// OpenSSL opens it too.
	y := yours{t, t.TempDir()}
	y.write("export.pem", string(file))
	y.openssl("pkey", "-in", "export.pem", "-passin", "pass:"+passphrase, "-pubout", "-out", "key.pem")
	y.openssl("x509", "-in", "export.pem", "-noout", "-pubkey", "-out", "cert.pem")
	if string(y.read("key.pem")) != string(y.read("cert.pem")) {
		t.Error("OpenSSL reads another key")
	}
	if _, err := OpenExport(file, passphrase+"x", at); err == nil {
		t.Error("another passphrase opens it")
	}
	opened, err := OpenExport(file, passphrase, at)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := opened.Proof(root.ID)
	if err != nil {
		t.Fatal(err)
	}
	other, err := opened.Proof("another root")
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string][]byte{"none": nil, "for another root": other, "cut": proof[1:]} {
		if _, err := ca.LastList(root.ID, wrong, nil, at); !errors.Is(err, tenancy.ErrRefused) {
			t.Errorf("a proof that is wrong (%s): %v", name, err)
		}
	}
	if _, err := ca.LastList(root.ID, proof, nil, at); err != nil {
		t.Error(err)
	}
}

// The root is offline for the whole life of an issuing CA and beyond.
func TestARootThatIsOfflineSignsTheNextIssuingCAInTime(t *testing.T) {
	at, storage, k := present(), &keeping{}, keys(t)
	ca := open(t, storage, k, at)
	root := storage.offline(t, ca, at)
	if err := ca.Refresh(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	if ca.roots[0].key != nil || open(t, storage, k, at).roots[0].key != nil {
		t.Fatal("the key is still here")
	}
	if _, err := ca.ExportRoot(ca.roots[0].ID, passphrase); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("a second export: %v", err)
	}
	first := ca.issuing[0]
	var asked, installed time.Time
	for now := at; now.Before(first.NotAfter.Add(30 * day)); now = now.Add(15 * day) {
		if err := ca.Refresh(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		by, due := ca.Awaited(now)
		if due && asked.IsZero() {
			asked = now
		}
		if due && installed.IsZero() && now.After(by.Add(-30*day)) {
			csr := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: requestOf(t, ca, now).CSR})
			chain, err := root.Sign(csr, now)
			if err != nil {
				t.Fatal(err)
			}
			made, err := ca.InstallAuthority(t.Context(), chain, time.Time{}, now)
			if err != nil {
				t.Fatal(err)
			}
			installed = now
			c, err := certfile.ParseCertificate(made.DER)
			if err != nil {
				t.Fatal(err)
			}
			if want := config.CRLURL + "/" + ca.roots[0].ID + ".crl"; fmt.Sprint(c.CRLDistributionPoints) != "["+want+"]" {
				t.Errorf("it names the lists %v, want %s", c.CRLDistributionPoints, want)
			}
			if len(c.PermittedURIDomains) != 1 || !c.MaxPathLenZero || len(c.SubjectKeyId) == 0 {
				t.Errorf("constraints %v, pathlen %d", c.PermittedURIDomains, c.MaxPathLen)
			}
		}
		issued, leaf := issue(t, ca, tenancy.P256, tenancy.ForTenant, now)
		roots, above := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(ca.roots[0].cert)
		for _, der := range issued.Chain {
			c, err := certfile.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			above.AddCert(c)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: above, CurrentTime: now,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Fatalf("%s: %v", now, err)
		}
		der, err := ca.CRL(ca.roots[0].ID, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := x509.ParseRevocationList(der); err != nil || list.NextUpdate.Before(now) ||
			list.CheckSignatureFrom(ca.roots[0].cert) != nil {
			t.Fatalf("%s: the list of the root is not valid: %v", now, err)
		}
	}
	if asked.IsZero() || installed.IsZero() || len(ca.roots) != 1 || len(ca.issuing) != 2 {
		t.Errorf("asked on %s, installed on %s, %d roots, %d issuing CAs", asked, installed, len(ca.roots), len(ca.issuing))
	}
}

func TestTheKeyOfARootIsBroughtBackIntoEveryReplica(t *testing.T) {
	at, storage, k := present(), &keeping{}, keys(t)
	ca, replica := open(t, storage, k, at), open(t, storage, k, at)
	file, err := ca.ExportRoot(ca.roots[0].ID, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, file []byte, passphrase, want string) {
		t.Helper()
		if _, err := ca.ImportRoot(file, passphrase, at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	refused("present", file, passphrase, "is in this service already")
	storage.offline(t, ca, at)
	refresh := func() {
		t.Helper()
		if err := errors.Join(ca.Refresh(t.Context(), at), replica.Refresh(t.Context(), at)); err != nil {
			t.Fatal(err)
		}
	}
	refresh()
	if ca.roots[0].key != nil || replica.roots[0].key != nil {
		t.Fatal("a replica has the key that was taken offline")
	}
	refused("another passphrase", file, passphrase+"x", "cannot be opened with that password")
	another := open(t, &keeping{}, keys(t), at)
	stranger, err := another.ExportRoot(another.roots[0].ID, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	refused("another service", stranger, passphrase, "is not a root of this service")
	root, err := ca.ImportRoot(file, passphrase, at)
	if err != nil {
		t.Fatal(err)
	}
	for i := range storage.memory {
		if storage.memory[i].ID == root.ID {
			storage.memory[i].SealedKey, storage.memory[i].CRL = root.SealedKey, nil
		}
	}
	refresh()
	for _, c := range []*CA{ca, replica, open(t, storage, k, at)} {
		revoked := []issuer.Revocation{{Serial: "7f", At: at, Reason: issuer.CACompromise}}
		der, err := c.CRL(root.ID, revoked, at)
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(der)
		if err != nil || len(list.RevokedCertificateEntries) != 1 || list.CheckSignatureFrom(c.roots[0].cert) != nil {
			t.Errorf("the list has %v, %v", list.RevokedCertificateEntries, err)
		}
	}
}

func TestARootThatIsOfflineSignsOnlyIssuingCAsOfTheService(t *testing.T) {
	at, storage := present(), &keeping{}
	ca := open(t, storage, keys(t), at)
	root := storage.offline(t, ca, at)
	y := yours{t, t.TempDir()}
	request := func(extensions ...string) []byte {
		t.Helper()
		args := []string{"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=Thief",
			"-keyout", "x.key", "-out", "x.csr"}
		for _, e := range extensions {
			args = append(args, "-addext", e)
		}
		y.openssl(args...)
		return y.read("x.csr")
	}
	changed := request("basicConstraints = critical,CA:TRUE,pathlen:0")
	block, _ := pem.Decode(changed)
	block.Bytes[len(block.Bytes)-1] ^= 1
	for want, csr := range map[string][]byte{
		"not a request":                   []byte("hello"),
		"it must ask for CA:TRUE":         request(),
		"must ask for CA:TRUE, pathlen:0": request("basicConstraints = critical,CA:TRUE,pathlen:3"),
		"asks for the extension 2.5.29.17": request("basicConstraints = critical,CA:TRUE,pathlen:0",
			"subjectAltName = DNS:a"),
		"the request was changed": pem.EncodeToMemory(block),
	} {
		if _, err := root.Sign(csr, at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	late := root.Root.NotAfter.Add(-issuingLifetime/2 + day)
	if _, err := root.Sign(request("basicConstraints = critical,CA:TRUE,pathlen:0"), late); err == nil ||
		!strings.Contains(err.Error(), "perennial authority announce --new-root") {
		t.Errorf("near the end of the root: %v", err)
	}
	if _, err := ca.Announce(t.Context(), at, issuer.Succession{}); !errors.Is(err, tenancy.ErrRefused) ||
		!strings.Contains(err.Error(), "perennial authority csr") {
		t.Errorf("announcing without the root's key: %v", err)
	}
}
