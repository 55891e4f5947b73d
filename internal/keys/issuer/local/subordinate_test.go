package local

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/tenancy"
)

// A keeping is a [memory] that keeps requests too.
type keeping struct {
	memory
	requests []tenancy.AuthorityRequest
}

func (k *keeping) AuthorityRequests(context.Context) ([]tenancy.AuthorityRequest, error) {
	return k.requests, nil
}

func (k *keeping) AddAuthorityRequest(_ context.Context, r tenancy.AuthorityRequest) error {
	if slices.ContainsFunc(k.requests, func(o tenancy.AuthorityRequest) bool { return o.Position == r.Position }) {
		return tenancy.ErrConflict
	}
	k.requests = append(k.requests, r)
	return nil
}

func (k *keeping) ReplaceAuthorityRequest(ctx context.Context, former string, r tenancy.AuthorityRequest) error {
	k.requests = slices.DeleteFunc(k.requests, func(o tenancy.AuthorityRequest) bool { return o.ID == former })
	return k.AddAuthorityRequest(ctx, r)
}

func (k *keeping) InstallAuthority(ctx context.Context, id string, all ...tenancy.Authority) error {
	k.requests = slices.DeleteFunc(k.requests, func(r tenancy.AuthorityRequest) bool { return r.ID == id })
	for _, a := range all {
		if err := k.AddAuthority(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// yours is a folder in which OpenSSL is a CA that is not ours.
type yours struct {
	t   *testing.T
	dir string
}

// yourRoot makes a root with OpenSSL, valid for so many days from now on.
func yourRoot(t *testing.T, days int, extensions ...string) yours {
	t.Helper()
	y := yours{t, t.TempDir()}
	y.write("root.ext", strings.Join(append([]string{"basicConstraints = critical, CA:TRUE",
		"keyUsage = critical, keyCertSign, cRLSign"}, extensions...), "\n"))
	y.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-subj", "/O=You/CN=Your Root",
		"-keyout", "root.key", "-out", "root.csr")
	y.openssl("x509", "-req", "-in", "root.csr", "-signkey", "root.key", "-days", fmt.Sprint(days), "-extfile", "root.ext",
		"-out", "root.pem")
	return y
}

func (y yours) write(name, content string) {
	y.t.Helper()
	if err := os.WriteFile(filepath.Join(y.dir, name), []byte(content), 0o600); err != nil {
		y.t.Fatal(err)
	}
}

func (y yours) read(names ...string) (all []byte) {
	y.t.Helper()
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(y.dir, name))
		if err != nil {
			y.t.Fatal(err)
		}
		all = append(all, data...)
	}
	return all
}

func (y yours) openssl(args ...string) string {
	y.t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = y.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		y.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// sign signs a request with a CA of the folder. Without extensions, the requested ones are copied.
func (y yours) sign(request []byte, by, out string, days int, extensions ...string) []byte {
	y.t.Helper()
	y.write("request.csr", certfile.RequestPEM(request))
	args := []string{"x509", "-req", "-in", "request.csr", "-CA", by + ".pem", "-CAkey", by + ".key", "-days",
		fmt.Sprint(days), "-out", out + ".pem"}
	if len(extensions) == 0 {
		args = append(args, "-copy_extensions", "copyall")
	} else {
		y.write("own.ext", strings.Join(extensions, "\n"))
		args = append(args, "-extfile", "own.ext")
	}
	y.openssl(args...)
	return y.read(out + ".pem")
}

// below makes another CA of the folder.
func (y yours) below(by, name string, days int, extensions ...string) {
	y.t.Helper()
	y.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=You/CN="+name,
		"-keyout", name+".key", "-out", name+".csr")
	block, _ := pem.Decode(y.read(name + ".csr"))
	y.sign(block.Bytes, by, name, days, extensions...)
}

// OpenSSL signs for the present.
func present() time.Time { return time.Now().Add(time.Hour).UTC().Truncate(time.Second) }

