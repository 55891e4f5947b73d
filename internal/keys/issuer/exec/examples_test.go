package exec_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/exec"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/internal/testing/issuertest"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// example returns the path of a shipped example.
func example(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../../../deploy/issuers/" + name)
	check(t, err)
	return path
}

// files writes the certificates and the key of a CA to a folder.
func files(t *testing.T, ca *testca.CA) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, data := range map[string][]byte{"issuing.pem": testca.PEM(ca.Issuing.Raw), "root.pem": ca.RootPEM(),
		"chain.pem": testca.PEM(ca.Issuing.Raw, ca.Root.Raw), "key.pem": testca.KeyPEM(t, ca.Key), "index.txt": nil,
		"extensions": []byte("keyUsage = critical, digitalSignature\nextendedKeyUsage = clientAuth\n" +
			"basicConstraints = critical, CA:FALSE\n")} {
		check(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	return dir
}

// opensslConfig is the configuration of an issuing CA for "openssl ca", as docs/issuers.md has it.
const opensslConfig = `[ca]
default_ca = perennial

[perennial]
certificate = DIR/issuing.pem
private_key = DIR/key.pem
database = DIR/index.txt
new_certs_dir = DIR
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copy
x509_extensions = client
string_mask = utf8only

[any]
commonName = optional
organizationalUnitName = optional
organizationName = optional

[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
authorityKeyIdentifier = keyid
`

func TestOpenSSLCAConforms(t *testing.T) {
	issuertest.RunNow(t, func(t *testing.T, now time.Time) issuer.Issuer {
		dir := files(t, testca.New(t, "Theirs", now))
		config := filepath.Join(dir, "openssl.cnf")
		check(t, os.WriteFile(config, []byte(strings.ReplaceAll(opensslConfig, "DIR", dir)), 0o600))
		i, err := exec.Open(exec.Config{Roots: filepath.Join(dir, "root.pem"), Program: exec.Program{
			Command:     []string{example(t, "openssl-ca")},
			Environment: map[string]string{"CA_CONFIG": config, "CA_CHAIN": filepath.Join(dir, "chain.pem")}}}, form)
		check(t, err)
		return i
	})
}

// external returns an issuer that runs an example with a fake of the external command that it needs.
func external(t *testing.T, now time.Time, name string, variables map[string]string) (i issuer.Issuer, dir string) {
	t.Helper()
	fakes, err := filepath.Abs("testdata")
	check(t, err)
	dir = files(t, testca.New(t, "Theirs", now))
	environment := map[string]string{"PATH": fakes + ":" + os.Getenv("PATH"), "FAKE_DIR": t.TempDir(),
		"FAKE_SIGN": filepath.Join(fakes, "sign"), "FAKE_ISSUING": filepath.Join(dir, "issuing.pem"),
		"FAKE_CHAIN": filepath.Join(dir, "chain.pem"), "FAKE_KEY": filepath.Join(dir, "key.pem"),
		"FAKE_EXTENSIONS": filepath.Join(dir, "extensions")}
	for name, value := range variables {
		environment[name] = value
	}
	i, err = exec.Open(exec.Config{Roots: filepath.Join(dir, "root.pem"), Program: exec.Program{
		Command: []string{example(t, name)}, Environment: environment}}, form)
	check(t, err)
	return i, environment["FAKE_DIR"]
}

const arn = "arn:aws:acm-pca:eu-central-1:111122223333:certificate-authority/11223344-1234-1122-2233-112233445566"

// examples are those for external commands that cannot run in a test, with their variables.
var examples = map[string]map[string]string{
	"aws-private-ca": {"CA_ARN": arn, "FAKE_CA_ARN": arn, "CA_ALGORITHM": "SHA256WITHECDSA"},
	"google-cas":     {"CA_POOL": "pool", "CA_LOCATION": "europe-west3", "CA_TEMPLATE": "clients"},
	"ad-cs": {"CERTSRV": "https://ca.example.com/certsrv", "CERT_TEMPLATE": "PerennialClient",
		"CERTSRV_ROOTS": "/etc/ssl/certs/ca-certificates.crt"},
}

func TestTheExamplesForExternalCommandsIssue(t *testing.T) {
	for name, variables := range examples {
		t.Run(name, func(t *testing.T) {
			i, _ := external(t, time.Now(), name, variables)
			r := request(t)
			issued, err := issuer.Checked(i).Issue(t.Context(), r)
			if err != nil || len(issued.Chain) != 1 || issued.Subject != "CN=acme,OU=Tenants,O=P" {
				t.Errorf("%v, %s, a chain of %d", err, issued.Subject, len(issued.Chain))
			}
			if lifetime := issued.NotAfter.Sub(issued.NotBefore); lifetime < 363*24*time.Hour ||
				lifetime > 365*24*time.Hour {
				t.Errorf("valid for %s", lifetime)
			}
		})
	}
}

func TestAnExampleWhoseCAAnswersLaterIsAskedWithItsHandle(t *testing.T) {
	for _, name := range []string{"aws-private-ca", "ad-cs"} {
		t.Run(name, func(t *testing.T) {
			i, dir := external(t, time.Now(), name, examples[name])
			pending := filepath.Join(dir, "pending")
			check(t, os.WriteFile(pending, nil, 0o600))
			r := request(t)
			checked := issuer.Checked(i)
			_, err := checked.Issue(t.Context(), r)
			later := (*issuer.RequestedError)(nil)
			if !errors.As(err, &later) {
				t.Fatalf("%v", err)
			}
			handle := later.Handle
			if _, err := checked.(issuer.Collector).Collect(t.Context(), handle, r); !errors.As(err, &later) ||
				later.Handle != handle {
				t.Errorf("asked before the answer: %v", err)
			}
			check(t, os.Remove(pending))
			var first []byte
			for range 2 {
				issued, err := checked.(issuer.Collector).Collect(t.Context(), handle, r)
				if err != nil || first != nil && !bytes.Equal(first, issued.DER) {
					t.Errorf("%v", err)
				}
				first = issued.DER
			}
			if _, err := checked.(issuer.Collector).Collect(t.Context(), "unknown", r); err == nil ||
				errors.As(err, &later) {
				t.Errorf("an unknown handle: %v", err)
			}
		})
	}
}

func TestAnExampleShowsTheErrorOfItsCommand(t *testing.T) {
	for name, c := range map[string]struct{ variable, value, want string }{
		"aws-private-ca": {"CA_ALGORITHM", "MD5", "exit status"},
		"google-cas":     {"CA_POOL", "other", "ERROR: NOT_FOUND: other"},
		"ad-cs":          {"CERT_TEMPLATE", "Other", "Denied by Policy Module"},
		"openssl-ca":     {"CA_CONFIG", "", "set it to the path of the configuration of the CA"},
	} {
		variables := map[string]string{c.variable: c.value}
		for key, value := range examples[name] {
			if key != c.variable {
				variables[key] = value
			}
		}
		i, _ := external(t, time.Now(), name, variables)
		_, err := i.Issue(t.Context(), request(t))
		if fault, _ := issuer.FaultOf(err); fault != issuer.Rejected || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenSSLCMPIssuesFromOpenSSLsMockServer(t *testing.T) {
	now := time.Now()
	ca := testca.New(t, "Theirs", now)
	dir := files(t, ca)
	r := request(t)
	names, err := form.Requested(r)
	check(t, err)
	der, err := foreign.CSR(r.Key, names)
	check(t, err)
	csr, err := x509.ParseCertificateRequest(der)
	check(t, err)
	leaf, err := ca.Sign(csr, now.Add(-time.Minute), now.AddDate(1, 0, 0), nil) // the mock returns a fixed certificate
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "leaf.pem"), testca.PEM(leaf), 0o600))
	port := testenv.Port(t)
	testenv.Start(t, osexec.Command("openssl", "cmp", "-config", "", "-port", fmt.Sprint(port), "-srv_ref", "perennial",
		"-srv_secret", "pass:s3cret", "-rsp_cert", filepath.Join(dir, "leaf.pem"), "-rsp_extracerts",
		filepath.Join(dir, "issuing.pem"), "-poll_count", "1", "-check_after", "1"))
	check(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("s3cret\n"), 0o600))
	open := func(secretFile string) issuer.Issuer {
		i, err := exec.Open(exec.Config{Roots: filepath.Join(dir, "root.pem"), Program: exec.Program{
			Command: []string{example(t, "openssl-cmp")},
			Environment: map[string]string{"CMP_SERVER": fmt.Sprintf("http://127.0.0.1:%d/pkix/", port),
				"CMP_REF": "perennial", "CMP_RECIPIENT": "/CN=Theirs Issuing"},
			Secrets: map[string]secret.Ref{"CMP_SECRET": secret.File(filepath.Join(dir, secretFile))}}}, form)
		check(t, err)
		return issuer.Checked(i)
	}
	i := open("secret")
	var issued issuer.Issued
	testenv.Eventually(t, func() bool { // until the server listens
		issued, err = i.Issue(t.Context(), r)
		return err == nil || !strings.Contains(err.Error(), "connect")
	})
	if err != nil || !bytes.Equal(issued.DER, leaf) || len(issued.Chain) != 1 {
		t.Fatalf("%v, a chain of %d", err, len(issued.Chain))
	}
	if _, err := i.Issue(t.Context(), request(t)); err == nil {
		t.Error("a certificate of another key is accepted")
	}
	check(t, os.WriteFile(filepath.Join(dir, "wrong"), []byte("hush\n"), 0o600))
	if _, err := open("wrong").Issue(t.Context(), r); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("a wrong secret: %v", err)
	}
}

func TestTheExamplesAreCorrectForShellcheck(t *testing.T) {
	shellcheck, err := osexec.LookPath("shellcheck")
	if err != nil {
		t.Fatal("apt-get install shellcheck")
	}
	scripts, err := filepath.Glob("../../../../deploy/issuers/*")
	check(t, err)
	if len(scripts) != 5 {
		t.Errorf("%d examples", len(scripts))
	}
	if out, err := osexec.Command(shellcheck, scripts...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
