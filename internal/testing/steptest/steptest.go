// Package steptest runs a real step-ca for tests.
package steptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/testing/testca"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

// Template is a certificate template for tenants, as docs/issuers.md has it: the names of the request, and client
// authentication only.
const Template = `{
  "rawSubject": {{ toJson .Insecure.CR.RawSubject }},
  "dnsNames": {{ toJson .Insecure.CR.DNSNames }},
  "emailAddresses": {{ toJson .Insecure.CR.EmailAddresses }},
  "ipAddresses": {{ toJson .Insecure.CR.IPAddresses }},
  "uris": {{ toJson .Insecure.CR.URIs }},
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["clientAuth"]
}
`

// A Server is a running step-ca with a JWK provisioner "perennial", an X5C provisioner "fleet", and an ACME provisioner
// "acme".
type Server struct {
	CA          *testca.CA // whose keys it has
	Fleet       *testca.CA // another CA, whose certificates the X5C provisioner accepts, too
	Dir         string     // of its files
	URL         string
	Fingerprint string // of its root
	Password    string // file with the password of the key
	Key         string // file with the private JWK, encrypted
	PlainKey    string // the same key, not encrypted
	Roots       string // PEM file
	stop        func()
}

// Start starts a server that ends with the test, with further arguments.
func Start(t testing.TB, arguments ...string) *Server {
	t.Helper()
	program := testenv.Peer(t, "step-ca")
	s := &Server{CA: testca.New(t, "Step", time.Now()), Fleet: testca.New(t, "Fleet", time.Now()), Dir: t.TempDir()}
	s.Fingerprint = certfile.Fingerprint(s.CA.Root.Raw)
	s.Roots = s.write(t, "root.pem", s.CA.RootPEM())
	config := s.config(t)
	address := testenv.Address(t)
	config["address"], s.URL = address, "https://"+address
	s.serve(t, program, config, arguments)
	return s
}

// serve starts the program and waits until it answers.
func (s *Server) serve(t testing.TB, program string, config map[string]any, arguments []string) {
	t.Helper()
	data, err := json.Marshal(config)
	testenv.Check(t, err)
	cmd := exec.Command(program, append(slices.Clone(arguments), s.write(t, "ca.json", data))...)
	cmd.Env = append(os.Environ(), "STEPPATH="+s.Dir)
	s.stop = testenv.Start(t, cmd)
	roots := x509.NewCertPool()
	roots.AddCert(s.CA.Root)
	testenv.Eventually(t, func() bool {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), &tls.Config{RootCAs: roots})
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// config returns the configuration without an address.
func (s *Server) config(t testing.TB) map[string]any {
	t.Helper()
	claims := map[string]any{"minTLSCertDuration": "1m", "maxTLSCertDuration": "9000h", "defaultTLSCertDuration": "24h"}
	options := map[string]any{"x509": map[string]any{"templateFile": s.write(t, "tenant.tpl", []byte(Template))}}
	return map[string]any{
		"root": s.Roots, "crt": s.write(t, "issuing.pem", testca.PEM(s.CA.Issuing.Raw)),
		"key":      s.write(t, "issuing.key", testca.KeyPEM(t, s.CA.Key)),
		"dnsNames": []string{"127.0.0.1"},
		"db":       map[string]any{"type": "badgerv2", "dataSource": filepath.Join(s.Dir, "db")},
		// Tests issue for instants before the start.
		"authority": map[string]any{"disableIssuedAtCheck": true, "provisioners": []any{
			map[string]any{"type": "JWK", "name": "perennial", "key": s.provisionerKey(t), "claims": claims,
				"options": options},
			map[string]any{"type": "X5C", "name": "fleet", "roots": slices.Concat(s.CA.RootPEM(), s.Fleet.RootPEM()),
				"claims": claims, "options": options},
			map[string]any{"type": "ACME", "name": "acme", "claims": claims, "options": options},
		}},
	}
}

// Stop stops the server.
func (s *Server) Stop() { s.stop() }

func (s *Server) write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(s.Dir, name)
	testenv.Check(t, os.WriteFile(path, data, 0o600))
	return path
}

// provisionerKey writes the key of the JWK provisioner, and returns its public key.
func (s *Server) provisionerKey(t testing.TB) jose.JSONWebKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testenv.Check(t, err)
	key := jose.JSONWebKey{Key: private, KeyID: "perennial-1", Algorithm: "ES256", Use: "sig"}
	plain, err := key.MarshalJSON()
	testenv.Check(t, err)
	s.PlainKey = s.write(t, "jwk.json", plain)
	// As "step crypto jwk create" encrypts it.
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.PBES2_HS256_A128KW,
		Key: []byte("s3cret"), PBES2Count: 100_000}, (&jose.EncrypterOptions{}).WithContentType("jwk+json"))
	testenv.Check(t, err)
	encrypted, err := encrypter.Encrypt(plain)
	testenv.Check(t, err)
	s.Key = s.write(t, "jwk.jwe", []byte(encrypted.FullSerialize()))
	s.Password = s.write(t, "password", []byte("s3cret\n"))
	return key.Public()
}