func requestOf(t *testing.T, ca *CA, at time.Time) tenancy.AuthorityRequest {
	t.Helper()
	r, err := ca.RequestAuthority(t.Context(), "", at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var caExtensions = []string{"basicConstraints = critical, CA:TRUE", "keyUsage = critical, keyCertSign, cRLSign"}

func TestAnIssuingCABelowYourRootIsRequestedInstalledAndSigns(t *testing.T) {
	at, storage, k := present(), &keeping{}, keys(t)
	ca := open(t, storage, k, at)
	first := ca.Signing(at)
	y := yourRoot(t, 7300)
	r := requestOf(t, ca, at)
	if again := requestOf(t, open(t, storage, k, at), at); again.ID != r.ID || !slices.Equal(again.CSR, r.CSR) {
		t.Error("another replica has another request")
	}
	signed := y.sign(r.CSR, "root", "issuing", 3650)
	text := y.openssl("x509", "-in", "issuing.pem", "-noout", "-text")
	for _, want := range []string{"CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "TLS Web Client Authentication",
		"DNS:perennial.example.com", "CN = Example Platform issuing CA G2"} {
		if !strings.Contains(text, want) {
			t.Errorf("the certificate lacks %q:\n%s", want, text)
		}
	}
	made, err := ca.InstallAuthority(t.Context(), slices.Concat(y.read("root.pem"), signed), time.Time{}, at)
	if err != nil {
		t.Fatal(err)
	}
	if made.ID != r.ID || !made.SignsFrom.Equal(at.Add(Notice)) || len(storage.requests) != 0 {
		t.Errorf("installed %s, which signs from %s on; %d requests are open", made.ID, made.SignsFrom,
			len(storage.requests))
	}
	if early, _ := issue(t, ca, tenancy.P256, tenancy.ForTenant, at); early.IssuerID != first.ID {
		t.Errorf("%s signs before its date", early.IssuerID)
	}
	later := at.Add(Notice)
	other := open(t, storage, k, later) // another replica
	issued, leaf := issue(t, other, tenancy.P256, tenancy.ForTenant, later)
	if issued.IssuerID != made.ID {
		t.Errorf("%s signs instead of %s", issued.IssuerID, made.ID)
	}
	y.write("leaf.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})))
	y.openssl("verify", "-x509_strict", "-purpose", "sslclient", "-attime", fmt.Sprint(later.Unix()), "-CAfile",
		"root.pem", "-untrusted", "issuing.pem", "leaf.pem")

	root := other.issuing[1].root
	if root.key != nil || len(root.SealedKey) != 0 {
		t.Error("a key of your root is stored")
	}
	if _, err := other.CRL(root.ID, nil, later); !errors.Is(err, tenancy.ErrNotFound) {
		t.Errorf("the revocation list of your root: %v", err)
	}
	der, err := other.CRL(made.ID, []issuer.Revocation{{Serial: issued.Serial, At: later}}, later)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil || list.CheckSignatureFrom(other.issuing[1].cert) != nil {
		t.Errorf("the revocation list of the issuing CA: %v", err)
	}
	if !strings.Contains(string(other.Bundle()), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: root.DER}))) {
		t.Error("the bundle lacks your root")
	}
	// The service's own certificate stays below the root that is pinned.
	if other.RootFingerprint(later) != ca.RootFingerprint(at) {
		t.Error("the root of the service's own certificate has changed")
	}
	if _, err := other.serverCertificate("127.0.0.1", later); err != nil {
		t.Error(err)
	}
	_, err = other.Announce(t.Context(), later, issuer.Succession{})
	if !errors.Is(err, tenancy.ErrRefused) || !strings.Contains(err.Error(), "perennial authority csr") {
		t.Errorf("announcing without the root's key: %v", err)
	}
}

func TestAChainWithAuthoritiesBetweenIsInstalledFromAnyOrderAndForm(t *testing.T) {
	at := present()
	y := yourRoot(t, 7300)
	y.below("root", "policy", 7000, append(caExtensions, "subjectKeyIdentifier = hash")...)
	y.below("policy", "region", 6000, append(caExtensions, "subjectKeyIdentifier = hash")...)
	for _, order := range []string{"issuing region policy root", "root policy region issuing",
		"region issuing root policy"} {
		for _, form := range []string{"PEM", "PKCS#7"} {
			storage, k := &keeping{}, keys(t)
			ca := open(t, storage, k, at)
			y.sign(requestOf(t, ca, at).CSR, "region", "issuing", 3650)
			var files []string
			for name := range strings.FieldsSeq(order) {
				files = append(files, name+".pem")
			}
			file := y.read(files...)
			if form == "PKCS#7" {
				y.write("all.pem", string(file))
				y.openssl("crl2pkcs7", "-nocrl", "-certfile", "all.pem", "-outform", "DER", "-out", "all.p7b")
				file = y.read("all.p7b")
			}
			made, err := ca.InstallAuthority(t.Context(), file, at, at)
			if err != nil {
				t.Fatalf("%s, %s: %v", order, form, err)
			}
			issued, leaf := issue(t, open(t, storage, k, at), tenancy.P256, tenancy.ForTenant, at)
			if issued.IssuerID != made.ID || len(issued.Chain) != 3 {
				t.Fatalf("%s, %s: %d certificates above one of %s", order, form, len(issued.Chain), issued.IssuerID)
			}
			var above string
			for _, der := range issued.Chain {
				above += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
			}
			y.write("above.pem", above)
			y.write("leaf.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})))
			y.openssl("verify", "-purpose", "sslclient", "-attime", fmt.Sprint(at.Unix()), "-CAfile", "root.pem", "-untrusted",
				"above.pem", "leaf.pem")
		}
	}
}

func TestAChainThatReceiversWouldRefuseIsNotInstalled(t *testing.T) {
	at, storage := present(), &keeping{}
	ca := open(t, storage, keys(t), at)
	y := yourRoot(t, 7300)
	if _, err := ca.InstallAuthority(t.Context(), y.read("root.pem"), time.Time{}, at); !errors.Is(err,
		tenancy.ErrRefused) || !strings.Contains(err.Error(), "perennial authority csr") {
		t.Errorf("without a request: %v", err)
	}
	csr := requestOf(t, ca, at).CSR
	other := requestOf(t, open(t, &keeping{}, keys(t), at), at).CSR
	short, elsewhere := yourRoot(t, 2000), yourRoot(t, 7300, "nameConstraints = critical, permitted;URI:example.net")
	flat := yourRoot(t, 7300)
	flat.write("root.ext", "basicConstraints = critical, CA:TRUE, pathlen:0\nkeyUsage = critical, keyCertSign, cRLSign")
	flat.openssl("x509", "-req", "-in", "root.csr", "-signkey", "root.key", "-days", "7300", "-extfile", "root.ext",
		"-out", "root.pem")
	y.below("root", "leaf", 7000, "basicConstraints = critical, CA:FALSE", "keyUsage = critical, digitalSignature")
	whole := func(signed []byte) []byte { return append(signed, y.read("root.pem")...) }
	for name, c := range map[string]struct {
		file func() []byte
		want string
	}{
		"nothing":     {func() []byte { return nil }, "the file is empty"},
		"no file":     {func() []byte { return []byte("hello") }, "not a certificate"},
		"another key": {func() []byte { return y.sign(other, "root", "x", 3650) }, "no certificate for the key"},
		"a leaf": {func() []byte {
			return whole(y.sign(csr, "root", "x", 3650, "basicConstraints = CA:FALSE", "keyUsage = digitalSignature"))
		}, "CA:TRUE, pathlen:0"},
		"no usage": {func() []byte {
			return whole(y.sign(csr, "root", "x", 3650, "basicConstraints = critical, CA:TRUE", "keyUsage = keyCertSign"))
		}, "keyCertSign, cRLSign"},
		"for servers": {func() []byte {
			return whole(y.sign(csr, "root", "x", 3650, append(caExtensions, "extendedKeyUsage = serverAuth")...))
		}, "extendedKeyUsage = clientAuth"},
		"too short": {func() []byte { return whole(y.sign(csr, "root", "x", 500)) }, "which is too early"},
		"no root":   {func() []byte { return y.sign(csr, "root", "x", 3650) }, "lacks the certificate of CN=Your Root"},
		"a root that ends": {func() []byte {
			return append(short.sign(csr, "root", "x", 3650), short.read("root.pem")...)
		}, "before the issuing CA"},
		"pathlen": {func() []byte {
			return append(flat.sign(csr, "root", "x", 3650), flat.read("root.pem")...)
		}, "whose pathlen allows 0 CAs below it, but there are 1"},
		"below a leaf": {func() []byte {
			return append(y.sign(csr, "leaf", "x", 3650), y.read("leaf.pem", "root.pem")...)
		}, "CN=leaf,O=You, which may not sign certificates"},
		"other names": {func() []byte {
			return append(elsewhere.sign(csr, "root", "x", 3650), elsewhere.read("root.pem")...)
		}, "whose constraints allow clients of perennial.example.com"},
	} {
		_, err := ca.InstallAuthority(t.Context(), c.file(), time.Time{}, at)
		if !errors.Is(err, tenancy.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	early := append(y.sign(csr, "root", "x", 3650), y.read("root.pem")...)
	if _, err := ca.InstallAuthority(t.Context(), early, time.Time{}, at.Add(-2*day)); err == nil ||
		!strings.Contains(err.Error(), "is not valid before") {
		t.Errorf("before it is valid: %v", err)
	}
	if len(storage.requests) != 1 || len(ca.issuing) != 1 {
		t.Error("a refusal changed the authorities")
	}
	if _, err := ca.InstallAuthority(t.Context(), early, time.Time{}, at); err != nil {
		t.Fatal(err)
	}
	if _, err := ca.RequestAuthority(t.Context(), "", at); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("a request while one is announced: %v", err)
	}
	if _, err := ca.InstallAuthority(t.Context(), early, time.Time{}, at); !errors.Is(err, tenancy.ErrRefused) {
		t.Errorf("again: %v", err)
	}
}

func TestASuccessorBelowYourRootIsRequestedAYearAheadAndInstalledInTime(t *testing.T) {
	at, storage, k := present(), &keeping{}, keys(t)
	ca := open(t, storage, k, at)
	y := yourRoot(t, 7300)
	if _, err := ca.InstallAuthority(t.Context(), append(y.sign(requestOf(t, ca, at).CSR, "root", "x", 1500),
		y.read("root.pem")...), at, at); err != nil {
		t.Fatal(err)
	}
	due := ca.issuing[1].NotAfter.Add(-config.LongestValidity - announcedFor)
	for moment, want := range map[time.Time]bool{due.Add(-time.Second): false, due: true, due.Add(day): true} {
		if by, ok := ca.Awaited(moment); ok != want || ok && !by.Equal(due.Add(announcedFor-Notice)) {
			t.Errorf("%s: awaited by %s, %v", moment, by, ok)
		}
	}
	for moment, want := range map[time.Time]int{due.Add(-time.Second): 0, due: 1, due.Add(day): 1} {
		storage.requests = nil
		if err := ca.Refresh(t.Context(), moment); err != nil || len(storage.requests) != want {
			t.Errorf("%s: %d requests, %v", moment, len(storage.requests), err)
		}
	}
	if p := ca.Plans(at); !p[1].AnnounceAt.Equal(due) {
		t.Errorf("your root is needed at %s, want %s", p[1].AnnounceAt, due)
	}
	// Your root signs again: no new root is announced.
	answer := y.sign(requestOf(t, ca, due.Add(day)).CSR, "root", "next", 5000)
	if _, err := ca.InstallAuthority(t.Context(), answer, time.Time{}, due.Add(day)); err != nil {
		t.Fatal(err)
	}
	if _, ok := ca.Awaited(due.Add(day)); ok || len(ca.roots) != 2 || ca.issuing[2].root != ca.issuing[1].root {
		t.Errorf("%d roots", len(ca.roots))
	}
}
